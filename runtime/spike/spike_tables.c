/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds, levels, priors and fan-outs of every site, laid out as the kernels read them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/spike/spike_plan.h"

#define NO_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the session's tables")

static size_t pad_block(size_t n)
{
    return (n + TSPK_FIRE_LANES - 1) / TSPK_FIRE_LANES * TSPK_FIRE_LANES;
}

/* Channel of position i of a row of levels, UINT32_MAX for padding. */
static uint32_t channel_at(const tspk_site_plan *plan, size_t i)
{
    const tspk_site *const site = plan->site;
    const size_t group = i / (2 * plan->pairs), within = i % (2 * plan->pairs);

    if (group >= site->n_groups || within >= site->group_size)
        return UINT32_MAX;
    return site->order[group * site->group_size + within];
}

/* Rows of table that the ladder may need on a side, an even number: gains only shrink levels, and
 * levels that round alike count once. */
static uint32_t most_levels(const tspk_ladder *ladder, int side)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ladder->n_values; i++)
        n += side ? ladder->value[i] < 0.0f : ladder->value[i] > 0.0f;
    return n + n % 2;
}

/* One lane of one side of a block of neurons. */
static void fill_lane(const tspk_channel_levels *levels, int side, uint32_t n_rows, size_t lane,
                      uint8_t *block)
{
    const uint32_t here = side ? levels->n_negative : levels->n_positive;
    const float *const threshold = side ? levels->negative_threshold : levels->positive_threshold;
    const int16_t *const level = side ? levels->negative : levels->positive;
    uint8_t *at = block + lane;
    int before = 0;

    for (uint32_t k = 0; k < here; k++, at += 2 * TSPK_FIRE_LANES) {
        const int magnitude = abs(level[k]);

        at[0] = (uint8_t)((int)(2.0f * fabsf(threshold[k])) - 129);
        at[TSPK_FIRE_LANES] = (uint8_t)(magnitude - before);
        before = magnitude;
    }
    for (uint32_t k = here; k < n_rows; k++, at += 2 * TSPK_FIRE_LANES) {
        at[0] = 127;
        at[TSPK_FIRE_LANES] = 0;
    }
}

/* The other lanes of a block like its first. */
static void repeat_first_lane(uint32_t n_rows, uint8_t *block)
{
    for (uint32_t k = 0; k < 2 * n_rows; k++)
        memset(block + k * TSPK_FIRE_LANES, block[k * TSPK_FIRE_LANES], TSPK_FIRE_LANES);
}

/* Leaves out the rows of each block that no neuron needs. */
static void keep_rows(size_t n, uint32_t from, uint32_t to, uint8_t *side)
{
    const size_t row = 2 * TSPK_FIRE_LANES;

    for (size_t b = 1; from != to && b < n / TSPK_FIRE_LANES; b++)
        memmove(side + b * to * row, side + b * from * row, to * row);
}

/* Neurons of a row as a table has them: numerators are FIRE_LANES alike a head. */
static size_t table_neurons(const tspk_site_plan *site)
{
    return site->site->kind == TSPK_SITE_NUMERATOR ? site->site->channels * TSPK_FIRE_LANES
                                                   : pad_block(site->neurons);
}

static tspk_status take_table(tspk_spike_plan *plan, const tspk_site_plan *site, uint32_t step,
                              uint32_t class, tspk_error *err)
{
    const tspk_ladder *const ladder = &site->params->step[step].ladder[class];
    const size_t n = table_neurons(site);
    tspk_fire_table *const table = &site->table[(size_t)step * plan->n_classes + class];

    table->step = tspk_arena_array(plan->arena, n, sizeof *table->step);
    table->reciprocal = tspk_arena_array(plan->arena, n, sizeof *table->reciprocal);
    for (int side = 0; side < 2; side++)
        table->side[side] = tspk_arena_array(plan->arena, n, 2 * (size_t)most_levels(ladder, side));
    return table->step && table->reciprocal && table->side[0] && table->side[1] ? TSPK_OK
                                                                                : NO_MEMORY(err);
}

/* Levels of the neurons of a row in one class at one step. */
static void fill_table(const tspk_spike_plan *plan, const tspk_site_plan *site, uint32_t step,
                       uint32_t class)
{
    const tspk_ladder *const ladder = &site->params->step[step].ladder[class];
    const float *const gain = site->params->step[step].gain + (size_t) class * site->site->channels;
    const size_t alike = site->site->kind == TSPK_SITE_NUMERATOR ? TSPK_FIRE_LANES : 1;
    const size_t n = table_neurons(site);
    const uint32_t most[2] = {most_levels(ladder, 0), most_levels(ladder, 1)};
    tspk_fire_table *const table = &site->table[(size_t)step * plan->n_classes + class];
    uint8_t *const sides[2] = {(uint8_t *)(uintptr_t)table->side[0],
                               (uint8_t *)(uintptr_t)table->side[1]};
    float *const step_size = (float *)(uintptr_t)table->step;
    float *const reciprocal = (float *)(uintptr_t)table->reciprocal;
    uint32_t used[2] = {0, 0};

    for (size_t i = 0; i < n; i += alike) {
        const size_t at = i / alike, block = i / TSPK_FIRE_LANES * 2 * TSPK_FIRE_LANES;
        const size_t c = site->channel && at < site->site->channels ? site->channel[at] : at;
        tspk_channel_levels levels;

        levels.n_positive = levels.n_negative = 0;
        levels.step = levels.reciprocal = 0.0f;
        if (c < site->site->channels)
            tspk_derive_channel_levels(site->site->unit[c], gain[c], site->params, step, class,
                                       &levels);
        used[0] = levels.n_positive > used[0] ? levels.n_positive : used[0];
        used[1] = levels.n_negative > used[1] ? levels.n_negative : used[1];
        for (int side = 0; side < 2; side++) {
            fill_lane(&levels, side, most[side], i % TSPK_FIRE_LANES,
                      sides[side] + block * most[side]);
            if (alike > 1)
                repeat_first_lane(most[side], sides[side] + block * most[side]);
        }
        for (size_t l = i; l < i + alike; l++) {
            step_size[l] = levels.reciprocal > 0.0f ? levels.step : 0.0f;
            reciprocal[l] = 2.0f * levels.reciprocal;
        }
    }
    for (int side = 0; side < 2; side++) {
        table->n_side[side] = used[side] + used[side] % 2;
        keep_rows(n, most[side], table->n_side[side], sides[side]);
    }
    table->is_mirrored = table->n_side[0] == table->n_side[1] &&
                         !memcmp(sides[0], sides[1], n * 2 * table->n_side[0]);
}

