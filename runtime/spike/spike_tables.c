/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds, levels, priors and fan-outs of every site, laid out as the kernels read them. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
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

/* One side of a table. */
static void fill_side(size_t n, uint32_t n_side, const tspk_channel_levels *levels, int side,
                      uint8_t *to)
{
    for (size_t i = 0; i < n; i++) {
        const uint32_t here = side ? levels[i].n_negative : levels[i].n_positive;
        const float *const threshold =
            side ? levels[i].negative_threshold : levels[i].positive_threshold;
        const int16_t *const level = side ? levels[i].negative : levels[i].positive;
        uint8_t *at = to + i / TSPK_FIRE_LANES * n_side * 2 * TSPK_FIRE_LANES + i % TSPK_FIRE_LANES;
        int before = 0;

        for (uint32_t k = 0; k < n_side; k++, at += 2 * TSPK_FIRE_LANES) {
            const int magnitude = k < here ? abs(level[k]) : before;
            const int bound = k < here ? (int)(2.0f * fabsf(threshold[k])) - 129 : 127;

            at[0] = (uint8_t)bound;
            at[TSPK_FIRE_LANES] = (uint8_t)(magnitude - before);
            before = magnitude;
        }
    }
}

/* Levels of the neurons of a row in one class at one step; numerators: FIRE_LANES alike a head. */
static tspk_status make_table(tspk_spike_plan *plan, tspk_site_plan *site, uint32_t step,
                              uint32_t class, tspk_channel_levels *levels, tspk_error *err)
{
    const float *const gain =
        site->params->step[step].gain + (size_t) class * site->site->channels;
    const bool is_numerator = site->site->kind == TSPK_SITE_NUMERATOR;
    const size_t n = is_numerator ? site->site->channels * TSPK_FIRE_LANES
                                  : pad_block(site->neurons);
    tspk_fire_table *const table = &site->table[(size_t)step * plan->n_classes + class];
    float *step_size, *reciprocal;
    uint8_t *sides[2];

    for (size_t i = 0; i < n; i++) {
        const size_t c = is_numerator ? i / TSPK_FIRE_LANES : i;

        memset(&levels[i], 0, sizeof levels[i]);
        if (c >= site->site->channels)
            continue;
        tspk_derive_channel_levels(site->site->unit[c], gain[c], site->params, step, class,
                                   &levels[i]);
        if (levels[i].n_positive > table->n_side[0])
            table->n_side[0] = levels[i].n_positive;
        if (levels[i].n_negative > table->n_side[1])
            table->n_side[1] = levels[i].n_negative;
    }
    for (int side = 0; side < 2; side++)
        table->n_side[side] += table->n_side[side] % 2;
    step_size = tspk_arena_array(plan->arena, n, sizeof *step_size);
    reciprocal = tspk_arena_array(plan->arena, n, sizeof *reciprocal);
    if (!step_size || !reciprocal)
        return NO_MEMORY(err);
    for (size_t i = 0; i < n; i++) {
        step_size[i] = levels[i].reciprocal > 0.0f ? levels[i].step : 0.0f;
        reciprocal[i] = 2.0f * levels[i].reciprocal;
    }
    for (int side = 0; side < 2; side++) {
        sides[side] = tspk_arena_array(plan->arena, n, 2 * (size_t)table->n_side[side]);
        if (!sides[side])
            return NO_MEMORY(err);
        fill_side(n, table->n_side[side], levels, side, sides[side]);
        table->side[side] = sides[side];
    }
    table->step = step_size;
    table->reciprocal = reciprocal;
    table->is_mirrored = table->n_side[0] == table->n_side[1] &&
                         !memcmp(sides[0], sides[1], n * 2 * table->n_side[0]);
    return TSPK_OK;
}

static tspk_status make_prior(tspk_spike_plan *plan, tspk_site_plan *site, tspk_error *err)
{
    if (!site->params->prior || plan->point->coding == TSPK_CODING_RATE)
        return TSPK_OK;
    site->prior = tspk_arena_array(plan->arena, plan->n_classes * site->neurons, sizeof *site->prior);
    if (!site->prior)
        return NO_MEMORY(err);
    for (size_t k = 0; k < plan->n_classes; k++)
        memcpy(site->prior + k * site->neurons,
               site->params->prior + k * site->site->channels,
               site->site->channels * sizeof *site->prior);
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
    tspk_arena *scratch;
    tspk_channel_levels *levels;
    tspk_status status = TSPK_OK;
    uint64_t a_row;

    at->site = site;
    at->params = &plan->point->site[id];
    at->weight_bits = 8;
    at->is_wide = is_beyond_bytes(plan, at->params);
    at->o_at = at->level_at = at->code_at = at->fired_at = TSPK_NOWHERE;
    a_row = site->channels;
    at->neurons =
        tspk_pad_lanes(site->kind == TSPK_SITE_NUMERATOR ? site->keys : site->channels);
    at->n = at->neurons;
    if (site->kind == TSPK_SITE_LINEAR) {
        if (site->channels >= TSPK_MAX_ORDERED)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%u channels, expected fewer than %zu",
                             site->channels, TSPK_MAX_ORDERED);
        at->pairs = tspk_pad_step(site->group_size) / 2;
        at->n = tspk_pad_lanes(site->n_groups * 2 * at->pairs);
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
    scratch = tspk_arena_new(0);
    levels = scratch ? tspk_arena_array(scratch,
                                        site->kind == TSPK_SITE_NUMERATOR
                                            ? site->channels * TSPK_FIRE_LANES
                                            : pad_block(at->neurons),
                                        sizeof *levels)
                     : NULL;
    if (!levels)
        status = NO_MEMORY(err);
    for (uint32_t t = 0; t < plan->steps && status == TSPK_OK; t++)
        for (uint32_t k = 0; k < plan->n_classes && status == TSPK_OK; k++)
            status = make_table(plan, at, t, k, levels, err);
    tspk_arena_free(scratch);
    return status;
}

tspk_status tspk_plan_sites(tspk_spike_plan *plan, tspk_error *err)
{
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, plan_site(plan, i, err), plan->spikes->site[i].name));
    return TSPK_OK;
}
