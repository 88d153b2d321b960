/* SPDX-License-Identifier: Apache-2.0 */
/* Thresholds, levels, priors and fan-outs of every site, laid out as the kernels read them. */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "runtime/spike/spike_plan.h"

#define NO_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the session's tables")

/* Channel of neuron i of a row, UINT32_MAX for padding. */
static uint32_t channel_of(const tspk_site_plan *plan, size_t i)
{
    const tspk_site *const site = plan->site;

    if (site->kind == TSPK_SITE_LINEAR) {
        const size_t group = i / (2 * plan->pairs), within = i % (2 * plan->pairs);

        if (group >= site->n_groups || within >= site->group_size)
            return UINT32_MAX;
        return site->order[group * site->group_size + within];
    }
    return i < site->channels ? (uint32_t)i : UINT32_MAX;
}

/* Levels of the channels of one class at one step; `alike` numerators have an entry a head. */
static tspk_status make_table(tspk_spike_plan *plan, tspk_site_plan *site, uint32_t step,
                              uint32_t class, tspk_channel_levels *levels, tspk_error *err)
{
    const tspk_site_step *const params = &site->params->step[step];
    const size_t n =
        site->site->kind == TSPK_SITE_NUMERATOR ? tspk_pad_lanes(site->site->channels) : site->n;
    tspk_fire_table *const table = &site->table[(size_t)step * plan->n_classes + class];
    float *step_size, *reciprocal, *thresholds[2], *values[2];

    table->stride = n;
    for (size_t i = 0; i < n; i++) {
        const uint32_t c = channel_of(site, i);

        memset(&levels[i], 0, sizeof levels[i]);
        if (c == UINT32_MAX)
            continue;
        tspk_derive_channel_levels(site->site->unit[c], params->scale[class],
                                   &params->ladder[class],
                                   params->gain[(size_t) class * site->site->channels + c],
                                   site->params->fire_rule, site->params->code_form, &levels[i]);
        if (levels[i].n_positive > table->n_positive)
            table->n_positive = levels[i].n_positive;
        if (levels[i].n_negative > table->n_negative)
            table->n_negative = levels[i].n_negative;
    }
    step_size = tspk_arena_array(plan->arena, n, sizeof *step_size);
    reciprocal = tspk_arena_array(plan->arena, n, sizeof *reciprocal);
    thresholds[0] = tspk_arena_array(plan->arena, n * table->n_positive, sizeof(float));
    values[0] = tspk_arena_array(plan->arena, n * table->n_positive, sizeof(float));
    thresholds[1] = tspk_arena_array(plan->arena, n * table->n_negative, sizeof(float));
    values[1] = tspk_arena_array(plan->arena, n * table->n_negative, sizeof(float));
    if (!step_size || !reciprocal || !thresholds[0] || !values[0] || !thresholds[1] || !values[1])
        return NO_MEMORY(err);
    for (size_t i = 0; i < n; i++) {
        step_size[i] = levels[i].reciprocal > 0.0f ? levels[i].step : 0.0f;
        reciprocal[i] = levels[i].reciprocal;
        for (uint32_t k = 0; k < table->n_positive; k++) {
            const bool is_there = k < levels[i].n_positive;

            thresholds[0][k * n + i] = is_there ? levels[i].positive_threshold[k] : INFINITY;
            values[0][k * n + i] = is_there ? (float)levels[i].positive[k] : 0.0f;
        }
        for (uint32_t k = 0; k < table->n_negative; k++) {
            const bool is_there = k < levels[i].n_negative;

            thresholds[1][k * n + i] = is_there ? levels[i].negative_threshold[k] : -INFINITY;
            values[1][k * n + i] = is_there ? (float)levels[i].negative[k] : 0.0f;
        }
    }
    table->step = step_size;
    table->reciprocal = reciprocal;
    table->positive_threshold = thresholds[0];
    table->positive_level = values[0];
    table->negative_threshold = thresholds[1];
    table->negative_level = values[1];
    return TSPK_OK;
}

static tspk_status make_prior(tspk_spike_plan *plan, tspk_site_plan *site, tspk_error *err)
{
    if (!site->params->prior || plan->point->coding == TSPK_CODING_RATE)
        return TSPK_OK;
    site->prior = tspk_arena_array(plan->arena, plan->n_classes * site->n, sizeof *site->prior);
    if (!site->prior)
        return NO_MEMORY(err);
    for (uint32_t k = 0; k < plan->n_classes; k++)
        for (size_t i = 0; i < site->n; i++) {
            const uint32_t c = channel_of(site, i);

            if (c != UINT32_MAX)
                site->prior[k * site->n + i] =
                    site->params->prior[(size_t)k * site->site->channels + c];
        }
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
    at->o_at = at->level_at = TSPK_NOWHERE;
    a_row = site->channels;
    if (site->kind == TSPK_SITE_LINEAR) {
        at->pairs = tspk_pad_step(site->group_size) / 2;
        at->n = tspk_pad_lanes(site->n_groups * 2 * at->pairs);
        at->gather = tspk_arena_array(plan->arena, at->n, sizeof *at->gather);
        if (!at->gather)
            return NO_MEMORY(err);
        for (size_t i = 0; i < at->n; i++) {
            const uint32_t c = channel_of(at, i);

            at->gather[i] = c == UINT32_MAX ? 0 : c;
        }
    } else if (site->kind == TSPK_SITE_NUMERATOR) {
        at->n = tspk_pad_lanes(site->keys);
        a_row = (uint64_t)site->channels * site->keys;
    } else {
        at->n = tspk_pad_lanes(site->channels);
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
                                        at->n > tspk_pad_lanes(site->channels)
                                            ? at->n
                                            : tspk_pad_lanes(site->channels),
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
