/* SPDX-License-Identifier: Apache-2.0 */
/* The one place that decides whether a canonical graph can become a spike graph. */
#include <inttypes.h>

#include "convert/flow.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

uint32_t tspk_find_class_output(const tspk_graph *graph)
{
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const tspk_value *value = &graph->value[graph->output[i]];

        if (value->dtype == TSPK_DTYPE_F32 && value->shape.rank == 2 &&
            value->shape.dim[0] == graph->batch && value->shape.dim[1] >= 1 && !value->data)
            return i;
    }
    return UINT32_MAX;
}

tspk_status tspk_keep_class_output(tspk_graph *graph, tspk_error *err)
{
    const uint32_t chosen = tspk_find_class_output(graph);

    if (chosen == UINT32_MAX)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "none of the %u outputs is float32 [1, classes]",
                         graph->n_outputs);
    if (graph->n_outputs == 1)
        return TSPK_OK;
    graph->output[0] = graph->output[chosen];
    graph->n_outputs = 1;
    return tspk_run_passes(graph, NULL, err);
}

static tspk_status check_ports(const tspk_graph *graph, tspk_error *err)
{
    char text[128];

    if (graph->batch != 1)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "the file fixes a batch of %" PRId64
                         " images; export it with a batch of 1 or a dynamic batch",
                         graph->batch);
    if (graph->n_inputs != 1)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%u inputs; a spike graph takes one, the image",
                         graph->n_inputs);
    const tspk_value *image = &graph->value[graph->input[0]];

    if (image->dtype != TSPK_DTYPE_F32 || image->shape.rank != 4)
        return tspk_at_tensor(err,
                              TSPK_FAIL(err, TSPK_UNSUPPORTED,
                                        "the input is %s %s, expected a float32 image "
                                        "[1, channels, height, width]",
                                        tspk_dtype_name(image->dtype),
                                        tspk_shape_text(&image->shape, text, sizeof text)),
                              image->name);
    if (tspk_find_class_output(graph) == UINT32_MAX)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "none of the %u outputs is float32 [1, classes]; export the network with "
                         "its classifier",
                         graph->n_outputs);
    return TSPK_OK;
}

static tspk_status check_node(const tspk_graph *graph, const tspk_flow *flow, tspk_node_id id,
                              tspk_error *err)
{
    const tspk_node *node = &graph->node[id];

    switch (node->op) {
    case TSPK_OP_MATMUL:
        if (graph->value[node->in[0]].data || graph->value[node->in[1]].data)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "a product with a constant that is not one matrix on the last axis; "
                             "write it as a Linear layer");
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "a product of two activations outside an attention (MatMul, Softmax over "
                         "the last axis, MatMul); use softmax attention");
    case TSPK_OP_CONV:
        if (!graph->value[node->in[1]].data)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED, "the kernel is computed, expected a constant");
        if (!flow->is_stem[id])
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "a convolution after the patch embedding; only Linear layers can be "
                             "driven by spikes");
        return TSPK_OK;
    case TSPK_OP_GATHER:
        if (!graph->value[node->in[1]].data)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "the indices are computed from the image, expected constants");
        return TSPK_OK;
    default:
        return TSPK_OK;
    }
}

/* What would be taken for an attention if its axis were another one. */
static tspk_status check_softmax(const tspk_graph *graph, const tspk_node *node, tspk_error *err)
{
    const int last = graph->value[node->in[0]].shape.rank - 1;

    if (node->op != TSPK_OP_SOFTMAX || node->attr.axis == last)
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "Softmax over axis %" PRId64 ", expected the last, %d",
                     node->attr.axis, last);
}

static tspk_status find_needed(const tspk_graph *graph, tspk_arena *arena, bool **needed_out,
                               tspk_error *err)
{
    bool *const is_needed = tspk_arena_array(arena, graph->n_values + 1, sizeof *is_needed);

    if (!is_needed)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    is_needed[graph->output[tspk_find_class_output(graph)]] = true;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && is_needed[node->out[0]] && i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                is_needed[node->in[i]] = true;
    }
    *needed_out = is_needed;
    return TSPK_OK;
}

static tspk_status check_needed(const tspk_graph *graph, tspk_arena *arena, tspk_error *err)
{
    uint32_t n_attentions = 0;
    bool *is_needed = NULL;
    tspk_flow flow;

    TSPK_TRY(tspk_find_flow(graph, arena, &flow, err));
    TSPK_TRY(find_needed(graph, arena, &is_needed, err));
    for (int round = 0; round < 2; round++)
        for (uint32_t n = 0; n < graph->n_nodes; n++) {
            const tspk_node *node = &graph->node[n];

            if (node->is_dead || !is_needed[node->out[0]])
                continue;
            n_attentions += node->op == TSPK_OP_ATTENTION;
            TSPK_TRY(tspk_at_node(
                err,
                round == 0 ? check_softmax(graph, node, err) : check_node(graph, &flow, n, err),
                node->name, node->onnx_op[0] ? node->onnx_op : tspk_op_name(node->op)));
        }
    if (!is_needed[graph->input[0]])
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "the output does not depend on the image");
    if (!n_attentions)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "no attention found (MatMul, Softmax over the last axis, MatMul)");
    return TSPK_OK;
}

tspk_status tspk_check_convertible(const tspk_graph *graph, tspk_error *err)
{
    tspk_status status = check_ports(graph, err);
    tspk_arena *arena;

    if (status != TSPK_OK)
        return tspk_in_stage(err, status, "convertible");
    arena = tspk_arena_new(0);
    if (!arena)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to check the graph");
    status = tspk_in_stage(err, check_needed(graph, arena, err), "convertible");
    tspk_arena_free(arena);
    return status;
}
