/* SPDX-License-Identifier: Apache-2.0 */
/* Two or three inputs, elementwise, broadcast like numpy. */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "core/sin_cos_pow.h"
#include "runtime/ann/op_impl.h"
#include "runtime/ann/strided.h"

/* What can go wrong in a row; float arithmetic never fails. */
typedef enum trouble { FINE, BY_ZERO, OVERFLOWS } trouble;

/* One row: strides are 0 (one element for all) or 1. */
typedef trouble (*row_fn)(size_t n, const void *a, size_t a_stride, const void *b, size_t b_stride,
                          void *out);

#define BINARY(name, a_type, b_type, out_type, expression)                                         \
    static trouble name(size_t n, const void *a_data, size_t a_stride, const void *b_data,         \
                        size_t b_stride, void *out_data)                                           \
    {                                                                                              \
        const a_type *restrict const a = a_data;                                                   \
        const b_type *restrict const b = b_data;                                                   \
        out_type *restrict const out = out_data;                                                   \
                                                                                                   \
        if (a_stride && b_stride) {                                                                \
            for (size_t i = 0; i < n; i++) {                                                       \
                const a_type x = a[i];                                                             \
                const b_type y = b[i];                                                             \
                                                                                                   \
                out[i] = expression;                                                               \
            }                                                                                      \
        } else if (a_stride) {                                                                     \
            const b_type y = b[0];                                                                 \
                                                                                                   \
            for (size_t i = 0; i < n; i++) {                                                       \
                const a_type x = a[i];                                                             \
                                                                                                   \
                out[i] = expression;                                                               \
            }                                                                                      \
        } else {                                                                                   \
            const a_type x = a[0];                                                                 \
                                                                                                   \
            for (size_t i = 0; i < n; i++) {                                                       \
                const b_type y = b[i * b_stride];                                                  \
                                                                                                   \
                out[i] = expression;                                                               \
            }                                                                                      \
        }                                                                                          \
        return FINE;                                                                               \
    }

/* Integers wrap; the C language leaves that open for signed ones. */
#define WRAPPED(x, operator, y) ((int64_t)((uint64_t)(x) operator(uint64_t)(y)))

static float floored_mod(float x, float y)
{
    const float r = fmodf(x, y);

    return r != 0.0f && (r < 0.0f) != (y < 0.0f) ? r + y : r;
}

/* The squares of normalisation are products. */
static float power(float x, float y)
{
    if (y == 2.0f)
        return x * x;
    if (y == 0.5f)
        return sqrtf(x);
    return y == -0.5f ? 1.0f / sqrtf(x) : tspk_powf(x, y);
}

static int64_t power_i64(int64_t x, int64_t y)
{
    uint64_t result = 1, base = (uint64_t)x;

    if (y < 0)
        return x == 1 ? 1 : x == -1 ? (y % 2 ? -1 : 1) : 0;
    for (; y; y /= 2, base *= base)
        if (y % 2)
            result *= base;
    return (int64_t)result;
}

static int64_t power_i64_f32(int64_t x, float y)
{
    const double base = (double)x;
    double p;

    if (y == rintf(y) && fabsf(y) < 16777216.0f)
        return power_i64(x, (int64_t)y);
    if (fabsf(y) <= 64.0f && x > 0) {
        /* the root of a power is whole, however it was rounded */
        p = tspk_pow_double(base, (double)y);
        p = fabs(p - rint(p)) <= 1e-12 * p ? rint(p) : p;
    } else {
        p = (double)tspk_powf((float)x, y);
    }
    if (!(p > -9223372036854775808.0))
        return p != p ? 0 : INT64_MIN;
    return p < 9223372036854775808.0 ? (int64_t)p : INT64_MAX;
}

BINARY(add_f32, float, float, float, x + y)
BINARY(sub_f32, float, float, float, x - y)
BINARY(mul_f32, float, float, float, x *y)
BINARY(div_f32, float, float, float, x / y)
BINARY(pow_f32, float, float, float, power(x, y))
BINARY(pow_f32_i64, float, int64_t, float, power(x, (float)y))
BINARY(fmod_f32, float, float, float, fmodf(x, y))
BINARY(mod_f32, float, float, float, floored_mod(x, y))
/* a NaN on either side gives NaN */
BINARY(min_f32, float, float, float, x < y || x != x ? x : y)
BINARY(max_f32, float, float, float, x > y || x != x ? x : y)
BINARY(equal_f32, float, float, uint8_t, x == y)
BINARY(less_f32, float, float, uint8_t, x < y)
BINARY(less_or_equal_f32, float, float, uint8_t, x <= y)
BINARY(greater_f32, float, float, uint8_t, x > y)
BINARY(greater_or_equal_f32, float, float, uint8_t, x >= y)

