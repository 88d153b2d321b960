/* SPDX-License-Identifier: Apache-2.0 */
/* The walk over the graph: one step of one image. */
#include "runtime/spike/spike_exec.h"

#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"

/* Elements a job of an operator that is split over threads. */
#define SPLIT_ELEMS 8192u

void *tspk_run_value(const tspk_spike_run *run, tspk_value_id id)
{
    const tspk_value_id root = run->plan->root[id];
    const tspk_value *const value = &run->plan->graph->value[root];

    if (value->data)
        return (void *)(uintptr_t)value->data;
    return run->slot + run->plan->value_at[root];
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

typedef struct split_job {
    const tspk_spike_run *run;
    const tspk_node *node;
    tspk_tensor in[3], out;
    size_t rows, a_block; /* rows of in[0] and out; rows a job */
    bool is_shared[3];    /* an operand that every job reads whole */
} split_job;

static tspk_tensor view(const tspk_spike_run *run, tspk_value_id id)
{
    tspk_tensor tensor = {0};

    if (id == TSPK_ID_NONE)
        return tensor;
    tensor.dtype = run->plan->graph->value[id].dtype;
    tensor.shape = run->plan->graph->value[id].shape;
    tensor.data = tspk_run_value(run, id);
    return tensor;
}

/* Rows [first, first + rows) of a tensor whose rows are its elements but for the last axis. */
static tspk_tensor part_of(const tspk_tensor *tensor, size_t first, size_t rows)
{
    const size_t last = tspk_shape_last(&tensor->shape);
    tspk_tensor part = {.dtype = tensor->dtype, .shape = {.rank = 2}};

    part.shape.dim[0] = (int64_t)rows;
    part.shape.dim[1] = (int64_t)last;
    part.data = (uint8_t *)tensor->data + first * last * tspk_dtype_bytes(tensor->dtype);
    return part;
}

static void split_block(void *context, size_t block, int worker)
{
    const split_job *const job = context;
    const size_t first = block * job->a_block;
    const size_t rows = job->rows - first < job->a_block ? job->rows - first : job->a_block;
    tspk_tensor in[3], out = part_of(&job->out, first, rows);
    tspk_node node = *job->node;

    node.attr.axis = 1;
    for (uint32_t i = 0; i < node.n_in; i++)
        in[i] =
            job->is_shared[i] || !job->in[i].data ? job->in[i] : part_of(&job->in[i], first, rows);
    (void)tspk_op_eval_with(job->run->plan->math, &node, in, &out,
                            tspk_run_scratch(job->run, worker), NULL);
}

/* Row by row the same bytes as in one piece: elementwise operators on equal shapes, and
 * normalisations over the last axis. */
static bool is_splittable(const split_job *job)
{
    const tspk_node *const node = job->node;
    const bool is_norm = node->op == TSPK_OP_LAYER_NORM || node->op == TSPK_OP_RMS_NORM ||
                         node->op == TSPK_OP_SOFTMAX;

    if (node->n_in > 3 || node->n_out != 1 || job->out.dtype != TSPK_DTYPE_F32 ||
        job->out.shape.rank < 1)
        return false;
    if (is_norm)
        return node->attr.axis == job->out.shape.rank - 1;
    if (!tspk_op_is_elementwise(node->op) || node->op == TSPK_OP_CAST)
        return false;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (job->in[i].dtype != TSPK_DTYPE_F32 ||
            !tspk_shape_equal(&job->in[i].shape, &job->out.shape))
            return false;
    return true;
}

static tspk_status evaluate(const tspk_spike_run *run, const tspk_node *node, tspk_error *err)
{
    tspk_tensor in[TSPK_MAX_NODE_INPUTS], out[TSPK_MAX_NODE_OUTPUTS];

    for (uint32_t i = 0; i < node->n_in; i++)
        in[i] = view(run, node->in[i]);
    for (uint32_t i = 0; i < node->n_out; i++)
        out[i] = view(run, node->out[i]);
    if (run->threads > 1 && node->n_in <= 3) {
        split_job job = {.run = run, .node = node, .out = out[0]};

        for (uint32_t i = 0; i < node->n_in; i++)
            job.in[i] = in[i];
        if (is_splittable(&job)) {
            const size_t last = tspk_shape_last(&job.out.shape);

            job.rows = tspk_shape_rows(&job.out.shape);
            job.a_block = last && last < SPLIT_ELEMS ? SPLIT_ELEMS / last : 1;
            for (uint32_t i = 1; i < node->n_in; i++)
                job.is_shared[i] = !tspk_op_is_elementwise(node->op);
            tspk_run_blocks(run, (job.rows + job.a_block - 1) / job.a_block, split_block, &job);
            return TSPK_OK;
        }
    }
    return tspk_op_eval_with(run->plan->math, node, in, out, tspk_run_scratch(run, run->worker),
                             err);
}

tspk_status tspk_spike_step(tspk_spike_run *run, tspk_error *err)
{
    const tspk_spike_plan *const plan = run->plan;

    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        const tspk_node_plan *const at = &plan->node[n];

        if ((at->is_static && run->t > 1) || at->kind == TSPK_NODE_ALIAS)
            continue;
        tspk_enter_phase(run, tspk_op_name(plan->graph->node[n].op));
        switch (at->kind) {
        case TSPK_NODE_ALIAS:
            break;
        case TSPK_NODE_EVAL:
            TSPK_TRY(evaluate(run, &plan->graph->node[n], err));
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
            tspk_run_analog(run, n);
            break;
        }
        tspk_leave_phase(run);
    }
    return TSPK_OK;
}
