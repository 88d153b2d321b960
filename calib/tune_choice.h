/* SPDX-License-Identifier: Apache-2.0 */
/* What the budget tuner has found, and which of it becomes the operating points. */
#ifndef TSPK_CALIB_TUNE_CHOICE_H
#define TSPK_CALIB_TUNE_CHOICE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/exit_policy.h"
#include "transpike/spike.h"

/* Share of changed answers that cost a right one, where labels do not tell. */
#define TSPK_LOSS_OF_DISAGREEMENT 0.25
/* "fast" may lose so many times what the budget allows. */
#define TSPK_FAST_ALLOWANCE 3

/* One line of the table: what a candidate is under one way to stop. */
typedef struct tspk_trade {
    uint32_t id;            /* its own place in the table */
    uint32_t family;        /* candidates that share weights: of the same levels and price */
    uint32_t levels, pairs; /* pairs of tokens that merge a layer in the mean, 0: none */
    double refined;         /* share of the patches that later steps compute, 0: all */
    uint32_t steps;         /* most steps of an image */
    tspk_exit_kind exit;    /* what stops images before; NONE: nothing */
    double mean_steps;
    double price;     /* at linear sites, from step 2 on: tspk_calib_settings */
    double loss;      /* points of top-1, estimated: tspk_tune() */
    double agreement; /* chance of it, over the judged images */
    double error;     /* what the agreement is less sure by: its standard error */
    double kl;        /* [nats] */
    double energy;    /* synaptic, ratio to the source network's */
    bool is_pareto;   /* no other has neither more energy nor more KL, and less of one of them */
} tspk_trade;

#define TSPK_MAX_TRADES 512u

typedef struct tspk_tuning {
    uint32_t n_trades;
    tspk_trade trade[TSPK_MAX_TRADES];
    bool is_met;
    bool is_partial; /* stopped while searching: the network was fitted on half of the images */
    uint32_t balanced, fast; /* in `trade` */
} tspk_tuning;

/**
 * Sets is_met, balanced, fast and every is_pareto of a table.
 *
 * "balanced" is the trade of least energy within the budget: max_loss where it is not negative,
 * min_agreement when the error is taken off, and max_energy where it is positive. Where none is,
 * the budget is not met and it is the trade of least KL within max_energy, or, where none is even
 * within that, the one of least energy. "fast" is the trade of least energy, less than balanced's,
 * among those of the same family that are within max_energy and lose at most three times
 * what the budget allows: loss <= 3 max_loss, or without max_loss 1 - agreement <= 3 (1 -
 * min_agreement); balanced itself where there is no such one. Of equals the first counts.
 *
 * A trade whose KL is not finite is neither chosen nor on the Pareto front; where that goes for
 * all, the budget is not met and both are trade 0.
 */
void tspk_choose_trades(tspk_tuning *tuning, const tspk_budget *budget);

#endif
