/* SPDX-License-Identifier: Apache-2.0 */
/* Wall time of the two networks over tensors in memory. */
#ifndef TSPK_VALIDATE_TIMING_H
#define TSPK_VALIDATE_TIMING_H

#include "transpike/spike.h"

/**
 * Milliseconds an image of a session that runs exactly `settings->steps` steps: one warm-up, median
 * of three passes over batches of settings->batch.
 * @param images [n, …]; borrowed
 */
tspk_status tspk_time_session(const tspk_spike *spike, const tspk_session_settings *settings,
                              const float *images, size_t n, uint32_t classes, double *ms_out,
                              tspk_error *err);

/**
 * The same of the source network.
 * @param n_runs passes over all images that are timed as one
 * @param in, out as tspk_ann_run() takes them, for n_runs runs
 */
tspk_status tspk_time_ann(tspk_ann *ann, size_t n_runs, const void *const *in, void *const *out,
                          size_t n_images, double *ms_out, tspk_error *err);

#endif
