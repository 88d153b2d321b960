/* SPDX-License-Identifier: Apache-2.0 */
/* The spiking network beside its source network, over the same preprocessed tensors. */
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/limits.h"
#include "core/parallel.h"
#include "core/spike_handle.h"
#include "transpike/transpike.h"
#include "validate/metrics.h"
#include "validate/sample_set.h"
#include "validate/timing.h"
#include "validate/validate_json.h"

#define CHUNK_IMAGES  64 /* in memory at a time, at most */
#define DEFAULT_BATCH 16
#define MAX_OUTPUTS   64

void tspk_validate_default_settings(tspk_validate_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->batch = DEFAULT_BATCH;
    settings->exit = -1;
}

/* Everything that one validation holds. */
typedef struct job {
    const tspk_spike *spike;
    const tspk_model *model;
    const tspk_validate_settings *settings;
    tspk_spike_info info;
    tspk_sample_set set;
    tspk_reader *reader;
    tspk_ann *ann;
    tspk_session *session;
    size_t ann_batch;  /* images a run of the source network */
    size_t ann_output; /* its output [images, classes] */
    size_t n_outputs;
    size_t chunk;          /* images at a time, a multiple of ann_batch */
    float *images;         /* [chunk, elems] */
    int64_t *labels;       /* [chunk] */
    uint8_t (*hashes)[32]; /* [chunk] */
    float *source;         /* [chunk, classes] the source network's logits */
    float *logits;         /* [chunk, steps, classes] */
    tspk_step_work *work;  /* [chunk, steps] */
    tspk_validation result;
} job;

static void done(job *j)
{
    free(j->work);
    free(j->logits);
    free(j->source);
    free(j->hashes);
    free(j->labels);
    free(j->images);
    tspk_reader_close(j->reader);
    tspk_sample_set_done(&j->set);
    free(j->result.broken);
    tspk_modes_close(&j->result.modes);
    tspk_session_close(j->session);
    tspk_ann_close(j->ann);
    tspk_layers_done(&j->result.layers);
    tspk_outcomes_done(&j->result.outcomes);
}

static tspk_status report_progress(const job *j, const char *phase, size_t at, size_t total,
                                   tspk_error *err)
{
    const tspk_validate_settings *settings = j->settings;

    if (settings->progress && settings->progress(settings->progress_context, phase, at, total))
        return TSPK_FAIL(err, TSPK_INTERRUPTED, "stopped at %zu of %zu (%s)", at, total, phase);
    return TSPK_OK;
}

/* The first float output [images, classes]. */
static tspk_status find_output(job *j, tspk_error *err)
{
    const size_t n = tspk_model_count_outputs(j->model);

    j->ann_batch = (size_t)tspk_model_batch(j->model);
    j->n_outputs = n;
    if (n > MAX_OUTPUTS)
        return TSPK_FAIL(err, TSPK_LIMIT, "the source network has %zu outputs, %d at most", n,
                         MAX_OUTPUTS);
    for (size_t i = 0; i < n; i++) {
        tspk_port port;

        TSPK_TRY(tspk_model_output(j->model, i, &port));
        if (port.dtype != 1 || port.rank != 2 || (size_t)port.dim[0] != j->ann_batch)
            continue;
        if (port.dim[1] != (int64_t)j->info.classes)
            return TSPK_FAIL(err, TSPK_SHAPE,
                             "the source network has %lld classes, the spiking network %u",
                             (long long)port.dim[1], j->info.classes);
        j->ann_output = i;
        return TSPK_OK;
    }
    return TSPK_FAIL(err, TSPK_SHAPE, "the source network has no float output [N, classes]");
}

