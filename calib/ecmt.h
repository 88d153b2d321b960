/* SPDX-License-Identifier: Apache-2.0 */
/* ECMT's published thresholds and firing rule, for comparison (--preset ecmt). */
#ifndef TSPK_CALIB_ECMT_H
#define TSPK_CALIB_ECMT_H

#include "calib/channel_fit.h"
#include "calib/site_fit.h"

/**
 * Levels base * 2^i, i = 0 … n-1, of both signs, one base a channel of the population; ECMT's has
 * one channel, the tensor.
 * @source ECMT's published code, trans_utils.py: TestNeuron takes the 0.99 and 0.01 quantiles of
 * the tensor as the smallest thresholds of the two signs, TwoSideNeuron doubles them n - 1 times.
 *         Deviation: the mean of both serves both signs, so that a level stays a shift of one unit.
 * @param population  one step's values; sorted as a side effect
 * @param scale       [channels] the base; 0 where both quantiles vanish; out
 * @errors NOMEM
 */
tspk_status tspk_fit_ecmt(tspk_population *population, uint32_t n_levels,
                          tspk_ladder_values *ladder, double *scale, tspk_error *err);

/** Folds such a fit: one unit, gains of 1, codes in exponent form, ECMT's firing rule. */
tspk_status tspk_fold_ecmt(const tspk_site_fit *fit, tspk_arena *arena, tspk_site *site,
                           tspk_site_params *params, tspk_error *err);

#endif
