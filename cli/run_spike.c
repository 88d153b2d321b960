/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/progress.h"
#include "cli/refuse.h"
#include "cli/report.h"
#include "cli/source.h"

#define DEFAULT_BATCH  16
#define DUMP_IMAGES    64
#define PRODUCT_IMAGES 4

/* Everything that one `run` of a .spike holds. */
typedef struct spike_run {
    const tspk_cli_args *args;
    const char *mode;
    tspk_spike *spike;
    tspk_spike_info info;
    tspk_session *session;
    tspk_cli_source source;
    tspk_cli_report report;
    tspk_cli_progress progress;
    tspk_cli_broken broken;
    uint32_t steps;
    size_t chunk;         /* images read and run at a time */
    float *images;        /* [chunk, channels, height, width] */
    float *logits;        /* [chunk, steps, classes] */
    tspk_step_work *work; /* [chunk, steps] */
    size_t *index;        /* [chunk] numbers of its images */
    size_t n_run;         /* images so far */
    float *kept;          /* [n_images, classes] for --output, else NULL */
} spike_run;

static void done(spike_run *run)
{
    free(run->kept);
    free(run->index);
    tspk_cli_broken_done(&run->broken);
    free(run->work);
    free(run->logits);
    free(run->images);
    tspk_cli_report_done(&run->report);
    tspk_cli_source_done(&run->source);
    tspk_session_close(run->session);
    tspk_spike_close(run->spike);
}

static tspk_status allocate(spike_run *run, tspk_error *err)
{
    const size_t elems = (size_t)(run->source.dim[0] * run->source.dim[1] * run->source.dim[2]);
    const size_t n = run->source.n_images;

    run->chunk = run->args->batch > 0 ? (size_t)run->args->batch : DEFAULT_BATCH;
    if (run->args->dump_spikes || run->chunk > n)
        run->chunk = n;
    run->images = calloc(run->chunk, elems * sizeof *run->images);
    run->logits = calloc(run->chunk, (size_t)run->steps * run->info.classes * sizeof *run->logits);
    run->work = calloc(run->chunk, run->steps * sizeof *run->work);
    run->index = calloc(run->chunk, sizeof *run->index);
    if (run->args->output)
        run->kept = calloc(n, run->info.classes * sizeof *run->kept);
    if (!run->images || !run->logits || !run->work || !run->index ||
        (run->args->output && !run->kept))
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for %zu images", n);
    return TSPK_OK;
}

static tspk_status open_all(spike_run *run, tspk_error *err)
{
    const tspk_cli_args *args = run->args;
    const char *path = args->inputs[0];
    tspk_session_settings settings;
    int64_t dim[3];

    TSPK_CLI_TRY(tspk_cli_name_file(err, tspk_spike_open(path, &run->spike, err), path));
    tspk_spike_info_get(run->spike, &run->info);
    if (args->steps > (int64_t)run->info.steps)
        return tspk_cli_fail(err, TSPK_RANGE, "--steps %lld: %s has %u steps",
                             (long long)args->steps, path, run->info.steps);
    TSPK_CLI_TRY(tspk_cli_name_file(
        err, tspk_spike_mode_steps(run->spike, run->mode, &run->steps, err), path));
    if (args->steps > 0)
        run->steps = (uint32_t)args->steps;
    if (args->policy > 0 && run->steps == 1)
        return tspk_cli_fail(err, TSPK_UNSUPPORTED,
                             "--policy: one step of %s is run: there is none that an image could "
                             "leave out",
                             path);
    for (int i = 0; i < 3; i++)
        dim[i] = run->info.image_dim[i];
    TSPK_CLI_TRY(tspk_cli_report_init(&run->report, args, run->mode, run->spike, err));
    TSPK_CLI_TRY(tspk_cli_report_check_names(&run->report, args, run->info.classes, err));
    TSPK_CLI_TRY(tspk_cli_source_open(args, args->inputs + 1, args->n_inputs - 1, dim,
                                      &run->info.preprocess, NULL, &run->source, err));
    run->source.is_strict = args->is_strict;
    run->source.threads = args->threads > 0 ? (int)args->threads : 0;
    run->source.broken = &run->broken;
    if (args->dump_spikes) {
        const size_t most = args->with_products ? PRODUCT_IMAGES : DUMP_IMAGES;

        if (run->source.n_images > most)
            return tspk_cli_fail(err, TSPK_RANGE, "%zu images, --dump-%s takes %zu at most",
                                 run->source.n_images, args->with_products ? "products" : "spikes",
                                 most);
    }
    if (args->explain && run->source.n_images != 1)
        return tspk_cli_fail(err, TSPK_RANGE, "%zu images, --explain takes one",
                             run->source.n_images);
    tspk_session_default_settings(&settings);
    settings.threads = args->threads > 0 ? (int)args->threads : 0;
    settings.batch = args->batch > 0 ? (uint32_t)args->batch : DEFAULT_BATCH;
    settings.steps = run->steps;
    settings.isa = tspk_cli_isa(args);
    settings.mode = run->mode;
    settings.policy = tspk_cli_policy(args);
    settings.exit = args->exit;
    settings.is_merging_off = args->merge == 1;
    if (args->merge >= 0 && !tspk_spike_merges_tokens(run->spike, run->mode)) {
        if (args->merge == 0)
            return tspk_cli_fail(err, TSPK_UNSUPPORTED,
                                 "--merge on: mode %s of %s merges no tokens (convert --merge)",
                                 run->mode, path);
    } else if (args->merge == 1) {
        tspk_cli_warn(args, "mode %s was fitted with merged tokens", run->mode);
    }
    settings.is_refining_off = args->refine == 1;
    if (args->refine == 0 && !tspk_spike_refines_tokens(run->spike, run->mode))
        return tspk_cli_fail(
            err, TSPK_UNSUPPORTED,
            "--refine on: mode %s of %s computes all tokens at every step (convert "
            "--refine)",
            run->mode, path);
    TSPK_CLI_TRY(tspk_session_open(run->spike, &settings, &run->session, err));
    return allocate(run, err);
}

