/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Integer kernels of the spike executor: pure functions over raw pointers, in a table per
 * instruction set. Float work over rows is in row_kernels.h. The scalar table is the definition; every other one gives the same bytes.
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

/** Nonzero pairs of one row of levels: pair index within the row, and the two levels as they stand
 * in memory (low half first). */
typedef struct tspk_events {
    uint32_t *pair; /* [pairs of the row + 1] */
    int32_t *value; /* [pairs of the row + 1] */
    uint32_t *end;  /* [n_groups] events up to the end of each group */
} tspk_events;

typedef struct tspk_kernels {
    const char *name;

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