static tspk_status check_input(const job *j, tspk_error *err)
{
    tspk_port port;

    if (tspk_model_count_inputs(j->model) != 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "the source network has %zu inputs, expected 1",
                         tspk_model_count_inputs(j->model));
    TSPK_TRY(tspk_model_input(j->model, 0, &port));
    if (port.rank != 4 || port.dim[1] != j->info.image_dim[0] ||
        port.dim[2] != j->info.image_dim[1] || port.dim[3] != j->info.image_dim[2])
        return TSPK_FAIL(
            err, TSPK_SHAPE, "input \"%s\" of the source network does not take [N, %u, %u, %u]",
            port.name, j->info.image_dim[0], j->info.image_dim[1], j->info.image_dim[2]);
    return TSPK_OK;
}

static tspk_status allocate(job *j, tspk_error *err)
{
    const size_t elems = tspk_sample_set_elems(&j->set), steps = j->result.n_steps;
    const size_t classes = j->info.classes;
    const size_t batch = j->settings->batch < CHUNK_IMAGES ? j->settings->batch : CHUNK_IMAGES;

    j->chunk = (batch + j->ann_batch - 1) / j->ann_batch * j->ann_batch;
    j->images = calloc(j->chunk, elems * sizeof *j->images);
    j->labels = calloc(j->chunk, sizeof *j->labels);
    j->hashes = calloc(j->chunk, sizeof *j->hashes);
    j->source = calloc(j->chunk, classes * sizeof *j->source);
    j->logits = calloc(j->chunk * steps, classes * sizeof *j->logits);
    j->work = calloc(j->chunk, steps * sizeof *j->work);
    if (!j->images || !j->labels || !j->hashes || !j->source || !j->logits || !j->work)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", j->chunk);
    return TSPK_OK;
}

static tspk_session_settings session_settings(const job *j, uint32_t steps)
{
    tspk_session_settings settings;

    tspk_session_default_settings(&settings);
    settings.threads = j->settings->threads;
    settings.batch = j->settings->batch;
    settings.isa = j->settings->isa;
    settings.steps = steps;
    settings.is_merging_off = j->settings->is_merging_off;
    settings.is_refining_off = j->settings->is_refining_off;
    return settings;
}

static tspk_status open_all(job *j, const tspk_dataset *data, tspk_error *err)
{
    const tspk_validate_settings *settings = j->settings;
    const int threads = settings->threads > 0 ? settings->threads : tspk_parallel_max_threads();
    tspk_session_settings session;

    tspk_spike_info_get(j->spike, &j->info);
    if (settings->batch < 1 || settings->threads < 0)
        return TSPK_FAIL(err, TSPK_USAGE, "batch %u, threads %d: expected at least 1",
                         settings->batch, settings->threads);
    if (settings->steps > j->info.steps)
        return TSPK_FAIL(err, TSPK_RANGE, "%u steps asked for, the network has %u", settings->steps,
                         j->info.steps);
    if (!settings->is_forced && strcmp(tspk_model_sha256(j->model), j->info.source_sha256) != 0)
        return TSPK_FAIL(err, TSPK_MISMATCH,
                         "the network (SHA-256 %.12s...) is not the source (%.12s...)",
                         tspk_model_sha256(j->model), j->info.source_sha256);
    j->result.n_steps = settings->steps ? settings->steps : j->info.steps;
    j->result.threads = threads;
    j->result.batch = settings->batch;
    TSPK_TRY(find_output(j, err));
    TSPK_TRY(check_input(j, err));
    TSPK_TRY(tspk_sample_set_init(&j->set, data, settings->skip, settings->limit, j->info.classes,
                                  j->info.image_dim, threads, err));
    TSPK_TRY(allocate(j, err));
    TSPK_TRY(tspk_ann_open(j->model, threads, &j->ann, err));
    session = session_settings(j, j->result.n_steps);
    TSPK_TRY(tspk_session_open(j->spike, &session, &j->session, err));
    return tspk_modes_open(&j->result.modes, j->spike, settings, &session, j->chunk,
                           j->info.classes, err);
}

