/* SPDX-License-Identifier: Apache-2.0 */
/* What an operating point adds to a spike graph, and what surrounds the network. */
#include <float.h>
#include <math.h>
#include <stdio.h>

#include "core/fail.h"
#include "core/spikegraph_verify.h"

static bool are_finite(const float *x, size_t n)
{
    bool is_bad = false;

    for (size_t i = 0; i < n; i++)
        is_bad |= !tspk_is_finite(x[i]);
    return !is_bad;
}

/* ±1, ±2, ±4 … ±128. */
static bool is_small_power(float x)
{
    int exponent;

    return frexpf(fabsf(x), &exponent) == 0.5f && exponent >= 1 && exponent <= 8;
}

static tspk_status verify_ladder(const tspk_ladder *ladder, tspk_code_form form, uint32_t class,
                                 tspk_error *err)
{
    if (ladder->kind > TSPK_LADDER_SIGNED)
        return TSPK_FAIL(err, TSPK_FORMAT, "class %u: ladder kind %u is unknown", class,
                         (unsigned)ladder->kind);
    if (ladder->n_values > 2 * TSPK_MAX_LEVELS || (ladder->n_values && !ladder->value))
        return TSPK_FAIL(err, TSPK_LIMIT, "class %u: %u levels, at most %u", class,
                         ladder->n_values, 2 * TSPK_MAX_LEVELS);
    for (uint32_t i = 0; i < ladder->n_values; i++) {
        const float value = ladder->value[i];

        if (!tspk_is_finite(value) || value == 0.0f || (i && !(ladder->value[i - 1] < value)))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: level %u is %g, expected finite, not 0 and ascending",
                             class, i, (double)value);
        if (form == TSPK_CODE_EXPONENT && !is_small_power(value))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: level %u is %g, expected a power of two, 1 to 128", class,
                             i, (double)value);
    }
    return TSPK_OK;
}

/* Where a channel fires, its step and the reciprocal of the step are finite. */
static tspk_status verify_gains(const tspk_site *site, const tspk_site_step *step,
                                tspk_code_form form, uint32_t class, tspk_error *err)
{
    const float *const gain = step->gain + (size_t) class * site->channels;

    for (uint32_t c = 0; c < site->channels; c++) {
        const float size = site->unit[c] * step->scale[class];

        if (!(gain[c] >= 0.0f) || !tspk_is_finite(gain[c]))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: gain %g of channel %u, expected finite and not negative",
                             class, (double)gain[c], c);
        if (form == TSPK_CODE_EXPONENT && gain[c] != 0.0f && gain[c] != 1.0f)
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: gain %g of channel %u, expected 0 or 1 with exponent codes",
                             class, (double)gain[c], c);
        if (gain[c] > 0.0f && (!tspk_is_positive(size) || !tspk_is_finite(1.0f / size)))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: step %g of channel %u has no finite reciprocal", class,
                             (double)size, c);
    }
    return TSPK_OK;
}

static tspk_status verify_step(const tspk_spikegraph *spikes, const tspk_site *site,
                               const tspk_site_params *params, uint32_t t, tspk_error *err)
{
    const tspk_site_step *const step = &params->step[t];
    const bool is_product = site->kind != TSPK_SITE_LINEAR;
    const size_t n = (size_t)spikes->n_classes * site->channels;

    if (step->shift < 0 || step->shift > TSPK_MAX_SHIFT || (!is_product && step->shift))
        return TSPK_FAIL(err, TSPK_RANGE, "shift %d, expected %s", (int)step->shift,
                         is_product ? "0 to 40" : "0 at a linear site");
    if (!step->gain)
        return TSPK_FAIL(err, TSPK_FORMAT, "gains are missing");
    for (uint32_t k = 0; k < spikes->n_classes; k++) {
        if (!tspk_is_positive(step->scale[k]) || step->scale[k] < FLT_MIN)
            return TSPK_FAIL(err, TSPK_RANGE, "class %u: scale %g, expected positive and normal", k,
                             (double)step->scale[k]);
        if (!(step->dead_zone[k] >= 0.0f && step->dead_zone[k] <= TSPK_MAX_DEAD_ZONE))
            return TSPK_FAIL(err, TSPK_RANGE, "class %u: dead zone %g, expected 0 to %g", k,
                             (double)step->dead_zone[k], (double)TSPK_MAX_DEAD_ZONE);
        if (is_product && ldexpf(step->scale[k], step->shift) !=
                              ldexpf(params->step[0].scale[k], params->step[0].shift))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: scale %g is not that of step 1 times a power of two by the "
                             "shift %d",
                             k, (double)step->scale[k], (int)step->shift);
        if (site->kind == TSPK_SITE_VALUE && ldexpf(step->scale[k], step->shift) != 1.0f)
            return TSPK_FAIL(err, TSPK_RANGE,
                             "class %u: scale %g, expected 2^-%d: keys share one scale", k,
                             (double)step->scale[k], (int)step->shift);
        TSPK_TRY(verify_ladder(&step->ladder[k], params->code_form, k, err));
        TSPK_TRY(verify_gains(site, step, params->code_form, k, err));
    }
    if (step->offset && (!is_product || site->kind == TSPK_SITE_NUMERATOR))
        return TSPK_FAIL(err, TSPK_FORMAT, "a %s site has no offset",
                         tspk_site_kind_name(site->kind));
    if (step->offset && !are_finite(step->offset, n))
        return TSPK_FAIL(err, TSPK_RANGE, "an offset is not finite");
    return TSPK_OK;
}

