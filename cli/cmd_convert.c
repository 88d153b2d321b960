/* SPDX-License-Identifier: Apache-2.0 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/broken.h"
#include "cli/commands.h"
#include "cli/convert_result.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/source.h"

#define MOST_PAIRS 65535

/* Everything that one `convert` holds. */
typedef struct conversion {
    tspk_cli_args args; /* with the output chosen */
    char *output;       /* that was chosen, or NULL */
    tspk_model *model;
    tspk_dataset *data;
    tspk_spike *spike;
    tspk_cli_names names;
    tspk_cli_progress progress;
    tspk_cli_broken broken;
    tspk_convert_settings settings;
    char note[TSPK_CLI_NOTE_BYTES]; /* what was guessed of the preprocessing */
    tspk_budget budget;
    uint32_t merged_pairs[2]; /* --merge */
    double refine_share[2];   /* --refine */
    char *tuning;             /* JSON of the search, or NULL */
    char *kept_text;          /* --keep-analog with its commas replaced */
    const char **kept;        /* [settings.n_keep_analog] */
} conversion;

static bool is_tuned(const tspk_cli_args *args)
{
    return args->max_loss >= 0 || args->max_energy >= 0;
}

static tspk_status check_args(const tspk_cli_args *args, tspk_error *err)
{
    if (!args->data)
        return tspk_cli_fail(err, TSPK_USAGE, "--data DATA is missing");
    if (tspk_cli_is_stdout(args->output))
        return tspk_cli_fail(err, TSPK_USAGE, "-o -: a .spike needs a file");
    if (!is_tuned(args) && (args->min_agreement >= 0 || args->time_budget >= 0))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "--min-agreement and --time-budget need --max-loss or --max-energy");
    if (args->max_energy == 0)
        return tspk_cli_fail(err, TSPK_USAGE, "--max-energy 0: spikes cost more than nothing");
    if (is_tuned(args) && (args->preset == 1 || args->coding == 1))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "--max-loss and --max-energy need the default preset "
                             "and differential coding");
    if (args->preset == 1 && args->coding == 0)
        return tspk_cli_fail(err, TSPK_USAGE, "--preset ecmt means --coding rate");
    TSPK_CLI_TRY(tspk_cli_check_writable(args->output, err));
    TSPK_CLI_TRY(tspk_cli_refuse_strange_file(args->output, err));
    return tspk_cli_check_writable(args->json, err);
}

/* Splits --keep-analog at its commas. */
static tspk_status take_kept(conversion *job, tspk_error *err)
{
    const char *text = job->args.keep_analog;
    char *at;
    size_t n = 1;

    if (!text)
        return TSPK_OK;
    for (const char *c = text; *c; c++)
        n += *c == ',';
    job->kept_text = strdup(text);
    job->kept = calloc(n, sizeof *job->kept);
    if (!job->kept_text || !job->kept)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the names of %zu sites", n);
    at = job->kept_text;
    for (size_t i = 0; i < n; i++) {
        job->kept[i] = at;
        at += strcspn(at, ",");
        *at++ = '\0';
        if (!job->kept[i][0])
            return tspk_cli_fail(err, TSPK_USAGE,
                                 "--keep-analog %s: expected names separated by commas", text);
    }
    job->settings.keep_analog = job->kept;
    job->settings.n_keep_analog = n;
    return TSPK_OK;
}

/* --merge N or N,M */
static tspk_status take_merging(conversion *job, tspk_error *err)
{
    const char *const text = job->args.merge_pairs;
    char *end;

    if (!text)
        return TSPK_OK;
    for (int i = 0; i < 2; i++) {
        const char *const from = i ? end + 1 : text;
        const long n = strtol(from, &end, 10);

        if (from[0] < '0' || from[0] > '9' || n < 1 || n > MOST_PAIRS ||
            (*end && (i || *end != ',')))
            return tspk_cli_fail(err, TSPK_USAGE,
                                 "--merge %s: expected one or two numbers of pairs, 1 to %d", text,
                                 MOST_PAIRS);
        job->merged_pairs[i] = (uint32_t)n;
        if (!*end)
            break;
    }
    return TSPK_OK;
}

