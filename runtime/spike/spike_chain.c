/* SPDX-License-Identifier: Apache-2.0 */
/* Chains: a block of rows goes through nodes that work row by row while it is near. */
#include "runtime/ann/op_eval.h"
#include "runtime/spike/token_rows.h"

typedef struct chain_job {
    const tspk_spike_run *run;
    const tspk_segment *segment;
    size_t rows, block; /* in all, of a block */
} chain_job;

typedef struct chain_block {
    const tspk_spike_run *run;
    const tspk_segment *segment;
    size_t first, rows;
    int worker;
} chain_block;

static tspk_tensor rows_tensor(const tspk_graph *graph, tspk_value_id id, float *at, size_t rows)
{
    const tspk_value *const value = &graph->value[id];
    const size_t last = value->shape.rank ? tspk_shape_last(&value->shape) : 1;
    tspk_tensor tensor = {.dtype = value->dtype, .shape = {.rank = rows ? 2 : 1}, .data = at};

    tensor.shape.dim[0] = rows ? (int64_t)rows : (int64_t)last;
    if (rows)
        tensor.shape.dim[1] = (int64_t)last;
    return tensor;
}

/* An operator without state on the rows of the block. */
static void evaluate(const chain_block *block, uint32_t n)
{
    const tspk_spike_run *const run = block->run;
    const tspk_graph *const graph = run->plan->graph;
    tspk_node node = graph->node[n];
    tspk_run_rows from[TSPK_ROW_INPUTS] = {{NULL, 0}};
    const tspk_run_rows to = tspk_rows_of(run, node.out[0], block->first, block->worker);
    tspk_tensor in[TSPK_ROW_INPUTS] = {{0}};
    tspk_tensor out = rows_tensor(graph, node.out[0], to.at, block->rows);

    node.attr.axis = 1;
    for (uint32_t i = 0; i < node.n_in; i++) {
        bool is_shared;

        if (node.in[i] == TSPK_ID_NONE)
            continue;
        is_shared = tspk_is_shared_operand(graph, &graph->node[n], i);
        from[i] = tspk_rows_of(run, node.in[i], is_shared ? 0 : block->first, block->worker);
        in[i] = rows_tensor(graph, node.in[i], from[i].at, is_shared ? 0 : block->rows);
    }
    for (uint32_t i = 0; i <= run->last - run->first; i++) {
        for (uint32_t k = 0; k < node.n_in; k++)
            if (in[k].data)
                in[k].data = from[k].at + i * from[k].step;
        out.data = to.at + i * to.step;
        (void)tspk_op_eval_with(run->plan->math, &node, in, &out,
                                tspk_run_scratch(run, block->worker), NULL);
    }
}

static void run_linear(const chain_block *block, const tspk_linear_plan *linear)
{
    const tspk_spike_run *const run = block->run;
    const tspk_node *const node = &run->plan->graph->node[linear->linear->node];
    const tspk_site_plan *const site = linear->site;
    tspk_linear_span span = {.site_row = block->first,
                             .row = block->first,
                             .rows = block->rows,
                             .out = tspk_rows_of(run, node->out[0], block->first, block->worker)};
    tspk_fire_span fire = {.first = block->first, .rows = block->rows};
    uint64_t *fired = NULL;

    if (site->is_local) {
        uint8_t *const local = tspk_run_local(run, block->worker);

        fire.level = (int16_t *)(local + site->level_at);
        fire.level_step = block->segment->block * site->n;
        fired = (uint64_t *)(local + site->fired_at);
    } else {
        fire.level = (int16_t *)(run->slot + site->level_at) + block->first * site->n;
        fire.level_step = site->site->rows * site->n;
    }
    if (linear->is_first) {
        for (uint32_t t = run->first; fired && t <= run->last; t++)
            fired[t - run->first] = 0;
        fire.x = tspk_rows_of(run, node->in[0], block->first, block->worker);
        fire.fired = fired;
        tspk_fire_rows(run, linear->site_id, &fire, block->worker);
    }
    span.level = fire.level;
    span.level_step = fire.level_step;
    span.fired = fired;
    tspk_linear_rows(run, linear, &span, block->worker);
}

static void run_block(void *context, size_t index, int worker)
{
    const chain_job *const job = context;
    const tspk_spike_plan *const plan = job->run->plan;
    const size_t first = index * job->block, left = job->rows - first;
    const chain_block block = {job->run, job->segment, first, left < job->block ? left : job->block,
                               worker};

    for (uint32_t n = job->segment->first; n < job->segment->end; n++) {
        if (plan->node[n].kind == TSPK_NODE_ALIAS)
            continue;
        if (job->run->threads <= 1)
            tspk_enter_phase(job->run, tspk_op_name(plan->graph->node[n].op));
        if (plan->node[n].kind == TSPK_NODE_SPIKE_LINEAR)
            run_linear(&block, plan->node[n].record);
        else
            evaluate(&block, n);
        if (job->run->threads <= 1)
            tspk_leave_phase(job->run);
    }
    for (uint32_t i = job->segment->first_firing; i < job->segment->end_firing; i++)
        tspk_fire_operand(job->run, &plan->attention[plan->firing[i].attention],
                          plan->firing[i].operand, block.first, block.rows, worker);
}

/* Rows of a block: as many blocks for every thread. */
static size_t block_rows(const tspk_segment *segment, size_t all, size_t threads)
{
    const size_t rounds = (all + segment->block * threads - 1) / (segment->block * threads);
    size_t rows = (all + rounds * threads - 1) / (rounds * threads);

    rows = (rows + TSPK_CHAIN_UNIT - 1) / TSPK_CHAIN_UNIT * TSPK_CHAIN_UNIT;
    return rows < segment->block ? rows : segment->block;
}

void tspk_run_chain(const tspk_spike_run *run, const tspk_segment *segment)
{
    chain_job job = {run, segment, tspk_rows_now(run, segment->space, segment->rows),
                     segment->block};

    if (run->threads > 1) {
        job.block = block_rows(segment, job.rows, (size_t)run->threads);
        tspk_enter_phase(run, "chain");
    }
    tspk_run_blocks(run, (job.rows + job.block - 1) / job.block, run_block, &job);
    if (run->threads > 1)
        tspk_leave_phase(run);
}
