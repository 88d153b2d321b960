/* SPDX-License-Identifier: Apache-2.0 */
/* The public session: settings, memory, images over threads. */
#include "runtime/spike/spike_session.h"

#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/cpu.h"
#include "core/fail.h"
#include "core/point_graph.h"
#include "core/spike_handle.h"
#include "runtime/spike/spike_energy.h"

#define MAX_THREADS 1024

void tspk_session_default_settings(tspk_session_settings *settings)
{
    *settings = (tspk_session_settings){
        .threads = 0, .batch = 16, .steps = 0, .isa = TSPK_ISA_AUTO, .exit = -1};
}

static tspk_status check_settings(const tspk_session_settings *settings, tspk_error *err)
{
    if (settings->threads < 0 || settings->threads > MAX_THREADS)
        return TSPK_FAIL(err, TSPK_USAGE, "%d threads, expected 0 to %d", settings->threads,
                         MAX_THREADS);
    if (!settings->batch)
        return TSPK_FAIL(err, TSPK_USAGE, "a batch of 0 images");
    if (!(settings->exit <= 1.0))
        return TSPK_FAIL(err, TSPK_USAGE, "exit at %g, expected 0 to 1", settings->exit);
    return TSPK_OK;
}

/* Thresholds that come from outside want no more than a temperature. */
static tspk_status make_exit(tspk_exit_kind kind, uint32_t n_steps, tspk_arena *arena,
                             const tspk_exit_policy **exit_out, tspk_error *err)
{
    tspk_exit_policy *const policy = tspk_arena_alloc(arena, sizeof *policy);
    float *const ones = tspk_arena_array(arena, 2 * (size_t)n_steps, sizeof *ones);

    if (!policy || !ones)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the exit policy");
    for (uint32_t i = 0; i < 2 * n_steps; i++)
        ones[i] = 1.0f;
    *policy = (tspk_exit_policy){.kind = kind, .temperature = ones, .threshold = ones};
    *exit_out = policy;
    return TSPK_OK;
}

static tspk_exit_kind exit_kind(const tspk_session_settings *settings, const tspk_point *point)
{
    return settings->policy == TSPK_POLICY_OF_MODE
               ? point->exit_kind
               : (tspk_exit_kind)(settings->policy - TSPK_POLICY_NONE);
}

static tspk_status choose_exit(tspk_session *session, const tspk_session_settings *settings,
                               tspk_error *err)
{
    const tspk_spike_plan *const plan = &session->plan;
    const tspk_point *const point = plan->point;
    const tspk_exit_kind kind = exit_kind(settings, point);

    session->exit_threshold = (float)settings->exit;
    if (point->n_steps == 1)
        return TSPK_OK;
    if (kind == TSPK_EXIT_NONE)
        return settings->exit < 0
                   ? TSPK_OK
                   : TSPK_FAIL(err, TSPK_USAGE,
                               "an exit threshold, but mode %.64s runs under no exit "
                               "policy",
                               point->name);
    session->exit = tspk_find_exit(point, kind);
    if (!session->exit && kind == TSPK_EXIT_NET)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "mode %.64s has no policy net", point->name);
    if (!session->exit && settings->exit < 0)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "mode %.64s has no thresholds for the policy %s: give one", point->name,
                         tspk_exit_kind_name(kind));
    if (!session->exit)
        TSPK_TRY(make_exit(kind, point->n_steps, plan->arena, &session->exit, err));
    session->exit_elems = tspk_exit_scratch(session->exit, session->logit_elems);
    session->exit_scratch = tspk_arena_array(
        plan->arena, (size_t)session->n_slots * session->exit_elems, sizeof *session->exit_scratch);
    if (!session->exit_scratch)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the exit policy");
    return TSPK_OK;
}

/* One block for slots and scratch, so that a run takes nothing more. */
static tspk_status take_memory(tspk_session *session, tspk_error *err)
{
    const tspk_spike_plan *const plan = &session->plan;
    const size_t n_slots = (size_t)session->n_slots, threads = (size_t)session->threads;
    size_t slots, scratch, total;

    if (!tspk_checked_mul(n_slots, plan->slot_bytes, &slots) ||
        !tspk_checked_mul(threads, plan->scratch_bytes, &scratch) ||
        !tspk_checked_add(slots, scratch, &total) ||
        !tspk_checked_add(total, TSPK_ALIGN_BYTES, &total))
        return TSPK_FAIL(err, TSPK_NOMEM, "the session's memory exceeds the address space");
    session->arena_bytes = total;
    /* pages that a run does not touch are not taken; calloc's are 16-byte aligned */
    session->block = calloc(total + TSPK_ALIGN_BYTES, 1);
    if (session->block)
        session->memory =
            session->block + TSPK_ALIGN_BYTES - (uintptr_t)session->block % TSPK_ALIGN_BYTES;
    session->counter =
        tspk_arena_array(plan->arena, threads * plan->steps, sizeof *session->counter);
    session->error = tspk_arena_array(plan->arena, n_slots, sizeof *session->error);
    session->failed = tspk_arena_array(plan->arena, n_slots, sizeof *session->failed);
    if (!session->memory || !session->counter || !session->error || !session->failed)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %d images of %zu bytes side by side",
                         session->n_slots, plan->slot_bytes);
    session->scratch = session->memory + slots;
    return TSPK_OK;
}