static tspk_status run_chunk(spike_run *run, size_t n, tspk_error *err)
{
    const size_t classes = run->info.classes, steps = run->steps;

    if (run->args->dump_spikes)
        TSPK_CLI_TRY(tspk_session_dump(run->session, n, run->images, run->logits, run->work,
                                       run->args->with_products, run->args->dump_spikes, err));
    else
        TSPK_CLI_TRY(tspk_session_run(run->session, n, run->images, run->logits, run->work, err));
    if (run->args->explain)
        TSPK_CLI_TRY(tspk_cli_name_file(
            err, tspk_session_explain(run->session, run->images, run->args->explain, err),
            run->args->explain));
    for (size_t i = 0; i < n; i++) {
        const float *last = run->logits + (i * steps + steps - 1) * classes;
        char name[4096];

        if (run->kept)
            memcpy(run->kept + (run->n_run + i) * classes, last, classes * sizeof *last);
        TSPK_CLI_TRY(tspk_cli_report_add(
            &run->report, tspk_cli_source_name(&run->source, run->index[i], name, sizeof name),
            last, classes, &run->work[i * steps + steps - 1], err));
    }
    return TSPK_OK;
}

static tspk_status run_chunks(spike_run *run, tspk_error *err)
{
    const size_t most = run->source.n_images;
    size_t n = 1;

    while (n) {
        if (tspk_cli_progress_step(&run->progress, "run", run->n_run, most))
            return tspk_cli_fail(err, TSPK_INTERRUPTED, "stopped after %zu of %zu images",
                                 run->n_run, most);
        TSPK_CLI_TRY(
            tspk_cli_source_next(&run->source, run->chunk, run->images, run->index, &n, err));
        if (n)
            TSPK_CLI_TRY(run_chunk(run, n, err));
        run->n_run += n;
    }
    return TSPK_OK;
}

static tspk_status run_all(spike_run *run, tspk_error *err)
{
    tspk_status status;

    tspk_cli_progress_init(&run->progress, run->args);
    status = run_chunks(run, err);
    tspk_cli_progress_done(&run->progress);
    if (status != TSPK_OK)
        return status;
    tspk_cli_broken_tell(&run->broken, run->args);
    if (!tspk_cli_broken_json(&run->broken, run->report.json))
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the JSON text");
    if (run->kept) {
        const tspk_array array = {.dtype = 1,
                                  .rank = 2,
                                  .dim = {(int64_t)run->n_run, run->info.classes},
                                  .data = run->kept};

        TSPK_CLI_TRY(tspk_array_write(run->args->output, &array, err));
    }
    return tspk_cli_report_finish(&run->report, run->args, err);
}

tspk_status tspk_cli_run_spike(const tspk_cli_args *args, const char *mode, tspk_error *err)
{
    spike_run run = {.args = args, .mode = mode};
    tspk_status status = open_all(&run, err);

    if (status == TSPK_OK)
        status = run_all(&run, err);
    done(&run);
    return status;
}
