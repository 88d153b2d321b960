/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The row kernels that a compiler vectorises well by itself, compiled once per instruction set: the
 * file that includes this defines KERNEL, the prefix of every function (`static`, a target
 * attribute).
 */
#include <math.h>

#include "core/mathfun.h"

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
                   const float *bias, const float *l, float *out)
{
    if (bias)
        TSPK_IVDEP
    for (size_t j = 0; j < n; j++)
        out[j] = fmaf(factor * key_factor[j], l[j], add[j]) + bias[j];
    else TSPK_IVDEP for (size_t j = 0; j < n; j++) out[j] =
        fmaf(factor * key_factor[j], l[j], add[j]);
}

/* The float of ±2^(|code| - 1), or of the code itself. */
static TSPK_ALWAYS_INLINE float decoded_level(tspk_code_form form, int8_t code)
{
    const int32_t magnitude = code < 0 ? -code : code;
    const float power = tspk_float_from_bits((uint32_t)(magnitude + 126) << 23);

    if (form == TSPK_CODE_LEVEL)
        return (float)code;
    return code < 0 ? -power : code > 0 ? power : 0.0f;
}

static TSPK_ALWAYS_INLINE void add_coded(size_t n, const float *step, size_t stride,
                                         tspk_code_form form, const int8_t *code,
                                         const float *before, float *o)
{
    if (before)
        TSPK_IVDEP
    for (size_t i = 0; i < n; i++)
        o[i] = before[i] + decoded_level(form, code[i]) * step[i * stride];
    else TSPK_IVDEP for (size_t i = 0; i < n; i++) o[i] =
        0.0f + decoded_level(form, code[i]) * step[i * stride];
}

KERNEL void add_codes(size_t n, const float *step, bool is_alike, tspk_code_form form,
                      const int8_t *code, const float *before, float *o)
{
    if (form == TSPK_CODE_EXPONENT)
        add_coded(n, step, !is_alike, TSPK_CODE_EXPONENT, code, before, o);
    else if (is_alike)
        add_coded(n, step, 0, TSPK_CODE_LEVEL, code, before, o);
    else
        add_coded(n, step, 1, TSPK_CODE_LEVEL, code, before, o);
}

KERNEL void encode(size_t n, tspk_code_form form, const int16_t *level, int8_t *code)
{
    if (form == TSPK_CODE_LEVEL) {
        for (size_t i = 0; i < n; i++)
            code[i] = (int8_t)level[i];
        return;
    }
    for (size_t i = 0; i < n; i++) {
        int8_t exponent = 0;

        for (int magnitude = level[i] < 0 ? -level[i] : level[i]; magnitude; magnitude >>= 1)
            exponent++;
        code[i] = level[i] < 0 ? (int8_t)-exponent : exponent;
    }
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

#ifndef TSPK_OWN_DOT
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
#endif

KERNEL void decode(size_t n, const float *o, const float *prior, float divisor, const float *offset,
                   float *out)
{
    for (size_t i = 0; i < n; i++)
        out[i] = prior ? o[i] - prior[i] : o[i];
    if (divisor > 0.0f)
        for (size_t i = 0; i < n; i++)
            out[i] = out[i] / divisor;
    if (offset)
        for (size_t i = 0; i < n; i++)
            out[i] += offset[i];
}
