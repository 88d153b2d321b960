/* SPDX-License-Identifier: Apache-2.0 */
/* Spike-driven Linear layers: codes times integer weights, dense or from the events. */
#include <string.h>

#include "runtime/spike/spike_exec.h"

/* Outputs of a job side by side. */
#define Z_WIDTH (TSPK_LINEAR_TILES * TSPK_LANES)

typedef struct linear_job {
    const tspk_spike_run *run;
    const tspk_linear_plan *linear;
    const uint32_t *rows; /* NULL: all in order */
    const int16_t *level;
    float *y_kept; /* or NULL */
    float *out;
    size_t tile_groups;
} linear_job;

static size_t row_at(const linear_job *job, size_t r)
{
    return job->rows ? job->rows[r] : r;
}

/* From z of some tiles to the outputs of one row. */
static void finish_row(const linear_job *job, size_t r, size_t tile, size_t tile_end,
                       const float *z)
{
    const tspk_spike_run *const run = job->run;
    const tspk_linear_plan *const at = job->linear;
    const size_t n_out = at->linear->n_out, first = tile * TSPK_LANES;
    const size_t n = (tile_end * TSPK_LANES < n_out ? tile_end * TSPK_LANES : n_out) - first;
    const uint32_t token_class = at->site->site->row_class[row_at(job, r)];
    const float rho = at->site->params->step[run->t - 1].scale[token_class];
    const bool is_rate = run->plan->point->coding == TSPK_CODING_RATE;
    const float *const bias =
        at->bias + ((size_t)(run->t - 1) * run->plan->n_classes + token_class) * n_out + first;

    run->plan->row_kernels->finish(n, rho, z, job->y_kept ? job->y_kept + r * n_out + first : NULL,
                               run->t == 1, is_rate ? (float)run->t : 0.0f, bias,
                               job->out + r * n_out + first);
}

static void dense_block(void *context, size_t block, int worker)
{
    const linear_job *const job = context;
    const tspk_linear_plan *const at = job->linear;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const size_t n_groups = at->site->site->n_groups, pairs = at->site->pairs, n = at->site->n;
    const size_t first = block / job->tile_groups * TSPK_LINEAR_ROWS;
    const size_t end = first + TSPK_LINEAR_ROWS < at->rows ? first + TSPK_LINEAR_ROWS : at->rows;
    const size_t tile_first = block % job->tile_groups * TSPK_LINEAR_TILES;
    const size_t tile_end =
        tile_first + TSPK_LINEAR_TILES < at->tiles ? tile_first + TSPK_LINEAR_TILES : at->tiles;
    float *const z = (float *)tspk_run_scratch(job->run, worker);

    for (size_t r = first, rows; r < end; r += rows) {
        const int16_t *const level = job->level + row_at(job, r) * n;

        rows = 1;
        while (r + rows < end && row_at(job, r + rows) == row_at(job, r) + rows)
            rows++;
        for (size_t tile = tile_first; tile < tile_end; tile++) {
            const uint8_t *const weight = (const uint8_t *)at->weight + tile * at->tile_bytes;
            const float *const scale = at->scale + tile * n_groups * TSPK_LANES;
            float *const to = z + (tile - tile_first) * TSPK_LANES;

            if (at->linear->weight_bits == 8)
                kernels->linear_i8(rows, n_groups, pairs, level, n, (const int8_t *)weight, scale,
                                   to, Z_WIDTH);
            else
                kernels->linear_i16(rows, n_groups, pairs, level, n, (const int16_t *)weight, scale,
                                    to, Z_WIDTH);
        }
        for (size_t i = 0; i < rows; i++)
            finish_row(job, r + i, tile_first, tile_end, z + i * Z_WIDTH);
    }
}

typedef struct event_memory {
    float *z;
    tspk_events events;
} event_memory;

static size_t carve_events(const tspk_linear_plan *at, uint8_t *scratch, event_memory *memory)
{
    const size_t n_groups = at->site->site->n_groups, most = n_groups * at->site->pairs + 1;
    tspk_carver carver = {scratch, 0};

    memory->z = tspk_carve(&carver, TSPK_LANES * sizeof(float));
    memory->events.pair = tspk_carve(&carver, most * sizeof(uint32_t));
    memory->events.value = tspk_carve(&carver, most * sizeof(int32_t));
    memory->events.end = tspk_carve(&carver, n_groups * sizeof(uint32_t));
    return carver.used;
}

static void event_block(void *context, size_t block, int worker)
{
    const linear_job *const job = context;
    const tspk_linear_plan *const at = job->linear;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const size_t n_groups = at->site->site->n_groups, pairs = at->site->pairs;
    const size_t first = block * TSPK_EVENT_ROWS;
    const size_t end = first + TSPK_EVENT_ROWS < at->rows ? first + TSPK_EVENT_ROWS : at->rows;
    event_memory memory;

    carve_events(at, tspk_run_scratch(job->run, worker), &memory);
    for (size_t r = first; r < end; r++) {
        const size_t n = tspk_list_events(
            n_groups, pairs, job->level + row_at(job, r) * at->site->n, &memory.events);

        memset(memory.z, 0, TSPK_LANES * sizeof *memory.z);
        for (size_t tile = 0; tile < at->tiles; tile++) {
            const uint8_t *const weight = (const uint8_t *)at->weight + tile * at->tile_bytes;
            const float *const scale = at->scale + tile * n_groups * TSPK_LANES;

            if (n && at->linear->weight_bits == 8)
                kernels->linear_events_i8(n_groups, &memory.events, (const int8_t *)weight, scale,
                                          memory.z);
            else if (n)
                kernels->linear_events_i16(n_groups, &memory.events, (const int16_t *)weight, scale,
                                           memory.z);
            finish_row(job, r, tile, tile + 1, memory.z);
        }
    }
}

size_t tspk_linear_scratch_bytes(const tspk_linear_plan *linear)
{
    const size_t fire = tspk_fire_scratch_bytes(linear->site);
    const size_t dense = TSPK_LINEAR_ROWS * Z_WIDTH * sizeof(float);
    event_memory memory;
    const size_t events = carve_events(linear, NULL, &memory);
    const size_t most = dense > events ? dense : events;

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
        job.y_kept = (float *)(run->slot + linear->y_at);
    if (linear->is_first)
        tspk_fire_site(run, linear->site_id, tspk_run_value(run, node->in[0]), level);
    if (run->rate[linear->site_id] <= TSPK_EVENT_RATE) {
        tspk_run_blocks(run, (linear->rows + TSPK_EVENT_ROWS - 1) / TSPK_EVENT_ROWS, event_block,
                        &job);
        return;
    }
    job.tile_groups = (linear->tiles + TSPK_LINEAR_TILES - 1) / TSPK_LINEAR_TILES;
    tspk_run_blocks(run, (linear->rows + TSPK_LINEAR_ROWS - 1) / TSPK_LINEAR_ROWS * job.tile_groups,
                    dense_block, &job);
}
