/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/broken.h"
#include "cli/commands.h"
#include "cli/html_report.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/source.h"

#define MOST_RANKS 20 /* sites in the table */

/* Everything that one `validate` holds. */
typedef struct validation {
    tspk_spike *spike;
    tspk_model *model;
    tspk_dataset *data;
    tspk_cli_progress progress;
    tspk_cli_broken broken;
    char *json;
} validation;

/* Prints a share as per cent, or "-". */
static void print_share(const cJSON *row, const char *name)
{
    const double share = tspk_cli_json_number(row, name, -1);

    if (share < 0)
        printf("  %7s", "-");
    else
        printf("  %6.2f%%", 100 * share);
}

static void print_number(const cJSON *row, const char *name, const char *format, const char *none)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(row, name);

    if (cJSON_IsNumber(item))
        printf(format, item->valuedouble);
    else
        printf("%s", none);
}

static void print_modes(const cJSON *modes)
{
    const cJSON *mode;

    if (cJSON_GetArraySize(modes) > 0)
        printf("\n%-9s  %-10s  %5s  %6s\n", "mode", "policy", "steps", "tokens");
    cJSON_ArrayForEach(mode, modes)
    {
        printf("%-9s  %-10s  %5.2f  %6.3f", tspk_cli_json_text(mode, "mode", ""),
               tspk_cli_json_text(mode, "policy", ""), tspk_cli_json_number(mode, "mean_steps", 0),
               tspk_cli_json_number(mode, "mean_tokens", 1));
        print_share(mode, "top1");
        print_share(mode, "top5");
        print_share(mode, "agreement");
        print_number(mode, "kl", "  %8.5f", "         -");
        print_number(mode, "energy_synaptic", "  %8.3f", "         -");
        print_number(mode, "energy_full", "%8.3f", "       -");
        print_number(mode, "ms_per_image", "  %8.3f", "         -");
        printf("\n");
    }
}

static void print_table(const cJSON *json)
{
    const cJSON *ann = cJSON_GetObjectItemCaseSensitive(json, "ann");
    const cJSON *snn = cJSON_GetObjectItemCaseSensitive(json, "snn");
    const cJSON *step;

    const double images = tspk_cli_json_number(json, "images", 0);
    const double threads = tspk_cli_json_number(json, "threads", 0);

    printf("%.0f image%s, %.0f thread%s, batch %.0f\n\n", images, images == 1 ? "" : "s", threads,
           threads == 1 ? "" : "s", tspk_cli_json_number(json, "batch", 0));
    printf("%4s  %7s  %7s  %9s  %8s  %24s  %7s  %8s\n", "", "", "", "", "", "energy / ANN's energy",
           "firing", "ms per");
    printf("%4s  %7s  %7s  %9s  %8s  %8s%8s%8s  %7s  %8s\n", "t", "top-1", "top-5", "agreement",
           "KL", "synaptic", "full", "q. ANN", "rate", "image");
    printf("%4s", "ANN");
    print_share(ann, "top1");
    print_share(ann, "top5");
    printf("  %9s  %8s  %8s%8s%8s  %7s", "", "", "1", "1", "", "");
    print_number(ann, "ms_per_image", "  %8.3f", "         -");
    printf("\n");
    cJSON_ArrayForEach(step, cJSON_GetObjectItemCaseSensitive(snn, "steps"))
    {
        printf("%4.0f", tspk_cli_json_number(step, "t", 0));
        print_share(step, "top1");
        print_share(step, "top5");
        printf("  ");
        print_share(step, "agreement");
        print_number(step, "kl", "  %8.5f", "         -");
        print_number(step, "energy_synaptic", "  %8.3f", "         -");
        print_number(step, "energy_full", "%8.3f", "       -");
        print_number(step, "energy_quantised_ann", "%8.3f", "       -");
        print_number(step, "firing_rate", "  %7.4f", "        -");
        print_number(step, "ms_per_image", "  %8.3f", "         -");
        printf("\n");
    }
    print_modes(cJSON_GetObjectItemCaseSensitive(snn, "adaptive"));
}

static double last_of(const cJSON *site, const char *name)
{
    const cJSON *array = cJSON_GetObjectItemCaseSensitive(site, name);
    const cJSON *last = cJSON_GetArrayItem(array, cJSON_GetArraySize(array) - 1);

    return cJSON_IsNumber(last) ? last->valuedouble : NAN;
}

static double first_of(const cJSON *site, const char *name)
{
    const cJSON *first = cJSON_GetArrayItem(cJSON_GetObjectItemCaseSensitive(site, name), 0);

    return cJSON_IsNumber(first) ? first->valuedouble : NAN;
}