static tspk_status open_session(const tspk_spikegraph *spikes,
                                const tspk_session_settings *settings, tspk_session *session,
                                tspk_error *err)
{
    const tspk_kernels *kernels;
    const tspk_graph *graph;
    uint32_t point = 0, pass;
    float refine_share;

    TSPK_TRY(check_settings(settings, err));
    if (settings->mode)
        TSPK_TRY(tspk_find_point(spikes, settings->mode, &point, err));
    TSPK_TRY(tspk_kernels_select(settings->isa, &kernels, err));
    if (spikes->point[point].merging.n_attentions && !settings->is_merging_off) {
        TSPK_TRY(tspk_point_graph(spikes, &spikes->point[point].merging, &session->merged, err));
        spikes = session->merged;
    }
    graph = spikes->graph;
    session->threads = settings->threads ? settings->threads : tspk_parallel_max_threads();
    session->n_slots =
        (uint32_t)session->threads < settings->batch ? session->threads : (int)settings->batch;
    /* a policy is asked, and tokens are chosen, between passes */
    refine_share = settings->is_refining_off ? 0.0f : spikes->point[point].refine_share;
    pass = refine_share > 0.0f || exit_kind(settings, &spikes->point[point]) != TSPK_EXIT_NONE
               ? 1
               : settings->steps_per_pass;
    TSPK_TRY(tspk_spike_plan_init(spikes, point, settings->steps, pass, refine_share, kernels,
                                  tspk_row_kernels_for(settings->isa),
                                  tspk_vecmath_for(tspk_isa_resolve(settings->isa)), &session->plan,
                                  err));
    session->image_elems = tspk_shape_elems(&graph->value[graph->input[0]].shape);
    session->logit_elems = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    TSPK_TRY(choose_exit(session, settings, err));
    return take_memory(session, err);
}

tspk_status tspk_session_open(const tspk_spike *spike, const tspk_session_settings *settings,
                              tspk_session **session_out, tspk_error *err)
{
    tspk_session_settings chosen;
    tspk_session *session;
    tspk_status status;

    tspk_session_default_settings(&chosen);
    if (settings)
        chosen = *settings;
    session = calloc(1, sizeof *session);
    status = session ? open_session(spike->graph, &chosen, session, err)
                     : TSPK_FAIL(err, TSPK_NOMEM, "no memory for a session");
    if (status != TSPK_OK) {
        tspk_session_close(session);
        return tspk_in_stage(err, status, "session");
    }
    *session_out = session;
    return TSPK_OK;
}

void tspk_session_close(tspk_session *session)
{
    if (!session)
        return;
    tspk_spike_plan_done(&session->plan);
    tspk_spikegraph_free(session->merged);
    free(session->block);
    free(session);
}

/* Sums of the workers' counters of step t, which are then empty. */
static void sum_counters(const tspk_spike_run *run, uint32_t t, tspk_spike_counter *sum)
{
    const int first = run->threads <= 1 ? run->worker : 0;
    const int end = run->threads <= 1 ? first + 1 : run->threads;

    memset(sum, 0, sizeof *sum);
    for (int w = first; w < end; w++) {
        tspk_spike_counter *const counter = tspk_run_counter(run, w, t);

        sum->spikes += counter->spikes;
        sum->neurons += counter->neurons;
        sum->accumulates += counter->accumulates;
        sum->head += counter->head;
        sum->level_bits += counter->level_bits;
        memset(counter, 0, sizeof *counter);
    }
}

/* The last step, `last` as yet, of an image whose logits after step t these are. */
static uint32_t stop_after(const tspk_session *session, int slot, uint32_t t, uint32_t last,
                           const float *logits)
{
    const tspk_spike_plan *const plan = &session->plan;
    const uint32_t stop = tspk_exit_after(
        plan->math, session->exit, t, plan->point->n_steps, session->exit_threshold, logits,
        session->logit_elems, session->exit_scratch + (size_t)slot * session->exit_elems);

    return stop < last ? stop : last;
}

