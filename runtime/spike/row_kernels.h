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
#include "core/spikegraph.h"
#include "runtime/spike/kernels.h"

/* Inner elements that gemm_f32 sums in one chain. */
#define TSPK_GEMM_BLOCK 64u

/* Channels that reorder() can tell apart. */
#define TSPK_MAX_ORDERED ((size_t)1 << 22)

/* Neurons that a block of the fire kernels takes; tables are padded to it. */
#define TSPK_FIRE_LANES 64u

/**
 * Thresholds of neurons, docs/spikefile.md "Neuron". Thresholds are halves of integers, so that
 * |p| > θ when ceil(2|p|) - 129, limited to [-128, 127], exceeds bound = 2θ - 129: bytes compare.
 * A side is the positive levels or the magnitudes of the negative ones, by rising magnitude. Level
 * i of the block of neurons b stands at side + (b * n_side + i) * 2 * TSPK_FIRE_LANES: the block's
 * bounds (int8), then its rises m_i - m_{i-1}. Where a neuron has fewer levels: bound 127, which
 * nothing exceeds.
 */
typedef struct tspk_fire_table {
    const float *step;       /* [blocks * TSPK_FIRE_LANES] */
    const float *reciprocal; /* [blocks * TSPK_FIRE_LANES] twice the neuron's */
    uint32_t n_side[2];      /* positive, negative; even */
    const uint8_t *side[2];  /* [blocks, n_side, 2, TSPK_FIRE_LANES] */
    bool is_mirrored;        /* both sides are the same: only the first is read */
} tspk_fire_table;

/** Work that a row of levels makes for each synapse of its fan-out. */
typedef struct tspk_level_count {
    uint64_t spikes; /* levels other than 0 */
    uint64_t bits;   /* Σ bit length of the levels whose magnitude is no power of two */
} tspk_level_count;

/** Rows of neurons that share a table. */
typedef struct tspk_fire_args {
    const tspk_fire_table *table;
    size_t rows, n; /* n: neurons a row, a multiple of TSPK_LANES */
    bool is_alike;  /* every block of neurons uses the table's block `block` */
    size_t block;
    float t;        /* factor of x: the step in rate coding, else 1 */
    const float *x; /* [rows, ldx] potential's input [activation units] */
    size_t ldx;
    const float *o_in; /* [rows, ldo_in] state; NULL: zeros; ldo_in 0: one row for all */
    size_t ldo_in;
    float *o_out; /* [rows, ldo_out], NULL: not kept; may be o_in */
    size_t ldo_out;
    void *level;  /* [rows, ldl] integer levels, int8, or int16 when is_wide; out */
    bool is_wide; /* asked for where a level may be 128 */
    size_t ldl;
    tspk_level_count *count; /* [rows] out */
} tspk_fire_args;

typedef struct tspk_row_kernels {
    const char *name;

    /** One neuron step. */
    void (*fire)(const tspk_fire_args *args);

    /**
     * Brings levels into the order of positions: to[r, p] = from[r, order[p]].
     * @param n     positions, a multiple of LANES
     * @param order [n] channel
     * @param channels < TSPK_MAX_ORDERED
     * @param from  [rows, ldf] int8, or int16 when is_wide; read up to `channels` rounded up to
     *              TSPK_FIRE_LANES, of which those beyond `channels` may hold anything
     * @param to    [rows, ldt] of the same type; out
     */
    void (*reorder)(size_t rows, size_t n, size_t channels, const uint32_t *order, bool is_wide,
                    const void *from, size_t ldf, void *to, size_t ldt);

    /** y = fma(rho, z, y_in); stored to y_kept unless NULL; out = (divisor ? y / divisor : y) +
     * bias. y_kept NULL: y_in = 0. `is_first`: y_in = 0 whatever y_kept holds. */
    void (*finish)(size_t n, float rho, const float *z, float *y_kept, bool is_first, float divisor,
                   const float *bias, float *out);

    /** out[r, j] = Σ_k a[r, k] b[k, j] + bias[j] (NULL: none), j < n ≤ LANES. An fma chain from 0
     * with k rising in each block of TSPK_GEMM_BLOCK; the blocks' sums are added in order: a chain
     * over a whole patch loses a digit.
     * @param b [inner, LANES] */
    void (*gemm_f32)(size_t rows, size_t inner, const float *a, size_t lda, const float *b,
                     const float *bias, size_t n, float *out, size_t ldo);

    /** out[j] = fma(factor * key_factor[j], l[j], add[j]) (+ bias[j] unless NULL); out may be l */
    void (*logits)(size_t n, float factor, const float *key_factor, const float *add,
                   const float *bias, const float *l, float *out);

    /** o[i] = before[i] + m * step[i] with two roundings, what fire() did to a state; m is the
     * level that a code stands for. `before` may be o; NULL: zeros. is_alike: step[0] for all. */
    void (*add_codes)(size_t n, const float *step, bool is_alike, tspk_code_form form,
                      const int8_t *code, const float *before, float *o);

    /** Codes of levels. */
    void (*encode)(size_t n, tspk_code_form form, const int16_t *level, int8_t *code);

    /** out[c] = fma(factor * unit[c], acc[c], offset[c]); offset NULL: zeros. */
    void (*scale_out)(size_t n, float factor, const float *unit, const float *acc,
                      const float *offset, float *out);

    /** y[i] = fma(a, x[i], y[i]) */
    void (*add_scaled)(size_t n, float a, const float *x, float *y);

    /** Σ a[i] b[i] in a fixed order that depends on n alone. */
    float (*dot)(size_t n, const float *a, const float *b);

    /** out[i] = (o[i] - prior[i]) / divisor + offset[i]; NULL: zeros; divisor 0: no division. */
    void (*decode)(size_t n, const float *o, const float *prior, float divisor, const float *offset,
                   float *out);
} tspk_row_kernels;

/** The table for an instruction set that tspk_isa_is_supported(); static. */
const tspk_row_kernels *tspk_row_kernels_for(tspk_isa isa);

/** reorder() for instruction sets without a permutation that helps. */
void tspk_reorder_levels(size_t rows, size_t n, size_t channels, const uint32_t *order,
                         bool is_wide, const void *from, size_t ldf, void *to, size_t ldt);

/* one per instruction set; the first is the definition */
extern const tspk_row_kernels tspk_row_kernels_scalar;
extern const tspk_row_kernels tspk_row_kernels_avx2;
extern const tspk_row_kernels tspk_row_kernels_avx512;

#endif
