/* SPDX-License-Identifier: Apache-2.0 */
/* Operators that onnxruntime's optimisers write (domain com.microsoft). */
#include "convert/onnx_ops.h"
#include "core/fail.h"

static tspk_status biased_gelu(tspk_onnx_call *call, int64_t mode, tspk_error *err)
{
    const tspk_attr attr = {.mode = mode};
    tspk_value_id x;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    x = call->in[0];
    if (tspk_onnx_has_in(call, 1))
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, x, call->in[1], &x, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_GELU, x, &attr, &call->results[0], err);
}

tspk_status tspk_onnx_bias_gelu(tspk_onnx_call *call, tspk_error *err)
{
    return biased_gelu(call, TSPK_GELU_ERF, err);
}

tspk_status tspk_onnx_fast_gelu(tspk_onnx_call *call, tspk_error *err)
{
    return biased_gelu(call, TSPK_GELU_TANH, err);
}

tspk_status tspk_onnx_quick_gelu(tspk_onnx_call *call, tspk_error *err)
{
    tspk_attr attr = {0};

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "alpha", 1.702f, &attr.alpha, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
    return tspk_onnx_emit_unary(call, TSPK_OP_SILU, call->in[0], &attr, &call->results[0], err);
}

tspk_status tspk_onnx_fused_matmul(tspk_onnx_call *call, tspk_error *err)
{
    int64_t swap[2], batch[2];
    tspk_value_id in[2], scalar;
    float alpha;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transA", 0, &swap[0], err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transB", 0, &swap[1], err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transBatchA", 0, &batch[0], err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transBatchB", 0, &batch[1], err));
    TSPK_TRY(tspk_onnx_attr_float(call, "alpha", 1.0f, &alpha, err));
    if (batch[0] || batch[1])
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "FusedMatMul with transBatchA or transBatchB is not "
                         "supported");
    for (size_t i = 0; i < 2; i++) {
        in[i] = call->in[i];
        if (swap[i])
            TSPK_TRY(tspk_onnx_emit_swap(call, in[i], &in[i], err));
    }
    TSPK_TRY(tspk_onnx_emit_matmul(call, in[0], in[1], &call->results[0], err));
    if (alpha == 1.0f)
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_scalar(call, alpha, &scalar, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_MUL, call->results[0], scalar, &call->results[0],
                                 err);
}
