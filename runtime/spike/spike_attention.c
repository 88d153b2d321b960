/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention between spiking operands, docs/spikefile.md "Attention": running products of planes of
 * codes, the softmax on decoded logits, its numerators fired again. One job is a block of query
 * rows of one head; its logits, numerators and operands stay in the second cache.
 */
#include <math.h>
#include <string.h>

#include "core/compiler.h"
#include "runtime/spike/token_rows.h"

static const float LN_4 = 1.38629436f; /* docs/spikefile.md: the fixed maximum moves beyond it */

typedef struct attention_job {
    const tspk_spike_run *run;
    const tspk_attention_plan *at;
    tspk_run_rows bias;         /* additive, or NULL */
    size_t bias_head, bias_row; /* its strides, 0 where it broadcasts */
    tspk_run_rows out;          /* [queries, heads * width] */
    size_t queries, keys;       /* rows that are computed now */
    const uint32_t *place;      /* [queries] where they lay at step 1; NULL: where they lie */
    tspk_site_record *record;
} attention_job;

/* Memory of one block of query rows. */
typedef struct block_memory {
    float *logit;    /* [rows, keys_padded] L; one step: x itself */
    float *x;        /* [rows, keys_padded] logits, then numerators */
    float *o;        /* [rows, keys_padded] the numerators' state; one step: NULL */
    float *acc;      /* [rows, width_padded] Acc */
    float *max;      /* [rows] */
    float *sum;      /* [rows] S */
    float *special;  /* [rows, n_classes] P_κ */
    int16_t *level;  /* [steps of the pass][rows, keys_padded] */
    int16_t *before; /* [steps][rows, keys_padded] of earlier passes; NULL: there are none */
    uint64_t *fired; /* [steps of the pass] */
    void *scratch;   /* of the products */
} block_memory;

/* Some query rows of one head. */
typedef struct query_block {
    const attention_job *job;
    size_t head, first, rows;
    int worker;
    block_memory memory;
} query_block;

/* A step's terms have as many left operands as there are steps. */
static size_t product_scratch(const tspk_kernels *kernels, const tspk_attention_plan *at,
                              uint32_t steps)
{
    const size_t logits = kernels->scratch_bytes(1, at->depth);
    const size_t values = kernels->scratch_bytes(1, at->keys);

    return steps * (logits > values ? logits : values);
}

static size_t carve_block(const tspk_spike_plan *plan, const tspk_attention_plan *at,
                          uint8_t *scratch, block_memory *memory)
{
    tspk_carver p = {scratch, 0};
    const size_t wide = TSPK_ATTENTION_ROWS * at->keys_padded;
    const bool is_stepping = plan->steps > 1, is_kept = plan->pass < plan->steps;

    memory->x = tspk_carve(&p, wide * sizeof(float));
    memory->o = is_stepping ? tspk_carve(&p, wide * sizeof(float)) : NULL;
    memory->logit = is_stepping && !is_kept ? tspk_carve(&p, wide * sizeof(float)) : memory->x;
    memory->acc = tspk_carve(&p, TSPK_ATTENTION_ROWS * at->width_padded * sizeof(float));
    memory->max = tspk_carve(&p, TSPK_ATTENTION_ROWS * sizeof(float));
    memory->sum = tspk_carve(&p, TSPK_ATTENTION_ROWS * sizeof(float));
    memory->special = tspk_carve(&p, TSPK_ATTENTION_ROWS * plan->n_classes * sizeof(float));
    memory->level = tspk_carve(&p, plan->pass * wide * sizeof(int16_t));
    memory->before = is_kept ? tspk_carve(&p, plan->steps * wide * sizeof(int16_t)) : NULL;
    memory->fired = tspk_carve(&p, plan->pass * sizeof(uint64_t));
    memory->scratch = tspk_carve(&p, product_scratch(plan->kernels, at, plan->steps));
    return p.used;
}

size_t tspk_attention_scratch_bytes(const tspk_spike_plan *plan, const tspk_attention_plan *at)
{
    const size_t fire = tspk_operand_scratch_bytes(plan, at);
    block_memory memory;
    const size_t block = carve_block(plan, at, NULL, &memory);

    return block > fire ? block : fire;
}

