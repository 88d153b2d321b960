/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/site_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

/* Unit of a channel that never fires, as a share of the site's largest. */
#define DEAD_UNIT_SHARE 1e-6
#define MAX_SHIFT       24

tspk_status tspk_site_fit_init(tspk_site_fit *fit, uint32_t channels, uint32_t n_classes,
                               uint32_t n_steps, tspk_error *err)
{
    const size_t cells = (size_t)n_steps * n_classes;

    fit->channels = channels;
    fit->n_classes = n_classes;
    fit->n_steps = n_steps;
    fit->has_units = false;
    fit->ladder = calloc(cells, sizeof *fit->ladder);
    fit->scale = calloc(cells * channels, sizeof *fit->scale);
    if (fit->ladder && fit->scale)
        return TSPK_OK;
    tspk_site_fit_done(fit);
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the ladders of %u channels", channels);
}

void tspk_site_fit_done(tspk_site_fit *fit)
{
    free(fit->ladder);
    free(fit->scale);
    fit->ladder = NULL;
    fit->scale = NULL;
}

tspk_ladder_values *tspk_site_fit_ladder(const tspk_site_fit *fit, uint32_t step,
                                         uint32_t row_class)
{
    return &fit->ladder[(size_t)step * fit->n_classes + row_class];
}

double *tspk_site_fit_scale(const tspk_site_fit *fit, uint32_t step, uint32_t row_class)
{
    return &fit->scale[((size_t)step * fit->n_classes + row_class) * fit->channels];
}

/* Largest magnitude that channel c can fire in a class at a step [activation units]. */
static double top_of(const tspk_site_fit *fit, uint32_t step, uint32_t row_class, uint32_t c)
{
    const tspk_ladder_values *ladder = tspk_site_fit_ladder(fit, step, row_class);
    double top;

    if (!ladder->n)
        return 0;
    top = fmax(-ladder->value[0], ladder->value[ladder->n - 1]);
    return top * tspk_site_fit_scale(fit, step, row_class)[c];
}

static double largest_top(const tspk_site_fit *fit, uint32_t step, uint32_t row_class)
{
    double top = 0;

    for (uint32_t c = 0; c < fit->channels; c++)
        top = fmax(top, top_of(fit, step, row_class, c));
    return top;
}

