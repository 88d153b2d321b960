/* SPDX-License-Identifier: Apache-2.0 */
#include "core/spikegraph.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

tspk_status tspk_spikegraph_new(tspk_graph *graph, tspk_spikegraph **out, tspk_error *err)
{
    tspk_spikegraph *spikes = calloc(1, sizeof *spikes);

    if (!spikes)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the spike graph");
    spikes->arena = tspk_arena_new(0);
    if (!spikes->arena) {
        free(spikes);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the spike graph");
    }
    spikes->graph = graph;
    spikes->n_classes = 1;
    spikes->provenance.tool = "";
    spikes->provenance.settings = "";
    *out = spikes;
    return TSPK_OK;
}

tspk_status tspk_find_point(const tspk_spikegraph *spikes, const char *name, uint32_t *index_out,
                            tspk_error *err)
{
    char all[160] = "";

    for (uint32_t i = 0; i < spikes->n_points; i++) {
        const size_t used = strlen(all);

        if (!strcmp(spikes->point[i].name, name)) {
            *index_out = i;
            return TSPK_OK;
        }
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", spikes->point[i].name);
    }
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "no mode %.32s; there is %s", name, all);
}

void tspk_spikegraph_free(tspk_spikegraph *spikes)
{
    if (!spikes)
        return;
    tspk_graph_free(spikes->graph);
    tspk_arena_free(spikes->arena);
    free(spikes);
}

/* How often a Linear node reads row `row` of its input. */
static uint32_t count_reads(const tspk_node *linear, uint32_t row)
{
    uint32_t reads = 0;

    if (!linear->attr.n_rows)
        return 1;
    for (uint32_t i = 0; i < linear->attr.n_rows; i++)
        reads += linear->attr.rows[i] == row;
    return reads;
}

static const tspk_spike_attention *find_attention(const tspk_spikegraph *spikes, tspk_node_id node)
{
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        if (spikes->attention[i].node == node)
            return &spikes->attention[i];
    return NULL;
}

uint32_t tspk_site_fan_out(const tspk_spikegraph *spikes, uint32_t site, uint32_t row)
{
    const tspk_site *const at = &spikes->site[site];
    const tspk_spike_attention *attention;
    uint32_t fan_out = 0;

    if (at->kind == TSPK_SITE_LINEAR) {
        for (uint32_t i = 0; i < spikes->n_linears; i++) {
            const tspk_spike_linear *const linear = &spikes->linear[i];

            if (linear->site == site)
                fan_out += linear->n_out * count_reads(&spikes->graph->node[linear->node], row);
        }
        return fan_out;
    }
    attention = find_attention(spikes, at->node);
    if (!attention)
        return 0;
    switch (at->kind) {
    case TSPK_SITE_QUERY:
        return spikes->site[attention->key].rows;
    case TSPK_SITE_KEY:
    case TSPK_SITE_VALUE:
        return spikes->site[attention->query].rows;
    case TSPK_SITE_NUMERATOR:
        return spikes->site[attention->value].channels / at->channels;
    case TSPK_SITE_LINEAR:
        break;
    }
    return 0;
}

static bool stands_at(const tspk_spikegraph *spikes, const tspk_analog_site *site, tspk_node_id id)
{
    const tspk_node *const node = &spikes->graph->node[id];

    if (site->kind != TSPK_SITE_LINEAR)
        return site->node == id;
    return node->op == TSPK_OP_LINEAR && node->n_in > 1 && node->in[0] == site->input;
}

const tspk_analog_site *tspk_find_analog_site(const tspk_spikegraph *spikes, tspk_node_id node)
{
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++)
        if (stands_at(spikes, &spikes->analog_site[i], node))
            return &spikes->analog_site[i];
    return NULL;
}

uint32_t tspk_analog_site_fan_out(const tspk_spikegraph *spikes, const tspk_analog_site *site)
{
    const tspk_graph *const graph = spikes->graph;
    uint32_t fan_out = 0;

    if (site->kind == TSPK_SITE_LINEAR) {
        for (tspk_node_id n = 0; n < graph->n_nodes; n++)
            if (stands_at(spikes, site, n))
                fan_out += (uint32_t)tspk_shape_last(&graph->value[graph->node[n].out[0]].shape);
        return fan_out;
    }
    switch (site->kind) {
    case TSPK_SITE_QUERY:
        return (uint32_t)tspk_shape_rows(&graph->value[graph->node[site->node].in[1]].shape);
    case TSPK_SITE_KEY:
    case TSPK_SITE_VALUE:
        return (uint32_t)tspk_shape_rows(&graph->value[graph->node[site->node].in[0]].shape);
    case TSPK_SITE_NUMERATOR:
        return (uint32_t)tspk_shape_last(&graph->value[graph->node[site->node].in[2]].shape) /
               site->channels;
    case TSPK_SITE_LINEAR:
        break;
    }
    return 0;
}

const tspk_exit_policy *tspk_find_exit(const tspk_point *point, tspk_exit_kind kind)
{
    for (uint32_t i = 0; i < point->n_exits; i++)
        if (point->exit[i].kind == kind)
            return &point->exit[i];
    return NULL;
}

const char *tspk_exit_kind_name(tspk_exit_kind kind)
{
    static const char *const names[TSPK_EXIT_KINDS] = {"none", "confidence", "entropy", "margin",
                                                       "net"};

    return kind < TSPK_EXIT_KINDS ? names[kind] : "unknown";
}

const char *tspk_site_kind_name(tspk_site_kind kind)
{
    switch (kind) {
    case TSPK_SITE_LINEAR:
        return "linear";
    case TSPK_SITE_QUERY:
        return "query";
    case TSPK_SITE_KEY:
        return "key";
    case TSPK_SITE_VALUE:
        return "value";
    case TSPK_SITE_NUMERATOR:
        return "numerator";
    }
    return "unknown";
}

const char *tspk_ladder_kind_name(tspk_ladder_kind kind)
{
    switch (kind) {
    case TSPK_LADDER_POW2:
        return "pow2";
    case TSPK_LADDER_GEOMETRIC:
        return "geometric";
    case TSPK_LADDER_UNIFORM:
        return "uniform";
    case TSPK_LADDER_FITTED:
        return "fitted";
    case TSPK_LADDER_SIGNED:
        return "signed";
    }
    return "unknown";
}
