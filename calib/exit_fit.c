/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/exit_fit.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/sort_floats.h"
#include "core/fail.h"
#include "runtime/spike/exit_policy.h"

#define N_SCORES   3 /* CONFIDENCE, ENTROPY, MARGIN */
#define LEAST_ODDS 1e-4
#define NEWTON     30
#define N_BOUNDS   64u /* thresholds tried a step */
#define SWEEPS     4
#define PRICES     30 /* of a step */
#define HALVINGS   8
#define NEVER      2.0f
#define SLACK      1e-3 /* share of answers that stopping may cost where nothing is enough */

static const float temperatures[] = {0.5f, 0.7f, 1.0f, 1.4f, 2.0f};

/* --- chances --- */

static double odds(float score)
{
    const double s = fmin(fmax((double)score, LEAST_ODDS), 1 - LEAST_ODDS);

    return log(s / (1 - s));
}

typedef struct curve {
    double slope, offset, log_likelihood;
} curve;

static double chance_of(const curve *c, float score)
{
    return 1 / (1 + exp(-(c->slope * odds(score) + c->offset)));
}

/* Logistic regression by Newton's method; a weak prior holds the slope at 1. */
static curve fit_curve(const float *score, const uint8_t *agrees, size_t stride, size_t n)
{
    const double prior = 0.5;
    curve c = {.slope = 1, .offset = 2};

    for (int round = 0; round < NEWTON; round++) {
        double g0 = prior * (c.slope - 1), g1 = 0, h00 = prior, h01 = 0, h11 = 1e-6, det;

        for (size_t i = 0; i < n; i++) {
            const double x = odds(score[i]), p = chance_of(&c, score[i]);
            const double r = p - agrees[i * stride], w = p * (1 - p);

            g0 += r * x;
            g1 += r;
            h00 += w * x * x;
            h01 += w * x;
            h11 += w;
        }
        det = h00 * h11 - h01 * h01;
        c.slope -= fmin(fmax((h11 * g0 - h01 * g1) / det, -1), 1);
        c.offset -= fmin(fmax((h00 * g1 - h01 * g0) / det, -1), 1);
    }
    for (size_t i = 0; i < n; i++) {
        const double p = fmin(fmax(chance_of(&c, score[i]), 1e-9), 1 - 1e-9);

        c.log_likelihood += log(agrees[i * stride] ? p : 1 - p);
    }
    return c;
}

/* Scores of step t under the likeliest temperature; adds a third of the chances. */
static void correct_step(tspk_exit_chances *chances, tspk_exit_kind kind, uint32_t t, float *score,
                         float *scratch)
{
    const tspk_exit_record *const record = chances->record;
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    const size_t n = record->n, steps = record->n_steps;
    float *const kept = chances->score[kind] + t * n;
    curve best = {.log_likelihood = -INFINITY};

    for (size_t k = 0; k < sizeof temperatures / sizeof *temperatures; k++) {
        curve c;

        for (size_t i = 0; i < n; i++) {
            const float found = tspk_exit_score(math, kind, temperatures[k],
                                                record->logits + (i * steps + t) * record->classes,
                                                record->classes, scratch);

            score[i] = isfinite(found) ? found : 0.0f; /* such an answer does not stop */
        }
        c = fit_curve(score, record->agrees + t, steps, n);
        if (!(c.log_likelihood > best.log_likelihood))
            continue;
        best = c;
        chances->temperature[kind][t] = temperatures[k];
        memcpy(kept, score, n * sizeof *kept);
    }
    for (size_t i = 0; i < n; i++)
        chances->chance[t * n + i] += (float)(chance_of(&best, kept[i]) / N_SCORES);
}

tspk_status tspk_exit_chances_new(const tspk_exit_record *record, tspk_exit_chances *chances_out,
                                  tspk_error *err)
{
    const size_t all = record->n * record->n_steps;
    float *const score = malloc(record->n * sizeof *score);
    float *const scratch = malloc(record->classes * sizeof *scratch);
    tspk_exit_chances c = {.record = record,
                           .chance = calloc(all, sizeof *c.chance),
                           .n_views = calloc(record->n_images, sizeof *c.n_views),
                           .agreed = calloc(record->n_images, sizeof *c.agreed)};
    bool has_memory = score && scratch && c.chance && c.n_views && c.agreed;

    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_MARGIN; kind++) {
        c.score[kind] = malloc(all * sizeof *c.score[kind]);
        has_memory &= c.score[kind] != NULL;
    }
    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; has_memory && kind <= TSPK_EXIT_MARGIN; kind++)
        for (uint32_t t = 0; t < record->n_steps; t++)
            correct_step(&c, kind, t, score, scratch);
    for (size_t i = 0; has_memory && i < record->n; i++)
        c.n_views[record->image[i]]++;
    free(score);
    free(scratch);
    if (!has_memory) {
        tspk_exit_chances_done(&c);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the scores of %zu answers", record->n);
    }
    *chances_out = c;
    return TSPK_OK;
}

