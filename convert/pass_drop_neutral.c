/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Takes out nodes that change nothing: Identity, Cast to the same element type, Reshape, Expand,
 * Tile, Slice, Pad and Concat that give back their input, adding 0, multiplying by 1, Where with a
 * constant condition that is all true or all false.
 *
 *   x ──▶ Cast ──▶ Cast ──▶ A      →      x ──▶ A
 *
 * Exact, but for the roundings of half-precision casts, which are left out (everything is float32).
 */
#include "convert/alias.h"
#include "convert/passes.h"
#include "convert/pattern.h"

/* ONNX element types that float32 stands for. */
enum {
    ONNX_FLOAT = 1,
    ONNX_INT64 = 7,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_BFLOAT16 = 16
};

static bool is_same_cast(const tspk_graph *graph, const tspk_node *node)
{
    const int64_t to = node->attr.mode;

    if (graph->value[node->in[0]].dtype != graph->value[node->out[0]].dtype)
        return false;
    switch (graph->value[node->out[0]].dtype) {
    case TSPK_DTYPE_F32:
        return to == ONNX_FLOAT || to == ONNX_FLOAT16 || to == ONNX_DOUBLE || to == ONNX_BFLOAT16;
    case TSPK_DTYPE_I64:
        return to == ONNX_INT64;
    case TSPK_DTYPE_BOOL:
        return to == ONNX_BOOL;
    }
    return false;
}

static bool is_whole_slice(const tspk_node *node, const tspk_shape *shape)
{
    for (int i = 0; i < shape->rank; i++)
        if (node->attr.steps[i] != 1)
            return false;
    return true;
}

/* The input that the node passes on unchanged, TSPK_ID_NONE when there is none. */
static tspk_value_id passed_on(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_shape *shape = &graph->value[node->out[0]].shape;
    const bool is_same_shape =
        node->in[0] != TSPK_ID_NONE && tspk_shape_equal(&graph->value[node->in[0]].shape, shape);
    tspk_value_id x;
    double c;

    switch (node->op) {
    case TSPK_OP_IDENTITY:
        return node->in[0];
    case TSPK_OP_CAST:
        return is_same_cast(graph, node) ? node->in[0] : TSPK_ID_NONE;
    case TSPK_OP_RESHAPE:
    case TSPK_OP_EXPAND:
    case TSPK_OP_TILE:
    case TSPK_OP_PAD:
        return is_same_shape ? node->in[0] : TSPK_ID_NONE;
    case TSPK_OP_SLICE:
        return is_same_shape && is_whole_slice(node, shape) ? node->in[0] : TSPK_ID_NONE;
    case TSPK_OP_CONCAT:
        return node->n_in == 1 ? node->in[0] : TSPK_ID_NONE;
    case TSPK_OP_ADD:
    case TSPK_OP_SUB:
        return tspk_match_scalar(graph, node, &x, &c) && c == 0.0 ? x : TSPK_ID_NONE;
    case TSPK_OP_MUL:
    case TSPK_OP_DIV:
    case TSPK_OP_POW:
        return tspk_match_scalar(graph, node, &x, &c) && c == 1.0 ? x : TSPK_ID_NONE;
    case TSPK_OP_WHERE:
        if (!tspk_is_uniform(graph, node->in[0], &c))
            return TSPK_ID_NONE;
        x = node->in[c != 0.0 ? 1 : 2];
        return tspk_shape_equal(&graph->value[x].shape, shape) ? x : TSPK_ID_NONE;
    default:
        return TSPK_ID_NONE;
    }
}

tspk_status tspk_pass_drop_neutral(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err)
{
    tspk_aliases aliases;
    const tspk_status status = tspk_aliases_new(graph, scratch, &aliases, err);

    for (uint32_t n = 0; status == TSPK_OK && n < graph->n_nodes; n++) {
        tspk_node *const node = &graph->node[n];

        if (node->is_dead)
            continue;
        tspk_aliases_apply(&aliases, node);
        const tspk_value_id in = passed_on(graph, node);

        if (in != TSPK_ID_NONE && tspk_aliases_bypass(&aliases, graph, n, in))
            (*changes)++;
    }
    return status;
}