static float plane_factor(const tspk_site_plan *a, uint32_t ta, const tspk_site_plan *b,
                          uint32_t tb)
{
    return ldexpf(1.0f, -(a->params->step[ta - 1].shift + b->params->step[tb - 1].shift));
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

/* n of docs/spikefile.md: 1, or t in rate coding. */
static float steps_so_far(const attention_job *job, uint32_t t)
{
    return tspk_fire_factor(job->run->plan, t);
}

/* --- before the queries: levels and packed planes --- */

/* Blocks of all operands that no chain has fired, one after the other. */
static void fire_block_of_operand(void *context, size_t block, int worker)
{
    const attention_job *const job = context;

    for (int operand = 0; operand < TSPK_OPERANDS; operand++) {
        const size_t rows = operand == TSPK_QUERY ? job->queries : job->keys;
        const size_t blocks = (rows + TSPK_CHAIN_ROWS - 1) / TSPK_CHAIN_ROWS;
        const size_t first = block * TSPK_CHAIN_ROWS;

        if (job->at->is_fired[operand])
            continue;
        if (block < blocks) {
            tspk_fire_operand(job->run, job->at, (tspk_operand)operand, first,
                              rows - first < TSPK_CHAIN_ROWS ? rows - first : TSPK_CHAIN_ROWS,
                              worker);
            return;
        }
        block -= blocks;
    }
}

static size_t operand_blocks(const attention_job *job)
{
    size_t blocks = 0;

    for (int operand = 0; operand < TSPK_OPERANDS; operand++) {
        const size_t rows = operand == TSPK_QUERY ? job->queries : job->keys;

        if (!job->at->is_fired[operand])
            blocks += (rows + TSPK_CHAIN_ROWS - 1) / TSPK_CHAIN_ROWS;
    }
    return blocks;
}

static void pack_head(void *context, size_t index, int worker)
{
    const attention_job *const job = context;
    const tspk_attention_plan *const at = job->at;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const uint32_t t = job->run->first + (uint32_t)(index / at->heads);
    const size_t head = index % at->heads;

    (void)worker;
    kernels->pack_rows(at->logit_width, at->depth, at->keys,
                       tspk_operand_levels(job->run, at, TSPK_KEY, t, 0) + head * at->depth,
                       at->key->n, key_plane(job, t, head));
    kernels->pack_columns(at->value_width, at->keys, at->width,
                          tspk_operand_levels(job->run, at, TSPK_VALUE, t, 0) + head * at->width,
                          at->value->n, value_plane(job, t, head));
}

/* --- a block of query rows of one head --- */

/* L += A_τ B_σᵀ for every pair that is new at this step. */
static void add_logits(const query_block *block, uint32_t t, float *logit)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    tspk_product_term term[TSPK_MAX_TERMS];
    const tspk_product_args args = {.width = at->logit_width,
                                    .rows = block->rows,
                                    .inner = at->depth,
                                    .columns = at->keys_padded,
                                    .lda = at->query->n,
                                    .term = term,
                                    .n_terms = 2 * t - 1,
                                    .is_first = t == 1,
                                    .out = logit,
                                    .ldo = at->keys_padded,
                                    .scratch = block->memory.scratch};

    for (uint32_t i = 1; i < 2 * t; i++) {
        const uint32_t ta = i < t ? t : i - t + 1, tb = i < t ? i : t;

        term[i - 1] = (tspk_product_term){
            tspk_operand_levels(job->run, at, TSPK_QUERY, ta, block->first) +
                block->head * at->depth,
            key_plane(job, tb, block->head), plane_factor(at->query, ta, at->key, tb)};
    }
    job->run->plan->kernels->product(&args);
}

/* The row's place at step 1. */
static size_t place_of(const query_block *block, size_t r)
{
    const uint32_t *const place = block->job->place;

    return place ? place[block->first + r] : block->first + r;
}

/* What the query adds to the logits of special keys. */
static void add_special(const query_block *block, uint32_t t, size_t row, float *x)
{
    const tspk_attention_plan *const at = block->job->at;
    const float *const special = tspk_special_logits(block->job->run, at, t, row, block->head);

    for (uint32_t i = 0; i < at->n_special; i++) {
        const uint32_t j = at->special[i], k = at->key->site->row_class[j];

        if (k)
            x[j] += special[k];
    }
}

