/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What a session derives from a spike graph when it is opened: thresholds per step, packed weights,
 * and where every value and state lies. Immutable while images run.
 *
 * An image is executed in passes over the graph. A pass executes several steps, every node all of
 * them before the next node begins: what a node computes at a step depends on earlier nodes at that
 * step and on itself at earlier ones. So running results stay in near memory; only between passes
 * is state kept. Nodes that work row by row and follow one another form a chain: a block of rows
 * goes through all of them before the next block.
 *
 * A slot is one block of memory for one image: state first, then values, one version a step of the
 * pass. Values that only their chain reads are local: they lie in the worker's scratch, for the
 * rows of a block.
 */
#ifndef TSPK_RUNTIME_SPIKE_PLAN_H
#define TSPK_RUNTIME_SPIKE_PLAN_H

#include "core/spikegraph.h"
#include "core/vecmath.h"
#include "runtime/spike/row_kernels.h"

#define TSPK_NOWHERE SIZE_MAX

/* Rows a job: fixed by the problem, so that results and counters do not depend on threads. */
#define TSPK_FIRE_ROWS  16u
#define TSPK_CHAIN_ROWS 48u
/* Blocks of a chain have a multiple of so many rows: whole register blocks of the products. */
#define TSPK_CHAIN_UNIT     12u
#define TSPK_ATTENTION_ROWS 48u
#define TSPK_GEMM_ROWS      48u

/* Packed weights of a job: what stays in the second cache while rows pass by. */
#define TSPK_LINEAR_BYTES (384u << 10)

typedef struct tspk_site_plan {
    const tspk_site *site;
    const tspk_site_params *params;
    size_t neurons;    /* a row, padded: channels, or keys */
    size_t n;          /* levels a row, padded: linear: sorted positions; else `neurons` */
    size_t pairs;      /* linear: pairs of positions a group; else 0 */
    uint32_t *fan_out; /* [rows] 0: the row is not computed */
    uint32_t *order;   /* [n] channel at each position, `channels`: none; NULL: as they come */
    const uint32_t *channel; /* [neurons] channel of each neuron of a row; NULL: in order */
    size_t ordered;          /* levels that `order` picks from: channels, and a 0 if it needs one */
    float *prior;            /* [n_classes, neurons]; NULL: zeros */
    tspk_fire_table *table;  /* [steps, n_classes]; numerators: FIRE_LANES entries a head */
    uint64_t n_neurons;      /* computed a step */
    uint32_t weight_bits;    /* of the weights that its spikes meet; 8 at products */
    bool is_wide;            /* a level may be beyond ±127 */
    size_t code_at;  /* not numerators: [steps - 1, rows, neurons] int8, from which later passes
                        derive  the neurons' state; NOWHERE: one pass */
    size_t level_at; /* not numerators: [rows, n] int16, a plane a step; local: of a block */
    size_t fired_at; /* linear, local: [steps of a pass] uint64, spikes of a block */
    bool is_local;   /* all its readers are in one chain */
    uint32_t space;  /* of its rows */
    uint32_t other_space; /* of the rows that its spikes meet, at keys and values; else NO_SPACE */
} tspk_site_plan;

typedef struct tspk_linear_plan {
    const tspk_spike_linear *linear;
    const tspk_site_plan *site;
    uint32_t site_id;
    bool is_first;    /* it fires the site */
    size_t rows;      /* computed */
    size_t most_rows; /* a call */
    tspk_width width;
    size_t tiles, tile_bytes;
    void *weight;           /* tspk_pack_weights() */
    float *scale;           /* [tiles, n_groups, LANES] */
    const float *bias;      /* [steps, n_classes, n_out] */
    const uint32_t *column; /* [n_out] output that each column computes; NULL: in order */
    size_t y_at;            /* [rows, n_out] f32; NOWHERE: one pass */
    uint32_t space;         /* of the rows that it computes */
} tspk_linear_plan;

/* Operands of an attention that a site stands before. */
typedef enum tspk_operand { TSPK_QUERY = 0, TSPK_KEY, TSPK_VALUE, TSPK_OPERANDS } tspk_operand;

