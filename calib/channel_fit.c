/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/channel_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"

#define ROUNDS 3
/* Potentials that stay below this share of the site's largest never fire: the prior carries them.
 */
#define DEAD_SHARE     1e-6
#define N_MULTIPLES    25
#define LEAST_MULTIPLE 0.45
#define MULTIPLE_RATIO 1.08

/* Prefix sums over a channel's sorted samples. */
typedef struct channel_sums {
    const float *value;
    double *moment, *square; /* [n + 1] */
    uint32_t n;
} channel_sums;

static uint32_t count_below(const channel_sums *s, double bound)
{
    uint32_t low = 0, high = s->n;

    while (low < high) {
        const uint32_t middle = low + (high - low) / 2;

        if ((double)s->value[middle] < bound)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

/* Squared error of rounding every sample to the nearest of scale * {ladder, 0}. */
static double scaled_error(const channel_sums *s, const tspk_ladder_values *ladder, double scale)
{
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
        const uint32_t to = i + 1 < n ? count_below(s, 0.5 * (level[i] + level[i + 1])) : s->n;

        if (to > from) {
            const double moment = s->moment[to] - s->moment[from];

            error += s->square[to] - s->square[from] - 2 * level[i] * moment +
                     level[i] * level[i] * (to - from);
            from = to;
        }
    }
    return error;
}

#define DIGIT_BITS 11
#define DIGITS     (1u << DIGIT_BITS)

/* Unsigned keys that sort as the floats do. */
static uint32_t key_of(uint32_t bits)
{
    return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}

static uint32_t bits_of(uint32_t key)
{
    return key ^ ((key >> 31) ? 0x80000000u : 0xffffffffu);
}

void tspk_sort_floats(float *value, float *work, size_t n)
{
    uint32_t *from = (uint32_t *)(void *)value, *to = (uint32_t *)(void *)work;

    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        size_t start[DIGITS + 1] = {0};
        uint32_t *const kept = from;

        for (size_t i = 0; i < n; i++) {
            uint32_t bits;

            memcpy(&bits, from + i, sizeof bits);
            bits = shift ? bits : key_of(bits);
            memcpy(from + i, &bits, sizeof bits);
            start[((bits >> shift) & (DIGITS - 1)) + 1]++;
        }
        for (size_t d = 0; d < DIGITS; d++)
            start[d + 1] += start[d];
        for (size_t i = 0; i < n; i++) {
            uint32_t bits;

            memcpy(&bits, from + i, sizeof bits);
            memcpy(to + start[(bits >> shift) & (DIGITS - 1)]++, &bits, sizeof bits);
        }
        from = to;
        to = kept;
    }
    for (size_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, from + i, sizeof bits);
        bits = bits_of(bits);
        memcpy(value + i, &bits, sizeof bits);
    }
}

typedef struct fit {
    tspk_population *population;
    const tspk_channel_fit_settings *settings;
    const tspk_ladder_values *ladder;
    double *moment, *square; /* [channels, n + 1] */
    double *deviation;       /* [channels] root mean square */
    double *scale;           /* [channels] */
    float *work;             /* [channels, n] for sorting */
} fit;

static channel_sums sums_of(const fit *f, size_t c)
{
    const uint32_t n = f->population->n;

    return (channel_sums){f->population->value + c * n, f->moment + c * (n + 1),
                          f->square + c * (n + 1), n};
}

static void prepare_channel(void *context, size_t c, int worker)
{
    fit *const f = context;
    const channel_sums s = sums_of(f, c);
    double moment = 0, square = 0;

    (void)worker;
    tspk_sort_floats(f->population->value + c * s.n, f->work + c * s.n, s.n);
    s.moment[0] = s.square[0] = 0;
    for (uint32_t i = 0; i < s.n; i++) {
        const double v = (double)s.value[i];

        s.moment[i + 1] = moment += v;
        s.square[i + 1] = square += v * v;
    }
    f->deviation[c] = s.n ? sqrt(square / s.n) : 0;
}

static void scale_channel(void *context, size_t c, int worker)
{
    fit *const f = context;
    const channel_sums s = sums_of(f, c);
    double multiple = LEAST_MULTIPLE, best = INFINITY;

    (void)worker;
    if (f->scale[c] <= 0)
        return;
    for (int i = 0; i < N_MULTIPLES; i++, multiple *= MULTIPLE_RATIO) {
        const double error = scaled_error(&s, f->ladder, multiple * f->deviation[c]);

        if (error < best) {
            best = error;
            f->scale[c] = multiple * f->deviation[c];
        }
    }
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
    for (size_t c = 0; c < p->channels; c++)
        for (uint32_t i = 0; f->scale[c] > 0 && i < p->n; i++)
            tspk_histogram_add(histogram, (double)p->value[c * p->n + i] / f->scale[c], 1);
    tspk_fit_ladder(histogram, f->settings->kind, f->settings->n_levels, f->settings->is_one_sided,
                    ladder_out);
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

    f.moment = malloc(cells * sizeof(double));
    f.square = malloc(cells * sizeof(double));
    f.deviation = malloc(channels * sizeof(double));
    f.work = malloc(cells * sizeof(float));
    if (!histogram || !f.moment || !f.square || !f.deviation || !f.work) {
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
    free(f.moment);
    free(f.square);
    free(f.deviation);
    free(f.work);
    return status;
}
