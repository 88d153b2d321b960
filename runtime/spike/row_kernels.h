/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Float kernels of the spike executor over rows: neurons, what surrounds the integer products, and
 * contractions that stay analog. Pure functions over raw pointers, in a table per instruction set.
 * The scalar table is the definition; every other one gives the same bytes.
 */
#ifndef TSPK_RUNTIME_SPIKE_ROW_KERNELS_H
#define TSPK_RUNTIME_SPIKE_ROW_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/cpu.h"
#include "runtime/spike/kernels.h"

/* Inner elements that gemm_f32 sums in one chain. */
#define TSPK_GEMM_BLOCK 64u

/** Thresholds of a row of neurons, docs/spikefile.md "Neuron". Entry i of neuron c stands at
 * [i * stride + c]; channels with fewer levels are padded with infinite thresholds. */
typedef struct tspk_fire_table {
    size_t stride;
    uint32_t n_positive, n_negative;
    const float *step, *reciprocal;                   /* [stride] */
    const float *positive_threshold, *positive_level; /* [n_positive, stride] by rising magnitude */
    const float *negative_threshold, *negative_level; /* [n_negative, stride] */
} tspk_fire_table;

/** Rows of neurons that share a table. */
typedef struct tspk_fire_args {
    const tspk_fire_table *table;
    size_t rows, n; /* n: neurons a row, a multiple of TSPK_LANES */
    size_t neuron;  /* fire_alike: every neuron uses this entry of the table */
    bool is_rate;
    float t;        /* step, from 1 */
    const float *x; /* [rows, ldx] potential's input [activation units]; read up to n */
    size_t ldx;
    const float *o_in; /* [rows, ldo_in] state; NULL: zeros; ldo_in 0: one row for all */
    size_t ldo_in;
    float *o_out; /* [rows, ldo_out], NULL: not kept; may be o_in */
    size_t ldo_out;
    int16_t *level; /* [rows, ldl] integer levels; out */
    size_t ldl;
} tspk_fire_args;

/** Work that a row of levels makes for each synapse of its fan-out. */
typedef struct tspk_level_count {
    uint64_t spikes; /* levels other than 0 */
    uint64_t bits;   /* Σ bit length of the levels whose magnitude is no power of two */
} tspk_level_count;

typedef struct tspk_row_kernels {
    const char *name;

    /** One neuron step; fire_alike: all neurons of the rows use entry `neuron` of the table. */
    void (*fire)(const tspk_fire_args *args);
    void (*fire_alike)(const tspk_fire_args *args);

    /** Counts a row of n levels. */
    tspk_level_count (*count)(size_t n, const int16_t *level);

    /** y = fma(rho, z, y_in); stored to y_kept unless NULL; out = (divisor ? y / divisor : y) +
     * bias. y_kept NULL: y_in = 0. `is_first`: y_in = 0 whatever y_kept holds. */
    void (*finish)(size_t n, float rho, const float *z, float *y_kept, bool is_first, float divisor,
                   const float *bias, float *out);

    /** out[r, j] = Σ_k a[r, k] b[k, j] + bias[j] (NULL: none), j < n ≤ LANES. An fma chain from 0 with k
     * rising in each block of TSPK_GEMM_BLOCK; the blocks' sums are added in order: a chain over a
     * whole patch loses a digit.
     * @param b [inner, LANES] */
    void (*gemm_f32)(size_t rows, size_t inner, const float *a, size_t lda, const float *b,
                     const float *bias, size_t n, float *out, size_t ldo);

    /** l[j] = fma(factor * key_factor[j], l[j], add[j]) (+ bias[j] unless NULL) */
    void (*logits)(size_t n, float factor, const float *key_factor, const float *add,
                   const float *bias, float *l);

    /** out[c] = fma(factor * unit[c], acc[c], offset[c]); offset NULL: zeros. */
    void (*scale_out)(size_t n, float factor, const float *unit, const float *acc,
                      const float *offset, float *out);

    /** y[i] = fma(a, x[i], y[i]) */
    void (*add_scaled)(size_t n, float a, const float *x, float *y);

    /** Σ a[i] b[i] in a fixed order that depends on n alone. */
    float (*dot)(size_t n, const float *a, const float *b);

    /** out[i] = (o[i] - prior[i]) / divisor; prior NULL: zeros; divisor 0: no division. */
    void (*decode)(size_t n, const float *o, const float *prior, float divisor, float *out);
} tspk_row_kernels;

/** The table for an instruction set that tspk_isa_is_supported(); static. */
const tspk_row_kernels *tspk_row_kernels_for(tspk_isa isa);

/* one per instruction set; the first is the definition */
extern const tspk_row_kernels tspk_row_kernels_scalar;
extern const tspk_row_kernels tspk_row_kernels_avx2;

#endif
