/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/source.h"
#include "cli/tuning.h"

#define MOST_PAIRS 65535

/* Everything that one `convert` holds. */
typedef struct conversion {
    const tspk_cli_args *args;
    tspk_model *model;
    tspk_dataset *data;
    tspk_spike *spike;
    tspk_cli_names names;
    tspk_cli_progress progress;
    tspk_convert_settings settings;
    char note[TSPK_CLI_NOTE_BYTES]; /* what was guessed of the preprocessing */
    tspk_budget budget;
    uint32_t merged_pairs[2]; /* --merge */
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
    if (!args->output)
        return tspk_cli_fail(err, TSPK_USAGE, "-o MODEL.spike is missing");
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
    return tspk_cli_check_writable(args->json, err);
}

/* Splits --keep-analog at its commas. */
static tspk_status take_kept(conversion *job, tspk_error *err)
{
    const char *text = job->args->keep_analog;
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
    const char *const text = job->args->merge_pairs;
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

static void take_settings(conversion *job)
{
    const tspk_cli_args *args = job->args;
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
    for (int i = 0; i < 2; i++)
        settings->merged_pairs[i] = job->merged_pairs[i];
    tspk_budget_default(&job->budget);
    if (args->max_loss >= 0)
        job->budget.max_loss = args->max_loss;
    if (args->min_agreement >= 0)
        job->budget.min_agreement = args->min_agreement;
    if (args->max_energy >= 0)
        job->budget.max_energy = args->max_energy;
    if (args->time_budget > 0)
        job->budget.seconds = args->time_budget;
    settings->progress = tspk_cli_progress_step;
    settings->progress_context = &job->progress;
}

/* Is there an output with as many classes as --classes names? */
static tspk_status check_names(const conversion *job, tspk_error *err)
{
    int64_t classes = 0;

    if (!job->args->classes)
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
                         job->args->classes, job->names.n, (long long)classes);
}

static tspk_status open_data(conversion *job, tspk_error *err)
{
    tspk_dataset_settings settings;
    tspk_port port;

    TSPK_CLI_TRY(tspk_model_input(job->model, 0, &port));
    if (port.rank != 4)
        return tspk_cli_fail(err, TSPK_SHAPE,
                             "%s: input \"%s\" has %d dimensions, expected [N, C, H, W]",
                             job->args->inputs[0], port.name, port.rank);
    tspk_dataset_default_settings(&settings);
    settings.seed = job->args->seed;
    settings.preprocess.channels = (uint32_t)port.dim[1];
    TSPK_CLI_TRY(tspk_cli_take_preprocess(job->args, &settings.preprocess, err));
    TSPK_CLI_TRY(tspk_dataset_open(job->args->data, &settings, &job->data, err));
    TSPK_CLI_TRY(tspk_cli_guess_preprocess(job->args, job->model, job->data, &settings.preprocess,
                                           job->note, err));
    job->settings.preprocess = settings.preprocess;
    return TSPK_OK;
}

static tspk_status write_report(const conversion *job, double seconds, tspk_error *err)
{
    cJSON *json = job->tuning ? cJSON_Parse(job->tuning) : cJSON_CreateObject();
    tspk_status status;

    if (!json || !cJSON_AddStringToObject(json, "schema", "transpike.convert/1") ||
        !cJSON_AddNumberToObject(json, "seconds", seconds) ||
        (!job->tuning &&
         (!cJSON_AddTrueToObject(json, "met") || !cJSON_AddObjectToObject(json, "chosen") ||
          !cJSON_AddArrayToObject(json, "pareto")))) {
        cJSON_Delete(json);
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the JSON text");
    }
    status = tspk_cli_write_json(job->args->json, json, err);
    cJSON_Delete(json);
    return status;
}

/* Those of --classes, else the folders' names when there is one for every class. */
static tspk_status set_class_names(conversion *job, tspk_error *err)
{
    tspk_spike_info info;
    const char **names;
    tspk_status status = TSPK_OK;
    uint32_t n = 0;

    if (job->args->classes)
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

static bool is_true(const char *text, const char *name)
{
    cJSON *json = cJSON_Parse(text);
    const bool is = cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, name));

    cJSON_Delete(json);
    return is;
}

static tspk_status print_modes(const tspk_spike *spike, tspk_error *err)
{
    char *text = NULL;
    cJSON *json;

    TSPK_CLI_TRY(tspk_spike_describe(spike, &text, err));
    json = cJSON_Parse(text);
    tspk_text_free(text);
    if (!json)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the description");
    tspk_cli_print_modes(json);
    cJSON_Delete(json);
    return TSPK_OK;
}

static tspk_status finish(const conversion *job, double started, tspk_error *err)
{
    const tspk_cli_args *args = job->args;
    tspk_spike_info info;
    double seconds;

    if (tspk_cli_is_interrupted() && !job->tuning)
        return tspk_cli_fail(err, TSPK_INTERRUPTED, "stopped before %s was written", args->output);
    TSPK_CLI_TRY(tspk_spike_save(job->spike, args->output, err));
    seconds = tspk_cli_seconds() - started;
    tspk_spike_info_get(job->spike, &info);
    if (args->json)
        TSPK_CLI_TRY(write_report(job, seconds, err));
    if (!tspk_cli_is_stdout(args->json))
        printf("%s: %u steps, %u levels, %s coding, %zu calibration images, %.1f s\n", args->output,
               info.steps, info.levels, job->settings.is_rate ? "rate" : "differential",
               info.calibration_images, seconds);
    if (job->tuning && !tspk_cli_is_stdout(args->json))
        TSPK_CLI_TRY(tspk_cli_print_tuning(job->tuning, &job->budget, err));
    if ((job->tuning || args->merge_pairs) && !tspk_cli_is_stdout(args->json))
        TSPK_CLI_TRY(print_modes(job->spike, err));
    TSPK_CLI_TRY(tspk_cli_flush(err));
    if (job->tuning && !is_true(job->tuning, "met"))
        tspk_cli_note(args, "the budget is not met; %s holds the nearest", args->output);
    if (job->tuning && is_true(job->tuning, "partial"))
        return tspk_cli_fail(err, TSPK_INTERRUPTED,
                             "stopped while searching; %s holds the best so far, fitted on half of "
                             "the samples",
                             args->output);
    return TSPK_OK;
}

tspk_status tspk_cli_convert(const tspk_cli_args *args, tspk_error *err)
{
    const double started = tspk_cli_seconds();
    conversion job = {.args = args};
    tspk_status status = check_args(args, err);

    tspk_cli_progress_init(&job.progress, args);
    if (status == TSPK_OK)
        status = take_merging(&job, err);
    take_settings(&job);
    if (status == TSPK_OK)
        status = take_kept(&job, err);
    if (status == TSPK_OK && args->classes)
        status = tspk_cli_names_read(args->classes, &job.names, err);
    if (status == TSPK_OK)
        status = tspk_cli_name_file(err, tspk_model_open(args->inputs[0], NULL, &job.model, err),
                                    args->inputs[0]);
    if (status == TSPK_OK)
        status =
            tspk_cli_name_file(err, tspk_model_check_convertible(job.model, err), args->inputs[0]);
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
    if (status == TSPK_OK)
        status = set_class_names(&job, err);
    if (status == TSPK_OK)
        status = finish(&job, started, err);
    tspk_text_free(job.tuning);
    tspk_spike_close(job.spike);
    tspk_dataset_close(job.data);
    tspk_model_close(job.model);
    tspk_cli_names_done(&job.names);
    free(job.kept);
    free(job.kept_text);
    return status;
}
