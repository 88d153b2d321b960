/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention between spiking operands, docs/spikefile.md "Attention": running products of planes of
 * codes, the softmax on decoded logits, its numerators fired again. One job is a block of query
 * rows of one head; its logits, numerators and operands stay in the second cache.
 */
#include <math.h>
#include <string.h>

#include "core/compiler.h"
#include "runtime/spike/spike_exec.h"

static const float LN_4 = 1.38629436f; /* docs/spikefile.md: the fixed maximum moves beyond it */

typedef struct attention_job {
    const tspk_spike_run *run;
    const tspk_attention_plan *at;
    float n;                    /* 1, or t in rate coding */
    const float *bias;          /* additive constant or NULL */
    size_t bias_head, bias_row; /* its strides, 0 where it broadcasts */
    float *out;                 /* [queries, heads * width] */
    tspk_site_record *record;
} attention_job;

/* Memory of one block of query rows. */
typedef struct block_memory {
    float *logit;    /* [rows, keys_padded] L of the block: kept, or x itself */
    float *x;        /* [rows, keys_padded] logits, then numerators */
    float *o;        /* [rows, keys_padded] the numerators' state; one step: NULL */
    float *acc;      /* [rows, width_padded] */
    float *sum;      /* [rows] S */
    float *special;  /* [rows, n_classes] P_κ */
    float *query;    /* [n of q] one decoded row */
    int16_t *level;  /* [rows, keys_padded] of this step */
    int16_t *before; /* [rows, keys_padded] of an earlier step */
    void *scratch;   /* of the products */
} block_memory;

static size_t product_scratch(const tspk_kernels *kernels, const tspk_attention_plan *at)
{
    const size_t logits = kernels->scratch_bytes(1, at->depth);
    const size_t values = kernels->scratch_bytes(1, at->keys);

    return logits > values ? logits : values;
}

static size_t carve_block(const tspk_spike_plan *plan, const tspk_attention_plan *at,
                          uint8_t *scratch, block_memory *memory)
{
    tspk_carver p = {scratch, 0};
    const size_t wide = TSPK_ATTENTION_ROWS * at->keys_padded;

    memory->x = tspk_carve(&p, wide * sizeof(float));
    memory->o = plan->steps > 1 ? tspk_carve(&p, wide * sizeof(float)) : NULL;
    memory->acc = tspk_carve(&p, TSPK_ATTENTION_ROWS * at->width_padded * sizeof(float));
    memory->sum = tspk_carve(&p, TSPK_ATTENTION_ROWS * sizeof(float));
    memory->special = tspk_carve(&p, TSPK_ATTENTION_ROWS * plan->n_classes * sizeof(float));
    memory->query = tspk_carve(&p, at->query->n * sizeof(float));
    memory->level = tspk_carve(&p, wide * sizeof(int16_t));
    memory->before = tspk_carve(&p, wide * sizeof(int16_t));
    memory->scratch = tspk_carve(&p, product_scratch(plan->kernels, at));
    return p.used;
}

size_t tspk_attention_scratch_bytes(const tspk_spike_plan *plan, const tspk_attention_plan *at)
{
    const tspk_site_plan *const sites[] = {at->query, at->key, at->value};
    block_memory memory;
    size_t most = carve_block(plan, at, NULL, &memory);

    for (size_t i = 0; i < TSPK_COUNT_OF(sites); i++) {
        const size_t fire = tspk_fire_scratch_bytes(plan, sites[i]);

        most = fire > most ? fire : most;
    }
    return most;
}

static float plane_factor(const tspk_site_plan *a, uint32_t ta, const tspk_site_plan *b,
                          uint32_t tb)
{
    return ldexpf(1.0f, -(a->params->step[ta - 1].shift + b->params->step[tb - 1].shift));
}

static int16_t *query_plane(const attention_job *job, uint32_t t)
{
    return (int16_t *)(job->run->slot + job->at->query->level_at) +
           (size_t)(t - 1) * job->at->queries * job->at->query->n;
}

static uint8_t *key_plane(const attention_job *job, uint32_t t, size_t head)
{
    const tspk_attention_plan *const at = job->at;

    return job->run->slot + at->key_at + (size_t)(t - 1) * at->key_plane +
           head * (at->key_plane / at->heads);
}

