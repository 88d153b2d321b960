/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The functions of core/mathfun.h over arrays, and the row operations made of them. One source
 * (vecmath_body.h) is compiled once per instruction set; every set gives the same bytes.
 *
 * Order of a sum: 16 lanes, element i goes to lane i mod 16 in rising order, then lane l += lane l
 * + 8,
 * += l + 4, += l + 2, += l + 1. It depends on n alone.
 */
#ifndef TSPK_CORE_VECMATH_H
#define TSPK_CORE_VECMATH_H

#include <stddef.h>

#include "core/cpu.h"

/** x and y are [n]; y may be x itself, but not overlap it otherwise. Nothing needs alignment. */
typedef struct tspk_vecmath {
    void (*exp)(size_t n, const float *x, float *y);
    void (*log)(size_t n, const float *x, float *y);
    void (*erf)(size_t n, const float *x, float *y);
    void (*tanh)(size_t n, const float *x, float *y);
    void (*sigmoid)(size_t n, const float *x, float *y);
    void (*gelu_erf)(size_t n, const float *x, float *y);
    void (*gelu_tanh)(size_t n, const float *x, float *y);
    void (*silu)(size_t n, float alpha, const float *x, float *y); /* x sigmoid(alpha x) */

    float (*sum)(size_t n, const float *x);
    float (*max)(size_t n, const float *x); /* -infinity for n = 0; positive NaNs win */

    /* y = exp(x - m); returns Σ y */
    float (*exp_minus)(size_t n, float m, const float *x, float *y);
    /* y = x * factor */
    void (*scale)(size_t n, float factor, const float *x, float *y);
    /* y = a + b */
    void (*add)(size_t n, const float *a, const float *b, float *y);
    /* y = exp(x - max x) * (1 / Σ exp(x - max x)) */
    void (*softmax)(size_t n, const float *x, float *y);

    /* y = fma((x - μ) * (1 / sqrt(σ² + epsilon)), weight, bias); σ² from a second pass over x - μ.
     * weight NULL: ones (no product); bias NULL: zeros (no sum) */
    void (*layer_norm)(size_t n, const float *x, const float *weight, const float *bias,
                       float epsilon, float *y);
    /* y = x * (1 / sqrt(mean x² + epsilon)) * weight; weight NULL: ones */
    void (*rms_norm)(size_t n, const float *x, const float *weight, float epsilon, float *y);
} tspk_vecmath;

/** The functions for an instruction set that tspk_isa_is_supported(); static. */
const tspk_vecmath *tspk_vecmath_for(tspk_isa isa);

/* one per instruction set */
extern const tspk_vecmath tspk_vecmath_scalar;
extern const tspk_vecmath tspk_vecmath_avx2;
extern const tspk_vecmath tspk_vecmath_avx512;

#endif
