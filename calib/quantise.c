/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/quantise.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "core/parallel.h"

typedef struct sort_key {
    float unit;
    uint32_t channel;
} sort_key;

static int compare_keys(const void *a, const void *b)
{
    const sort_key *x = a, *y = b;

    if (x->unit != y->unit)
        return x->unit < y->unit ? 1 : -1;
    return (x->channel > y->channel) - (x->channel < y->channel);
}

tspk_status tspk_sort_channels(tspk_arena *arena, tspk_site *site, tspk_error *err)
{
    const uint32_t positions = site->n_groups * site->group_size;
    sort_key *key = malloc(site->channels * sizeof *key);

    site->order = tspk_arena_array(arena, positions, sizeof *site->order);
    if (!key || !site->order) {
        free(key);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to sort %u channels", site->channels);
    }
    for (uint32_t c = 0; c < site->channels; c++)
        key[c] = (sort_key){site->unit[c], c};
    qsort(key, site->channels, sizeof *key, compare_keys);
    for (uint32_t p = 0; p < positions; p++)
        site->order[p] = p < site->channels ? key[p].channel : UINT32_MAX;
    free(key);
    return TSPK_OK;
}

typedef struct rounding {
    const tspk_site *site;
    const float *weight, *row_scale;
    const double *feedback;
    const tspk_spike_linear *linear;
    int8_t *to;   /* [outputs, positions] */
    double *work; /* [threads, channels] */
} rounding;

/* What rounding the weight at p has cost is made good by those behind it. */
static void feed_back(const double *factor, double error, double *w, size_t p, size_t n)
{
    const double share = error / factor[p];

    for (size_t j = p + 1; j < n; j++)
        w[j] -= share * factor[j];
}

static void round_row(void *context, size_t o, int worker)
{
    const rounding *r = context;
    const tspk_site *site = r->site;
    const size_t n = site->channels, positions = (size_t)site->n_groups * site->group_size;
    const double factor = r->row_scale ? (double)r->row_scale[o] : 1;
    double *const w = r->work + (size_t)worker * n;
    double scale = 1;

    for (size_t p = 0; p < n; p++)
        w[p] =
            factor * (double)r->weight[o * n + site->order[p]] * (double)site->unit[site->order[p]];
    for (size_t p = 0; p < n; p++) {
        double rounded;

        if (p % site->group_size == 0) {
            double largest = 0;

            for (size_t j = p; j < n && j < p + site->group_size; j++)
                largest = fmax(largest, fabs(w[j]));
            scale = largest > 0 ? (double)(float)(largest / 127) : 1;
            r->linear->scale[p / site->group_size * r->linear->n_out + o] = (float)scale;
        }
        rounded = fmax(-127, fmin(127, rint(w[p] / scale)));
        r->to[o * positions + p] = (int8_t)rounded;
        if (r->feedback)
            feed_back(r->feedback + p * n, w[p] - rounded * scale, w, p, n);
    }
}

tspk_status tspk_quantise_weights(tspk_arena *arena, const tspk_site *site, const float *weight,
                                  const float *row_scale, const double *feedback, int threads,
                                  tspk_spike_linear *linear, tspk_error *err)
{
    const size_t positions = (size_t)site->n_groups * site->group_size;
    rounding r = {.site = site,
                  .weight = weight,
                  .row_scale = row_scale,
                  .feedback = feedback,
                  .linear = linear};

    r.to = tspk_arena_array(arena, linear->n_out * positions, sizeof *r.to);
    r.work = malloc((size_t)threads * site->channels * sizeof *r.work);
    linear->scale =
        tspk_arena_array(arena, (size_t)site->n_groups * linear->n_out, sizeof *linear->scale);
    if (!r.to || !r.work || !linear->scale) {
        free(r.work);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u x %zu weights", linear->n_out,
                         positions);
    }
    linear->weight = r.to;
    linear->weight_bits = 8;
    tspk_parallel_for(threads, linear->n_out, round_row, &r);
    free(r.work);
    return TSPK_OK;
}

void tspk_dequantise_weights(const tspk_site *site, const tspk_spike_linear *linear, float *out)
{
    const size_t positions = (size_t)site->n_groups * site->group_size;
    const int8_t *bytes = linear->weight;
    const int16_t *words = linear->weight;

    for (size_t o = 0; o < linear->n_out; o++)
        for (size_t p = 0; p < positions; p++) {
            const uint32_t c = site->order[p];
            const size_t g = p / site->group_size, at = o * positions + p;

            if (c != UINT32_MAX)
                out[o * site->channels + c] =
                    (float)((double)(linear->weight_bits == 8 ? bytes[at] : words[at]) *
                            (double)linear->scale[g * linear->n_out + o] / (double)site->unit[c]);
        }
}
