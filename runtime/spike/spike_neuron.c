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

void tspk_count_spikes(const tspk_spike_run *run, const tspk_site_plan *site, int worker,
                       const tspk_level_count *counted, uint32_t fan_out)
{
    tspk_spike_counter *const counter = &run->counter[worker];

    counter->spikes += counted->spikes;
    counter->site_spikes += counted->spikes;
    if (site->site->is_head)
        counter->head += counted->spikes * fan_out;
    else
        counter->accumulates += counted->spikes * fan_out;
    counter->level_bits += counted->bits * (site->weight_bits / 8) * fan_out;
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
    for (size_t c = 0; code && !site->order && c < channels; c++)
        code[c] = tspk_code_of_level(form, level[c]);
    for (size_t g = 0; code && site->order && g < site->site->n_groups; g++)
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

/* Levels of a row in the order of channels, as reorder() reads them. */
static size_t natural_levels(const tspk_site_plan *site)
{
    const size_t most = site->ordered > site->neurons ? site->ordered : site->neurons;

    return (most + TSPK_FIRE_LANES - 1) / TSPK_FIRE_LANES * TSPK_FIRE_LANES;
}

typedef struct fire_memory {
    int16_t *level; /* [FIRE_ROWS, natural_levels()] linear sites, else NULL */
    float *o;       /* [FIRE_ROWS, neurons] several steps, else NULL */
} fire_memory;

static size_t carve_memory(const tspk_spike_plan *plan, const tspk_site_plan *site,
                           uint8_t *scratch, fire_memory *memory)
{
    tspk_carver carver = {scratch, 0};

    *memory = (fire_memory){NULL, NULL};
    if (site->order)
        memory->level =
            tspk_carve(&carver, TSPK_FIRE_ROWS * natural_levels(site) * sizeof(int16_t));
    if (plan->steps > 1)
        memory->o = tspk_carve(&carver, TSPK_FIRE_ROWS * site->neurons * sizeof(float));
    return carver.used;
}

static int8_t *code_rows(const tspk_spike_run *run, const tspk_site_plan *site, uint32_t t,
                         size_t first)
{
    return (int8_t *)(run->slot + site->code_at) +
           ((size_t)(t - 1) * site->site->rows + first) * site->neurons;
}

/* The state of rows of one class, from their codes of all earlier steps: fewer bytes than it. */
static void restore_states(const tspk_spike_run *run, const tspk_site_plan *site, size_t first,
                           size_t rows, float *o)
{
    const uint32_t token_class = site->site->row_class[first];
    const size_t n = site->neurons;

    for (uint32_t t = 1; t < run->t; t++) {
        const float *const step = tspk_site_table(run->plan, site, t, token_class)->step;
        const int8_t *const code = code_rows(run, site, t, first);

        for (size_t r = 0; r < rows; r++) {
            const float *before = o + r * n;

            if (t == 1)
                before = site->prior ? site->prior + token_class * n : NULL;
            run->plan->row_kernels->add_codes(n, step, false, site->params->code_form,
                                              code + r * n, before, o + r * n);
        }
    }
}

static void keep_codes(const tspk_spike_run *run, const tspk_site_plan *site, size_t first,
                       const tspk_fire_args *args)
{
    for (size_t r = 0; r < args->rows; r++)
        run->plan->row_kernels->encode(site->neurons, site->params->code_form,
                                       (const int16_t *)args->level + r * args->ldl,
                                       code_rows(run, site, run->t, first + r));
}

/* Levels from the order of channels into that of positions. */
static void place_levels(const tspk_spike_run *run, const tspk_site_plan *site,
                         const tspk_fire_args *args, int16_t *level)
{
    const size_t channels = site->site->channels;

    for (size_t r = 0; site->ordered > channels && r < args->rows; r++)
        ((int16_t *)args->level)[r * args->ldl + channels] = 0;
    run->plan->row_kernels->reorder(args->rows, site->n, site->ordered, site->order, true,
                                    args->level, args->ldl, level, site->n);
}

static void fire_rows(void *context, size_t block, int worker)
{
    const fire_job *const job = context;
    const tspk_spike_run *const run = job->run;
    const tspk_site_plan *const site = job->site;
    const size_t channels = site->site->channels, n = site->n, neurons = site->neurons;
    const size_t end = (block + 1) * TSPK_FIRE_ROWS < site->site->rows
                           ? (block + 1) * TSPK_FIRE_ROWS
                           : site->site->rows;
    fire_memory memory;
    tspk_level_count count[TSPK_FIRE_ROWS];

    carve_memory(run->plan, site, tspk_run_scratch(run, worker), &memory);
    for (size_t r = block * TSPK_FIRE_ROWS, rows; r < end; r += rows) {
        const uint32_t token_class = site->site->row_class[r];
        tspk_fire_args args = {.table = tspk_site_table(run->plan, site, run->t, token_class),
                               .n = neurons,
                               .t = tspk_fire_factor(run),
                               .x = job->x + r * channels,
                               .ldx = channels,
                               .level = site->order ? memory.level : job->level + r * n,
                               .is_wide = true,
                               .ldl = site->order ? natural_levels(site) : n,
                               .count = count};

        rows = alike_rows(site, r, end);
        if (!site->fan_out[r])
            continue;
        args.rows = rows;
        if (run->t > 1) {
            restore_states(run, site, r, rows, memory.o);
            args.o_in = memory.o;
            args.ldo_in = neurons;
        } else if (site->prior) {
            args.o_in = site->prior + token_class * neurons;
        }
        if (site->o_at != TSPK_NOWHERE) {
            args.o_out = (float *)(run->slot + site->o_at) + r * neurons;
            args.ldo_out = neurons;
        }
        run->plan->row_kernels->fire(&args);
        if (run->t < run->plan->steps)
            keep_codes(run, site, r, &args);
        if (site->order)
            place_levels(run, site, &args, job->level + r * n);
        run->counter[worker].neurons += rows * channels;
        for (size_t i = 0; i < rows; i++) {
            tspk_count_spikes(run, site, worker, &count[i], site->fan_out[r + i]);
            if (job->record)
                record_row(job, r + i, job->level + (r + i) * n);
        }
    }
}

size_t tspk_fire_scratch_bytes(const tspk_spike_plan *plan, const tspk_site_plan *site)
{
    fire_memory memory;

    return carve_memory(plan, site, NULL, &memory);
}

void tspk_fire_site(const tspk_spike_run *run, uint32_t site, const float *x, int16_t *level)
{
    const tspk_site_plan *const at = &run->plan->site[site];
    const int first = run->threads <= 1 ? run->worker : 0;
    const int end = run->threads <= 1 ? first + 1 : run->threads;
    static const char *const phases[] = {"neurons, linear", "neurons, query", "neurons, key",
                                         "neurons, value"};
    uint64_t spikes = 0;
    fire_job job = {.run = run,
                    .site = at,
                    .record = run->record ? &run->record[site] : NULL,
                    .x = x,
                    .level = level};

    for (int w = first; w < end; w++)
        run->counter[w].site_spikes = 0;
    tspk_enter_phase(run, phases[at->site->kind]);
    tspk_run_blocks(run, (at->site->rows + TSPK_FIRE_ROWS - 1) / TSPK_FIRE_ROWS, fire_rows, &job);
    tspk_leave_phase(run);
    for (int w = first; w < end; w++)
        spikes += run->counter[w].site_spikes;
    run->rate[site] = at->n_neurons ? (double)spikes / (double)at->n_neurons : 0.0;
}
