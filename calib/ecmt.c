/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/ecmt.h"

#include <math.h>
#include <stdlib.h>

#include "calib/sort_floats.h"
#include "core/fail.h"

/* ECMT's default `percent`. */
#define PERCENTILE  0.99
#define MOST_LEVELS 8u

/* The quantile as the mean of both signs', or of the one that occurs. */
static double base_of(const float *sorted, size_t n)
{
    double low, high;

    if (!n)
        return 0;
    high = (double)sorted[(size_t)(PERCENTILE * (double)(n - 1))];
    low = -(double)sorted[(size_t)((1 - PERCENTILE) * (double)(n - 1))];
    return high > 0 && low > 0 ? 0.5 * (high + low) : fmax(0, fmax(high, low));
}

tspk_status tspk_fit_ecmt(tspk_population *population, uint32_t n_levels,
                          tspk_ladder_values *ladder, double *scale, tspk_error *err)
{
    const size_t n = population->n;
    const uint32_t levels = n_levels < MOST_LEVELS ? n_levels : MOST_LEVELS;
    tspk_ranked *work = malloc((2 * n + 1) * sizeof *work);

    if (!work)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to sort %zu values", n);
    ladder->kind = TSPK_LADDER_POW2;
    ladder->n = 0;
    for (uint32_t i = levels; i-- > 0;)
        ladder->value[ladder->n++] = -ldexp(1, (int)i);
    for (uint32_t i = 0; i < levels; i++)
        ladder->value[ladder->n++] = ldexp(1, (int)i);
    for (size_t c = 0; c < population->channels; c++) {
        (void)tspk_sort_floats(population->value + c * n, work, n);
        scale[c] = base_of(population->value + c * n, n);
    }
    free(work);
    return TSPK_OK;
}

tspk_status tspk_fold_ecmt(const tspk_site_fit *fit, tspk_arena *arena, tspk_site *site,
                           tspk_site_params *params, tspk_error *err)
{
    TSPK_TRY(tspk_site_fit_fold(fit, TSPK_CODING_RATE, 0, arena, site, params, err));
    params->fire_rule = TSPK_FIRE_ECMT;
    params->code_form = TSPK_CODE_EXPONENT;
    for (uint32_t c = 0; c < fit->channels; c++) {
        const double base = tspk_site_fit_scale(fit, 0, 0)[c];

        site->unit[c] = base > 0 ? (float)base : 1.0f;
    }
    for (uint32_t t = 0; t < fit->n_steps; t++)
        for (uint32_t k = 0; k < fit->n_classes; k++) {
            params->step[t].scale[k] = 1.0f;
            for (uint32_t c = 0; c < fit->channels; c++)
                params->step[t].gain[(size_t)k * fit->channels + c] =
                    tspk_site_fit_scale(fit, 0, k)[c] > 0 ? 1.0f : 0.0f;
        }
    return TSPK_OK;
}
