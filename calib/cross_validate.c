/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cross_validate.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/logits.h"
#include "core/spike_handle.h"
#include "runtime/ann/ann_exec.h"

/* Images that a session runs at a time. */
#define CHUNK 16u

tspk_status tspk_source_logits(const tspk_frame *frame, const float *images, size_t n_images,
                               int threads, float *logits_out, tspk_error *err)
{
    const void *in[1] = {images};
    void *out[1] = {logits_out};
    tspk_ann_exec *exec = NULL;
    tspk_status status = tspk_ann_exec_new(frame->source, threads, &exec, err);

    if (status == TSPK_OK)
        status = tspk_ann_exec_run(exec, n_images, in, out, err);
    tspk_ann_exec_free(exec);
    return status;
}

static void add_image(tspk_judgement *sums, uint32_t n_steps, const float *source,
                      const float *logits, const tspk_step_work *work, size_t classes,
                      int64_t label)
{
    const size_t winner = tspk_find_largest(source, classes);

    for (uint32_t t = 0; t < n_steps; t++, logits += classes, work++) {
        const size_t answer = tspk_find_largest(logits, classes);

        sums[t].kl += tspk_kl_of_logits(source, logits, classes);
        sums[t].agreed += answer == winner;
        sums[t].correct += label >= 0 && answer == (size_t)label;
        sums[t].energy_synaptic += work->energy_synaptic;
        sums[t].firing_rate += work->neurons ? (double)work->spikes / (double)work->neurons : 0;
    }
}

tspk_status tspk_judge(const tspk_spikegraph *spikes, const float *images, const int64_t *labels,
                       const float *source, size_t n_images, size_t classes, int threads,
                       tspk_judgement *sums, tspk_error *err)
{
    const uint32_t n_steps = spikes->point[0].n_steps;
    const size_t elems = tspk_shape_elems(&spikes->graph->value[spikes->graph->input[0]].shape);
    const tspk_spike spike = {.graph = (tspk_spikegraph *)(uintptr_t)spikes};
    float *logits = malloc(CHUNK * n_steps * classes * sizeof *logits);
    tspk_step_work *work = malloc(CHUNK * n_steps * sizeof *work);
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_status status = logits && work
                             ? TSPK_OK
                             : TSPK_FAIL(err, TSPK_NOMEM, "no memory to judge %u images", CHUNK);

    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.batch = CHUNK;
    if (status == TSPK_OK)
        status = tspk_session_open(&spike, &settings, &session, err);
    for (size_t from = 0; from < n_images && status == TSPK_OK; from += CHUNK) {
        const size_t n = n_images - from < CHUNK ? n_images - from : CHUNK;

        status = tspk_session_run(session, n, images + from * elems, logits, work, err);
        for (size_t i = 0; i < n && status == TSPK_OK; i++)
            add_image(sums, n_steps, source + (from + i) * classes, logits + i * n_steps * classes,
                      work + i * n_steps, classes, labels ? labels[from + i] : -1);
    }
    tspk_session_close(session);
    free(logits);
    free(work);
    return status;
}

/* Images of one side of the split, moved together. */
typedef struct side {
    float *images, *source;
    int64_t *labels;
    size_t n;
} side;

static void side_done(side *s)
{
    free(s->images);
    free(s->source);
    free(s->labels);
}

static tspk_status take_side(const tspk_frame *frame, const float *images, const int64_t *labels,
                             const float *source, size_t n_images, uint32_t n_folds, uint32_t fold,
                             bool is_fold, side *s, tspk_error *err)
{
    const size_t room = is_fold ? n_images / n_folds + 1 : n_images;

    s->images = malloc(room * frame->image_elems * sizeof *s->images);
    s->source = malloc(room * frame->classes * sizeof *s->source);
    s->labels = malloc(room * sizeof *s->labels);
    if (!s->images || !s->source || !s->labels)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", room);
    for (size_t i = 0; i < n_images; i++) {
        if ((i % n_folds == fold) != is_fold)
            continue;
        memcpy(s->images + s->n * frame->image_elems, images + i * frame->image_elems,
               frame->image_elems * sizeof *images);
        memcpy(s->source + s->n * frame->classes, source + i * frame->classes,
               frame->classes * sizeof *source);
        s->labels[s->n++] = labels ? labels[i] : -1;
    }
    return TSPK_OK;
}

tspk_status tspk_judge_fold(const tspk_frame *frame, const float *images, const int64_t *labels,
                            const float *source, size_t n_images, uint32_t n_folds, uint32_t fold,
                            const tspk_calib_settings *settings, tspk_judgement *sums,
                            size_t *n_judged_out, tspk_exit_record *record,
                            tspk_spikegraph **spikes_out, tspk_error *err)
{
    side fitted = {0}, judged = {0};
    tspk_spikegraph *spikes = NULL;
    tspk_status status = TSPK_OK;

    if (n_images < n_folds || n_folds < 2)
        return TSPK_FAIL(err, TSPK_RANGE, "%zu calibration images for %u folds", n_images, n_folds);
    status = take_side(frame, images, labels, source, n_images, n_folds, fold, false, &fitted, err);
    if (status == TSPK_OK)
        status =
            take_side(frame, images, labels, source, n_images, n_folds, fold, true, &judged, err);
    if (status == TSPK_OK)
        status = tspk_frame_fit(frame, fitted.images, fitted.n, settings, &spikes, err);
    if (status == TSPK_OK)
        status = tspk_judge(spikes, judged.images, judged.labels, judged.source, judged.n,
                            frame->classes, settings->threads, sums, err);
    if (status == TSPK_OK && record)
        status =
            tspk_exit_record_add(record, frame, spikes, judged.images, judged.n, true,
                                 settings->is_mirrored, settings->seed, settings->threads, err);
    *n_judged_out = judged.n;
    if (status == TSPK_OK && spikes_out)
        *spikes_out = spikes;
    else
        tspk_spikegraph_free(spikes);
    side_done(&fitted);
    side_done(&judged);
    return status;
}
