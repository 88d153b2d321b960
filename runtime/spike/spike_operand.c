/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Query, key and value of an attention, docs/spikefile.md "Attention": their levels, and the two
 * terms of a logit that stand beside the product, from their states while these are near.
 */
#include <string.h>

#include "runtime/spike/token_rows.h"

typedef struct operand_visit {
    const tspk_spike_run *run;
    const tspk_attention_plan *at;
    float *decoded; /* [neurons] one row */
} operand_visit;

int16_t *tspk_operand_levels(const tspk_spike_run *run, const tspk_attention_plan *at,
                             tspk_operand operand, uint32_t t, size_t row)
{
    const tspk_site_plan *const site = &run->plan->site[tspk_operand_site(at, operand)];
    const uint32_t plane = operand == TSPK_QUERY ? t - 1 : t - run->first;

    return (int16_t *)(run->slot + site->level_at) +
           ((size_t)plane * site->site->rows + row) * site->n;
}

float *tspk_added_logits(const tspk_spike_run *run, const tspk_attention_plan *at, uint32_t t,
                         size_t token_class, size_t head)
{
    const size_t plane = (t - run->first) * run->plan->n_classes + token_class;

    return (float *)(run->slot + at->add_at) + (plane * at->heads + head) * at->keys_padded;
}

float *tspk_special_logits(const tspk_spike_run *run, const tspk_attention_plan *at, uint32_t t,
                           size_t query, size_t head)
{
    const size_t row = (t - run->first) * at->queries + query;

    return (float *)(run->slot + at->special_at) + (row * at->heads + head) * run->plan->n_classes;
}

/* k° of a row, or q*, which has an offset per class. */
static void decode_row(const operand_visit *visit, const tspk_site_plan *site, uint32_t t,
                       size_t row, const float *o, const float *offset)
{
    const tspk_spike_plan *const plan = visit->run->plan;
    const float count = tspk_fire_factor(plan, t);
    const uint32_t row_class = site->site->row_class[row];
    const float *const prior = site->prior ? site->prior + row_class * site->neurons : NULL;

    plan->row_kernels->decode(site->site->channels, o, prior, count > 1.0f ? count : 0.0f,
                              offset ? offset + row_class * site->site->channels : NULL,
                              visit->decoded);
}

/* For every query class and head, scale * b_q · k°(j). */
static void visit_key(const operand_visit *visit, uint32_t t, size_t j, const float *o)
{
    const tspk_attention_plan *const at = visit->at;
    const tspk_spike_plan *const plan = visit->run->plan;
    const size_t channels = at->key->site->channels;
    const float *const offset = at->query->params->step[t - 1].offset;

    if (offset)
        decode_row(visit, at->key, t, j, o, NULL);
    for (size_t k = 0; k < plan->n_classes; k++)
        for (size_t h = 0; h < at->heads; h++)
            tspk_added_logits(visit->run, at, t, k, h)[j] =
                offset
                    ? at->node->attr.scale *
                          plan->row_kernels->dot(at->depth, offset + k * channels + h * at->depth,
                                                 visit->decoded + h * at->depth)
                    : 0.0f;
}

static void visit_keys(void *context, uint32_t t, size_t row, size_t rows, const float *o)
{
    const operand_visit *const visit = context;
    const uint32_t *const place = tspk_places_now(visit->run, visit->at->key->space);

    for (size_t j = row; j < row + rows; j++, o += visit->at->key->neurons)
        visit_key(visit, t, place ? place[j] : j, o);
}

/* Levels of rows that lie side by side go to their places; between them nothing fires. */
static void spread_levels(const tspk_spike_run *run, const tspk_attention_plan *at,
                          tspk_operand operand)
{
    const tspk_site_plan *const site = &run->plan->site[tspk_operand_site(at, operand)];
    const uint32_t *const place = tspk_places_now(run, site->space);
    int16_t *const level = tspk_operand_levels(run, at, operand, run->first, 0);
    size_t end = site->site->rows;

    for (uint32_t i = tspk_rows_now(run, site->space, 0); i-- > 0; end = place[i]) {
        memmove(level + place[i] * site->n, level + i * site->n, site->n * sizeof *level);
        memset(level + (place[i] + 1) * site->n, 0, (end - place[i] - 1) * site->n * sizeof *level);
    }
    memset(level, 0, end * site->n * sizeof *level);
}

