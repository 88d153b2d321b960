/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pad: constant borders as the operator of that name; reflect, edge and wrap as a Gather on each
 * padded axis; a negative pad crops first. A border value that is computed goes through a Where.
 */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

typedef enum pad_mode { PAD_CONSTANT, PAD_REFLECT, PAD_EDGE, PAD_WRAP } pad_mode;

typedef struct pads {
    int64_t before[TSPK_MAX_RANK], after[TSPK_MAX_RANK];
    pad_mode mode;
    float value;
    tspk_value_id computed_value; /* TSPK_ID_NONE: `value` holds */
} pads;

static tspk_status read_mode(tspk_onnx_call *call, pad_mode *mode_out, tspk_error *err)
{
    static const char *const names[] = {"constant", "reflect", "edge", "wrap"};
    char text[16];

    TSPK_TRY(tspk_onnx_attr_text(call, "mode", text, sizeof text, err));
    *mode_out = PAD_CONSTANT;
    for (size_t i = 0; text[0] && i < TSPK_COUNT_OF(names); i++)
        if (!strcmp(text, names[i])) {
            *mode_out = (pad_mode)i;
            return TSPK_OK;
        }
    if (text[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "Pad mode %s does not exist", text);
    return TSPK_OK;
}

static tspk_status read_value(tspk_onnx_call *call, pads *p, tspk_error *err)
{
    double value = 0;

    if (!tspk_onnx_has_in(call, 2))
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[2], tspk_onnx_in(call, 0)->dtype, err));
    if (!tspk_onnx_is_constant(call, call->in[2])) {
        p->computed_value = call->in[2];
        return TSPK_OK;
    }
    TSPK_TRY(tspk_onnx_const_scalar(call, 2, "constant_value", &value, err));
    p->value = (float)value;
    return TSPK_OK;
}

/* Pads per axis, before and after; attribute up to opset 10, inputs (with axes since 18) after. */
static tspk_status read_pads(tspk_onnx_call *call, int rank, pads *p, tspk_error *err)
{
    const int64_t *given, *axes = NULL, limit = (int64_t)TSPK_MAX_TENSOR_ELEMS;
    int64_t sorted[TSPK_MAX_RANK];
    size_t n, n_axes = (size_t)rank;

    if (call->op->since < 11) {
        TSPK_TRY(tspk_onnx_attr_ints(call, "pads", &given, &n, err));
        TSPK_TRY(tspk_onnx_attr_float(call, "value", 0.0f, &p->value, err));
    } else {
        TSPK_TRY(tspk_onnx_const_ints(call, 1, "pads", &given, &n, err));
        TSPK_TRY(read_value(call, p, err));
        if (tspk_onnx_has_in(call, 3))
            TSPK_TRY(tspk_onnx_const_ints(call, 3, "axes", &axes, &n_axes, err));
    }
    if (n_axes > (size_t)rank || n != 2 * n_axes)
        return TSPK_FAIL(err, TSPK_SHAPE, "Pad has %zu pads for %zu axes", n, n_axes);
    if (axes)
        TSPK_TRY(tspk_onnx_axes(axes, n_axes, (size_t)rank, sorted, err));
    for (size_t i = 0; i < n_axes; i++) {
        size_t axis = i;

        if (axes)
            TSPK_TRY(tspk_onnx_axis(axes[i], (size_t)rank, &axis, err));
        if (given[i] > limit || given[i + n_axes] > limit || given[i] < -limit ||
            given[i + n_axes] < -limit)
            return TSPK_FAIL(err, TSPK_LIMIT, "pads %lld and %lld on axis %zu", (long long)given[i],
                             (long long)given[i + n_axes], axis);
        p->before[axis] = given[i];
        p->after[axis] = given[i + n_axes];
    }
    return TSPK_OK;
}

/* Negative pads, as a Slice; they are 0 afterwards. */
static tspk_status crop(tspk_onnx_call *call, pads *p, tspk_value_id *x, tspk_error *err)
{
    const tspk_shape shape = tspk_onnx_value(call, *x)->shape;

    for (int i = 0; i < shape.rank; i++) {
        const int64_t start = p->before[i] < 0 ? -p->before[i] : 0;
        const int64_t end = shape.dim[i] + (p->after[i] < 0 ? p->after[i] : 0);

        if (start == 0 && end == shape.dim[i])
            continue;
        if (start >= end)
            return TSPK_FAIL(err, TSPK_SHAPE, "pads %lld and %lld leave nothing of axis %d, %lld",
                             (long long)p->before[i], (long long)p->after[i], i,
                             (long long)shape.dim[i]);
        TSPK_TRY(tspk_onnx_emit_slice(call, *x, (size_t)i, start, end - start, x, err));
        p->before[i] = p->before[i] < 0 ? 0 : p->before[i];
        p->after[i] = p->after[i] < 0 ? 0 : p->after[i];
    }
    return TSPK_OK;
}

