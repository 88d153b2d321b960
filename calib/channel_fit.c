/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/channel_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/sort_floats.h"
#include "core/fail.h"
#include "core/parallel.h"

#define ROUNDS 3
/* Potentials that stay below this share of the site's largest never fire: the prior carries them.
 */
#define DEAD_SHARE     1e-6
#define N_MULTIPLES    25
#define LEAST_MULTIPLE 0.45
#define MULTIPLE_RATIO 1.08
/* A quick fit tries every third multiple, then those beside the best: the error falls and rises once
 * as a rule. */
#define COARSE 3

/* Buckets of equal width over a channel's samples, so that looking for a bound is short. */
#define N_BUCKETS 512u

/* Prefix sums over a channel's sorted samples. */
typedef struct channel_sums {
    const float *value;
    double *mass, *moment, *square; /* [n + 1] */
    uint32_t *first;                /* [N_BUCKETS + 1] sample of each bucket, the number behind */
    uint32_t n;
} channel_sums;

/* Rises with the value, also where rounding moves it. */
static uint32_t bucket_of(const channel_sums *s, double value)
{
    const double low = (double)s->value[0], range = (double)s->value[s->n - 1] - low;
    const double at = range > 0 ? (value - low) * (N_BUCKETS / range) : 0;

    return at > 0 ? at < N_BUCKETS - 1 ? (uint32_t)at : N_BUCKETS - 1 : 0;
}

