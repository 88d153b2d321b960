/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes of the graph, folded where all of their inputs are constant. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"
#include "core/graph_verify_op.h"
#include "runtime/ann/op_eval.h"

tspk_status tspk_onnx_new_constant(tspk_onnx_call *call, tspk_dtype dtype, const tspk_shape *shape,
                                   void **data_out, tspk_value_id *id_out, tspk_error *err)
{
    tspk_graph *const graph = call->importer->graph;
    tspk_tensor tensor = {dtype, *shape, NULL};
    size_t n = 0;

    TSPK_TRY(tspk_onnx_elems(shape, &n, err));
    if (n > TSPK_ONNX_MAX_FOLD_ELEMS)
        return TSPK_FAIL(err, TSPK_LIMIT, "a folded constant of %zu elements, at most %zu are made",
                         n, TSPK_ONNX_MAX_FOLD_ELEMS);
    tensor.data = tspk_arena_array(graph->arena, n, tspk_dtype_bytes(dtype));
    if (!tensor.data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a constant of %zu elements within the cap",
                         n);
    TSPK_TRY(tspk_graph_add_constant(graph, "", &tensor, id_out, err));
    *data_out = tensor.data;
    return TSPK_OK;
}

tspk_status tspk_onnx_scalar(tspk_onnx_call *call, float value, tspk_value_id *id_out,
                             tspk_error *err)
{
    const tspk_shape shape = {0};
    void *data = NULL;

    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_F32, &shape, &data, id_out, err));
    *(float *)data = value;
    return TSPK_OK;
}

static bool are_constant(const tspk_onnx_call *call, const tspk_value_id *in, uint32_t n_in)
{
    for (uint32_t i = 0; i < n_in; i++)
        if (in[i] != TSPK_ID_NONE && !tspk_onnx_is_constant(call, in[i]))
            return false;
    return true;
}

static tspk_status fold(tspk_onnx_call *call, tspk_node *node, tspk_dtype dtype,
                        const tspk_shape *shape, tspk_error *err)
{
    tspk_graph *const graph = call->importer->graph;
    tspk_arena *const scratch = call->importer->scratch;
    tspk_tensor *in, out;
    void *data, *work;
    size_t n_work;

    TSPK_TRY(tspk_onnx_new_constant(call, dtype, shape, &data, &node->out[0], err));
    TSPK_TRY(tspk_graph_verify_operator(graph, node, err));
    n_work = tspk_op_scratch_bytes(graph, node);
    in = tspk_arena_array(scratch, node->n_in, sizeof *in);
    work = tspk_arena_alloc(scratch, n_work < TSPK_ALIGN_BYTES ? TSPK_ALIGN_BYTES : n_work);
    if (!in || !work)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for constant folding within the cap");
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE)
            in[i] = tspk_value_tensor(&graph->value[node->in[i]]);
    out = (tspk_tensor){dtype, *shape, data};
    return tspk_op_eval(node, in, &out, work, err);
}

/* A constant with other dimensions shares its elements. */
static tspk_status reshape_constant(tspk_onnx_call *call, tspk_value_id x, const tspk_shape *shape,
                                    tspk_value_id *out, tspk_error *err)
{
    tspk_tensor tensor = tspk_value_tensor(tspk_onnx_value(call, x));
    char from[96], to[96];

    if (tspk_shape_elems(&tensor.shape) != tspk_shape_elems(shape))
        return TSPK_FAIL(err, TSPK_SHAPE, "%.40s: a constant %s cannot become %s",
                         call->proto->op_type, tspk_shape_text(&tensor.shape, from, sizeof from),
                         tspk_shape_text(shape, to, sizeof to));
    tensor.shape = *shape;
    return tspk_graph_add_constant(call->importer->graph, "", &tensor, out, err);
}

static bool moves_nothing(tspk_op op, const tspk_value *x, const tspk_shape *shape,
                          const tspk_attr *attr)
{
    if (!tspk_shape_equal(&x->shape, shape))
        return false;
    switch (op) {
    case TSPK_OP_IDENTITY:
    case TSPK_OP_RESHAPE:
    case TSPK_OP_EXPAND:
    case TSPK_OP_TILE:
        return true;
    case TSPK_OP_TRANSPOSE:
        for (int i = 0; i < x->shape.rank; i++)
            if (attr->axes[i] != i)
                return false;
        return true;
    case TSPK_OP_SLICE:
        for (int i = 0; i < x->shape.rank; i++)
            if (attr->steps[i] != 1)
                return false;
        return true;
    default:
        return false;
    }
}

