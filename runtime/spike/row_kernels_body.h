/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row kernels that a compiler vectorises well by itself, compiled once per instruction set: the
 * file that includes this defines KERNEL, the prefix of every function (`static`, a target
 * attribute).
 */
#include <math.h>

KERNEL void finish(size_t n, float rho, const float *z, float *y_kept, bool is_first, float divisor,
                   const float *bias, float *out)
{
    for (size_t i = 0; i < n; i++) {
        const float before = y_kept && !is_first ? y_kept[i] : 0.0f;
        const float y = fmaf(rho, z[i], before);

        if (y_kept)
            y_kept[i] = y;
        out[i] = (divisor > 0.0f ? y / divisor : y) + bias[i];
    }
}

KERNEL void logits(size_t n, float factor, const float *key_factor, const float *add,
                   const float *bias, float *l)
{
    if (bias)
        for (size_t j = 0; j < n; j++)
            l[j] = fmaf(factor * key_factor[j], l[j], add[j]) + bias[j];
    else
        for (size_t j = 0; j < n; j++)
            l[j] = fmaf(factor * key_factor[j], l[j], add[j]);
}

KERNEL void scale_out(size_t n, float factor, const float *unit, const float *acc,
                      const float *offset, float *out)
{
    if (offset)
        for (size_t c = 0; c < n; c++)
            out[c] = fmaf(factor * unit[c], acc[c], offset[c]);
    else
        for (size_t c = 0; c < n; c++)
            out[c] = fmaf(factor * unit[c], acc[c], 0.0f);
}

KERNEL void add_scaled(size_t n, float a, const float *x, float *y)
{
    for (size_t i = 0; i < n; i++)
        y[i] = fmaf(a, x[i], y[i]);
}

/* Element i goes to lane i mod 16 in rising order; the lanes are added pairwise. */
KERNEL float dot(size_t n, const float *a, const float *b)
{
    float lane[TSPK_LANES] = {0};
    size_t i = 0;

    for (; i + TSPK_LANES <= n; i += TSPK_LANES)
        for (size_t j = 0; j < TSPK_LANES; j++)
            lane[j] = fmaf(a[i + j], b[i + j], lane[j]);
    for (size_t j = 0; i + j < n; j++)
        lane[j] = fmaf(a[i + j], b[i + j], lane[j]);
    for (size_t half = TSPK_LANES / 2; half; half /= 2)
        for (size_t j = 0; j < half; j++)
            lane[j] += lane[j + half];
    return lane[0];
}

KERNEL void decode(size_t n, const float *o, const float *prior, float divisor, float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = prior ? o[i] - prior[i] : o[i];
    if (divisor > 0.0f)
        for (size_t i = 0; i < n; i++)
            out[i] = out[i] / divisor;
}
