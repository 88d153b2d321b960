/* SPDX-License-Identifier: Apache-2.0 */
/* Radix sort of finite floats that remember where they stood. */
#ifndef TSPK_CALIB_SORT_FLOATS_H
#define TSPK_CALIB_SORT_FLOATS_H

#include <stddef.h>
#include <stdint.h>

typedef struct tspk_ranked {
    uint32_t key;   /* orders as the float does */
    uint32_t index; /* in the unsorted array */
} tspk_ranked;

/**
 * Sorts finite values ascending, in place; equal values keep their order.
 * @param work [2 n] overwritten
 * @return [n] inside `work`: where each value of the sorted array stood
 */
const tspk_ranked *tspk_sort_floats(float *value, tspk_ranked *work, size_t n);

#endif
