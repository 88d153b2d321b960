/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/compiler.h"
#include "data/image.h"
#include "data/npz_reader.h"
#include "data/source.h"
#include "transpike/data.h"

typedef struct fixture {
    char folder[64];
    char images[128], labels[128], npz[128];
} fixture;

static int set_up(void **state)
{
    fixture *f = calloc(1, sizeof *f);

    if (!f)
        return -1;
    strcpy(f->folder, "/tmp/tspk_dataset_XXXXXX");
    if (!mkdtemp(f->folder))
        return -1;
    snprintf(f->images, sizeof f->images, "%s/t-images-idx3-ubyte", f->folder);
    snprintf(f->labels, sizeof f->labels, "%s/t-labels-idx1-ubyte", f->folder);
    snprintf(f->npz, sizeof f->npz, "%s/t.npz", f->folder);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    unlink(f->images);
    unlink(f->labels);
    unlink(f->npz);
    rmdir(f->folder);
    free(f);
    return 0;
}

static void write_file(const char *path, const void *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

/* Ten images of 1 x 2: image i holds i, 255. */
static const uint8_t idx_images[] = {0, 0,   8, 3,   0, 0,   0, 10,  0, 0,   0, 1,
                                     0, 0,   0, 2,   0, 255, 1, 255, 2, 255, 3, 255,
                                     4, 255, 5, 255, 6, 255, 7, 255, 8, 255, 9, 255};
static const uint8_t idx_labels[] = {0, 0, 8, 1, 0, 0, 0, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0};

static void order_follows_the_contract(void **state)
{
    static const int64_t expected[10] = {4, 9, 2, 5, 1, 7, 6, 0, 3, 8}; /* seed 0 */
    static const int64_t dim[3] = {1, 1, 2};
    const fixture *f = *state;
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};

    write_file(f->images, idx_images, sizeof idx_images);
    write_file(f->labels, idx_labels, sizeof idx_labels);
    assert_int_equal(tspk_dataset_open(f->images, NULL, &dataset, &err), TSPK_OK);
    assert_int_equal(tspk_dataset_count(dataset), 10);
    for (size_t i = 0; i < 10; i++) {
        char name[8];
        float x[2];

        snprintf(name, sizeof name, "%d", (int)expected[i]);
        assert_string_equal(tspk_dataset_name(dataset, i), name);
        assert_int_equal(tspk_dataset_label(dataset, i), 9 - expected[i]);
        assert_int_equal(tspk_dataset_read(dataset, i, dim, x, NULL, &err), TSPK_OK);
        assert_true(x[0] == (float)expected[i] / 255.0f && x[1] == 1.0f);
    }
    assert_int_equal(tspk_dataset_label(dataset, 10), -1);
    assert_null(tspk_dataset_class_name(dataset, 0));
    tspk_dataset_close(dataset);
}

static void failures_leave_outputs_untouched(void **state)
{
    static const int64_t dim[3] = {1, 2, 2};
    const fixture *f = *state;
    uint8_t hash[32] = {7}, hash_before[32] = {7};
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};
    float x[4] = {1, 2, 3, 4};

    write_file(f->images, idx_images, sizeof idx_images);
    assert_int_equal(tspk_dataset_open(f->images, NULL, &dataset, &err), TSPK_OK);
    assert_int_equal(tspk_dataset_read(dataset, 0, dim, x, hash, &err), TSPK_SHAPE);
    assert_non_null(strstr(err.message, "[1, 1, 2]"));
    assert_int_equal(tspk_dataset_read(dataset, 10, dim, x, hash, &err), TSPK_USAGE);
    assert_true(x[0] == 1 && x[3] == 4);
    assert_memory_equal(hash, hash_before, sizeof hash);
    tspk_dataset_close(dataset);
}

static void truncated_idx_is_refused_everywhere(void **state)
{
    const fixture *f = *state;

    for (size_t n = 0; n < sizeof idx_images; n++) {
        tspk_dataset *dataset = NULL;
        tspk_error err = {0};

        write_file(f->images, idx_images, n);
        assert_int_equal(tspk_dataset_open(f->images, NULL, &dataset, &err), TSPK_FORMAT);
        assert_null(dataset);
        assert_non_null(strstr(err.message, f->images));
    }
    write_file(f->images, idx_images, sizeof idx_images);
    for (size_t n = 0; n < sizeof idx_labels; n++) {
        tspk_dataset *dataset = NULL;
        tspk_error err = {0};

        write_file(f->labels, idx_labels, n);
        assert_int_equal(tspk_dataset_open(f->images, NULL, &dataset, &err), TSPK_FORMAT);
        assert_non_null(strstr(err.message, f->labels));
    }
}

