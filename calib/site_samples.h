/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The samples that a token class of a value site is fitted on.
 *
 * A class token gives one sample an image, and a hidden unit that answers to one kind of object is
 * silent on images without it. So every channel also sees, with a small mass, *donors*: what other
 * channels of its site have shown, at evenly spaced normal quantiles of all deviations from the
 * prior, so that the tails are there with their true share. The deviations are taken as multiples
 * of the channel's deviation^exponent: 1 where channels differ by a factor only, 0 where any
 * channel may reach what any other did. A donor has a membrane of its own that fires along: what
 * exceeds a channel's range at one step has to be caught up with at the next.
 */
#ifndef TSPK_CALIB_SITE_SAMPLES_H
#define TSPK_CALIB_SITE_SAMPLES_H

#include "calib/calibrate.h"
#include "calib/channel_fit.h"

typedef struct tspk_sample_plan {
    uint32_t max_samples;
    uint32_t fold, n_folds; /* rows of every image but the fold's; n_folds = 0: of all images */
    bool is_inverted;       /* rows of the fold's images instead */
    bool has_donors;
    double donor_exponent;
} tspk_sample_plan;

typedef struct tspk_site_samples {
    uint32_t n; /* sampled rows; 0: no row of this class */
    uint32_t n_donors;
    uint32_t row_class;
    size_t *image;                   /* [n] */
    uint32_t *row;                   /* [n] */
    uint32_t *donor, *donor_channel; /* [n_donors] sample and channel that a donor comes from */
    double *factor;                  /* [channels] deviation^exponent at step 1 */
    double *mass;                    /* [n + n_donors] */
    float *x;                        /* [n_donors, channels] at the present step */
    float *state;                    /* [n_donors, channels] */
} tspk_site_samples;

/** Draws the samples; the site has its prior already. @errors NOMEM */
tspk_status tspk_site_samples_init(tspk_site_samples *samples, const tspk_calib *calib,
                                   uint32_t site, uint32_t row_class, const tspk_sample_plan *plan,
                                   tspk_error *err);
void tspk_site_samples_done(tspk_site_samples *samples);

/** Sets x of the donors for step t (1-based). */
void tspk_site_samples_set_step(tspk_site_samples *samples, const tspk_calib *calib, uint32_t site,
                                uint32_t t);

/**
 * Potentials at step t of sampled rows and, after set_step(), of donors, channel by channel.
 * @param state      [images, rows * channels] of the site before step t
 * @param population value is malloc'd for the caller, mass is borrowed from `samples`
 * @errors NOMEM
 */
tspk_status tspk_site_samples_potentials(const tspk_site_samples *samples, const tspk_calib *calib,
                                         uint32_t site, uint32_t t, const float *state,
                                         tspk_population *population, tspk_error *err);

#endif
