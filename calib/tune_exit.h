/* SPDX-License-Identifier: Apache-2.0 */
/* Exit policies in the budget tuner: what they make of a candidate, and those of the modes. */
#ifndef TSPK_CALIB_TUNE_EXIT_H
#define TSPK_CALIB_TUNE_EXIT_H

#include "calib/exit_fit.h"
#include "calib/tune_choice.h"

/**
 * Adds what a candidate is under policies on scores: for every number of steps from 2 on, and for
 * what the budget allows "balanced" and "fast", the score of least energy, where one is enough.
 * @param like levels, price and candidate of the trades
 * @errors NOMEM
 */
tspk_status tspk_add_exit_trades(tspk_tuning *tuning, const tspk_exit_chances *chances,
                                 const tspk_trade *like, const tspk_budget *budget,
                                 tspk_error *err);

/**
 * Gives the points "balanced" and "fast" of a network that was fitted on all images their policies:
 * one on each score and a net, fitted on what this network answers. Where a trade has a policy the
 * one of least energy is taken.
 * @param images   [n_images]
 * @param settings is_mirrored, seed and threads count
 * @errors those of tspk_exit_record_add(), NOMEM
 */
tspk_status tspk_fit_exits(const tspk_frame *frame, const float *images, size_t n_images,
                           const tspk_calib_settings *settings, const tspk_tuning *tuning,
                           const tspk_budget *budget, tspk_spikegraph *spikes, tspk_error *err);

#endif
