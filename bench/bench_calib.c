/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-validates a calibration: the calibration images alone, split into folds; each fold is
 * judged by a network that was fitted on the others. Prints, per step, the KL and the agreement
 * with the source network on fitted and on judged images.
 *
 *   bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS [FIRST_FOLD [LAST]]
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "calib/calibrate.h"
#include "convert/lower.h"
#include "convert/model.h"
#include "core/parallel.h"
#include "transpike/transpike.h"
#include "validate/metrics.h"

typedef struct bench {
    tspk_model *model;
    float *image; /* [n_images, elems] */
    size_t n_images, elems, n_out;
    uint32_t levels, steps, folds;
} bench;

typedef struct tally {
    double kl[TSPK_MAX_STEPS + 1], agreed[TSPK_MAX_STEPS + 1], n;
} tally;

static tspk_error error;

static void must(tspk_status status)
{
    char text[1024];

    if (status == TSPK_OK)
        return;
    tspk_error_format(&error, text, sizeof text);
    fprintf(stderr, "bench_calib: %s\n", text);
    exit(1);
}

static void must_have(const void *memory)
{
    if (memory)
        return;
    fprintf(stderr, "bench_calib: no memory\n");
    exit(1);
}

static void read_images(bench *b, char **argument)
{
    tspk_dataset_settings settings;
    tspk_dataset *data = NULL;
    const int64_t *shape = b->model->graph->value[b->model->graph->input[0]].shape.dim;

    tspk_dataset_default_settings(&settings);
    settings.preprocess.resize = (uint32_t)atoi(argument[0]);
    settings.preprocess.crop = (uint32_t)atoi(argument[1]);
    settings.preprocess.interpolation = TSPK_BICUBIC;
    for (int c = 0; c < 4; c++) {
        settings.preprocess.mean[c] = (float)atof(argument[2]);
        settings.preprocess.std[c] = (float)atof(argument[3]);
    }
    must(tspk_dataset_open(argument[-1], &settings, &data, &error));
    b->elems = (size_t)(shape[1] * shape[2] * shape[3]);
    if (tspk_dataset_count(data) < b->n_images)
        b->n_images = tspk_dataset_count(data);
    b->image = malloc(b->n_images * b->elems * sizeof(float));
    must_have(b->image);
    for (size_t i = 0; i < b->n_images; i++)
        must(tspk_dataset_read(data, i, shape + 1, b->image + i * b->elems, NULL, &error));
    tspk_dataset_close(data);
}

/* The images of one fold moved to the end; returns how many stay in front. */
static size_t split(const bench *b, uint32_t fold, float *to)
{
    size_t at = 0, n_fitted;

    for (size_t i = 0; i < b->n_images; i++)
        if (i % b->folds != fold)
            memcpy(to + at++ * b->elems, b->image + i * b->elems, b->elems * sizeof(float));
    n_fitted = at;
    for (size_t i = fold; i < b->n_images; i += b->folds)
        memcpy(to + at++ * b->elems, b->image + i * b->elems, b->elems * sizeof(float));
    return n_fitted;
}

static void count(tally *to, const float *logits, size_t n_out, uint32_t steps)
{
    to->n++;
    for (uint32_t t = 1; t <= steps; t++) {
        const float *spiking = logits + t * n_out;

        to->kl[t] += tspk_kl_of_logits(logits, spiking, n_out);
        to->agreed[t] += tspk_find_largest(logits, n_out) == tspk_find_largest(spiking, n_out);
    }
}

static void run_fold(const bench *b, uint32_t fold, tally *fitted, tally *judged)
{
    const tspk_calib_settings settings = {.n_steps = b->steps,
                                          .n_levels = b->levels,
                                          .coding = TSPK_CODING_DIFFERENTIAL,
                                          .options = tspk_calib_all_options(),
                                          .threads = tspk_parallel_max_threads()};
    float *image = malloc(b->n_images * b->elems * sizeof *image), *logits;
    const size_t n_fitted = split(b, fold, image);
    tspk_arena *scratch = tspk_arena_new(0);
    tspk_graph *source = NULL;
    tspk_spikegraph *spikes = NULL;
    tspk_structure structure;
    size_t n_out;

    must(tspk_graph_clone(b->model->graph, &source, &error));
    must(tspk_keep_class_output(source, &error));
    must(tspk_find_structure(source, scratch, &structure, &error));
    must(tspk_lower(source, &structure, NULL, 0, &spikes, &error));
    n_out = tspk_shape_elems(&source->value[source->output[0]].shape);
    logits = malloc(b->n_images * (b->steps + 1) * n_out * sizeof *logits);
    must_have(logits);
    must(tspk_calibrate(spikes, source, image, b->n_images, n_fitted, &settings, logits, &error));
    for (size_t i = 0; i < b->n_images; i++)
        count(i < n_fitted ? fitted : judged, logits + i * (b->steps + 1) * n_out, n_out, b->steps);
    tspk_spikegraph_free(spikes);
    tspk_graph_free(source);
    tspk_arena_free(scratch);
    free(image);
    free(logits);
}

int main(int argc, char **argv)
{
    bench b = {0};
    tally fitted = {.n = 0}, judged = {.n = 0};
    uint32_t first, last;

    if (argc < 11) {
        fprintf(stderr, "bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS"
                        " [FIRST_FOLD [LAST]]\n");
        return 1;
    }
    tspk_error_init(&error);
    must(tspk_model_open(argv[1], NULL, &b.model, &error));
    b.levels = (uint32_t)atoi(argv[7]);
    b.steps = (uint32_t)atoi(argv[8]);
    b.n_images = (size_t)atoi(argv[9]);
    b.folds = (uint32_t)atoi(argv[10]);
    first = argc > 11 ? (uint32_t)atoi(argv[11]) : 0;
    last = argc > 12 ? (uint32_t)atoi(argv[12]) : argc > 11 ? first : b.folds - 1;
    read_images(&b, argv + 3);
    for (uint32_t fold = first; fold <= last; fold++)
        run_fold(&b, fold, &fitted, &judged);
    for (uint32_t t = 1; t <= b.steps; t++)
        printf("T=%u  fitted: KL %.5f agreement %.4f  judged: KL %.5f agreement %.4f\n", t,
               fitted.kl[t] / fitted.n, fitted.agreed[t] / fitted.n, judged.kl[t] / judged.n,
               judged.agreed[t] / judged.n);
    tspk_model_close(b.model);
    free(b.image);
    return 0;
}
