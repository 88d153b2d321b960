/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the graph: one pass of one image. */
#include "runtime/spike/spike_exec.h"

#include "core/fail.h"
#include "runtime/ann/op_eval.h"
#include "runtime/spike/token_rows.h"

void *tspk_run_value(const tspk_spike_run *run, tspk_value_id id, uint32_t t)
{
    const tspk_spike_plan *const plan = run->plan;
    const tspk_value_id root = plan->root[id];
    const tspk_value *const value = &plan->graph->value[root];

    if (value->data)
        return (void *)(uintptr_t)value->data;
    return run->slot + plan->value_at[root] + (t - run->first) * plan->version_bytes[root];
}

tspk_run_rows tspk_rows_of(const tspk_spike_run *run, tspk_value_id id, size_t row, int worker)
{
    const tspk_spike_plan *const plan = run->plan;
    const tspk_value_id root = plan->root[id];
    const tspk_value *const value = &plan->graph->value[root];
    tspk_run_rows rows = {NULL, value->data ? 0 : plan->version_bytes[root] / sizeof(float)};

    if (value->data)
        rows.at = (float *)(uintptr_t)value->data;
    else if (plan->is_local[root])
        rows.at = (float *)(tspk_run_local(run, worker) + plan->value_at[root]);
    else
        rows.at = (float *)(run->slot + plan->value_at[root]);
    if (!plan->is_local[root])
        rows.at += row * tspk_shape_last(&plan->graph->value[id].shape);
    return rows;
}

/* A serial loop keeps the worker of its image. */
void tspk_run_blocks(const tspk_spike_run *run, size_t n, tspk_parallel_fn fn, void *context)
{
    if (run->threads <= 1)
        for (size_t i = 0; i < n; i++)
            fn(context, i, run->worker);
    else
        tspk_parallel_for(run->threads, n, fn, context);
}

static tspk_tensor view(const tspk_spike_run *run, tspk_value_id id, uint32_t t)
{
    tspk_tensor tensor = {0};

    if (id == TSPK_ID_NONE)
        return tensor;
    tensor.dtype = run->plan->graph->value[id].dtype;
    tensor.shape = run->plan->graph->value[id].shape;
    tensor.data = tspk_run_value(run, id, t);
    return tensor;
}

tspk_status tspk_run_eval(const tspk_spike_run *run, uint32_t n, uint32_t t, tspk_error *err)
{
    const tspk_node *const node = &run->plan->graph->node[n];
    tspk_tensor in[TSPK_MAX_NODE_INPUTS], out[TSPK_MAX_NODE_OUTPUTS];

    for (uint32_t i = 0; i < node->n_in; i++) {
        in[i] = view(run, node->in[i], t);
        if (run->plan->node[n].reads_whole && node->in[i] != TSPK_ID_NONE)
            in[i].data = tspk_whole_value(run, node->in[i]);
    }
    for (uint32_t i = 0; i < node->n_out; i++)
        out[i] = view(run, node->out[i], t);
    return tspk_op_eval_with(run->plan->math, node, in, out, tspk_run_scratch(run, run->worker),
                             err);
}

/* Every step of a node before the next node. */
static tspk_status run_node(const tspk_spike_run *run, uint32_t n, tspk_error *err)
{
    const tspk_node_plan *const at = &run->plan->node[n];
    const uint32_t last = at->is_static ? run->first : run->last;
    tspk_status status = TSPK_OK;

    if ((at->is_static && run->first > 1) || at->kind == TSPK_NODE_ALIAS)
        return TSPK_OK;
    tspk_enter_phase(run, tspk_op_name(run->plan->graph->node[n].op));
    switch (at->kind) {
    case TSPK_NODE_ALIAS:
        break;
    case TSPK_NODE_EVAL:
        if (run->plan->tokens.n_spaces && run->plan->graph->node[n].op == TSPK_OP_MERGE)
            status = tspk_run_merge(run, n, err);
        else
            for (uint32_t t = run->first; t <= last && status == TSPK_OK; t++)
                status = tspk_run_eval(run, n, t, err);
        break;
    case TSPK_NODE_SPIKE_LINEAR:
        tspk_run_spike_linear(run, at->record);
        break;
    case TSPK_NODE_SPIKE_ATTENTION:
        tspk_run_spike_attention(run, at->record);
        break;
    case TSPK_NODE_LINEAR:
    case TSPK_NODE_CONV:
    case TSPK_NODE_MATMUL:
    case TSPK_NODE_ATTENTION:
        for (uint32_t t = run->first; t <= last; t++)
            tspk_run_analog(run, n, t);
        break;
    }
    tspk_leave_phase(run);
    return status;
}

tspk_status tspk_spike_pass(const tspk_spike_run *run, tspk_error *err)
{
    if (run->plan->tokens.n_spaces && run->first == 1)
        tspk_tokens_begin(run);
    else if (run->plan->tokens.n_spaces && run->first == 2)
        tspk_refine_tokens(run);
    for (uint32_t s = 0; s < run->plan->n_segments; s++) {
        const tspk_segment *const segment = &run->plan->segment[s];

        if (segment->rows)
            tspk_run_chain(run, segment);
        else
            TSPK_TRY(run_node(run, segment->first, err));
    }
    return TSPK_OK;
}
