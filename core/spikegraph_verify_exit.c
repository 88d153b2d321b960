/* SPDX-License-Identifier: Apache-2.0 */
/* The exit policies of an operating point. */
#include "core/fail.h"
#include "core/spikegraph_verify.h"

static tspk_status verify_weights(const char *what, const float *weight, size_t n, tspk_error *err)
{
    if (!weight)
        return TSPK_FAIL(err, TSPK_FORMAT, "the policy net has no %s", what);
    for (size_t i = 0; i < n; i++)
        if (!tspk_is_finite(weight[i]))
            return TSPK_FAIL(err, TSPK_RANGE, "%s of the policy net: element %zu is %g", what, i,
                             (double)weight[i]);
    return TSPK_OK;
}

static tspk_status verify_net(const tspk_exit_net *net, uint32_t n_steps, size_t n_outputs,
                              tspk_error *err)
{
    if (!net->n_in || net->n_in > TSPK_MAX_EXIT_INPUTS || net->n_in > n_outputs)
        return TSPK_FAIL(
            err, TSPK_LIMIT, "a policy net with %u inputs, expected 1 to %zu", net->n_in,
            n_outputs < TSPK_MAX_EXIT_INPUTS ? n_outputs : (size_t)TSPK_MAX_EXIT_INPUTS);
    if (!net->n_hidden || net->n_hidden > TSPK_MAX_EXIT_HIDDEN)
        return TSPK_FAIL(err, TSPK_LIMIT, "a policy net with %u hidden units, expected 1 to %u",
                         net->n_hidden, TSPK_MAX_EXIT_HIDDEN);
    TSPK_TRY(verify_weights("weight_in", net->weight_in, (size_t)net->n_hidden * net->n_in, err));
    TSPK_TRY(verify_weights("bias_in", net->bias_in, net->n_hidden, err));
    TSPK_TRY(verify_weights("weight_out", net->weight_out, (size_t)n_steps * net->n_hidden, err));
    return verify_weights("bias_out", net->bias_out, n_steps, err);
}

static tspk_status verify_policy(const tspk_exit_policy *policy, uint32_t n_steps, size_t n_outputs,
                                 tspk_error *err)
{
    if (policy->kind <= TSPK_EXIT_NONE || policy->kind >= TSPK_EXIT_KINDS)
        return TSPK_FAIL(err, TSPK_FORMAT, "exit policy %u is unknown", (unsigned)policy->kind);
    if (n_steps < 2)
        return TSPK_FAIL(err, TSPK_FORMAT, "an exit policy, but %u step", n_steps);
    if (!policy->temperature || !policy->threshold)
        return TSPK_FAIL(err, TSPK_FORMAT, "%s: temperatures or thresholds are missing",
                         tspk_exit_kind_name(policy->kind));
    for (uint32_t t = 0; t < tspk_exit_decisions(policy->kind, n_steps); t++)
        if (!tspk_is_positive(policy->temperature[t]) || !tspk_is_finite(policy->threshold[t]))
            return TSPK_FAIL(err, TSPK_RANGE, "%s, step %u: temperature %g, threshold %g",
                             tspk_exit_kind_name(policy->kind), t + 1,
                             (double)policy->temperature[t], (double)policy->threshold[t]);
    return policy->kind == TSPK_EXIT_NET ? verify_net(&policy->net, n_steps, n_outputs, err)
                                         : TSPK_OK;
}

tspk_status tspk_verify_exits(const tspk_spikegraph *spikes, const tspk_point *point,
                              tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;
    const size_t n_outputs = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    bool is_there[TSPK_EXIT_KINDS] = {[TSPK_EXIT_NONE] = true};

    if (point->n_exits >= TSPK_EXIT_KINDS || (point->n_exits && !point->exit))
        return TSPK_FAIL(err, TSPK_LIMIT, "point \"%.64s\": %u exit policies, at most %d",
                         point->name, point->n_exits, TSPK_EXIT_KINDS - 1);
    for (uint32_t i = 0; i < point->n_exits; i++) {
        TSPK_TRY(tspk_at_tensor(err, verify_policy(&point->exit[i], point->n_steps, n_outputs, err),
                                point->name));
        if (is_there[point->exit[i].kind])
            return TSPK_FAIL(err, TSPK_FORMAT, "point \"%.64s\": two policies on %s", point->name,
                             tspk_exit_kind_name(point->exit[i].kind));
        is_there[point->exit[i].kind] = true;
    }
    if (point->exit_kind >= TSPK_EXIT_KINDS || !is_there[point->exit_kind])
        return TSPK_FAIL(err, TSPK_FORMAT, "point \"%.64s\": it has no exit policy %u", point->name,
                         (unsigned)point->exit_kind);
    return TSPK_OK;
}
