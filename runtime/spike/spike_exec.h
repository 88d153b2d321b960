/* SPDX-License-Identifier: Apache-2.0 */
/* Execution of one pass of one image: the walk over the graph and its kinds of node. */
#ifndef TSPK_RUNTIME_SPIKE_EXEC_H
#define TSPK_RUNTIME_SPIKE_EXEC_H

#include "core/parallel.h"
#include "runtime/spike/spike_plan.h"

/* Work of one worker; integers, so that their sums do not depend on who did what. */
typedef struct tspk_spike_counter {
    uint64_t spikes, neurons;
    uint64_t accumulates; /* spikes times fan-out, blocks */
    uint64_t head;        /* spikes times fan-out, sites that feed the classifier alone */
    uint64_t level_bits;  /* Σ bits * weight bits / 8 times fan-out, levels not powers of two */
    uint8_t pad[24];
} tspk_spike_counter;

/* Where a dump wants what a site did; NULL pointers are skipped. Arrays of one image, [steps] times
 * the site in natural order: [rows, channels]; numerators: [heads, rows, keys]. */
typedef struct tspk_site_record {
    int8_t *code;
    float *input;
} tspk_site_record;

/** The code that stands for a level. */
static inline int8_t tspk_code_of_level(tspk_code_form form, int level)
{
    int8_t exponent = 0;

    if (form == TSPK_CODE_LEVEL)
        return (int8_t)level;
    for (int magnitude = level < 0 ? -level : level; magnitude; magnitude >>= 1)
        exponent++;
    return level < 0 ? (int8_t)-exponent : exponent;
}

/** The level that a code stands for. */
static inline int tspk_level_of_code(tspk_code_form form, int code)
{
    if (form == TSPK_CODE_LEVEL || !code)
        return code;
    return code < 0 ? -(1 << (-code - 1)) : 1 << (code - 1);
}

/* Who wants to know where time goes: phases, of which one may be inside of another. `phase` is
 * static text. Called on the thread that walks the graph, for what is inside a loop over blocks
 * only when one thread works on the image. */
typedef struct tspk_spike_trace {
    void (*enter)(void *context, const char *phase);
    void (*leave)(void *context);
    void *context;
} tspk_spike_trace;

/* One image on its way. */
typedef struct tspk_spike_run {
    const tspk_spike_plan *plan;
    uint8_t *slot;                 /* [slot_bytes] */
    uint8_t *scratch;              /* [threads of the session, scratch_bytes] */
    tspk_spike_counter *counter;   /* [threads of the session, steps] */
    int threads;                   /* that work on this image */
    int worker;                    /* scratch to use when threads is 1 */
    uint32_t first, last;          /* steps of this pass, from 1 */
    tspk_site_record *record;      /* [n_sites] or NULL */
    const tspk_spike_trace *trace; /* or NULL */
} tspk_spike_run;

/** Body of a loop over blocks; `worker` names the scratch and the counter. */
void tspk_run_blocks(const tspk_spike_run *run, size_t n, tspk_parallel_fn fn, void *context);

/** Executes steps run->first to run->last, as many as the plan's pass has at most; before step 1
 * the input values are in place. */
tspk_status tspk_spike_pass(const tspk_spike_run *run, tspk_error *err);

/** True when state outlives this pass. */
static inline bool tspk_is_state_kept(const tspk_spike_run *run)
{
    return run->last < run->plan->steps;
}

static inline tspk_spike_counter *tspk_run_counter(const tspk_spike_run *run, int worker,
                                                   uint32_t t)
{
    return &run->counter[(size_t)worker * run->plan->steps + t - 1];
}

static inline void tspk_enter_phase(const tspk_spike_run *run, const char *phase)
{
    if (run->trace)
        run->trace->enter(run->trace->context, phase);
}

static inline void tspk_leave_phase(const tspk_spike_run *run)
{
    if (run->trace)
        run->trace->leave(run->trace->context);
}

/** Elements of a value at step t of the pass in the run's slot, or of a constant. */
void *tspk_run_value(const tspk_spike_run *run, tspk_value_id id, uint32_t t);

/* Rows of a value from some row on, at the first step of the pass. */
typedef struct tspk_run_rows {
    float *at;
    size_t step; /* elements to the same rows at the next step; 0: the same at every step */
} tspk_run_rows;

/** Rows from `row` on; of a local value those of the block that begins with `row`. */
tspk_run_rows tspk_rows_of(const tspk_spike_run *run, tspk_value_id id, size_t row, int worker);

/* --- kinds of node, each in a file of its own --- */

/** Evaluates all rows of a node that carries no state. */
tspk_status tspk_run_eval(const tspk_spike_run *run, uint32_t node, uint32_t t, tspk_error *err);

/** spike_chain.c: executes a chain, blocks of rows over the threads. */
void tspk_run_chain(const tspk_spike_run *run, const tspk_segment *segment);

/* Is shown the states of rows of one class after a step: [rows, neurons]. */
typedef void (*tspk_visit_states)(void *context, uint32_t t, size_t row, size_t rows,
                                  const float *o);

