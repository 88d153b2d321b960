/* SPDX-License-Identifier: Apache-2.0 */
/* The samples of a validation: a range of a data set, read in parallel. */
#ifndef TSPK_VALIDATE_SAMPLE_SET_H
#define TSPK_VALIDATE_SAMPLE_SET_H

#include "transpike/spike.h"

typedef struct tspk_sample_set {
    const tspk_dataset *data; /* borrowed */
    size_t first, n;          /* samples [first, first + n) of the set */
    int64_t dim[3];           /* channels, height, width */
    bool is_labelled;         /* every sample has a label */
    int threads;
} tspk_sample_set;

/**
 * Chooses the samples and checks their labels.
 * @param limit  0: all
 * @errors RANGE (none left; a label ≥ classes, with the sample's name)
 */
tspk_status tspk_sample_set_init(tspk_sample_set *set, const tspk_dataset *data, size_t skip,
                                 size_t limit, uint32_t classes, const uint32_t dim[3], int threads,
                                 tspk_error *err);

static inline size_t tspk_sample_set_elems(const tspk_sample_set *set)
{
    return (size_t)(set->dim[0] * set->dim[1] * set->dim[2]);
}

/**
 * Reads samples [at, at + n) of the range.
 * @param images [n, elems] out
 * @param hashes [n][32] out, or NULL
 * @errors those of tspk_dataset_read(), of the first sample that fails
 */
tspk_status tspk_sample_set_read(const tspk_sample_set *set, size_t at, size_t n, float *images,
                                 uint8_t (*hashes)[32], tspk_error *err);

#endif
