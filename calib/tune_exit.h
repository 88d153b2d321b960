/* SPDX-License-Identifier: Apache-2.0 */
/* What a candidate is under fixed numbers of steps and under exit policies, and the policies of the
 * operating points. All of it is told by answers to images that the network was not fitted on. */
#ifndef TSPK_CALIB_TUNE_EXIT_H
#define TSPK_CALIB_TUNE_EXIT_H

#include "calib/exit_fit.h"
#include "calib/tune_choice.h"

/**
 * Adds a candidate's lines to the table: one for every number of steps, and for every number from 2
 * on, and for what the budget allows "balanced" and "fast", the score of least energy, where one is
 * enough.
 * @param like family, levels, pairs and price of the trades
 * @errors NOMEM
 */
tspk_status tspk_add_trades(tspk_tuning *tuning, const tspk_exit_record *record,
                            const tspk_trade *like, const tspk_budget *budget, tspk_error *err);

/**
 * Gives a point its policies: one on each score and a net. Nothing where it has one step.
 * @param record   of a point like this one, with as many steps at least
 * @param is_fast  what the budget allows "fast"
 * @param is_taken the policy of least energy becomes the point's own
 * @param arena    of the policies
 * @errors NOMEM
 */
tspk_status tspk_fit_exits(const tspk_exit_record *record, const tspk_budget *budget, bool is_fast,
                           bool is_taken, uint64_t seed, tspk_arena *arena, tspk_point *point,
                           tspk_error *err);

#endif
