/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/alias.h"

#include "core/fail.h"

tspk_status tspk_aliases_new(const tspk_graph *graph, tspk_arena *scratch,
                             tspk_aliases *aliases_out, tspk_error *err)
{
    tspk_aliases aliases = {tspk_arena_array(scratch, graph->n_values, sizeof *aliases.of),
                            tspk_arena_array(scratch, graph->n_values, sizeof *aliases.is_output)};

    if (!aliases.of || !aliases.is_output)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t i = 0; i < graph->n_values; i++)
        aliases.of[i] = i;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        aliases.is_output[graph->output[i]] = true;
    *aliases_out = aliases;
    return TSPK_OK;
}

void tspk_aliases_apply(const tspk_aliases *aliases, tspk_node *node)
{
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE)
            node->in[i] = aliases->of[node->in[i]];
}

bool tspk_aliases_bypass(tspk_aliases *aliases, tspk_graph *graph, tspk_node_id id,
                         tspk_value_id in)
{
    const tspk_value_id out = graph->node[id].out[0];

    if (aliases->is_output[out])
        return false;
    aliases->of[out] = aliases->of[in];
    tspk_graph_kill_node(graph, id);
    return true;
}
