/* SPDX-License-Identifier: Apache-2.0 */
/* The packed form of right operands, kernels.h, for every instruction set. */
#ifndef TSPK_RUNTIME_SPIKE_KERNELS_PACK_H
#define TSPK_RUNTIME_SPIKE_KERNELS_PACK_H

#include "runtime/spike/kernels.h"

/** How a table wants an operand: positions side by side, and what is added to a byte. */
typedef struct tspk_packing {
    tspk_width width;
    size_t step;
    uint8_t offset; /* bytes only */
} tspk_packing;

/**
 * Packs one group of levels; position p of column c is level[p * ld_inner + c * ld_column].
 * @param packed [tspk_packed_bytes(width, 1, inner, columns)]; out
 */
void tspk_pack_levels(tspk_packing packing, size_t inner, size_t columns, const int16_t *level,
                      size_t ld_inner, size_t ld_column, void *packed);

#endif
