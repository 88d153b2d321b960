/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python checks of this folder drive:
 *   data_tool npz OUT.npz                      writes arrays of every type
 *   data_tool list DATA [SEED]                 prints label, name, class name; SEED: shuffled
 *   data_tool read DATA OUT.npz C H W RESIZE CROP INTERPOLATION MEAN STD
 *                                              writes x [N, C, H, W], labels, hashes [N, 32] */
#include <inttypes.h>
#include <locale.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/compiler.h"
#include "core/parallel.h"
#include "data/npy.h"
#include "transpike/data.h"

static int report(tspk_status status, const tspk_error *err)
{
    char line[1024];

    if (status == TSPK_OK)
        return 0;
    tspk_error_format(err, line, sizeof line);
    fprintf(stderr, "data_tool: %s\n", line);
    return (int)status;
}

/* One member a type: the bytes 1, 2, 3 … read as [2, 3] elements; and shapes of rank 0, 1, 8. */
static int write_npz(const char *path)
{
    static const char *const names[] = {"f4", "f8", "f2", "i1", "u1", "i2",
                                        "u2", "i4", "u4", "i8", "u8", "b1"};
    static const tspk_shape shapes[] = {{.rank = 0},
                                        {.rank = 1, .dim = {6}},
                                        {.rank = 2, .dim = {2, 0}},
                                        {.rank = 8, .dim = {1, 1, 1, 2, 1, 1, 1, 3}}};
    const tspk_shape shape = {.rank = 2, .dim = {2, 3}};
    uint8_t bytes[48];
    tspk_npz_writer *writer = NULL;
    tspk_error err = {0};
    tspk_status status = tspk_npz_writer_open(path, &writer, &err);

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + 1);
    for (size_t i = 0; status == TSPK_OK && i < TSPK_COUNT_OF(names); i++) {
        char name[32];

        snprintf(name, sizeof name, "blocks.0\xc3\xa9/%s", names[i]);
        status = tspk_npz_writer_add(writer, name, (tspk_npy_type)i, &shape,
                                     i == TSPK_NPY_B1 ? (const void *)"\1\0\1\0\0\1" : bytes, &err);
    }
    for (size_t i = 0; status == TSPK_OK && i < TSPK_COUNT_OF(shapes); i++) {
        char name[32];

        snprintf(name, sizeof name, "shape%zu", i);
        status = tspk_npz_writer_add(writer, name, TSPK_NPY_U1, &shapes[i], bytes, &err);
    }
    if (status == TSPK_OK)
        status = tspk_npz_writer_close(writer, true, &err);
    else
        tspk_npz_writer_close(writer, false, NULL);
    return report(status, &err);
}

static int list(const char *path, const char *seed)
{
    tspk_dataset_settings settings;
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};
    tspk_status status;

    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = seed != NULL;
    settings.seed = seed ? strtoull(seed, NULL, 10) : 0;
    status = tspk_dataset_open(path, &settings, &dataset, &err);
    if (status != TSPK_OK)
        return report(status, &err);
    for (size_t i = 0; i < tspk_dataset_count(dataset); i++) {
        const int64_t label = tspk_dataset_label(dataset, i);
        const char *name = tspk_dataset_class_name(dataset, label);

        printf("%" PRId64 "\t%s\t%s\n", label, tspk_dataset_name(dataset, i), name ? name : "");
    }
    tspk_dataset_close(dataset);
    return 0;
}

typedef struct reading {
    const tspk_dataset *dataset;
    const int64_t *dim;
    size_t elems;
    float *out;
    uint8_t *hashes;
    tspk_status *statuses;
    tspk_error *errors;
} reading;

static void read_one(void *context, size_t i, int worker)
{
    const reading *r = context;

    (void)worker;
    r->statuses[i] = tspk_dataset_read(r->dataset, i, r->dim, r->out + i * r->elems,
                                       r->hashes + i * 32, &r->errors[i]);
}

static tspk_status write_all(const char *path, const reading *r, const int64_t *labels, size_t n,
                             tspk_error *err)
{
    const tspk_shape shapes[] = {{.rank = 4, .dim = {(int64_t)n, r->dim[0], r->dim[1], r->dim[2]}},
                                 {.rank = 1, .dim = {(int64_t)n}},
                                 {.rank = 2, .dim = {(int64_t)n, 32}}};
    tspk_npz_writer *writer;
    tspk_status status = tspk_npz_writer_open(path, &writer, err);

    if (status != TSPK_OK)
        return status;
    status = tspk_npz_writer_add(writer, "x", TSPK_NPY_F4, &shapes[0], r->out, err);
    if (status == TSPK_OK)
        status = tspk_npz_writer_add(writer, "labels", TSPK_NPY_I8, &shapes[1], labels, err);
    if (status == TSPK_OK)
        status = tspk_npz_writer_add(writer, "hashes", TSPK_NPY_U1, &shapes[2], r->hashes, err);
    if (status == TSPK_OK)
        return tspk_npz_writer_close(writer, true, err);
    tspk_npz_writer_close(writer, false, NULL);
    return status;
}

static int read_all(char **argv)
{
    const int64_t dim[3] = {atoll(argv[2]), atoll(argv[3]), atoll(argv[4])};
    tspk_dataset_settings settings;
    tspk_dataset *dataset = NULL;
    tspk_error err = {0};
    tspk_status status;
    int64_t *labels;
    reading r = {.dim = dim, .elems = (size_t)(dim[0] * dim[1] * dim[2])};
    size_t n;

    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = false;
    settings.preprocess.resize = (uint32_t)atoi(argv[5]);
    settings.preprocess.crop = (uint32_t)atoi(argv[6]);
    settings.preprocess.interpolation = (tspk_interpolation)atoi(argv[7]);
    for (int c = 0; c < 4; c++) {
        settings.preprocess.mean[c] = strtof(argv[8], NULL);
        settings.preprocess.std[c] = strtof(argv[9], NULL);
    }
    status = tspk_dataset_open(argv[0], &settings, &dataset, &err);
    if (status != TSPK_OK)
        return report(status, &err);
    n = tspk_dataset_count(dataset);
    r.dataset = dataset;
    r.out = calloc(n * r.elems, sizeof *r.out);
    r.hashes = calloc(n, 32);
    r.statuses = calloc(n, sizeof *r.statuses);
    r.errors = calloc(n, sizeof *r.errors);
    labels = calloc(n, sizeof *labels);
    if (!r.out || !r.hashes || !r.statuses || !r.errors || !labels)
        return (int)TSPK_NOMEM;
    tspk_parallel_for(2, n, read_one, &r);
    for (size_t i = 0; i < n && status == TSPK_OK; i++) {
        labels[i] = tspk_dataset_label(dataset, i);
        status = r.statuses[i];
        err = r.errors[i];
    }
    if (status == TSPK_OK)
        status = write_all(argv[1], &r, labels, n, &err);
    free(r.out);
    free(r.hashes);
    free(r.statuses);
    free(r.errors);
    free(labels);
    tspk_dataset_close(dataset);
    return report(status, &err);
}

int main(int argc, char **argv)
{
    setlocale(LC_ALL, "");
    if (argc == 3 && strcmp(argv[1], "npz") == 0)
        return write_npz(argv[2]);
    if ((argc == 3 || argc == 4) && strcmp(argv[1], "list") == 0)
        return list(argv[2], argc == 4 ? argv[3] : NULL);
    if (argc == 12 && strcmp(argv[1], "read") == 0)
        return read_all(argv + 2);
    fprintf(stderr, "usage: data_tool npz|list|read ARGUMENTS (see the source)\n");
    return 2;
}
