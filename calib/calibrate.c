/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/calibrate.h"

#include <stdlib.h>

#include "core/fail.h"

tspk_calib_options tspk_calib_all_options(void)
{
    return (tspk_calib_options){.is_per_channel = true,
                                .is_nearest = true,
                                .is_sequential = true,
                                .has_site_ladders = true,
                                .has_prior = true,
                                .is_compensated = true,
                                .has_signed_ladders = true,
                                .has_class_populations = true,
                                .is_mirrored = true,
                                .is_priced = true};
}

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating point");
}

/* One population a tensor, as in ECMT. */
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

double tspk_calib_price(const tspk_calib_settings *settings, tspk_site_kind kind, uint32_t t)
{
    return t > 1 ? settings->later_price[kind] : settings->first_price[kind];
}

void tspk_calib_default_price(tspk_calib_settings *settings)
{
    settings->first_price[TSPK_SITE_QUERY] = settings->first_price[TSPK_SITE_KEY] = 0.03;
    settings->later_price[TSPK_SITE_QUERY] = settings->later_price[TSPK_SITE_KEY] = 0.15;
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

static tspk_status walk_node(tspk_calib *calib, tspk_node_id id, bool *is_site_done,
                             tspk_error *err)
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

tspk_status tspk_calibrate(tspk_spikegraph *spikes, const tspk_graph *source, const float *images,
                           size_t n_images, const tspk_calib_settings *settings, tspk_error *err)
{
    const uint32_t n_nodes = spikes->graph->n_nodes;
    tspk_calib calib = {.spikes = spikes,
                        .source = source,
                        .n_source = settings->is_mirrored ? n_images / 2 : n_images,
                        .settings = *settings};
    bool *is_site_done = calloc((size_t)spikes->n_sites + 1, sizeof *is_site_done);
    tspk_status status;

    calib.decoded = calloc((size_t)spikes->n_sites + 1, sizeof *calib.decoded);
    status = is_site_done && calib.decoded ? TSPK_OK : no_memory(err);
    if (status == TSPK_OK && !settings->options.has_class_populations)
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
    for (uint32_t i = 0; calib.decoded && i < spikes->n_sites; i++)
        free(calib.decoded[i]);
    free(calib.decoded);
    free(is_site_done);
    tspk_stage_free(calib.stage);
    return tspk_in_stage(err, status, "calibrate");
}
