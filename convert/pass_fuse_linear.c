/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with a constant matrix become Linear nodes, on inputs of any rank.
 *
 *   x ─▶ MatMul(·, W[in, out]) ─▶ Add b          →   x ─▶ Linear(W[out, in], b)
 *   x ─▶ Reshape ─▶ Linear ─▶ Reshape            →   x ─▶ Linear
 *
 * The bias may stand on either side of the Add and may be a scalar. Exact but for the order of the
 * sum of a product (which a fused and an unfused product are free to choose alike).
 */
#include <string.h>

#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

static bool is_constant(const tspk_graph *graph, tspk_value_id id)
{
    return id != TSPK_ID_NONE && graph->value[id].data && graph->value[id].dtype == TSPK_DTYPE_F32;
}

/* The shape that a Linear with n outputs gives for x. */
static tspk_shape linear_shape(const tspk_shape *x, int64_t n_out)
{
    tspk_shape shape = *x;

    shape.dim[shape.rank - 1] = n_out;
    return shape;
}

#define TILE 32 /* elements a side that are turned at a time */

static void transpose(const float *from, int64_t n_in, int64_t n_out, float *to)
{
    for (int64_t o0 = 0; o0 < n_out; o0 += TILE)
        for (int64_t i0 = 0; i0 < n_in; i0 += TILE)
            for (int64_t o = o0; o < n_out && o < o0 + TILE; o++)
                for (int64_t i = i0; i < n_in && i < i0 + TILE; i++)
                    to[o * n_in + i] = from[i * n_out + o];
}

/* Whether nothing but one operand of one node reads the elements of a constant. */
static bool is_alone(const tspk_graph *graph, const tspk_uses *uses, tspk_value_id id)
{
    if (graph->is_clone || tspk_only_user(graph, uses, id) == TSPK_ID_NONE)
        return false;
    for (uint32_t i = 0; i < graph->n_values; i++)
        if (i != id && graph->value[i].data == graph->value[id].data)
            return false;
    return true;
}

/* [1 …, in, out] as [out, in]; a matrix that several products share is turned once. What nothing
 * else reads is turned in its own place: weights are most of the memory. */
static tspk_status transposed(tspk_graph *graph, tspk_value_id id, const tspk_uses *uses,
                              tspk_value_id *turned, tspk_arena *scratch, tspk_error *err)
{
    const tspk_shape from = graph->value[id].shape;
    const int64_t n_in = from.dim[from.rank - 2], n_out = from.dim[from.rank - 1];
    const tspk_shape shape = {.rank = 2, .dim = {n_out, n_in}};
    const size_t bytes = (size_t)(n_in * n_out) * sizeof(float);
    float *w;

    if (turned[id] != TSPK_ID_NONE)
        return TSPK_OK;
    if (is_alone(graph, uses, id)) {
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        const float *const copy = tspk_arena_copy(scratch, graph->value[id].data, bytes);

        if (!copy)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory to turn %zu bytes", bytes);
        transpose(copy, n_in, n_out, (float *)(uintptr_t)graph->value[id].data);
        tspk_arena_reset(scratch, mark);
        graph->value[id].shape = shape;
        turned[id] = id;
        return TSPK_OK;
    }
    TSPK_TRY(tspk_new_floats(graph, graph->value[id].name, &shape, &turned[id], &w, err));
    transpose(graph->value[id].data, n_in, n_out, w);
    return TSPK_OK;
}

static tspk_status from_matmul(tspk_graph *graph, tspk_node_id id, const tspk_uses *uses,
                               tspk_value_id *turned, tspk_arena *scratch, size_t *changes,
                               tspk_error *err)
{
    const tspk_node *node = &graph->node[id];
    const tspk_value_id x = node->in[0], w = node->in[1];
    const tspk_shape *x_shape = &graph->value[x].shape, *w_shape = &graph->value[w].shape;

    if (node->op != TSPK_OP_MATMUL || !is_constant(graph, w) || graph->value[x].data ||
        w_shape->rank < 2 || x_shape->rank < 1)
        return TSPK_OK;
    const tspk_shape shape = linear_shape(x_shape, w_shape->dim[w_shape->rank - 1]);

    for (int i = 0; i + 2 < w_shape->rank; i++)
        if (w_shape->dim[i] != 1)
            return TSPK_OK;
    if (!tspk_shape_equal(&shape, &graph->value[node->out[0]].shape))
        return TSPK_OK;
    TSPK_TRY(transposed(graph, w, uses, turned, scratch, err));
    const tspk_value_id in[2] = {x, turned[w]};

    (*changes)++;
    return tspk_rewrite_node(graph, id, TSPK_OP_LINEAR, in, 2, NULL, err);
}

