/* SPDX-License-Identifier: Apache-2.0 */
/* A toy network through tspk_validate(), against the same figures worked out here one image at a
 * time. Files lie in the current folder. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>
#include <cmocka.h>

#include "convert/model.h"
#include "core/spike_handle.h"
#include "tests/spikefile/tiny_spikegraph.h"
#include "transpike/transpike.h"

enum { IMAGES = 21, STEPS = 3 };

typedef struct fixture {
    tspk_spike spike;
    tspk_model model;
    char images[64], labels[64];
    float image[IMAGES][TINY_IMAGE_ELEMS];
    int64_t label[IMAGES];
} fixture;

static void write_samples(fixture *f)
{
    const tspk_array images = {.dtype = 1, .rank = 4, .dim = {IMAGES, 1, 8, 8}, .data = f->image};
    const tspk_array labels = {.dtype = 2, .rank = 1, .dim = {IMAGES}, .data = f->label};

    assert_int_equal(tspk_array_write(f->images, &images, NULL), TSPK_OK);
    assert_int_equal(tspk_array_write(f->labels, &labels, NULL), TSPK_OK);
}

static int set_up(void **state)
{
    tiny_settings tiny = tiny_default_settings(5);
    fixture *f = calloc(1, sizeof *f);

    tiny.n_steps = STEPS;
    f->spike.graph = tiny_spikegraph_new(&tiny, &f->model.graph);
    memset(f->spike.graph->graph->source_sha256, '7', 64);
    memset(f->model.graph->source_sha256, '7', 64);
    snprintf(f->images, sizeof f->images, "validate_%ld.npy", (long)getpid());
    snprintf(f->labels, sizeof f->labels, "validate_%ld_labels.npy", (long)getpid());
    for (int i = 0; i < IMAGES; i++) {
        tiny_image(100 + (uint64_t)i, f->image[i]);
        f->label[i] = i % TINY_CLASSES;
    }
    write_samples(f);
    *state = f;
    return 0;
}

static int tear_down(void **state)
{
    fixture *f = *state;

    unlink(f->images);
    unlink(f->labels);
    tspk_spikegraph_free(f->spike.graph);
    tspk_graph_free(f->model.graph);
    free(f);
    return 0;
}

static tspk_dataset *open_data(const fixture *f)
{
    tspk_dataset_settings settings;
    tspk_dataset *data = NULL;

    tspk_dataset_default_settings(&settings);
    settings.is_shuffled = false;
    assert_int_equal(tspk_dataset_open(f->images, &settings, &data, NULL), TSPK_OK);
    return data;
}

static tspk_status validate(const fixture *f, const tspk_validate_settings *settings,
                            cJSON **json_out, tspk_error *err)
{
    tspk_dataset *data = open_data(f);
    char *text = NULL;
    const tspk_status status = tspk_validate(&f->spike, &f->model, data, settings, &text, err);

    if (status == TSPK_OK && json_out)
        *json_out = cJSON_Parse(text);
    else if (status != TSPK_OK)
        assert_null(text);
    tspk_text_free(text);
    tspk_dataset_close(data);
    return status;
}

static size_t largest(const float *logits)
{
    size_t best = 0;

    for (size_t i = 1; i < TINY_CLASSES; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

static double divergence(const float *a, const float *b)
{
    double sum_a = 0, sum_b = 0, kl = 0;

    for (int i = 0; i < TINY_CLASSES; i++) {
        sum_a += exp((double)a[i]);
        sum_b += exp((double)b[i]);
    }
    for (int i = 0; i < TINY_CLASSES; i++) {
        const double p = exp((double)a[i]) / sum_a, q = exp((double)b[i]) / sum_b;

        kl += p * log(p / q);
    }
    return kl;
}

typedef struct figures {
    double ann_top1, top1, agreement, kl, energy, firing;
} figures;

/* Of step t over images [first, IMAGES). */
static figures expected_figures(const fixture *f, size_t first, uint32_t t)
{
    figures sum = {0};
    double spikes = 0, neurons = 0;
    const double n = (double)(IMAGES - first);
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_ann *ann = NULL;

    tspk_session_default_settings(&settings);
    assert_int_equal(tspk_session_open(&f->spike, &settings, &session, NULL), TSPK_OK);
    assert_int_equal(tspk_ann_open(&f->model, 1, &ann, NULL), TSPK_OK);
    for (size_t i = first; i < IMAGES; i++) {
        float source[TINY_CLASSES], logits[STEPS][TINY_CLASSES];
        tspk_step_work work[STEPS];
        const void *in[1] = {f->image[i]};
        void *out[1] = {source};

        assert_int_equal(tspk_ann_run(ann, 1, in, out, NULL), TSPK_OK);
        assert_int_equal(tspk_session_run(session, 1, f->image[i], logits[0], work, NULL), TSPK_OK);
        sum.ann_top1 += largest(source) == (size_t)f->label[i];
        sum.top1 += largest(logits[t]) == (size_t)f->label[i];
        sum.agreement += largest(logits[t]) == largest(source);
        sum.kl += divergence(source, logits[t]);
        sum.energy += work[t].energy_synaptic;
        spikes += (double)work[t].spikes;
        neurons += (double)work[t].neurons;
    }
    tspk_ann_close(ann);
    tspk_session_close(session);
    return (figures){sum.ann_top1 / n, sum.top1 / n,   sum.agreement / n,
                     sum.kl / n,       sum.energy / n, spikes / neurons};
}

