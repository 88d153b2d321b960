/* SPDX-License-Identifier: Apache-2.0 */
/* Cast. Narrow ONNX types live in wider elements, so a cast to one of them also takes its range:
 * from integers modulo 2^bits; from floats towards zero, saturated (NaN gives 0), where ONNX leaves
 * the value open. float16, bfloat16 and double are float32 here. */
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_impl.h"

/* ONNX TensorProto.DataType */
enum {
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_UINT16 = 4,
    ONNX_INT16 = 5,
    ONNX_INT32 = 6,
    ONNX_UINT32 = 12
};

typedef struct int_range {
    int64_t least, most;
} int_range;

static int_range range_of(int64_t onnx_type)
{
    switch (onnx_type) {
    case ONNX_UINT8:
        return (int_range){0, UINT8_MAX};
    case ONNX_INT8:
        return (int_range){INT8_MIN, INT8_MAX};
    case ONNX_UINT16:
        return (int_range){0, UINT16_MAX};
    case ONNX_INT16:
        return (int_range){INT16_MIN, INT16_MAX};
    case ONNX_INT32:
        return (int_range){INT32_MIN, INT32_MAX};
    case ONNX_UINT32:
        return (int_range){0, UINT32_MAX};
    default:
        return (int_range){INT64_MIN, INT64_MAX};
    }
}

static int64_t wrap(int64_t x, int_range range)
{
    const uint64_t mask = (uint64_t)range.most - (uint64_t)range.least;
    const uint64_t low = (uint64_t)x & mask;

    return low > (uint64_t)range.most ? (int64_t)(low - mask - 1) : (int64_t)low;
}

static int64_t truncate(float x, int_range range)
{
    if (x != x)
        return 0;
    if (x >= 9223372036854775808.0f)
        return range.most;
    if (x < -9223372036854775808.0f)
        return range.least;
    {
        const int64_t whole = (int64_t)x;

        if (whole < range.least)
            return range.least;
        return whole > range.most ? range.most : whole;
    }
}

static void cast_to_i64(int64_t type, const tspk_tensor *from, size_t n, int64_t *to)
{
    const int_range range = range_of(type);

    if (from->dtype == TSPK_DTYPE_F32)
        for (size_t i = 0; i < n; i++)
            to[i] = truncate(((const float *)from->data)[i], range);
    else if (from->dtype == TSPK_DTYPE_I64)
        for (size_t i = 0; i < n; i++)
            to[i] = wrap(((const int64_t *)from->data)[i], range);
    else
        for (size_t i = 0; i < n; i++)
            to[i] = ((const uint8_t *)from->data)[i] != 0;
}

static void cast_to_f32(const tspk_tensor *from, size_t n, float *to)
{
    if (from->dtype == TSPK_DTYPE_F32)
        memcpy(to, from->data, n * sizeof *to);
    else if (from->dtype == TSPK_DTYPE_I64)
        for (size_t i = 0; i < n; i++)
            to[i] = (float)((const int64_t *)from->data)[i];
    else
        for (size_t i = 0; i < n; i++)
            to[i] = ((const uint8_t *)from->data)[i] ? 1.0f : 0.0f;
}

static void cast_to_bool(const tspk_tensor *from, size_t n, uint8_t *to)
{
    if (from->dtype == TSPK_DTYPE_F32)
        for (size_t i = 0; i < n; i++)
            to[i] = ((const float *)from->data)[i] != 0.0f;
    else if (from->dtype == TSPK_DTYPE_I64)
        for (size_t i = 0; i < n; i++)
            to[i] = ((const int64_t *)from->data)[i] != 0;
    else
        for (size_t i = 0; i < n; i++)
            to[i] = ((const uint8_t *)from->data)[i] != 0;
}

TSPK_OP_FN(tspk_eval_cast)
{
    const size_t n = tspk_shape_elems(&in[0].shape);

    (void)tools;
    switch (out[0].dtype) {
    case TSPK_DTYPE_F32:
        cast_to_f32(&in[0], n, out[0].data);
        return TSPK_OK;
    case TSPK_DTYPE_I64:
        cast_to_i64(node->attr.mode, &in[0], n, out[0].data);
        return TSPK_OK;
    case TSPK_DTYPE_BOOL:
        cast_to_bool(&in[0], n, out[0].data);
        return TSPK_OK;
    }
    return tspk_op_refuse_dtype(node, out[0].dtype, err);
}