/* The element of an axis of n that stands at position i, which may lie outside. */
static int64_t source_of(int64_t i, int64_t n, pad_mode mode)
{
    const int64_t period = mode == PAD_REFLECT ? 2 * (n - 1) : n;

    if (mode == PAD_EDGE)
        return i < 0 ? 0 : i < n ? i : n - 1;
    if (period == 0)
        return 0;
    i = (i % period + period) % period;
    return i < n ? i : period - i;
}

static tspk_status gather_axis(tspk_onnx_call *call, const pads *p, int axis, tspk_value_id *x,
                               tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, *x);
    const int64_t n = value.shape.dim[axis], total = n + p->before[axis] + p->after[axis];
    const tspk_shape list = {.rank = 1, .dim = {total}};
    const tspk_attr attr = {.axis = axis};
    tspk_shape shape = value.shape;
    tspk_value_id in[2] = {*x};
    void *data = NULL;

    if (total == n)
        return TSPK_OK;
    if (n < 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "Pad repeats elements of axis %d, which has none", axis);
    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_I64, &list, &data, &in[1], err));
    for (int64_t i = 0; i < total; i++)
        ((int64_t *)data)[i] = source_of(i - p->before[axis], n, p->mode);
    shape.dim[axis] = total;
    return tspk_onnx_emit(call, TSPK_OP_GATHER, in, 2, value.dtype, &shape, &attr, x, err);
}

static tspk_status emit_pad(tspk_onnx_call *call, const pads *p, tspk_value_id x, float value,
                            tspk_value_id *out, tspk_error *err)
{
    const tspk_value from = *tspk_onnx_value(call, x);
    tspk_attr attr = {.alpha = value};
    tspk_shape shape = from.shape;

    for (int i = 0; i < shape.rank; i++) {
        attr.starts[i] = p->before[i];
        shape.dim[i] += p->before[i] + p->after[i];
    }
    return tspk_onnx_emit(call, TSPK_OP_PAD, &x, 1, from.dtype, &shape, &attr, out, err);
}

/* Where a padded tensor of ones is 1 stands the padded x, elsewhere the computed value. */
static tspk_status emit_computed(tspk_onnx_call *call, const pads *p, tspk_value_id x,
                                 tspk_value_id *out, tspk_error *err)
{
    const tspk_value from = *tspk_onnx_value(call, x);
    const tspk_shape scalar = {0};
    tspk_value_id in[3], inside;
    tspk_shape shape;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_BOOL, &from.shape, &data, &inside, err));
    memset(data, 1, tspk_shape_elems(&from.shape));
    TSPK_TRY(emit_pad(call, p, inside, 0.0f, &in[0], err));
    TSPK_TRY(emit_pad(call, p, x, 0.0f, &in[1], err));
    TSPK_TRY(tspk_onnx_emit_reshape(call, p->computed_value, &scalar, &in[2], err));
    shape = tspk_onnx_value(call, in[0])->shape;
    return tspk_onnx_emit(call, TSPK_OP_WHERE, in, 3, from.dtype, &shape, NULL, out, err);
}

tspk_status tspk_onnx_pad(tspk_onnx_call *call, tspk_error *err)
{
    pads p = {.computed_value = TSPK_ID_NONE};
    bool is_padded = false;
    tspk_value_id x;
    int rank;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(read_mode(call, &p.mode, err));
    x = call->in[0];
    rank = tspk_onnx_value(call, x)->shape.rank;
    TSPK_TRY(read_pads(call, rank, &p, err));
    TSPK_TRY(crop(call, &p, &x, err));
    for (int i = 0; i < rank; i++)
        is_padded = is_padded || p.before[i] || p.after[i];
    call->results[0] = x;
    if (!is_padded)
        return TSPK_OK;
    if (p.mode == PAD_CONSTANT)
        return p.computed_value == TSPK_ID_NONE
                   ? emit_pad(call, &p, x, p.value, &call->results[0], err)
                   : emit_computed(call, &p, x, &call->results[0], err);
    for (int i = 0; i < rank; i++)
        TSPK_TRY(gather_axis(call, &p, i, &call->results[0], err));
    return TSPK_OK;
}
