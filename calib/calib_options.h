/* SPDX-License-Identifier: Apache-2.0 */
/* The ingredients of calibration. `convert` uses them all, ECMT's published rule uses none; an
 * ablation leaves some out to see what each of them brings (bench/ablation.sh). */
#ifndef TSPK_CALIB_CALIB_OPTIONS_H
#define TSPK_CALIB_CALIB_OPTIONS_H

#include <stdbool.h>

typedef struct tspk_calib_options {
    /* A scale and unit a channel, and the balance of q and k. Without: one a tensor. */
    bool is_per_channel;
    /* The level nearest to the potential fires, on the scale of least squared error. Without:
     * ECMT's rule, whose smallest threshold is the 0.99 quantile. */
    bool is_nearest;
    /* Every step is fitted on the potentials that occur there. Without: all steps have the
     * thresholds of step 1, fitted on the source network's values. */
    bool is_sequential;
    /* Fitted ladders, geometric ones on softmax numerators before their division. Without: powers
     * of two, on softmax quotients. */
    bool has_site_ladders;
    bool has_prior; /* differential coding alone has one */
    /* The mean errors of sites and of rounded weights go into biases and offsets. */
    bool is_compensated;
    /* Levels are split between the signs as the data ask. Without: as many of each sign. */
    bool has_signed_ladders;
    bool has_class_populations; /* class tokens are fitted apart from the patches */
    bool is_mirrored;           /* the mirror images count too, where the settings ask for them */
    bool is_priced;             /* spikes have a price where one is set */
} tspk_calib_options;

#endif
