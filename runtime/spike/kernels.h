/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer products of the spike executor: pure functions over raw pointers, in a table per
 * instruction set. Float work over rows is in row_kernels.h. The scalar table is the definition;
 * every other one gives the same bytes.
 *
 * A right operand (weights, or the levels of keys and values) is packed in tiles of TSPK_LANES
 * columns. Within a tile, `step` consecutive inner positions of a column stand side by side:
 * packed[tile][group][position / step][lane][step]. A group of inner positions is padded to a
 * multiple of TSPK_STEP. How many positions make a step, and what is added to a byte, belongs to
 * the instruction set: what one table has packed only the same table reads.
 */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_H
#define TSPK_RUNTIME_SPIKE_KERNELS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"
#include "transpike/error.h"
#include "transpike/spike.h"

#define TSPK_LANES 16u
#define TSPK_STEP  4u

/** Rounds up to whole tiles. */
static inline size_t tspk_pad_lanes(size_t n)
{
    return (n + TSPK_LANES - 1) / TSPK_LANES * TSPK_LANES;
}

/** Rounds up to whole steps. */
static inline size_t tspk_pad_step(size_t n)
{
    return (n + TSPK_STEP - 1) / TSPK_STEP * TSPK_STEP;
}

/** Elements of both operands of a product. */
typedef enum tspk_width {
    TSPK_WIDTH_BYTE, /* both within ±127 */
    TSPK_WIDTH_WORD  /* int16, sums of a group within int32 */
} tspk_width;

/** One spike-driven Linear over some rows and columns, docs/spikefile.md "Linear". */
typedef struct tspk_linear_args {
    tspk_width width;
    size_t rows, n;         /* n: outputs */
    size_t n_groups, group; /* group: positions of a padded group */
    const int16_t *level;   /* [rows, ldl] levels in sorted order, padding 0 */
    size_t ldl;
    const void *weight;       /* tspk_pack_weights(), from the first output's tile on */
    const float *scale;       /* [tiles, n_groups, LANES] */
    const uint8_t *row_class; /* [rows] */
    const float *rho;         /* [classes] */
    const float *bias;        /* [classes, ldbias] */
    size_t ldbias;
    float divisor; /* t in rate coding; 0: none */
    bool is_first; /* Y starts at 0, whatever y holds */
    bool is_last;  /* nobody reads y again: it is not written */
    float *y;      /* [rows, ldo] Y; in/out; NULL: starts at 0 and is not kept */
    float *out;    /* [rows, ldo]; out */
    size_t ldo;
    void *scratch; /* [tspk_kernels.scratch_bytes()] aligned to 64 bytes */
} tspk_linear_args;

/* Terms of a product: pairs of planes of one step. */
#define TSPK_MAX_TERMS (2 * TSPK_MAX_STEPS)

typedef struct tspk_product_term {
    const int16_t *a; /* [rows, lda]; read up to inner */
    const void *b;    /* pack_columns() or pack_rows() of as many positions */
    float factor;
} tspk_product_term;

/** For every column of the tiles, term by term: out[r, j] = fma((float)Σ_p a[r, p] b[p, j], factor,
 * out[r, j]); `is_first`: the first term finds 0 there, whatever out holds. */
typedef struct tspk_product_args {
    tspk_width width;
    size_t rows, inner, columns; /* columns: a multiple of LANES */
    size_t lda;
    const tspk_product_term *term; /* [n_terms] */
    size_t n_terms;                /* at most TSPK_MAX_TERMS */
    bool is_first;
    float *out; /* [rows, ldo]; in/out */
    size_t ldo;
    void *scratch; /* aligned to 64 bytes; [tspk_kernels.scratch_bytes()] with one group, as many
                      times as terms have different a */
} tspk_product_args;

typedef struct tspk_kernels {
    const char *name;
    uint8_t step[2];                             /* [width] positions of a step: 2 or 4 */
    uint8_t byte_offset;                         /* added to a packed byte */
    float linear_event_rate, product_event_rate; /* firing rates up to which *_events are faster on
                                                    every shape of bench/bench_kernels */

    /** Scratch for any number of rows and columns with these groups. */
    size_t (*scratch_bytes)(size_t n_groups, size_t group);

    /** The same results: dense, or from the list of what fired. The latter reads no weight of a
     * step of positions that is silent. */
    void (*linear)(const tspk_linear_args *args);
    void (*linear_events)(const tspk_linear_args *args);
    void (*product)(const tspk_product_args *args);
    void (*product_events)(const tspk_product_args *args);

    /** Packs levels [inner, columns]; pack_rows takes the transpose, [columns, inner]. Zeros where
     * there is no position or column. */
    void (*pack_columns)(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                         size_t ldl, void *packed);
    void (*pack_rows)(tspk_width width, size_t inner, size_t columns, const int16_t *level,
                      size_t ldl, void *packed);
} tspk_kernels;

/** Bytes of a packed right operand; `group` is padded by this function. */
size_t tspk_packed_bytes(tspk_width width, size_t n_groups, size_t group, size_t columns);

/**
 * Packs a Linear's weights for `kernels`.
 * @param output      [n] row of weight and scale that each column has; NULL: in order
 * @param weight      [n, n_groups * group_size] of weight_bits 8 or 16; 8 in either width
 * @param scale       [n_groups, n]
 * @param packed      [tspk_packed_bytes(width, n_groups, group_size, n)]; out
 * @param scale_tiles [tiles, n_groups, LANES]; out
 */
void tspk_pack_weights(const tspk_kernels *kernels, tspk_width width, size_t n,
                       const uint32_t *output, size_t n_groups, size_t group_size,
                       const void *weight, uint32_t weight_bits, const float *scale, void *packed,
                       float *scale_tiles);

/* one per instruction set; the first is the definition */
extern const tspk_kernels tspk_kernels_scalar;
extern const tspk_kernels tspk_kernels_avx2;
extern const tspk_kernels tspk_kernels_avx512vnni;
extern const tspk_kernels tspk_kernels_neon;

/** The table of an instruction set; AUTO: the best that this machine has.
 * @errors UNSUPPORTED when the build or the machine lacks it */
tspk_status tspk_kernels_select(tspk_isa isa, const tspk_kernels **kernels_out, tspk_error *err);

#endif
