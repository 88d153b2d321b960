/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Removes nodes whose results reach no graph output, and lets go of constants that nobody reads.
 *
 *   x ──▶ A ──▶ B ──▶ output          x ──▶ A ──▶ B ──▶ output
 *          └──▶ C                 →
 *
 * Exact.
 */
#include "convert/passes.h"
#include "core/fail.h"

tspk_status tspk_pass_remove_dead(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err)
{
    bool *const is_read = tspk_arena_array(scratch, graph->n_values, sizeof *is_read);

    if (!is_read)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_read[graph->output[i]] = true;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        tspk_node *const node = &graph->node[n];
        bool is_needed = false;

        if (node->is_dead)
            continue;
        for (uint32_t i = 0; i < node->n_out; i++)
            is_needed = is_needed || is_read[node->out[i]];
        if (!is_needed) {
            tspk_graph_kill_node(graph, n);
            (*changes)++;
            continue;
        }
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                is_read[node->in[i]] = true;
    }
    for (uint32_t i = 0; i < graph->n_values; i++)
        if (!is_read[i])
            graph->value[i].data = NULL;
    tspk_graph_sweep(graph);
    return TSPK_OK;
}