static tspk_status verify_params(const tspk_spikegraph *spikes, const tspk_point *point,
                                 uint32_t index, tspk_error *err)
{
    const tspk_site *const site = &spikes->site[index];
    const tspk_site_params *const params = &point->site[index];

    if (params->fire_rule > TSPK_FIRE_ECMT || params->code_form > TSPK_CODE_EXPONENT)
        return TSPK_FAIL(err, TSPK_FORMAT, "fire rule %u or code form %u is unknown",
                         (unsigned)params->fire_rule, (unsigned)params->code_form);
    if (!params->step)
        return TSPK_FAIL(err, TSPK_FORMAT, "parameters of its steps are missing");
    if (params->prior && site->kind == TSPK_SITE_NUMERATOR)
        return TSPK_FAIL(err, TSPK_FORMAT, "a numerator site has no prior");
    if (params->prior && !are_finite(params->prior, (size_t)spikes->n_classes * site->channels))
        return TSPK_FAIL(err, TSPK_RANGE, "a prior is not finite");
    for (uint32_t t = 0; t < point->n_steps; t++) {
        const tspk_status status = verify_step(spikes, site, params, t, err);
        char where[128];

        if (status == TSPK_OK)
            continue;
        snprintf(where, sizeof where, "%.64s, point %.32s, step %u", site->name, point->name,
                 t + 1);
        return tspk_at_tensor(err, status, where);
    }
    return TSPK_OK;
}

static tspk_status verify_bias(const tspk_spikegraph *spikes, const tspk_point *point,
                               tspk_error *err)
{
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        const size_t n = (size_t)point->n_steps * spikes->n_classes * spikes->linear[i].n_out;

        if (!point->bias || !point->bias[i])
            return TSPK_FAIL(err, TSPK_FORMAT, "point \"%.64s\": linear %u has no bias",
                             point->name, i);
        if (!are_finite(point->bias[i], n))
            return TSPK_FAIL(err, TSPK_RANGE, "point \"%.64s\": a bias of linear %u is not finite",
                             point->name, i);
    }
    return TSPK_OK;
}

static tspk_status verify_head(const tspk_spikegraph *spikes, uint32_t index, tspk_error *err)
{
    const tspk_point *const point = &spikes->point[index];

    if (!point->name || !point->name[0] || (index == 0 && strcmp(point->name, "exact") != 0))
        return TSPK_FAIL(err, TSPK_FORMAT, "operating point %u is named \"%.64s\"%s", index,
                         point->name ? point->name : "", index ? "" : ", expected \"exact\"");
    for (uint32_t i = 0; i < index; i++)
        if (!strcmp(spikes->point[i].name, point->name))
            return TSPK_FAIL(err, TSPK_FORMAT, "two operating points are named \"%.64s\"",
                             point->name);
    if (point->coding > TSPK_CODING_RATE)
        return TSPK_FAIL(err, TSPK_FORMAT, "coding %u is unknown", (unsigned)point->coding);
    if (!point->n_steps || point->n_steps > TSPK_MAX_STEPS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u steps, expected 1 to %u", point->n_steps,
                         TSPK_MAX_STEPS);
    if (!point->n_levels || point->n_levels > TSPK_MAX_LEVELS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u levels, expected 1 to %u", point->n_levels,
                         TSPK_MAX_LEVELS);
    if (!(point->refine_share >= 0.0f && point->refine_share < 1.0f))
        return TSPK_FAIL(err, TSPK_RANGE, "%g of the patches are refined, expected 0 to below 1",
                         (double)point->refine_share);
    if (point->refine_share > 0.0f && point->coding == TSPK_CODING_RATE)
        return TSPK_FAIL(err, TSPK_FORMAT, "tokens cannot be refined in rate coding");
    if (!point->site && spikes->n_sites)
        return TSPK_FAIL(err, TSPK_FORMAT, "parameters of its sites are missing");
    return TSPK_OK;
}

tspk_status tspk_verify_point(const tspk_spikegraph *spikes, uint32_t index, tspk_error *err)
{
    const tspk_point *const point = &spikes->point[index];

    TSPK_TRY(verify_head(spikes, index, err));
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, verify_params(spikes, point, i, err), spikes->site[i].name));
    TSPK_TRY(verify_bias(spikes, point, err));
    return tspk_verify_exits(spikes, point, err);
}

tspk_status tspk_verify_meta(const tspk_spikegraph *spikes, tspk_error *err)
{
    const tspk_preprocess *const p = &spikes->preprocess;

    if (p->interpolation > 2 || p->channels > 4)
        return TSPK_FAIL(err, TSPK_RANGE, "preprocessing: interpolation %u, %u channels",
                         p->interpolation, p->channels);
    for (uint32_t c = 0; c < p->channels; c++)
        if (!tspk_is_finite(p->mean[c]) || !tspk_is_positive(p->std[c]))
            return TSPK_FAIL(err, TSPK_RANGE, "preprocessing: channel %u has mean %g, deviation %g",
                             c, (double)p->mean[c], (double)p->std[c]);
    if (spikes->n_class_names > TSPK_MAX_CLASS_NAMES ||
        (spikes->n_class_names && !spikes->class_name))
        return TSPK_FAIL(err, TSPK_LIMIT, "%u class names, at most %u", spikes->n_class_names,
                         TSPK_MAX_CLASS_NAMES);
    for (uint32_t i = 0; i < spikes->n_class_names; i++)
        if (!spikes->class_name[i])
            return TSPK_FAIL(err, TSPK_FORMAT, "class %u has no name", i);
    if (spikes->provenance.n_calibration > TSPK_MAX_CALIBRATION_IMAGES ||
        (spikes->provenance.n_calibration && !spikes->provenance.calibration_hash))
        return TSPK_FAIL(err, TSPK_LIMIT, "%u calibration images, at most %u",
                         spikes->provenance.n_calibration, TSPK_MAX_CALIBRATION_IMAGES);
    return TSPK_OK;
}