/* A fixed batch that the last images do not fill is filled up with copies of the first. */
static tspk_status run_source(job *j, size_t n, tspk_error *err)
{
    const size_t elems = tspk_sample_set_elems(&j->set);
    const size_t n_runs = (n + j->ann_batch - 1) / j->ann_batch;
    const void *in[1] = {j->images};
    void *out[MAX_OUTPUTS] = {NULL};

    for (size_t i = n; i < n_runs * j->ann_batch; i++)
        memcpy(j->images + i * elems, j->images, elems * sizeof *j->images);
    out[j->ann_output] = j->source;
    return tspk_ann_run(j->ann, n_runs, in, out, err);
}

static void add_step(tspk_tally *tally, const tspk_step_work *work)
{
    tally->synaptic += work->energy_synaptic;
    tally->full += work->energy_full;
    tally->quantised_ann += work->energy_quantised_ann;
    tally->spikes += (double)work->spikes;
    tally->neurons += (double)work->neurons;
}

static tspk_status compare_chunk(job *j, size_t at, size_t n, tspk_error *err)
{
    const size_t classes = j->info.classes, steps = j->result.n_steps;

    TSPK_TRY(run_source(j, n, err));
    TSPK_TRY(tspk_session_run(j->session, n, j->images, j->logits, j->work, err));
    for (size_t i = 0; i < n; i++) {
        const float *source = j->source + i * classes;
        const int64_t label = tspk_dataset_label(j->set.data, j->set.sample[at + i]);

        j->labels[i] = label;
        j->result.overlap += tspk_spike_has_calibrated_on(j->spike, j->hashes[i]);
        tspk_tally_label(&j->result.ann, source, classes, label);
        for (size_t t = 0; t < steps; t++) {
            const float *logits = j->logits + (i * steps + t) * classes;
            tspk_tally *tally = &j->result.step[t];

            tspk_tally_label(tally, logits, classes, label);
            tspk_tally_compare(tally, source, logits, classes);
            add_step(tally, &j->work[i * steps + t]);
        }
        TSPK_TRY(tspk_outcomes_add(&j->result.outcomes, j->set.sample[at + i], label, source,
                                   j->logits + (i * steps + steps - 1) * classes, classes, err));
    }
    return tspk_modes_add(&j->result.modes, n, j->images, j->source, j->labels, j->info.classes,
                          err);
}

static tspk_status open_reader(job *j, tspk_error *err)
{
    const tspk_reader_settings settings = {
        .skip = j->settings->skip,
        .limit = j->settings->limit,
        .threads = j->result.threads,
        .is_strict = j->settings->is_strict,
        .broken = j->settings->broken,
        .broken_context = j->settings->broken_context,
    };

    return tspk_reader_open(j->set.data, j->set.dim, &settings, &j->reader, err);
}

/* What could not be read, by number. */
static tspk_status take_broken(job *j, tspk_error *err)
{
    const size_t n = tspk_reader_count_broken(j->reader);

    j->result.is_labelled = j->set.is_labelled;
    j->result.broken = malloc((n + 1) * sizeof *j->result.broken);
    if (!j->result.broken)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu broken samples", n);
    for (size_t i = 0; i < n; i++)
        j->result.broken[i] = tspk_reader_broken(j->reader, i);
    j->result.n_broken = n;
    tspk_reader_close(j->reader);
    j->reader = NULL;
    return TSPK_OK;
}

static tspk_status compare_all(job *j, tspk_error *err)
{
    size_t n = 1;

    TSPK_TRY(open_reader(j, err));
    while (n) {
        const size_t at = j->set.n;

        TSPK_TRY(report_progress(j, "validate", at, j->set.most, err));
        TSPK_TRY(tspk_sample_set_next(&j->set, j->reader, j->chunk, j->images, j->hashes, &n, err));
        if (n)
            TSPK_TRY(compare_chunk(j, at, n, err));
    }
    return take_broken(j, err);
}

