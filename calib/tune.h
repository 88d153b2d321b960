/* SPDX-License-Identifier: Apache-2.0 */
/* The budget tuner: levels, steps, prices, merging and refinement against a stated budget, judged
 * by cross-validation over the calibration images. */
#ifndef TSPK_CALIB_TUNE_H
#define TSPK_CALIB_TUNE_H

#include "calib/tune_judge.h"

/**
 * Searches until the time is up, then fits the best candidates on all images: point "exact" with
 * settings->n_steps, and "balanced" and "fast", its first steps or points of their own in which
 * tokens merge.
 *
 * The first candidate and the last fit are made however little time there is; which others are
 * tried depends on how fast the machine is. The last fit takes mirror images where they fit into
 * the time.
 *
 * Each candidate is judged by two folds at most, the first alone where that tells enough. Its loss
 * of top-1 is estimated as a share of the images that change their answer, and where labels are
 * known from that and the loss counted, each by its precision. Beside fixed numbers of steps stand
 * exit policies (calib/tune_exit.h), and those of the modes are fitted on the same answers, of
 * images that the network was not fitted on. Which trades become "balanced" and "fast":
 * tspk_choose_trades().
 *
 * @param labels   [n_images], −1 unknown, or NULL
 * @param settings n_levels is tried alone where is_pinned
 * @param pairs    [2] that merge a layer: the only ones tried; zeros: the search chooses
 * @errors those of tspk_search_judge(). An interruption after the first candidate is none: the best
 * so far is returned, is_partial.
 */
tspk_status tspk_tune(const tspk_frame *frame, const float *images, const int64_t *labels,
                      size_t n_images, const tspk_calib_settings *settings, bool is_pinned,
                      const uint32_t *pairs, const tspk_budget *budget, tspk_tuning *tuning_out,
                      tspk_spikegraph **spikes_out, tspk_error *err);

/** The table as JSON: tspk_convert_tuned(). @param json_out freed with tspk_text_free() @errors
 * NOMEM */
tspk_status tspk_tuning_json(const tspk_tuning *tuning, char **json_out, tspk_error *err);

#endif
