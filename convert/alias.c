/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/alias.h"

#include <string.h>

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

/* Whether the rows of both are the same ones of the source network, for all that is noted. */
static bool has_same_rows(const tspk_value *a, const tspk_value *b)
{
    const size_t rows = tspk_shape_rows(&a->shape);

    if (!a->source_row || !b->source_row)
        return !a->source_row && !b->source_row;
    return a->source_rows == b->source_rows && rows == tspk_shape_rows(&b->shape) &&
           !memcmp(a->source_row, b->source_row, rows * sizeof *a->source_row);
}

bool tspk_aliases_bypass(tspk_aliases *aliases, tspk_graph *graph, tspk_node_id id,
                         tspk_value_id in)
{
    const tspk_value_id out = graph->node[id].out[0];

    if (aliases->is_output[out] ||
        !has_same_rows(&graph->value[aliases->of[in]], &graph->value[out]))
        return false;
    aliases->of[out] = aliases->of[in];
    tspk_graph_kill_node(graph, id);
    return true;
}