static double number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItem(json, name);

    assert_true(cJSON_IsNumber(item));
    return item->valuedouble;
}

static void assert_near(double a, double b)
{
    assert_true(fabs(a - b) <= 1e-6 * fmax(1e-3, fabs(b)));
}

static void figures_are_those_of_single_images(void **state)
{
    const fixture *f = *state;
    static const uint32_t batches[] = {1, 4, 64};

    for (size_t k = 0; k < 3; k++) {
        tspk_validate_settings settings;
        cJSON *json = NULL, *steps;

        tspk_validate_default_settings(&settings);
        settings.batch = batches[k];
        settings.threads = (int)k + 1;
        settings.skip = 2;
        assert_int_equal(validate(f, &settings, &json, NULL), TSPK_OK);
        assert_near(number(json, "images"), IMAGES - 2);
        assert_near(number(json, "batch"), batches[k]);
        assert_near(number(json, "calibration_overlap"), 0);
        steps = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps");
        assert_int_equal(cJSON_GetArraySize(steps), STEPS);
        for (uint32_t t = 0; t < STEPS; t++) {
            const figures want = expected_figures(f, 2, t);
            const cJSON *step = cJSON_GetArrayItem(steps, (int)t);

            assert_near(number(step, "t"), t + 1);
            assert_near(number(cJSON_GetObjectItem(json, "ann"), "top1"), want.ann_top1);
            assert_near(number(step, "top1"), want.top1);
            assert_near(number(step, "top5"), 1);
            assert_near(number(step, "agreement"), want.agreement);
            assert_near(number(step, "kl"), want.kl);
            assert_near(number(step, "energy_synaptic"), want.energy);
            assert_near(number(step, "firing_rate"), want.firing);
            assert_true(number(step, "ms_per_image") > 0);
        }
        assert_true(number(cJSON_GetObjectItem(json, "ann"), "ms_per_image") > 0);
        cJSON_Delete(json);
    }
}

static void fewer_steps_are_the_first_ones(void **state)
{
    tspk_validate_settings settings;
    const figures want = expected_figures(*state, 0, 0);
    cJSON *json = NULL, *steps;

    tspk_validate_default_settings(&settings);
    settings.steps = 1;
    assert_int_equal(validate(*state, &settings, &json, NULL), TSPK_OK);
    steps = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps");
    assert_int_equal(cJSON_GetArraySize(steps), 1);
    assert_near(number(cJSON_GetArrayItem(steps, 0), "kl"), want.kl);
    cJSON_Delete(json);
}

static void calibrated_images_are_counted(void **state)
{
    fixture *f = *state;
    tspk_provenance *provenance = &f->spike.graph->provenance;
    const tspk_provenance kept = *provenance;
    const int64_t dim[3] = {1, 8, 8};
    uint8_t hash[2][32];
    float image[TINY_IMAGE_ELEMS];
    tspk_dataset *data = open_data(f);
    cJSON *json = NULL;

    assert_int_equal(tspk_dataset_read(data, 3, dim, image, hash[0], NULL), TSPK_OK);
    assert_int_equal(tspk_dataset_read(data, 9, dim, image, hash[1], NULL), TSPK_OK);
    tspk_dataset_close(data);
    provenance->calibration_hash = hash;
    provenance->n_calibration = 2;
    assert_int_equal(validate(f, NULL, &json, NULL), TSPK_OK);
    *provenance = kept;
    assert_near(number(json, "calibration_overlap"), 2);
    cJSON_Delete(json);
}

