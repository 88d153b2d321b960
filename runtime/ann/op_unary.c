/* SPDX-License-Identifier: Apache-2.0 */
/* One input, elementwise: the functions of core/, or exact. */
#include <math.h>
#include <string.h>

#include "core/compiler.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "core/sin_cos_pow.h"
#include "core/vecmath.h"
#include "runtime/ann/op_impl.h"

/* `out` may be `in`. */
#define UNARY(name, in_type, out_type, expression)                                                 \
    static void name(size_t n, const in_type *in, out_type *out)                                   \
    {                                                                                              \
        TSPK_IVDEP                                                                                 \
        for (size_t i = 0; i < n; i++) {                                                           \
            const in_type x = in[i];                                                               \
                                                                                                   \
            out[i] = expression;                                                                   \
        }                                                                                          \
    }

UNARY(neg_f32, float, float, -x)
UNARY(abs_f32, float, float, fabsf(x))
UNARY(sqrt_f32, float, float, sqrtf(x))
UNARY(reciprocal_f32, float, float, 1.0f / x)
UNARY(sin_f32, float, float, tspk_sinf(x))
UNARY(cos_f32, float, float, tspk_cosf(x))
UNARY(relu_f32, float, float, x < 0.0f ? 0.0f : x)
UNARY(floor_f32, float, float, floorf(x))
UNARY(ceil_f32, float, float, ceilf(x))
UNARY(round_f32, float, float, rintf(x)) /* ties to even in the default rounding mode */
UNARY(is_nan_f32, float, uint8_t, x != x)
UNARY(not_bool, uint8_t, uint8_t, !x)
UNARY(neg_i64, int64_t, int64_t, (int64_t)(0 - (uint64_t)x))
UNARY(abs_i64, int64_t, int64_t, x < 0 ? (int64_t)(0 - (uint64_t)x) : x)
UNARY(relu_i64, int64_t, int64_t, x < 0 ? 0 : x)

static void clip_f32(size_t n, float least, float most, const float *in, float *out)
{
    TSPK_IVDEP
    for (size_t i = 0; i < n; i++) {
        const float raised = in[i] < least ? least : in[i];

        out[i] = raised > most ? most : raised;
    }
}

static int64_t bound_i64(float bound)
{
    if (bound >= 9223372036854775808.0f)
        return INT64_MAX;
    return bound <= -9223372036854775808.0f ? INT64_MIN : (int64_t)bound;
}

static void clip_i64(size_t n, float least, float most, const int64_t *in, int64_t *out)
{
    const int64_t low = bound_i64(least), high = bound_i64(most);

    TSPK_IVDEP
    for (size_t i = 0; i < n; i++) {
        const int64_t raised = in[i] < low ? low : in[i];

        out[i] = raised > high ? high : raised;
    }
}

/* max(0, min(1, alpha x + beta)), times x for HardSwish */
static void hard_f32(size_t n, float alpha, float beta, bool is_swish, const float *in, float *out)
{
    TSPK_IVDEP
    for (size_t i = 0; i < n; i++) {
        const float line = alpha * in[i] + beta;
        const float low = line < 0.0f ? 0.0f : line;
        const float gate = low > 1.0f ? 1.0f : low;

        out[i] = is_swish ? in[i] * gate : gate;
    }
}

