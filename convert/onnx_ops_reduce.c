/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions, pooling over a whole map, softmax. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

/* The largest of no truth is false: where the reduction gave -Inf. */
static tspk_status clear_infinity(tspk_onnx_call *call, tspk_error *err)
{
    const tspk_attr attr = {.alpha = 0.0f, .beta = 1.0f};

    return tspk_onnx_emit_unary(call, TSPK_OP_CLIP, call->results[0], &attr, &call->results[0],
                                err);
}

static tspk_status emit_reduce(tspk_onnx_call *call, const int64_t *axes, size_t n, bool is_kept,
                               tspk_error *err)
{
    const tspk_shape from = tspk_onnx_in(call, 0)->shape;
    const bool is_truth = tspk_onnx_in(call, 0)->dtype == TSPK_DTYPE_BOOL;
    tspk_attr attr = {.n_axes = (uint8_t)n};
    tspk_value_id in = call->in[0];
    tspk_shape shape = {0};
    size_t k = 0;

    for (int i = 0; i < from.rank; i++) {
        const bool is_reduced = k < n && axes[k] == i;

        if (is_reduced)
            attr.axes[k++] = i;
        if (!is_reduced || is_kept)
            shape.dim[shape.rank++] = is_reduced ? 1 : from.dim[i];
    }
    if (is_truth) /* the largest of truths, as numbers (since opset 20) */
        TSPK_TRY(tspk_onnx_emit_cast(call, in, ONNX_FLOAT, &in, err));
    TSPK_TRY(tspk_onnx_emit(call, call->op->core, &in, 1, tspk_onnx_value(call, in)->dtype, &shape,
                            &attr, &call->results[0], err));
    if (!is_truth)
        return TSPK_OK;
    TSPK_TRY(clear_infinity(call, err));
    return tspk_onnx_emit_cast(call, call->results[0], ONNX_BOOL, &call->results[0], err);
}

static tspk_status reduce(tspk_onnx_call *call, bool is_input, tspk_error *err)
{
    int64_t axes[TSPK_MAX_RANK], keep, is_noop = 0;
    bool is_given;
    size_t n, rank;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    rank = tspk_onnx_in(call, 0)->shape.rank;
    TSPK_TRY(tspk_onnx_attr_int(call, "keepdims", 1, &keep, err));
    if (is_input)
        TSPK_TRY(tspk_onnx_attr_int(call, "noop_with_empty_axes", 0, &is_noop, err));
    TSPK_TRY(tspk_onnx_axes_of(call, is_input, 1, rank, axes, &n, &is_given, err));
    if (n == 0 && is_noop) {
        call->results[0] = call->in[0];
        return TSPK_OK;
    }
    if (n == 0)
        for (n = 0; n < rank; n++)
            axes[n] = (int64_t)n;
    return emit_reduce(call, axes, n, keep != 0, err);
}

tspk_status tspk_onnx_reduce_attrs(tspk_onnx_call *call, tspk_error *err)
{
    return reduce(call, false, err);
}

tspk_status tspk_onnx_reduce(tspk_onnx_call *call, tspk_error *err)
{
    return reduce(call, true, err);
}

tspk_status tspk_onnx_arg_max(tspk_onnx_call *call, tspk_error *err)
{
    int64_t wanted, keep;
    tspk_attr attr = {0};
    tspk_shape from, shape = {0};
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 0, &wanted, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "keepdims", 1, &keep, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "select_last_index", 0, &attr.mode, err));
    attr.mode = attr.mode != 0;
    from = tspk_onnx_in(call, 0)->shape;
    TSPK_TRY(tspk_onnx_axis(wanted, from.rank, &axis, err));
    attr.axis = (int64_t)axis;
    for (size_t i = 0; i < from.rank; i++)
        if (i != axis || keep)
            shape.dim[shape.rank++] = i == axis ? 1 : from.dim[i];
    return tspk_onnx_emit(call, TSPK_OP_ARG_MAX, call->in, 1, TSPK_DTYPE_I64, &shape, &attr,
                          &call->results[0], err);
}

tspk_status tspk_onnx_global_average(tspk_onnx_call *call, tspk_error *err)
{
    int64_t axes[TSPK_MAX_RANK];
    size_t n = 0, rank;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    rank = tspk_onnx_in(call, 0)->shape.rank;
    if (rank < 3)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s of a tensor of rank %zu, at least 3 is expected",
                         call->op->name, rank);
    for (size_t axis = 2; axis < rank; axis++)
        axes[n++] = (int64_t)axis;
    return emit_reduce(call, axes, n, true, err);
}

static tspk_status emit_softmax(tspk_onnx_call *call, tspk_value_id x, size_t axis,
                                tspk_value_id *out, tspk_error *err)
{
    const tspk_attr attr = {.axis = (int64_t)axis};

    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_SOFTMAX, x, &attr, out, err);
}

/* verify wants every norm to have a rank; the core operator normalises over one axis. */
tspk_status tspk_onnx_softmax(tspk_onnx_call *call, tspk_error *err)
{
    int64_t wanted;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", -1, &wanted, err));
    TSPK_TRY(tspk_onnx_axis(wanted, tspk_onnx_in(call, 0)->shape.rank, &axis, err));
    return emit_softmax(call, call->in[0], axis, &call->results[0], err);
}

/* Up to opset 12 the axes from `axis` on are one. */
tspk_status tspk_onnx_softmax_flat(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape from, flat = {.rank = 2, .dim = {1, 1}};
    tspk_value_id x;
    int64_t wanted;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 1, &wanted, err));
    from = tspk_onnx_in(call, 0)->shape;
    TSPK_TRY(tspk_onnx_axis(wanted, from.rank, &axis, err));
    if (axis + 1 == from.rank)
        return emit_softmax(call, call->in[0], axis, &call->results[0], err);
    for (size_t i = 0; i < from.rank; i++)
        flat.dim[i >= axis] *= from.dim[i];
    TSPK_TRY(tspk_onnx_emit_reshape(call, call->in[0], &flat, &x, err));
    TSPK_TRY(emit_softmax(call, x, 1, &x, err));
    return tspk_onnx_emit_reshape(call, x, &from, &call->results[0], err);
}
