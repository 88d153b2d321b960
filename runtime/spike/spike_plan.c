/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/spike_plan.h"

#include "core/fail.h"

static tspk_status check_graph(const tspk_spikegraph *spikes, uint32_t point, uint32_t steps,
                               tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;

    if (graph->batch != 1 || graph->n_inputs != 1 || !graph->n_outputs)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "batch %lld, %u inputs, %u outputs; a session takes one image a run",
                         (long long)graph->batch, graph->n_inputs, graph->n_outputs);
    if (graph->value[graph->input[0]].dtype != TSPK_DTYPE_F32 ||
        graph->value[graph->output[0]].dtype != TSPK_DTYPE_F32)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "input %s and output %s, expected float32",
                         tspk_dtype_name(graph->value[graph->input[0]].dtype),
                         tspk_dtype_name(graph->value[graph->output[0]].dtype));
    if (point >= spikes->n_points)
        return TSPK_FAIL(err, TSPK_RANGE, "operating point %u of %u", point, spikes->n_points);
    if (steps > spikes->point[point].n_steps)
        return TSPK_FAIL(err, TSPK_RANGE, "%u steps, but the spike graph was made for %u", steps,
                         spikes->point[point].n_steps);
    return TSPK_OK;
}

tspk_status tspk_spike_plan_init(const tspk_spikegraph *spikes, uint32_t point, uint32_t steps,
                                 uint32_t pass, float refine_share, const tspk_kernels *kernels,
                                 const tspk_row_kernels *row_kernels, const tspk_vecmath *math,
                                 tspk_spike_plan *plan_out, tspk_error *err)
{
    tspk_spike_plan *const plan = plan_out;

    TSPK_TRY(check_graph(spikes, point, steps, err));
    plan->spikes = spikes;
    plan->graph = spikes->graph;
    plan->point = &spikes->point[point];
    plan->kernels = kernels;
    plan->row_kernels = row_kernels;
    plan->math = math;
    plan->steps = steps ? steps : plan->point->n_steps;
    plan->refine_share = refine_share;
    plan->pass = pass && pass < plan->steps ? pass : plan->steps;
    plan->n_classes = spikes->n_classes;
    plan->arena = tspk_arena_new(0);
    if (plan->arena) {
        plan->site = tspk_arena_array(plan->arena, spikes->n_sites, sizeof *plan->site);
        plan->linear = tspk_arena_array(plan->arena, spikes->n_linears, sizeof *plan->linear);
        plan->attention =
            tspk_arena_array(plan->arena, spikes->n_attentions, sizeof *plan->attention);
        plan->node = tspk_arena_array(plan->arena, plan->graph->n_nodes, sizeof *plan->node);
    }
    if (!plan->site || !plan->linear || !plan->attention || !plan->node)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
    tspk_plan_folds(plan);
    TSPK_TRY(tspk_plan_sites(plan, err));
    TSPK_TRY(tspk_plan_weights(plan, err));
    TSPK_TRY(tspk_plan_segments(plan, err));
    TSPK_TRY(tspk_plan_tokens(plan, err));
    TSPK_TRY(tspk_plan_layout(plan, err));
    return tspk_plan_energy(plan, err);
}

void tspk_spike_plan_done(tspk_spike_plan *plan)
{
    tspk_arena_free(plan->arena);
    plan->arena = NULL;
}
