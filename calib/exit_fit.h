/* SPDX-License-Identifier: Apache-2.0 */
/* Exit policies fitted on recorded answers: temperatures, thresholds, a policy net's threshold. */
#ifndef TSPK_CALIB_EXIT_FIT_H
#define TSPK_CALIB_EXIT_FIT_H

#include "calib/exit_record.h"

/* A record seen through the scores: what each answer is worth. */
typedef struct tspk_exit_chances {
    const tspk_exit_record *record; /* borrowed */
    float temperature[TSPK_EXIT_KINDS][TSPK_MAX_STEPS];
    float *score[TSPK_EXIT_KINDS]; /* [n_steps, n] of CONFIDENCE, ENTROPY, MARGIN */
    float *chance;                 /* [n_steps, n] that the answer is the source's */
    uint32_t *n_views;             /* [images] answers of each */
    double *agreed;                /* [images] work of tspk_exit_outcome_of() */
} tspk_exit_chances;

/**
 * Corrects the scores of every step. For each kind the temperature, out of a few, under which a
 * logistic curve through log(score / (1 - score)) says best which answers agree with the source
 * network; the chance of an answer is the mean of the three curves. Chances are smooth where counts
 * of few changed answers are not.
 * @errors NOMEM
 */
tspk_status tspk_exit_chances_new(const tspk_exit_record *record, tspk_exit_chances *chances_out,
                                  tspk_error *err);
void tspk_exit_chances_done(tspk_exit_chances *chances);

/* Shares of answers that must be the source network's. */
typedef struct tspk_exit_target {
    double agreement;      /* as estimated */
    double sure_agreement; /* when the estimate's standard error over the images is taken off */
} tspk_exit_target;

/* What a policy does on the record. */
typedef struct tspk_exit_outcome {
    bool is_met;
    double agreement; /* mean chance of the answers with which images stop */
    double error;     /* its standard error over the images, whose views are not independent */
    double lost;      /* mean of `lost` of those answers: share of right ones, where labels tell */
    double kl;        /* mean, of those answers [nats] */
    double mean_steps;
    double energy; /* synaptic, mean, ratio to the source network's */
} tspk_exit_outcome;

/**
 * Fits a policy on a score: of the thresholds that reach the target those of fewest mean steps.
 * Where none reach it nothing stops before the last step.
 * @param kind    CONFIDENCE, ENTROPY or MARGIN
 * @param n_steps 2 … steps of the record
 * @param policy_out arrays of n_steps - 1 from `arena`
 * @errors NOMEM
 */
tspk_status tspk_exit_fit(const tspk_exit_chances *chances, tspk_exit_kind kind, uint32_t n_steps,
                          const tspk_exit_target *target, tspk_arena *arena,
                          tspk_exit_policy *policy_out, tspk_exit_outcome *outcome_out,
                          tspk_error *err);

/** The target, or where all n_steps steps do not reach it a little less than what they do. */
tspk_exit_target tspk_exit_reachable(const tspk_exit_chances *chances, uint32_t n_steps,
                                     const tspk_exit_target *target);

/** What the first n_steps steps do without a policy. */
tspk_exit_outcome tspk_exit_fixed(const tspk_exit_chances *chances, uint32_t n_steps,
                                  const tspk_exit_target *target);

/** What it does when answer i stops after stop[i] steps. */
tspk_exit_outcome tspk_exit_outcome_of(const tspk_exit_chances *chances, const uint32_t *stop,
                                       const tspk_exit_target *target);

#endif
