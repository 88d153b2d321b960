/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/policy_net.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/sort_floats.h"
#include "core/fail.h"
#include "core/rng.h"
#include "runtime/spike/exit_policy.h"

#define N_IN         8u
#define N_HIDDEN     192u
#define N_VISITS     200000u /* answers looked at in training */
#define BATCH        64u
#define RATE         0.01 /* Adam's, falling to 0 */
#define DECAY        1e-3 /* of weights, as a gradient */
#define ENTROPY_GAIN 0.01 /* keeps the distribution from closing before it is right */
#define N_BOUNDS     256u

static const double penalties[] = {2, 4, 1}; /* β */

/* Weights side by side: in [hidden, inputs], bias, out [steps, hidden], bias. */
typedef struct net {
    uint32_t n_in, n_steps;
    size_t n_weights;
    double *weight, *gradient, *mean, *square; /* [n_weights] */
} net;

typedef struct trainer {
    const tspk_exit_record *record;
    net net;
    float *in;    /* [n, n_in] */
    double *unit; /* [n, n_in] the same, mean 0 and deviation 1 */
    double centre[N_IN], spread[N_IN];
    double *block;
} trainer;

static double uniform(tspk_rng *rng)
{
    return (double)(tspk_rng_next(rng) >> 11) * 0x1p-53;
}

static double *out_weights(const net *w, double *base)
{
    return base + (size_t)N_HIDDEN * (w->n_in + 1);
}

static void start(net *w, tspk_rng *rng)
{
    const size_t first = (size_t)N_HIDDEN * w->n_in, second = (size_t)w->n_steps * N_HIDDEN;
    double *const out = out_weights(w, w->weight);

    memset(w->weight, 0, 4 * w->n_weights * sizeof *w->weight);
    for (size_t i = 0; i < first; i++)
        w->weight[i] = (2 * uniform(rng) - 1) / sqrt(w->n_in);
    for (size_t i = 0; i < second; i++)
        out[i] = 0.1 * (2 * uniform(rng) - 1) / sqrt(N_HIDDEN);
}

/* Activations and the distribution over steps. */
static void forward(const net *w, const double *in, double *hidden, double *p)
{
    const double *const bias_in = w->weight + (size_t)N_HIDDEN * w->n_in;
    const double *const out = out_weights(w, w->weight);
    const double *const bias_out = out + (size_t)w->n_steps * N_HIDDEN;
    double largest = -INFINITY, sum = 0;

    for (uint32_t h = 0; h < N_HIDDEN; h++) {
        double z = bias_in[h];

        for (uint32_t i = 0; i < w->n_in; i++)
            z += w->weight[h * w->n_in + i] * in[i];
        hidden[h] = z > 0 ? z : 0;
    }
    for (uint32_t t = 0; t < w->n_steps; t++) {
        p[t] = bias_out[t];
        for (uint32_t h = 0; h < N_HIDDEN; h++)
            p[t] += out[t * N_HIDDEN + h] * hidden[h];
        largest = fmax(largest, p[t]);
    }
    for (uint32_t t = 0; t < w->n_steps; t++)
        sum += p[t] = exp(p[t] - largest);
    for (uint32_t t = 0; t < w->n_steps; t++)
        p[t] /= sum;
}

/* Adds the gradient of the loss, given that before the softmax. */
static void backward(net *w, const double *in, const double *hidden, const double *slope)
{
    const double *const out = out_weights(w, w->weight);
    double *const to_in = w->gradient, *const to_bias = to_in + (size_t)N_HIDDEN * w->n_in;
    double *const to_out = out_weights(w, w->gradient);

    for (uint32_t t = 0; t < w->n_steps; t++) {
        for (uint32_t h = 0; h < N_HIDDEN; h++)
            to_out[t * N_HIDDEN + h] += slope[t] * hidden[h];
        to_out[(size_t)w->n_steps * N_HIDDEN + t] += slope[t];
    }
    for (uint32_t h = 0; h < N_HIDDEN; h++) {
        double back = 0;

        if (!(hidden[h] > 0))
            continue;
        for (uint32_t t = 0; t < w->n_steps; t++)
            back += slope[t] * out[t * N_HIDDEN + h];
        for (uint32_t i = 0; i < w->n_in; i++)
            to_in[h * w->n_in + i] += back * in[i];
        to_bias[h] += back;
    }
}

/* Adam (Kingma and Ba, 2015) with its usual constants. */
static void step_weights(net *w, uint32_t round, double rate)
{
    const double first = 1 - pow(0.9, round), second = 1 - pow(0.999, round);

    for (size_t i = 0; i < w->n_weights; i++) {
        const double g = w->gradient[i] / BATCH + DECAY * w->weight[i];

        w->mean[i] = 0.9 * w->mean[i] + 0.1 * g;
        w->square[i] = 0.999 * w->square[i] + 0.001 * g * g;
        w->weight[i] -= rate * (w->mean[i] / first) / (sqrt(w->square[i] / second) + 1e-8);
        w->gradient[i] = 0;
    }
}