/* 16776960 images of no pixels: 16 bytes must not become as many samples. */
static void images_without_elements_are_refused(void **state)
{
    static const uint8_t bytes[] = {0, 0, 8, 3, 0, 255, 255, 0, 0, 0, 0, 0, 0, 0, 0, 0};
    const fixture *f = *state;
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};

    write_file(f->images, bytes, sizeof bytes);
    assert_int_equal(tspk_dataset_open(f->images, NULL, &dataset, &err), TSPK_SHAPE);
    assert_null(dataset);
    assert_non_null(strstr(err.message, "16776960"));
}

static void npz_members_are_capped(void **state)
{
    static const float values[4096] = {1.0f};
    const fixture *f = *state;
    const tspk_shape shape = {.rank = 1, .dim = {4096}};
    tspk_npz_writer *writer;
    tspk_npz_reader *reader;
    tspk_npy_header header;
    tspk_error err = {0};
    const char *name;
    uint8_t *bytes = NULL;
    bool is_there = true;
    size_t n = 0;

    assert_int_equal(tspk_npz_writer_open(f->npz, &writer, &err), TSPK_OK);
    assert_int_equal(tspk_npz_writer_add(writer, "a", TSPK_NPY_F4, &shape, values, &err), TSPK_OK);
    assert_int_equal(tspk_npz_writer_add(writer, "b", TSPK_NPY_F4, &shape, values, &err), TSPK_OK);
    assert_int_equal(tspk_npz_writer_add(writer, "b", TSPK_NPY_F4, &shape, values, &err), TSPK_OK);
    assert_int_equal(tspk_npz_writer_close(writer, true, &err), TSPK_OK);

    assert_int_equal(tspk_npz_read_array(f->npz, "a", 16384 + 128, &header, &bytes, &err), TSPK_OK);
    assert_int_equal(header.data_bytes, 16384);
    assert_memory_equal(bytes + header.data_offset, values, sizeof values);
    free(bytes);
    bytes = NULL;
    assert_int_equal(tspk_npz_read_array(f->npz, "a", 16384 + 127, &header, &bytes, &err),
                     TSPK_LIMIT);
    assert_int_equal(tspk_npz_read_array(f->npz, "b", 1 << 20, &header, &bytes, &err), TSPK_FORMAT);
    assert_non_null(strstr(err.message, "twice"));
    assert_int_equal(tspk_npz_read_array(f->npz, "c", 1 << 20, &header, &bytes, &err), TSPK_FORMAT);
    assert_non_null(strstr(err.message, "c.npy"));
    assert_null(bytes);
    assert_int_equal(tspk_npz_has_member(f->npz, "c.npy", &is_there, &err), TSPK_OK);
    assert_false(is_there);
    assert_int_equal(tspk_npz_read_array(f->images, "a", 1 << 20, &header, &bytes, &err), TSPK_IO);

    assert_int_equal(tspk_npz_reader_open(f->npz, &reader, &err), TSPK_OK);
    for (int i = 0; i < 3; i++) {
        assert_int_equal(tspk_npz_reader_next(reader, &name, &err), TSPK_OK);
        assert_string_equal(name, i ? "b.npy" : "a.npy");
        assert_int_equal(tspk_npz_reader_read(reader, 1 << 20, &bytes, &n, &err), TSPK_OK);
        assert_int_equal(n, 16384 + 128);
        free(bytes);
    }
    assert_int_equal(tspk_npz_reader_next(reader, &name, &err), TSPK_OK);
    assert_null(name);
    tspk_npz_reader_close(reader);
}

static void labels_are_whole_numbers(void **state)
{
    static const struct {
        tspk_status status;
        const char *text;
        int64_t label;
    } cases[] = {{TSPK_OK, "7", 7},
                 {TSPK_OK, " 12\r\n", 12},
                 {TSPK_OK, "+3", 3},
                 {TSPK_OK, "-0", 0},
                 {TSPK_OK, "1000000000", 1000000000},
                 {TSPK_RANGE, "1000000001", -5},
                 {TSPK_RANGE, "-1", -5},
                 {TSPK_RANGE, "99999999999999999999999999", -5},
                 {TSPK_FORMAT, "", -5},
                 {TSPK_FORMAT, " ", -5},
                 {TSPK_FORMAT, "-", -5},
                 {TSPK_FORMAT, "1.0", -5},
                 {TSPK_FORMAT, "1 2", -5},
                 {TSPK_FORMAT, "0x1", -5}};

    (void)state;
    for (size_t i = 0; i < TSPK_COUNT_OF(cases); i++) {
        int64_t label = -5;

        assert_int_equal(tspk_label_parse(cases[i].text, strlen(cases[i].text), &label, NULL),
                         cases[i].status);
        assert_int_equal(label, cases[i].label);
    }
}

