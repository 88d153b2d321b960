/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A site sorts its channels into groups. Where an elementwise operator alone stands between a
 * Linear and a site, the Linear computes its columns in the sorted order, and nothing is permuted
 * at run time.
 */
#include "runtime/spike/spike_plan.h"

/* Whether nothing but Linears that read the site reads a value. */
static bool is_read_by_site_alone(const tspk_spikegraph *spikes, tspk_value_id value, uint32_t site)
{
    uint32_t linears = 0;

    for (uint32_t i = 0; i < spikes->n_linears; i++)
        linears += spikes->linear[i].site == site &&
                   spikes->graph->node[spikes->linear[i].node].in[0] == value;
    return tspk_graph_count_uses(spikes->graph, value) == linears;
}

/* The Linear that could compute a site's channels in sorted order; n_linears: none. */
static uint32_t find_source(const tspk_spike_plan *plan, uint32_t id)
{
    const tspk_spikegraph *const spikes = plan->spikes;
    const tspk_graph *const graph = plan->graph;
    const tspk_site *const site = &spikes->site[id];
    const tspk_node *between;
    uint32_t source = 0;

    if (site->kind != TSPK_SITE_LINEAR || site->channels % TSPK_LANES ||
        site->group_size % TSPK_STEP || site->n_groups * site->group_size != site->channels ||
        graph->value[site->input].producer == TSPK_ID_NONE ||
        !is_read_by_site_alone(spikes, site->input, id))
        return spikes->n_linears;
    between = &graph->node[graph->value[site->input].producer];
    if (!tspk_op_is_elementwise(between->op) || between->n_in != 1 ||
        tspk_graph_count_uses(graph, between->in[0]) != 1)
        return spikes->n_linears;
    while (source < spikes->n_linears &&
           graph->node[spikes->linear[source].node].out[0] != between->in[0])
        source++;
    if (source < spikes->n_linears && spikes->linear[source].n_out != site->channels)
        return spikes->n_linears;
    return source;
}

void tspk_plan_folds(tspk_spike_plan *plan)
{
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++) {
        const uint32_t source = find_source(plan, i);

        if (source == plan->spikes->n_linears)
            continue;
        plan->site[i].channel = plan->spikes->site[i].order;
        plan->linear[source].column = plan->spikes->site[i].order;
    }
}