tspk_status tspk_onnx_emit(tspk_onnx_call *call, tspk_op op, const tspk_value_id *in, uint32_t n_in,
                           tspk_dtype dtype, const tspk_shape *shape, const tspk_attr *attr,
                           tspk_value_id *out, tspk_error *err)
{
    tspk_graph *const graph = call->importer->graph;
    tspk_value_id made = TSPK_ID_NONE;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_elems(shape, &n, err));
    if (in[0] != TSPK_ID_NONE && moves_nothing(op, tspk_onnx_value(call, in[0]), shape, attr)) {
        *out = in[0];
        return TSPK_OK;
    }
    if (are_constant(call, in, n_in)) {
        const tspk_arena_mark mark = tspk_arena_mark_now(call->importer->scratch);
        tspk_node node = {.op = op,
                          .name = call->name,
                          .onnx_op = call->proto->op_type,
                          .in = (tspk_value_id *)(uintptr_t)in,
                          .n_in = n_in,
                          .out = &made,
                          .n_out = 1};
        tspk_status status;

        if (op == TSPK_OP_RESHAPE)
            return reshape_constant(call, in[0], shape, out, err);
        if (attr)
            node.attr = *attr;
        status = fold(call, &node, dtype, shape, err);
        tspk_arena_reset(call->importer->scratch, mark);
        *out = made;
        return status;
    }
    if (n == 0) { /* what has no elements is a constant */
        void *data;

        return tspk_onnx_new_constant(call, dtype, shape, &data, out, err);
    }
    TSPK_TRY(tspk_graph_add_value(graph, "", dtype, shape, &made, err));
    TSPK_TRY(tspk_graph_insert_node(graph, graph->n_nodes, op, call->name, call->proto->op_type, in,
                                    n_in, &made, 1, attr, NULL, err));
    TSPK_TRY(tspk_graph_verify_operator(graph, &graph->node[graph->n_nodes - 1], err));
    *out = made;
    return TSPK_OK;
}

tspk_status tspk_onnx_emit_unary(tspk_onnx_call *call, tspk_op op, tspk_value_id x,
                                 const tspk_attr *attr, tspk_value_id *out, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, x);

    return tspk_onnx_emit(call, op, &x, 1, value.dtype, &value.shape, attr, out, err);
}

static bool is_comparison(tspk_op op)
{
    return op >= TSPK_OP_EQUAL && op <= TSPK_OP_GREATER_OR_EQUAL;
}

tspk_status tspk_onnx_emit_binary(tspk_onnx_call *call, tspk_op op, tspk_value_id a,
                                  tspk_value_id b, tspk_value_id *out, tspk_error *err)
{
    const tspk_value va = *tspk_onnx_value(call, a), vb = *tspk_onnx_value(call, b);
    const tspk_value_id in[2] = {a, b};
    tspk_shape shape;

    if (va.dtype != vb.dtype)
        return TSPK_FAIL(err, TSPK_SHAPE, "%.40s of %s and %s", call->proto->op_type,
                         tspk_dtype_name(va.dtype), tspk_dtype_name(vb.dtype));
    TSPK_TRY(tspk_onnx_broadcast(&va.shape, &vb.shape, &shape, err));
    return tspk_onnx_emit(call, op, in, 2, is_comparison(op) ? TSPK_DTYPE_BOOL : va.dtype, &shape,
                          NULL, out, err);
}

tspk_status tspk_onnx_emit_reshape(tspk_onnx_call *call, tspk_value_id x, const tspk_shape *shape,
                                   tspk_value_id *out, tspk_error *err)
{
    return tspk_onnx_emit(call, TSPK_OP_RESHAPE, &x, 1, tspk_onnx_value(call, x)->dtype, shape,
                          NULL, out, err);
}