static void wrong_labels_are_named(void **state)
{
    fixture *f = *state;
    tspk_error err;

    tspk_error_init(&err);
    f->label[7] = TINY_CLASSES;
    write_samples(f);
    assert_int_equal(validate(f, NULL, NULL, &err), TSPK_RANGE);
    assert_non_null(strstr(err.message, "7: label 5, the network has 5 classes"));
    f->label[7] = 7 % TINY_CLASSES;
    write_samples(f);
}

static void without_labels_there_is_no_accuracy(void **state)
{
    const fixture *f = *state;
    cJSON *json = NULL, *step;

    unlink(f->labels);
    assert_int_equal(validate(f, NULL, &json, NULL), TSPK_OK);
    step = cJSON_GetArrayItem(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps"), 0);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(step, "top1")));
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetObjectItem(json, "ann"), "top5")));
    assert_true(number(step, "kl") >= 0);
    cJSON_Delete(json);
}

static void impossible_settings_are_refused(void **state)
{
    tspk_validate_settings settings;
    fixture *f = *state;
    tspk_error err;

    tspk_validate_default_settings(&settings);
    settings.skip = IMAGES;
    assert_int_equal(validate(f, &settings, NULL, &err), TSPK_RANGE);
    settings.skip = 0;
    settings.steps = STEPS + 1;
    assert_int_equal(validate(f, &settings, NULL, &err), TSPK_RANGE);
    settings.steps = 0;
    settings.batch = 0;
    assert_int_equal(validate(f, &settings, NULL, &err), TSPK_USAGE);
    f->model.graph->source_sha256[0] = '8';
    assert_int_equal(validate(f, NULL, NULL, &err), TSPK_MISMATCH);
    settings.batch = 16;
    settings.is_forced = true;
    assert_int_equal(validate(f, &settings, NULL, &err), TSPK_OK);
}

static double number_at(const cJSON *site, const char *name, int t)
{
    return cJSON_GetArrayItem(cJSON_GetObjectItem(site, name), t - 1)->valuedouble;
}

/* Replaces the network by one of these settings, of the same seed. */
static void make_network(fixture *f, const tiny_settings *tiny)
{
    tspk_spikegraph_free(f->spike.graph);
    tspk_graph_free(f->model.graph);
    f->spike.graph = tiny_spikegraph_new(tiny, &f->model.graph);
    memset(f->spike.graph->graph->source_sha256, '7', 64);
    memset(f->model.graph->source_sha256, '7', 64);
}

/* With weights of 16 bits and every step's ladder finer than the last, a site that spikes alone
 * does no more damage in the end; and once all sites spike, the walk is the network itself. */
static void check_layers(fixture *f, const tiny_settings *tiny)
{
    const int steps = (int)tiny->n_steps;
    tspk_validate_settings settings;
    cJSON *json, *layers, *all;
    double largest_first = 0;
    tspk_error err;

    make_network(f, tiny);
    tspk_validate_default_settings(&settings);
    settings.has_layers = settings.is_untimed = true;
    settings.limit = IMAGES;
    assert_int_equal(validate(f, &settings, &json, &err), TSPK_OK);
    layers = cJSON_GetObjectItem(json, "layers");
    all = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps");
    assert_int_equal(cJSON_GetArraySize(layers), f->spike.graph->n_sites);
    assert_int_equal(cJSON_GetObjectItem(json, "layer_images")->valueint, IMAGES);
    assert_true(cJSON_IsNull(cJSON_GetObjectItem(cJSON_GetArrayItem(all, 0), "ms_per_image")));
    for (int s = 0; s < cJSON_GetArraySize(layers); s++) {
        const cJSON *site = cJSON_GetArrayItem(layers, s);

        assert_string_equal(cJSON_GetObjectItem(site, "site")->valuestring,
                            f->spike.graph->site[s].name);
        assert_true(number_at(site, "kl_alone", steps) < 2e-5);
        assert_true(number_at(site, "snr_db", steps) > number_at(site, "snr_db", 1) + 10);
        largest_first = fmax(largest_first, number_at(site, "kl_alone", 1));
        for (int t = 1; t <= steps; t++)
            assert_true(number_at(site, "rate", t) >= 0 && number_at(site, "rate", t) <= 1);
    }
    assert_true(largest_first > 1e-4);
    for (int t = 1; t <= steps; t++) {
        const cJSON *last = cJSON_GetArrayItem(layers, (int)f->spike.graph->n_sites - 1);
        const double kl = cJSON_GetObjectItem(cJSON_GetArrayItem(all, t - 1), "kl")->valuedouble;

        assert_true(fabs(number_at(last, "kl_cumulative", t) - kl) < 0.02 * kl + 1e-8);
    }
    cJSON_Delete(json);
}