static uint32_t count_below(const channel_sums *s, double bound)
{
    const uint32_t bucket = s->n ? bucket_of(s, bound) : 0;
    uint32_t low = s->first[bucket], high = s->first[bucket + 1];

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if ((double)s->value[middle] < bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Between levels i and i + 1, ascending with silence among them: the midpoint, or beside silence
 * `zone` times it, but not beyond the next midpoint. */
static double bound_above(const double *level, uint32_t n, uint32_t i, double zone)
{
    const double middle = 0.5 * (level[i] + level[i + 1]);

    if (level[i] == 0)
        return i + 2 < n ? fmin(zone * middle, 0.5 * (level[i + 1] + level[i + 2])) : zone * middle;
    if (level[i + 1] == 0)
        return i > 0 ? fmax(zone * middle, 0.5 * (level[i - 1] + level[i])) : zone * middle;
    return middle;
}

/* Squared error of rounding every sample to the nearest of scale * {ladder, 0}. */
static double scaled_error(const channel_sums *s, const tspk_ladder_values *ladder, double scale)
{
    const double zone = 1 + ladder->dead_zone;
    double error = 0, level[2 * TSPK_MAX_LEVELS + 1];
    uint32_t n = 0, from = 0;
    bool has_zero = false;

    for (uint32_t i = 0; i < ladder->n; i++) {
        if (!has_zero && ladder->value[i] > 0) {
            level[n++] = 0;
            has_zero = true;
        }
        level[n++] = scale * ladder->value[i];
    }
    if (!has_zero)
        level[n++] = 0;
    for (uint32_t i = 0; i < n; i++) {
        const uint32_t to = i + 1 < n ? count_below(s, bound_above(level, n, i, zone)) : s->n;

        if (to > from) {
            const double moment = s->moment[to] - s->moment[from];

            error += s->square[to] - s->square[from] - 2 * level[i] * moment +
                     level[i] * level[i] * (s->mass[to] - s->mass[from]);
            from = to;
        }
    }
    return error;
}

typedef struct fit {
    tspk_population *population;
    const tspk_channel_fit_settings *settings;
    const tspk_ladder_values *ladder;
    double *mass, *moment, *square; /* [channels, n + 1] */
    uint32_t *first;                /* [channels, N_BUCKETS + 1] */
    double multiple[N_MULTIPLES];
    double *deviation;              /* [channels] root mean square */
    double *scale;                  /* [channels] */
    tspk_ranked *work;              /* [threads, 2, n] for sorting */
} fit;

static channel_sums sums_of(const fit *f, size_t c)
{
    const uint32_t n = f->population->n;

    return (channel_sums){f->population->value + c * n, f->mass + c * (n + 1),
                          f->moment + c * (n + 1), f->square + c * (n + 1),
                          f->first + c * (N_BUCKETS + 1), n};
}

static void prepare_channel(void *context, size_t c, int worker)
{
    fit *const f = context;
    const channel_sums s = sums_of(f, c);
    float *const value = f->population->value + c * s.n;
    const tspk_ranked *sorted = tspk_sort_floats(value, f->work + 2 * (size_t)worker * s.n, s.n);
    double mass = 0, moment = 0, square = 0;

    s.mass[0] = s.moment[0] = s.square[0] = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        const double v = (double)value[i];
        const double m = f->population->mass ? f->population->mass[sorted[i].index] : 1;

        s.mass[i + 1] = mass += m;
        s.moment[i + 1] = moment += m * v;
        s.square[i + 1] = square += m * v * v;
    }
    for (uint32_t i = 0, bucket = 0; bucket <= N_BUCKETS; bucket++) {
        while (i < s.n && bucket_of(&s, (double)value[i]) < bucket)
            i++;
        s.first[bucket] = i;
    }
    f->deviation[c] = mass > 0 ? sqrt(square / mass) : 0;
}

static void try_multiple(const fit *f, const channel_sums *s, size_t c, int i, double *best, int *at)
{
    const double error = scaled_error(s, f->ladder, f->multiple[i] * f->deviation[c]);

    if (error < *best) {
        *best = error;
        *at = i;
    }
}

static void scale_channel(void *context, size_t c, int worker)
{
    fit *const f = context;
    const channel_sums s = sums_of(f, c);
    double best = INFINITY;
    const int stride = f->settings->is_quick ? COARSE : 1;
    int at = 0, coarse;

    (void)worker;
    if (f->scale[c] <= 0)
        return;
    for (int i = 0; i < N_MULTIPLES; i += stride)
        try_multiple(f, &s, c, i, &best, &at);
    coarse = at;
    for (int i = coarse - stride + 1; i < coarse + stride; i++)
        if (i >= 0 && i < N_MULTIPLES && i != coarse)
            try_multiple(f, &s, c, i, &best, &at);
    f->scale[c] = f->multiple[at] * f->deviation[c];
}

/* The ladder that suits all channels at their present scales. */
static void refit_ladder(const fit *f, tspk_histogram *histogram, tspk_ladder_values *ladder_out)
{
    const tspk_population *p = f->population;
    double range = 0;

    for (size_t c = 0; c < p->channels; c++)
        if (f->scale[c] > 0 && p->n) {
            const double low = -(double)p->value[c * p->n] / f->scale[c];
            const double high = (double)p->value[c * p->n + p->n - 1] / f->scale[c];

            range = fmax(range, fmax(low, high));
        }
    tspk_histogram_init(histogram, range * (1 + 1e-9));
    for (size_t c = 0; c < p->channels; c++) {
        const channel_sums s = sums_of(f, c);

        for (uint32_t i = 0; f->scale[c] > 0 && i < p->n; i++)
            tspk_histogram_add(histogram, (double)p->value[c * p->n + i] / f->scale[c],
                               s.mass[i + 1] - s.mass[i]);
    }
    tspk_fit_ladder(histogram, f->settings->kind, f->settings->n_levels, f->settings->is_one_sided,
                    f->settings->price, ladder_out);
}

static void start_scales(fit *f)
{
    const uint32_t channels = f->population->channels;
    double largest = 0;

    for (size_t c = 0; c < channels; c++)
        largest = fmax(largest, f->deviation[c]);
    for (size_t c = 0; c < channels; c++)
        f->scale[c] = f->deviation[c] > DEAD_SHARE * largest ? f->deviation[c] : 0;
}

tspk_status tspk_fit_channels(tspk_population *population,
                              const tspk_channel_fit_settings *settings,
                              tspk_ladder_values *ladder_out, double *scale_out, tspk_error *err)
{
    const size_t channels = population->channels;
    const size_t cells = channels * ((size_t)population->n + 1);
    tspk_histogram *histogram = malloc(sizeof *histogram);
    fit f = {
        .population = population, .settings = settings, .ladder = ladder_out, .scale = scale_out};
    tspk_status status = TSPK_OK;

    f.multiple[0] = LEAST_MULTIPLE;
    for (int i = 1; i < N_MULTIPLES; i++)
        f.multiple[i] = f.multiple[i - 1] * MULTIPLE_RATIO;
    f.mass = malloc(cells * sizeof(double));
    f.moment = malloc(cells * sizeof(double));
    f.square = malloc(cells * sizeof(double));
    f.first = malloc(channels * (N_BUCKETS + 1) * sizeof *f.first);
    f.deviation = malloc(channels * sizeof(double));
    f.work = malloc((2 * (size_t)settings->threads * population->n + 1) * sizeof *f.work);
    if (!histogram || !f.mass || !f.moment || !f.square || !f.first || !f.deviation || !f.work) {
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to fit %zu channels on %u samples each",
                           channels, population->n);
        goto done;
    }
    tspk_parallel_for(settings->threads, channels, prepare_channel, &f);
    start_scales(&f);
    refit_ladder(&f, histogram, ladder_out);
    for (int round = 0; round < ROUNDS; round++) {
        tspk_parallel_for(settings->threads, channels, scale_channel, &f);
        if (round + 1 < ROUNDS)
            refit_ladder(&f, histogram, ladder_out);
    }
done:
    free(histogram);
    free(f.mass);
    free(f.moment);
    free(f.square);
    free(f.first);
    free(f.deviation);
    free(f.work);
    return status;
}

double tspk_channels_error(const tspk_population *population, const tspk_ladder_values *ladder,
                           const double *scale)
{
    double error = 0;

    for (size_t c = 0; c < population->channels; c++)
        for (uint32_t i = 0; i < population->n; i++) {
            const double v = (double)population->value[c * population->n + i];
            double least = fabs(v);

            for (uint32_t k = 0; k < ladder->n; k++)
                least = fmin(least, fabs(v - scale[c] * ladder->value[k]));
            error += least * least;
        }
    return error;
}