BINARY(add_i64, int64_t, int64_t, int64_t, WRAPPED(x, +, y))
BINARY(sub_i64, int64_t, int64_t, int64_t, WRAPPED(x, -, y))
BINARY(mul_i64, int64_t, int64_t, int64_t, WRAPPED(x, *, y))
BINARY(pow_i64, int64_t, int64_t, int64_t, power_i64(x, y))
BINARY(pow_i64_f32, int64_t, float, int64_t, power_i64_f32(x, y))
BINARY(min_i64, int64_t, int64_t, int64_t, x < y ? x : y)
BINARY(max_i64, int64_t, int64_t, int64_t, x > y ? x : y)
BINARY(equal_i64, int64_t, int64_t, uint8_t, x == y)
BINARY(less_i64, int64_t, int64_t, uint8_t, x < y)
BINARY(less_or_equal_i64, int64_t, int64_t, uint8_t, x <= y)
BINARY(greater_i64, int64_t, int64_t, uint8_t, x > y)
BINARY(greater_or_equal_i64, int64_t, int64_t, uint8_t, x >= y)

BINARY(equal_bool, uint8_t, uint8_t, uint8_t, !x == !y)
BINARY(and_bool, uint8_t, uint8_t, uint8_t, x &&y)
BINARY(or_bool, uint8_t, uint8_t, uint8_t, x || y)
BINARY(xor_bool, uint8_t, uint8_t, uint8_t, !x != !y)

#define DIVISION(name, expression)                                                                 \
    static trouble name(size_t n, const void *a_data, size_t a_stride, const void *b_data,         \
                        size_t b_stride, void *out_data)                                           \
    {                                                                                              \
        const int64_t *const a = a_data, *const b = b_data;                                        \
        int64_t *const out = out_data;                                                             \
                                                                                                   \
        for (size_t i = 0; i < n; i++) {                                                           \
            const int64_t x = a[i * a_stride], y = b[i * b_stride];                                \
                                                                                                   \
            if (y == 0)                                                                            \
                return BY_ZERO;                                                                    \
            if (x == INT64_MIN && y == -1)                                                         \
                return OVERFLOWS;                                                                  \
            out[i] = expression;                                                                   \
        }                                                                                          \
        return FINE;                                                                               \
    }

DIVISION(div_i64, x / y)
DIVISION(fmod_i64, x % y)
DIVISION(mod_i64, x % y != 0 && (x % y < 0) != (y < 0) ? x % y + y : x % y)

static row_fn row_fn_f32(const tspk_node *node, tspk_dtype second)
{
    if (node->op == TSPK_OP_POW && second == TSPK_DTYPE_I64)
        return pow_f32_i64;
    if (second != TSPK_DTYPE_F32)
        return NULL;
    switch (node->op) {
    case TSPK_OP_ADD:
        return add_f32;
    case TSPK_OP_SUB:
        return sub_f32;
    case TSPK_OP_MUL:
        return mul_f32;
    case TSPK_OP_DIV:
        return div_f32;
    case TSPK_OP_POW:
        return pow_f32;
    case TSPK_OP_MOD:
        return node->attr.mode ? fmod_f32 : mod_f32;
    case TSPK_OP_MIN:
        return min_f32;
    case TSPK_OP_MAX:
        return max_f32;
    case TSPK_OP_EQUAL:
        return equal_f32;
    case TSPK_OP_LESS:
        return less_f32;
    case TSPK_OP_LESS_OR_EQUAL:
        return less_or_equal_f32;
    case TSPK_OP_GREATER:
        return greater_f32;
    case TSPK_OP_GREATER_OR_EQUAL:
        return greater_or_equal_f32;
    default:
        return NULL;
    }
}

static row_fn row_fn_i64(const tspk_node *node, tspk_dtype second)
{
    if (node->op == TSPK_OP_POW && second == TSPK_DTYPE_F32)
        return pow_i64_f32;
    if (second != TSPK_DTYPE_I64)
        return NULL;
    switch (node->op) {
    case TSPK_OP_ADD:
        return add_i64;
    case TSPK_OP_SUB:
        return sub_i64;
    case TSPK_OP_MUL:
        return mul_i64;
    case TSPK_OP_DIV:
        return div_i64;
    case TSPK_OP_POW:
        return pow_i64;
    case TSPK_OP_MOD:
        return node->attr.mode ? fmod_i64 : mod_i64;
    case TSPK_OP_MIN:
        return min_i64;
    case TSPK_OP_MAX:
        return max_i64;
    case TSPK_OP_EQUAL:
        return equal_i64;
    case TSPK_OP_LESS:
        return less_i64;
    case TSPK_OP_LESS_OR_EQUAL:
        return less_or_equal_i64;
    case TSPK_OP_GREATER:
        return greater_i64;
    case TSPK_OP_GREATER_OR_EQUAL:
        return greater_or_equal_i64;
    default:
        return NULL;
    }
}

