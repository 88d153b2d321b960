/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/ladder_fit.h"

#include <math.h>
#include <string.h>

#include "core/limits.h"

#define BINS            TSPK_HISTOGRAM_BINS
#define HALF            (BINS / 2)
#define LLOYD_ROUNDS    200
#define LLOYD_TOLERANCE 1e-7

void tspk_histogram_init(tspk_histogram *histogram, double range)
{
    memset(histogram, 0, sizeof *histogram);
    histogram->range = range > 0 ? range : 1;
}

void tspk_histogram_add(tspk_histogram *histogram, double value, double mass)
{
    double at = (value / histogram->range + 1) * HALF;
    size_t bin;

    if (!(at > 0))
        at = 0;
    bin = at < BINS - 1 ? (size_t)at : BINS - 1;
    histogram->weight[bin] += mass;
    histogram->moment[bin] += mass * value;
}

/* One sign of a histogram as magnitudes: prefix sums of mass, first and second moment per bin. */
typedef struct side {
    double width; /* of a bin */
    double price; /* squared error that a spike has to save */
    double mass[HALF + 1], moment[HALF + 1], square[HALF + 1];
    double root[HALF + 1]; /* prefix sums of the cube root of the mass of a bin */
} side;

static void side_add(side *s, const tspk_histogram *h, int sign, double price)
{
    double mass = 0, moment = 0, square = 0;

    s->width = h->range / HALF;
    s->price = price;
    for (int i = 0; i < HALF; i++) {
        const int bin = sign > 0 ? HALF + i : HALF - 1 - i;
        const double w = h->weight[bin];
        const double m = sign > 0 ? h->moment[bin] : -h->moment[bin];

        mass += w;
        moment += m;
        square += w > 0 ? m * m / w : 0;
        s->mass[i + 1] += mass;
        s->moment[i + 1] += moment;
        s->square[i + 1] += square;
    }
    for (int i = 0; i < HALF; i++)
        s->root[i + 1] = s->root[i] + cbrt(s->mass[i + 1] - s->mass[i]);
}

static int bin_at(const side *s, double magnitude)
{
    const double at = magnitude / s->width;

    return at <= 0 ? 0 : at >= HALF ? HALF : (int)(at + 0.5);
}

/* The threshold of level i of n; that of the first is not above the second's. */
static double bound_below(const side *s, const double *level, uint32_t n, uint32_t i)
{
    double first;

    if (i)
        return 0.5 * (level[i - 1] + level[i]);
    first = 0.5 * level[0] * (1 + fmin(TSPK_MAX_DEAD_ZONE, s->price / (level[0] * level[0])));
    return n > 1 ? fmin(first, 0.5 * (level[0] + level[1])) : first;
}

/* Squared error of rounding magnitudes to {0} and the ascending levels. */
static double side_error(const side *s, const double *level, uint32_t n)
{
    double error = 0, before = 0;
    int from = 0;

    for (uint32_t i = 0; i <= n; i++) {
        const int to = i < n ? bin_at(s, bound_below(s, level, n, i)) : HALF;
        const int end = to > from ? to : from;
        const double mass = s->mass[end] - s->mass[from];
        const double moment = s->moment[end] - s->moment[from];
        const double square = s->square[end] - s->square[from];

        error += square - 2 * before * moment + before * before * mass;
        from = end;
        if (i < n)
            before = level[i];
    }
    return error;
}

/* Start of Lloyd's iteration: levels at equal shares of the cube root of the density (Panter-Dite).
 */
static void companded_start(const side *s, double *level, uint32_t n)
{
    const double total = s->root[HALF];
    uint32_t next = 0;

    for (int i = 0; i < HALF && next < n; i++)
        while (next < n && s->root[i + 1] >= total * (next + 1) / (n + 0.5))
            level[next++] = (i + 1) * s->width;
    for (; next < n; next++)
        level[next] = (next ? level[next - 1] : 0) + s->width;
    for (uint32_t i = 1; i < n; i++)
        if (level[i] <= level[i - 1])
            level[i] = level[i - 1] + s->width;
}

/* Lloyd-Max with a zero level pinned. */
static double lloyd(const side *s, double *level, uint32_t n)
{
    if (!n)
        return side_error(s, level, 0);
    companded_start(s, level, n);
    for (int round = 0; round < LLOYD_ROUNDS; round++) {
        double moved = 0;
        double next[2 * TSPK_MAX_LEVELS];

        for (uint32_t i = 0; i < n; i++) {
            const int from = bin_at(s, bound_below(s, level, n, i));
            const int to = i + 1 < n ? bin_at(s, bound_below(s, level, n, i + 1)) : HALF;
            const double mass = to > from ? s->mass[to] - s->mass[from] : 0;

            next[i] = mass > 0 ? (s->moment[to] - s->moment[from]) / mass : level[i];
        }
        for (uint32_t i = 0; i < n; i++) {
            if (i && next[i] <= next[i - 1])
                next[i] = next[i - 1] * (1 + 1e-6) + 1e-12;
            moved += fabs(next[i] - level[i]);
            level[i] = next[i];
        }
        if (moved < LLOYD_TOLERANCE * s->width * HALF)
            break;
    }
    return side_error(s, level, n);
}