/* --refine SHARE or SHARE,SHARE */
static tspk_status take_refining(conversion *job, tspk_error *err)
{
    const char *at = job->args.refine_shares;
    char *end;

    for (int i = 0; at && i < 2; i++, at = *end ? end + 1 : NULL) {
        const double share = strtod(at, &end);

        if (end == at || !(share > 0.0 && share < 1.0) || (*end && (i || *end != ',')))
            return tspk_cli_fail(err, TSPK_USAGE,
                                 "--refine %s: expected one or two shares between 0 and 1",
                                 job->args.refine_shares);
        job->refine_share[i] = share;
    }
    if (job->args.refine_shares && is_tuned(&job->args))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "--refine: with --max-loss or --max-energy the search chooses it");
    return TSPK_OK;
}

static void take_settings(conversion *job)
{
    const tspk_cli_args *args = &job->args;
    tspk_convert_settings *settings = &job->settings;

    tspk_convert_default_settings(settings);
    if (args->calib_images > 0)
        settings->calibration_images = (size_t)args->calib_images;
    if (args->steps > 0)
        settings->steps = (uint32_t)args->steps;
    if (args->levels > 0)
        settings->levels = (uint32_t)args->levels;
    settings->is_rate = args->coding == 1 || args->preset == 1;
    settings->is_ecmt = args->preset == 1;
    if (args->calib_cache >= 0)
        settings->cache_bytes = (size_t)args->calib_cache;
    settings->is_mirrored = args->mirror != 1;
    settings->seed = args->seed;
    settings->threads = args->threads > 0 ? (int)args->threads : 0;
    settings->are_levels_pinned = args->levels > 0;
    for (int i = 0; i < 2; i++) {
        settings->merged_pairs[i] = job->merged_pairs[i];
        settings->refine_share[i] = job->refine_share[i];
    }
    tspk_budget_default(&job->budget);
    if (args->max_loss >= 0)
        job->budget.max_loss = args->max_loss;
    if (args->min_agreement >= 0)
        job->budget.min_agreement = args->min_agreement;
    if (args->max_energy >= 0)
        job->budget.max_energy = args->max_energy;
    if (args->time_budget > 0)
        job->budget.seconds = args->time_budget;
    settings->is_strict = args->is_strict;
    settings->broken = tspk_cli_broken_add;
    settings->broken_context = &job->broken;
    settings->progress = tspk_cli_progress_step;
    settings->progress_context = &job->progress;
}

/* Is there an output with as many classes as --classes names? */
static tspk_status check_names(const conversion *job, tspk_error *err)
{
    int64_t classes = 0;

    if (!job->args.classes)
        return TSPK_OK;
    for (size_t i = 0; i < tspk_model_count_outputs(job->model); i++) {
        tspk_port port;

        TSPK_CLI_TRY(tspk_model_output(job->model, i, &port));
        if (port.dtype != 1 || port.rank != 2)
            continue;
        if ((size_t)port.dim[1] == job->names.n)
            return TSPK_OK;
        if (classes == 0)
            classes = port.dim[1];
    }
    return tspk_cli_fail(err, TSPK_RANGE, "%s: %zu class names, the network has %lld classes",
                         job->args.classes, job->names.n, (long long)classes);
}

static tspk_status open_data(conversion *job, tspk_error *err)
{
    tspk_dataset_settings settings;
    tspk_port port;

    TSPK_CLI_TRY(tspk_model_input(job->model, 0, &port));
    if (port.rank != 4)
        return tspk_cli_fail(err, TSPK_SHAPE,
                             "%s: input \"%s\" has %d dimensions, expected [N, C, H, W]",
                             job->args.inputs[0], port.name, port.rank);
    tspk_dataset_default_settings(&settings);
    settings.seed = job->args.seed;
    settings.preprocess.channels = (uint32_t)port.dim[1];
    TSPK_CLI_TRY(tspk_cli_take_preprocess(&job->args, &settings.preprocess, err));
    TSPK_CLI_TRY(tspk_dataset_open(job->args.data, &settings, &job->data, err));
    TSPK_CLI_TRY(tspk_cli_guess_preprocess(&job->args, job->model, job->data, &settings.preprocess,
                                           job->note, err));
    job->settings.preprocess = settings.preprocess;
    return TSPK_OK;
}