/* Numerators x and their sum of row r of the block. */
static void soften_row(const query_block *block, uint32_t t, size_t r, const float *logit, float *x)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_plan *const plan = job->run->plan;
    const tspk_site *const q = at->query->site;
    const tspk_site_step *const step = &at->query->params->step[t - 1];
    const size_t row = block->first + r;
    const uint32_t token_class = q->row_class[row];
    const float kappa = ldexpf(step->scale[token_class], step->shift);
    const float units = at->node->attr.scale * q->unit[block->head * at->depth] *
                        at->key->site->unit[block->head * at->depth];
    const float count = steps_so_far(job, t), factor = units * kappa / (count * count);
    float *const special = block->memory.special + r * plan->n_classes;
    const float *const bias = job->bias.at ? job->bias.at + (t - job->run->first) * job->bias.step +
                                                 block->head * job->bias_head +
                                                 place_of(block, r) * job->bias_row
                                           : NULL;
    float max;

    plan->row_kernels->logits(at->keys, factor, at->key_factor,
                              tspk_added_logits(job->run, at, t, token_class, block->head), bias,
                              logit, x);
    if (at->key_offset && at->n_special)
        add_special(block, t, row, x);
    max = plan->math->max(at->keys, x);
    if (at->attention->is_max_fixed) {
        float *const kept = &block->memory.max[r];

        if (t == 1 || max > *kept + LN_4)
            *kept = max;
        max = *kept;
    }
    block->memory.sum[r] = plan->math->exp_minus(at->keys, max, x, x);
    memset(special, 0, plan->n_classes * sizeof *special);
    for (uint32_t i = 0; i < at->n_special; i++)
        special[at->value->site->row_class[at->special[i]]] += x[at->special[i]];
    if (at->attention->is_quotient)
        plan->math->scale(at->keys, 1.0f / block->memory.sum[r], x, x);
    memset(x + at->keys, 0, (at->keys_padded - at->keys) * sizeof *x);
}

/* Levels of a row in a dump. */
static void record_row(const query_block *block, uint32_t t, size_t r, const float *x,
                       const int16_t *level)
{
    const tspk_attention_plan *const at = block->job->at;
    const tspk_site_record *const record = block->job->record;
    const size_t to =
        (((t - 1) * at->heads + block->head) * at->queries + place_of(block, r)) * at->keys;

    for (size_t j = 0; record->code && j < at->keys; j++)
        record->code[to + j] = tspk_code_of_level(at->numerator->params->code_form, level[j]);
    if (record->input)
        memcpy(record->input + to, x, at->keys * sizeof *x);
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

/* The state of a block of numerators, from the codes of all earlier passes: fewer bytes than it. */
static void restore_states(const query_block *block)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_plan *const plan = job->run->plan;
    const tspk_site_plan *const site = at->numerator;
    const size_t keys = at->keys_padded;

    for (uint32_t t = 1; t < job->run->first; t++)
        for (size_t r = 0; r < block->rows; r++) {
            const tspk_fire_table *const table =
                tspk_site_table(plan, site, t, site->site->row_class[block->first + r]);
            float *const o = block->memory.o + r * keys;

            plan->row_kernels->add_codes(
                keys, table->step + block->head * TSPK_FIRE_LANES, true, site->params->code_form,
                code_plane(job, t, block->head) + (block->first + r) * keys, t > 1 ? o : NULL, o);
        }
}

/* Fires a block of numerators; counts, and keeps the codes. */
static void fire_block(const query_block *block, uint32_t t)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const tspk_site_plan *const site = at->numerator;
    const uint8_t *const row_class = site->site->row_class + block->first;
    const size_t keys = at->keys_padded, i = t - run->first;
    const block_memory *const memory = &block->memory;
    int16_t *const level = memory->level + i * TSPK_ATTENTION_ROWS * keys;
    tspk_spike_counter *const counter = tspk_run_counter(run, block->worker, t);
    tspk_level_count count[TSPK_ATTENTION_ROWS];
    tspk_fire_args args = {.n = keys,
                           .is_alike = true,
                           .block = block->head,
                           .t = tspk_fire_factor(run->plan, t),
                           .ldx = keys,
                           .ldo_in = keys,
                           .ldo_out = keys,
                           .is_wide = true,
                           .ldl = keys};

    for (size_t r = 0; r < block->rows; r += args.rows) {
        args.rows = 1;
        while (r + args.rows < block->rows && row_class[r + args.rows] == row_class[r])
            args.rows++;
        args.table = tspk_site_table(run->plan, site, t, row_class[r]);
        args.x = memory->x + r * keys;
        args.o_in = t > 1 ? memory->o + r * keys : NULL;
        args.o_out = t < run->last ? memory->o + r * keys : NULL;
        args.level = level + r * keys;
        args.count = count + r;
        run->plan->row_kernels->fire(&args);
    }
    memory->fired[i] = 0;
    for (size_t r = 0; r < block->rows; r++) {
        tspk_count_spikes(site, counter, &count[r], site->fan_out[block->first + r]);
        memory->fired[i] += count[r].spikes;
        if (job->record)
            record_row(block, t, r, memory->x + r * keys, level + r * keys);
    }
    counter->neurons += block->rows * at->keys;
    if (tspk_is_state_kept(run))
        run->plan->row_kernels->encode(block->rows * keys, site->params->code_form, level,
                                       code_plane(job, t, block->head) + block->first * keys);
}