/* Levels step * ratio^i (ratio > 1) or step * (i + 1) (ratio = 0). */
static void fill_series(double step, double ratio, double *level, uint32_t n)
{
    double value = step;

    for (uint32_t i = 0; i < n; i++) {
        level[i] = ratio > 0 ? value : step * (i + 1);
        value *= ratio;
    }
}

static double search_step(const side *s, double ratio, double *level, uint32_t n)
{
    const double top = s->width * HALF;
    double best_error = INFINITY, best_step = top, factor = 1;

    fill_series(1, ratio, level, n);
    factor = level[n - 1];
    for (int i = 0; i <= 120; i++) {
        const double step = top / factor * exp2(-i / 15.0) * 1.2;
        double error;

        fill_series(step, ratio, level, n);
        error = side_error(s, level, n);
        if (error < best_error) {
            best_error = error;
            best_step = step;
        }
    }
    fill_series(best_step, ratio, level, n);
    return best_error;
}

static void fit_series(const side *s, tspk_ladder_kind kind, double *level, uint32_t n)
{
    double best_error = INFINITY, best_ratio = 2;

    if (kind == TSPK_LADDER_UNIFORM) {
        search_step(s, 0, level, n);
        return;
    }
    for (int i = 0; kind == TSPK_LADDER_GEOMETRIC && i <= 20; i++) {
        const double ratio = 1.15 + 0.05 * i;
        const double error = search_step(s, ratio, level, n);

        if (error < best_error) {
            best_error = error;
            best_ratio = ratio;
        }
    }
    search_step(s, best_ratio, level, n);
}

static void store_both(const double *positive, uint32_t n_positive, const double *negative,
                       uint32_t n_negative, tspk_ladder_values *out)
{
    out->n = 0;
    for (uint32_t i = n_negative; i-- > 0;)
        out->value[out->n++] = -negative[i];
    for (uint32_t i = 0; i < n_positive; i++)
        out->value[out->n++] = positive[i];
}

static void fit_signed(const tspk_histogram *h, uint32_t n_levels, double price,
                       tspk_ladder_values *out)
{
    double level[2 * TSPK_MAX_LEVELS] = {0}, other[2 * TSPK_MAX_LEVELS] = {0};
    double positive_error[2 * TSPK_MAX_LEVELS + 1], negative_error[2 * TSPK_MAX_LEVELS + 1];
    const uint32_t total = 2 * n_levels;
    double best = INFINITY;
    uint32_t n_positive = n_levels;
    side positive = {0}, negative = {0};

    side_add(&positive, h, 1, price);
    side_add(&negative, h, -1, price);
    for (uint32_t n = 0; n <= total; n++) {
        positive_error[n] = lloyd(&positive, level, n);
        negative_error[n] = lloyd(&negative, level, n);
    }
    for (uint32_t n = 0; n <= total; n++)
        if (positive_error[n] + negative_error[total - n] < best) {
            best = positive_error[n] + negative_error[total - n];
            n_positive = n;
        }
    lloyd(&positive, level, n_positive);
    lloyd(&negative, other, total - n_positive);
    store_both(level, n_positive, other, total - n_positive, out);
}

static double mean_square(const tspk_histogram *h)
{
    double mass = 0, square = 0;

    for (int i = 0; i < BINS; i++)
        if (h->weight[i] > 0) {
            mass += h->weight[i];
            square += h->moment[i] * h->moment[i] / h->weight[i];
        }
    return mass > 0 ? square / mass : 0;
}

/* The price over the square of the first levels, those of both signs taken together. */
static double dead_zone_of(const tspk_ladder_values *ladder, double price)
{
    double first[2] = {0, 0};

    for (uint32_t i = 0; i < ladder->n; i++)
        if (ladder->value[i] < 0)
            first[0] = -ladder->value[i];
        else if (first[1] == 0)
            first[1] = ladder->value[i];
    if (first[0] == 0 || first[1] == 0)
        first[0] = first[1] = fmax(first[0], first[1]);
    return first[0] > 0 ? fmin(TSPK_MAX_DEAD_ZONE, price / (first[0] * first[1])) : 0;
}

void tspk_fit_ladder(const tspk_histogram *histogram, tspk_ladder_kind kind, uint32_t n_levels,
                     bool is_one_sided, double price, tspk_ladder_values *ladder_out)
{
    double level[2 * TSPK_MAX_LEVELS] = {0};
    const uint32_t n = is_one_sided ? 2 * n_levels : n_levels;
    const double paid = price * mean_square(histogram);
    side s = {0};

    ladder_out->kind = kind;
    if (kind == TSPK_LADDER_SIGNED) {
        fit_signed(histogram, n_levels, paid, ladder_out);
        ladder_out->dead_zone = dead_zone_of(ladder_out, paid);
        return;
    }
    side_add(&s, histogram, 1, paid);
    if (!is_one_sided)
        side_add(&s, histogram, -1, paid);
    if (kind == TSPK_LADDER_FITTED)
        lloyd(&s, level, n);
    else
        fit_series(&s, kind, level, n);
    store_both(level, n, level, is_one_sided ? 0 : n, ladder_out);
    ladder_out->dead_zone = dead_zone_of(ladder_out, paid);
}
