/* SPDX-License-Identifier: Apache-2.0 */
/* Arithmetic on numbers that came from a file: true on success, false on overflow. */
#ifndef TSPK_CORE_CHECKED_H
#define TSPK_CORE_CHECKED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

static inline bool tspk_checked_add(size_t a, size_t b, size_t *sum_out)
{
    if (a > SIZE_MAX - b)
        return false;
    *sum_out = a + b;
    return true;
}

static inline bool tspk_checked_mul(size_t a, size_t b, size_t *product_out)
{
    if (b != 0 && a > SIZE_MAX / b)
        return false;
    *product_out = a * b;
    return true;
}

/** Product of non-negative dimensions; false when one is negative or the product exceeds `limit`. */
static inline bool tspk_checked_elems(const int64_t *dim, size_t rank, size_t limit,
                                      size_t *elems_out)
{
    size_t elems = 1;

    for (size_t i = 0; i < rank; i++)
        if (dim[i] < 0 || !tspk_checked_mul(elems, (size_t)dim[i], &elems) || elems > limit)
            return false;
    *elems_out = elems;
    return true;
}

#endif