/* By falling damage alone at the last step. */
static int compare_damage(const void *a, const void *b)
{
    const double x = last_of(*(const cJSON *const *)a, "kl_alone");
    const double y = last_of(*(const cJSON *const *)b, "kl_alone");

    return (x < y) - (x > y);
}

static void print_ranking(const cJSON *const *site, int n, int steps)
{
    printf("%4s  %-32s  %21s  %19s  %21s\n", "", "", "SNR, dB", "KL alone", "KL up to here");
    printf("%4s  %-32s", "rank", "site");
    printf("  %6s t=1 %6s t=%-2d  %5s t=1 %5s t=%-2d  %6s t=1 %6s t=%-2d\n", "", "", steps, "", "",
           steps, "", "", steps);
    for (int i = 0; i < n && i < MOST_RANKS; i++) {
        printf("%4d  %-32s", i + 1, tspk_cli_json_text(site[i], "site", ""));
        printf("  %10.1f %10.1f", first_of(site[i], "snr_db"), last_of(site[i], "snr_db"));
        printf("  %9.6f %9.6f", first_of(site[i], "kl_alone"), last_of(site[i], "kl_alone"));
        printf("  %10.6f %10.6f\n", first_of(site[i], "kl_cumulative"),
               last_of(site[i], "kl_cumulative"));
    }
    if (n > MOST_RANKS)
        printf("%4s  and %d more, all of them in the JSON\n", "", n - MOST_RANKS);
}

/* The sites ranked by the damage that each does alone; nothing without --layers. */
static void print_layers(const cJSON *json)
{
    const cJSON *layers = cJSON_GetObjectItemCaseSensitive(json, "layers");
    const cJSON *leaves = cJSON_GetObjectItemCaseSensitive(json, "leaves_at");
    const cJSON **site = calloc((size_t)cJSON_GetArraySize(layers) + 1, sizeof *site);
    const cJSON *item;
    int n = 0, steps;

    cJSON_ArrayForEach(item, layers) if (site) site[n++] = item;
    if (n) {
        steps = cJSON_GetArraySize(cJSON_GetObjectItemCaseSensitive(site[0], "kl_alone"));
        printf("\nSites by the damage that each does alone, on %.0f images\n\n",
               tspk_cli_json_number(json, "layer_images", 0));
        qsort(site, (size_t)n, sizeof *site, compare_damage);
        print_ranking(site, n, steps);
        if (cJSON_IsObject(leaves))
            printf("\nThe spiking network leaves its source at %s: %.1f dB at t = %d, below %.0f\n",
                   tspk_cli_json_text(leaves, "site", ""),
                   tspk_cli_json_number(leaves, "snr_db", 0), steps,
                   tspk_cli_json_number(leaves, "bound_db", 0));
        else
            printf("\nThe spiking network stays with its source at every site\n");
    }
    free(site);
}

static tspk_status report(const tspk_cli_args *args, const char *text, tspk_error *err)
{
    cJSON *json = cJSON_Parse(text);
    double overlap;

    if (!json)
        return tspk_cli_fail(err, TSPK_FORMAT, "the result is not JSON");
    overlap = tspk_cli_json_number(json, "calibration_overlap", 0);
    if (overlap > 0)
        tspk_cli_warn(args,
                      "%.0f of %.0f images were used for calibration too; --skip leaves out "
                      "the first N",
                      overlap, tspk_cli_json_number(json, "images", 0));
    if (!tspk_cli_is_stdout(args->json)) {
        print_table(json);
        print_layers(json);
    }
    cJSON_Delete(json);
    if (args->json)
        TSPK_CLI_TRY(tspk_cli_write_json_text(args->json, text, err));
    return tspk_cli_flush(err);
}

static tspk_status open_all(const tspk_cli_args *args, validation *job, tspk_error *err)
{
    tspk_dataset_settings settings;
    tspk_spike_info info;

    TSPK_CLI_TRY(tspk_cli_name_file(err, tspk_spike_open(args->inputs[0], &job->spike, err),
                                    args->inputs[0]));
    tspk_spike_info_get(job->spike, &info);
    if (args->steps > (int64_t)info.steps)
        return tspk_cli_fail(err, TSPK_RANGE, "--steps %lld: %s has %u steps",
                             (long long)args->steps, args->inputs[0], info.steps);
    TSPK_CLI_TRY(
        tspk_cli_name_file(err, tspk_model_open(args->onnx, NULL, &job->model, err), args->onnx));
    if (!args->is_forced && strcmp(tspk_model_sha256(job->model), info.source_sha256) != 0)
        return tspk_cli_fail(err, TSPK_MISMATCH,
                             "%s (SHA-256 %.12s...) is not the source of %s (%.12s...); --force "
                             "compares them all the same",
                             args->onnx, tspk_model_sha256(job->model), args->inputs[0],
                             info.source_sha256);
    tspk_dataset_default_settings(&settings);
    settings.seed = info.seed;
    settings.preprocess = info.preprocess;
    TSPK_CLI_TRY(tspk_cli_take_preprocess(args, &settings.preprocess, err));
    return tspk_dataset_open(args->data, &settings, &job->data, err);
}