/* Levels of numerators at step t of this or an earlier pass. */
static const int16_t *numerators_of(const query_block *block, uint32_t t, uint64_t *fired_out)
{
    const attention_job *const job = block->job;
    const block_memory *const memory = &block->memory;
    const size_t keys = job->at->keys_padded;
    int16_t *before;

    if (t >= job->run->first) {
        *fired_out = memory->fired[t - job->run->first];
        return memory->level + (t - job->run->first) * TSPK_ATTENTION_ROWS * keys;
    }
    before = memory->before + (t - 1) * TSPK_ATTENTION_ROWS * keys;
    *fired_out = expand_codes(job->at->numerator->params->code_form,
                              code_plane(job, t, block->head) + block->first * keys,
                              block->rows * keys, before);
    return before;
}

/* Acc += C_τ D_σ for every pair that is new at this step; those that follow one another and are all
 * dense, or all sparse, go to the kernel together. */
static void add_values(const query_block *block, uint32_t t, float *acc)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    const tspk_kernels *const kernels = job->run->plan->kernels;
    const double few = (double)kernels->product_event_rate * (double)(block->rows * at->keys);
    const int16_t *level[TSPK_MAX_STEPS];
    bool is_sparse[TSPK_MAX_STEPS];
    tspk_product_term term[TSPK_MAX_TERMS];
    bool is_sparse_term[TSPK_MAX_TERMS];
    tspk_product_args args = {.width = at->value_width,
                              .rows = block->rows,
                              .inner = at->keys,
                              .columns = at->width_padded,
                              .lda = at->keys_padded,
                              .term = term,
                              .is_first = t == 1,
                              .out = acc,
                              .ldo = at->width_padded,
                              .scratch = block->memory.scratch};
    const size_t n = 2 * t - 1;

    for (uint32_t i = 1; i <= t; i++) {
        uint64_t fired;

        level[i - 1] = numerators_of(block, i, &fired);
        is_sparse[i - 1] = (double)fired <= few;
    }
    for (uint32_t i = 1; i <= n; i++) {
        const uint32_t tc = i < t ? t : i - t + 1, tv = i < t ? i : t;

        term[i - 1] = (tspk_product_term){level[tc - 1], value_plane(job, tv, block->head),
                                          plane_factor(at->numerator, tc, at->value, tv)};
        is_sparse_term[i - 1] = is_sparse[tc - 1];
    }
    for (size_t i = 0; i < n; i += args.n_terms) {
        args.term = term + i;
        args.n_terms = 1;
        while (i + args.n_terms < n && is_sparse_term[i + args.n_terms] == is_sparse_term[i])
            args.n_terms++;
        (is_sparse_term[i] ? kernels->product_events : kernels->product)(&args);
        args.is_first = false;
    }
}

static void write_row(const query_block *block, uint32_t t, size_t r, const float *acc)
{
    const attention_job *const job = block->job;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_plan *const plan = job->run->plan;
    const tspk_site_step *const step = &at->numerator->params->step[t - 1];
    const size_t channels = at->value->site->channels, first = block->head * at->width;
    const size_t row = block->first + r;
    const float *const offset = at->value->params->step[t - 1].offset;
    const float *const special = block->memory.special + r * plan->n_classes;
    const float kappa = ldexpf(step->scale[at->numerator->site->row_class[row]], step->shift);
    const float count = steps_so_far(job, t), sum = block->memory.sum[r];
    float *const out = job->out.at + (t - job->run->first) * job->out.step + row * channels + first;
    float factor = at->numerator->site->unit[block->head] * kappa / (count * count);

    if (!at->attention->is_quotient)
        factor = factor / sum;
    plan->row_kernels->scale_out(at->width, factor, at->value->site->unit + first, acc,
                                 offset ? offset + first : NULL, out);
    for (uint32_t k = 1; at->value_offset && k < plan->n_classes; k++)
        plan->row_kernels->add_scaled(
            at->width, special[k] / sum,
            at->value_offset + ((size_t)(t - 1) * plan->n_classes + k) * channels + first, out);
}

