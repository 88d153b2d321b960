/* SPDX-License-Identifier: Apache-2.0 */
/* Neuron layers: rows of x to levels, state and counts. */
#include <string.h>

#include "runtime/spike/spike_exec.h"

typedef struct fire_job {
    const tspk_spike_run *run;
    const tspk_site_plan *site;
    tspk_site_record *record;
    const float *x;
    int16_t *level;
} fire_job;

void tspk_count_row(const tspk_spike_run *run, const tspk_site_plan *site, int worker, size_t n,
                    const int16_t *level, uint32_t fan_out)
{
    tspk_spike_counter *const counter = &run->counter[worker];
    const tspk_level_count counted = run->plan->row_kernels->count(n, level);

    counter->spikes += counted.spikes;
    counter->site_spikes += counted.spikes;
    if (site->site->is_head)
        counter->head += counted.spikes * fan_out;
    else
        counter->accumulates += counted.spikes * fan_out;
    counter->level_bits += counted.bits * (site->weight_bits / 8) * fan_out;
}

/* Codes in natural order, for the dump. */
static void record_row(const fire_job *job, size_t r, const int16_t *level)
{
    const tspk_site_plan *const site = job->site;
    const tspk_code_form form = site->params->code_form;
    const size_t channels = site->site->channels, rows = site->site->rows;
    const size_t at = ((job->run->t - 1) * rows + r) * channels;
    int8_t *const code = job->record->code ? job->record->code + at : NULL;

    if (job->record->input)
        memcpy(job->record->input + at, job->x + r * channels, channels * sizeof(float));
    for (size_t c = 0; code && !site->gather && c < channels; c++)
        code[c] = tspk_code_of_level(form, level[c]);
    for (size_t g = 0; code && site->gather && g < site->site->n_groups; g++)
        for (size_t i = 0; i < site->site->group_size; i++) {
            const uint32_t c = site->site->order[g * site->site->group_size + i];

            if (c != UINT32_MAX)
                code[c] = tspk_code_of_level(form, level[g * 2 * site->pairs + i]);
        }
}

/* Rows from `first` on that have one class and are all computed, or all not. */
static size_t alike_rows(const tspk_site_plan *site, size_t first, size_t end)
{
    const tspk_site *const at = site->site;
    size_t r = first + 1;

    while (r < end && at->row_class[r] == at->row_class[first] &&
           !site->fan_out[r] == !site->fan_out[first])
        r++;
    return r - first;
}

static void fire_rows(void *context, size_t block, int worker)
{
    const fire_job *const job = context;
    const tspk_spike_run *const run = job->run;
    const tspk_site_plan *const site = job->site;
    const size_t channels = site->site->channels, n = site->n;
    const size_t end = (block + 1) * TSPK_FIRE_ROWS < site->site->rows
                           ? (block + 1) * TSPK_FIRE_ROWS
                           : site->site->rows;
    float *const state = site->o_at == TSPK_NOWHERE ? NULL : (float *)(run->slot + site->o_at);
    float *const gathered = (float *)tspk_run_scratch(run, worker);

    for (size_t r = block * TSPK_FIRE_ROWS, rows; r < end; r += rows) {
        const uint32_t token_class = site->site->row_class[r];
        tspk_fire_args args = {.table = tspk_site_table(run->plan, site, run->t, token_class),
                               .n = n,
                               .is_rate = run->plan->point->coding == TSPK_CODING_RATE,
                               .t = (float)run->t,
                               .x = job->x + r * channels,
                               .ldx = channels,
                               .level = job->level + r * n,
                               .ldl = n};

        rows = alike_rows(site, r, end);
        if (!site->fan_out[r])
            continue;
        args.rows = rows;
        if (site->gather) {
            for (size_t i = 0; i < rows; i++)
                for (size_t p = 0; p < n; p++)
                    gathered[i * n + p] = args.x[i * channels + site->gather[p]];
            args.x = gathered;
            args.ldx = n;
        }
        if (run->t > 1) {
            args.o_in = state + r * n;
            args.ldo_in = n;
        } else if (site->prior) {
            args.o_in = site->prior + token_class * n;
        }
        if (state) {
            args.o_out = state + r * n;
            args.ldo_out = n;
        }
        run->plan->row_kernels->fire(&args);
        run->counter[worker].neurons += rows * channels;
        for (size_t i = r; i < r + rows; i++) {
            tspk_count_row(run, site, worker, n, job->level + i * n, site->fan_out[i]);
            if (job->record)
                record_row(job, i, job->level + i * n);
        }
    }
}

size_t tspk_fire_scratch_bytes(const tspk_site_plan *site)
{
    return site->gather ? TSPK_FIRE_ROWS * site->n * sizeof(float) : 0;
}

void tspk_fire_site(const tspk_spike_run *run, uint32_t site, const float *x, int16_t *level)
{
    const tspk_site_plan *const at = &run->plan->site[site];
    const int first = run->threads <= 1 ? run->worker : 0;
    const int end = run->threads <= 1 ? first + 1 : run->threads;
    uint64_t spikes = 0;
    fire_job job = {.run = run,
                    .site = at,
                    .record = run->record ? &run->record[site] : NULL,
                    .x = x,
                    .level = level};

    for (int w = first; w < end; w++)
        run->counter[w].site_spikes = 0;
    tspk_run_blocks(run, (at->site->rows + TSPK_FIRE_ROWS - 1) / TSPK_FIRE_ROWS, fire_rows, &job);
    for (int w = first; w < end; w++)
        spikes += run->counter[w].site_spikes;
    run->rate[site] = at->n_neurons ? (double)spikes / (double)at->n_neurons : 0.0;
}
