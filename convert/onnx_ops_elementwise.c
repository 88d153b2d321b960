/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

tspk_status tspk_onnx_unary(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    return tspk_onnx_emit_unary(call, call->op->core, call->in[0], NULL, &call->results[0], err);
}

tspk_status tspk_onnx_unary_float(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
    return tspk_onnx_unary(call, err);
}

/* A Constant that stands for a number in another type would be an invalid file: dtypes must agree.
 */
tspk_status tspk_onnx_binary(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    return tspk_onnx_emit_binary(call, call->op->core, call->in[0], call->in[1], &call->results[0],
                                 err);
}

tspk_status tspk_onnx_compare(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, call->op->n_least, err));
    if (call->op->core == TSPK_OP_IS_NAN) {
        const tspk_shape shape = tspk_onnx_in(call, 0)->shape;

        return tspk_onnx_emit(call, TSPK_OP_IS_NAN, call->in, 1, TSPK_DTYPE_BOOL, &shape, NULL,
                              &call->results[0], err);
    }
    return tspk_onnx_binary(call, err);
}

tspk_status tspk_onnx_logical(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, call->op->n_least, err));
    for (size_t i = 0; i < call->n_in; i++)
        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_BOOL, err));
    return call->op->n_least == 1 ? tspk_onnx_unary(call, err) : tspk_onnx_binary(call, err);
}

tspk_status tspk_onnx_variadic(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, call->n_in, err));
    call->results[0] = call->in[0];
    for (size_t i = 1; i < call->n_in; i++)
        TSPK_TRY(tspk_onnx_emit_binary(call, call->op->core, call->results[0], call->in[i],
                                       &call->results[0], err));
    return TSPK_OK;
}

tspk_status tspk_onnx_mean(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id share;

    TSPK_TRY(tspk_onnx_variadic(call, err));
    if (call->n_in == 1)
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_scalar(call, (float)call->n_in, &share, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_DIV, call->results[0], share, &call->results[0],
                                 err);
}

/* The exponent may have a type of its own (since opset 12): it takes the base's. */
tspk_status tspk_onnx_pow(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id exponent;
    tspk_dtype base;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    exponent = call->in[1];
    base = tspk_onnx_in(call, 0)->dtype;
    if (base == TSPK_DTYPE_F32 && tspk_onnx_in(call, 1)->dtype == TSPK_DTYPE_I64)
        TSPK_TRY(tspk_onnx_emit_cast(call, exponent, ONNX_FLOAT, &exponent, err));
    if (base != TSPK_DTYPE_F32) {
        tspk_value_id x;

        TSPK_TRY(tspk_onnx_emit_cast(call, call->in[0], ONNX_FLOAT, &x, err));
        TSPK_TRY(tspk_onnx_emit_cast(call, exponent, ONNX_FLOAT, &exponent, err));
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_POW, x, exponent, &x, err));
        return tspk_onnx_emit_cast(call, x, ONNX_INT64, &call->results[0], err);
    }
    return tspk_onnx_emit_binary(call, TSPK_OP_POW, call->in[0], exponent, &call->results[0], err);
}

tspk_status tspk_onnx_mod(tspk_onnx_call *call, tspk_error *err)
{
    tspk_attr attr = {0};
    tspk_value a, b;
    tspk_shape shape;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "fmod", 0, &attr.mode, err));
    a = *tspk_onnx_in(call, 0);
    b = *tspk_onnx_in(call, 1);
    if (a.dtype != b.dtype)
        return TSPK_FAIL(err, TSPK_SHAPE, "Mod of %s and %s", tspk_dtype_name(a.dtype),
                         tspk_dtype_name(b.dtype));
    if (a.dtype == TSPK_DTYPE_F32 && attr.mode != 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "Mod of float32 needs fmod = 1");
    TSPK_TRY(tspk_onnx_broadcast(&a.shape, &b.shape, &shape, err));
    return tspk_onnx_emit(call, TSPK_OP_MOD, call->in, 2, a.dtype, &shape, &attr, &call->results[0],
                          err);
}

tspk_status tspk_onnx_where(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape shape;
    tspk_dtype dtype;

    TSPK_TRY(tspk_onnx_need_in(call, 3, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_BOOL, err));
    dtype = tspk_onnx_in(call, 1)->dtype;
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[2], dtype, err));
    TSPK_TRY(tspk_onnx_broadcast(&tspk_onnx_in(call, 0)->shape, &tspk_onnx_in(call, 1)->shape,
                                 &shape, err));
    TSPK_TRY(tspk_onnx_broadcast(&shape, &tspk_onnx_in(call, 2)->shape, &shape, err));
    return tspk_onnx_emit(call, TSPK_OP_WHERE, call->in, 3, dtype, &shape, NULL, &call->results[0],
                          err);
}

/* Bounds are attributes up to opset 10, inputs after. Bounds of computed values become Min and Max.
 */