/* false: the operator has no float form */
static bool eval_f32(const tspk_node *node, const tspk_vecmath *vec, size_t n, const float *x,
                     float *y)
{
    const tspk_attr *const attr = &node->attr;

    switch (node->op) {
    case TSPK_OP_NEG:
        neg_f32(n, x, y);
        return true;
    case TSPK_OP_ABS:
        abs_f32(n, x, y);
        return true;
    case TSPK_OP_EXP:
        vec->exp(n, x, y);
        return true;
    case TSPK_OP_LOG:
        vec->log(n, x, y);
        return true;
    case TSPK_OP_SQRT:
        sqrt_f32(n, x, y);
        return true;
    case TSPK_OP_RECIPROCAL:
        reciprocal_f32(n, x, y);
        return true;
    case TSPK_OP_ERF:
        vec->erf(n, x, y);
        return true;
    case TSPK_OP_SIN:
        sin_f32(n, x, y);
        return true;
    case TSPK_OP_COS:
        cos_f32(n, x, y);
        return true;
    case TSPK_OP_TANH:
        vec->tanh(n, x, y);
        return true;
    case TSPK_OP_SIGMOID:
        vec->sigmoid(n, x, y);
        return true;
    case TSPK_OP_RELU:
        relu_f32(n, x, y);
        return true;
    case TSPK_OP_FLOOR:
        floor_f32(n, x, y);
        return true;
    case TSPK_OP_CEIL:
        ceil_f32(n, x, y);
        return true;
    case TSPK_OP_ROUND:
        round_f32(n, x, y);
        return true;
    case TSPK_OP_CLIP:
        clip_f32(n, attr->alpha, attr->beta, x, y);
        return true;
    case TSPK_OP_HARD_SIGMOID:
        hard_f32(n, attr->alpha, attr->beta, false, x, y);
        return true;
    case TSPK_OP_HARD_SWISH:
        hard_f32(n, 1.0f / 6.0f, 0.5f, true, x, y);
        return true;
    case TSPK_OP_GELU:
        if (attr->mode == TSPK_GELU_TANH)
            vec->gelu_tanh(n, x, y);
        else
            vec->gelu_erf(n, x, y);
        return true;
    case TSPK_OP_SILU:
        vec->silu(n, attr->alpha, x, y);
        return true;
    default:
        return false;
    }
}

static bool eval_i64(const tspk_node *node, size_t n, const int64_t *x, int64_t *y)
{
    switch (node->op) {
    case TSPK_OP_NEG:
        neg_i64(n, x, y);
        return true;
    case TSPK_OP_ABS:
        abs_i64(n, x, y);
        return true;
    case TSPK_OP_RELU:
        relu_i64(n, x, y);
        return true;
    case TSPK_OP_CLIP:
        clip_i64(n, node->attr.alpha, node->attr.beta, x, y);
        return true;
    case TSPK_OP_FLOOR:
    case TSPK_OP_CEIL:
    case TSPK_OP_ROUND:
        memcpy(y, x, n * sizeof *y);
        return true;
    default:
        return false;
    }
}

/* Floats in blocks of whole vectors. */
#define BLOCK_ELEMS ((size_t)1 << 14)

typedef struct unary_job {
    const tspk_node *node;
    const tspk_vecmath *math;
    size_t n;
    const float *x;
    float *y;
} unary_job;

static void eval_block(void *context, size_t i, int worker)
{
    const unary_job *const job = context;
    const size_t at = i * BLOCK_ELEMS, left = job->n - at;

    (void)worker;
    (void)eval_f32(job->node, job->math, left < BLOCK_ELEMS ? left : BLOCK_ELEMS, job->x + at,
                   job->y + at);
}

TSPK_OP_FN(tspk_eval_unary)
{
    const size_t n = tspk_shape_elems(&in[0].shape);
    bool is_done = false;

    if (in[0].dtype == TSPK_DTYPE_F32 && node->op == TSPK_OP_IS_NAN) {
        is_nan_f32(n, in[0].data, out[0].data);
        is_done = true;
    } else if (in[0].dtype == TSPK_DTYPE_F32) {
        unary_job job = {node, tools->math, n, in[0].data, out[0].data};

        is_done = eval_f32(node, tools->math, 0, in[0].data, out[0].data);
        if (is_done)
            tspk_parallel_for(n < 2 * TSPK_PARALLEL_ELEMS ? 1 : tools->threads,
                              (n + BLOCK_ELEMS - 1) / BLOCK_ELEMS, eval_block, &job);
    } else if (in[0].dtype == TSPK_DTYPE_I64) {
        is_done = eval_i64(node, n, in[0].data, out[0].data);
    } else if (node->op == TSPK_OP_NOT) {
        not_bool(n, in[0].data, out[0].data);
        is_done = true;
    }
    return is_done ? TSPK_OK : tspk_op_refuse_dtype(node, in[0].dtype, err);
}