static void impossible_settings_are_refused(void **state)
{
    tspk_preprocess_settings settings;

    (void)state;
    tspk_preprocess_default_settings(&settings);
    assert_int_equal(tspk_preprocess_check(&settings, NULL), TSPK_OK);
    settings.std[2] = 0.0f;
    assert_int_equal(tspk_preprocess_check(&settings, NULL), TSPK_USAGE);
    tspk_preprocess_default_settings(&settings);
    settings.channels = 2;
    assert_int_equal(tspk_preprocess_check(&settings, NULL), TSPK_USAGE);
    tspk_preprocess_default_settings(&settings);
    settings.crop = TSPK_MAX_IMAGE_SIDE + 1;
    assert_int_equal(tspk_preprocess_check(&settings, NULL), TSPK_USAGE);
}

/* Corners (n - 2) / 2 rounded half to even: 5 - 2 gives 2, 7 - 2 gives 2, 9 - 2 gives 4. */
static void crop_rounds_half_to_even(void **state)
{
    static const struct {
        uint32_t width, corner;
    } cases[] = {{2, 0}, {3, 0}, {4, 1}, {5, 2}, {6, 2}, {7, 2}, {9, 4}};

    (void)state;
    for (size_t i = 0; i < TSPK_COUNT_OF(cases); i++) {
        tspk_image image;

        assert_int_equal(tspk_image_init(&image, cases[i].width, 1, 1, NULL), TSPK_OK);
        for (uint32_t x = 0; x < cases[i].width; x++)
            image.pixels[x] = (uint8_t)(x + 1);
        assert_int_equal(tspk_image_crop(&image, 2, NULL), TSPK_OK);
        assert_int_equal(image.pixels[0], cases[i].corner + 1);
        assert_int_equal(image.pixels[1], cases[i].corner + 2);
        assert_int_equal(image.pixels[2], 0); /* padding */
        tspk_image_done(&image);
    }
}

static void sizes_are_limited_before_allocation(void **state)
{
    tspk_image image;

    (void)state;
    assert_int_equal(tspk_image_init(&image, 65501, 1, 1, NULL), TSPK_LIMIT);
    assert_int_equal(tspk_image_init(&image, 65500, 65500, 1, NULL), TSPK_LIMIT);
    assert_int_equal(tspk_image_init(&image, 0, 5, 1, NULL), TSPK_FORMAT);
    assert_int_equal(tspk_image_init(&image, 5, 5, 5, NULL), TSPK_LIMIT);
    assert_int_equal(tspk_image_init(&image, UINT64_MAX, UINT64_MAX, 1, NULL), TSPK_LIMIT);
}

static void arrays_in_memory_are_samples(void **state)
{
    static const int64_t labels[10] = {9, 8, 7, 6, 5, 4, 3, 2, 1, 0}, dim[3] = {1, 1, 2};
    static const int64_t expected[10] = {4, 9, 2, 5, 1, 7, 6, 0, 3, 8}; /* seed 0 */
    const tspk_sample_arrays pixels = {.n = 10, .dim = {1, 2, 1}, .images = idx_images + 16,
                                       .labels = labels};
    const float values[] = {0.25f, -3, 0.5f, 4};
    const tspk_sample_arrays floats = {.are_floats = true, .n = 2, .dim = {1, 1, 2},
                                       .images = values};
    tspk_dataset_settings settings;
    tspk_dataset *dataset = NULL;
    float x[2];

    (void)state;
    assert_int_equal(tspk_dataset_from_arrays(&pixels, NULL, &dataset, NULL), TSPK_OK);
    assert_int_equal(tspk_dataset_count(dataset), 10);
    for (size_t i = 0; i < 10; i++) {
        assert_int_equal(tspk_dataset_label(dataset, i), 9 - expected[i]);
        assert_int_equal(tspk_dataset_read(dataset, i, dim, x, NULL, NULL), TSPK_OK);
        assert_true(x[0] == (float)expected[i] / 255.0f && x[1] == 1.0f);
    }
    tspk_dataset_close(dataset);
    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = false;
    assert_int_equal(tspk_dataset_from_arrays(&floats, &settings, &dataset, NULL), TSPK_OK);
    assert_int_equal(tspk_dataset_label(dataset, 1), -1);
    assert_int_equal(tspk_dataset_read(dataset, 1, dim, x, NULL, NULL), TSPK_OK);
    assert_true(x[0] == 0.5f && x[1] == 4);
    tspk_dataset_close(dataset);
}