void tspk_exit_chances_done(tspk_exit_chances *chances)
{
    for (int kind = 0; kind < TSPK_EXIT_KINDS; kind++)
        free(chances->score[kind]);
    free(chances->chance);
    free(chances->n_views);
    free(chances->agreed);
    *chances = (tspk_exit_chances){0};
}

/* --- outcomes --- */

/* Standard error of the share of agreeing answers, over the images' own shares, and not less than
 * that of as many independent answers with this chance. */
static double error_of(const tspk_exit_chances *chances, double agreement)
{
    const tspk_exit_record *const record = chances->record;
    const double n = (double)record->n_images;
    double mean = 0, square = 0;

    for (size_t i = 0; i < record->n_images; i++)
        mean += chances->agreed[i] / chances->n_views[i] / n;
    for (size_t i = 0; i < record->n_images; i++) {
        const double d = chances->agreed[i] / chances->n_views[i] - mean;

        square += d * d;
    }
    return sqrt(fmax(square / (n * n), agreement * (1 - agreement) / (double)record->n));
}

/* Answer i stops after stop[i] steps, or after n_steps where `stop` is NULL. */
static tspk_exit_outcome outcome_of(const tspk_exit_chances *chances, const uint32_t *stop,
                                    uint32_t n_steps, const tspk_exit_target *target)
{
    const tspk_exit_record *const record = chances->record;
    const double n = (double)record->n;
    tspk_exit_outcome sums = {0};

    memset(chances->agreed, 0, record->n_images * sizeof *chances->agreed);
    for (size_t i = 0; i < record->n; i++) {
        const size_t t = stop ? stop[i] : n_steps, at = i * record->n_steps + t - 1;

        chances->agreed[record->image[i]] += record->agrees[at];
        sums.agreement += (double)chances->chance[(t - 1) * record->n + i];
        sums.lost += record->lost[at];
        sums.kl += record->kl[at];
        sums.mean_steps += (double)t;
        sums.energy += record->energy[at];
    }
    sums.agreement /= n;
    sums.lost /= n;
    sums.kl /= n;
    sums.mean_steps /= n;
    sums.energy /= n;
    sums.error = error_of(chances, sums.agreement);
    sums.is_met = sums.agreement >= target->agreement &&
                  sums.agreement - sums.error >= target->sure_agreement;
    return sums;
}

tspk_exit_outcome tspk_exit_outcome_of(const tspk_exit_chances *chances, const uint32_t *stop,
                                       const tspk_exit_target *target)
{
    return outcome_of(chances, stop, 0, target);
}

tspk_exit_outcome tspk_exit_fixed(const tspk_exit_chances *chances, uint32_t n_steps,
                                  const tspk_exit_target *target)
{
    return outcome_of(chances, NULL, n_steps, target);
}

tspk_exit_target tspk_exit_reachable(const tspk_exit_chances *chances, uint32_t n_steps,
                                     const tspk_exit_target *target)
{
    const tspk_exit_outcome all = tspk_exit_fixed(chances, n_steps, target);

    return (tspk_exit_target){.agreement = fmin(target->agreement, all.agreement - SLACK),
                              .sure_agreement =
                                  fmin(target->sure_agreement, all.agreement - all.error - SLACK)};
}

/* --- thresholds --- */

typedef struct search {
    const tspk_exit_chances *chances;
    const float *score; /* [steps, n] */
    uint32_t n_steps;
    float bound[TSPK_MAX_STEPS][N_BOUNDS + 1]; /* rising; NEVER last */
    float threshold[TSPK_MAX_STEPS];
    uint32_t *stop; /* [n] */
} search;

static void find_bounds(search *s, float *sorted, tspk_ranked *work)
{
    const size_t n = s->chances->record->n;

    for (uint32_t t = 0; t + 1 < s->n_steps; t++) {
        memcpy(sorted, s->score + t * n, n * sizeof *sorted);
        tspk_sort_floats(sorted, work, n);
        /* closer where scores are low: few images should go on */
        for (uint32_t b = 0; b < N_BOUNDS; b++) {
            const double share = pow((double)b / N_BOUNDS, 1.5);

            s->bound[t][b] = b ? sorted[(size_t)(share * (double)n)] : 0.0f;
        }
        s->bound[t][N_BOUNDS] = NEVER;
        s->threshold[t] = NEVER;
    }
}

