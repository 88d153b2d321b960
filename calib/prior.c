/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/prior.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "core/parallel.h"

/* A channel's band is looked for in so many samples, and not at all in fewer than LEAST_SAMPLES. */
#define MAX_SAMPLES   8192u
#define LEAST_SAMPLES 2048u
/* Half the width of the band, in deviations of the channel. */
#define BAND 0.1
/* The band at rest has to hold so many times what the band around the mean holds. */
#define GAIN 1.25

typedef struct prior_fit {
    const tspk_calib *calib;
    const tspk_site *site;
    uint32_t row_class;
    const uint32_t *row; /* [n_rows] rows of the class */
    uint32_t n_rows, n_samples;
    float *value;      /* [workers, n_samples] */
    tspk_ranked *work; /* [workers, 2 n_samples] */
    float *prior;      /* [channels] */
} prior_fit;

/* Mean and root mean square deviation of n sorted values. */
static void spread_of(const float *value, uint32_t n, double *mean_out, double *deviation_out)
{
    double sum = 0, square = 0;

    for (uint32_t i = 0; i < n; i++)
        sum += (double)value[i];
    *mean_out = sum / n;
    for (uint32_t i = 0; i < n; i++)
        square += ((double)value[i] - *mean_out) * ((double)value[i] - *mean_out);
    *deviation_out = sqrt(square / n);
}

bool tspk_find_rest(float *value, tspk_ranked *work, uint32_t n, float *rest_out)
{
    double mean, deviation, sum = 0, best_mean = 0;
    uint32_t first = 0, best = 0, around = 0;

    tspk_sort_floats(value, work, n);
    spread_of(value, n, &mean, &deviation);
    for (uint32_t i = 0; i < n; i++) {
        sum += (double)value[i];
        while ((double)value[i] - (double)value[first] > 2 * BAND * deviation)
            sum -= (double)value[first++];
        if (i + 1 - first > best) {
            best = i + 1 - first;
            best_mean = sum / best;
        }
        around += fabs((double)value[i] - mean) <= BAND * deviation;
    }
    if (best <= GAIN * around)
        return false;
    *rest_out = (float)best_mean;
    return true;
}

static void rest_channel(void *context, size_t c, int worker)
{
    const prior_fit *f = context;
    const uint32_t n = f->n_samples;
    const size_t all = tspk_stage_images(f->calib->stage) * f->n_rows;
    float *value = f->value + (size_t)worker * n;

    for (uint32_t i = 0; i < n; i++) {
        const size_t at = (size_t)(((double)i + 0.5) * (double)all / n);
        const float *x = tspk_stage_at(f->calib->stage, f->site->input, at / f->n_rows, 1);

        value[i] = x[(size_t)f->row[at % f->n_rows] * f->site->channels + c];
    }
    tspk_find_rest(value, f->work + 2 * (size_t)worker * n, n, &f->prior[c]);
}

/* Moves the priors of a class from the means to where channels rest. */
static tspk_status find_rests(tspk_calib *calib, uint32_t site_id, uint32_t row_class, float *prior,
                              tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const size_t workers = (size_t)calib->settings.threads;
    uint32_t *row = malloc((site->rows + 1) * sizeof *row);
    prior_fit f = {calib, site, row_class, row, 0, 0, NULL, NULL, prior};
    tspk_status status = TSPK_OK;
    size_t all;

    for (uint32_t r = 0; row && r < site->rows; r++)
        if (site->row_class[r] == row_class)
            row[f.n_rows++] = r;
    all = tspk_stage_images(calib->stage) * f.n_rows;
    f.n_samples = all < MAX_SAMPLES ? (uint32_t)all : MAX_SAMPLES;
    if (row && all < LEAST_SAMPLES) {
        free(row);
        return TSPK_OK;
    }
    f.value = malloc(workers * f.n_samples * sizeof *f.value);
    f.work = malloc(2 * workers * f.n_samples * sizeof *f.work);
    if (row && f.value && f.work)
        tspk_parallel_for(calib->settings.threads, site->channels, rest_channel, &f);
    else
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for priors");
    free(row);
    free(f.value);
    free(f.work);
    return status;
}

tspk_status tspk_calib_fit_prior(tspk_calib *calib, uint32_t site_id, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    tspk_site_params *params = &calib->point->site[site_id];
    const size_t cells = (size_t)calib->spikes->n_classes * site->channels;
    double *sum = calloc(cells + TSPK_MAX_TOKEN_CLASSES, sizeof *sum);
    double *count;

    params->prior = tspk_arena_array(calib->arena, cells, sizeof *params->prior);
    if (!sum || !params->prior) {
        free(sum);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for priors");
    }
    count = sum + cells;
    for (size_t i = 0; i < tspk_stage_images(calib->stage); i++) {
        const float *x = tspk_stage_at(calib->stage, site->input, i, 1);

        for (size_t r = 0; r < site->rows; r++) {
            double *to = sum + (size_t)site->row_class[r] * site->channels;

            count[site->row_class[r]]++;
            for (size_t c = 0; c < site->channels; c++)
                to[c] += (double)x[r * site->channels + c];
        }
    }
    for (size_t i = 0; i < cells; i++)
        params->prior[i] =
            count[i / site->channels] > 0 ? (float)(sum[i] / count[i / site->channels]) : 0.0f;
    free(sum);
    for (uint32_t k = 0; k < calib->spikes->n_classes && site->kind == TSPK_SITE_LINEAR; k++)
        TSPK_TRY(find_rests(calib, site_id, k, params->prior + (size_t)k * site->channels, err));
    return TSPK_OK;
}
