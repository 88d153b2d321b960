/* SPDX-License-Identifier: Apache-2.0 */
/* One ladder for all channels of a class at a step, and the scale at which each channel uses it. */
#ifndef TSPK_CALIB_CHANNEL_FIT_H
#define TSPK_CALIB_CHANNEL_FIT_H

#include "calib/ladder_fit.h"
#include "transpike/error.h"

/* Samples of potentials, channel-major: value[c * n + i]; each row sorted by tspk_fit_channels().
 */
typedef struct tspk_population {
    uint32_t channels;
    uint32_t n;         /* samples a channel */
    float *value;       /* [channels, n] finite [activation units] */
    const double *mass; /* [n] how much each sample counts, before sorting; NULL: all alike */
} tspk_population;

typedef struct tspk_channel_fit_settings {
    tspk_ladder_kind kind;
    uint32_t n_levels;
    bool is_one_sided;
    double price; /* of a spike [mean square of the potentials] */
    bool is_quick; /* not every multiple of a channel's deviation is tried as its scale */
    int threads;
} tspk_channel_fit_settings;

/**
 * Fits the ladder on potentials divided by the channels' scales, then each scale by the exact error
 * of its samples under the ladder, and both again.
 * @param scale_out [channels] scale of each channel; 0 for one whose potentials vanish
 * @errors NOMEM
 */
tspk_status tspk_fit_channels(tspk_population *population,
                              const tspk_channel_fit_settings *settings,
                              tspk_ladder_values *ladder_out, double *scale_out, tspk_error *err);

/** Squared error, summed over all samples, of rounding each to the nearest level or to silence. */
double tspk_channels_error(const tspk_population *population, const tspk_ladder_values *ladder,
                           const double *scale);

#endif