static uint32_t draw(const double *p, uint32_t n, tspk_rng *rng)
{
    double left = uniform(rng);
    uint32_t t = 0;

    while (t + 1 < n && left >= p[t])
        left -= p[t++];
    return t;
}

/* The gradient of -(reward - baseline) log p(drawn) - gain * entropy before the softmax. */
static void policy_slope(const double *p, const double *reward, uint32_t n, uint32_t drawn,
                         double *slope)
{
    double baseline = 0, entropy = 0;

    for (uint32_t t = 0; t < n; t++) {
        baseline += p[t] * reward[t];
        entropy -= p[t] * log(fmax(p[t], 1e-300));
    }
    for (uint32_t t = 0; t < n; t++)
        slope[t] = (reward[drawn] - baseline) * (p[t] - (t == drawn)) +
                   ENTROPY_GAIN * p[t] * (log(fmax(p[t], 1e-300)) + entropy);
}

static void train(trainer *tr, double penalty, uint64_t seed)
{
    const tspk_exit_record *const record = tr->record;
    const uint32_t rounds = N_VISITS / BATCH;
    net *const w = &tr->net;
    tspk_rng rng = {seed};
    double hidden[N_HIDDEN], p[TSPK_MAX_STEPS], reward[TSPK_MAX_STEPS], slope[TSPK_MAX_STEPS];

    start(w, &rng);
    for (uint32_t round = 0; round < rounds; round++) {
        for (uint32_t b = 0; b < BATCH; b++) {
            const size_t i = (size_t)tspk_rng_below(&rng, record->n);
            const double *const in = tr->unit + i * w->n_in;

            for (uint32_t t = 0; t < w->n_steps; t++)
                reward[t] = record->agrees[i * record->n_steps + t] ? ldexp(1, -(int)t) : -penalty;
            forward(w, in, hidden, p);
            policy_slope(p, reward, w->n_steps, draw(p, w->n_steps, &rng), slope);
            backward(w, in, hidden, slope);
        }
        step_weights(w, round + 1, RATE * (1 - (double)round / rounds));
    }
}

/* --- inputs --- */

static void standardise(trainer *tr)
{
    const size_t n = tr->record->n;
    const uint32_t n_in = tr->net.n_in;

    for (uint32_t k = 0; k < n_in; k++) {
        double sum = 0, square = 0;

        for (size_t i = 0; i < n; i++)
            sum += (double)tr->in[i * n_in + k];
        tr->centre[k] = sum / (double)n;
        for (size_t i = 0; i < n; i++) {
            const double d = (double)tr->in[i * n_in + k] - tr->centre[k];

            square += d * d;
        }
        tr->spread[k] = sqrt(square / (double)n) + 1e-3;
        for (size_t i = 0; i < n; i++)
            tr->unit[i * n_in + k] = ((double)tr->in[i * n_in + k] - tr->centre[k]) / tr->spread[k];
    }
}

static tspk_status prepare(trainer *tr, const tspk_exit_record *record, uint32_t n_steps,
                           tspk_error *err)
{
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    const uint32_t n_in = record->classes < N_IN ? (uint32_t)record->classes : N_IN;
    net *const w = &tr->net;
    float *const scratch = malloc(record->classes * sizeof *scratch);

    tr->record = record;
    w->n_in = n_in;
    w->n_steps = n_steps;
    w->n_weights = (size_t)N_HIDDEN * (n_in + 1) + (size_t)n_steps * (N_HIDDEN + 1);
    tr->block = malloc(4 * w->n_weights * sizeof *tr->block);
    tr->in = malloc(record->n * n_in * sizeof *tr->in);
    tr->unit = malloc(record->n * n_in * sizeof *tr->unit);
    if (!tr->block || !tr->in || !tr->unit || !scratch) {
        free(scratch);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to train a policy net");
    }
    w->weight = tr->block;
    w->gradient = w->weight + w->n_weights;
    w->mean = w->gradient + w->n_weights;
    w->square = w->mean + w->n_weights;
    for (size_t i = 0; i < record->n; i++)
        tspk_exit_net_inputs(math, 1.0f, record->logits + i * record->n_steps * record->classes,
                             record->classes, n_in, scratch, tr->in + i * n_in);
    free(scratch);
    standardise(tr);
    return TSPK_OK;
}

static void trainer_done(trainer *tr)
{
    free(tr->block);
    free(tr->in);
    free(tr->unit);
}

/* The trained weights for inputs as they come. */
static void unfold(const trainer *tr, tspk_exit_net *to)
{
    const net *const w = &tr->net;
    const double *const bias_in = w->weight + (size_t)N_HIDDEN * w->n_in;
    const double *const out = out_weights(w, w->weight);

    for (uint32_t h = 0; h < N_HIDDEN; h++) {
        double bias = bias_in[h];

        for (uint32_t i = 0; i < w->n_in; i++) {
            const double weight = w->weight[h * w->n_in + i] / tr->spread[i];

            to->weight_in[h * w->n_in + i] = (float)weight;
            bias -= weight * tr->centre[i];
        }
        to->bias_in[h] = (float)bias;
    }
    for (uint32_t t = 0; t < w->n_steps; t++) {
        for (uint32_t h = 0; h < N_HIDDEN; h++)
            to->weight_out[t * N_HIDDEN + h] = (float)out[t * N_HIDDEN + h];
        to->bias_out[t] = (float)out[(size_t)w->n_steps * N_HIDDEN + t];
    }
}

