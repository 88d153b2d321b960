/* SPDX-License-Identifier: Apache-2.0 */
/* Ladders fitted on histograms of normalised potentials. */
#ifndef TSPK_CALIB_LADDER_FIT_H
#define TSPK_CALIB_LADDER_FIT_H

#include "core/spikegraph.h"

#define TSPK_HISTOGRAM_BINS 4096

/* Weighted histogram over [-range, range]; bin i covers range * [2i/BINS - 1, 2(i+1)/BINS - 1). */
typedef struct tspk_histogram {
    double range;                       /* > 0 [multiples of a channel's scale] */
    double weight[TSPK_HISTOGRAM_BINS]; /* mass [.] */
    double moment[TSPK_HISTOGRAM_BINS]; /* mass times value */
} tspk_histogram;

/** Empties it and sets the range. */
void tspk_histogram_init(tspk_histogram *histogram, double range);

/** Adds a value (clamped to the range) with a mass. */
void tspk_histogram_add(tspk_histogram *histogram, double value, double mass);

/* A ladder before it is stored: ascending, without zero. */
typedef struct tspk_ladder_values {
    tspk_ladder_kind kind;
    uint32_t n;
    double dead_zone; /* the first level of each sign fires above (1 + dead zone)/2 of itself */
    double value[2 * TSPK_MAX_LEVELS];
} tspk_ladder_values;

/**
 * Fits 2n levels of the given kind so that the mass-weighted squared error of rounding to the
 * nearest level (silence = 0 included) is small.
 *
 * POW2, GEOMETRIC and UNIFORM search their step (and ratio); FITTED is Lloyd-Max on magnitudes,
 * with n levels a sign; SIGNED is Lloyd-Max on each sign with the split of 2n chosen by error. A
 * one-sided histogram gives POW2, GEOMETRIC and UNIFORM 2n levels on its side when is_one_sided.
 * @param price a spike has to save so much squared error [mean square of the histogram's values];
 *              it becomes the ladder's dead zone
 * @source Lloyd 1982 for the iteration, Panter and Dite 1951 for its start
 */
void tspk_fit_ladder(const tspk_histogram *histogram, tspk_ladder_kind kind, uint32_t n_levels,
                     bool is_one_sided, double price, tspk_ladder_values *ladder_out);

#endif
