/* SPDX-License-Identifier: Apache-2.0 */
/* Float weights with the site's units folded in, as int8 with a scale per output and sorted group.
 */
#ifndef TSPK_CALIB_QUANTISE_H
#define TSPK_CALIB_QUANTISE_H

#include "core/spikegraph.h"

/** Sets site->order: channels by falling unit, padded with UINT32_MAX to whole groups. @errors
 * NOMEM */
tspk_status tspk_sort_channels(tspk_arena *arena, tspk_site *site, tspk_error *err);

/**
 * Fills linear->weight and linear->scale from W (times row_scale) and the site's units: weight =
 * rint(W υ / scale), scale = the group's largest / 127. With `feedback` each error of rounding
 * changes the weights behind it, in the order of site->order, before they are rounded.
 * @param weight     [n_out, channels] borrowed
 * @param row_scale  [n_out] or NULL
 * @param feedback   [channels, channels] from tspk_weight_feedback(), or NULL: round to nearest
 * @errors NOMEM
 */
tspk_status tspk_quantise_weights(tspk_arena *arena, const tspk_site *site, const float *weight,
                                  const float *row_scale, const double *feedback, int threads,
                                  tspk_spike_linear *linear, tspk_error *err);

/** The weights that the integers stand for, in activation units: out[o, c] = weight * scale / υ_c.
 * @param out [n_out, channels] */
void tspk_dequantise_weights(const tspk_site *site, const tspk_spike_linear *linear, float *out);

#endif
