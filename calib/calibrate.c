/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/calibrate.h"

#include <stdlib.h>

#include "core/fail.h"
#include "core/point_graph.h"

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
    settings->first_price[TSPK_SITE_LINEAR] = settings->first_price[TSPK_SITE_VALUE] = 0.01;
    settings->first_price[TSPK_SITE_QUERY] = settings->first_price[TSPK_SITE_KEY] = 0.03;
    settings->later_price[TSPK_SITE_QUERY] = settings->later_price[TSPK_SITE_KEY] = 0.15;
}

/* Appends a point without parameters. */
static tspk_status make_point(tspk_spikegraph *spikes, const tspk_calib_settings *settings,
                              const char *name, tspk_point **point_out, tspk_error *err)
{
    tspk_arena *arena = spikes->arena;
    tspk_point *points = tspk_arena_array(arena, spikes->n_points + 1, sizeof *points);
    tspk_point *point = points + spikes->n_points;

    if (!points)
        return no_memory(err);
    for (uint32_t i = 0; i < spikes->n_points; i++)
        points[i] = spikes->point[i];
    point->name = tspk_arena_text(arena, name);
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
    spikes->point = points;
    spikes->n_points++;
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

/* Every node of the graph in order: sites are fitted, the rest is evaluated. */
static tspk_status walk(tspk_calib *calib, const char *phase, const float *images, size_t n_images,
                        tspk_error *err)
{
    const tspk_calib_settings *settings = &calib->settings;
    const uint32_t n_sites = calib->spikes->n_sites, n_nodes = calib->spikes->graph->n_nodes;
    bool *is_site_done = calloc((size_t)n_sites + 1, sizeof *is_site_done);
    tspk_status status;

    calib->decoded = calloc((size_t)n_sites + 1, sizeof *calib->decoded);
    status = is_site_done && calib->decoded ? TSPK_OK : no_memory(err);
    if (status == TSPK_OK)
        status = tspk_stage_new(calib->spikes, images, n_images, settings->n_steps,
                                settings->threads, &calib->stage, err);
    for (tspk_node_id i = 0; i < n_nodes && status == TSPK_OK; i++) {
        status = walk_node(calib, i, is_site_done, err);
        if (status == TSPK_OK && settings->progress &&
            settings->progress(settings->progress_context, phase, i + 1, n_nodes))
            status = TSPK_FAIL(err, TSPK_INTERRUPTED, "stopped at node %u of %u", i + 1, n_nodes);
    }
    for (uint32_t i = 0; calib->decoded && i < n_sites; i++)
        free(calib->decoded[i]);
    free(calib->decoded);
    free(is_site_done);
    tspk_stage_free(calib->stage);
    calib->decoded = NULL;
    calib->stage = NULL;
    return status;
}

static tspk_status keep_merging(tspk_spikegraph *spikes, uint32_t pairs, tspk_point *point,
                                tspk_error *err)
{
    const uint32_t n = tspk_graph_count_attentions(spikes->graph);
    uint32_t *const n_pairs = tspk_arena_array(spikes->arena, n, sizeof *n_pairs);

    if (!n_pairs)
        return no_memory(err);
    TSPK_TRY(tspk_count_special_tokens(spikes, &point->merging.n_special, err));
    if (!tspk_merging_spread(spikes->graph, point->merging.n_special, pairs, n_pairs))
        return TSPK_FAIL(err, TSPK_RANGE, "%u pairs of tokens a layer, there is room for %u", pairs,
                         tspk_merging_most(spikes->graph, point->merging.n_special, n_pairs));
    point->merging.n_pairs = n_pairs;
    point->merging.n_attentions = n;
    return TSPK_OK;
}

/* Node ids of the source graph are those of the spike graph: both are merged alike. */
static tspk_status fit_merged(const tspk_calib *exact, const tspk_merged_point *wanted,
                              const float *images, size_t n_images, tspk_error *err)
{
    tspk_spikegraph *const spikes = exact->spikes;
    tspk_calib calib = *exact;
    tspk_spikegraph *derived = NULL;
    tspk_graph *source = NULL;
    tspk_status status;

    calib.settings.n_steps = wanted->n_steps;
    calib.settings.n_levels = wanted->n_levels;
    status = make_point(spikes, &calib.settings, wanted->name, &calib.point, err);
    if (status == TSPK_OK && wanted->pairs)
        status = keep_merging(spikes, wanted->pairs, calib.point, err);
    if (status == TSPK_OK && wanted->pairs)
        status = tspk_point_graph(spikes, &calib.point->merging, &derived, err);
    if (status == TSPK_OK && wanted->pairs)
        status = tspk_graph_clone(exact->source, &source, err);
    if (status == TSPK_OK && wanted->pairs)
        status = tspk_merge_tokens(source, &calib.point->merging, NULL, err);
    if (status == TSPK_OK) {
        calib.has_weights = true;
        if (wanted->pairs) {
            calib.spikes = derived;
            calib.source = source;
        }
        status = walk(&calib, wanted->name, images, n_images, err);
    }
    tspk_graph_free(source);
    tspk_spikegraph_free(derived);
    if (status != TSPK_OK && calib.point)
        spikes->n_points--; /* what stands before it is whole */
    return status;
}

static tspk_calib start(tspk_spikegraph *spikes, const tspk_graph *source, size_t n_images,
                        const tspk_calib_settings *settings, float **balance)
{
    return (tspk_calib){.spikes = spikes,
                        .source = source,
                        .n_source = settings->is_mirrored ? n_images / 2 : n_images,
                        .settings = *settings,
                        .arena = spikes->arena,
                        .balance = balance};
}

tspk_status tspk_calibrate(tspk_spikegraph *spikes, const tspk_graph *source, const float *images,
                           size_t n_images, const tspk_calib_settings *settings,
                           float ***balance_out, tspk_error *err)
{
    float **const balance = tspk_arena_array(spikes->arena, spikes->n_linears, sizeof *balance);
    tspk_calib calib = start(spikes, source, n_images, settings, balance);
    tspk_status status = balance ? TSPK_OK : no_memory(err);

    if (status == TSPK_OK && !settings->options.has_class_populations)
        status = merge_classes(spikes, err);
    if (status == TSPK_OK)
        status = make_point(spikes, settings, "exact", &calib.point, err);
    if (status == TSPK_OK)
        status = walk(&calib, "calibrate", images, n_images, err);
    if (status == TSPK_OK && balance_out)
        *balance_out = balance;
    return tspk_in_stage(err, status, "calibrate");
}

tspk_status tspk_calibrate_merged(tspk_spikegraph *spikes, const tspk_graph *source,
                                  const float *images, size_t n_images,
                                  const tspk_calib_settings *settings, float **balance,
                                  const tspk_merged_point *point, tspk_error *err)
{
    const tspk_calib calib = start(spikes, source, n_images, settings, balance);

    return tspk_in_stage(err, fit_merged(&calib, point, images, n_images, err), "calibrate");
}
