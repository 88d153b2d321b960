/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/calibrate.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating point");
}

/* ECMT knows one population a tensor. */
static tspk_status merge_classes(tspk_spikegraph *spikes, tspk_error *err)
{
    spikes->n_classes = 1;
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        spikes->site[i].row_class = tspk_arena_array(spikes->arena, spikes->site[i].rows, 1);
        if (!spikes->site[i].row_class)
            return no_memory(err);
    }
    return TSPK_OK;
}

static tspk_status make_point(tspk_spikegraph *spikes, const tspk_calib_settings *settings,
                              tspk_point **point_out, tspk_error *err)
{
    tspk_arena *arena = spikes->arena;
    tspk_point *point = tspk_arena_array(arena, 1, sizeof *point);

    if (!point)
        return no_memory(err);
    point->name = tspk_arena_text(arena, "exact");
    point->coding = settings->coding;
    point->n_steps = settings->n_steps;
    point->n_levels = settings->n_levels;
    point->site = tspk_arena_array(arena, spikes->n_sites, sizeof *point->site);
    point->bias = tspk_arena_array(arena, spikes->n_linears, sizeof *point->bias);
    if (!point->name || !point->site || !point->bias)
        return no_memory(err);
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        point->site[i].step = tspk_arena_array(arena, settings->n_steps, sizeof(tspk_site_step));
        if (!point->site[i].step)
            return no_memory(err);
    }
    spikes->point = point;
    spikes->n_points = 1;
    *point_out = point;
    return TSPK_OK;
}

static uint32_t linear_of(const tspk_spikegraph *spikes, tspk_node_id node)
{
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        if (spikes->linear[i].node == node)
            return i;
    return UINT32_MAX;
}

static uint32_t attention_of(const tspk_spikegraph *spikes, tspk_node_id node)
{
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        if (spikes->attention[i].node == node)
            return i;
    return UINT32_MAX;
}

static tspk_status walk_node(tspk_calib *calib, tspk_node_id id, bool *is_site_done, tspk_error *err)
{
    const tspk_spikegraph *spikes = calib->spikes;
    const uint32_t linear = linear_of(spikes, id), attention = attention_of(spikes, id);

    if (attention != UINT32_MAX)
        return tspk_calib_attention(calib, attention, err);
    if (linear == UINT32_MAX)
        return tspk_stage_eval(calib->stage, id, err);
    if (is_site_done[spikes->linear[linear].site])
        return TSPK_OK;
    is_site_done[spikes->linear[linear].site] = true;
    return tspk_calib_linear_site(calib, spikes->linear[linear].site, err);
}

static size_t best_class(const float *logit, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logit[i] > logit[best])
            best = i;
    return best;
}

static double log_sum_exp(const float *logit, size_t n)
{
    const double most = (double)logit[best_class(logit, n)];
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp((double)logit[i] - most);
    return most + log(sum);
}

static double divergence(const float *ann, const float *snn, size_t n)
{
    const double a = log_sum_exp(ann, n), s = log_sum_exp(snn, n);
    double kl = 0;

    for (size_t i = 0; i < n; i++) {
        const double log_p = (double)ann[i] - a;

        kl += exp(log_p) * (log_p - ((double)snn[i] - s));
    }
    return kl;
}

static void judge(const tspk_calib *calib, size_t from, size_t to, double *kl, double *agreement)
{
    const tspk_graph *graph = calib->spikes->graph;
    const tspk_value_id output = graph->output[0];
    const size_t classes = tspk_shape_last(&graph->value[output].shape);

    for (uint32_t t = 1; t <= calib->settings.n_steps; t++) {
        kl[t - 1] = agreement[t - 1] = 0;
        for (size_t i = from; i < to; i++) {
            const float *ann = tspk_stage_at(calib->stage, output, i, 0);
            const float *snn = tspk_stage_at(calib->stage, output, i, t);

            kl[t - 1] += divergence(ann, snn, classes) / (double)(to - from);
            agreement[t - 1] += (best_class(ann, classes) == best_class(snn, classes)) /
                                (double)(to - from);
        }
    }
}

tspk_status tspk_calibrate(tspk_spikegraph *spikes, const tspk_graph *source, const float *images,
                           size_t n_images, size_t n_fitted, const tspk_calib_settings *settings,
                           tspk_calib_report *report_out, tspk_error *err)
{
    const uint32_t n_nodes = spikes->graph->n_nodes;
    tspk_calib calib = {.spikes = spikes, .source = source, .n_fitted = n_fitted,
                        .settings = *settings};
    bool *is_site_done = calloc((size_t)spikes->n_sites + 1, sizeof *is_site_done);
    tspk_status status;

    calib.decoded = calloc((size_t)spikes->n_sites + 1, sizeof *calib.decoded);
    status = is_site_done && calib.decoded ? TSPK_OK : no_memory(err);
    if (status == TSPK_OK && settings->is_ecmt)
        status = merge_classes(spikes, err);
    if (status == TSPK_OK)
        status = make_point(spikes, settings, &calib.point, err);
    if (status == TSPK_OK)
        status = tspk_stage_new(spikes, images, n_images, settings->n_steps, settings->threads,
                                &calib.stage, err);
    for (tspk_node_id i = 0; i < n_nodes && status == TSPK_OK; i++) {
        status = walk_node(&calib, i, is_site_done, err);
        if (status == TSPK_OK && settings->progress &&
            settings->progress(settings->progress_context, "calibrate", i + 1, n_nodes))
            status = TSPK_FAIL(err, TSPK_INTERRUPTED, "stopped at node %u of %u", i + 1, n_nodes);
    }
    if (status == TSPK_OK && report_out) {
        judge(&calib, 0, n_fitted, report_out->kl_fitted, report_out->agreement_fitted);
        if (n_images > n_fitted)
            judge(&calib, n_fitted, n_images, report_out->kl_held_out,
                  report_out->agreement_held_out);
    }
    for (uint32_t i = 0; calib.decoded && i < spikes->n_sites; i++)
        free(calib.decoded[i]);
    free(calib.decoded);
    free(is_site_done);
    tspk_stage_free(calib.stage);
    return tspk_in_stage(err, status, "calibrate");
}