static uint8_t *value_plane(const attention_job *job, uint32_t t, size_t head)
{
    const tspk_attention_plan *const at = job->at;

    return job->run->slot + at->value_at + (size_t)(t - 1) * at->value_plane +
           head * (at->value_plane / at->heads);
}

static int8_t *code_plane(const attention_job *job, uint32_t t, size_t head)
{
    const tspk_attention_plan *const at = job->at;

    return (int8_t *)(job->run->slot + at->code_at) +
           ((size_t)(t - 1) * at->heads + head) * at->queries * at->keys_padded;
}

/* --- once a step: planes packed, and what a query's class and a key add to a logit --- */

static void pack_head(void *context, size_t head, int worker)
{
    const attention_job *const job = context;
    const tspk_attention_plan *const at = job->at;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const uint32_t t = job->run->t;
    const int16_t *const key = (const int16_t *)(job->run->slot + at->key_level_at);
    const int16_t *const value = (const int16_t *)(job->run->slot + at->value_level_at);

    (void)worker;
    kernels->pack_rows(at->logit_width, at->depth, at->keys, key + head * at->depth, at->key->n,
                       key_plane(job, t, head));
    kernels->pack_columns(at->value_width, at->keys, at->width, value + head * at->width,
                          at->value->n, value_plane(job, t, head));
}

/* k°(j) and, for every query class and head, scale * b_q · k°(j). */
static void add_keys(void *context, size_t block, int worker)
{
    const attention_job *const job = context;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_plan *const plan = job->run->plan;
    const size_t n = at->key->n, channels = at->key->site->channels;
    const float *const o = (const float *)(job->run->slot + at->key->o_at);
    float *const decoded = (float *)(job->run->slot + at->decoded_at);
    float *const add = (float *)(job->run->slot + at->add_at);
    const float *const offset = at->query->params->step[job->run->t - 1].offset;
    const size_t end =
        (block + 1) * TSPK_FIRE_ROWS < at->keys ? (block + 1) * TSPK_FIRE_ROWS : at->keys;

    (void)worker;
    for (size_t j = block * TSPK_FIRE_ROWS; j < end; j++) {
        const float *const prior =
            at->key->prior ? at->key->prior + at->key->site->row_class[j] * n : NULL;

        plan->row_kernels->decode(channels, o + j * n, prior, job->n > 1.0f ? job->n : 0.0f,
                              decoded + j * n);
        for (size_t k = 0; k < plan->n_classes; k++)
            for (size_t h = 0; h < at->heads; h++)
                add[(k * at->heads + h) * at->keys_padded + j] =
                    offset
                        ? at->node->attr.scale *
                              plan->row_kernels->dot(at->depth, offset + k * channels + h * at->depth,
                                                 decoded + j * n + h * at->depth)
                        : 0.0f;
    }
}

/* --- a block of query rows of one head --- */

/* L += A_τ B_σᵀ for every pair that is new at this step. */
static void add_logits(const attention_job *job, size_t head, size_t first, size_t rows,
                       void *scratch, float *logit)
{
    const tspk_attention_plan *const at = job->at;
    const uint32_t t = job->run->t;
    tspk_product_args args = {.width = at->logit_width,
                              .rows = rows,
                              .inner = at->depth,
                              .columns = at->keys_padded,
                              .lda = at->query->n,
                              .is_first = t == 1,
                              .out = logit,
                              .ldo = at->keys_padded,
                              .scratch = scratch};

    for (uint32_t i = 1; i < 2 * t; i++) {
        const uint32_t ta = i < t ? t : i - t + 1, tb = i < t ? i : t;

        args.a = query_plane(job, ta) + first * args.lda + head * at->depth;
        args.b = key_plane(job, tb, head);
        args.factor = plane_factor(at->query, ta, at->key, tb);
        job->run->plan->kernels->product(&args);
    }
}

