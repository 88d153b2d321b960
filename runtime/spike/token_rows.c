/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/token_rows.h"

#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"

static uint32_t *counts(const tspk_spike_run *run)
{
    return (uint32_t *)(run->slot + run->plan->tokens.count_at);
}

static uint32_t *places(const tspk_spike_run *run, uint32_t space)
{
    const tspk_token_plan *const tokens = &run->plan->tokens;

    return (uint32_t *)(run->slot + tokens->place_at) + (size_t)space * tokens->most_rows;
}

static float *relevance(const tspk_spike_run *run, uint32_t space)
{
    const tspk_token_plan *const tokens = &run->plan->tokens;

    return (float *)(run->slot + tokens->relevance_at) + (size_t)space * tokens->most_rows;
}

void tspk_tokens_begin(const tspk_spike_run *run)
{
    const tspk_token_plan *const tokens = &run->plan->tokens;

    for (uint32_t s = 0; s < tokens->n_spaces; s++) {
        counts(run)[s] = tokens->rows[s];
        memset(relevance(run, s), 0, tokens->rows[s] * sizeof(float));
    }
}

uint32_t tspk_rows_now(const tspk_spike_run *run, uint32_t space, size_t all)
{
    return space == TSPK_NO_SPACE ? (uint32_t)all : counts(run)[space];
}

const uint32_t *tspk_places_now(const tspk_spike_run *run, uint32_t space)
{
    return space == TSPK_NO_SPACE || run->first == 1 ? NULL : places(run, space);
}

uint32_t tspk_fan_out_now(const tspk_spike_run *run, const tspk_site_plan *site, size_t r)
{
    return tspk_rows_now(run, site->other_space, site->fan_out[r]);
}

/* --- who is refined --- */