/* --- threshold --- */

static void stops_of(const float *cumulative, uint32_t n_steps, size_t n, float threshold,
                     uint32_t *stop)
{
    for (size_t i = 0; i < n; i++) {
        uint32_t t = 1;

        while (t < n_steps && !(cumulative[i * n_steps + t - 1] >= threshold))
            t++;
        stop[i] = t;
    }
}

/* Of thresholds at which some answer changes its steps the one of fewest mean steps in the target.
 */
static tspk_status fit_threshold(const trainer *tr, const tspk_exit_chances *chances,
                                 const tspk_exit_net *trained, const tspk_exit_target *target,
                                 float *threshold_out, tspk_exit_outcome *outcome_out,
                                 tspk_error *err)
{
    const size_t n = tr->record->n;
    const uint32_t n_steps = tr->net.n_steps;
    float *const cumulative = malloc(n * n_steps * sizeof *cumulative);
    float *const sorted = malloc(n * n_steps * sizeof *sorted);
    tspk_ranked *const work = malloc(2 * n * n_steps * sizeof *work);
    uint32_t *const stop = malloc(n * sizeof *stop);
    float hidden[N_HIDDEN];
    tspk_status status = TSPK_OK;

    *threshold_out = 2.0f;
    *outcome_out = tspk_exit_fixed(chances, n_steps, target);
    if (cumulative && sorted && work && stop) {
        const size_t n_bounds = n * (n_steps - 1);

        for (size_t i = 0; i < n; i++) {
            tspk_exit_net_forward(trained, tr->in + i * tr->net.n_in, n_steps, hidden,
                                  cumulative + i * n_steps);
            memcpy(sorted + i * (n_steps - 1), cumulative + i * n_steps,
                   (n_steps - 1) * sizeof *sorted);
        }
        tspk_sort_floats(sorted, work, n_bounds);
        for (uint32_t b = 0; b < N_BOUNDS; b++) {
            const double share = pow((double)b / N_BOUNDS, 1.5);
            const float threshold = sorted[(size_t)(share * (double)n_bounds)];
            tspk_exit_outcome found;

            stops_of(cumulative, n_steps, n, threshold, stop);
            found = tspk_exit_outcome_of(chances, stop, target);
            if (!found.is_met || found.mean_steps >= outcome_out->mean_steps)
                continue;
            *outcome_out = found;
            *threshold_out = threshold;
        }
    } else {
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to fit a policy net's threshold");
    }
    free(cumulative);
    free(sorted);
    free(work);
    free(stop);
    return status;
}

static tspk_status make_policy(const trainer *tr, tspk_arena *arena, tspk_exit_policy *policy_out,
                               tspk_error *err)
{
    const net *const w = &tr->net;
    tspk_exit_policy policy = {.kind = TSPK_EXIT_NET,
                               .temperature = tspk_arena_array(arena, 1, sizeof(float)),
                               .threshold = tspk_arena_array(arena, 1, sizeof(float))};
    tspk_exit_net *const to = &policy.net;

    to->n_in = w->n_in;
    to->n_hidden = N_HIDDEN;
    to->weight_in = tspk_arena_array(arena, (size_t)N_HIDDEN * w->n_in, sizeof(float));
    to->bias_in = tspk_arena_array(arena, N_HIDDEN, sizeof(float));
    to->weight_out = tspk_arena_array(arena, (size_t)w->n_steps * N_HIDDEN, sizeof(float));
    to->bias_out = tspk_arena_array(arena, w->n_steps, sizeof(float));
    if (!policy.temperature || !policy.threshold || !to->weight_in || !to->bias_in ||
        !to->weight_out || !to->bias_out)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a policy net");
    policy.temperature[0] = 1.0f;
    *policy_out = policy;
    return TSPK_OK;
}

tspk_status tspk_policy_net_fit(const tspk_exit_chances *chances, uint32_t n_steps,
                                const tspk_exit_target *target, uint64_t seed, tspk_arena *arena,
                                tspk_exit_policy *policy_out, tspk_exit_outcome *outcome_out,
                                tspk_error *err)
{
    trainer tr = {0};
    bool has_one = false;
    tspk_status status = prepare(&tr, chances->record, n_steps, err);

    for (size_t i = 0; i < sizeof penalties / sizeof *penalties && status == TSPK_OK; i++) {
        tspk_exit_policy policy;
        tspk_exit_outcome outcome;

        train(&tr, penalties[i], seed);
        status = make_policy(&tr, arena, &policy, err);
        if (status != TSPK_OK)
            break;
        unfold(&tr, &policy.net);
        status = fit_threshold(&tr, chances, &policy.net, target, policy.threshold, &outcome, err);
        if (status != TSPK_OK || (has_one && outcome.mean_steps >= outcome_out->mean_steps))
            continue;
        has_one = true;
        *policy_out = policy;
        *outcome_out = outcome;
    }
    trainer_done(&tr);
    return status;
}
