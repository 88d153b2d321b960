/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The invariants of a graph, checked without trusting any of its numbers: what passes here can be
 * planned and executed without reading or writing outside a tensor.
 */
#include <inttypes.h>
#include <stdlib.h>

#include "core/checked.h"
#include "core/fail.h"
#include "core/graph.h"
#include "core/graph_verify_op.h"

/* --- values and order --- */

static tspk_status check_value(const tspk_graph *graph, tspk_value_id id, tspk_error *err)
{
    const tspk_value *value = &graph->value[id];
    size_t elems;

    if (!value->name)
        return TSPK_FAIL(err, TSPK_FORMAT, "value %u has no name", id);
    if (value->dtype != TSPK_DTYPE_F32 && value->dtype != TSPK_DTYPE_I64 &&
        value->dtype != TSPK_DTYPE_BOOL)
        return TSPK_FAIL(err, TSPK_FORMAT, "element type %d", (int)value->dtype);
    if (value->shape.rank > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "rank %d, limit %d", value->shape.rank, TSPK_MAX_RANK);
    if (!tspk_checked_elems(value->shape.dim, value->shape.rank, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu elements", TSPK_MAX_TENSOR_ELEMS);
    for (int i = 0; i < value->shape.rank; i++)
        if ((uint64_t)value->shape.dim[i] > TSPK_MAX_TENSOR_ELEMS)
            return TSPK_FAIL(err, TSPK_LIMIT, "axis %d of %" PRId64 " elements", i,
                             value->shape.dim[i]);
    if (value->producer != TSPK_ID_NONE &&
        (value->producer >= graph->n_nodes || graph->node[value->producer].is_dead || value->data))
        return TSPK_FAIL(err, TSPK_FORMAT, "producer %u of %u nodes", value->producer,
                         graph->n_nodes);
    return TSPK_OK;
}

static tspk_status check_node(const tspk_graph *graph, tspk_node_id id, bool *is_ready,
                              tspk_error *err)
{
    const tspk_node *node = &graph->node[id];

    if ((int)node->op < 0 || node->op >= TSPK_OP_COUNT)
        return TSPK_FAIL(err, TSPK_FORMAT, "operator %d is not known", (int)node->op);
    const size_t least = tspk_op_inputs_least(node->op), most = tspk_op_inputs_most(node->op);

    if (node->n_in < least || node->n_in > most || node->n_out != 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "%u inputs and %u outputs, expected %zu to %zu and 1",
                         node->n_in, node->n_out, least, most);
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tspk_value_id in = node->in[i];

        if (in == TSPK_ID_NONE && i >= least && node->op != TSPK_OP_CONCAT)
            continue;
        if (in >= graph->n_values)
            return TSPK_FAIL(err, TSPK_FORMAT, "input %u is value %u of %u", i, in,
                             graph->n_values);
        if (!is_ready[in])
            return tspk_at_tensor(
                err, TSPK_FAIL(err, TSPK_FORMAT, "input %u is not computed before the node", i),
                graph->value[in].name);
    }
    if (node->out[0] >= graph->n_values)
        return TSPK_FAIL(err, TSPK_FORMAT, "output is value %u of %u", node->out[0],
                         graph->n_values);
    if (graph->value[node->out[0]].producer != id || is_ready[node->out[0]])
        return tspk_at_tensor(err, TSPK_FAIL(err, TSPK_FORMAT, "the output has another producer"),
                              graph->value[node->out[0]].name);
    TSPK_TRY(tspk_graph_verify_operator(graph, node, err));
    is_ready[node->out[0]] = true;
    return TSPK_OK;
}

static tspk_status check_ports(const tspk_graph *graph, bool *is_ready, tspk_error *err)
{
    for (uint32_t i = 0; i < graph->n_values; i++)
        is_ready[i] = graph->value[i].data != NULL;
    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        const tspk_value_id id = graph->input[i];

        if (id >= graph->n_values)
            return TSPK_FAIL(err, TSPK_FORMAT, "graph input %u is value %u of %u", i, id,
                             graph->n_values);
        if (graph->value[id].producer != TSPK_ID_NONE || is_ready[id])
            return tspk_at_tensor(err, TSPK_FAIL(err, TSPK_FORMAT, "graph input %u is computed", i),
                                  graph->value[id].name);
        is_ready[id] = true;
    }
    return TSPK_OK;
}

static tspk_status verify(const tspk_graph *graph, bool *is_ready, tspk_error *err)
{
    if (graph->batch < 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "batch of %" PRId64, graph->batch);
    for (uint32_t i = 0; i < graph->n_values; i++)
        TSPK_TRY(tspk_at_tensor(err, check_value(graph, i, err), graph->value[i].name));
    TSPK_TRY(check_ports(graph, is_ready, err));
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *node = &graph->node[i];

        if (node->is_dead)
            continue;
        if (!node->name || !node->onnx_op)
            return TSPK_FAIL(err, TSPK_FORMAT, "node %u has no name", i);
        TSPK_TRY(tspk_at_node(err, check_node(graph, i, is_ready, err), node->name,
                              tspk_op_name(node->op)));
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->output[i] >= graph->n_values || !is_ready[graph->output[i]])
            return TSPK_FAIL(err, TSPK_FORMAT, "graph output %u is not computed", i);
    return TSPK_OK;
}

tspk_status tspk_graph_verify(const tspk_graph *graph, tspk_error *err)
{
    bool *const is_ready = calloc(graph->n_values ? graph->n_values : 1, sizeof *is_ready);
    tspk_status status;

    if (!is_ready)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to verify %u values", graph->n_values);
    status = tspk_in_stage(err, verify(graph, is_ready, err), "graph_verify");
    free(is_ready);
    return status;
}
