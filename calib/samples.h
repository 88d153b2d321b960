/* SPDX-License-Identifier: Apache-2.0 */
/* The calibration samples: read, preprocessed, hashed. */
#ifndef TSPK_CALIB_SAMPLES_H
#define TSPK_CALIB_SAMPLES_H

#include "transpike/data.h"

typedef struct tspk_samples {
    size_t n;
    int64_t dim[3];      /* channels, height, width */
    float *image;        /* [n, elements] */
    uint8_t (*hash)[32]; /* [n] of the content */
    int64_t *label;      /* [n] −1: unknown */
} tspk_samples;

/**
 * The first samples of a set that can be read, `most` of them or all.
 * @param how  threads, and what becomes of broken samples
 * @errors those of tspk_reader_next()
 */
tspk_status tspk_samples_read(tspk_samples *samples, const tspk_dataset *data, const int64_t dim[3],
                              size_t most, const tspk_reader_settings *how, tspk_error *err);
void tspk_samples_done(tspk_samples *samples);

#endif
