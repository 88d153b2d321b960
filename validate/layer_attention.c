/* SPDX-License-Identifier: Apache-2.0 */
/* The four sites of an Attention on one image: operands decoded or passed through, numerators that
 * fire or do not. */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/blas.h"
#include "runtime/spike/spike_exec.h"
#include "validate/layer_walk.h"

#define MAX_LOG_RISE 1.3862943611198906 /* ln 4 */

enum { QUERY, KEY, VALUE, OPERANDS };

typedef struct attention {
    tspk_walk *walk;
    const tspk_spike_attention *record;
    const tspk_node *node;
    tspk_node_id node_id;
    uint32_t site[OPERANDS];
    const tspk_site *operand[OPERANDS], *numerator;
    size_t heads, n, m, d, e; /* queries, keys, channels a head of q and k, of v */
    const float *bias;        /* or NULL; of the version that is computed */
    size_t bias_head, bias_row;
    float *decoded[OPERANDS]; /* of the step */
    float *x;                 /* [n, m] one head's numerators */
    float *softmax;           /* [heads, n, m] the source network's */
    float *state;             /* [heads, n, m] fired so far */
    float *maximum;           /* [heads, n] */
    float *before;            /* [m] a row's state before it fires */
} attention;

static size_t elems_of(const tspk_site *site)
{
    return (size_t)site->rows * site->channels;
}

static const float *offset_of(const attention *a, int operand, uint32_t t)
{
    return a->walk->plan->point->site[a->site[operand]].step[t - 1].offset;
}

static void set_bias(attention *a, uint32_t version)
{
    const tspk_value_id id = a->node->n_in > 3 ? a->node->in[3] : TSPK_ID_NONE;

    a->bias = NULL;
    if (id == TSPK_ID_NONE)
        return;
    a->bias = tspk_walk_find(a->walk, id, version);
    tspk_bias_strides(&a->walk->plan->graph->value[id].shape, &a->bias_head, &a->bias_row);
}

/* exp(logit - maximum) of one head into a->x; sums [n]. At step 0 nothing is kept. */
static void soften_head(const attention *a, size_t head, uint32_t t, const float *q, const float *k,
                        float *sum)
{
    tspk_sgemm(true, a->n, a->m, a->d, a->node->attr.scale, q + head * a->d,
               a->operand[QUERY]->channels, k + head * a->d, a->operand[KEY]->channels, 0.0f, a->x,
               a->m);
    for (size_t i = 0; i < a->n; i++) {
        float *const row = a->x + i * a->m, *const kept = &a->maximum[head * a->n + i];
        float most = -INFINITY;
        double total = 0;

        for (size_t j = 0; j < a->m; j++) {
            if (a->bias)
                row[j] += a->bias[head * a->bias_head + i * a->bias_row + j];
            most = row[j] > most ? row[j] : most;
        }
        if (t <= 1 || !a->record->is_max_fixed || (double)(most - *kept) > MAX_LOG_RISE)
            *kept = most;
        for (size_t j = 0; j < a->m; j++) {
            row[j] = expf(row[j] - *kept);
            total += (double)row[j];
        }
        sum[i] = (float)total;
    }
}

static tspk_status soften_source(const attention *a, const float *q, const float *k,
                                 tspk_error *err)
{
    float *const sum = tspk_walk_take(a->walk, a->n * sizeof *sum);

    if (!sum)
        return tspk_walk_no_memory(err);
    for (size_t h = 0; h < a->heads; h++) {
        soften_head(a, h, 0, q, k, sum);
        for (size_t i = 0; i < a->n * a->m; i++)
            a->softmax[h * a->n * a->m + i] = a->x[i] / sum[i / a->m];
    }
    tspk_walk_give(a->walk, sum);
    return TSPK_OK;
}