/* Keys that are not refined hold what they fired at step 1. */
static void visit_held_keys(const tspk_spike_run *run, const tspk_attention_plan *at)
{
    const tspk_site_plan *const site = at->key;
    const uint32_t *const place = tspk_places_now(run, site->space);
    const uint32_t n = tspk_rows_now(run, site->space, 0);
    tspk_carver carver = {tspk_run_scratch(run, run->worker), 0};
    const operand_visit visit = {run, at, tspk_carve(&carver, site->neurons * sizeof(float))};
    float *const o = tspk_carve(&carver, site->neurons * sizeof(float));
    uint32_t next = 0;

    for (uint32_t j = 0; j < site->site->rows; j++) {
        const uint32_t row_class = site->site->row_class[j];

        if (next < n && place[next] == j) {
            next++;
            continue;
        }
        run->plan->row_kernels->add_codes(
            site->neurons, tspk_site_table(run->plan, site, 1, row_class)->step, false,
            site->params->code_form, (int8_t *)(run->slot + site->code_at) + j * site->neurons,
            site->prior ? site->prior + row_class * site->neurons : NULL, o);
        visit_key(&visit, run->first, j, o);
    }
}

void tspk_hold_operands(const tspk_spike_run *run, const tspk_attention_plan *at)
{
    if (!tspk_places_now(run, at->key->space))
        return;
    spread_levels(run, at, TSPK_KEY);
    spread_levels(run, at, TSPK_VALUE);
    visit_held_keys(run, at);
}

/* For every head, scale * q*(i) · (b_k(κ) - b_k(0)) for every class but 0. */
static void visit_queries(void *context, uint32_t t, size_t row, size_t rows, const float *o)
{
    const operand_visit *const visit = context;
    const tspk_attention_plan *const at = visit->at;
    const tspk_spike_plan *const plan = visit->run->plan;
    const size_t channels = at->query->site->channels;
    const float *const offset = at->query->params->step[t - 1].offset;

    for (size_t i = row; i < row + rows; i++, o += at->query->neurons) {
        decode_row(visit, at->query, t, i, o, offset);
        for (size_t h = 0; h < at->heads; h++)
            for (uint32_t k = 1; k < plan->n_classes; k++)
                tspk_special_logits(visit->run, at, t, i, h)[k] =
                    at->node->attr.scale *
                    plan->row_kernels->dot(at->depth, visit->decoded + h * at->depth,
                                           at->key_offset +
                                               ((size_t)(t - 1) * plan->n_classes + k) * channels +
                                               h * at->depth);
    }
}

size_t tspk_operand_scratch_bytes(const tspk_spike_plan *plan, const tspk_attention_plan *at)
{
    const tspk_site_plan *const sites[] = {at->query, at->key, at->value};
    size_t most = 0;

    for (size_t i = 0; i < TSPK_OPERANDS; i++) {
        tspk_carver carver = {NULL, tspk_fire_scratch_bytes(plan, sites[i])};

        tspk_carve(&carver, sites[i]->neurons * sizeof(float));
        if (plan->tokens.n_spaces)
            tspk_carve(&carver, sites[i]->neurons * sizeof(float));
        most = carver.used > most ? carver.used : most;
    }
    return most;
}

void tspk_fire_operand(const tspk_spike_run *run, const tspk_attention_plan *at,
                       tspk_operand operand, size_t row, size_t rows, int worker)
{
    const uint32_t id = tspk_operand_site(at, operand);
    const tspk_site_plan *const site = &run->plan->site[id];
    tspk_carver carver = {tspk_run_scratch(run, worker), tspk_fire_scratch_bytes(run->plan, site)};
    operand_visit visit = {run, at, tspk_carve(&carver, site->neurons * sizeof(float))};
    tspk_fire_span span = {.first = row,
                           .rows = rows,
                           .x = tspk_rows_of(run, at->node->in[operand], row, worker),
                           .level = tspk_operand_levels(run, at, operand, run->first, row),
                           .level_step = site->site->rows * site->n,
                           .context = &visit};

    if (operand == TSPK_KEY)
        span.visit = visit_keys;
    else if (operand == TSPK_QUERY && at->key_offset && at->n_special)
        span.visit = visit_queries;
    tspk_fire_rows(run, id, &span, worker);
}
