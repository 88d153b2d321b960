/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/class_fit.h"

#include "calib/ecmt.h"

tspk_fire_rule tspk_fire_rule_of(const tspk_calib_options *options)
{
    return options->is_nearest ? TSPK_FIRE_NEAREST : TSPK_FIRE_ECMT;
}

tspk_status tspk_fit_class(const tspk_calib_options *options,
                           const tspk_channel_fit_settings *settings, tspk_population *population,
                           tspk_ladder_values *ladder_out, double *scale_out, tspk_error *err)
{
    tspk_population pooled = {
        .channels = 1, .n = population->channels * population->n, .value = population->value};
    tspk_population *const fitted = options->is_per_channel ? population : &pooled;
    tspk_status status;

    if (options->is_nearest)
        status = tspk_fit_channels(fitted, settings, ladder_out, scale_out, err);
    else
        status = tspk_fit_ecmt(fitted, settings->n_levels, ladder_out, scale_out, err);
    for (uint32_t c = 1; !options->is_per_channel && c < population->channels; c++)
        scale_out[c] = scale_out[0];
    return status;
}

tspk_status tspk_fold_class_fits(const tspk_calib_options *options, const tspk_site_fit *fit,
                                 tspk_coding coding, uint32_t heads, tspk_arena *arena,
                                 tspk_site *site, tspk_site_params *params, tspk_error *err)
{
    if (!options->is_per_channel && !options->is_nearest)
        return tspk_fold_ecmt(fit, arena, site, params, err);
    params->fire_rule = tspk_fire_rule_of(options);
    return tspk_site_fit_fold(fit, coding, heads, arena, site, params, err);
}
