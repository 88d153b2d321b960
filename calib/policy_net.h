/* SPDX-License-Identifier: Apache-2.0 */
/* The policy net: which number of steps an image should take, told from its step 1. */
#ifndef TSPK_CALIB_POLICY_NET_H
#define TSPK_CALIB_POLICY_NET_H

#include "calib/exit_fit.h"

/**
 * Trains a net by REINFORCE and fits its threshold.
 *
 * The net draws a number of steps T; the reward is 1 / 2^(T - 1) where the answer after T steps is
 * the source network's, and -β where it is not. Since every answer is recorded, the mean reward
 * under the net's own distribution is the baseline. Several β are tried; of the nets whose
 * threshold reaches the target that of fewest mean steps is kept, else the first.
 * @param n_steps 2 … steps of the record
 * @param seed    of the weights and of all draws: the same record and seed give the same net
 * @errors NOMEM
 * @source SEENN (arXiv 2304.01230), section 3.3: reward; differences: docs/adaptive.md
 */
tspk_status tspk_policy_net_fit(const tspk_exit_chances *chances, uint32_t n_steps,
                                const tspk_exit_target *target, uint64_t seed, tspk_arena *arena,
                                tspk_exit_policy *policy_out, tspk_exit_outcome *outcome_out,
                                tspk_error *err);

#endif