static row_fn row_fn_bool(const tspk_node *node, tspk_dtype second)
{
    if (second != TSPK_DTYPE_BOOL)
        return NULL;
    switch (node->op) {
    case TSPK_OP_EQUAL:
        return equal_bool;
    case TSPK_OP_AND:
        return and_bool;
    case TSPK_OP_OR:
        return or_bool;
    case TSPK_OP_XOR:
        return xor_bool;
    default:
        return NULL;
    }
}

static row_fn find_row_fn(const tspk_node *node, tspk_dtype first, tspk_dtype second)
{
    switch (first) {
    case TSPK_DTYPE_F32:
        return row_fn_f32(node, second);
    case TSPK_DTYPE_I64:
        return row_fn_i64(node, second);
    case TSPK_DTYPE_BOOL:
        return row_fn_bool(node, second);
    }
    return NULL;
}

TSPK_OP_FN(tspk_eval_binary)
{
    const row_fn fn = find_row_fn(node, in[0].dtype, in[1].dtype);
    const size_t a_bytes = tspk_dtype_bytes(in[0].dtype), b_bytes = tspk_dtype_bytes(in[1].dtype);
    const size_t out_bytes = tspk_dtype_bytes(out[0].dtype);
    tspk_broadcast plan;
    tspk_broadcast_row row = {0};
    int last;

    if (!fn)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s of %s and %s elements is not supported",
                         tspk_op_name(node->op), tspk_dtype_name(in[0].dtype),
                         tspk_dtype_name(in[1].dtype));
    if (!tspk_shape_elems(&out[0].shape))
        return TSPK_OK;
    tspk_broadcast_plan(&out[0].shape, 2, in, &plan);
    last = plan.rank - 1;
    if (fn == add_f32 && plan.rank == 1 && plan.stride[0][0] && plan.stride[1][0]) {
        tools->math->add(plan.dim[0], in[0].data, in[1].data, out[0].data);
        return TSPK_OK;
    }
    do {
        const trouble found =
            fn(plan.dim[last], (const char *)in[0].data + row.at[0] * a_bytes,
               (size_t)plan.stride[0][last], (const char *)in[1].data + row.at[1] * b_bytes,
               (size_t)plan.stride[1][last], (char *)out[0].data + row.out * out_bytes);

        if (found == BY_ZERO)
            return TSPK_FAIL(err, TSPK_RANGE, "integer division by zero");
        if (found == OVERFLOWS)
            return TSPK_FAIL(err, TSPK_RANGE, "integer division of the least int64 by -1");
    } while (tspk_broadcast_next(&plan, &row));
    return TSPK_OK;
}

#define SELECT_ROW(name, type)                                                                     \
    static void name(size_t n, const uint8_t *c, size_t c_stride, const void *a_data,              \
                     size_t a_stride, const void *b_data, size_t b_stride, void *out_data)         \
    {                                                                                              \
        const type *const a = a_data, *const b = b_data;                                           \
        type *const out = out_data;                                                                \
                                                                                                   \
        for (size_t i = 0; i < n; i++)                                                             \
            out[i] = c[i * c_stride] ? a[i * a_stride] : b[i * b_stride];                          \
    }

SELECT_ROW(select_row_1, uint8_t)
SELECT_ROW(select_row_4, uint32_t)
SELECT_ROW(select_row_8, uint64_t)

TSPK_OP_FN(tspk_eval_where)
{
    const size_t bytes = tspk_dtype_bytes(out[0].dtype);
    tspk_broadcast plan;
    tspk_broadcast_row row = {0};
    int last;

    (void)tools;
    if (in[0].dtype != TSPK_DTYPE_BOOL)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    if (!tspk_shape_elems(&out[0].shape))
        return TSPK_OK;
    tspk_broadcast_plan(&out[0].shape, 3, in, &plan);
    last = plan.rank - 1;
    do {
        const uint8_t *const c = (const uint8_t *)in[0].data + row.at[0];
        const char *const a = (const char *)in[1].data + row.at[1] * bytes;
        const char *const b = (const char *)in[2].data + row.at[2] * bytes;
        char *const to = (char *)out[0].data + row.out * bytes;
        const size_t c_stride = (size_t)plan.stride[0][last];
        const size_t a_stride = (size_t)plan.stride[1][last];
        const size_t b_stride = (size_t)plan.stride[2][last];

        if (bytes == 4)
            select_row_4(plan.dim[last], c, c_stride, a, a_stride, b, b_stride, to);
        else if (bytes == 8)
            select_row_8(plan.dim[last], c, c_stride, a, a_stride, b, b_stride, to);
        else
            select_row_1(plan.dim[last], c, c_stride, a, a_stride, b, b_stride, to);
    } while (tspk_broadcast_next(&plan, &row));
    return TSPK_OK;
}