tspk_status tspk_onnx_emit_transpose(tspk_onnx_call *call, tspk_value_id x, const int64_t *perm,
                                     tspk_value_id *out, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, x);
    tspk_shape shape = {.rank = value.shape.rank};
    tspk_attr attr = {.n_axes = value.shape.rank};

    for (int i = 0; i < shape.rank; i++) {
        attr.axes[i] = perm[i];
        shape.dim[i] = value.shape.dim[perm[i]];
    }
    return tspk_onnx_emit(call, TSPK_OP_TRANSPOSE, &x, 1, value.dtype, &shape, &attr, out, err);
}

tspk_status tspk_onnx_emit_swap(tspk_onnx_call *call, tspk_value_id x, tspk_value_id *out,
                                tspk_error *err)
{
    const int rank = tspk_onnx_value(call, x)->shape.rank;
    int64_t perm[TSPK_MAX_RANK];

    for (int i = 0; i < rank; i++)
        perm[i] = i;
    if (rank >= 2) {
        perm[rank - 1] = rank - 2;
        perm[rank - 2] = rank - 1;
    }
    return tspk_onnx_emit_transpose(call, x, perm, out, err);
}

tspk_status tspk_onnx_emit_slice(tspk_onnx_call *call, tspk_value_id x, size_t axis, int64_t start,
                                 int64_t n, tspk_value_id *out, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, x);
    tspk_shape shape = value.shape;
    tspk_attr attr = {.starts[0] = 0};

    for (int i = 0; i < shape.rank; i++)
        attr.steps[i] = 1;
    attr.starts[axis] = start;
    shape.dim[axis] = n;
    return tspk_onnx_emit(call, TSPK_OP_SLICE, &x, 1, value.dtype, &shape, &attr, out, err);
}

tspk_status tspk_onnx_emit_matmul(tspk_onnx_call *call, tspk_value_id a, tspk_value_id b,
                                  tspk_value_id *out, tspk_error *err)
{
    const tspk_value va = *tspk_onnx_value(call, a), vb = *tspk_onnx_value(call, b);
    const tspk_value_id in[2] = {a, b};
    const int ra = va.shape.rank, rb = vb.shape.rank;
    tspk_shape lead_a = va.shape, lead_b = vb.shape, shape;

    if (va.dtype != vb.dtype)
        return TSPK_FAIL(err, TSPK_SHAPE, "%.40s of %s and %s", call->proto->op_type,
                         tspk_dtype_name(va.dtype), tspk_dtype_name(vb.dtype));
    if (ra < 1 || rb < 1 || va.shape.dim[ra - 1] != vb.shape.dim[rb > 1 ? rb - 2 : 0]) {
        char ta[96], tb[96];

        return TSPK_FAIL(err, TSPK_SHAPE, "%.40s of %s and %s: the inner dimensions differ",
                         call->proto->op_type, tspk_shape_text(&va.shape, ta, sizeof ta),
                         tspk_shape_text(&vb.shape, tb, sizeof tb));
    }
    lead_a.rank = (uint8_t)(ra > 1 ? ra - 2 : 0);
    lead_b.rank = (uint8_t)(rb > 1 ? rb - 2 : 0);
    TSPK_TRY(tspk_onnx_broadcast(&lead_a, &lead_b, &shape, err));
    if (ra > 1)
        shape.dim[shape.rank++] = va.shape.dim[ra - 2];
    if (rb > 1)
        shape.dim[shape.rank++] = vb.shape.dim[rb - 1];
    return tspk_onnx_emit(call, TSPK_OP_MATMUL, in, 2, va.dtype, &shape, NULL, out, err);
}

tspk_status tspk_onnx_emit_cast(tspk_onnx_call *call, tspk_value_id x, int64_t onnx_type,
                                tspk_value_id *out, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, x);
    const tspk_attr attr = {.mode = onnx_type};
    tspk_dtype dtype;

    if (!tspk_onnx_dtype(onnx_type, &dtype))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "a cast to type %lld (%s) is not supported",
                         (long long)onnx_type, tspk_onnx_type_name(onnx_type));
    if (dtype == value.dtype && (dtype != TSPK_DTYPE_I64 || onnx_type == ONNX_INT64)) {
        *out = x;
        return TSPK_OK;
    }
    return tspk_onnx_emit(call, TSPK_OP_CAST, &x, 1, dtype, &value.shape, &attr, out, err);
}