/* A constant that adds the same to every row: [n] once the axes of 1 are left out, or a scalar. */
static tspk_status as_bias(tspk_graph *graph, tspk_value_id id, int64_t n, tspk_value_id *bias_out,
                           tspk_error *err)
{
    const tspk_shape from = graph->value[id].shape, shape = {.rank = 1, .dim = {n}};
    const size_t elems = tspk_shape_elems(&from);
    tspk_tensor tensor = {TSPK_DTYPE_F32, shape, (void *)(uintptr_t)graph->value[id].data};
    float *data;

    *bias_out = TSPK_ID_NONE;
    if (elems == 1) {
        const float scalar = *(const float *)graph->value[id].data;

        TSPK_TRY(tspk_new_floats(graph, graph->value[id].name, &shape, bias_out, &data, err));
        for (int64_t i = 0; i < n; i++)
            data[i] = scalar;
        return TSPK_OK;
    }
    if (elems != (size_t)n || from.dim[from.rank - 1] != n)
        return TSPK_OK;
    if (from.rank == 1) {
        *bias_out = id;
        return TSPK_OK;
    }
    return tspk_graph_add_constant(graph, graph->value[id].name, &tensor, bias_out, err);
}

static tspk_status with_bias(tspk_graph *graph, tspk_node_id id, const tspk_uses *uses,
                             size_t *changes, tspk_error *err)
{
    const tspk_node *node = &graph->node[id];

    for (int i = 0; node->op == TSPK_OP_ADD && i < 2; i++) {
        const tspk_value_id product = node->in[i], constant = node->in[1 - i];
        const tspk_node *linear = tspk_producer_is(graph, product, TSPK_OP_LINEAR);
        const tspk_shape *shape = &graph->value[product].shape;
        tspk_value_id bias;

        if (!linear || linear->n_in != 2 || !is_constant(graph, constant) ||
            tspk_only_user(graph, uses, product) != id ||
            !tspk_shape_equal(shape, &graph->value[node->out[0]].shape))
            continue;
        TSPK_TRY(as_bias(graph, constant, shape->dim[shape->rank - 1], &bias, err));
        if (bias == TSPK_ID_NONE)
            continue;
        const tspk_value_id in[3] = {linear->in[0], linear->in[1], bias};
        const tspk_attr attr = linear->attr;

        graph->node[id].name = linear->name;
        graph->node[id].onnx_op = linear->onnx_op;
        tspk_graph_kill_node(graph, graph->value[product].producer);
        (*changes)++;
        return tspk_rewrite_node(graph, id, TSPK_OP_LINEAR, in, 3, &attr, err);
    }
    return TSPK_OK;
}

static tspk_status without_reshapes(tspk_graph *graph, tspk_node_id id, const tspk_uses *uses,
                                    size_t *changes, tspk_error *err)
{
    const tspk_node *node = &graph->node[id];
    const tspk_node *linear =
        node->op == TSPK_OP_RESHAPE ? tspk_producer_is(graph, node->in[0], TSPK_OP_LINEAR) : NULL;
    const tspk_node *before =
        linear ? tspk_producer_is(graph, linear->in[0], TSPK_OP_RESHAPE) : NULL;

    if (!before || linear->attr.n_rows || linear->n_in < 2 ||
        tspk_only_user(graph, uses, node->in[0]) != id)
        return TSPK_OK;
    const tspk_shape *x = &graph->value[before->in[0]].shape;
    const tspk_shape *w = &graph->value[linear->in[1]].shape;

    if (x->rank < 1 || x->dim[x->rank - 1] != w->dim[1])
        return TSPK_OK;
    const tspk_shape shape = linear_shape(x, w->dim[0]);

    if (!tspk_shape_equal(&shape, &graph->value[node->out[0]].shape))
        return TSPK_OK;
    const tspk_value_id in[3] = {before->in[0], linear->in[1],
                                 linear->n_in > 2 ? linear->in[2] : TSPK_ID_NONE};
    const uint32_t n_in = linear->n_in;

    graph->node[id].name = linear->name;
    graph->node[id].onnx_op = linear->onnx_op;
    tspk_graph_kill_node(graph, graph->value[node->in[0]].producer);
    (*changes)++;
    return tspk_rewrite_node(graph, id, TSPK_OP_LINEAR, in, n_in, NULL, err);
}

tspk_status tspk_pass_fuse_linear(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err)
{
    tspk_value_id *const turned = tspk_arena_array(scratch, graph->n_values, sizeof *turned);
    tspk_uses uses;

    if (!turned)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t i = 0; i < graph->n_values; i++)
        turned[i] = TSPK_ID_NONE;
    TSPK_TRY(tspk_uses_find(graph, scratch, &uses, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (graph->node[n].is_dead)
            continue;
        TSPK_TRY(from_matmul(graph, n, &uses, turned, scratch, changes, err));
        TSPK_TRY(with_bias(graph, n, &uses, changes, err));
        TSPK_TRY(without_reshapes(graph, n, &uses, changes, err));
    }
    return TSPK_OK;
}
