/* SPDX-License-Identifier: Apache-2.0 */
/* Spike-driven Linear layers: codes times integer weights, dense or from the events. */
#include "runtime/spike/token_rows.h"

static float *carve_sums(const tspk_spike_plan *plan, const tspk_linear_plan *linear,
                         uint8_t *scratch, void **kernel_scratch, size_t *bytes_out)
{
    tspk_carver carver = {scratch, 0};
    const bool is_needed = linear->y_at == TSPK_NOWHERE && plan->steps > 1;
    float *sums = NULL;

    *kernel_scratch = tspk_carve(&carver, plan->kernels->scratch_bytes(linear->site->site->n_groups,
                                                                       2 * linear->site->pairs));
    if (is_needed)
        sums = tspk_carve(&carver, linear->most_rows * linear->linear->n_out * sizeof *sums);
    *bytes_out = carver.used;
    return sums;
}

size_t tspk_linear_scratch_bytes(const tspk_spike_plan *plan, const tspk_linear_plan *linear)
{
    const size_t fire = tspk_fire_scratch_bytes(plan, linear->site);
    void *kernel_scratch;
    size_t bytes;

    carve_sums(plan, linear, NULL, &kernel_scratch, &bytes);
    return fire > bytes ? fire : bytes;
}

static bool is_sparse(const tspk_spike_run *run, const tspk_linear_plan *linear,
                      const tspk_linear_span *span, uint32_t t)
{
    const double neurons = (double)span->rows * linear->site->site->channels;

    return span->fired && (double)span->fired[t - run->first] <=
                              (double)run->plan->kernels->linear_event_rate * neurons;
}

/* Some tiles: their weights stay near while the steps pass by. */
static void multiply_tiles(const tspk_spike_run *run, const tspk_linear_plan *at,
                           const tspk_linear_span *span, size_t tile, size_t tiles, float *y,
                           void *scratch)
{
    const tspk_site *const site = at->site->site;
    const size_t column = tile * TSPK_LANES, n_out = at->linear->n_out;
    tspk_linear_args args = {.width = at->width,
                             .rows = span->rows,
                             .n = n_out - column < tiles * TSPK_LANES ? n_out - column
                                                                      : tiles * TSPK_LANES,
                             .n_groups = site->n_groups,
                             .group = 2 * at->site->pairs,
                             .ldl = at->site->n,
                             .weight = (const uint8_t *)at->weight + tile * at->tile_bytes,
                             .scale = at->scale + tile * site->n_groups * TSPK_LANES,
                             .row_class = site->row_class + span->site_row,
                             .ldbias = n_out,
                             .y = y ? y + column : NULL,
                             .ldo = n_out,
                             .scratch = scratch};

    for (uint32_t t = run->first; t <= run->last; t++) {
        args.level = span->level + (t - run->first) * span->level_step;
        args.out = span->out.at + (t - run->first) * span->out.step + column;
        args.rho = at->site->params->step[t - 1].scale;
        args.bias = at->bias + (t - 1) * run->plan->n_classes * n_out + column;
        args.is_first = t == 1;
        args.is_last = t == run->plan->steps;
        if (run->plan->point->coding == TSPK_CODING_RATE)
            args.divisor = (float)t;
        (is_sparse(run, at, span, t) ? run->plan->kernels->linear_events
                                     : run->plan->kernels->linear)(&args);
    }
}

void tspk_linear_rows(const tspk_spike_run *run, const tspk_linear_plan *at,
                      const tspk_linear_span *span, int worker)
{
    const size_t tiles =
        at->tile_bytes < TSPK_LINEAR_BYTES ? TSPK_LINEAR_BYTES / at->tile_bytes : 1;
    void *scratch;
    size_t bytes;
    float *y = carve_sums(run->plan, at, tspk_run_scratch(run, worker), &scratch, &bytes);

    if (at->y_at != TSPK_NOWHERE)
        y = (float *)(run->slot + at->y_at) + span->row * at->linear->n_out;
    for (size_t tile = 0; tile < at->tiles; tile += tiles)
        multiply_tiles(run, at, span, tile, at->tiles - tile < tiles ? at->tiles - tile : tiles, y,
                       scratch);
}

/* --- a Linear in no chain: it leaves rows out --- */

typedef struct rows_job {
    const tspk_spike_run *run;
    const tspk_linear_plan *linear;
    const uint32_t *rows; /* NULL: all in order */
    size_t site_rows, n_rows; /* of the site and of the Linear that are computed now */
    tspk_value_id in, out;
} rows_job;

static int16_t *levels_at(const rows_job *job, size_t row)
{
    const tspk_site_plan *const site = job->linear->site;

    return (int16_t *)(job->run->slot + site->level_at) + row * site->n;
}

static void fire_block(void *context, size_t block, int worker)
{
    const rows_job *const job = context;
    const tspk_site_plan *const site = job->linear->site;
    const size_t first = block * TSPK_CHAIN_ROWS, left = job->site_rows - first;
    const tspk_fire_span span = {.first = first,
                                 .rows = left < TSPK_CHAIN_ROWS ? left : TSPK_CHAIN_ROWS,
                                 .x = tspk_rows_of(job->run, job->in, first, worker),
                                 .level = levels_at(job, first),
                                 .level_step = site->site->rows * site->n};

    tspk_fire_rows(job->run, job->linear->site_id, &span, worker);
}

/* Some rows; those that follow one another in the site go to the kernel together. */
static void multiply_block(void *context, size_t block, int worker)
{
    const rows_job *const job = context;
    const tspk_linear_plan *const at = job->linear;
    const size_t first = block * TSPK_CHAIN_ROWS, n_site = at->site->site->rows;
    const size_t end =
        first + TSPK_CHAIN_ROWS < job->n_rows ? first + TSPK_CHAIN_ROWS : job->n_rows;

    for (size_t r = first, rows; r < end; r += rows) {
        const size_t from = job->rows ? job->rows[r] : r;
        tspk_linear_span span = {.site_row = from,
                                 .row = r,
                                 .level = levels_at(job, from),
                                 .level_step = n_site * at->site->n,
                                 .out = tspk_rows_of(job->run, job->out, r, worker)};

        rows = 1;
        while (r + rows < end && (!job->rows || job->rows[r + rows] == from + rows))
            rows++;
        span.rows = rows;
        tspk_linear_rows(job->run, at, &span, worker);
    }
}

void tspk_run_spike_linear(const tspk_spike_run *run, const tspk_linear_plan *linear)
{
    const tspk_node *const node = &run->plan->graph->node[linear->linear->node];
    rows_job job = {.run = run,
                    .linear = linear,
                    .rows = node->attr.n_rows ? node->attr.rows : NULL,
                    .site_rows = tspk_rows_now(run, linear->site->space, linear->site->site->rows),
                    .n_rows = tspk_rows_now(run, linear->space, linear->rows),
                    .in = node->in[0],
                    .out = node->out[0]};

    if (linear->is_first)
        tspk_run_blocks(run, (job.site_rows + TSPK_CHAIN_ROWS - 1) / TSPK_CHAIN_ROWS, fire_block,
                        &job);
    tspk_run_blocks(run, (job.n_rows + TSPK_CHAIN_ROWS - 1) / TSPK_CHAIN_ROWS, multiply_block,
                    &job);
}
