/* SPDX-License-Identifier: Apache-2.0 */
/* The packed form of right operands, kernels.h; inline, so that each instruction set compiles it for
 * its own step and width. */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_PACK_H
#define TSPK_RUNTIME_SPIKE_KERNELS_PACK_H

#include <string.h>

#include "core/compiler.h"
#include "runtime/spike/kernels.h"

/** How a table wants an operand: positions side by side, and what is added to a byte. */
typedef struct tspk_packing {
    tspk_width width;
    size_t step;
    uint8_t offset; /* bytes only */
} tspk_packing;

static TSPK_ALWAYS_INLINE size_t tspk_elem_bytes(tspk_width width)
{
    return width == TSPK_WIDTH_BYTE ? 1 : sizeof(int16_t);
}

static TSPK_ALWAYS_INLINE void tspk_put_level(const tspk_packing packing, uint8_t *packed,
                                              size_t at, int level)
{
    const int16_t word = (int16_t)level;

    if (packing.width == TSPK_WIDTH_BYTE)
        packed[at] = (uint8_t)(level + packing.offset);
    else
        memcpy(packed + at * sizeof word, &word, sizeof word);
}

/** One step of `lanes` columns; those that are missing become 0. */
static TSPK_ALWAYS_INLINE void tspk_pack_step(const tspk_packing packing, size_t positions,
                                              size_t lanes, const int16_t *level, size_t ld_inner,
                                              size_t ld_column, uint8_t *packed)
{
    for (size_t lane = 0; lane < TSPK_LANES; lane++)
        for (size_t i = 0; i < packing.step; i++)
            tspk_put_level(packing, packed, lane * packing.step + i,
                           i < positions && lane < lanes ? level[i * ld_inner + lane * ld_column]
                                                         : 0);
}

/** Packs one group of levels; position p of column c is level[p * ld_inner + c * ld_column]. */
static TSPK_ALWAYS_INLINE void tspk_pack_levels(const tspk_packing packing, size_t inner,
                                                size_t columns, const int16_t *level,
                                                const size_t ld_inner, const size_t ld_column,
                                                void *packed)
{
    const size_t step = packing.step, padded = tspk_pad_step(inner);
    const size_t step_bytes = TSPK_LANES * step * tspk_elem_bytes(packing.width);
    uint8_t *to = packed;

    for (size_t c = 0; c < columns; c += TSPK_LANES)
        for (size_t p = 0; p < padded; p += step, to += step_bytes) {
            const int16_t *const from = level + p * ld_inner + c * ld_column;

            if (p + step <= inner && c + TSPK_LANES <= columns)
                tspk_pack_step(packing, step, TSPK_LANES, from, ld_inner, ld_column, to);
            else
                tspk_pack_step(packing, p < inner ? inner - p : 0, columns - c, from, ld_inner,
                               ld_column, to);
        }
}

#endif