/* Fires one row of a->x; the state then stands for softmax weights times `unit`. */
static void fire_row(const attention *a, size_t head, size_t i, uint32_t t, float unit,
                     bool is_counted)
{
    const uint32_t site = a->record->numerator;
    const tspk_layer_plan *const plan = a->walk->plan;
    tspk_layer_sums *const sums = tspk_walk_sums(a->walk, site, t);
    float *const state = a->state + (head * a->n + i) * a->m;
    const float *const source = a->softmax + (head * a->n + i) * a->m;
    const float decode = plan->point->coding == TSPK_CODING_RATE ? 1.0f / (float)t : 1.0f;
    const double factor = (double)decode / (double)unit;

    memcpy(a->before, state, a->m * sizeof *state);
    tspk_neuron_bank_fire_channel(tspk_layer_bank(plan, site, t, a->numerator->row_class[i]),
                                  plan->point->coding, t, (uint32_t)head, a->x + i * a->m, state,
                                  a->m);
    if (!is_counted)
        return;
    sums->neurons += (double)a->m;
    for (size_t j = 0; j < a->m; j++) {
        const double error = (double)state[j] * factor - (double)source[j];

        sums->fired += state[j] != a->before[j];
        sums->signal += (double)source[j] * (double)source[j];
        sums->noise += error * error;
    }
}

/* y of step t: numerators fire, v stands without its constant part, which the exact softmax weighs.
 */
static void attend_head(const attention *a, size_t head, uint32_t t, const float *sum,
                        const float *v, bool is_counted, float *y)
{
    const tspk_layer_plan *const plan = a->walk->plan;
    const tspk_site *const value = a->operand[VALUE];
    const size_t width = value->channels;
    const float decode = plan->point->coding == TSPK_CODING_RATE ? 1.0f / (float)t : 1.0f;
    const float *const offset = offset_of(a, VALUE, t);
    float mass[TSPK_MAX_TOKEN_CLASSES];

    for (size_t i = 0; i < a->n && a->record->is_quotient; i++)
        for (size_t j = 0; j < a->m; j++)
            a->x[i * a->m + j] /= sum[i];
    for (size_t i = 0; i < a->n; i++)
        fire_row(a, head, i, t, a->record->is_quotient ? 1.0f : sum[i], is_counted);
    tspk_sgemm(false, a->n, a->e, a->m, decode, a->state + head * a->n * a->m, a->m,
               v + head * a->e, width, 0.0f, y + head * a->e, width);
    for (size_t i = 0; i < a->n; i++) {
        const float share = a->record->is_quotient ? 1.0f : 1.0f / sum[i];
        float *const to = y + i * width + head * a->e;

        memset(mass, 0, sizeof mass);
        for (size_t j = 0; j < a->m; j++)
            mass[value->row_class[j]] += a->x[i * a->m + j] * share;
        for (size_t c = 0; c < a->e; c++) {
            to[c] *= share;
            for (uint32_t k = 0; offset && k < plan->spikes->n_classes; k++)
                to[c] += mass[k] * offset[k * width + head * a->e + c];
        }
    }
}

static tspk_status attend(const attention *a, uint32_t t, const float *q, const float *k,
                          const float *v, bool is_counted, float *y, tspk_error *err)
{
    float *const sum = tspk_walk_take(a->walk, a->n * sizeof *sum);

    if (!sum)
        return tspk_walk_no_memory(err);
    for (size_t h = 0; h < a->heads; h++) {
        soften_head(a, h, t, q, k, sum);
        attend_head(a, h, t, sum, v, is_counted, y);
    }
    tspk_walk_give(a->walk, sum);
    return TSPK_OK;
}

/* The Attention in float on these operands, then the rest of the network. */
static tspk_status pass(const attention *a, uint32_t version, const float *q, const float *k,
                        const float *v, double *kl, tspk_error *err)
{
    const tspk_value_id id = a->node->n_in > 3 ? a->node->in[3] : TSPK_ID_NONE;
    void *const in[4] = {(void *)(uintptr_t)q, (void *)(uintptr_t)k, (void *)(uintptr_t)v,
                         id == TSPK_ID_NONE ? NULL : tspk_walk_find(a->walk, id, version)};
    void **const out = &a->walk->overlay[a->node->out[0]];

    TSPK_TRY(tspk_walk_make(a->walk, a->node->out[0], out, err));
    TSPK_TRY(tspk_walk_eval(a->walk, a->node, in, out, err));
    return tspk_walk_rest(a->walk, a->node_id, version, kl, err);
}

