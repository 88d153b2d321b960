/* SPDX-License-Identifier: Apache-2.0 */
/* Class scores: the winner, the ranks, the divergence of two networks' answers. */
#ifndef TSPK_CORE_LOGITS_H
#define TSPK_CORE_LOGITS_H

#include <stdbool.h>
#include <stddef.h>

/** The largest logit; the first of equal ones; 0 when the first is not a number. */
size_t tspk_find_largest(const float *logits, size_t n);

/** Is `label` among the k largest logits? Of equal ones the lower index stands first. */
bool tspk_is_among_top(const float *logits, size_t n, size_t label, size_t k);

/** KL(softmax(p) ‖ softmax(q)) [nats], in double, ≥ 0. */
double tspk_kl_of_logits(const float *p, const float *q, size_t n);

#endif