static void layers_are_diagnosed(void **state)
{
    tiny_settings tiny = tiny_default_settings(5);

    tiny.n_steps = 8;
    tiny.weight_bits = 16;
    check_layers(*state, &tiny);
    tiny.is_quotient = true;
    check_layers(*state, &tiny);
    tiny.is_quotient = false;
    tiny.is_max_fixed = true;
    check_layers(*state, &tiny);
    tiny.has_analog = true;
    check_layers(*state, &tiny);
}

/* In rate coding too the last site's figures are those of the network. */
static void layers_of_rate_coding_add_up(void **state)
{
    tiny_settings tiny = tiny_default_settings(5);
    tspk_validate_settings settings;
    fixture *f = *state;
    tspk_error err;

    tiny.n_steps = STEPS;
    tiny.coding = TSPK_CODING_RATE;
    make_network(f, &tiny);
    tspk_validate_default_settings(&settings);
    settings.has_layers = settings.is_untimed = true;
    settings.limit = IMAGES;
    for (int threads = 1; threads <= 3; threads++) {
        cJSON *json, *layers, *all;

        settings.threads = threads;
        assert_int_equal(validate(f, &settings, &json, &err), TSPK_OK);
        layers = cJSON_GetObjectItem(json, "layers");
        all = cJSON_GetObjectItem(cJSON_GetObjectItem(json, "snn"), "steps");
        for (int t = 1; t <= STEPS; t++) {
            const cJSON *last = cJSON_GetArrayItem(layers, TINY_SITES - 1);
            const double kl =
                cJSON_GetObjectItem(cJSON_GetArrayItem(all, t - 1), "kl")->valuedouble;

            assert_true(fabs(number_at(last, "kl_cumulative", t) - kl) < 0.02 * kl);
        }
        cJSON_Delete(json);
    }
}

/* Nodes are matched one by one, even when another source is forced upon it. */
static void layers_need_the_source_network(void **state)
{
    tiny_settings other = tiny_default_settings(5);
    tspk_validate_settings settings;
    fixture *f = *state;
    tspk_error err;

    make_network(f, &other);
    tspk_validate_default_settings(&settings);
    settings.has_layers = settings.is_untimed = settings.is_forced = true;
    f->model.graph->node[f->model.graph->n_nodes - 1].op = TSPK_OP_IDENTITY;
    assert_int_equal(validate(f, &settings, NULL, &err), TSPK_MISMATCH);
    assert_non_null(strstr(err.message, "Identity in the source network"));
}

static int stop_at_once(void *context, const char *phase, size_t done, size_t total)
{
    (void)phase;
    (void)done;
    (void)total;
    (*(int *)context)++;
    return 1;
}

static void progress_can_stop_it(void **state)
{
    tspk_validate_settings settings;
    tspk_error err;
    int calls = 0;

    tspk_validate_default_settings(&settings);
    settings.progress = stop_at_once;
    settings.progress_context = &calls;
    assert_int_equal(validate(*state, &settings, NULL, &err), TSPK_INTERRUPTED);
    assert_int_equal(calls, 1);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, set_up, tear_down)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(figures_are_those_of_single_images),
        TEST(fewer_steps_are_the_first_ones),
        TEST(calibrated_images_are_counted),
        TEST(wrong_labels_are_named),
        TEST(without_labels_there_is_no_accuracy),
        TEST(impossible_settings_are_refused),
        TEST(progress_can_stop_it),
        TEST(layers_are_diagnosed),
        TEST(layers_of_rate_coding_add_up),
        TEST(layers_need_the_source_network),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
