/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-validates a calibration on the calibration images alone: each fold is judged by a network
 * that was fitted on the others. Prints KL, agreement and synaptic energy per step.
 *
 *   bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS
 *               [FIRST_FOLD LAST_FOLD [PRICES]]
 *
 * PRICES: five numbers, of linear, query, key, value and numerator sites from step 2 on.
 */
#include <stdio.h>
#include <stdlib.h>

#include "bench/command.h"
#include "calib/cross_validate.h"
#include "core/parallel.h"
#include "transpike/transpike.h"

#define MAX_IMAGES 1000000u

static tspk_error error;

static void must(tspk_status status)
{
    tspk_bench_must(status, &error);
}

static uint32_t count_of(const char *text, const char *name, uint32_t least, uint32_t most)
{
    char *end;
    const long count = strtol(text, &end, 10);

    if (end == text || *end || count < (long)least || count > (long)most) {
        fprintf(stderr, "bench_calib: %s is %s, expected %u to %u\n", name, text, least, most);
        exit(2);
    }
    return (uint32_t)count;
}

/* The first images in the shuffle of seed 0, bicubic. */
static float *read_images(const tspk_model *model, char **argument, size_t *n, int64_t **labels_out)
{
    const int64_t *shape = model->graph->value[model->graph->input[0]].shape.dim;
    const size_t elems = (size_t)(shape[1] * shape[2] * shape[3]);
    tspk_dataset_settings settings;
    tspk_dataset *data = NULL;
    float *images;

    tspk_dataset_default_settings(&settings);
    settings.preprocess.resize = (uint32_t)atoi(argument[1]);
    settings.preprocess.crop = (uint32_t)atoi(argument[2]);
    settings.preprocess.interpolation = TSPK_BICUBIC;
    for (int c = 0; c < 4; c++) {
        settings.preprocess.mean[c] = (float)atof(argument[3]);
        settings.preprocess.std[c] = (float)atof(argument[4]);
    }
    must(tspk_dataset_open(argument[0], &settings, &data, &error));
    if (tspk_dataset_count(data) < *n)
        *n = tspk_dataset_count(data);
    images = tspk_bench_memory(malloc(*n * elems * sizeof *images));
    *labels_out = tspk_bench_memory(malloc(*n * sizeof **labels_out));
    for (size_t i = 0; i < *n; i++) {
        must(tspk_dataset_read(data, i, shape + 1, images + i * elems, NULL, &error));
        (*labels_out)[i] = tspk_dataset_label(data, i);
    }
    tspk_dataset_close(data);
    return images;
}

int main(int argc, char **argv)
{
    tspk_calib_settings settings = {.coding = TSPK_CODING_DIFFERENTIAL,
                                    .options = tspk_calib_all_options(),
                                    .is_mirrored = true,
                                    .threads = tspk_parallel_max_threads()};
    tspk_judgement sums[TSPK_MAX_STEPS] = {{0}};
    tspk_model *model = NULL;
    tspk_frame frame;
    size_t n_images, n_judged = 0;
    uint32_t folds, first, last;
    float *images, *source;
    int64_t *labels;

    if (argc < 11) {
        fprintf(stderr, "bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS"
                        " [FIRST_FOLD LAST_FOLD [PRICES]]\n");
        return 1;
    }
    settings.n_levels = count_of(argv[7], "LEVELS", 1, TSPK_MAX_LEVELS);
    settings.n_steps = count_of(argv[8], "STEPS", 1, TSPK_MAX_STEPS);
    n_images = count_of(argv[9], "IMAGES", 2, MAX_IMAGES);
    folds = count_of(argv[10], "FOLDS", 2, (uint32_t)n_images);
    first = argc > 12 ? count_of(argv[11], "FIRST_FOLD", 0, folds - 1) : 0;
    last = argc > 12 ? count_of(argv[12], "LAST_FOLD", first, folds - 1) : folds - 1;
    tspk_error_init(&error);
    must(tspk_model_open(argv[1], NULL, &model, &error));
    tspk_calib_default_price(&settings);
    for (int k = 0; k < TSPK_SITE_KINDS && argc > 13 + k; k++)
        settings.later_price[k] = atof(argv[13 + k]);
    images = read_images(model, argv + 2, &n_images, &labels);
    must(tspk_frame_init(&frame, model, NULL, 0, &error));
    source = tspk_bench_memory(malloc(n_images * frame.classes * sizeof *source));
    must(tspk_source_logits(&frame, images, n_images, settings.threads, source, &error));
    for (uint32_t fold = first; fold <= last; fold++) {
        size_t n = 0;

        must(tspk_judge_fold(&frame, images, labels, source, n_images, folds, fold, &settings, sums,
                             &n, NULL, NULL, &error));
        n_judged += n;
    }
    for (uint32_t t = 0; t < settings.n_steps; t++)
        printf("T=%u  KL %.5f  agreement %.4f  top-1 %.4f  synaptic energy %.4f  firing %.4f\n",
               t + 1, sums[t].kl / (double)n_judged, sums[t].agreed / (double)n_judged,
               sums[t].correct / (double)n_judged, sums[t].energy_synaptic / (double)n_judged,
               sums[t].firing_rate / (double)n_judged);
    tspk_frame_done(&frame);
    tspk_model_close(model);
    free(images);
    free(labels);
    free(source);
    return 0;
}
