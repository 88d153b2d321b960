/* SPDX-License-Identifier: Apache-2.0 */
/* LayerNormalization, RMSNormalization, BatchNormalization, and onnxruntime's fused forms. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

/* Scale or bias as the elements from `axis` on, in full. */
static tspk_status spread(tspk_onnx_call *call, tspk_value_id v, const tspk_shape *x, size_t axis,
                          const char *what, tspk_value_id *out, tspk_error *err)
{
    tspk_shape shape = {.rank = (uint8_t)(x->rank - axis)};
    tspk_value value = *tspk_onnx_value(call, v);
    char ta[96];

    TSPK_TRY(tspk_onnx_need_dtype(call, v, TSPK_DTYPE_F32, err));
    for (size_t i = axis; i < x->rank; i++)
        shape.dim[i - axis] = x->dim[i];
    while (value.shape.rank > shape.rank && value.shape.dim[0] == 1) {
        value.shape.rank--;
        memmove(value.shape.dim, value.shape.dim + 1, value.shape.rank * sizeof value.shape.dim[0]);
    }
    for (int i = 0; i < value.shape.rank; i++) {
        const int64_t have = value.shape.dim[value.shape.rank - 1 - i];

        if (i >= shape.rank || (have != 1 && have != shape.dim[shape.rank - 1 - i]))
            return TSPK_FAIL(err, TSPK_SHAPE, "%s %s has the %s %s", call->op->name,
                             "over the last axes", what,
                             tspk_shape_text(&tspk_onnx_value(call, v)->shape, ta, sizeof ta));
    }
    TSPK_TRY(tspk_onnx_emit_reshape(call, v, &value.shape, &v, err));
    return tspk_onnx_emit(call, TSPK_OP_EXPAND, &v, 1, TSPK_DTYPE_F32, &shape, NULL, out, err);
}

static tspk_status emit_norm(tspk_onnx_call *call, tspk_op op, tspk_value_id x, size_t axis,
                             float epsilon, tspk_value_id scale, tspk_value_id bias,
                             tspk_value_id *out, tspk_error *err)
{
    const tspk_shape shape = tspk_onnx_value(call, x)->shape;
    const tspk_attr attr = {.axis = (int64_t)axis, .epsilon = epsilon};
    tspk_value_id in[3] = {x, scale, bias};
    uint32_t n_in = 1;

    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    if (!(epsilon >= 0.0f))
        return TSPK_FAIL(err, TSPK_RANGE, "epsilon %g", (double)epsilon);
    if (axis == 0 && shape.rank > 1 && call->importer->is_batch_dynamic)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "%s over axis 0 mixes the images of a batch: expected "
                         "the last axis, %d",
                         call->op->name, shape.rank - 1);
    if (scale != TSPK_ID_NONE) {
        TSPK_TRY(spread(call, scale, &shape, axis, "scale", &in[1], err));
        n_in = 2;
    }
    if (bias != TSPK_ID_NONE) {
        TSPK_TRY(spread(call, bias, &shape, axis, "bias", &in[2], err));
        n_in = 3;
    }
    return tspk_onnx_emit(call, op, in, n_in, TSPK_DTYPE_F32, &shape, &attr, out, err);
}

static tspk_value_id optional_in(const tspk_onnx_call *call, size_t i)
{
    return tspk_onnx_has_in(call, i) ? call->in[i] : TSPK_ID_NONE;
}

static bool has_output(const tspk_onnx_call *call, size_t i)
{
    return i < call->proto->n_output && call->proto->output[i][0];
}

/* The further outputs of LayerNormalization: the mean, and 1 / sqrt(variance + epsilon). */
static tspk_status emit_statistics(tspk_onnx_call *call, size_t axis, float epsilon,
                                   tspk_error *err)
{
    tspk_shape shape = tspk_onnx_in(call, 0)->shape;
    tspk_value_id mean, x, scalar;
    tspk_attr attr = {0};

    for (size_t i = axis; i < shape.rank; i++) {
        attr.axes[attr.n_axes++] = (int64_t)i;
        shape.dim[i] = 1;
    }
    TSPK_TRY(tspk_onnx_emit(call, TSPK_OP_REDUCE_MEAN, call->in, 1, TSPK_DTYPE_F32, &shape, &attr,
                            &mean, err));
    call->results[1] = mean;
    if (!has_output(call, 2))
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_SUB, call->in[0], mean, &x, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_MUL, x, x, &x, err));
    TSPK_TRY(
        tspk_onnx_emit(call, TSPK_OP_REDUCE_MEAN, &x, 1, TSPK_DTYPE_F32, &shape, &attr, &x, err));
    TSPK_TRY(tspk_onnx_scalar(call, epsilon, &scalar, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, x, scalar, &x, err));
    TSPK_TRY(tspk_onnx_emit_unary(call, TSPK_OP_SQRT, x, NULL, &x, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_RECIPROCAL, x, NULL, &call->results[2], err);
}