tspk_status tspk_onnx_clip(tspk_onnx_call *call, tspk_error *err)
{
    tspk_attr attr = {.alpha = -INFINITY, .beta = INFINITY};
    bool is_simple = true;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    if (call->opset < 11) {
        if (call->n_in > 1)
            return TSPK_FAIL(err, TSPK_FORMAT, "Clip takes bounds as inputs since opset 11");
        TSPK_TRY(tspk_onnx_attr_float(call, "min", -INFINITY, &attr.alpha, err));
        TSPK_TRY(tspk_onnx_attr_float(call, "max", INFINITY, &attr.beta, err));
    }
    for (size_t i = 1; i < call->n_in; i++) {
        double bound;

        if (!tspk_onnx_has_in(call, i))
            continue;
        if (!tspk_onnx_is_constant(call, call->in[i]) ||
            tspk_onnx_in(call, 0)->dtype != TSPK_DTYPE_F32) {
            is_simple = false;
            continue;
        }
        TSPK_TRY(tspk_onnx_const_scalar(call, i, i == 1 ? "min" : "max", &bound, err));
        *(i == 1 ? &attr.alpha : &attr.beta) = (float)bound;
    }
    if (is_simple && isinf(attr.alpha) && isinf(attr.beta)) {
        call->results[0] = call->in[0];
        return TSPK_OK;
    }
    if (is_simple) {
        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
        return tspk_onnx_emit_unary(call, TSPK_OP_CLIP, call->in[0], &attr, &call->results[0], err);
    }
    call->results[0] = call->in[0];
    for (size_t i = 1; i < call->n_in; i++)
        if (tspk_onnx_has_in(call, i))
            TSPK_TRY(tspk_onnx_emit_binary(call, i == 1 ? TSPK_OP_MAX : TSPK_OP_MIN,
                                           call->results[0], call->in[i], &call->results[0], err));
    return TSPK_OK;
}

tspk_status tspk_onnx_cast(tspk_onnx_call *call, tspk_error *err)
{
    int64_t to, ignored;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "to", 0, &to, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "saturate", 1, &ignored, err));
    if (to == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "Cast needs the attribute to");
    call->result_type[0] = (int)to;
    return tspk_onnx_emit_cast(call, call->in[0], to, &call->results[0], err);
}

tspk_status tspk_onnx_cast_like(tspk_onnx_call *call, tspk_error *err)
{
    int64_t ignored;
    tspk_dtype like;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "saturate", 1, &ignored, err));
    like = tspk_onnx_in(call, 1)->dtype;
    call->result_type[0] = call->in_type[1]         ? call->in_type[1]
                           : like == TSPK_DTYPE_F32 ? ONNX_FLOAT
                           : like == TSPK_DTYPE_I64 ? ONNX_INT64
                                                    : ONNX_BOOL;
    return tspk_onnx_emit_cast(call, call->in[0], call->result_type[0], &call->results[0], err);
}

tspk_status tspk_onnx_hard_sigmoid(tspk_onnx_call *call, tspk_error *err)
{
    tspk_attr attr = {0};

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "alpha", 0.2f, &attr.alpha, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "beta", 0.5f, &attr.beta, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_HARD_SIGMOID, call->in[0], &attr, &call->results[0],
                                err);
}

tspk_status tspk_onnx_gelu(tspk_onnx_call *call, tspk_error *err)
{
    tspk_attr attr = {.mode = TSPK_GELU_ERF};
    char form[16];

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_text(call, "approximate", form, sizeof form, err));
    if (!strcmp(form, "tanh"))
        attr.mode = TSPK_GELU_TANH;
    else if (form[0] && strcmp(form, "none") != 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "approximate is \"%s\", expected none or tanh", form);
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_GELU, call->in[0], &attr, &call->results[0], err);
}

tspk_status tspk_onnx_identity(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    call->results[0] = call->in[0];
    return TSPK_OK;
}

/* In inference Dropout passes its input on, and its mask is true throughout. */
tspk_status tspk_onnx_dropout(tspk_onnx_call *call, tspk_error *err)
{
    float ratio;
    int64_t seed;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    if (call->opset < 12)
        TSPK_TRY(tspk_onnx_attr_float(call, "ratio", 0.5f, &ratio, err));
    else
        TSPK_TRY(tspk_onnx_attr_int(call, "seed", 0, &seed, err));
    if (tspk_onnx_has_in(call, 2)) {
        double is_training, share = 0.5;

        TSPK_TRY(tspk_onnx_const_scalar(call, 2, "training_mode", &is_training, err));
        if (tspk_onnx_has_in(call, 1))
            TSPK_TRY(tspk_onnx_const_scalar(call, 1, "ratio", &share, err));
        if (is_training != 0 && share != 0)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "Dropout in training mode: export with model.eval()");
    }
    call->results[0] = call->in[0];
    if (call->proto->n_output < 2 || !call->proto->output[1][0])
        return TSPK_OK;
    {
        const tspk_shape shape = tspk_onnx_in(call, 0)->shape;
        void *data = NULL;

        TSPK_TRY(
            tspk_onnx_new_constant(call, TSPK_DTYPE_BOOL, &shape, &data, &call->results[1], err));
        memset(data, 1, tspk_shape_elems(&shape));
    }
    return TSPK_OK;
}
