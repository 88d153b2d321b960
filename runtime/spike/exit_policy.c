/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/exit_policy.h"

#include <math.h>
#include <string.h>

#include "core/limits.h"
#include "core/logits.h"
#include "core/mathfun.h"

/* x = (logits - largest) / temperature, e = exp(x); returns Σ e. x and e may be one array. */
static float shift_and_sum(const tspk_vecmath *math, float temperature, const float *logits,
                           size_t n, float *e)
{
    const float largest = math->max(n, logits), factor = 1.0f / temperature;

    for (size_t i = 0; i < n; i++)
        e[i] = (logits[i] - largest) * factor;
    math->exp(n, e, e);
    return math->sum(n, e);
}

/* The largest but for one that stands at `except`. */
static float second_largest(const float *e, size_t n, size_t except)
{
    float second = 0.0f;

    for (size_t i = 0; i < n; i++)
        if (i != except && e[i] > second)
            second = e[i];
    return second;
}

static float entropy_score(const tspk_vecmath *math, float temperature, const float *logits,
                           size_t n, float sum, float *e)
{
    const float largest = math->max(n, logits), factor = 1.0f / temperature;
    float entropy;

    for (size_t i = 0; i < n; i++)
        e[i] = e[i] > 0.0f ? e[i] * ((logits[i] - largest) * factor) : 0.0f;
    entropy = tspk_logf(sum) - math->sum(n, e) / sum;
    return 1.0f - entropy / tspk_logf((float)n);
}

float tspk_exit_score(const tspk_vecmath *math, tspk_exit_kind kind, float temperature,
                      const float *logits, size_t n, float *scratch)
{
    const float sum = shift_and_sum(math, temperature, logits, n, scratch);

    if (kind == TSPK_EXIT_CONFIDENCE || n < 2)
        return 1.0f / sum;
    if (kind == TSPK_EXIT_MARGIN)
        return (1.0f - second_largest(scratch, n, tspk_find_largest(logits, n))) / sum;
    return entropy_score(math, temperature, logits, n, sum, scratch);
}

void tspk_exit_net_inputs(const tspk_vecmath *math, float temperature, const float *logits,
                          size_t n, uint32_t n_in, float *scratch, float *in_out)
{
    const float log_sum = tspk_logf(shift_and_sum(math, temperature, logits, n, scratch));
    const float largest = math->max(n, logits), factor = 1.0f / temperature;
    uint32_t kept = 0;

    /* insertion into the n_in largest so far */
    for (size_t i = 0; i < n; i++) {
        const float x = (logits[i] - largest) * factor - log_sum;
        uint32_t at = kept < n_in ? kept : n_in - 1;

        if (kept == n_in && !(x > in_out[at]))
            continue;
        kept += kept < n_in;
        for (; at && x > in_out[at - 1]; at--)
            in_out[at] = in_out[at - 1];
        in_out[at] = x;
    }
}

void tspk_exit_net_forward(const tspk_exit_net *net, const float *in, uint32_t n_steps,
                           float *scratch, float *cumulative_out)
{
    float largest = -INFINITY, sum = 0.0f, running = 0.0f;

    for (uint32_t h = 0; h < net->n_hidden; h++) {
        const float *const weight = net->weight_in + (size_t)h * net->n_in;
        float z = net->bias_in[h];

        for (uint32_t i = 0; i < net->n_in; i++)
            z = fmaf(weight[i], in[i], z);
        scratch[h] = z > 0.0f ? z : 0.0f;
    }
    for (uint32_t t = 0; t < n_steps; t++) {
        const float *const weight = net->weight_out + (size_t)t * net->n_hidden;
        float z = net->bias_out[t];

        for (uint32_t h = 0; h < net->n_hidden; h++)
            z = fmaf(weight[h], scratch[h], z);
        cumulative_out[t] = z;
        largest = z > largest ? z : largest;
    }
    for (uint32_t t = 0; t < n_steps; t++) {
        cumulative_out[t] = tspk_expf(cumulative_out[t] - largest);
        sum += cumulative_out[t];
    }
    for (uint32_t t = 0; t < n_steps; t++) {
        running += cumulative_out[t];
        cumulative_out[t] = running / sum;
    }
}

size_t tspk_exit_scratch(const tspk_exit_policy *policy, size_t n)
{
    return n + policy->net.n_in + policy->net.n_hidden;
}

uint32_t tspk_exit_after(const tspk_vecmath *math, const tspk_exit_policy *policy, uint32_t t,
                         uint32_t n_steps, float threshold, const float *logits, size_t n,
                         float *scratch)
{
    const uint32_t at = policy->kind == TSPK_EXIT_NET ? 0 : t - 1;
    const float bound = threshold < 0.0f ? policy->threshold[at] : threshold;
    float *const in = scratch + n, *const hidden = in + policy->net.n_in;
    float cumulative[TSPK_MAX_STEPS];
    uint32_t chosen = 1;

    if (policy->kind != TSPK_EXIT_NET)
        return tspk_exit_score(math, policy->kind, policy->temperature[at], logits, n, scratch) >=
                       bound
                   ? t
                   : n_steps;
    if (t > 1)
        return n_steps;
    tspk_exit_net_inputs(math, policy->temperature[0], logits, n, policy->net.n_in, scratch, in);
    tspk_exit_net_forward(&policy->net, in, n_steps, hidden, cumulative);
    while (chosen < n_steps && !(cumulative[chosen - 1] >= bound))
        chosen++;
    return chosen;
}

double tspk_exit_macs(const tspk_exit_policy *policy, uint32_t t, uint32_t n_steps)
{
    if (policy->kind != TSPK_EXIT_NET || t > 1)
        return 0;
    return (double)policy->net.n_hidden * (policy->net.n_in + n_steps);
}