static const float *value_at(const attention *a, int operand, uint32_t version)
{
    return tspk_walk_find(a->walk, a->node->in[operand], version);
}

/* What an operand decodes to at step t, with its constant part, into a->decoded. */
static tspk_status decode(const attention *a, int operand, uint32_t t, const float *x, float *state,
                          bool is_counted, tspk_error *err)
{
    const uint32_t site = a->site[operand];

    TSPK_TRY(tspk_walk_fire(a->walk, site, t, x, state, is_counted, err));
    tspk_walk_decode(a->walk, site, t, state, a->decoded[operand]);
    tspk_walk_add(a->walk, site, 1.0f, offset_of(a, operand, t), a->decoded[operand]);
    if (is_counted)
        tspk_walk_measure(a->walk, site, t, value_at(a, operand, 0), a->decoded[operand]);
    return TSPK_OK;
}

/* One operand alone spikes. */
static tspk_status run_operand_alone(const attention *a, int operand, tspk_error *err)
{
    const uint32_t site = a->site[operand];
    const float *in[OPERANDS] = {value_at(a, QUERY, 0), value_at(a, KEY, 0), value_at(a, VALUE, 0)};
    const float *const x = in[operand];
    float *const state = tspk_walk_start(a->walk, site);

    if (!state)
        return tspk_walk_no_memory(err);
    in[operand] = a->decoded[operand];
    for (uint32_t t = 1; t <= a->walk->plan->steps; t++) {
        TSPK_TRY(decode(a, operand, t, x, state, false, err));
        TSPK_TRY(pass(a, 0, in[QUERY], in[KEY], in[VALUE],
                      &tspk_walk_sums(a->walk, site, t)->kl_alone, err));
    }
    tspk_walk_give(a->walk, state);
    return TSPK_OK;
}

static void clear_state(const attention *a)
{
    memset(a->state, 0, a->heads * a->n * a->m * sizeof *a->state);
}

static tspk_status run_numerators_alone(attention *a, tspk_error *err)
{
    const float *const value = value_at(a, VALUE, 0);
    float *const v = a->decoded[VALUE];

    clear_state(a);
    set_bias(a, 0);
    for (uint32_t t = 1; t <= a->walk->plan->steps; t++) {
        void **const out = &a->walk->overlay[a->node->out[0]];

        memcpy(v, value, elems_of(a->operand[VALUE]) * sizeof *v);
        tspk_walk_add(a->walk, a->site[VALUE], -1.0f, offset_of(a, VALUE, t), v);
        TSPK_TRY(tspk_walk_make(a->walk, a->node->out[0], out, err));
        TSPK_TRY(attend(a, t, value_at(a, QUERY, 0), value_at(a, KEY, 0), v, false, *out, err));
        TSPK_TRY(tspk_walk_rest(a->walk, a->node_id, 0,
                                &tspk_walk_sums(a->walk, a->record->numerator, t)->kl_alone, err));
    }
    return TSPK_OK;
}

/* The logits are without q·b_k(0), which is constant along a row but not over the steps: a maximum
 * that is fixed would see it. docs/spikefile.md, "Attention". */
static void drop_key_constant(const attention *a, uint32_t t)
{
    const float *const offset = offset_of(a, KEY, t);
    const size_t width = a->operand[KEY]->channels;

    for (size_t i = 0; offset && i < elems_of(a->operand[KEY]); i++)
        a->decoded[KEY][i] -= offset[i % width];
}

/* Step t with everything upstream spiking: q, then k, then v, then the numerators join in. */
static tspk_status run_step(attention *a, uint32_t t, float *const *state, tspk_error *err)
{
    tspk_walk *const walk = a->walk;
    void **const out = &walk->value[(size_t)t * walk->plan->graph->n_values + a->node->out[0]];

    for (int i = 0; i < OPERANDS; i++) {
        TSPK_TRY(decode(a, i, t, value_at(a, i, t), state[i], true, err));
        TSPK_TRY(pass(a, t, a->decoded[QUERY], i < KEY ? value_at(a, KEY, t) : a->decoded[KEY],
                      i < VALUE ? value_at(a, VALUE, t) : a->decoded[VALUE],
                      &tspk_walk_sums(walk, a->site[i], t)->kl_cumulative, err));
    }
    tspk_walk_add(walk, a->site[VALUE], -1.0f, offset_of(a, VALUE, t), a->decoded[VALUE]);
    drop_key_constant(a, t);
    set_bias(a, t);
    TSPK_TRY(tspk_walk_make(walk, a->node->out[0], out, err));
    TSPK_TRY(attend(a, t, a->decoded[QUERY], a->decoded[KEY], a->decoded[VALUE], true, *out, err));
    return tspk_walk_rest(walk, a->node_id, t,
                          &tspk_walk_sums(walk, a->record->numerator, t)->kl_cumulative, err);
}