static void preprocessing_can_be_changed(void **state)
{
    static const uint8_t pixels[2 * 3 * 2] = {0, 51, 102, 153, 204, 255, 1, 2, 3, 4, 5, 6};
    const float values[] = {1, 2, 3, 4, 5, 6};
    const tspk_sample_arrays grey = {.n = 2, .dim = {3, 2, 1}, .images = pixels};
    const tspk_sample_arrays floats = {
        .are_floats = true, .n = 1, .dim = {1, 3, 2}, .images = values};
    tspk_dataset_settings settings;
    tspk_preprocess_settings changed;
    tspk_dataset *dataset;
    int64_t dim[3];
    bool are_pixels;
    float x[6];

    (void)state;
    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = false;
    changed = settings.preprocess;
    assert_int_equal(tspk_dataset_from_arrays(&grey, &settings, &dataset, NULL), TSPK_OK);
    assert_int_equal(tspk_dataset_shape(dataset, 1, &are_pixels, dim, NULL), TSPK_OK);
    assert_true(are_pixels && dim[0] == 1 && dim[1] == 3 && dim[2] == 2);
    for (int i = 0; i < 4; i++) {
        changed.mean[i] = 0.5f;
        changed.std[i] = 0.25f;
    }
    assert_int_equal(tspk_dataset_set_preprocess(dataset, &changed, NULL), TSPK_OK);
    changed.std[0] = 0;
    assert_int_equal(tspk_dataset_set_preprocess(dataset, &changed, NULL), TSPK_USAGE);
    assert_int_equal(tspk_dataset_read(dataset, 0, dim, x, NULL, NULL), TSPK_OK);
    assert_true(x[0] == -2 && x[5] == 2);
    assert_int_equal(tspk_dataset_shape(dataset, 2, &are_pixels, dim, NULL), TSPK_USAGE);
    tspk_dataset_close(dataset);
    assert_int_equal(tspk_dataset_from_arrays(&floats, &settings, &dataset, NULL), TSPK_OK);
    assert_int_equal(tspk_dataset_shape(dataset, 0, &are_pixels, dim, NULL), TSPK_OK);
    assert_true(!are_pixels && dim[0] == 1 && dim[1] == 3 && dim[2] == 2);
    tspk_dataset_close(dataset);
}

static void impossible_arrays_are_refused(void **state)
{
    static const int64_t labels[2] = {0, -1};
    const float values[] = {1, 2, 3, 4};
    const tspk_sample_arrays good = {.are_floats = true, .n = 2, .dim = {1, 1, 2},
                                     .images = values};
    tspk_sample_arrays bad = good;
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};

    (void)state;
    bad.labels = labels;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, &err), TSPK_RANGE);
    assert_non_null(strstr(err.message, "samples in memory"));
    bad = good;
    bad.n = 0;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, NULL), TSPK_FORMAT);
    bad = good;
    bad.n = SIZE_MAX;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, NULL), TSPK_LIMIT);
    bad = good;
    bad.dim[0] = -1;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, NULL), TSPK_LIMIT);
    bad = good;
    bad.images = NULL;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, NULL), TSPK_USAGE);
    bad = good;
    bad.are_floats = false;
    bad.dim[2] = 5;
    assert_int_equal(tspk_dataset_from_arrays(&bad, NULL, &dataset, NULL), TSPK_SHAPE);
    assert_null(dataset);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(arrays_in_memory_are_samples),
        cmocka_unit_test(preprocessing_can_be_changed),
        cmocka_unit_test(impossible_arrays_are_refused),
        cmocka_unit_test_setup_teardown(order_follows_the_contract, set_up, tear_down),
        cmocka_unit_test_setup_teardown(failures_leave_outputs_untouched, set_up, tear_down),
        cmocka_unit_test_setup_teardown(truncated_idx_is_refused_everywhere, set_up, tear_down),
        cmocka_unit_test_setup_teardown(images_without_elements_are_refused, set_up, tear_down),
        cmocka_unit_test_setup_teardown(npz_members_are_capped, set_up, tear_down),
        cmocka_unit_test(labels_are_whole_numbers),
        cmocka_unit_test(impossible_settings_are_refused),
        cmocka_unit_test(crop_rounds_half_to_even),
        cmocka_unit_test(sizes_are_limited_before_allocation),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
