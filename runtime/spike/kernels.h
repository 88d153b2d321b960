/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Kernels of the spike executor: pure functions over raw pointers, in a table per instruction set.
 * The scalar table is the definition; every other one gives the same bytes.
 *
 * Padding: a row of neurons is a multiple of TSPK_LANES long, and a tile of outputs is TSPK_LANES
 * wide. Weights and packed operands hold two consecutive inner positions side by side:
 * tile[pair][lane][2].
 */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_H
#define TSPK_RUNTIME_SPIKE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"
#include "transpike/spike.h"

#define TSPK_LANES 16u

/** Rounds up to whole tiles. */
static inline size_t tspk_pad_lanes(size_t n)
{
    return (n + TSPK_LANES - 1) / TSPK_LANES * TSPK_LANES;
}

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

/** Nonzero pairs of one row of levels: pair index within the row, and the two levels as they stand
 * in memory (low half first). */
/* Inner elements that gemm_f32 sums in one chain. */
#define TSPK_GEMM_BLOCK 64u

typedef struct tspk_events {
    uint32_t *pair; /* [pairs of the row + 1] */
    int32_t *value; /* [pairs of the row + 1] */
    uint32_t *end;  /* [n_groups] events up to the end of each group */
} tspk_events;

typedef struct tspk_kernels {
    const char *name;

    /** One neuron step; fire_alike: all neurons of the rows use entry `neuron` of the table. */
    void (*fire)(const tspk_fire_args *args);
    void (*fire_alike)(const tspk_fire_args *args);

    /** Counts a row of n levels. */
    tspk_level_count (*count)(size_t n, const int16_t *level);

    /**
     * z[r, lane] = Σ_g fma(scale[g, lane], Σ_{p in g} level[r, p] weight[p, lane], ·), g rising
     * from 0.
     * @param pairs  pairs of positions a group
     * @param weight [n_groups * pairs, LANES, 2] int8 or int16
     * @param scale  [n_groups, LANES]
     * @param z      [rows, ldz], LANES of them written; out
     */
    void (*linear_i8)(size_t rows, size_t n_groups, size_t pairs, const int16_t *level, size_t ldl,
                      const int8_t *weight, const float *scale, float *z, size_t ldz);
    void (*linear_i16)(size_t rows, size_t n_groups, size_t pairs, const int16_t *level, size_t ldl,
                       const int16_t *weight, const float *scale, float *z, size_t ldz);

    /** The same for one row from its events; nothing is read for a pair that is silent. */
    void (*linear_events_i8)(size_t n_groups, const tspk_events *events, const int8_t *weight,
                             const float *scale, float *z);
    void (*linear_events_i16)(size_t n_groups, const tspk_events *events, const int16_t *weight,
                              const float *scale, float *z);

    /** out[r, lane] = fma((float)Σ_p a[r, p] b[p, lane], factor, is_first ? 0 : out[r, lane]). */
    void (*product)(size_t rows, size_t pairs, const int16_t *a, size_t lda, const int16_t *b,
                    float factor, bool is_first, float *out, size_t ldo);
    void (*product_events)(size_t n_events, const tspk_events *events, const int16_t *b,
                           float factor, bool is_first, float *out);

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

    /** Packs rows [inner, width] of levels into tiles: tile[(column / LANES)][pair][lane][2], zeros
     * where there is no row or column. pack_rows takes the transpose: rows [width, inner]. */
    void (*pack)(size_t inner, size_t width, const int16_t *level, size_t ldl, int16_t *tiles);
    void (*pack_rows)(size_t inner, size_t width, const int16_t *level, size_t ldl, int16_t *tiles);
} tspk_kernels;

/** The definition. */
const tspk_kernels *tspk_kernels_scalar(void);

/** NULL in a build without AVX2. */
const tspk_kernels *tspk_kernels_avx2(void);

/** The table of an instruction set; AUTO: the best that this machine has.
 * @errors UNSUPPORTED when the build or the machine lacks it */
tspk_status tspk_kernels_select(tspk_isa isa, const tspk_kernels **kernels_out, tspk_error *err);

#endif
