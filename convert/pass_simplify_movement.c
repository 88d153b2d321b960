/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of movement that leave every element where it was become one Reshape, or nothing.
 *
 *   x ─▶ Reshape ─▶ Transpose ─▶ Reshape ─▶ Transpose ─▶ Reshape ─▶ A      →      x ─▶ Reshape ─▶ A
 *
 * Exact. The chain is traced on positions (trace.h), so its spelling does not matter.
 */
#include "convert/alias.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "convert/trace.h"
#include "core/fail.h"

/* Values that something else than a mover reads: where chains end. */
static tspk_status find_ends(const tspk_graph *graph, tspk_arena *scratch, bool **ends_out,
                             tspk_error *err)
{
    bool *const is_end = tspk_arena_array(scratch, graph->n_values, sizeof *is_end);

    if (!is_end)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE && (i > 0 || !tspk_is_mover(graph, node)))
                is_end[node->in[i]] = true;
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_end[graph->output[i]] = true;
    *ends_out = is_end;
    return TSPK_OK;
}

static bool is_in_order(const tspk_graph *graph, const tspk_trace *trace, tspk_value_id id)
{
    const size_t elems = tspk_shape_elems(&graph->value[id].shape);

    if (elems != tspk_shape_elems(&graph->value[trace->root].shape))
        return false;
    for (size_t i = 0; i < elems; i++)
        if (trace->index[i] != (int64_t)i)
            return false;
    return true;
}

static tspk_status simplify(tspk_graph *graph, tspk_node_id id, tspk_aliases *aliases,
                            tspk_arena *scratch, size_t *changes, tspk_error *err)
{
    const tspk_node *node = &graph->node[id];
    const tspk_value_id out = node->out[0];
    tspk_trace trace;

    TSPK_TRY(tspk_trace_back(graph, out, false, scratch, &trace, err));
    if ((trace.n_steps == 1 && node->op == TSPK_OP_RESHAPE) ||
        graph->value[trace.root].dtype != graph->value[out].dtype ||
        !is_in_order(graph, &trace, out))
        return TSPK_OK;
    if (tspk_shape_equal(&graph->value[trace.root].shape, &graph->value[out].shape) &&
        tspk_aliases_bypass(aliases, graph, id, trace.root)) {
        (*changes)++;
        return TSPK_OK;
    }
    if (node->op == TSPK_OP_RESHAPE && node->in[0] == trace.root)
        return TSPK_OK;
    (*changes)++;
    return tspk_rewrite_node(graph, id, TSPK_OP_RESHAPE, &trace.root, 1, NULL, err);
}

tspk_status tspk_pass_simplify_movement(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                        tspk_error *err)
{
    tspk_aliases aliases;
    bool *is_end = NULL;

    TSPK_TRY(tspk_aliases_new(graph, scratch, &aliases, err));
    TSPK_TRY(find_ends(graph, scratch, &is_end, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tspk_node *const node = &graph->node[n];

        if (node->is_dead)
            continue;
        tspk_aliases_apply(&aliases, node);
        if (!tspk_is_mover(graph, node) || !is_end[node->out[0]])
            continue;
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        const tspk_status status = simplify(graph, n, &aliases, scratch, changes, err);

        tspk_arena_reset(scratch, mark);
        TSPK_TRY(status);
    }
    return TSPK_OK;
}