static void find_stops(search *s)
{
    const size_t n = s->chances->record->n;

    for (size_t i = 0; i < n; i++) {
        uint32_t t = 1;

        while (t < s->n_steps && !(s->score[(t - 1) * n + i] >= s->threshold[t - 1]))
            t++;
        s->stop[i] = t;
    }
}

/* Mean chance less the price of the steps. */
static double value_of(search *s, double price)
{
    const size_t n = s->chances->record->n;
    double sum = 0;

    find_stops(s);
    for (size_t i = 0; i < n; i++)
        sum += (double)s->chances->chance[(s->stop[i] - 1) * n + i] - price * s->stop[i];
    return sum / (double)n;
}

/* The best thresholds under a price, one step's at a time. */
static void descend(search *s, double price)
{
    double best = value_of(s, price);

    for (int sweep = 0; sweep < SWEEPS; sweep++) {
        const double before = best;

        for (uint32_t t = 0; t + 1 < s->n_steps; t++) {
            float kept = s->threshold[t];

            for (uint32_t b = 0; b <= N_BOUNDS; b++) {
                double value;

                s->threshold[t] = s->bound[t][b];
                value = value_of(s, price);
                if (value > best) {
                    best = value;
                    kept = s->threshold[t];
                }
            }
            s->threshold[t] = kept;
        }
        if (!(best > before))
            return;
    }
}

/* The best thresholds under a price; kept where they are enough and take fewer steps. */
static bool try_price(search *s, double price, const tspk_exit_target *target, float *threshold_out,
                      tspk_exit_outcome *best)
{
    tspk_exit_outcome found;

    descend(s, price);
    find_stops(s);
    found = tspk_exit_outcome_of(s->chances, s->stop, target);
    if (found.is_met && found.mean_steps < best->mean_steps) {
        *best = found;
        memcpy(threshold_out, s->threshold, (s->n_steps - 1) * sizeof *threshold_out);
    }
    return found.is_met;
}

/* A rising price of a step, in chance of agreement, until the target is missed; then between the
 * last two. */
static void search_prices(search *s, const tspk_exit_target *target, float *threshold_out,
                          tspk_exit_outcome *outcome_out)
{
    double low = -5, high = 0; /* powers of ten */

    *outcome_out = tspk_exit_fixed(s->chances, s->n_steps, target);
    for (uint32_t t = 0; t + 1 < s->n_steps; t++)
        threshold_out[t] = NEVER;
    for (int i = 0; i < PRICES; i++) {
        const double power = -5 + 5.0 * i / PRICES;

        if (!try_price(s, pow(10, power), target, threshold_out, outcome_out)) {
            high = power;
            break;
        }
        low = power;
    }
    for (int i = 0; i < HALVINGS; i++) {
        const double power = 0.5 * (low + high);

        if (try_price(s, pow(10, power), target, threshold_out, outcome_out))
            low = power;
        else
            high = power;
    }
}

tspk_status tspk_exit_fit(const tspk_exit_chances *chances, tspk_exit_kind kind, uint32_t n_steps,
                          const tspk_exit_target *target, tspk_arena *arena,
                          tspk_exit_policy *policy_out, tspk_exit_outcome *outcome_out,
                          tspk_error *err)
{
    const size_t n = chances->record->n;
    search *const s = calloc(1, sizeof *s);
    float *const sorted = malloc(n * sizeof *sorted);
    tspk_ranked *const work = malloc(2 * n * sizeof *work);
    float *const temperature = tspk_arena_array(arena, n_steps, sizeof *temperature);
    float *const threshold = tspk_arena_array(arena, n_steps, sizeof *threshold);
    tspk_status status = TSPK_OK;

    if (s)
        s->stop = malloc(n * sizeof *s->stop);
    if (s && s->stop && sorted && work && temperature && threshold) {
        s->chances = chances;
        s->score = chances->score[kind];
        s->n_steps = n_steps;
        find_bounds(s, sorted, work);
        search_prices(s, target, threshold, outcome_out);
        memcpy(temperature, chances->temperature[kind], (n_steps - 1) * sizeof *temperature);
        *policy_out =
            (tspk_exit_policy){.kind = kind, .temperature = temperature, .threshold = threshold};
    } else {
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to fit an exit policy");
    }
    if (s)
        free(s->stop);
    free(s);
    free(sorted);
    free(work);
    return status;
}
