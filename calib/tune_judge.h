/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner's candidates, judged one fold at a time, and what that costs. */
#ifndef TSPK_CALIB_TUNE_JUDGE_H
#define TSPK_CALIB_TUNE_JUDGE_H

#include "calib/cross_validate.h"
#include "calib/tune_choice.h"

#define TSPK_TUNE_FOLDS      2u
#define TSPK_TUNE_FAMILIES   16u
#define TSPK_TUNE_CANDIDATES 64u
#define TSPK_TUNE_NAME       32u

/* Candidates with one copy of weights. */
typedef struct tspk_family {
    uint32_t levels, steps;
    double price;                  /* at linear sites, from step 2 on */
    tspk_fit fit[TSPK_TUNE_FOLDS]; /* without spikes where there is none (any more) */
} tspk_family;

typedef struct tspk_candidate {
    uint32_t family, pairs;
    double refined; /* share of the patches that later steps compute, 0: all */
    bool is_judged[TSPK_TUNE_FOLDS];
    bool has_failed; /* for want of memory, say: no trade of it stands in the table */
    tspk_exit_record record;
} tspk_candidate;

typedef struct tspk_search {
    const tspk_frame *frame;
    const float *images;
    const int64_t *labels;
    size_t n_images;
    const tspk_calib_settings *settings;
    const tspk_budget *budget;
    tspk_split split[TSPK_TUNE_FOLDS];
    bool has_split[TSPK_TUNE_FOLDS];
    tspk_family family[TSPK_TUNE_FAMILIES];
    tspk_candidate candidate[TSPK_TUNE_CANDIDATES];
    uint32_t n_families, n_candidates;
    tspk_tuning *tuning;
    double started;  /* [s] */
    double fit_rate; /* [s] of an image, version and token of a fit: the slowest so far */
    double run_rate; /* [s] of a view and step of a session */
} tspk_search;

void tspk_search_done(tspk_search *search);

/** Seconds since the search started. */
double tspk_search_seconds(const tspk_search *search);

/** @return index; that of the family there is where it is the same */
uint32_t tspk_search_family(tspk_search *search, uint32_t levels, uint32_t steps, double price);

/**
 * Fits a candidate on the images that a fold leaves, where no other has been fitted like it, runs
 * it on those that the fold holds out, and brings the table up to date. Fitted without mirror
 * images and on fewer samples, for time.
 * @param pairs   0: no tokens merge
 * @param refined share of the patches that later steps compute, 0: all
 * @errors those of tspk_split_make(), tspk_frame_fit() and tspk_frame_fit_merged()
 */
tspk_status tspk_search_judge(tspk_search *search, uint32_t family, uint32_t pairs, double refined,
                              uint32_t fold, tspk_error *err);

/** NULL: there is none, or it has failed. */
const tspk_candidate *tspk_search_find(const tspk_search *search, uint32_t family, uint32_t pairs,
                                       double refined);

/** What judging would take, by what earlier ones took [s]. */
double tspk_search_cost(const tspk_search *search, uint32_t family, uint32_t pairs, uint32_t fold);

/** What the last fit will take, on all images [s]. */
double tspk_search_last_fit(const tspk_search *search, bool is_mirrored);

/** The settings of a family's fits. */
tspk_calib_settings tspk_search_settings(const tspk_search *search, uint32_t family);

/** Share of the tokens that are left in the mean over the Attentions. */
double tspk_search_tokens(const tspk_search *search, uint32_t pairs);

/** Pairs with that share of tokens left, or less; 0 where tokens cannot merge so far. */
uint32_t tspk_search_pairs(const tspk_search *search, double tokens);

/** Name of the point in which so many pairs merge. @param name [TSPK_TUNE_NAME] */
const char *tspk_search_point_name(uint32_t pairs, char *name);

#endif
