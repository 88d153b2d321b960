/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention of opset 23, taken apart: softmax(scale Q Kᵀ + mask) V. Heads come as [B, H, N, D], or
 * packed as [B, N, H D] with the number of heads as an attribute. A constant boolean mask becomes
 * 0 and -Inf.
 */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

/* [B, N, H D] to [B, H, N, D]; rank 4 stays. */
static tspk_status split_heads(tspk_onnx_call *call, tspk_value_id x, int64_t heads,
                               const char *what, tspk_value_id *out, tspk_error *err)
{
    static const int64_t perm[4] = {0, 2, 1, 3};
    const tspk_shape from = tspk_onnx_value(call, x)->shape;
    tspk_shape shape = {.rank = 4};

    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    *out = x;
    if (from.rank == 4)
        return TSPK_OK;
    if (from.rank != 3 || heads < 1 || from.dim[2] % heads)
        return TSPK_FAIL(err, TSPK_SHAPE, "Attention %s of rank %d and width %lld for %lld heads",
                         what, from.rank, (long long)(from.rank ? from.dim[from.rank - 1] : 0),
                         (long long)heads);
    shape.dim[0] = from.dim[0];
    shape.dim[1] = from.dim[1];
    shape.dim[2] = heads;
    shape.dim[3] = from.dim[2] / heads;
    TSPK_TRY(tspk_onnx_emit_reshape(call, x, &shape, &x, err));
    return tspk_onnx_emit_transpose(call, x, perm, out, err);
}

/* Additive mask; keys and queries on the last two axes. */
static tspk_status add_mask(tspk_onnx_call *call, tspk_value_id mask, tspk_value_id *logits,
                            tspk_error *err)
{
    if (tspk_onnx_value(call, mask)->dtype == TSPK_DTYPE_BOOL) {
        const tspk_shape shape = tspk_onnx_value(call, mask)->shape;
        tspk_value_id in[3] = {mask};

        TSPK_TRY(tspk_onnx_scalar(call, 0.0f, &in[1], err));
        TSPK_TRY(tspk_onnx_scalar(call, -INFINITY, &in[2], err));
        TSPK_TRY(
            tspk_onnx_emit(call, TSPK_OP_WHERE, in, 3, TSPK_DTYPE_F32, &shape, NULL, &mask, err));
    }
    return tspk_onnx_emit_binary(call, TSPK_OP_ADD, *logits, mask, logits, err);
}

static tspk_status causal_mask(tspk_onnx_call *call, tspk_value_id *logits, tspk_error *err)
{
    const tspk_shape of = tspk_onnx_value(call, *logits)->shape;
    const tspk_shape shape = {.rank = 2, .dim = {of.dim[2], of.dim[3]}};
    tspk_value_id mask;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_F32, &shape, &data, &mask, err));
    for (int64_t q = 0; q < shape.dim[0]; q++)
        for (int64_t k = q + 1; k < shape.dim[1]; k++)
            ((float *)data)[q * shape.dim[1] + k] = -INFINITY;
    return add_mask(call, mask, logits, err);
}

static tspk_status read_attrs(tspk_onnx_call *call, int64_t *q_heads, int64_t *kv_heads,
                              int64_t *is_causal, float *scale, tspk_error *err)
{
    int64_t precision, mode;
    float softcap;

    TSPK_TRY(tspk_onnx_attr_int(call, "q_num_heads", 0, q_heads, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "kv_num_heads", 0, kv_heads, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "is_causal", 0, is_causal, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "scale", 0.0f, scale, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "softcap", 0.0f, &softcap, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "softmax_precision", 0, &precision, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "qk_matmul_output_mode", 0, &mode, err));
    if (softcap != 0.0f)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "Attention with softcap %g is not supported",
                         (double)softcap);
    if (tspk_onnx_has_in(call, 4) || tspk_onnx_has_in(call, 5))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "Attention with past keys is not supported");
    return TSPK_OK;
}

/* [B, H, N, D] back to [B, N, H D]. */
static tspk_status join_heads(tspk_onnx_call *call, tspk_value_id y, tspk_value_id *out,
                              tspk_error *err)
{
    static const int64_t perm[4] = {0, 2, 1, 3};
    const tspk_shape from = tspk_onnx_value(call, y)->shape;
    const tspk_shape shape = {.rank = 3,
                              .dim = {from.dim[0], from.dim[2], from.dim[1] * from.dim[3]}};

    TSPK_TRY(tspk_onnx_emit_transpose(call, y, perm, &y, err));
    return tspk_onnx_emit_reshape(call, y, &shape, out, err);
}

tspk_status tspk_onnx_attention(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id q, k, v, logits, factor;
    int64_t q_heads, kv_heads, is_causal;
    tspk_attr softmax = {.axis = 3};
    bool is_packed;
    tspk_shape qs, ks;
    float scale;

    TSPK_TRY(tspk_onnx_need_in(call, 3, err));
    TSPK_TRY(read_attrs(call, &q_heads, &kv_heads, &is_causal, &scale, err));
    is_packed = tspk_onnx_in(call, 0)->shape.rank == 3;
    TSPK_TRY(split_heads(call, call->in[0], q_heads, "query", &q, err));
    TSPK_TRY(split_heads(call, call->in[1], kv_heads, "key", &k, err));
    TSPK_TRY(split_heads(call, call->in[2], kv_heads, "value", &v, err));
    qs = tspk_onnx_value(call, q)->shape;
    ks = tspk_onnx_value(call, k)->shape;
    if (qs.dim[1] != ks.dim[1])
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "Attention with %lld query heads and %lld key heads is not supported",
                         (long long)qs.dim[1], (long long)ks.dim[1]);
    if (!tspk_onnx_attr(call, "scale"))
        scale = (float)(1.0 / sqrt((double)qs.dim[3]));
    TSPK_TRY(tspk_onnx_emit_swap(call, k, &k, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, q, k, &logits, err));
    TSPK_TRY(tspk_onnx_scalar(call, scale, &factor, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_MUL, logits, factor, &logits, err));
    if (is_causal)
        TSPK_TRY(causal_mask(call, &logits, err));
    if (tspk_onnx_has_in(call, 3))
        TSPK_TRY(add_mask(call, call->in[3], &logits, err));
    TSPK_TRY(tspk_onnx_emit_unary(call, TSPK_OP_SOFTMAX, logits, &softmax, &logits, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, logits, v, &call->results[0], err));
    if (is_packed)
        TSPK_TRY(join_heads(call, call->results[0], &call->results[0], err));
    return TSPK_OK;
}
