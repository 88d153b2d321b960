/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_CORE_TENSOR_H
#define TSPK_CORE_TENSOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

/** Element types that are computed with. Files may store others (float16, double, int8 …): the
 * importer widens them to the nearest of these. */
typedef enum tspk_dtype {
    TSPK_DTYPE_F32 = 1,
    TSPK_DTYPE_I64 = 2,
    TSPK_DTYPE_BOOL = 3 /* one byte, 0 or 1 */
} tspk_dtype;

typedef struct tspk_shape {
    uint8_t rank;               /* 0 … TSPK_MAX_RANK */
    int64_t dim[TSPK_MAX_RANK]; /* [elements], ≥ 0, row-major, last varies fastest */
} tspk_shape;

/** A view of dense row-major elements; it owns nothing. */
typedef struct tspk_tensor {
    tspk_dtype dtype;
    tspk_shape shape;
    void *data;
} tspk_tensor;

size_t tspk_dtype_bytes(tspk_dtype dtype);
const char *tspk_dtype_name(tspk_dtype dtype);

/** Elements of a shape whose dimensions were checked before (graph_verify does). */
size_t tspk_shape_elems(const tspk_shape *shape);

/** Product of the dimensions before the last, 1 for rank 0; and the last, 1 for rank 0. */
size_t tspk_shape_rows(const tspk_shape *shape);
size_t tspk_shape_last(const tspk_shape *shape);

bool tspk_shape_equal(const tspk_shape *a, const tspk_shape *b);

/** "[1, 197, 192]" into buf, always terminated; returns buf. */
char *tspk_shape_text(const tspk_shape *shape, char *buf, size_t size);

#endif