/* Numerators x and their sums of one query row. */
static void soften_row(const attention_job *job, size_t head, size_t row, const float *logit,
                       float *x, float *sum_out, float *special, float *query)
{
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const tspk_spike_plan *const plan = run->plan;
    const tspk_site *const q = at->query->site;
    const tspk_site_step *const step = &at->query->params->step[run->t - 1];
    const uint32_t token_class = q->row_class[row];
    const size_t first = head * at->depth, n = at->query->n;
    const float kappa = ldexpf(step->scale[token_class], step->shift);
    const float units = at->node->attr.scale * q->unit[first] * at->key->site->unit[first];
    const float factor = units * kappa / (job->n * job->n);
    float *const kept =
        at->max_at == TSPK_NOWHERE ? NULL : (float *)(run->slot + at->max_at) + head * at->queries;
    float max;

    plan->row_kernels->logits(
        at->keys, factor, at->key_factor,
        (const float *)(run->slot + at->add_at) +
            (token_class * at->heads + head) * at->keys_padded,
        job->bias ? job->bias + head * job->bias_head + row * job->bias_row : NULL, logit, x);
    if (at->key_offset && at->n_special) {
        const float *const o = (const float *)(run->slot + at->query->o_at) + row * n + first;
        const float *const prior =
            at->query->prior ? at->query->prior + token_class * n + first : NULL;

        plan->row_kernels->decode(at->depth, o, prior, job->n > 1.0f ? job->n : 0.0f, query);
        if (step->offset)
            for (size_t d = 0; d < at->depth; d++)
                query[d] += step->offset[token_class * q->channels + first + d];
        for (uint32_t k = 1; k < plan->n_classes; k++)
            special[k] =
                at->node->attr.scale *
                plan->row_kernels->dot(at->depth, query,
                                   at->key_offset +
                                       ((size_t)(run->t - 1) * plan->n_classes + k) * q->channels +
                                       first);
        for (uint32_t i = 0; i < at->n_special; i++) {
            const uint32_t j = at->special[i], k = at->key->site->row_class[j];

            if (k)
                x[j] += special[k];
        }
    }
    max = plan->math->max(at->keys, x);
    if (at->attention->is_max_fixed && kept) {
        if (run->t == 1 || max > kept[row] + LN_4)
            kept[row] = max;
        max = kept[row];
    }
    *sum_out = plan->math->exp_minus(at->keys, max, x, x);
    memset(special, 0, plan->n_classes * sizeof *special);
    for (uint32_t i = 0; i < at->n_special; i++)
        special[at->value->site->row_class[at->special[i]]] += x[at->special[i]];
    if (at->attention->is_quotient)
        plan->math->scale(at->keys, 1.0f / *sum_out, x, x);
    memset(x + at->keys, 0, (at->keys_padded - at->keys) * sizeof *x);
}

/* Levels of a row in a dump. */
static void record_row(const attention_job *job, size_t head, size_t row, const float *x,
                       const int16_t *level)
{
    const tspk_attention_plan *const at = job->at;
    const size_t to = (((job->run->t - 1) * at->heads + head) * at->queries + row) * at->keys;

    for (size_t j = 0; job->record->code && j < at->keys; j++)
        job->record->code[to + j] =
            tspk_code_of_level(at->numerator->params->code_form, level[j]);
    if (job->record->input)
        memcpy(job->record->input + to, x, at->keys * sizeof *x);
}

/* Levels of an earlier step; returns how many fired. */
static uint64_t expand_codes(tspk_code_form form, const int8_t *code, size_t n, int16_t *level)
{
    uint32_t spikes = 0;

    if (form == TSPK_CODE_LEVEL)
        for (size_t j = 0; j < n; j++)
            level[j] = code[j];
    else
        for (size_t j = 0; j < n; j++)
            level[j] = (int16_t)tspk_level_of_code(form, code[j]);
    for (size_t j = 0; j < n; j++)
        spikes += code[j] != 0;
    return spikes;
}

/* The state of a block of numerators, from the codes of all earlier steps: fewer bytes than it. */
static void restore_states(const attention_job *job, size_t head, size_t first, size_t rows,
                           const block_memory *memory)
{
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_plan *const plan = job->run->plan;
    const tspk_site_plan *const site = at->numerator;
    const size_t keys = at->keys_padded;

    for (uint32_t t = 1; t < job->run->t; t++)
        for (size_t r = 0; r < rows; r++) {
            const tspk_fire_table *const table =
                tspk_site_table(plan, site, t, site->site->row_class[first + r]);
            float *const o = memory->o + r * keys;

            plan->row_kernels->add_codes(keys, table->step + head * TSPK_FIRE_LANES, true,
                                         site->params->code_form,
                                         code_plane(job, t, head) + (first + r) * keys,
                                         t > 1 ? o : NULL, o);
        }
}