/* What stands behind the last step that was executed. */
static void hold(const tspk_session *session, uint32_t last, float *logits, tspk_step_work *work)
{
    const size_t elems = session->logit_elems;

    for (uint32_t t = last; t < session->plan.steps; t++) {
        memcpy(logits + t * elems, logits + (last - 1) * elems, elems * sizeof *logits);
        if (work) {
            work[t] = work[last - 1];
            work[t].spikes = work[t].neurons = 0;
        }
    }
}

tspk_status tspk_session_run_image(tspk_session *session, int slot, int threads, const float *image,
                                   float *logits, tspk_step_work *work, tspk_site_record *record,
                                   tspk_error *err)
{
    const tspk_spike_plan *const plan = &session->plan;
    const tspk_graph *const graph = plan->graph;
    const size_t a_step = session->logit_elems;
    uint32_t last = plan->steps;
    double policy_macs = 0;
    tspk_spike_counter step;
    tspk_energy_sum total = {0};
    tspk_spike_run run = {.plan = plan,
                          .slot = session->memory + (size_t)slot * plan->slot_bytes,
                          .scratch = session->scratch,
                          .counter = session->counter,
                          .threads = threads,
                          .worker = slot,
                          .first = 1,
                          .record = record,
                          .trace = session->trace};

    for (uint32_t t = 1; t <= plan->steps; t++)
        sum_counters(&run, t, &step);
    memcpy(tspk_run_value(&run, graph->input[0], 1), image, session->image_elems * sizeof *image);
    for (run.first = 1; run.first <= last; run.first = run.last + 1) {
        run.last = last - run.first < plan->pass ? last : run.first + plan->pass - 1;
        TSPK_TRY(tspk_spike_pass(&run, err));
        for (uint32_t t = run.first; t <= run.last; t++) {
            tspk_step_work done;

            memcpy(logits + (t - 1) * a_step, tspk_run_value(&run, graph->output[0], t),
                   a_step * sizeof *logits);
            sum_counters(&run, t, &step);
            if (session->exit && t < last) {
                policy_macs += tspk_exit_macs(session->exit, t, plan->point->n_steps);
                last = stop_after(session, slot, t, last, logits + (t - 1) * a_step);
            }
            tspk_step_energy(&run, t, &step, &total, policy_macs, &done);
            if (work)
                work[t - 1] = done;
        }
    }
    hold(session, last, logits, work);
    return TSPK_OK;
}

typedef struct batch_job {
    tspk_session *session;
    const float *images;
    float *logits;
    tspk_step_work *work;
} batch_job;

static tspk_status run_one(const batch_job *job, size_t i, int slot, int threads, tspk_error *err)
{
    const uint32_t steps = job->session->plan.steps;

    return tspk_session_run_image(job->session, slot, threads,
                                  job->images + i * job->session->image_elems,
                                  job->logits + i * steps * job->session->logit_elems,
                                  job->work ? job->work + i * steps : NULL, NULL, err);
}

/* A failure is kept with its image, so that the first image's is reported whoever met it first. */
static void run_in_slot(void *context, size_t i, int worker)
{
    const batch_job *const job = context;
    tspk_session *const session = job->session;
    tspk_error error;

    tspk_error_init(&error);
    if (run_one(job, i, worker, 1, &error) != TSPK_OK && i < session->failed[worker]) {
        session->failed[worker] = i;
        session->error[worker] = error;
    }
}

static tspk_status run_side_by_side(const batch_job *job, size_t n, tspk_error *err)
{
    tspk_session *const session = job->session;
    int first = 0;

    for (int w = 0; w < session->n_slots; w++)
        session->failed[w] = SIZE_MAX;
    tspk_parallel_for(session->n_slots, n, run_in_slot, (void *)(uintptr_t)job);
    for (int w = 1; w < session->n_slots; w++)
        if (session->failed[w] < session->failed[first])
            first = w;
    if (session->failed[first] == SIZE_MAX)
        return TSPK_OK;
    if (err)
        *err = session->error[first];
    return session->error[first].status;
}

tspk_status tspk_session_run(tspk_session *session, size_t n, const float *images, float *logits,
                             tspk_step_work *work, tspk_error *err)
{
    const batch_job job = {session, images, logits, work};

    /* side by side when that occupies more than half of the threads */
    if (n >= (size_t)session->n_slots && 2 * session->n_slots > session->threads)
        return tspk_in_stage(err, run_side_by_side(&job, n, err), "session");
    for (size_t i = 0; i < n; i++)
        TSPK_TRY(tspk_in_stage(err, run_one(&job, i, 0, session->threads, err), "session"));
    return TSPK_OK;
}

void tspk_session_memory_get(const tspk_session *session, tspk_session_memory *memory_out)
{
    const tspk_spike_plan *const plan = &session->plan;

    memory_out->weights = plan->weight_bytes;
    memory_out->state = (size_t)session->n_slots * plan->state_bytes;
    memory_out->arena = session->arena_bytes;
}