static size_t query_blocks(const tspk_attention_plan *at)
{
    return (at->queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS;
}

float *tspk_relevance_part(const tspk_spike_run *run, const tspk_attention_plan *at, size_t head,
                           size_t block)
{
    return (float *)(run->slot + run->plan->tokens.part_at) +
           (head * query_blocks(at) + block) * at->keys_padded;
}

void tspk_add_relevance(const tspk_spike_run *run, const tspk_attention_plan *at)
{
    float *const sum = relevance(run, at->key->space);
    const float *part = tspk_relevance_part(run, at, 0, 0);

    for (size_t i = 0; i < at->heads * query_blocks(at); i++, part += at->keys_padded)
        for (size_t j = 0; j < at->keys; j++)
            sum[j] += part[j];
}

/* The special rows of the last space and, of the others, those of greatest relevance, of equals the
 * first. */
static void choose(const tspk_spike_run *run)
{
    const tspk_token_plan *const tokens = &run->plan->tokens;
    const uint32_t last = tokens->n_spaces - 1;
    const float *const score = relevance(run, last);
    uint32_t *const chosen = places(run, last);
    uint32_t n = tokens->n_special;

    for (uint32_t r = 0; r < n; r++)
        chosen[r] = r;
    for (uint32_t r = n; r < tokens->rows[last]; r++) {
        uint32_t rank = tokens->n_special;

        for (uint32_t i = tokens->n_special; i < tokens->rows[last]; i++)
            rank += score[i] > score[r] || (score[i] == score[r] && i < r);
        if (rank < tokens->n_refined)
            chosen[n++] = r;
    }
    counts(run)[last] = n;
}

/* Rows of an earlier space are computed where the row that they went into is. */
static void choose_before(const tspk_spike_run *run, uint32_t space)
{
    const tspk_token_plan *const tokens = &run->plan->tokens;
    const tspk_node *const node = &run->plan->graph->node[tokens->map[space]];
    const int64_t *const map = tspk_run_value(run, node->out[0], run->first);
    const uint32_t *const behind = places(run, space + 1);
    uint32_t *const chosen = places(run, space);
    uint32_t n = 0;

    for (uint32_t r = 0; r < tokens->rows[space]; r++)
        for (uint32_t i = 0; i < counts(run)[space + 1]; i++)
            if (behind[i] == (uint32_t)map[r]) {
                chosen[n++] = r;
                break;
            }
    counts(run)[space] = n;
}

/* --- what is kept of rows moves to the front --- */

static void move_rows(const tspk_spike_run *run, uint32_t space, size_t at, size_t row_bytes)
{
    const uint32_t *const place = places(run, space);
    uint8_t *const rows = run->slot + at;

    for (uint32_t i = 0; i < counts(run)[space]; i++)
        if (place[i] != i)
            memcpy(rows + i * row_bytes, rows + place[i] * row_bytes, row_bytes);
}

static void move_attention(const tspk_spike_run *run, const tspk_attention_plan *at)
{
    const uint32_t space = at->query->space;
    const size_t keys = at->keys_padded, width = at->width_padded;

    if (space == TSPK_NO_SPACE)
        return;
    move_rows(run, space, at->query->level_at, at->query->n * sizeof(int16_t));
    for (size_t h = 0; h < at->heads; h++) {
        const size_t row = h * at->queries;

        move_rows(run, space, at->logit_at + row * keys * sizeof(float), keys * sizeof(float));
        move_rows(run, space, at->max_at + row * sizeof(float), sizeof(float));
        move_rows(run, space, at->acc_at + row * width * sizeof(float), width * sizeof(float));
        move_rows(run, space, at->code_at + row * keys, keys);
    }
}

/* Values of the first space that no spike changes and every step reads. */
static void move_values(const tspk_spike_run *run)
{
    const tspk_spike_plan *const plan = run->plan;

    for (uint32_t v = 0; v < plan->graph->n_values; v++) {
        const tspk_value *const value = &plan->graph->value[v];

        if (plan->root[v] == v && plan->tokens.space[v] != TSPK_NO_SPACE && !value->data &&
            !plan->version_bytes[v] && plan->value_at[v] < plan->state_bytes)
            move_rows(run, plan->tokens.space[v], plan->value_at[v],
                      tspk_shape_last(&value->shape) * sizeof(float));
    }
}

void tspk_refine_tokens(const tspk_spike_run *run)
{
    const tspk_spike_plan *const plan = run->plan;

    choose(run);
    for (uint32_t s = plan->tokens.n_spaces - 1; s-- > 0;)
        choose_before(run, s);
    move_values(run);
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        if (plan->linear[i].space != TSPK_NO_SPACE)
            move_rows(run, plan->linear[i].space, plan->linear[i].y_at,
                      plan->linear[i].linear->n_out * sizeof(float));
    /* later queries read all keys */
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        if (plan->site[i].space != TSPK_NO_SPACE && plan->site[i].site->kind != TSPK_SITE_KEY &&
            plan->site[i].site->kind != TSPK_SITE_NUMERATOR)
            move_rows(run, plan->site[i].space, plan->site[i].code_at, plan->site[i].neurons);
    for (uint32_t i = 0; i < plan->spikes->n_attentions; i++)
        move_attention(run, &plan->attention[i]);
}

/* --- nodes that see more than one row --- */

static void merge_relevance(const tspk_spike_run *run, uint32_t space, const int64_t *map)
{
    for (uint32_t r = 0; r < run->plan->tokens.rows[space]; r++)
        relevance(run, space + 1)[map[r]] += relevance(run, space)[r];
}

/* Rows by their place, and the map and sizes of the rows that are there. */
static tspk_status merge_refined(const tspk_spike_run *run, uint32_t n, uint32_t space,
                                 tspk_error *err)
{
    const tspk_spike_plan *const plan = run->plan;
    const tspk_node *const node = &plan->graph->node[n];
    const uint32_t rows = counts(run)[space], rows_behind = counts(run)[space + 1];
    const uint32_t *const place = places(run, space), *const behind = places(run, space + 1);
    const int64_t *const map = tspk_run_value(run, node->in[1], run->first);
    const float *const size = node->n_in > 2 ? tspk_run_value(run, node->in[2], run->first) : NULL;
    const int64_t width = (int64_t)tspk_shape_last(&plan->graph->value[node->in[0]].shape);
    int64_t *const own_map = (int64_t *)(void *)(run->slot + plan->tokens.merge_at);
    float *const own_size = (float *)(own_map + plan->tokens.most_rows);
    uint32_t *const row_at = (uint32_t *)(void *)(own_size + plan->tokens.most_rows);
    tspk_tensor in[3] = {
        {TSPK_DTYPE_F32, {3, {1, rows, width}}, tspk_run_value(run, node->in[0], run->first)},
        {TSPK_DTYPE_I64, {1, {rows}}, own_map},
        {TSPK_DTYPE_F32, {3, {1, rows, 1}}, own_size}};
    tspk_tensor out = {TSPK_DTYPE_F32,
                       {3, {1, rows_behind, width}},
                       tspk_run_value(run, node->out[0], run->first)};

    for (uint32_t i = 0; i < rows_behind; i++)
        row_at[behind[i]] = i;
    for (uint32_t i = 0; i < rows; i++) {
        own_map[i] = row_at[map[place[i]]];
        own_size[i] = size ? size[place[i]] : 1.0f;
    }
    return tspk_op_eval_with(plan->math, node, in, &out, NULL, err);
}

tspk_status tspk_run_merge(const tspk_spike_run *run, uint32_t n, tspk_error *err)
{
    const tspk_spike_plan *const plan = run->plan;
    const tspk_node *const node = &plan->graph->node[n];
    const uint32_t space = plan->tokens.space[plan->root[node->in[0]]];

    if (run->first > 1)
        return merge_refined(run, n, space, err);
    TSPK_TRY(tspk_run_eval(run, n, 1, err));
    merge_relevance(run, space, tspk_run_value(run, node->in[1], 1));
    return TSPK_OK;
}

void *tspk_whole_value(const tspk_spike_run *run, tspk_value_id id)
{
    const tspk_spike_plan *const plan = run->plan;
    const tspk_value_id root = plan->root[id];
    const uint32_t space = plan->tokens.space[root];
    const size_t bytes = tspk_shape_last(&plan->graph->value[root].shape) * sizeof(float);
    const uint8_t *const from = tspk_run_value(run, id, run->first);
    const uint32_t *const place = tspk_places_now(run, space);
    uint8_t *whole;

    if (space == TSPK_NO_SPACE)
        return (void *)(uintptr_t)from;
    whole = run->slot + plan->tokens.whole_at[root];
    for (uint32_t i = 0; i < counts(run)[space]; i++)
        memcpy(whole + (place ? place[i] : i) * bytes, from + i * bytes, bytes);
    return whole;
}