static tspk_status norm(tspk_onnx_call *call, tspk_value_id bias, tspk_error *err)
{
    int64_t wanted, stash;
    float epsilon;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", -1, &wanted, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "stash_type", 1, &stash, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "epsilon", 1e-5f, &epsilon, err));
    TSPK_TRY(tspk_onnx_axis(wanted, tspk_onnx_in(call, 0)->shape.rank, &axis, err));
    if (call->op->core == TSPK_OP_LAYER_NORM && (has_output(call, 1) || has_output(call, 2))) {
        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
        TSPK_TRY(emit_statistics(call, axis, epsilon, err));
    }
    return emit_norm(call, call->op->core, call->in[0], axis, epsilon, call->in[1], bias,
                     &call->results[0], err);
}

tspk_status tspk_onnx_layer_norm(tspk_onnx_call *call, tspk_error *err)
{
    return norm(call, optional_in(call, 2), err);
}

tspk_status tspk_onnx_rms_norm(tspk_onnx_call *call, tspk_error *err)
{
    return norm(call, TSPK_ID_NONE, err);
}

/* In inference: (x - mean) / sqrt(var + eps) scale + bias over axis 1, as one Mul and one Add. */
tspk_status tspk_onnx_batch_norm(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id part[5], scale, bias, epsilon_id;
    tspk_shape x, column = {0};
    int64_t is_training;
    float epsilon, momentum;

    TSPK_TRY(tspk_onnx_need_in(call, 5, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "epsilon", 1e-5f, &epsilon, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "momentum", 0.9f, &momentum, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "training_mode", 0, &is_training, err));
    if (is_training || (call->opset < 14 && call->proto->n_output > 1))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "BatchNormalization in training mode: export with model.eval()");
    x = tspk_onnx_in(call, 0)->shape;
    if (x.rank < 2)
        return TSPK_FAIL(err, TSPK_SHAPE, "BatchNormalization of a tensor of rank %d", x.rank);
    column.rank = (uint8_t)(x.rank - 1);
    for (int i = 0; i < column.rank; i++)
        column.dim[i] = i ? 1 : x.dim[1];
    for (size_t i = 1; i < 5; i++) {
        const tspk_shape of = tspk_onnx_in(call, i)->shape;
        char text[96];

        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_F32, err));
        if (of.rank != 1 || of.dim[0] != x.dim[1])
            return TSPK_FAIL(err, TSPK_SHAPE,
                             "BatchNormalization of %lld channels: input %zu is %s",
                             (long long)x.dim[1], i, tspk_shape_text(&of, text, sizeof text));
        TSPK_TRY(tspk_onnx_emit_reshape(call, call->in[i], &column, &part[i], err));
    }
    TSPK_TRY(tspk_onnx_scalar(call, epsilon, &epsilon_id, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, part[4], epsilon_id, &scale, err));
    TSPK_TRY(tspk_onnx_emit_unary(call, TSPK_OP_SQRT, scale, NULL, &scale, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_DIV, part[1], scale, &scale, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_MUL, part[3], scale, &bias, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_SUB, part[2], bias, &bias, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_MUL, call->in[0], scale, &scale, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_ADD, scale, bias, &call->results[0], err);
}

/* (input, skip, scale, [beta,] [bias]): the sum is output 3, its norm output 0. */
tspk_status tspk_onnx_skip_layer_norm(tspk_onnx_call *call, tspk_error *err)
{
    const bool is_layer_norm = call->op->core == TSPK_OP_LAYER_NORM;
    const size_t at_bias = is_layer_norm ? 4 : 3;
    tspk_value_id sum;
    float epsilon;
    int rank;

    TSPK_TRY(tspk_onnx_need_in(call, 3, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "epsilon", 1e-12f, &epsilon, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, call->in[0], call->in[1], &sum, err));
    if (tspk_onnx_has_in(call, at_bias))
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, sum, call->in[at_bias], &sum, err));
    rank = tspk_onnx_value(call, sum)->shape.rank;
    if (rank < 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s of a scalar", call->op->name);
    if (call->proto->n_output > 3)
        call->results[3] = sum;
    return emit_norm(call, call->op->core, sum, (size_t)rank - 1, epsilon, call->in[2],
                     is_layer_norm ? optional_in(call, 3) : TSPK_ID_NONE, &call->results[0], err);
}
