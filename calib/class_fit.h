/* SPDX-License-Identifier: Apache-2.0 */
/* The fit of one token class of a site under the chosen ingredients. */
#ifndef TSPK_CALIB_CLASS_FIT_H
#define TSPK_CALIB_CLASS_FIT_H

#include "calib/calib_options.h"
#include "calib/channel_fit.h"
#include "calib/site_fit.h"

tspk_fire_rule tspk_fire_rule_of(const tspk_calib_options *options);

/**
 * Ladder and scales of one class at one step.
 * @param settings   kind and sidedness of the ladder where the nearest level fires
 * @param population overwritten
 * @param scale_out  [channels]; 0 for a channel whose potentials vanish
 * @errors NOMEM
 */
tspk_status tspk_fit_class(const tspk_calib_options *options,
                           const tspk_channel_fit_settings *settings, tspk_population *population,
                           tspk_ladder_values *ladder_out, double *scale_out, tspk_error *err);

/** tspk_site_fit_fold(), or, where a scale is a tensor's and the rule ECMT's, tspk_fold_ecmt(). */
tspk_status tspk_fold_class_fits(const tspk_calib_options *options, const tspk_site_fit *fit,
                                 tspk_coding coding, uint32_t heads, tspk_arena *arena,
                                 tspk_site *site, tspk_site_params *params, tspk_error *err);

#endif
