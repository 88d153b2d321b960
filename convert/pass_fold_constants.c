/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Computes nodes whose inputs are all constant.
 *
 *   constant ──▶ Transpose ──▶ A      →      constant' ──▶ A
 *
 * Exact: the operator itself is run.
 */
#include "convert/passes.h"
#include "core/fail.h"
#include "runtime/ann/op_eval.h"

#define MAX_FOLDED_ELEMS ((size_t)1 << 27)

static bool is_constant(const tspk_graph *graph, const tspk_node *node)
{
    if (node->is_dead || node->n_out != 1 ||
        tspk_shape_elems(&graph->value[node->out[0]].shape) > MAX_FOLDED_ELEMS)
        return false;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE && !graph->value[node->in[i]].data)
            return false;
    return true;
}

static tspk_status fold(tspk_graph *graph, tspk_node_id id, tspk_arena *scratch, tspk_error *err)
{
    const tspk_node *node = &graph->node[id];
    tspk_value *const value = &graph->value[node->out[0]];
    tspk_tensor in[TSPK_MAX_NODE_INPUTS];
    tspk_tensor out = {value->dtype, value->shape, NULL};
    const size_t elems = tspk_shape_elems(&value->shape);
    void *work;

    for (uint32_t i = 0; i < node->n_in; i++)
        in[i] = node->in[i] == TSPK_ID_NONE ? (tspk_tensor){0}
                                            : tspk_value_tensor(&graph->value[node->in[i]]);
    out.data = tspk_arena_array(graph->arena, elems ? elems : 1, tspk_dtype_bytes(value->dtype));
    work = tspk_arena_alloc(scratch, tspk_op_scratch_bytes(graph, node));
    if (!out.data || !work)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a constant of %zu elements", elems);
    TSPK_TRY(tspk_at_node(err, tspk_op_eval(node, in, &out, work, err), node->name,
                          tspk_op_name(node->op)));
    tspk_graph_kill_node(graph, id);
    value->data = out.data;
    return TSPK_OK;
}

tspk_status tspk_pass_fold_constants(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                     tspk_error *err)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (is_constant(graph, &graph->node[n])) {
            TSPK_TRY(fold(graph, n, scratch, err));
            (*changes)++;
        }
    return TSPK_OK;
}