/* --merge on wants a mode that merges tokens among those that will run. */
static tspk_status check_merging(const tspk_cli_args *args, const tspk_spike *spike,
                                 tspk_error *err)
{
    static const char *const modes[] = {"balanced", "fast"};
    const char *const only = args->mode >= 0 ? tspk_cli_validate_modes[args->mode] : "all";
    bool is_merging = false;

    for (size_t i = 0; i < sizeof modes / sizeof *modes; i++)
        is_merging |= (!strcmp(only, "all") || !strcmp(only, modes[i])) &&
                      tspk_spike_merges_tokens(spike, modes[i]);
    if (args->merge == 0 && !is_merging)
        return tspk_cli_fail(err, TSPK_UNSUPPORTED,
                             "--merge on: no mode of %s that runs merges tokens (convert --merge)",
                             args->inputs[0]);
    if (args->merge == 1 && is_merging)
        tspk_cli_warn(args, "modes of %s were fitted with merged tokens", args->inputs[0]);
    return TSPK_OK;
}

static tspk_status run_all(const tspk_cli_args *args, validation *job, tspk_error *err)
{
    tspk_validate_settings settings;

    TSPK_CLI_TRY(open_all(args, job, err));
    TSPK_CLI_TRY(check_merging(args, job->spike, err));
    tspk_validate_default_settings(&settings);
    settings.skip = args->skip > 0 ? (size_t)args->skip : 0;
    settings.limit = args->limit > 0 ? (size_t)args->limit : 0;
    settings.steps = args->steps > 0 ? (uint32_t)args->steps : 0;
    if (args->batch > 0)
        settings.batch = (uint32_t)args->batch;
    settings.threads = args->threads > 0 ? (int)args->threads : 0;
    settings.mode = args->mode >= 0 ? tspk_cli_validate_modes[args->mode] : NULL;
    settings.isa = tspk_cli_isa(args);
    settings.is_merging_off = args->merge == 1;
    settings.is_refining_off = args->refine == 1;
    settings.is_forced = args->is_forced;
    settings.has_layers = args->has_layers;
    settings.has_site_rates = args->report && !args->has_layers && !args->is_forced;
    settings.has_ablation = args->has_ablation;
    settings.policy = tspk_cli_policy(args);
    settings.exit = args->exit;
    settings.is_strict = args->is_strict;
    settings.broken = tspk_cli_broken_add;
    settings.broken_context = &job->broken;
    settings.progress = tspk_cli_progress_step;
    settings.progress_context = &job->progress;
    return tspk_validate(job->spike, job->model, job->data, &settings, &job->json, err);
}

/* Before any work is done for it. */
static tspk_status check_report(const tspk_cli_args *args, tspk_error *err)
{
    if (!args->report)
        return TSPK_OK;
    if (tspk_cli_is_stdout(args->report))
        return tspk_cli_fail(err, TSPK_USAGE, "--report -: a report needs a file");
    TSPK_CLI_TRY(tspk_report_check(err));
    return tspk_cli_check_writable(args->report, err);
}

tspk_status tspk_cli_validate(const tspk_cli_args *args, tspk_error *err)
{
    validation job = {0};
    tspk_status status;

    if (!args->onnx)
        return tspk_cli_fail(err, TSPK_USAGE, "--onnx MODEL.onnx is missing");
    if (!args->data)
        return tspk_cli_fail(err, TSPK_USAGE, "--data DATA is missing");
    TSPK_CLI_TRY(check_report(args, err));
    tspk_cli_progress_init(&job.progress, args);
    status = run_all(args, &job, err);
    tspk_cli_progress_done(&job.progress);
    if (status == TSPK_OK)
        tspk_cli_broken_tell(&job.broken, args);
    if (status == TSPK_OK && args->report)
        status = tspk_cli_write_html(args, job.spike, job.data, job.json, err);
    if (status == TSPK_OK)
        status = report(args, job.json, err);
    tspk_cli_broken_done(&job.broken);
    tspk_text_free(job.json);
    tspk_dataset_close(job.data);
    tspk_model_close(job.model);
    tspk_spike_close(job.spike);
    return status;
}