typedef struct tspk_attention_plan {
    const tspk_spike_attention *attention;
    const tspk_node *node;
    const tspk_site_plan *query, *key, *value, *numerator;
    uint32_t query_id, key_id, value_id, numerator_id;
    size_t heads, depth, width; /* heads; channels a head of q and k; of v */
    size_t queries, keys, keys_padded, width_padded;
    tspk_width logit_width, value_width; /* of the two products */
    size_t key_plane, value_plane;       /* bytes of one packed plane */
    bool is_fired[TSPK_OPERANDS];        /* by the chain that makes the operand */
    float *key_factor;                   /* [keys_padded] κ_k(j) */
    uint32_t n_special;                  /* keys of a class other than 0 */
    uint32_t *special;                   /* [n_special] */
    float *key_offset;   /* [steps, n_classes, channels] b_k(κ) - b_k(0); NULL: zeros */
    float *value_offset; /* the same of v */
    /* offsets into the slot */
    size_t key_at, value_at; /* packed planes, one a step */
    /* a plane a step of the pass */
    size_t add_at;     /* [n_classes, heads, keys_padded] what the query's class and a key add to a
                          logit */
    size_t special_at; /* [queries, heads, n_classes] what a query adds to the logits of special
                          keys */
    /* between passes; NOWHERE: one pass */
    size_t logit_at; /* L [heads, queries, keys_padded] */
    size_t max_at;   /* [heads, queries] */
    size_t acc_at;   /* Acc [heads, queries, width_padded] */
    size_t code_at;  /* [steps - 1, heads, queries, keys_padded] int8 */
} tspk_attention_plan;

/* Packed constants of an analog contraction: tiles of LANES outputs. */
typedef struct tspk_gemm_plan {
    float *weight;     /* [groups, tiles, inner, LANES] */
    const float *bias; /* [groups * n] or NULL; borrowed */
    size_t groups, n, inner, tiles;
} tspk_gemm_plan;

typedef enum tspk_node_kind {
    TSPK_NODE_EVAL = 0, /* tspk_op_eval_with() */
    TSPK_NODE_ALIAS,    /* same elements, no work */
    TSPK_NODE_SPIKE_LINEAR,
    TSPK_NODE_SPIKE_ATTENTION,
    TSPK_NODE_LINEAR,
    TSPK_NODE_CONV,
    TSPK_NODE_MATMUL,
    TSPK_NODE_ATTENTION
} tspk_node_kind;

typedef struct tspk_node_plan {
    tspk_node_kind kind;
    bool is_static; /* depends on no site: executed once an image */
    bool reads_whole; /* all rows of tokens, though fewer may be computed */
    void *record;   /* tspk_linear_plan, tspk_attention_plan or tspk_gemm_plan */
} tspk_node_plan;

/* Nodes that are executed together: one node with all its rows, or a chain. */
typedef struct tspk_segment {
    uint32_t first, end;               /* nodes */
    size_t rows;                       /* chain: of every value in it; else 0 */
    size_t block;                      /* chain: rows a block at most */
    uint32_t first_firing, end_firing; /* chain: plan->firing[] that end it */
    uint32_t space;                    /* chain: of its rows */
} tspk_segment;

/* An operand that is fired where it is made: nobody else reads it. */
typedef struct tspk_firing {
    uint32_t attention;
    tspk_operand operand;
} tspk_firing;

#define TSPK_NO_SPACE UINT32_MAX

/* Rows of tokens of which fewer are computed from step 2 on: token_rows.h. Offsets into the slot.
 */
typedef struct tspk_token_plan {
    uint32_t n_spaces;     /* 0: every row is computed at every step, and nothing below is there */
    uint32_t n_special;    /* leading tokens, computed at every step */
    uint32_t n_refined;    /* rows of the last space that are */
    uint32_t most_rows;    /* of a space: of the first */
    const uint32_t *rows;  /* [n_spaces] */
    const uint32_t *map;   /* [n_spaces - 1] the MergeMap behind each */
    const uint32_t *space; /* [n_values] of roots */
    size_t *whole_at;      /* [n_values] of roots that are read whole: all rows; NOWHERE */
    size_t count_at;       /* [n_spaces] uint32, computed now */
    size_t place_at;       /* [n_spaces, most_rows] uint32, where these lay at step 1 */
    size_t relevance_at;   /* [n_spaces, most_rows] f32 */
    size_t part_at;        /* [heads * blocks, keys_padded] f32 of the attention that runs */
    size_t merge_at;       /* of a Merge: map, sizes, rows by their place */
} tspk_token_plan;

/* Energy of one image that does not depend on what fires, see spike_energy.c [pJ]. */
typedef struct tspk_energy_plan {
    double ann_synaptic, ann_full; /* denominators */
    double once_synaptic;          /* sites kept analog on what no spike changes */
    double analog_synaptic;        /* a step: analog contractions of the blocks */
    double once_full, step_full;   /* stem; analog work, membranes, thresholds, weights a step */
    double state_full;             /* state carried from one step to the next */
    double *prior_full;            /* [steps] priors at products, up to and with a step */
    double quantised;              /* ratio */
    double token_share; /* rows of the blocks' linear sites, ratio to those before any merged */
    /* What of these is due to all rows of a space, [n_spaces]; not in the numbers above. */
    double *space_step, *space_state, *space_tokens;
    double *space_prior; /* [steps, n_spaces] of a step */
} tspk_energy_plan;

