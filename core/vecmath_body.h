/* SPDX-License-Identifier: Apache-2.0 */
/* Body of vecmath_scalar.c and vecmath_avx2.c: plain loops that the compiler widens for the target
 * of the file that includes it. TSPK_VECMATH_TABLE is the name of the table that is defined. */
#include "core/compiler.h"
#include "core/mathfun.h"
#include "core/vecmath.h"

#define LANES 16

/* y = expression(v) over x; the rest of a row is one more block, so that short rows stay wide too.
 */
#define MAP_ROW(n, x, y, expression)                                                               \
    do {                                                                                           \
        const size_t whole = (n) / LANES * LANES;                                                  \
                                                                                                   \
        TSPK_IVDEP                                                                                 \
        for (size_t i = 0; i < whole; i++) {                                                       \
            const float v = (x)[i];                                                                \
                                                                                                   \
            (y)[i] = (expression);                                                                 \
        }                                                                                          \
        if (whole < (n)) {                                                                         \
            float block[LANES] = {0};                                                              \
                                                                                                   \
            memcpy(block, (x) + whole, ((n)-whole) * sizeof *block);                               \
            for (int l = 0; l < LANES; l++) {                                                      \
                const float v = block[l];                                                          \
                                                                                                   \
                block[l] = (expression);                                                           \
            }                                                                                      \
            memcpy((y) + whole, block, ((n)-whole) * sizeof *block);                               \
        }                                                                                          \
    } while (0)

#define MAP(name, function)                                                                        \
    static void name(size_t n, const float *x, float *y)                                           \
    {                                                                                              \
        MAP_ROW(n, x, y, function(v));                                                             \
    }

MAP(map_exp, tspk_expf)
MAP(map_log, tspk_logf)
MAP(map_erf, tspk_erff)
MAP(map_tanh, tspk_tanhf)
MAP(map_sigmoid, tspk_sigmoidf)
MAP(map_gelu_erf, tspk_gelu_erf)
MAP(map_gelu_tanh, tspk_gelu_tanh)

static void map_silu(size_t n, float alpha, const float *x, float *y)
{
    MAP_ROW(n, x, y, v * tspk_sigmoidf(alpha * v));
}

static void map_scale(size_t n, float factor, const float *x, float *y)
{
    MAP_ROW(n, x, y, v * factor);
}

static void map_add(size_t n, const float *a, const float *b, float *y)
{
    TSPK_IVDEP
    for (size_t i = 0; i < n; i++)
        y[i] = a[i] + b[i];
}

static float fold(float lane[LANES])
{
    for (int half = LANES / 2; half > 0; half /= 2)
        for (int l = 0; l < half; l++)
            lane[l] += lane[l + half];
    return lane[0];
}

static float row_sum(size_t n, const float *x)
{
    float lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++)
            lane[l] += x[i + (size_t)l];
    for (int l = 0; i + (size_t)l < n; l++)
        lane[l] += x[i + (size_t)l];
    return fold(lane);
}

/* Σ (x - mean)² */
static float row_sum_squares(size_t n, const float *x, float mean)
{
    float lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        for (int l = 0; l < LANES; l++) {
            const float d = x[i + (size_t)l] - mean;

            lane[l] = fmaf(d, d, lane[l]);
        }
    for (int l = 0; i + (size_t)l < n; l++) {
        const float d = x[i + (size_t)l] - mean;

        lane[l] = fmaf(d, d, lane[l]);
    }
    return fold(lane);
}

/* Integers that order as the floats do: a maximum of integers can be widened in any order. */
static int32_t order_of(float x)
{
    const int32_t bits = (int32_t)tspk_float_bits(x);

    return bits ^ ((bits >> 31) & INT32_MAX);
}

static float row_max(size_t n, const float *x)
{
    int32_t most = order_of(-INFINITY);

    for (size_t i = 0; i < n; i++) {
        const int32_t order = order_of(x[i]);

        most = order > most ? order : most;
    }
    return tspk_float_from_bits((uint32_t)(most ^ ((most >> 31) & INT32_MAX)));
}

/* The sum is row_sum()'s. */
static float row_exp_minus(size_t n, float m, const float *x, float *y)
{
    float lane[LANES] = {0};
    size_t i = 0;

    for (; i + LANES <= n; i += LANES)
        TSPK_IVDEP
        for (size_t l = 0; l < LANES; l++) {
            const float e = tspk_expf(x[i + l] - m);

            y[i + l] = e;
            lane[l] += e;
        }
    if (i < n) {
        float block[LANES] = {0};

        memcpy(block, x + i, (n - i) * sizeof *block);
        for (size_t l = 0; l < LANES; l++)
            block[l] = tspk_expf(block[l] - m);
        memcpy(y + i, block, (n - i) * sizeof *block);
        for (size_t l = 0; i + l < n; l++)
            lane[l] += block[l];
    }
    return fold(lane);
}

static void row_softmax(size_t n, const float *x, float *y)
{
    const float sum = row_exp_minus(n, row_max(n, x), x, y);

    map_scale(n, 1.0f / sum, y, y);
}

static void row_layer_norm(size_t n, const float *x, const float *weight, const float *bias,
                           float epsilon, float *y)
{
    const float mean = row_sum(n, x) / (float)n;
    const float variance = row_sum_squares(n, x, mean) / (float)n;
    const float factor = 1.0f / sqrtf(variance + epsilon);

    if (weight && bias) {
        TSPK_IVDEP
        for (size_t i = 0; i < n; i++)
            y[i] = fmaf((x[i] - mean) * factor, weight[i], bias[i]);
    } else if (weight) {
        TSPK_IVDEP
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor * weight[i];
    } else if (bias) {
        TSPK_IVDEP
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor + bias[i];
    } else {
        TSPK_IVDEP
        for (size_t i = 0; i < n; i++)
            y[i] = (x[i] - mean) * factor;
    }
}

static void row_rms_norm(size_t n, const float *x, const float *weight, float epsilon, float *y)
{
    const float mean_square = row_sum_squares(n, x, 0.0f) / (float)n;
    const float factor = 1.0f / sqrtf(mean_square + epsilon);

    if (weight) {
        TSPK_IVDEP
        for (size_t i = 0; i < n; i++)
            y[i] = x[i] * factor * weight[i];
    } else
        map_scale(n, factor, x, y);
}

const tspk_vecmath TSPK_VECMATH_TABLE = {
    .exp = map_exp,
    .log = map_log,
    .erf = map_erf,
    .tanh = map_tanh,
    .sigmoid = map_sigmoid,
    .gelu_erf = map_gelu_erf,
    .gelu_tanh = map_gelu_tanh,
    .silu = map_silu,
    .sum = row_sum,
    .max = row_max,
    .exp_minus = row_exp_minus,
    .scale = map_scale,
    .add = map_add,
    .softmax = row_softmax,
    .layer_norm = row_layer_norm,
    .rms_norm = row_rms_norm,
};
