/* SPDX-License-Identifier: Apache-2.0 */
/* Spike-driven Linear layers: codes times integer weights, dense or from the events. */
#include "runtime/spike/spike_exec.h"

typedef struct linear_job {
    const tspk_spike_run *run;
    const tspk_linear_plan *linear;
    const uint32_t *rows; /* NULL: all in order */
    const int16_t *level;
    float *y; /* or NULL */
    float *out;
    size_t tiles, row_blocks; /* tiles of a job; jobs that share them follow one another */
    bool is_sparse;
} linear_job;

static size_t row_at(const linear_job *job, size_t r)
{
    return job->rows ? job->rows[r] : r;
}

/* Some rows, some tiles; rows that follow one another in the site go to the kernel together. */
static void linear_block(void *context, size_t block, int worker)
{
    const linear_job *const job = context;
    const tspk_spike_run *const run = job->run;
    const tspk_linear_plan *const at = job->linear;
    const tspk_site *const site = at->site->site;
    const size_t first = block % job->row_blocks * TSPK_LINEAR_ROWS;
    const size_t end = first + TSPK_LINEAR_ROWS < at->rows ? first + TSPK_LINEAR_ROWS : at->rows;
    const size_t tile = block / job->row_blocks * job->tiles, column = tile * TSPK_LANES;
    const size_t n_out = at->linear->n_out, step = run->t - 1;
    tspk_linear_args args = {.width = at->width,
                             .n = n_out - column < job->tiles * TSPK_LANES
                                      ? n_out - column
                                      : job->tiles * TSPK_LANES,
                             .n_groups = site->n_groups,
                             .group = 2 * at->site->pairs,
                             .ldl = at->site->n,
                             .weight = (const uint8_t *)at->weight + tile * at->tile_bytes,
                             .scale = at->scale + tile * site->n_groups * TSPK_LANES,
                             .rho = at->site->params->step[step].scale,
                             .bias = at->bias + step * run->plan->n_classes * n_out + column,
                             .ldbias = n_out,
                             .is_first = run->t == 1,
                             .is_last = run->t == run->plan->steps,
                             .ldo = n_out,
                             .scratch = tspk_run_scratch(run, worker)};

    if (run->plan->point->coding == TSPK_CODING_RATE)
        args.divisor = (float)run->t;
    for (size_t r = first; r < end; r += args.rows) {
        args.rows = 1;
        while (r + args.rows < end && row_at(job, r + args.rows) == row_at(job, r) + args.rows)
            args.rows++;
        args.level = job->level + row_at(job, r) * args.ldl;
        args.row_class = site->row_class + row_at(job, r);
        args.y = job->y ? job->y + r * n_out + column : NULL;
        args.out = job->out + r * n_out + column;
        (job->is_sparse ? run->plan->kernels->linear_events : run->plan->kernels->linear)(&args);
    }
}

size_t tspk_linear_scratch_bytes(const tspk_spike_plan *plan, const tspk_linear_plan *linear)
{
    const size_t fire = tspk_fire_scratch_bytes(plan, linear->site);
    const size_t most =
        plan->kernels->scratch_bytes(linear->site->site->n_groups, 2 * linear->site->pairs);

    return fire > most ? fire : most;
}

void tspk_run_spike_linear(const tspk_spike_run *run, const tspk_linear_plan *linear)
{
    const tspk_node *const node = &run->plan->graph->node[linear->linear->node];
    int16_t *const level = (int16_t *)(run->slot + linear->site->level_at);
    linear_job job = {.run = run,
                      .linear = linear,
                      .rows = node->attr.n_rows ? node->attr.rows : NULL,
                      .level = level,
                      .out = tspk_run_value(run, node->out[0])};

    if (linear->y_at != TSPK_NOWHERE)
        job.y = (float *)(run->slot + linear->y_at);
    if (linear->is_first)
        tspk_fire_site(run, linear->site_id, tspk_run_value(run, node->in[0]), level);
    job.is_sparse = run->rate[linear->site_id] <= (double)run->plan->kernels->event_rate;
    job.tiles = linear->tile_bytes < TSPK_LINEAR_BYTES ? TSPK_LINEAR_BYTES / linear->tile_bytes : 1;
    job.row_blocks = (linear->rows + TSPK_LINEAR_ROWS - 1) / TSPK_LINEAR_ROWS;
    tspk_run_blocks(run, (linear->tiles + job.tiles - 1) / job.tiles * job.row_blocks, linear_block,
                    &job);
}
