/* SPDX-License-Identifier: Apache-2.0 */
/* Walks over dense and strided arrays, shared by the operators. */
#ifndef TSPK_RUNTIME_ANN_STRIDED_H
#define TSPK_RUNTIME_ANN_STRIDED_H

#include <stddef.h>

#include "core/tensor.h"

#define TSPK_MAX_STRIDED_RANK (2 * TSPK_MAX_RANK)
#define TSPK_MAX_OPERANDS     3

/** Strides of a dense row-major tensor [elements]. */
void tspk_dense_strides(const tspk_shape *shape, ptrdiff_t *stride_out);

/**
 * Copies dim[0] × … elements of elem_bytes (1, 4 or 8) from src to dst, each with strides of its
 * own [elements, may be negative or 0 in src]. rank ≤ TSPK_MAX_STRIDED_RANK.
 */
void tspk_copy_strided(size_t elem_bytes, int rank, const size_t *dim, void *dst,
                       const ptrdiff_t *dst_stride, const void *src, const ptrdiff_t *src_stride);

/** Operands broadcast to a dense output; axes of length 1 are gone, neighbours merged. */
typedef struct tspk_broadcast {
    int rank; /* ≥ 1 */
    int n;    /* operands */
    size_t dim[TSPK_MAX_RANK];
    ptrdiff_t stride[TSPK_MAX_OPERANDS][TSPK_MAX_RANK]; /* [elements]; last one is 0 or 1 */
} tspk_broadcast;

/** numpy's rules; the shapes are known to fit. */
void tspk_broadcast_plan(const tspk_shape *out, int n, const tspk_tensor *in,
                         tspk_broadcast *plan_out);

/** One row of the walk: where it begins in each operand and in the output [elements]. */
typedef struct tspk_broadcast_row {
    size_t out;
    size_t at[TSPK_MAX_OPERANDS];
    size_t index[TSPK_MAX_RANK];
} tspk_broadcast_row;

/** Goes on to the next row of dim[rank-1] elements; false after the last. Start from zeros. */
bool tspk_broadcast_next(const tspk_broadcast *plan, tspk_broadcast_row *row);

#endif
