/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Transcendental functions of our own, in float32. Each is a fixed, branch-free sequence of IEEE
 * operations (fmaf where a fused operation is meant, no tables, no libm), so a loop over it gives
 * the same bits on every instruction set, in whatever width the compiler makes of it. Error bounds
 * are against double precision and are tested (tests/core/test_vecmath.c). Coefficients: minimax
 * fits (Lawson's iteration on relative error), made for these intervals.
 */
#ifndef TSPK_CORE_MATHFUN_H
#define TSPK_CORE_MATHFUN_H

#include <math.h>
#include <stdint.h>
#include <string.h>

static inline uint32_t tspk_float_bits(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return bits;
}

static inline float tspk_float_from_bits(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof x);
    return x;
}

/** Below this exp() gives 0: results under 2^-125.5 are flushed. */
#define TSPK_EXP_LEAST (-86.98f)

/**
 * e^x, within 2 ulp on [TSPK_EXP_LEAST, 88.72]; 0 below, infinity above, NaN for NaN.
 * x = n ln 2 + r with |r| ≤ ln 2 / 2; 2 e^r by a polynomial, times 2^(n-1).
 */
static inline float tspk_expf(float x)
{
    const float magic =
        12582912.0f; /* 1.5 * 2^23: adding it rounds to an integer in the low bits */
    const float top = 89.0f < x ? 89.0f : x;
    const float shifted = fmaf(top, 1.44269504f, magic);
    const float n = shifted - magic;
    const float r = fmaf(n, -1.42860682e-6f, fmaf(n, -0.693145752f, top));
    const float scale = tspk_float_from_bits((tspk_float_bits(shifted) + 126u) << 23);
    float p = 0.002762914402f;

    p = fmaf(p, r, 0.01673745923f);
    p = fmaf(p, r, 0.08333677799f);
    p = fmaf(p, r, 0.3333304226f);
    p = fmaf(p, r, 0.9999998808f);
    p = fmaf(p, r, 2.0f);
    p = fmaf(p, r, 2.0f);
    p *= scale;
    return x < TSPK_EXP_LEAST ? 0.0f : p;
}

/**
 * ln x, within 2 ulp for normal x > 0; -infinity at 0 (denormals count as 0), NaN below,
 * infinity at infinity.
 */
static inline float tspk_logf(float x)
{
    /* x = 2^e m with m in [sqrt(1/2), sqrt(2)) */
    const uint32_t offset = tspk_float_bits(x) - 0x3f3504f3u;
    const float e = (float)((int32_t)offset >> 23);
    const float f = tspk_float_from_bits((offset & 0x007fffffu) + 0x3f3504f3u) - 1.0f;
    const float f2 = f * f;
    float p = -0.07634492963552475f;
    float y;

    p = fmaf(p, f, 0.12761574983596802f);
    p = fmaf(p, f, -0.13160182535648346f);
    p = fmaf(p, f, 0.14201758801937103f);
    p = fmaf(p, f, -0.16623356938362122f);
    p = fmaf(p, f, 0.20001226663589478f);
    p = fmaf(p, f, -0.2500081956386566f);
    p = fmaf(p, f, 0.3333333134651184f);
    y = fmaf(p * f, f2, e * 1.42860682e-6f);
    y = fmaf(-0.5f, f2, y) + f;
    y = fmaf(e, 0.693145752f, y);
    y = x < 1.17549435e-38f ? -INFINITY : y;
    y = x < 0.0f ? NAN : y;
    return x <= 3.40282347e38f ? y : x + x;
}

/** erf x, within 6 ulp; exactly ±1 from |x| = 3.92 on. |x| P(x²) / Q(x²), with the sign of x. */
static inline float tspk_erff(float x)
{
    const float a = fabsf(x);
    const float z = 3.92f < a ? 3.92f : a;
    const float u = z * z;
    float p = 2.050087687166524e-06f;
    float q = 3.809175541391596e-05f;
    float y;

    p = fmaf(p, u, 0.00028488345560617745f);
    p = fmaf(p, u, 0.003765637055039406f);
    p = fmaf(p, u, 0.05274878442287445f);
    p = fmaf(p, u, 0.1904068887233734f);
    p = fmaf(p, u, 1.1283791065216064f);
    q = fmaf(q, u, 0.001162540866062045f);
    q = fmaf(q, u, 0.014969256706535816f);
    q = fmaf(q, u, 0.11410929262638092f);
    q = fmaf(q, u, 0.5020764470100403f);
    q = fmaf(q, u, 1.0f);
    y = z * p / q;
    return copysignf(1.0f < y ? 1.0f : y, x);
}

/** tanh x, within 6 ulp; ±(1 - 2^-24) from |x| = 9.02 on. |x| P(x²) / Q(x²), with the sign of x. */
static inline float tspk_tanhf(float x)
{
    const float a = fabsf(x);
    const float z = 9.02f < a ? 9.02f : a;
    const float u = z * z;
    float p = 1.331911647639572e-08f;
    float q = 7.762038762848533e-07f;
    float y;

    p = fmaf(p, u, 2.0583516743499786e-05f);
    p = fmaf(p, u, 0.0034940368495881557f);
    p = fmaf(p, u, 0.13379719853401184f);
    p = fmaf(p, u, 1.0f);
    q = fmaf(q, u, 0.00032830965938046575f);
    q = fmaf(q, u, 0.02587108127772808f);
    q = fmaf(q, u, 0.4671303629875183f);
    q = fmaf(q, u, 1.0f);
    y = z * p / q;
    return copysignf(1.0f < y ? 1.0f : y, x);
}

/** 1 / (1 + e^-x), within 4 ulp where e^-x does not overflow; 0 below. */
static inline float tspk_sigmoidf(float x)
{
    return 1.0f / (1.0f + tspk_expf(-x));
}

/**
 * x (1 + erf(x / √2)) / 2, absolute error ≤ 1e-6, and within 4e-6 of itself for |x| ≤ 0.01; 0 below
 * -5.4. max(x, 0) - z (5.4 - z) P(z) with z = |x|: no division.
 */
static inline float tspk_gelu_erf(float x)
{
    const float a = fabsf(x);
    const float z = 5.4f < a ? 5.4f : a;
    const float t = fmaf(z, 0.37037036f, -1.0f);
    const float above = x > 0.0f ? x : 0.0f;
    float p = 0.0024028083f;

    p = fmaf(p, t, -0.0003851452f);
    p = fmaf(p, t, -0.011240552f);
    p = fmaf(p, t, 0.006287448f);
    p = fmaf(p, t, 0.020939784f);
    p = fmaf(p, t, -0.025848636f);
    p = fmaf(p, t, -0.008605658f);
    p = fmaf(p, t, 0.04279712f);
    p = fmaf(p, t, -0.035499774f);
    p = fmaf(p, t, -0.009229745f);
    p = fmaf(p, t, 0.048168402f);
    p = fmaf(p, t, -0.05077842f);
    p = fmaf(p, t, 0.028849121f);
    p = fmaf(p, t, -0.009137208f);
    p = fmaf(p, t, 0.0012840512f);
    return fmaf(-z * (5.4f - z), p, above);
}

/** x (1 + tanh(√(2/π) (x + 0.044715 x³))) / 2, absolute error ≤ 2e-6 for |x| ≤ 10. */
static inline float tspk_gelu_tanh(float x)
{
    const float half = 0.5f * x;
    const float inner = fmaf(0.044715f * x * x, x, x);

    return fmaf(half, tspk_tanhf(0.797884561f * inner), half);
}

#endif
