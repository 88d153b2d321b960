/* SPDX-License-Identifier: Apache-2.0 */
#include "core/point_graph.h"

#include <stdlib.h>

#include "core/fail.h"

static uint32_t leading_special(const uint8_t *row_class, uint32_t rows)
{
    uint32_t n = 0;

    while (n < rows && row_class[n])
        n++;
    return n;
}

tspk_status tspk_count_special_tokens(const tspk_spikegraph *spikes, uint32_t *n_out,
                                      tspk_error *err)
{
    uint32_t most = 0;

    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site *const site = &spikes->site[i];
        const uint32_t n = leading_special(site->row_class, site->rows);

        if (site->kind != TSPK_SITE_KEY)
            continue;
        for (uint32_t r = n; r < site->rows; r++)
            if (site->row_class[r])
                return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                                 "tokens cannot be merged: site %.64s has the special token %u "
                                 "behind patches",
                                 site->name, r);
        most = n > most ? n : most;
    }
    *n_out = most;
    return TSPK_OK;
}

/* Rows and keys of a site as its value has them now. */
static void narrow_site(const tspk_graph *graph, tspk_site *site)
{
    const uint32_t rows = (uint32_t)tspk_shape_rows(
        &graph
             ->value[site->kind == TSPK_SITE_NUMERATOR ? graph->node[site->node].in[0]
                                                       : site->input]
             .shape);

    if (rows != site->rows) {
        site->rows = rows;
        site->source_row = NULL;
        site->source_rows = 0;
    }
    if (site->kind == TSPK_SITE_NUMERATOR)
        site->keys = (uint32_t)tspk_shape_rows(&graph->value[graph->node[site->node].in[1]].shape);
}

static tspk_status narrow_analog_site(const tspk_spikegraph *spikes, const tspk_node_id *moved_to,
                                      tspk_analog_site *site, tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;
    tspk_value_id input = site->input;

    if (site->node != TSPK_ID_NONE) {
        site->node = moved_to[site->node];
        site->keys =
            site->keys
                ? (uint32_t)tspk_shape_rows(&graph->value[graph->node[site->node].in[1]].shape)
                : 0;
        input = graph->node[site->node]
                    .in[site->kind == TSPK_SITE_NUMERATOR ? 0 : site->kind - TSPK_SITE_QUERY];
    }
    site->rows = (uint32_t)tspk_shape_rows(&graph->value[input].shape);
    if (!tspk_analog_site_fan_out(spikes, site))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "tokens cannot be merged before site %.64s, which is kept analog",
                         site->name);
    return TSPK_OK;
}

static tspk_status take_records(const tspk_spikegraph *spikes, const tspk_node_id *moved_to,
                                tspk_spikegraph *derived, tspk_error *err)
{
    tspk_arena *const arena = derived->arena;
    const tspk_graph *const graph = derived->graph;

    derived->site = tspk_arena_copy(arena, spikes->site, spikes->n_sites * sizeof *spikes->site);
    derived->linear =
        tspk_arena_copy(arena, spikes->linear, spikes->n_linears * sizeof *spikes->linear);
    derived->attention =
        tspk_arena_copy(arena, spikes->attention, spikes->n_attentions * sizeof *spikes->attention);
    derived->analog_site = tspk_arena_copy(arena, spikes->analog_site,
                                           spikes->n_analog_sites * sizeof *spikes->analog_site);
    if (!derived->site || !derived->linear || !derived->attention || !derived->analog_site)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph of an operating point");
    for (uint32_t i = 0; i < derived->n_linears; i++) {
        tspk_spike_linear *const linear = &derived->linear[i];

        linear->node = moved_to[linear->node];
        derived->site[linear->site].input = graph->node[linear->node].in[0];
    }
    for (uint32_t i = 0; i < derived->n_attentions; i++)
        derived->attention[i].node = moved_to[derived->attention[i].node];
    for (uint32_t i = 0; i < derived->n_sites; i++) {
        tspk_site *const site = &derived->site[i];

        if (site->node != TSPK_ID_NONE)
            site->node = moved_to[site->node];
        if (site->kind != TSPK_SITE_LINEAR && site->kind != TSPK_SITE_NUMERATOR)
            site->input = graph->node[site->node].in[site->kind - TSPK_SITE_QUERY];
        narrow_site(graph, site);
    }
    for (uint32_t i = 0; i < derived->n_analog_sites; i++)
        TSPK_TRY(narrow_analog_site(derived, moved_to, &derived->analog_site[i], err));
    return TSPK_OK;
}

static tspk_status share(const tspk_spikegraph *spikes, tspk_graph *graph,
                         const tspk_node_id *moved_to, tspk_spikegraph **derived_out,
                         tspk_error *err)
{
    tspk_spikegraph *derived = NULL;
    tspk_arena *arena;
    tspk_status status = tspk_spikegraph_new(graph, &derived, err);

    if (status != TSPK_OK) {
        tspk_graph_free(graph);
        return status;
    }
    arena = derived->arena;
    *derived = *spikes;
    derived->arena = arena;
    derived->graph = graph;
    derived->whole = spikes;
    status = take_records(spikes, moved_to, derived, err);
    if (status == TSPK_OK)
        *derived_out = derived;
    else
        tspk_spikegraph_free(derived);
    return status;
}

tspk_status tspk_point_graph(const tspk_spikegraph *spikes, const tspk_merging *merging,
                             tspk_spikegraph **derived_out, tspk_error *err)
{
    tspk_node_id *const moved_to = malloc(((size_t)spikes->graph->n_nodes + 1) * sizeof *moved_to);
    tspk_graph *graph = NULL;
    uint32_t n_special = 0;
    tspk_status status =
        moved_to ? tspk_count_special_tokens(spikes, &n_special, err)
                 : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph of an operating point");

    if (status == TSPK_OK && n_special > merging->n_special)
        status = TSPK_FAIL(err, TSPK_RANGE, "%u special tokens, but %u are kept from merging",
                           n_special, merging->n_special);
    if (status == TSPK_OK)
        status = tspk_graph_clone(spikes->graph, &graph, err);
    if (status == TSPK_OK)
        status = tspk_merge_tokens(graph, merging, moved_to, err);
    if (status == TSPK_OK)
        status = tspk_graph_verify(graph, err);
    if (status == TSPK_OK)
        status = share(spikes, graph, moved_to, derived_out, err);
    else
        tspk_graph_free(graph);
    free(moved_to);
    return status;
}
