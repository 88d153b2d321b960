/* SPDX-License-Identifier: Apache-2.0 */
/* The samples of a validation: those of a range of a data set that can be read. */
#ifndef TSPK_VALIDATE_SAMPLE_SET_H
#define TSPK_VALIDATE_SAMPLE_SET_H

#include "transpike/spike.h"

typedef struct tspk_sample_set {
    const tspk_dataset *data; /* borrowed */
    size_t *sample;           /* [n] indices in the data set of those read so far; owned */
    size_t n, most;           /* read; wanted, as far as they can be read */
    int64_t dim[3];           /* channels, height, width */
    bool is_labelled;         /* every sample has a label */
    uint32_t classes;
    int threads;
} tspk_sample_set;

/**
 * An empty set; checks the labels of those that would come if none were broken.
 * @param limit  0: all
 * @errors RANGE (none left; a label ≥ classes, with the sample's name), NOMEM
 */
tspk_status tspk_sample_set_init(tspk_sample_set *set, const tspk_dataset *data, size_t skip,
                                 size_t limit, uint32_t classes, const uint32_t dim[3], int threads,
                                 tspk_error *err);
void tspk_sample_set_done(tspk_sample_set *set);

/**
 * The next samples of a reader, which become members.
 * @param n_out  0 at the end
 * @errors those of tspk_reader_next(), RANGE (a label)
 */
tspk_status tspk_sample_set_next(tspk_sample_set *set, tspk_reader *reader, size_t most,
                                 float *images, uint8_t (*hashes)[32], size_t *n_out,
                                 tspk_error *err);

static inline size_t tspk_sample_set_elems(const tspk_sample_set *set)
{
    return (size_t)(set->dim[0] * set->dim[1] * set->dim[2]);
}

/**
 * Reads members [at, at + n) again.
 * @param images [n, elems] out
 * @errors those of tspk_dataset_read(), of the first sample that fails
 */
tspk_status tspk_sample_set_read(const tspk_sample_set *set, size_t at, size_t n, float *images,
                                 tspk_error *err);

#endif
