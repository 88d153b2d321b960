/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/site_samples.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/rng.h"

/* Donors stand at so many normal quantiles between -z and z, and count as so many samples. */
#define N_DONORS   256u
#define DONOR_Z    4.2
#define DONOR_MASS 64.0

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for sampled rows");
}

static bool is_sampled(const tspk_sample_plan *plan, size_t image)
{
    return !plan->n_folds || (image % plan->n_folds == plan->fold) == plan->is_inverted;
}

/* Every row of the class in a sampled image, or a random choice of them. */
static tspk_status pick_rows(tspk_site_samples *s, const tspk_calib *calib, uint32_t site_id,
                             const tspk_sample_plan *plan, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const size_t n_images = tspk_stage_images(calib->stage);
    tspk_rng rng = {calib->settings.seed ^ ((uint64_t)site_id << 32)};
    uint32_t *row = malloc((site->rows + 1) * sizeof *row), n_rows = 0;
    size_t *image = malloc((n_images + 1) * sizeof *image), n_picked = 0, total;

    for (uint32_t r = 0; row && r < site->rows; r++)
        if (site->row_class[r] == s->row_class)
            row[n_rows++] = r;
    for (size_t i = 0; image && i < n_images; i++)
        if (is_sampled(plan, i % calib->n_source))
            image[n_picked++] = i;
    total = n_picked * n_rows;
    s->n = total < plan->max_samples ? (uint32_t)total : plan->max_samples;
    s->image = malloc(((size_t)s->n + 1) * sizeof *s->image);
    s->row = malloc(((size_t)s->n + 1) * sizeof *s->row);
    if (row && image && s->image && s->row)
        for (uint32_t i = 0; i < s->n; i++) {
            const size_t pick = total == s->n ? i : (size_t)tspk_rng_below(&rng, total);

            s->image[i] = image[pick / n_rows];
            s->row[i] = row[pick % n_rows];
        }
    const bool has_memory = row && image && s->image && s->row;
    free(row);
    free(image);
    return has_memory ? TSPK_OK : no_memory(err);
}

static const float *sampled_row(const tspk_site_samples *s, const tspk_calib *calib,
                                const tspk_site *site, uint32_t sample, uint32_t version)
{
    return tspk_stage_at(calib->stage, site->input, s->image[sample], version) +
           (size_t)s->row[sample] * site->channels;
}

static float prior_of(const tspk_calib *calib, uint32_t site_id, uint32_t row_class, uint32_t c)
{
    const float *prior = calib->point->site[site_id].prior;

    return prior ? prior[(size_t)row_class * calib->spikes->site[site_id].channels + c] : 0.0f;
}

typedef struct deviation {
    double value; /* from the prior, over the channel's factor */
    uint32_t sample, channel;
} deviation;

static int compare_deviations(const void *a, const void *b)
{
    const deviation *x = a, *y = b;

    if (x->value != y->value)
        return x->value < y->value ? -1 : 1;
    if (x->sample != y->sample)
        return x->sample < y->sample ? -1 : 1;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

static void find_factors(tspk_site_samples *s, const tspk_calib *calib, uint32_t site_id,
                         double exponent)
{
    const tspk_site *site = &calib->spikes->site[site_id];

    for (uint32_t c = 0; c < site->channels; c++) {
        const double prior = (double)prior_of(calib, site_id, s->row_class, c);
        double square = 0;

        for (uint32_t i = 0; i < s->n; i++) {
            const double d = (double)sampled_row(s, calib, site, i, 1)[c] - prior;

            square += d * d;
        }
        s->factor[c] = square > 0 ? pow(square / s->n, 0.5 * exponent) : 0;
    }
}

/* At most this many deviations are ranked to find quantiles. */
#define MAX_RANKED 65536u

static tspk_status find_donors(tspk_site_samples *s, const tspk_calib *calib, uint32_t site_id,
                               tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const size_t all = (size_t)s->n * site->channels;
    const size_t n = all < MAX_RANKED ? all : MAX_RANKED;
    deviation *ranked = malloc((n + 1) * sizeof *ranked);
    size_t kept = 0;

    if (!ranked)
        return no_memory(err);
    for (size_t i = 0; i < n; i++) {
        const size_t at = n == all ? i : (size_t)(((double)i + 0.5) * (double)all / (double)n);
        const uint32_t sample = (uint32_t)(at / site->channels);
        const uint32_t c = (uint32_t)(at % site->channels);
        const double d = (double)sampled_row(s, calib, site, sample, 1)[c] -
                         (double)prior_of(calib, site_id, s->row_class, c);

        if (s->factor[c] > 0)
            ranked[kept++] = (deviation){d / s->factor[c], sample, c};
    }
    qsort(ranked, kept, sizeof *ranked, compare_deviations);
    s->n_donors = kept ? N_DONORS : 0;
    for (uint32_t i = 0; i < s->n_donors; i++) {
        const double low = DONOR_Z * (2.0 * i / N_DONORS - 1);
        const double high = DONOR_Z * (2.0 * (i + 1) / N_DONORS - 1);
        const double below = 0.5 * erfc(-low / sqrt(2)), above = 0.5 * erfc(-high / sqrt(2));
        const size_t rank = (size_t)(0.5 * (below + above) * (double)kept);
        const deviation *from = &ranked[rank < kept ? rank : kept - 1];

        s->donor[i] = from->sample;
        s->donor_channel[i] = from->channel;
        s->mass[s->n + i] = DONOR_MASS * (above - below);
    }
    free(ranked);
    return TSPK_OK;
}

static tspk_status make_donors(tspk_site_samples *s, const tspk_calib *calib, uint32_t site_id,
                               const tspk_sample_plan *plan, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];

    s->donor = malloc(N_DONORS * sizeof *s->donor);
    s->donor_channel = malloc(N_DONORS * sizeof *s->donor_channel);
    s->factor = malloc(site->channels * sizeof *s->factor);
    s->mass = malloc(((size_t)s->n + N_DONORS) * sizeof *s->mass);
    s->x = calloc((size_t)N_DONORS * site->channels, sizeof *s->x);
    s->state = calloc((size_t)N_DONORS * site->channels, sizeof *s->state);
    if (!s->donor || !s->donor_channel || !s->factor || !s->mass || !s->x || !s->state)
        return no_memory(err);
    for (uint32_t i = 0; i < s->n; i++)
        s->mass[i] = 1;
    find_factors(s, calib, site_id, plan->donor_exponent);
    TSPK_TRY(find_donors(s, calib, site_id, err));
    for (uint32_t i = 0; i < s->n_donors; i++)
        for (uint32_t c = 0; c < site->channels; c++)
            s->state[(size_t)i * site->channels + c] = prior_of(calib, site_id, s->row_class, c);
    return TSPK_OK;
}

