/* SPDX-License-Identifier: Apache-2.0 */
/* Execution of one step of one image: the walk over the graph and its kinds of node. */
#ifndef TSPK_RUNTIME_SPIKE_EXEC_H
#define TSPK_RUNTIME_SPIKE_EXEC_H

#include "core/parallel.h"
#include "runtime/spike/spike_plan.h"

/* Work of one worker; integers, so that their sums do not depend on who did what. */
typedef struct tspk_spike_counter {
    uint64_t spikes, neurons;
    uint64_t site_spikes; /* of the site that fires now */
    uint64_t accumulates; /* spikes times fan-out, blocks */
    uint64_t head;        /* spikes times fan-out, sites that feed the classifier alone */
    uint64_t level_bits;  /* Σ bits * weight bits / 8 times fan-out, levels not powers of two */
    uint8_t pad[16];
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

/* Who wants to know where time goes: phases, of which one may be inside of another. `phase` is static
 * text. Called on the thread that walks the graph. */
typedef struct tspk_spike_trace {
    void (*enter)(void *context, const char *phase);
    void (*leave)(void *context);
    void *context;
} tspk_spike_trace;

/* One image on its way. */
typedef struct tspk_spike_run {
    const tspk_spike_plan *plan;
    uint8_t *slot;               /* [slot_bytes] */
    uint8_t *scratch;            /* [threads of the session, scratch_bytes] */
    tspk_spike_counter *counter; /* [threads of the session] */
    int threads;                 /* that work on this image */
    int worker;                  /* scratch to use when threads is 1 */
    uint32_t t;                  /* step, from 1 */
    double *rate;                /* [n_sites] firing rate of this step, once the site has fired */
    tspk_site_record *record;    /* [n_sites] or NULL */
    const tspk_spike_trace *trace; /* or NULL */
} tspk_spike_run;

/** Body of a loop over blocks; `worker` names the scratch and the counter. */
void tspk_run_blocks(const tspk_spike_run *run, size_t n, tspk_parallel_fn fn, void *context);

/** Executes step run->t; at step 1 the input values are in place. */
tspk_status tspk_spike_step(tspk_spike_run *run, tspk_error *err);

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

/** Elements of a value in the run's slot, or of a constant. */
void *tspk_run_value(const tspk_spike_run *run, tspk_value_id id);

/* --- kinds of node, each in a file of its own --- */

size_t tspk_linear_scratch_bytes(const tspk_spike_plan *plan, const tspk_linear_plan *linear);
void tspk_run_spike_linear(const tspk_spike_run *run, const tspk_linear_plan *linear);

size_t tspk_attention_scratch_bytes(const tspk_spike_plan *plan,
                                    const tspk_attention_plan *attention);
void tspk_run_spike_attention(const tspk_spike_run *run, const tspk_attention_plan *attention);

/** Strides of an Attention's additive bias [heads or 1, queries or 1, keys]; 0 where it broadcasts.
 */
void tspk_bias_strides(const tspk_shape *shape, size_t *head_out, size_t *row_out);

/** Linear, Conv, MatMul and Attention in float, in a fixed order. */
size_t tspk_analog_scratch_bytes(const tspk_spike_plan *plan, tspk_node_id node);
void tspk_run_analog(const tspk_spike_run *run, tspk_node_id node);

/**
 * Fires a site of rows: x [rows, channels] to levels [rows, n] (of computed rows) and state.
 * Levels of linear sites come in their sorted order.
 */
size_t tspk_fire_scratch_bytes(const tspk_spike_plan *plan, const tspk_site_plan *site);
void tspk_fire_site(const tspk_spike_run *run, uint32_t site, const float *x, int16_t *level);

/** What the input of a neuron is multiplied by. */
static inline float tspk_fire_factor(const tspk_spike_run *run)
{
    return run->plan->point->coding == TSPK_CODING_RATE ? (float)run->t : 1.0f;
}

/** Adds a row of levels to a worker's counter. */
void tspk_count_spikes(const tspk_spike_run *run, const tspk_site_plan *site, int worker,
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

static inline uint8_t *tspk_run_scratch(const tspk_spike_run *run, int worker)
{
    return run->scratch + (size_t)worker * run->plan->scratch_bytes;
}

#endif