/* Those of --classes, else the folders' names when there is one for every class. */
static tspk_status set_class_names(conversion *job, tspk_error *err)
{
    tspk_spike_info info;
    const char **names;
    tspk_status status = TSPK_OK;
    uint32_t n = 0;

    if (job->args.classes)
        return tspk_spike_set_class_names(job->spike, (const char *const *)job->names.name,
                                          (uint32_t)job->names.n, err);
    tspk_spike_info_get(job->spike, &info);
    names = calloc(info.classes, sizeof *names);
    if (!names)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for %u class names", info.classes);
    while (n < info.classes && (names[n] = tspk_dataset_class_name(job->data, n)))
        n++;
    if (n == info.classes)
        status = tspk_spike_set_class_names(job->spike, names, n, err);
    free(names);
    return status;
}

static tspk_status finish(const conversion *job, double started, tspk_error *err)
{
    const tspk_cli_args *args = &job->args;
    tspk_cli_convert_result result = {.spike = job->spike,
                                      .is_rate = job->settings.is_rate,
                                      .has_modes = job->tuning || args->merge_pairs,
                                      .search = job->tuning,
                                      .budget = &job->budget};

    if (tspk_cli_is_interrupted() && !job->tuning)
        return tspk_cli_fail(err, TSPK_INTERRUPTED, "stopped before %s was written", args->output);
    TSPK_CLI_TRY(tspk_spike_save(job->spike, args->output, err));
    result.seconds = tspk_cli_seconds() - started;
    result.broken = &job->broken;
    return tspk_cli_report_convert(args, &result, err);
}

/* MODEL.spike beside MODEL.onnx, when -o names no other. */
static tspk_status choose_output(conversion *job, tspk_error *err)
{
    const char *const model = job->args.inputs[0];
    const size_t length = strlen(model);
    const bool has_end = length > 5 && strcmp(model + length - 5, ".onnx") == 0;

    if (job->args.output)
        return TSPK_OK;
    job->output = malloc(length + sizeof ".spike");
    if (!job->output)
        return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory for a path", model);
    memcpy(job->output, model, length + 1);
    strcpy(job->output + (has_end ? length - 5 : length), ".spike");
    job->args.output = job->output;
    return tspk_cli_refuse_overlap(&job->args, err);
}

static tspk_status open_model(conversion *job, tspk_error *err)
{
    const char *const path = job->args.inputs[0];

    if (tspk_cli_has_spike_head(path))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "%s is a .spike already; convert takes the .onnx that it was made of",
                             path);
    TSPK_CLI_TRY(tspk_cli_name_file(err, tspk_model_open(path, NULL, &job->model, err), path));
    return tspk_cli_name_file(err, tspk_model_check_convertible(job->model, err), path);
}

tspk_status tspk_cli_convert(const tspk_cli_args *args, tspk_error *err)
{
    const double started = tspk_cli_seconds();
    conversion job = {.args = *args};
    tspk_status status = choose_output(&job, err);

    if (status == TSPK_OK)
        status = check_args(&job.args, err);
    tspk_cli_progress_init(&job.progress, args);
    if (status == TSPK_OK)
        status = take_merging(&job, err);
    if (status == TSPK_OK)
        status = take_refining(&job, err);
    take_settings(&job);
    if (status == TSPK_OK)
        status = take_kept(&job, err);
    if (status == TSPK_OK && args->classes)
        status = tspk_cli_names_read(args->classes, &job.names, err);
    if (status == TSPK_OK)
        status = open_model(&job, err);
    if (status == TSPK_OK)
        status = check_names(&job, err);
    if (status == TSPK_OK)
        status = open_data(&job, err);
    if (status == TSPK_OK && job.note[0])
        tspk_cli_note(args, "%s", job.note);
    if (status == TSPK_OK)
        status = is_tuned(args) ? tspk_convert_tuned(job.model, job.data, &job.settings,
                                                     &job.budget, &job.spike, &job.tuning, err)
                                : tspk_convert(job.model, job.data, &job.settings, &job.spike, err);
    tspk_cli_progress_done(&job.progress);
    tspk_cli_broken_tell(&job.broken, args);
    if (status == TSPK_OK)
        status = set_class_names(&job, err);
    if (status == TSPK_OK)
        status = finish(&job, started, err);
    tspk_cli_broken_done(&job.broken);
    tspk_text_free(job.tuning);
    tspk_spike_close(job.spike);
    tspk_dataset_close(job.data);
    tspk_model_close(job.model);
    tspk_cli_names_done(&job.names);
    free(job.kept);
    free(job.kept_text);
    free(job.output);
    return status;
}
