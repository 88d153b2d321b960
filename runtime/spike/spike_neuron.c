/* SPDX-License-Identifier: Apache-2.0 */
/* Neuron layers: rows of x to levels and counts, step after step of a pass. */
#include <string.h>

#include "runtime/spike/token_rows.h"

void tspk_count_spikes(const tspk_site_plan *site, tspk_spike_counter *counter,
                       const tspk_level_count *counted, uint32_t fan_out)
{
    counter->spikes += counted->spikes;
    if (site->site->is_head)
        counter->head += counted->spikes * fan_out;
    else
        counter->accumulates += counted->spikes * fan_out;
    counter->level_bits += counted->bits * (site->weight_bits / 8) * fan_out;
}

/* Codes of row r at step t in natural order, for the dump. */
static void record_row(const tspk_site_record *record, const tspk_site_plan *site, uint32_t t,
                       size_t r, const float *x, const int16_t *level)
{
    const tspk_code_form form = site->params->code_form;
    const size_t channels = site->site->channels, rows = site->site->rows;
    const size_t at = ((t - 1) * rows + r) * channels;
    int8_t *const code = record->code ? record->code + at : NULL;

    for (size_t i = 0; i < channels; i++) {
        const size_t c = site->channel ? site->channel[i] : i;

        if (record->input)
            record->input[at + c] = x[i];
        if (code && !site->order)
            code[c] = tspk_code_of_level(form, level[i]);
    }
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
    float *o;       /* [FIRE_ROWS, neurons] states; NULL: nobody reads them again */
} fire_memory;

static size_t carve_memory(const tspk_spike_plan *plan, const tspk_site_plan *site,
                           uint8_t *scratch, fire_memory *memory)
{
    tspk_carver carver = {scratch, 0};

    *memory = (fire_memory){NULL, NULL};
    if (site->order)
        memory->level =
            tspk_carve(&carver, TSPK_FIRE_ROWS * natural_levels(site) * sizeof(int16_t));
    if (plan->steps > 1 || site->site->kind == TSPK_SITE_QUERY || site->site->kind == TSPK_SITE_KEY)
        memory->o = tspk_carve(&carver, TSPK_FIRE_ROWS * site->neurons * sizeof(float));
    return carver.used;
}

/* Where row r has its codes: of keys all rows stay where they were. */
static int8_t *code_row(const tspk_spike_run *run, const tspk_site_plan *site, uint32_t t, size_t r)
{
    const uint32_t *const place =
        site->site->kind == TSPK_SITE_KEY ? tspk_places_now(run, site->space) : NULL;

    return (int8_t *)(run->slot + site->code_at) +
           ((size_t)(t - 1) * site->site->rows + (place ? place[r] : r)) * site->neurons;
}

/* The state of rows of one class, from their codes of all earlier passes: fewer bytes than it. */
static void restore_states(const tspk_spike_run *run, const tspk_site_plan *site, size_t first,
                           size_t rows, float *o)
{
    const uint32_t token_class = site->site->row_class[first];
    const size_t n = site->neurons;

    for (uint32_t t = 1; t < run->first; t++) {
        const float *const step = tspk_site_table(run->plan, site, t, token_class)->step;

        for (size_t r = 0; r < rows; r++) {
            const float *before = o + r * n;

            if (t == 1)
                before = site->prior ? site->prior + token_class * n : NULL;
            run->plan->row_kernels->add_codes(n, step, false, site->params->code_form,
                                              code_row(run, site, t, first + r), before, o + r * n);
        }
    }
}

static void keep_codes(const tspk_spike_run *run, const tspk_site_plan *site, uint32_t t,
                       size_t first, const tspk_fire_args *args)
{
    for (size_t r = 0; r < args->rows; r++)
        run->plan->row_kernels->encode(site->neurons, site->params->code_form,
                                       (const int16_t *)args->level + r * args->ldl,
                                       code_row(run, site, t, first + r));
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

/* Rows of one class that are all computed, over the steps of the pass. */
static void fire_alike(const tspk_spike_run *run, uint32_t id, const tspk_fire_span *span, size_t r,
                       size_t rows, const fire_memory *memory, int worker)
{
    const tspk_site_plan *const site = &run->plan->site[id];
    const size_t channels = site->site->channels, n = site->n, neurons = site->neurons;
    const uint32_t token_class = site->site->row_class[r];
    const tspk_site_record *const record = run->record ? &run->record[id] : NULL;
    const uint32_t *const place = tspk_places_now(run, site->space);
    tspk_level_count count[TSPK_FIRE_ROWS];
    tspk_fire_args args = {.rows = rows,
                           .n = neurons,
                           .ldx = channels,
                           .is_wide = true,
                           .ldl = site->order ? natural_levels(site) : n,
                           .count = count};

    if (run->first > 1) {
        restore_states(run, site, r, rows, memory->o);
        args.o_in = memory->o;
        args.ldo_in = neurons;
    } else if (site->prior) {
        args.o_in = site->prior + token_class * neurons;
    }
    for (uint32_t t = run->first; t <= run->last; t++) {
        const size_t i = t - run->first;
        int16_t *const level = span->level + i * span->level_step + (r - span->first) * n;
        tspk_spike_counter *const counter = tspk_run_counter(run, worker, t);
        uint64_t fired = 0;

        args.table = tspk_site_table(run->plan, site, t, token_class);
        args.t = tspk_fire_factor(run->plan, t);
        args.x = span->x.at + i * span->x.step + (r - span->first) * channels;
        args.level = site->order ? memory->level : level;
        args.o_out = t < run->last || span->visit ? memory->o : NULL;
        args.ldo_out = neurons;
        run->plan->row_kernels->fire(&args);
        if (span->visit)
            span->visit(span->context, t, r, rows, args.o_out);
        args.o_in = args.o_out;
        args.ldo_in = neurons;
        if (tspk_is_state_kept(run))
            keep_codes(run, site, t, r, &args);
        if (site->order)
            place_levels(run, site, &args, level);
        counter->neurons += rows * channels;
        for (size_t k = 0; k < rows; k++) {
            tspk_count_spikes(site, counter, &count[k], tspk_fan_out_now(run, site, r + k));
            fired += count[k].spikes;
            if (record)
                record_row(record, site, t, place ? place[r + k] : r + k, args.x + k * channels,
                           level + k * n);
        }
        if (span->fired)
            span->fired[i] += fired;
    }
}

size_t tspk_fire_scratch_bytes(const tspk_spike_plan *plan, const tspk_site_plan *site)
{
    fire_memory memory;

    return carve_memory(plan, site, NULL, &memory);
}

void tspk_fire_rows(const tspk_spike_run *run, uint32_t id, const tspk_fire_span *span, int worker)
{
    static const char *const phases[] = {"neurons, linear", "neurons, query", "neurons, key",
                                         "neurons, value"};
    const tspk_site_plan *const site = &run->plan->site[id];
    const size_t end = span->first + span->rows;
    fire_memory memory;

    carve_memory(run->plan, site, tspk_run_scratch(run, worker), &memory);
    if (run->threads <= 1)
        tspk_enter_phase(run, phases[site->site->kind]);
    for (size_t r = span->first, rows; r < end; r += rows) {
        const size_t most = r + TSPK_FIRE_ROWS < end ? r + TSPK_FIRE_ROWS : end;

        rows = alike_rows(site, r, most);
        if (site->fan_out[r])
            fire_alike(run, id, span, r, rows, &memory, worker);
    }
    if (run->threads <= 1)
        tspk_leave_phase(run);
}
