/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Priors: what a differentially coded neuron has decoded before it fires at all.
 *
 * The mean of what arrives leaves the least to encode. But a hidden unit behind GELU rests just
 * below zero for most tokens and rises for few: its mean lies where it hardly ever is, and every
 * token pays a spike for the way from there to rest. So where a narrow band of values holds clearly
 * more of a channel's tokens than the band around the mean, the membrane starts in that band, and
 * what rests stays silent. Mean errors go into biases as ever.
 */
#ifndef TSPK_CALIB_PRIOR_H
#define TSPK_CALIB_PRIOR_H

#include "calib/calibrate.h"
#include "calib/sort_floats.h"

/** Fits the prior of a value site, [classes, channels], from what it receives at step 1.
 * @errors NOMEM */
tspk_status tspk_calib_fit_prior(tspk_calib *calib, uint32_t site, tspk_error *err);

/**
 * Looks for the densest band of a channel.
 * @param value    [n] finite samples; sorted afterwards
 * @param work     [2 n] overwritten
 * @param rest_out the mean of the samples in that band; untouched where it holds no more than a
 *                 quarter more of them than the band around the mean of all
 * @return whether such a band was found
 */
bool tspk_find_rest(float *value, tspk_ranked *work, uint32_t n, float *rest_out);

#endif