static tspk_status make_prior(tspk_spike_plan *plan, tspk_site_plan *site, tspk_error *err)
{
    if (!site->params->prior || plan->point->coding == TSPK_CODING_RATE)
        return TSPK_OK;
    site->prior =
        tspk_arena_array(plan->arena, plan->n_classes * site->neurons, sizeof *site->prior);
    if (!site->prior)
        return NO_MEMORY(err);
    for (size_t k = 0; k < plan->n_classes; k++)
        for (size_t c = 0; c < site->site->channels; c++)
            site->prior[k * site->neurons + c] =
                site->params
                    ->prior[k * site->site->channels + (site->channel ? site->channel[c] : c)];
    return TSPK_OK;
}

/* Only powers of two reach 128. */
static bool is_beyond_bytes(const tspk_spike_plan *plan, const tspk_site_params *params)
{
    bool is_beyond = false;

    for (uint32_t t = 0; t < plan->steps; t++)
        for (uint32_t k = 0; k < plan->n_classes; k++) {
            const tspk_ladder *const ladder = &params->step[t].ladder[k];

            for (uint32_t i = 0; i < ladder->n_values; i++)
                is_beyond |= fabsf(ladder->value[i]) > (float)TSPK_MAX_CODE;
        }
    return is_beyond && params->code_form == TSPK_CODE_EXPONENT;
}

static tspk_status plan_site(tspk_spike_plan *plan, uint32_t id, tspk_error *err)
{
    tspk_site_plan *const at = &plan->site[id];
    const tspk_site *const site = &plan->spikes->site[id];
    uint64_t a_row;

    at->site = site;
    at->params = &plan->point->site[id];
    at->weight_bits = 8;
    at->is_wide = is_beyond_bytes(plan, at->params);
    at->level_at = at->code_at = at->fired_at = TSPK_NOWHERE;
    a_row = site->channels;
    at->neurons = tspk_pad_lanes(site->kind == TSPK_SITE_NUMERATOR ? site->keys : site->channels);
    at->n = at->neurons;
    if (site->kind == TSPK_SITE_LINEAR) {
        if (site->channels >= TSPK_MAX_ORDERED)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%u channels, expected fewer than %zu",
                             site->channels, TSPK_MAX_ORDERED);
        at->pairs = tspk_pad_step(site->group_size) / 2;
        at->n = tspk_pad_lanes(site->n_groups * 2 * at->pairs);
    }
    if (site->kind == TSPK_SITE_LINEAR && !at->channel) {
        at->order = tspk_arena_array(plan->arena, at->n, sizeof *at->order);
        if (!at->order)
            return NO_MEMORY(err);
        at->ordered = site->channels;
        for (size_t i = 0; i < at->n; i++) {
            at->order[i] = channel_at(at, i);
            if (at->order[i] == UINT32_MAX) {
                at->order[i] = site->channels;
                at->ordered = site->channels + 1;
            }
        }
    } else if (site->kind == TSPK_SITE_NUMERATOR) {
        a_row = (uint64_t)site->channels * site->keys;
    }
    at->fan_out = tspk_arena_array(plan->arena, site->rows, sizeof *at->fan_out);
    at->table =
        tspk_arena_array(plan->arena, (size_t)plan->steps * plan->n_classes, sizeof *at->table);
    if (!at->fan_out || !at->table)
        return NO_MEMORY(err);
    for (uint32_t r = 0; r < site->rows; r++) {
        at->fan_out[r] = tspk_site_fan_out(plan->spikes, id, r);
        at->n_neurons += at->fan_out[r] ? a_row : 0;
    }
    TSPK_TRY(make_prior(plan, at, err));
    for (uint32_t t = 0; t < plan->steps; t++)
        for (uint32_t k = 0; k < plan->n_classes; k++)
            TSPK_TRY(take_table(plan, at, t, k, err));
    return TSPK_OK;
}

static void fill_site(void *context, size_t i, int worker)
{
    const tspk_spike_plan *const plan = context;

    (void)worker;
    for (uint32_t t = 0; t < plan->steps; t++)
        for (uint32_t k = 0; k < plan->n_classes; k++)
            fill_table(plan, &plan->site[i], t, k);
}

tspk_status tspk_plan_sites(tspk_spike_plan *plan, tspk_error *err)
{
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, plan_site(plan, i, err), plan->spikes->site[i].name));
    tspk_parallel_for(tspk_opening_threads(), plan->spikes->n_sites, fill_site, plan);
    return TSPK_OK;
}
