/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Cross-validates a calibration on the calibration images alone: each fold is judged by a network
 * that was fitted on the others. Prints KL, agreement and synaptic energy per step.
 *
 *   bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS
 *               [FIRST_FOLD LAST_FOLD [FIRST_PRICES LATER_PRICES [PAIRS ...]]]
 *
 * PRICES: five numbers and commas, of linear, query, key, value and numerator sites, at step 1 and
 * from step 2 on; "-": those of convert. PAIRS: of tokens that merge a layer.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/command.h"
#include "calib/cross_validate.h"
#include "core/parallel.h"
#include "transpike/transpike.h"

#define MAX_IMAGES 1000000u
#define MAX_POINTS 8u

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

static void read_prices(const char *text, double *price)
{
    for (int k = 0; k < TSPK_SITE_KINDS && strcmp(text, "-") != 0; k++) {
        price[k] = atof(text);
        text += strcspn(text, ",");
        text += *text == ',';
    }
}

/* What one operating point answers, over all folds. */
static void print_record(const tspk_exit_record *record, const char *name)
{
    for (uint32_t t = 0; t < record->n_steps; t++) {
        double kl = 0, agreed = 0, lost = 0, energy = 0;
        const double n = (double)record->n;

        for (size_t i = 0; i < record->n; i++) {
            const size_t at = i * record->n_steps + t;

            kl += record->kl[at] / n;
            agreed += record->agrees[at] / n;
            lost += 100 * record->lost[at] / n;
            energy += record->energy[at] / n;
        }
        printf("%-9s T=%u  KL %.5f  agreement %.4f  loss %.2f  synaptic energy %.4f\n", name, t + 1,
               kl, agreed, lost, energy);
    }
    fflush(stdout);
}

static const char usage[] =
    "Cross-validates a calibration on the calibration images alone: each fold is judged by a network\n"
    "that was fitted on the others. Prints KL, agreement and synaptic energy per step.\n"
    "\n"
    "  bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS\n"
    "              [FIRST_FOLD LAST_FOLD [FIRST_PRICES LATER_PRICES [PAIRS ...]]]\n"
    "\n"
    "PRICES: five numbers and commas, of linear, query, key, value and numerator sites, at step 1 and\n"
    "from step 2 on; \"-\": those of convert. PAIRS: of tokens that merge a layer.\n";

int main(int argc, char **argv)
{
    tspk_calib_settings settings = {.coding = TSPK_CODING_DIFFERENTIAL,
                                    .options = tspk_calib_all_options(),
                                    .is_mirrored = true,
                                    .threads = tspk_parallel_max_threads()};
    tspk_exit_record record[1 + MAX_POINTS] = {{0}};
    char name[1 + MAX_POINTS][16] = {"exact"};
    tspk_merged_point point[MAX_POINTS];
    tspk_model *model = NULL;
    tspk_frame frame;
    size_t n_images, n_points = 0;
    uint32_t folds, first, last;
    float *images;
    int64_t *labels;

    tspk_bench_help(argc, argv, usage);
    if (argc < 11) {
        fprintf(stderr, "bench_calib MODEL.onnx DATA RESIZE CROP MEAN STD LEVELS STEPS IMAGES FOLDS"
                        " [FIRST_FOLD LAST_FOLD [FIRST_PRICES LATER_PRICES [PAIRS ...]]]\n");
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
    if (argc > 14) {
        read_prices(argv[13], settings.first_price);
        read_prices(argv[14], settings.later_price);
    }
    for (int i = 15; i < argc && n_points < MAX_POINTS; i++, n_points++) {
        point[n_points] =
            (tspk_merged_point){name[n_points + 1], settings.n_steps, settings.n_levels,
                                count_of(argv[i], "PAIRS", 1, MAX_IMAGES)};
        snprintf(name[n_points + 1], sizeof *name, "merge %u", point[n_points].pairs);
    }
    images = read_images(model, argv + 2, &n_images, &labels);
    must(tspk_frame_init(&frame, model, NULL, 0, &error));
    for (uint32_t fold = first; fold <= last; fold++) {
        tspk_split split;
        tspk_fit fit;

        must(tspk_split_make(&split, &frame, images, labels, n_images, folds, fold, true, &settings,
                             &error));
        must(tspk_frame_fit(&frame, split.image, split.n, &settings, &fit, &error));
        for (size_t i = 0; i <= n_points; i++) {
            if (i)
                must(tspk_frame_fit_merged(&frame, split.image, &settings, &point[i - 1], &fit,
                                           &error));
            must(tspk_exit_record_add(&record[i], fit.spikes, name[i], &split.held_out,
                                      settings.threads, &error));
            print_record(&record[i], name[i]);
        }
        tspk_spikegraph_free(fit.spikes);
        tspk_split_done(&split);
    }
    for (size_t i = 0; i <= n_points; i++)
        tspk_exit_record_done(&record[i]);
    tspk_frame_done(&frame);
    tspk_model_close(model);
    free(images);
    free(labels);
    return 0;
}
