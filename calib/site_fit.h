/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that belongs to one site: ladders and scales per step and class, then units and gains.
 */
#ifndef TSPK_CALIB_SITE_FIT_H
#define TSPK_CALIB_SITE_FIT_H

#include "calib/ladder_fit.h"
#include "core/spikegraph.h"

/* Real-valued ladders of a site, found step by step; folded into units and gains at the end. */
typedef struct tspk_site_fit {
    uint32_t channels, n_classes, n_steps;
    tspk_ladder_values *ladder; /* [n_steps, n_classes]; n = 0: no rows of that class */
    double *scale;              /* [n_steps, n_classes, channels] level = scale * ladder value */
    bool has_units;             /* the site has its units already: what exceeds them is clipped */
} tspk_site_fit;

/** @errors NOMEM */
tspk_status tspk_site_fit_init(tspk_site_fit *fit, uint32_t channels, uint32_t n_classes,
                               uint32_t n_steps, tspk_error *err);
void tspk_site_fit_done(tspk_site_fit *fit);

tspk_ladder_values *tspk_site_fit_ladder(const tspk_site_fit *fit, uint32_t step,
                                         uint32_t row_class);
double *tspk_site_fit_scale(const tspk_site_fit *fit, uint32_t step, uint32_t row_class);

/**
 * Units, scales (ρ), shifts and gains: docs/calibration.md, "Units and gains". Allocated from
 * `arena`; `params->step` must have room for fit->n_steps.
 *
 * Linear sites: unit per channel, any ρ per step and class. Query and key: unit per head, ρ = κ
 * 2^-k. Value: unit per channel, ρ = 2^-k. Numerators: unit per head (their channel), ρ = κ 2^-k.
 * In rate coding k = 0 and ρ is the same at all steps. No top level exceeds TSPK_MAX_CODE at any
 * step. Where the site has units already, ρ is the least under which no channel is clipped; at
 * value sites, and later steps of other products, a gain is lowered until its top level fits.
 *
 * @param heads  of query and key sites; else 0
 */
tspk_status tspk_site_fit_fold(const tspk_site_fit *fit, tspk_coding coding, uint32_t heads,
                               tspk_arena *arena, tspk_site *site, tspk_site_params *params,
                               tspk_error *err);

#endif