/* What keys receive from special queries, or from all where none are special: of these rows and
 * this head. */
static void give_relevance(const query_block *block)
{
    const tspk_spike_run *const run = block->job->run;
    const tspk_attention_plan *const at = block->job->at;
    const size_t n_special = run->plan->tokens.n_special;
    float *const part =
        tspk_relevance_part(run, at, block->head, block->first / TSPK_ATTENTION_ROWS);

    memset(part, 0, at->keys * sizeof *part);
    for (size_t r = 0; r < block->rows && (!n_special || block->first + r < n_special); r++) {
        const float *const x = block->memory.x + r * at->keys_padded;
        const float share = at->attention->is_quotient ? 1.0f : 1.0f / block->memory.sum[r];

        for (size_t j = 0; j < at->keys; j++)
            part[j] += x[j] * share;
    }
}

static void attend_step(const query_block *block, uint32_t t, float *logit, float *acc)
{
    const tspk_attention_plan *const at = block->job->at;
    const size_t keys = at->keys_padded;

    add_logits(block, t, logit);
    for (size_t r = 0; r < block->rows; r++)
        soften_row(block, t, r, logit + r * keys, block->memory.x + r * keys);
    if (t == 1 && block->job->run->plan->tokens.n_spaces)
        give_relevance(block);
    fire_block(block, t);
    add_values(block, t, acc);
    for (size_t r = 0; r < block->rows; r++)
        write_row(block, t, r, acc + r * at->width_padded);
}

/* The steps of the pass, one after the other. */
static void attend_block(void *context, size_t index, int worker)
{
    const attention_job *const job = context;
    const tspk_attention_plan *const at = job->at;
    const tspk_spike_run *const run = job->run;
    const size_t blocks = (job->queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS;
    const size_t first = index % blocks * TSPK_ATTENTION_ROWS, left = job->queries - first;
    query_block block = {.job = job,
                         .head = index / blocks,
                         .first = first,
                         .rows = left < TSPK_ATTENTION_ROWS ? left : TSPK_ATTENTION_ROWS,
                         .worker = worker};
    const size_t row = block.head * at->queries + first;
    float *logit, *acc;

    carve_block(run->plan, at, tspk_run_scratch(run, worker), &block.memory);
    logit = block.memory.logit;
    acc = block.memory.acc;
    if (at->logit_at != TSPK_NOWHERE) {
        logit = (float *)(run->slot + at->logit_at) + row * at->keys_padded;
        acc = (float *)(run->slot + at->acc_at) + row * at->width_padded;
        block.memory.max = (float *)(run->slot + at->max_at) + row;
    }
    if (run->first > 1)
        restore_states(&block);
    for (uint32_t t = run->first; t <= run->last; t++)
        attend_step(&block, t, logit, acc);
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
    attention_job job = {.run = run,
                         .at = at,
                         .queries = tspk_rows_now(run, at->query->space, at->queries),
                         .keys = tspk_rows_now(run, at->key->space, at->keys),
                         .place = tspk_places_now(run, at->query->space),
                         .out = tspk_rows_of(run, at->node->out[0], 0, run->worker),
                         .record = run->record ? &run->record[at->numerator_id] : NULL};

    if (at->node->n_in > 3 && at->node->in[3] != TSPK_ID_NONE) {
        job.bias = tspk_rows_of(run, at->node->in[3], 0, run->worker);
        tspk_bias_strides(&run->plan->graph->value[at->node->in[3]].shape, &job.bias_head,
                          &job.bias_row);
    }
    tspk_run_blocks(run, operand_blocks(&job), fire_block_of_operand, &job);
    tspk_hold_operands(run, at);
    tspk_run_blocks(run, (run->last - run->first + 1) * at->heads, pack_head, &job);
    tspk_run_blocks(run,
                    at->heads * ((job.queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS),
                    attend_block, &job);
    if (run->first == 1 && run->plan->tokens.n_spaces)
        tspk_add_relevance(run, at);
}