/* Version 0, then each site alone, then all of them step by step. */
static tspk_status run_all(attention *a, tspk_error *err)
{
    void *in[4] = {NULL}, **const out = &a->walk->value[a->node->out[0]];
    float *state[OPERANDS];

    set_bias(a, 0);
    TSPK_TRY(soften_source(a, value_at(a, QUERY, 0), value_at(a, KEY, 0), err));
    for (int i = 0; i < OPERANDS; i++)
        TSPK_TRY(run_operand_alone(a, i, err));
    TSPK_TRY(run_numerators_alone(a, err));
    for (uint32_t i = 0; i < a->node->n_in; i++)
        if (a->node->in[i] != TSPK_ID_NONE)
            in[i] = tspk_walk_find(a->walk, a->node->in[i], 0);
    TSPK_TRY(tspk_walk_make(a->walk, a->node->out[0], out, err));
    TSPK_TRY(tspk_walk_eval(a->walk, a->node, in, out, err));
    clear_state(a);
    for (int i = 0; i < OPERANDS; i++)
        if (!(state[i] = tspk_walk_start(a->walk, a->site[i])))
            return tspk_walk_no_memory(err);
    for (uint32_t t = 1; t <= a->walk->plan->steps; t++)
        TSPK_TRY(run_step(a, t, state, err));
    for (int i = 0; i < OPERANDS; i++)
        tspk_walk_give(a->walk, state[i]);
    return TSPK_OK;
}

tspk_status tspk_walk_attention(tspk_walk *walk, uint32_t index, tspk_error *err)
{
    const tspk_spikegraph *const spikes = walk->plan->spikes;
    const tspk_spike_attention *const record = &spikes->attention[index];
    attention a = {.walk = walk,
                   .record = record,
                   .node = &walk->plan->graph->node[record->node],
                   .node_id = record->node,
                   .site = {record->query, record->key, record->value},
                   .numerator = &spikes->site[record->numerator]};
    bool is_whole = true;

    for (int i = 0; i < OPERANDS; i++) {
        a.operand[i] = &spikes->site[a.site[i]];
        a.decoded[i] = tspk_walk_take(walk, elems_of(a.operand[i]) * sizeof(float));
        is_whole = is_whole && a.decoded[i];
    }
    a.heads = a.node->attr.heads;
    a.n = a.operand[QUERY]->rows;
    a.m = a.operand[KEY]->rows;
    a.d = a.operand[QUERY]->channels / a.heads;
    a.e = a.operand[VALUE]->channels / a.heads;
    a.x = tspk_walk_take(walk, a.n * a.m * sizeof(float));
    a.softmax = tspk_walk_take(walk, a.heads * a.n * a.m * sizeof(float));
    a.state = tspk_walk_take(walk, a.heads * a.n * a.m * sizeof(float));
    a.maximum = tspk_walk_take(walk, a.heads * a.n * sizeof(float));
    a.before = tspk_walk_take(walk, a.m * sizeof(float));
    if (!is_whole || !a.x || !a.softmax || !a.state || !a.maximum || !a.before)
        return tspk_walk_no_memory(err);
    TSPK_TRY(run_all(&a, err));
    for (int i = 0; i < OPERANDS; i++)
        tspk_walk_give(walk, a.decoded[i]);
    tspk_walk_give(walk, a.x);
    tspk_walk_give(walk, a.softmax);
    tspk_walk_give(walk, a.state);
    tspk_walk_give(walk, a.maximum);
    tspk_walk_give(walk, a.before);
    return TSPK_OK;
}