tspk_status tspk_site_samples_init(tspk_site_samples *samples, const tspk_calib *calib,
                                   uint32_t site, uint32_t row_class, const tspk_sample_plan *plan,
                                   tspk_error *err)
{
    tspk_status status;

    *samples = (tspk_site_samples){.row_class = row_class};
    status = pick_rows(samples, calib, site, plan, err);
    if (status == TSPK_OK && samples->n && plan->has_donors)
        status = make_donors(samples, calib, site, plan, err);
    if (status != TSPK_OK)
        tspk_site_samples_done(samples);
    return status;
}

void tspk_site_samples_done(tspk_site_samples *samples)
{
    free(samples->image);
    free(samples->row);
    free(samples->donor);
    free(samples->donor_channel);
    free(samples->factor);
    free(samples->mass);
    free(samples->x);
    free(samples->state);
    *samples = (tspk_site_samples){0};
}

void tspk_site_samples_set_step(tspk_site_samples *samples, const tspk_calib *calib, uint32_t site,
                                uint32_t t)
{
    const tspk_site *at = &calib->spikes->site[site];
    float *to = samples->x;

    for (uint32_t i = 0; i < samples->n_donors; i++, to += at->channels) {
        const uint32_t from = samples->donor_channel[i];
        const double x = (double)sampled_row(samples, calib, at, samples->donor[i], t)[from];
        const double d =
            (x - (double)prior_of(calib, site, samples->row_class, from)) / samples->factor[from];

        for (uint32_t c = 0; c < at->channels; c++)
            to[c] = (float)((double)prior_of(calib, site, samples->row_class, c) +
                            d * samples->factor[c]);
    }
}

tspk_status tspk_site_samples_potentials(const tspk_site_samples *samples, const tspk_calib *calib,
                                         uint32_t site, uint32_t t, const float *state,
                                         tspk_population *population, tspk_error *err)
{
    const tspk_site *at = &calib->spikes->site[site];
    const size_t per_image = (size_t)at->rows * at->channels;
    const uint32_t n = samples->n + samples->n_donors;
    const uint32_t version = calib->settings.options.is_sequential ? t : 0;
    const bool is_rate = calib->point->coding == TSPK_CODING_RATE;

    population->channels = at->channels;
    population->n = n;
    population->mass = samples->mass;
    population->value = malloc((size_t)n * at->channels * sizeof(float) + 1);
    if (!population->value)
        return no_memory(err);
    for (uint32_t i = 0; i < n; i++) {
        const bool is_donor = i >= samples->n;
        const size_t row = (size_t)(is_donor ? i - samples->n : samples->row[i]) * at->channels;
        const float *x = is_donor ? samples->x + row : sampled_row(samples, calib, at, i, version);
        const float *o =
            is_donor ? samples->state + row : state + samples->image[i] * per_image + row;

        for (uint32_t c = 0; c < at->channels; c++)
            population->value[(size_t)c * n + i] = is_rate ? (float)t * x[c] - o[c] : x[c] - o[c];
    }
    return TSPK_OK;
}
