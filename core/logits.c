/* SPDX-License-Identifier: Apache-2.0 */
#include "core/logits.h"

#include <math.h>

size_t tspk_find_largest(const float *logits, size_t n)
{
    size_t best = 0;

    for (size_t i = 1; i < n; i++)
        if (logits[i] > logits[best])
            best = i;
    return best;
}

bool tspk_is_among_top(const float *logits, size_t n, size_t label, size_t k)
{
    size_t ahead = 0;

    if (label >= n)
        return false;
    for (size_t i = 0; i < n; i++)
        ahead += logits[i] > logits[label] || (logits[i] == logits[label] && i < label);
    return ahead < k;
}

/* log Σ exp(logit). */
static double log_sum_exp(const float *logits, size_t n)
{
    const double largest = (double)logits[tspk_find_largest(logits, n)];
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += exp((double)logits[i] - largest);
    return largest + log(sum);
}

double tspk_kl_of_logits(const float *p, const float *q, size_t n)
{
    const double norm_p = log_sum_exp(p, n), norm_q = log_sum_exp(q, n);
    double kl = 0;

    for (size_t i = 0; i < n; i++) {
        const double log_p = (double)p[i] - norm_p, log_q = (double)q[i] - norm_q;

        kl += exp(log_p) * (log_p - log_q);
    }
    return kl < 0 ? 0 : kl; /* rounding can leave less than nothing */
}
