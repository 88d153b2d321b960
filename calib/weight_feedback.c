/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/weight_feedback.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "core/rng.h"
#include "runtime/ann/blas.h"

#define MAX_ROWS 8192u
/* Share of the mean diagonal that is added to the diagonal: keeps H invertible. */
#define DAMPING 0.01
/* The rows of a class that has less count as this share of all rows. */
#define CLASS_SAY 0.1

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the second moments of a layer's input");
}

/* Which share of each class's rows is taken, and the factor on these rows. */
typedef struct class_share {
    double taken, factor;
} class_share;

/* Small classes are taken whole and count as CLASS_SAY of all rows; of the others what there is
 * room for. */
static void share_out(const tspk_site *site, size_t n_images, size_t room, class_share *share)
{
    double count[TSPK_MAX_TOKEN_CLASSES] = {0}, small = 0, taken;

    for (uint32_t r = 0; r < site->rows; r++)
        count[site->row_class[r]]++;
    for (uint32_t k = 0; k < TSPK_MAX_TOKEN_CLASSES; k++)
        small += count[k] < CLASS_SAY * site->rows ? count[k] * (double)n_images : 0;
    taken = ((double)room - small) / ((double)site->rows * (double)n_images - small);
    taken = fmax(0, fmin(1, taken));
    for (uint32_t k = 0; k < TSPK_MAX_TOKEN_CLASSES; k++) {
        const bool is_small = count[k] > 0 && count[k] < CLASS_SAY * site->rows;

        share[k].taken = is_small ? 1 : taken;
        share[k].factor = is_small ? sqrt(taken * CLASS_SAY * site->rows / count[k]) : 1;
    }
}

/* Sampled rows as columns: x[channels, n], sorted, in units, weighted by class. */
static void fill_columns(const tspk_calib *calib, uint32_t site_id, size_t n, float *x)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const float *prior = calib->point->site[site_id].prior;
    const size_t n_images = tspk_stage_images(calib->stage), total = n_images * site->rows;
    tspk_rng rng = {calib->settings.seed ^ ((uint64_t)site_id << 32)};
    class_share share[TSPK_MAX_TOKEN_CLASSES];
    size_t at = 0;

    share_out(site, n_images, n, share);
    for (size_t i = 0; i < total && at < n; i++) {
        const size_t row = i % site->rows;
        const uint32_t k = site->row_class[row];
        const float *v =
            tspk_stage_at(calib->stage, site->input, i / site->rows, calib->settings.n_steps) +
            row * site->channels;

        if (share[k].taken < 1 &&
            (double)tspk_rng_below(&rng, total) >= share[k].taken * (double)total)
            continue;
        for (uint32_t p = 0; p < site->channels; p++) {
            const uint32_t c = site->order[p];
            const float start = prior ? prior[(size_t)k * site->channels + c] : 0;

            x[p * n + at] = (float)share[k].factor * (v[c] - start) / site->unit[c];
        }
        at++;
    }
    for (uint32_t p = 0; p < site->channels; p++)
        for (size_t i = at; i < n; i++)
            x[p * n + i] = 0;
}

/* h = R Rᵀ with R upper triangular, in place; false when h is not positive definite. */
static bool factor_upper(double *h, size_t n)
{
    for (size_t j = n; j-- > 0;) {
        double *const column = h + j * n;

        if (!(column[j] > 0))
            return false;
        column[j] = sqrt(column[j]);
        for (size_t i = 0; i < j; i++)
            column[i] /= column[j];
        for (size_t i = 0; i < j; i++)
            for (size_t k = 0; k <= i; k++)
                h[i * n + k] -= column[i] * column[k];
    }
    return true;
}

/* Rᵀ stands in the rows of `lower` (row j holds column j of R); u = R⁻¹, upper triangular. */
static void invert_upper(const double *lower, double *u, size_t n)
{
    for (size_t p = n; p-- > 0;) {
        double *const to = u + p * n;

        for (size_t j = 0; j < n; j++)
            to[j] = 0;
        to[p] = 1 / lower[p * n + p];
        for (size_t k = p + 1; k < n; k++) {
            const double r = lower[k * n + p];

            for (size_t j = k; j < n; j++)
                to[j] -= r * u[k * n + j];
        }
        for (size_t j = p + 1; j < n; j++)
            to[j] *= to[p];
    }
}

void tspk_factor_inverse(double *h, size_t n, double *u_out)
{
    double trace = 0;

    for (size_t i = 0; i < n; i++)
        trace += h[i * n + i];
    for (size_t i = 0; i < n; i++)
        h[i * n + i] += trace > 0 ? DAMPING * trace / (double)n : 1;
    if (isfinite(trace) && factor_upper(h, n)) {
        invert_upper(h, u_out, n);
        return;
    }
    for (size_t i = 0; i < n * n; i++)
        u_out[i] = i % (n + 1) == 0;
}

tspk_status tspk_weight_feedback(const tspk_calib *calib, uint32_t site, double **factor_out,
                                 tspk_error *err)
{
    const tspk_site *of = &calib->spikes->site[site];
    const size_t k = of->channels, total = tspk_stage_images(calib->stage) * of->rows;
    const size_t n = total < MAX_ROWS ? total : MAX_ROWS;
    float *x = malloc(k * n * sizeof *x), *moment = malloc(k * k * sizeof *moment);
    double *h = malloc(k * k * sizeof *h), *u = malloc(k * k * sizeof *u);

    if (!x || !moment || !h || !u) {
        free(x);
        free(moment);
        free(h);
        free(u);
        return no_memory(err);
    }
    fill_columns(calib, site, n, x);
    tspk_sgemm(true, k, k, n, 1.0f, x, n, x, n, 0.0f, moment, k);
    for (size_t i = 0; i < k * k; i++)
        h[i] = (double)moment[i];
    tspk_factor_inverse(h, k, u);
    free(x);
    free(moment);
    free(h);
    *factor_out = u;
    return TSPK_OK;
}