/* Fires a block of numerators; counts and keeps the codes; returns how many fired. */
static uint64_t fire_block(const attention_job *job, size_t head, size_t first, size_t rows,
                           const block_memory *memory, int worker)
{
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const tspk_site_plan *const site = at->numerator;
    const uint8_t *const row_class = site->site->row_class + first;
    const size_t keys = at->keys_padded;
    tspk_level_count count[TSPK_ATTENTION_ROWS];
    tspk_fire_args args = {.n = keys,
                           .is_alike = true,
                           .block = head,
                           .t = tspk_fire_factor(run),
                           .ldx = keys,
                           .ldo_in = keys,
                           .is_wide = true,
                           .ldl = keys};
    uint64_t spikes = 0;

    if (run->t > 1)
        restore_states(job, head, first, rows, memory);
    for (size_t r = 0; r < rows; r += args.rows) {
        args.rows = 1;
        while (r + args.rows < rows && row_class[r + args.rows] == row_class[r])
            args.rows++;
        args.table = tspk_site_table(run->plan, site, run->t, row_class[r]);
        args.x = memory->x + r * keys;
        args.o_in = run->t > 1 ? memory->o + r * keys : NULL;
        args.level = memory->level + r * keys;
        args.count = count + r;
        run->plan->row_kernels->fire(&args);
    }
    for (size_t r = 0; r < rows; r++) {
        tspk_count_spikes(run, site, worker, &count[r], site->fan_out[first + r]);
        spikes += count[r].spikes;
        if (job->record)
            record_row(job, head, first + r, memory->x + r * keys, memory->level + r * keys);
    }
    run->counter[worker].neurons += rows * at->keys;
    if (run->t < run->plan->steps)
        run->plan->row_kernels->encode(rows * keys, site->params->code_form, memory->level,
                                       code_plane(job, run->t, head) + first * keys);
    return spikes;
}

/* Acc += levels times one plane of v. */
static void add_values(const attention_job *job, size_t head, size_t rows, const int16_t *level,
                       uint32_t tc, uint32_t tv, bool is_first, bool is_sparse,
                       const block_memory *memory, float *acc)
{
    const tspk_attention_plan *const at = job->at;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const tspk_product_args args = {.width = at->value_width,
                                    .rows = rows,
                                    .inner = at->keys,
                                    .columns = at->width_padded,
                                    .a = level,
                                    .lda = at->keys_padded,
                                    .b = value_plane(job, tv, head),
                                    .factor = plane_factor(at->numerator, tc, at->value, tv),
                                    .is_first = is_first,
                                    .out = acc,
                                    .ldo = at->width_padded,
                                    .scratch = memory->scratch};

    (is_sparse ? kernels->product_events : kernels->product)(&args);
}

static bool is_sparse_block(const attention_job *job, size_t rows, uint64_t spikes)
{
    const double rate = (double)job->run->plan->kernels->event_rate;

    return (double)spikes <= rate * (double)(rows * job->at->keys);
}

static void write_row(const attention_job *job, size_t head, size_t row, float sum,
                      const float *special, const float *acc)
{
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const tspk_row_kernels *const kernels = run->plan->row_kernels;
    const tspk_site_step *const step = &at->numerator->params->step[run->t - 1];
    const size_t channels = at->value->site->channels, first = head * at->width;
    const float *const offset = at->value->params->step[run->t - 1].offset;
    const float kappa = ldexpf(step->scale[at->numerator->site->row_class[row]], step->shift);
    float *const out = job->out + row * channels + first;
    float factor = at->numerator->site->unit[head] * kappa / (job->n * job->n);

    if (!at->attention->is_quotient)
        factor = factor / sum;
    kernels->scale_out(at->width, factor, at->value->site->unit + first, acc,
                       offset ? offset + first : NULL, out);
    for (uint32_t k = 1; at->value_offset && k < run->plan->n_classes; k++)
        kernels->add_scaled(
            at->width, special[k] / sum,
            at->value_offset + ((size_t)(run->t - 1) * run->plan->n_classes + k) * channels + first,
            out);
}