/* Rows of a site, all its channels, over the steps of the pass. */
typedef struct tspk_fire_span {
    size_t first, rows;
    tspk_run_rows x; /* [rows, channels] */
    int16_t *level;  /* [rows, n] at the first step of the pass: levels of computed rows; out */
    size_t level_step;
    uint64_t *fired;         /* [steps of the pass] spikes are added; or NULL */
    tspk_visit_states visit; /* or NULL */
    void *context;           /* of visit */
} tspk_fire_span;

/**
 * Fires rows of a site. Levels of linear sites come in their sorted order.
 */
size_t tspk_fire_scratch_bytes(const tspk_spike_plan *plan, const tspk_site_plan *site);
void tspk_fire_rows(const tspk_spike_run *run, uint32_t site, const tspk_fire_span *span,
                    int worker);

/* Rows of a Linear that follow one another in its site and in its output. */
typedef struct tspk_linear_span {
    size_t site_row, row, rows; /* first row in the site, in the output */
    const int16_t *level;       /* [rows, n] at the first step of the pass */
    size_t level_step;
    const uint64_t *fired; /* [steps of the pass] spikes of these rows; NULL: unknown */
    tspk_run_rows out;
} tspk_linear_span;

size_t tspk_linear_scratch_bytes(const tspk_spike_plan *plan, const tspk_linear_plan *linear);
void tspk_linear_rows(const tspk_spike_run *run, const tspk_linear_plan *linear,
                      const tspk_linear_span *span, int worker);

/** All computed rows of a Linear that is in no chain; fires its site if it is the first to read it.
 */
void tspk_run_spike_linear(const tspk_spike_run *run, const tspk_linear_plan *linear);

size_t tspk_attention_scratch_bytes(const tspk_spike_plan *plan,
                                    const tspk_attention_plan *attention);
void tspk_run_spike_attention(const tspk_spike_run *run, const tspk_attention_plan *attention);

/** spike_operand.c: levels of rows of an operand, and what they add to logits beside the products.
 */
size_t tspk_operand_scratch_bytes(const tspk_spike_plan *plan,
                                  const tspk_attention_plan *attention);
void tspk_fire_operand(const tspk_spike_run *run, const tspk_attention_plan *attention,
                       tspk_operand operand, size_t row, size_t rows, int worker);

/** Where fewer rows are computed than at step 1: levels of keys and values go to their places, and
 * the other keys add to logits what they did. */
void tspk_hold_operands(const tspk_spike_run *run, const tspk_attention_plan *attention);

/* Where an attention finds what tspk_fire_operand() left at step t: levels from `row` on [rows, n];
 * of the query those of earlier passes too. */
int16_t *tspk_operand_levels(const tspk_spike_run *run, const tspk_attention_plan *attention,
                             tspk_operand operand, uint32_t t, size_t row);

/* [keys_padded] what a query's class and the key add to the logits of a head. */
float *tspk_added_logits(const tspk_spike_run *run, const tspk_attention_plan *attention,
                         uint32_t t, size_t token_class, size_t head);

/* [n_classes] what a query adds to the logits of special keys by their class, but 0. */
float *tspk_special_logits(const tspk_spike_run *run, const tspk_attention_plan *attention,
                           uint32_t t, size_t query, size_t head);

/** Strides of an Attention's additive bias [heads or 1, queries or 1, keys]; 0 where it broadcasts.
 */
void tspk_bias_strides(const tspk_shape *shape, size_t *head_out, size_t *row_out);

/** Linear, Conv, MatMul and Attention in float, in a fixed order. */
size_t tspk_analog_scratch_bytes(const tspk_spike_plan *plan, tspk_node_id node);
void tspk_run_analog(const tspk_spike_run *run, tspk_node_id node, uint32_t t);

/** What the input of a neuron is multiplied by. */
static inline float tspk_fire_factor(const tspk_spike_plan *plan, uint32_t t)
{
    return plan->point->coding == TSPK_CODING_RATE ? (float)t : 1.0f;
}

/** Adds a row of levels to a counter. */
void tspk_count_spikes(const tspk_site_plan *site, tspk_spike_counter *counter,
                       const tspk_level_count *counted, uint32_t fan_out);

/* --- scratch: the same function adds up what it needs and hands it out --- */

typedef struct tspk_carver {
    uint8_t *base; /* NULL: count only */
    size_t used;
} tspk_carver;

static inline void *tspk_carve(tspk_carver *carver, size_t bytes)
{
    void *const p = carver->base ? carver->base + carver->used : NULL;

    carver->used +=
        (bytes + TSPK_ALIGN_BYTES - 1) / TSPK_ALIGN_BYTES * TSPK_ALIGN_BYTES + TSPK_ALIGN_BYTES;
    return p;
}

/** A worker's local values, then what a node needs. */
static inline uint8_t *tspk_run_local(const tspk_spike_run *run, int worker)
{
    return run->scratch + (size_t)worker * run->plan->scratch_bytes;
}

static inline uint8_t *tspk_run_scratch(const tspk_spike_run *run, int worker)
{
    return tspk_run_local(run, worker) + run->plan->local_bytes;
}

#endif
