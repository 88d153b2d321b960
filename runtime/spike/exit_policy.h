/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Exit policies at work: scores of decoded logits, and the choice of a policy net. Pure functions
 * of the logits; the same bytes on every instruction set. Definition: docs/spikefile.md, "Exit".
 */
#ifndef TSPK_RUNTIME_SPIKE_EXIT_POLICY_H
#define TSPK_RUNTIME_SPIKE_EXIT_POLICY_H

#include <stddef.h>

#include "core/exit_policy.h"
#include "core/vecmath.h"

/**
 * How sure the logits are, 0 … 1; the higher the surer. NaN where the logits are not finite.
 * @param kind    CONFIDENCE, ENTROPY or MARGIN
 * @param logits  [n], n >= 1
 * @param scratch [n]
 * @source SEENN (arXiv 2304.01230), section 3.2: confidence; the others: docs/adaptive.md
 */
float tspk_exit_score(const tspk_vecmath *math, tspk_exit_kind kind, float temperature,
                      const float *logits, size_t n, float *scratch);

/**
 * What a policy net sees: log p of the n_in most probable classes, falling.
 * @param scratch [n]
 * @param in_out  [n_in], n_in <= n
 */
void tspk_exit_net_inputs(const tspk_vecmath *math, float temperature, const float *logits,
                          size_t n, uint32_t n_in, float *scratch, float *in_out);

/**
 * The net's probability of stopping after step 1 … n_steps at the latest: its softmax, summed up.
 * @param scratch        [n_hidden]
 * @param cumulative_out [n_steps]
 */
void tspk_exit_net_forward(const tspk_exit_net *net, const float *in, uint32_t n_steps,
                           float *scratch, float *cumulative_out);

/** Floats of scratch that tspk_exit_after() wants for n logits. */
size_t tspk_exit_scratch(const tspk_exit_policy *policy, size_t n);

/**
 * Asks the policy after a step that is not the last one.
 * @param t         the step, from 1
 * @param n_steps   of the operating point
 * @param threshold what stands for the policy's thresholds; negative: the policy's own
 * @param logits    [n] decoded after step t
 * @return the last step of the image as far as is known: t to stop now, n_steps to go on; a net
 *         answers after step 1 for all steps, 1 … n_steps, and is not asked again
 */
uint32_t tspk_exit_after(const tspk_vecmath *math, const tspk_exit_policy *policy, uint32_t t,
                         uint32_t n_steps, float threshold, const float *logits, size_t n,
                         float *scratch);

/** Multiply-accumulates of a decision after step t. */
double tspk_exit_macs(const tspk_exit_policy *policy, uint32_t t, uint32_t n_steps);

#endif