static int compare_doubles(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Median over channels of the top levels' ratio to those of the reference class at step 0. */
static double median_ratio(const tspk_site_fit *fit, uint32_t step, uint32_t row_class,
                           uint32_t reference, double *work)
{
    size_t n = 0;

    for (uint32_t c = 0; c < fit->channels; c++) {
        const double base = top_of(fit, 0, reference, c), top = top_of(fit, step, row_class, c);

        if (base > 0 && top > 0)
            work[n++] = top / base;
    }
    if (!n)
        return 1;
    qsort(work, n, sizeof *work, compare_doubles);
    return work[n / 2];
}

static void fold_linear_scales(const tspk_site_fit *fit, tspk_coding coding, uint32_t reference,
                               double *work, tspk_site_params *params)
{
    for (uint32_t t = 0; t < fit->n_steps; t++)
        for (uint32_t k = 0; k < fit->n_classes; k++) {
            const uint32_t from = coding == TSPK_CODING_RATE ? 0 : t;

            params->step[t].shift = 0;
            params->step[t].scale[k] = (float)median_ratio(fit, from, k, reference, work);
        }
}

static void fold_product_scales(const tspk_site_fit *fit, tspk_coding coding, uint32_t reference,
                                tspk_site_kind kind, tspk_site_params *params)
{
    double class_factor[TSPK_MAX_TOKEN_CLASSES];
    const double base = largest_top(fit, 0, reference);

    for (uint32_t k = 0; k < fit->n_classes; k++) {
        const double top = largest_top(fit, 0, k);

        class_factor[k] = kind != TSPK_SITE_VALUE && base > 0 && top > 0 ? top / base : 1;
    }
    for (uint32_t t = 0; t < fit->n_steps; t++) {
        double ratio = 0;
        int shift = 0;

        for (uint32_t k = 0; k < fit->n_classes; k++)
            for (uint32_t c = 0; c < fit->channels; c++) {
                const double first = top_of(fit, 0, k, c);

                if (first > 0)
                    ratio = fmax(ratio, top_of(fit, t, k, c) / first);
            }
        if (coding == TSPK_CODING_DIFFERENTIAL && ratio > 0)
            shift = (int)floor(-log2(ratio) + 1e-9);
        shift = shift < 0 ? 0 : shift > MAX_SHIFT ? MAX_SHIFT : shift;
        params->step[t].shift = shift;
        for (uint32_t k = 0; k < fit->n_classes; k++)
            params->step[t].scale[k] = (float)ldexp((double)(float)class_factor[k], -shift);
    }
}

/* The least unit under which no channel of the head (or the channel itself) is clipped anywhere. */
static void fold_units(const tspk_site_fit *fit, uint32_t per_unit, const tspk_site_params *params,
                       float *unit)
{
    double largest = 0;

    for (uint32_t from = 0; from < fit->channels; from += per_unit) {
        double need = 0;

        for (uint32_t t = 0; t < fit->n_steps; t++)
            for (uint32_t k = 0; k < fit->n_classes; k++)
                for (uint32_t c = from; c < from + per_unit; c++)
                    need = fmax(need, top_of(fit, t, k, c) / (double)params->step[t].scale[k]);
        for (uint32_t c = from; c < from + per_unit; c++)
            unit[c] = (float)(need / TSPK_MAX_CODE);
        largest = fmax(largest, need / TSPK_MAX_CODE);
    }
    for (uint32_t c = 0; c < fit->channels; c++)
        if (!(unit[c] > (float)(largest * DEAD_UNIT_SHARE)))
            unit[c] = largest > 0 ? (float)(largest * DEAD_UNIT_SHARE) : 1.0f;
}

/* Top levels of a class at a step, in units times TSPK_MAX_CODE. */
static double largest_share(const tspk_site_fit *fit, const float *unit, uint32_t step,
                            uint32_t row_class)
{
    double share = 0;

    for (uint32_t c = 0; c < fit->channels; c++)
        share = fmax(share,
                     top_of(fit, step, row_class, c) / (TSPK_MAX_CODE * (double)unit[c]));
    return share;
}

/* Scales for units that are given. */
static void fold_given_units(const tspk_site_fit *fit, tspk_coding coding, const tspk_site *site,
                             tspk_site_params *params)
{
    const bool is_rate = coding == TSPK_CODING_RATE, is_linear = site->kind == TSPK_SITE_LINEAR;
    double share[TSPK_MAX_TOKEN_CLASSES] = {0};

    /* of step 1, or of all steps where they have one scale */
    for (uint32_t t = 0; t < (is_rate ? fit->n_steps : 1); t++)
        for (uint32_t k = 0; k < fit->n_classes; k++)
            share[k] = fmax(share[k], largest_share(fit, site->unit, t, k));
    for (uint32_t t = 0; t < fit->n_steps; t++) {
        double ratio = 0;
        int shift = 0;

        for (uint32_t k = 0; k < fit->n_classes; k++) {
            const double first = site->kind == TSPK_SITE_VALUE ? 1 : share[k];

            if (first > 0)
                ratio = fmax(ratio, largest_share(fit, site->unit, t, k) / first);
        }
        if (!is_rate && !is_linear && ratio > 0)
            shift = (int)floor(-log2(ratio) + 1e-9);
        shift = shift < 0 ? 0 : shift > MAX_SHIFT ? MAX_SHIFT : shift;
        params->step[t].shift = shift;
        for (uint32_t k = 0; k < fit->n_classes; k++) {
            const double own =
                is_linear && !is_rate ? largest_share(fit, site->unit, t, k) : share[k];
            const float factor = site->kind == TSPK_SITE_VALUE || !(own > 0) ? 1.0f : (float)own;

            params->step[t].scale[k] = ldexpf(factor, -shift);
        }
    }
}

static tspk_status store_ladder(const tspk_ladder_values *from, tspk_arena *arena, tspk_ladder *to,
                                tspk_error *err)
{
    to->kind = from->kind;
    to->n_values = from->n;
    to->value = tspk_arena_array(arena, from->n, sizeof *to->value);
    if (!to->value)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a ladder");
    for (uint32_t i = 0; i < from->n; i++)
        to->value[i] = (float)from->value[i];
    return TSPK_OK;
}

tspk_status tspk_site_fit_fold(const tspk_site_fit *fit, tspk_coding coding, uint32_t heads,
                               tspk_arena *arena, tspk_site *site, tspk_site_params *params,
                               tspk_error *err)
{
    const uint32_t per_unit = heads ? fit->channels / heads : 1;
    double *work = malloc(fit->channels * sizeof *work);
    uint32_t reference = 0;
    tspk_status status = TSPK_OK;

    if (!fit->has_units)
        site->unit = tspk_arena_array(arena, fit->channels, sizeof *site->unit);
    if (!work || !site->unit) {
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u units", fit->channels);
        goto done;
    }
    while (reference + 1 < fit->n_classes && !(largest_top(fit, 0, reference) > 0))
        reference++;
    if (fit->has_units)
        fold_given_units(fit, coding, site, params);
    else if (site->kind == TSPK_SITE_LINEAR)
        fold_linear_scales(fit, coding, reference, work, params);
    else
        fold_product_scales(fit, coding, reference, site->kind, params);
    if (!fit->has_units)
        fold_units(fit, per_unit, params, site->unit);
    for (uint32_t t = 0; t < fit->n_steps && status == TSPK_OK; t++) {
        tspk_site_step *step = &params->step[t];

        step->gain = tspk_arena_array(arena, (size_t)fit->n_classes * fit->channels, sizeof(float));
        if (!step->gain) {
            status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for gains");
            break;
        }
        for (uint32_t k = 0; k < fit->n_classes && status == TSPK_OK; k++) {
            const double *scale = tspk_site_fit_scale(fit, t, k);

            step->dead_zone[k] = (float)tspk_site_fit_ladder(fit, t, k)->dead_zone;
            status = store_ladder(tspk_site_fit_ladder(fit, t, k), arena, &step->ladder[k], err);
            for (uint32_t c = 0; c < fit->channels; c++) {
                const double per_level = (double)site->unit[c] * (double)step->scale[k];

                double gain = scale[c] / per_level;

                if (fit->has_units && top_of(fit, t, k, c) > TSPK_MAX_CODE * per_level)
                    gain *= TSPK_MAX_CODE * per_level / top_of(fit, t, k, c);
                step->gain[(size_t)k * fit->channels + c] = (float)gain;
            }
        }
    }
done:
    free(work);
    return status;
}
