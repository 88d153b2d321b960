/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Converts a network with some ingredients of calibration and validates it: a row of the table of
 * bench/ablation.sh for each step.
 *
 *   bench_ablation BASE.spike MODEL.onnx DATA LABEL INGREDIENTS [LIMIT]
 *
 * BASE.spike, made by `transpike convert`, gives levels, steps, seed, preprocessing and the number
 * of calibration images, which validation leaves out. INGREDIENTS are names joined by commas, or
 * "none", which is ECMT's published rule, or "all", which is `convert` itself. LIMIT 0: all images.
 * A BASE.spike of another coding, preset or search, without mirror images or with layers kept
 * analog is refused: the rows would not have these in common with it.
 */
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "bench/command.h"
#include "calib/calibrate.h"
#include "core/spike_handle.h"
#include "transpike/transpike.h"

typedef struct ingredient {
    const char *name;
    size_t at; /* of its switch in tspk_calib_options */
} ingredient;

static const ingredient ingredients[] = {
    {"per-channel", offsetof(tspk_calib_options, is_per_channel)},
    {"nearest-level", offsetof(tspk_calib_options, is_nearest)},
    {"differential", offsetof(tspk_calib_options, is_sequential)},
    {"site-ladders", offsetof(tspk_calib_options, has_site_ladders)},
    {"prior", offsetof(tspk_calib_options, has_prior)},
    {"compensation", offsetof(tspk_calib_options, is_compensated)},
    {"signed-ladders", offsetof(tspk_calib_options, has_signed_ladders)},
    {"class-token", offsetof(tspk_calib_options, has_class_populations)},
    {"mirror-images", offsetof(tspk_calib_options, is_mirrored)},
    {"price", offsetof(tspk_calib_options, is_priced)},
};

static tspk_error error;

static void must(tspk_status status)
{
    tspk_bench_must(status, &error);
}

static void choose(char *names, tspk_calib_options *options)
{
    const size_t n = sizeof ingredients / sizeof *ingredients;

    *options = (tspk_calib_options){0};
    if (!strcmp(names, "all"))
        *options = tspk_calib_all_options();
    if (!strcmp(names, "all") || !strcmp(names, "none"))
        return;
    for (char *name = strtok(names, ","); name; name = strtok(NULL, ",")) {
        size_t i = 0;

        while (i < n && strcmp(ingredients[i].name, name))
            i++;
        if (i == n) {
            fprintf(stderr, "bench_ablation: no ingredient is called %s\n", name);
            exit(2);
        }
        *(bool *)((char *)options + ingredients[i].at) = true;
    }
}

static double number(const cJSON *json, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

    return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

static void print_share(double share)
{
    if (share < 0)
        printf(" - |");
    else
        printf(" %.2f %% |", 100 * share);
}

static void print_rows(const char *label, const char *text)
{
    cJSON *json = cJSON_Parse(text);
    const cJSON *step;

    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(
                                 cJSON_GetObjectItemCaseSensitive(json, "snn"), "steps"))
    {
        printf("| %s | %.0f |", label, number(step, "t"));
        print_share(number(step, "top1"));
        print_share(number(step, "agreement"));
        printf(" %.5f | %.3f |\n", number(step, "kl"), number(step, "energy_synaptic"));
    }
    fflush(stdout);
    cJSON_Delete(json);
}

static bool is_text(const cJSON *json, const char *name, const char *wanted)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(json, name);

    return cJSON_IsString(item) && !strcmp(item->valuestring, wanted);
}

/* What rows do not take over from the base has to be what they set themselves. */
static void check_base(const tspk_spikegraph *graph)
{
    cJSON *json = cJSON_Parse(graph->provenance.settings);
    const char *lost = NULL;

    if (!is_text(json, "preset", "default"))
        lost = "its preset";
    else if (!is_text(json, "coding", "differential"))
        lost = "its coding";
    else if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "mirror")))
        lost = "--mirror off";
    else if (cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(json, "keep_analog")))
        lost = "--keep-analog";
    else if (graph->n_points > 1)
        lost = "its budget";
    cJSON_Delete(json);
    if (lost) {
        fprintf(stderr, "bench_ablation: %s of the base file would be lost\n", lost);
        exit(2);
    }
}

static const char usage[] =
    "Converts a network with some ingredients of calibration and validates it: a row of the table "
    "of\n"
    "bench/ablation.sh for each step.\n"
    "\n"
    "  bench_ablation BASE.spike MODEL.onnx DATA LABEL INGREDIENTS [LIMIT]\n"
    "\n"
    "BASE.spike, made by `transpike convert`, gives levels, steps, seed, preprocessing and the "
    "number\n"
    "of calibration images, which validation leaves out. INGREDIENTS are names joined by commas, "
    "or\n"
    "\"none\", which is ECMT's published rule, or \"all\", which is `convert` itself. LIMIT 0: all "
    "images.\n"
    "A BASE.spike of another coding, preset or search, without mirror images or with layers kept\n"
    "analog is refused: the rows would not have these in common with it.\n";

int main(int argc, char **argv)
{
    tspk_convert_settings convert;
    tspk_validate_settings validate;
    tspk_dataset_settings samples;
    tspk_calib_options options;
    tspk_spike_info info;
    tspk_spike *base = NULL, *spike = NULL;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    char *text = NULL;

    tspk_bench_help(argc, argv, usage);
    if (argc < 6 || argc > 7) {
        fprintf(stderr, "usage: bench_ablation BASE.spike MODEL.onnx DATA LABEL INGREDIENTS "
                        "[LIMIT]\n");
        return 2;
    }
    choose(argv[5], &options);
    tspk_error_init(&error);
    must(tspk_spike_open(argv[1], &base, &error));
    check_base(base->graph);
    tspk_spike_info_get(base, &info);
    must(tspk_model_open(argv[2], NULL, &model, &error));
    tspk_dataset_default_settings(&samples);
    samples.seed = info.seed;
    samples.preprocess = info.preprocess;
    must(tspk_dataset_open(argv[3], &samples, &data, &error));
    tspk_convert_default_settings(&convert);
    convert.calibration_images = info.calibration_images;
    convert.steps = info.steps;
    convert.levels = info.levels;
    convert.seed = info.seed;
    convert.preprocess = info.preprocess;
    convert.is_rate = !options.is_sequential;
    must(tspk_convert_with(model, data, &convert, &options, &spike, &error));
    tspk_validate_default_settings(&validate);
    validate.skip = info.calibration_images;
    validate.limit = argc > 6 ? (size_t)strtoull(argv[6], NULL, 10) : 0;
    validate.is_untimed = true;
    must(tspk_validate(spike, model, data, &validate, &text, &error));
    print_rows(argv[4], text);
    tspk_text_free(text);
    tspk_spike_close(spike);
    tspk_spike_close(base);
    tspk_dataset_close(data);
    tspk_model_close(model);
    return 0;
}
