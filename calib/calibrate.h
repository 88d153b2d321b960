/* SPDX-License-Identifier: Apache-2.0 */
/* Calibration: from a lowered spike graph and images to units, ladders, gains, weights and biases.
 */
#ifndef TSPK_CALIB_CALIBRATE_H
#define TSPK_CALIB_CALIBRATE_H

#include "calib/calib_options.h"
#include "calib/stage.h"
#include "core/spikegraph.h"
#include "transpike/transpike.h"

typedef struct tspk_calib_settings {
    uint32_t n_steps, n_levels;
    tspk_coding coding;
    tspk_calib_options options;
    /* Price on spikes, by kind of site: one fires only where it saves more squared error than this
     * share of the potentials' mean square. At step 1, and at all later ones. */
    double first_price[TSPK_SITE_KINDS], later_price[TSPK_SITE_KINDS];
    size_t cache_bytes; /* of all images under way, tspk_frame_fit(); 0: any */
    bool is_mirrored; /* images are fitted on together with their mirror images */
    bool is_quick;    /* ladders are fitted on fewer samples: enough to compare settings */
    uint64_t seed;
    int threads;
    tspk_progress_fn progress;
    void *progress_context;
} tspk_calib_settings;

/** Prices at queries and keys, whose spikes are the least missed: what `convert` uses. */
void tspk_calib_default_price(tspk_calib_settings *settings);

/** The price at step t (1-based). */
double tspk_calib_price(const tspk_calib_settings *settings, tspk_site_kind kind, uint32_t t);

/** Every ingredient: what `convert` uses. */
tspk_calib_options tspk_calib_all_options(void);

/** tspk_convert() with some ingredients left out: bench/bench_ablation.c. */
tspk_status tspk_convert_with(const tspk_model *model, const tspk_dataset *data,
                              const tspk_convert_settings *settings,
                              const tspk_calib_options *options, tspk_spike **spike_out,
                              tspk_error *err);

/**
 * Fits everything of point "exact" of a lowered spike graph.
 * @param spikes    from tspk_lower(); filled in
 * @param source    the graph that was lowered: the weights of its Linears under the same node ids
 * @param images    [n_images, elements of the graph's input]; with settings->is_mirrored the second
 *                  half are the mirror images of the first
 * @param balance_out factors of query and key, which tspk_calibrate_merged() needs; of the spike
 *                 graph's arena; or NULL
 * @errors NOMEM, INTERRUPTED, UNSUPPORTED (an operator that cannot be evaluated); the node is named
 * @source docs/calibration.md
 */
tspk_status tspk_calibrate(tspk_spikegraph *spikes, const tspk_graph *source, const float *images,
                           size_t n_images, const tspk_calib_settings *settings,
                           float ***balance_out, tspk_error *err);

/* A point that is fitted after "exact", with its units and weights. */
typedef struct tspk_merged_point {
    const char *name;
    uint32_t n_steps, n_levels;
    uint32_t pairs; /* that merge after an Attention in the mean: tspk_merging_spread(); 0: none */
} tspk_merged_point;

/**
 * Fits a point in which tokens merge on a graph that tspk_calibrate() has fitted: its units, weights
 * and balances stay. After a failure the graph is as it was.
 * @errors those of tspk_point_graph(), RANGE (more pairs than there are), NOMEM, INTERRUPTED
 */
tspk_status tspk_calibrate_merged(tspk_spikegraph *spikes, const tspk_graph *source,
                                  const float *images, size_t n_images,
                                  const tspk_calib_settings *settings, float **balance,
                                  const tspk_merged_point *point, tspk_error *err);

/* --- shared by the files of this room --- */

/* A calibration under way. */
typedef struct tspk_calib {
    tspk_spikegraph *spikes;
    const tspk_graph *source;
    tspk_point *point;
    tspk_stage *stage;
    size_t n_source; /* images without their mirror images, which stand behind all of them */
    tspk_calib_settings settings;
    tspk_arena *arena; /* of what is fitted */
    bool has_weights;  /* units, weights and balances are there already */
    float **balance;   /* [n_linears] -> [n_out] factors of query and key, NULL where there are none */
    /* decoded estimates of query, key and value sites: [n_sites] -> [images, steps, rows *
     * channels], with the offset at query and key, without it at value; NULL when not live */
    float **decoded;
} tspk_calib;

/** Fits a linear site on `input` and computes the outputs of all of its Linears. */
tspk_status tspk_calib_linear_site(tspk_calib *calib, uint32_t site, tspk_error *err);

/** Fits the four sites of an Attention node and computes its output. */
tspk_status tspk_calib_attention(tspk_calib *calib, uint32_t attention, tspk_error *err);

/** Fits one site whose x_t is a value of the graph: ladders for every step, folded into units. */
tspk_status tspk_calib_fit_value_site(tspk_calib *calib, uint32_t site, uint32_t heads,
                                      tspk_error *err);

/** Fires the integer neurons of all images for step t (1-based), advancing `state`
 * ([images, rows * channels], which starts at the prior). */
tspk_status tspk_calib_fire_value_site(tspk_calib *calib, uint32_t site, uint32_t t, float *state,
                                       tspk_error *err);

/** State of a site before step 1: the prior in every row; malloc'd, [images, rows * channels]. */
float *tspk_calib_start_state(const tspk_calib *calib, uint32_t site);

/** Means over the images and the rows of each class at step t: of the decoded state, and of the
 * x_t that it stands for. @param mean_out, target_out [n_classes, channels] */
void tspk_calib_class_means(const tspk_calib *calib, uint32_t site, uint32_t t, const float *state,
                            double *mean_out, double *target_out);

#endif