/* Up to two batches of tensors in memory; every step count has a session of its own. */
static tspk_status time_all(job *j, float *images, float *source, size_t n, tspk_error *err)
{
    const uint32_t steps = j->result.n_steps;
    const size_t n_runs = n / j->ann_batch;
    const void *in[1] = {images};
    void *out[MAX_OUTPUTS] = {NULL};

    TSPK_TRY(tspk_sample_set_read(&j->set, 0, n, images, err));
    TSPK_TRY(report_progress(j, "time", 0, steps + 1u, err));
    j->result.is_timed = true;
    out[j->ann_output] = source;
    if (n_runs > 0)
        TSPK_TRY(
            tspk_time_ann(j->ann, n_runs, in, out, n_runs * j->ann_batch, &j->result.ann_ms, err));
    j->result.is_ann_timed = n_runs > 0;
    for (uint32_t t = 1; t <= steps; t++) {
        const tspk_session_settings settings = session_settings(j, t);

        TSPK_TRY(report_progress(j, "time", t, steps + 1u, err));
        TSPK_TRY(tspk_time_session(j->spike, &settings, images, n, j->info.classes,
                                   &j->result.step_ms[t - 1], err));
    }
    for (uint32_t m = 0; m < j->result.modes.n; m++) {
        tspk_mode_run *run = &j->result.modes.run[m];
        tspk_session_settings settings = session_settings(j, run->steps);

        settings.mode = run->name;
        settings.is_merging_off |= run->is_merging_off;
        settings.is_refining_off |= run->is_refining_off;
        settings.policy = run->policy;
        settings.exit = run->exit;
        TSPK_TRY(tspk_time_session(j->spike, &settings, images, n, j->info.classes, &run->ms, err));
    }
    return TSPK_OK;
}

static tspk_status time_networks(job *j, tspk_error *err)
{
    const size_t most = 2 * (size_t)j->settings->batch;
    const size_t n = j->set.n < most ? j->set.n : most;
    float *images = calloc(n, tspk_sample_set_elems(&j->set) * sizeof *images);
    float *source = calloc(n, j->info.classes * sizeof *source);
    tspk_status status = TSPK_OK;

    if (!images || !source)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", n);
    if (status == TSPK_OK)
        status = time_all(j, images, source, n, err);
    free(source);
    free(images);
    return status;
}

/* All images of a stated limit, else a few of them: docs/cli.md. Rates and SNR alone take few. */
static tspk_status diagnose(job *j, tspk_error *err)
{
    const bool is_full = j->settings->has_layers;
    const size_t limit = is_full && j->settings->limit ? j->settings->limit : TSPK_LAYER_IMAGES;

    tspk_ann_close(j->ann); /* its memory is not needed any more */
    j->ann = NULL;
    return tspk_layers_run(j->spike->graph, j->model, &j->set, limit, j->result.n_steps, is_full,
                           j->result.threads, j->settings->progress, j->settings->progress_context,
                           &j->result.layers, err);
}

tspk_status tspk_validate(const tspk_spike *spike, const tspk_model *model,
                          const tspk_dataset *data, const tspk_validate_settings *settings,
                          char **json_out, tspk_error *err)
{
    tspk_validate_settings defaults;
    job *j = calloc(1, sizeof *j);
    tspk_status status;

    if (!j)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to validate");
    tspk_validate_default_settings(&defaults);
    j->spike = spike;
    j->model = model;
    j->settings = settings ? settings : &defaults;
    j->result.spike = spike;
    j->result.data = data;
    j->result.settings = j->settings;
    j->result.network_sha256 = tspk_model_sha256(model);
    status = open_all(j, data, err);
    if (status == TSPK_OK)
        status = compare_all(j, err);
    tspk_session_close(j->session); /* the timed sessions have the memory for themselves */
    j->session = NULL;
    if (status == TSPK_OK && !j->settings->is_untimed)
        status = time_networks(j, err);
    if (status == TSPK_OK && (j->settings->has_layers || j->settings->has_site_rates))
        status = diagnose(j, err);
    if (status == TSPK_OK)
        status = tspk_validation_json(&j->result, json_out, err);
    done(j);
    free(j);
    return status;
}