static void attend_block(void *context, size_t block, int worker)
{
    const attention_job *const job = context;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const uint32_t t = run->t;
    const size_t blocks = (at->queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS;
    const size_t head = block / blocks, first = block % blocks * TSPK_ATTENTION_ROWS;
    const size_t rows =
        at->queries - first < TSPK_ATTENTION_ROWS ? at->queries - first : TSPK_ATTENTION_ROWS;
    const size_t keys = at->keys_padded;
    uint64_t spikes;
    block_memory memory;
    float *acc;

    carve_block(run->plan, at, tspk_run_scratch(run, worker), &memory);
    acc = memory.acc;
    if (at->logit_at != TSPK_NOWHERE)
        memory.logit = (float *)(run->slot + at->logit_at) + (head * at->queries + first) * keys;
    else
        memory.logit = memory.x;
    if (at->acc_at != TSPK_NOWHERE)
        acc = (float *)(run->slot + at->acc_at) + (head * at->queries + first) * at->width_padded;
    add_logits(job, head, first, rows, memory.scratch, memory.logit);
    for (size_t r = 0; r < rows; r++)
        soften_row(job, head, first + r, memory.logit + r * keys, memory.x + r * keys,
                   &memory.sum[r], memory.special + r * run->plan->n_classes, memory.query);
    spikes = fire_block(job, head, first, rows, &memory, worker);
    for (uint32_t i = 1; i < t; i++)
        add_values(job, head, rows, memory.level, t, i, false, is_sparse_block(job, rows, spikes),
                   &memory, acc);
    for (uint32_t i = 1; i < t; i++) {
        const uint64_t fired =
            expand_codes(at->numerator->params->code_form, code_plane(job, i, head) + first * keys,
                         rows * keys, memory.before);

        add_values(job, head, rows, memory.before, i, t, false, is_sparse_block(job, rows, fired),
                   &memory, acc);
    }
    add_values(job, head, rows, memory.level, t, t, t == 1, is_sparse_block(job, rows, spikes),
               &memory, acc);
    for (size_t r = 0; r < rows; r++)
        write_row(job, head, first + r, memory.sum[r], memory.special + r * run->plan->n_classes,
                  acc + r * at->width_padded);
}

void tspk_bias_strides(const tspk_shape *shape, size_t *head_out, size_t *row_out)
{
    size_t axes[3] = {1, 1, 1};

    for (int i = 0; i < 3 && i < shape->rank; i++)
        axes[2 - i] = (size_t)shape->dim[shape->rank - 1 - i];
    *row_out = axes[1] > 1 ? axes[2] : 0;
    *head_out = axes[0] > 1 ? axes[1] * axes[2] : 0;
}

void tspk_run_spike_attention(const tspk_spike_run *run, const tspk_attention_plan *at)
{
    const size_t blocks = (at->queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS;
    attention_job job = {.run = run,
                         .at = at,
                         .n = run->plan->point->coding == TSPK_CODING_RATE ? (float)run->t : 1.0f,
                         .out = tspk_run_value(run, at->node->out[0]),
                         .record = run->record ? &run->record[at->numerator_id] : NULL};

    if (at->node->n_in > 3 && at->node->in[3] != TSPK_ID_NONE) {
        job.bias = tspk_run_value(run, at->node->in[3]);
        tspk_bias_strides(&run->plan->graph->value[at->node->in[3]].shape, &job.bias_head,
                          &job.bias_row);
    }
    tspk_fire_site(run, at->query_id, tspk_run_value(run, at->node->in[0]),
                   query_plane(&job, run->t));
    tspk_fire_site(run, at->key_id, tspk_run_value(run, at->node->in[1]),
                   (int16_t *)(run->slot + at->key_level_at));
    tspk_fire_site(run, at->value_id, tspk_run_value(run, at->node->in[2]),
                   (int16_t *)(run->slot + at->value_level_at));
    tspk_run_blocks(run, at->heads, pack_head, &job);
    tspk_run_blocks(run, (at->keys + TSPK_FIRE_ROWS - 1) / TSPK_FIRE_ROWS, add_keys, &job);
    tspk_run_blocks(run, at->heads * blocks, attend_block, &job);
}