typedef struct tspk_spike_plan {
    const tspk_spikegraph *spikes;
    const tspk_graph *graph;
    const tspk_point *point;
    const tspk_kernels *kernels;
    const tspk_row_kernels *row_kernels;
    const tspk_vecmath *math;
    tspk_arena *arena; /* owns everything derived */
    uint32_t steps, n_classes;
    uint32_t pass;                  /* steps a pass executes at most */
    float refine_share;             /* of the patches, from step 2 on; 0: all */
    tspk_site_plan *site;           /* [n_sites] */
    tspk_linear_plan *linear;       /* [n_linears] */
    tspk_attention_plan *attention; /* [n_attentions] */
    tspk_node_plan *node;           /* [n_nodes] */
    tspk_value_id *root;            /* [n_values] value whose memory it shares */
    size_t *value_at;               /* [n_values] of roots; NOWHERE for constants */
    size_t *version_bytes;          /* [n_values] of roots: to the next step's; 0: the same */
    bool *is_local;                 /* [n_values] of roots: value_at is in a worker's scratch */
    tspk_segment *segment;          /* [n_segments] in order of execution */
    uint32_t n_segments;
    tspk_firing *firing; /* [n_firings] by segment */
    uint32_t n_firings;
    size_t state_bytes;   /* of a slot: kept from pass to pass */
    size_t slot_bytes;    /* with values */
    size_t local_bytes;   /* a worker: local values */
    size_t scratch_bytes; /* a worker: with local values */
    size_t weight_bytes;  /* integer and float weights with their scales */
    tspk_token_plan tokens;
    tspk_energy_plan energy;
} tspk_spike_plan;

/**
 * Makes the plan of `steps` steps of operating point `point`.
 * @param pass     steps a pass executes; 0 or more than `steps`: all in one
 * @param plan_out zeroed by the caller; tspk_spike_plan_done() frees it, after a failure too
 * @param refine_share of the patches that are computed from step 2 on; 0: all. Else `pass` is 1
 * @errors UNSUPPORTED (several images or inputs a run, analog weights that are no constants; tokens
 *         that cannot be refined), RANGE
 */
tspk_status tspk_spike_plan_init(const tspk_spikegraph *spikes, uint32_t point, uint32_t steps,
                                 uint32_t pass, float refine_share, const tspk_kernels *kernels,
                                 const tspk_row_kernels *row_kernels, const tspk_vecmath *math,
                                 tspk_spike_plan *plan_out, tspk_error *err);
void tspk_spike_plan_done(tspk_spike_plan *plan);

/* --- parts of it, each in a file of its own --- */

/** spike_fold.c: site[].channel, linear[].column. */
void tspk_plan_folds(tspk_spike_plan *plan);

/** spike_tables.c: site[].table, prior, order, fan-out. */
tspk_status tspk_plan_sites(tspk_spike_plan *plan, tspk_error *err);

/** spike_pack.c: linear[], attention[] and the packed constants of analog contractions. */
tspk_status tspk_plan_weights(tspk_spike_plan *plan, tspk_error *err);

/** spike_segments.c: root[], what is static, is_local[], segment[], who fires a site. */
tspk_status tspk_plan_segments(tspk_spike_plan *plan, tspk_error *err);

/* Inputs of a node that tspk_is_row_wise(). */
#define TSPK_ROW_INPUTS 3

/** True when rows of the output depend on the same rows of the inputs, or on shared operands,
 * alone: elementwise operators, and normalisations over the last axis. */
bool tspk_is_row_wise(const tspk_graph *graph, const tspk_node *node);

/** True when every row of a row-wise node reads the whole of input i. */
bool tspk_is_shared_operand(const tspk_graph *graph, const tspk_node *node, uint32_t i);

/**
 * token_plan.c: tokens, the spaces of sites, linears and chains, nodes that read values whole.
 * @errors UNSUPPORTED (what is not computed token by token; rate coding), the node is named
 */
tspk_status tspk_plan_tokens(tspk_spike_plan *plan, tspk_error *err);

/** spike_layout.c: every offset, slot_bytes, state_bytes, scratch_bytes. */
tspk_status tspk_plan_layout(tspk_spike_plan *plan, tspk_error *err);

/** spike_energy.c: energy. */
tspk_status tspk_plan_energy(tspk_spike_plan *plan, tspk_error *err);

/** Site of an operand. */
static inline uint32_t tspk_operand_site(const tspk_attention_plan *at, tspk_operand operand)
{
    const uint32_t site[] = {at->query_id, at->key_id, at->value_id};

    return site[operand];
}

static inline const tspk_fire_table *tspk_site_table(const tspk_spike_plan *plan,
                                                     const tspk_site_plan *site, uint32_t t,
                                                     uint32_t token_class)
{
    return &site->table[(size_t)(t - 1) * plan->n_classes + token_class];
}

#endif
