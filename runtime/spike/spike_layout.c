/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything lies. A slot: first what is kept from pass to pass, then the values of a pass. A
 * worker's scratch: first the local values of the chain that it executes. Values share memory by
 * their lifetimes (first fit, in order of execution).
 */
#include <stdlib.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"
#include "runtime/spike/spike_exec.h"

/* Local values of a block: what stays in the second cache beside weights. */
#define LOCAL_BYTES (640u << 10)
/* Weights of a chain that stay there beside them. */
#define NEAR_WEIGHT_BYTES (640u << 10)
/* Rows times steps that pay for reading weights from afar. */
#define FAR_WEIGHT_ROWS 180u

/* A stretch of a pool that is in use. */
typedef struct stretch {
    size_t at, bytes;
    uint32_t last; /* node after which it is free */
} stretch;

typedef struct pool {
    size_t base;   /* where it begins */
    stretch *live; /* by rising offset */
    size_t n_live;
    size_t peak;
} pool;

typedef struct layout {
    tspk_spike_plan *plan;
    uint32_t *last_use; /* [n_values] of roots: last node that reads it; n_nodes: an output */
    bool *is_kept;      /* [n_values] of roots: later passes read what the first computed */
    pool slot, local;
} layout;

static size_t round_up(size_t bytes)
{
    return (bytes + TSPK_ALIGN_BYTES - 1) / TSPK_ALIGN_BYTES * TSPK_ALIGN_BYTES + TSPK_ALIGN_BYTES;
}

static size_t keep(layout *l, size_t bytes)
{
    const size_t at = l->plan->state_bytes;

    l->plan->state_bytes += round_up(bytes);
    return at;
}

/* The lowest gap that is large enough. */
static size_t share(pool *p, size_t bytes, uint32_t last)
{
    const size_t need = round_up(bytes);
    size_t at = p->base, i = 0;

    while (i < p->n_live && p->live[i].at - at < need) {
        at = p->live[i].at + p->live[i].bytes;
        i++;
    }
    for (size_t j = p->n_live; j > i; j--)
        p->live[j] = p->live[j - 1];
    p->live[i] = (stretch){at, need, last};
    p->n_live++;
    if (at + need > p->peak)
        p->peak = at + need;
    return at;
}

static void release(pool *p, uint32_t node)
{
    size_t kept = 0;

    for (size_t i = 0; i < p->n_live; i++)
        if (p->live[i].last > node)
            p->live[kept++] = p->live[i];
    p->n_live = kept;
}

/* The last reader of each value, and what later passes read. */
static void find_lifetimes(layout *l)
{
    tspk_spike_plan *const plan = l->plan;
    const tspk_graph *const graph = plan->graph;
    const bool is_kept = plan->pass < plan->steps;

    for (uint32_t v = 0; v < graph->n_values; v++) {
        const tspk_node_id producer = graph->value[v].producer;
        const bool is_static = producer == TSPK_ID_NONE || plan->node[producer].is_static;

        plan->value_at[v] = TSPK_NOWHERE;
        plan->version_bytes[v] = is_static ? 0 : 1;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        for (uint32_t i = 0; i < node->n_in; i++) {
            const tspk_value_id root =
                node->in[i] == TSPK_ID_NONE ? TSPK_ID_NONE : plan->root[node->in[i]];

            if (root == TSPK_ID_NONE || plan->node[n].kind == TSPK_NODE_ALIAS)
                continue;
            l->last_use[root] = n;
            l->is_kept[root] |= is_kept && !plan->version_bytes[root] && !plan->node[n].is_static;
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const tspk_value_id root = plan->root[graph->output[i]];

        l->last_use[root] = graph->n_nodes;
        l->is_kept[root] |= is_kept && !plan->version_bytes[root];
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (graph->node[n].op == TSPK_OP_MERGE_MAP) /* a dump wants it after the run */
            l->is_kept[graph->node[n].out[0]] = true;
}

static size_t value_bytes(const tspk_value *value)
{
    return tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype);
}

/* A value, one version a step of the pass; a local one has the rows of a block. */
static void place_value(layout *l, tspk_value_id id, const tspk_segment *segment)
{
    tspk_spike_plan *const plan = l->plan;
    const tspk_value *const value = &plan->graph->value[id];
    size_t bytes = value_bytes(value);

    if (value->data || plan->root[id] != id || l->is_kept[id])
        return;
    if (plan->is_local[id])
        bytes = bytes / segment->rows * segment->block;
    if (plan->version_bytes[id]) {
        plan->version_bytes[id] = round_up(bytes);
        bytes = plan->pass * round_up(bytes);
    }
    plan->value_at[id] = share(plan->is_local[id] ? &l->local : &l->slot, bytes, l->last_use[id]);
}

static void keep_attention(layout *l, tspk_attention_plan *at)
{
    const size_t steps = l->plan->steps, rows = at->heads * at->queries;
    tspk_site_plan *const site = l->plan->site;

    at->logit_at = keep(l, rows * at->keys_padded * sizeof(float));
    at->max_at = keep(l, rows * sizeof(float));
    at->acc_at = keep(l, rows * at->width_padded * sizeof(float));
    at->code_at = keep(l, (steps - 1) * rows * at->keys_padded);
    at->key_at = keep(l, steps * at->key_plane);
    at->value_at = keep(l, steps * at->value_plane);
    site[at->query_id].level_at = keep(l, steps * at->queries * at->query->n * sizeof(int16_t));
}

/* Which rows are computed, and what is read of values as a whole. */
static void keep_tokens(layout *l)
{
    const tspk_spike_plan *const plan = l->plan;
    tspk_token_plan *const tokens = &l->plan->tokens;
    const size_t cells = (size_t)tokens->n_spaces * tokens->most_rows;
    size_t part = 0;

    if (!tokens->n_spaces)
        return;
    for (uint32_t i = 0; i < plan->spikes->n_attentions; i++) {
        const tspk_attention_plan *const at = &plan->attention[i];
        const size_t blocks = (at->queries + TSPK_ATTENTION_ROWS - 1) / TSPK_ATTENTION_ROWS;
        const size_t elems = at->heads * blocks * at->keys_padded;

        part = elems > part ? elems : part;
    }
    tokens->count_at = keep(l, tokens->n_spaces * sizeof(uint32_t));
    tokens->place_at = keep(l, cells * sizeof(uint32_t));
    tokens->relevance_at = keep(l, cells * sizeof(float));
    tokens->part_at = keep(l, part * sizeof(float));
    tokens->merge_at =
        keep(l, tokens->most_rows * (sizeof(int64_t) + sizeof(float) + sizeof(uint32_t)));
    for (uint32_t v = 0; v < plan->graph->n_values; v++)
        if (tokens->whole_at[v] != TSPK_NOWHERE)
            tokens->whole_at[v] = keep(l, value_bytes(&plan->graph->value[v]));
}

static void keep_states(layout *l)
{
    tspk_spike_plan *const plan = l->plan;

    for (uint32_t v = 0; v < plan->graph->n_values; v++)
        if (l->is_kept[v] && plan->root[v] == v && !plan->graph->value[v].data)
            plan->value_at[v] = keep(l, value_bytes(&plan->graph->value[v]));
    if (plan->pass == plan->steps)
        return;
    keep_tokens(l);
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++) {
        tspk_linear_plan *const at = &plan->linear[i];

        at->y_at = keep(l, at->rows * at->linear->n_out * sizeof(float));
    }
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++) {
        tspk_site_plan *const at = &plan->site[i];

        if (at->site->kind != TSPK_SITE_NUMERATOR)
            at->code_at = keep(l, (plan->steps - 1) * at->site->rows * at->neurons);
    }
    for (uint32_t i = 0; i < plan->spikes->n_attentions; i++)
        keep_attention(l, &plan->attention[i]);
}

/* What firing an operand leaves to its attention. */
static void share_operand(layout *l, tspk_attention_plan *at, tspk_operand operand, uint32_t node)
{
    const size_t pass = l->plan->pass, classes = l->plan->n_classes * at->heads;
    tspk_site_plan *const site = &l->plan->site[tspk_operand_site(at, operand)];

    if (operand != TSPK_QUERY || pass == l->plan->steps)
        site->level_at = share(&l->slot, pass * site->site->rows * site->n * sizeof(int16_t), node);
    if (operand == TSPK_KEY)
        at->add_at = share(&l->slot, pass * classes * at->keys_padded * sizeof(float), node);
    if (operand == TSPK_QUERY)
        at->special_at = share(&l->slot, pass * classes * at->queries * sizeof(float), node);
}

static void share_attention(layout *l, tspk_attention_plan *at, uint32_t node)
{
    const size_t pass = l->plan->pass;

    for (int operand = 0; operand < TSPK_OPERANDS; operand++)
        if (!at->is_fired[operand])
            share_operand(l, at, (tspk_operand)operand, node);
    if (pass < l->plan->steps)
        return;
    at->logit_at = at->max_at = at->acc_at = at->code_at = TSPK_NOWHERE;
    at->key_at = share(&l->slot, pass * at->key_plane, node);
    at->value_at = share(&l->slot, pass * at->value_plane, node);
}

/* Levels live until the last Linear has read them. */
static void share_levels(layout *l, const tspk_linear_plan *at, const tspk_segment *segment)
{
    const tspk_spike_plan *const plan = l->plan;
    tspk_site_plan *const site = &plan->site[at->site_id];
    const size_t rows = site->is_local ? segment->block : site->site->rows;
    pool *const from = site->is_local ? &l->local : &l->slot;
    uint32_t last = 0;

    if (!at->is_first)
        return;
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        if (plan->linear[i].site_id == at->site_id && plan->spikes->linear[i].node > last)
            last = plan->spikes->linear[i].node;
    site->level_at = share(from, plan->pass * rows * site->n * sizeof(int16_t), last);
    if (site->is_local)
        site->fired_at = share(from, plan->pass * sizeof(uint64_t), last);
}

static size_t node_scratch(const tspk_spike_plan *plan, uint32_t n)
{
    const tspk_node *const node = &plan->graph->node[n];
    const tspk_node_plan *const at = &plan->node[n];

    switch (at->kind) {
    case TSPK_NODE_EVAL:
        return round_up(tspk_op_scratch_bytes(plan->graph, node));
    case TSPK_NODE_ALIAS:
        return 0;
    case TSPK_NODE_SPIKE_LINEAR:
        return tspk_linear_scratch_bytes(plan, at->record);
    case TSPK_NODE_SPIKE_ATTENTION:
        return tspk_attention_scratch_bytes(plan, at->record);
    case TSPK_NODE_LINEAR:
    case TSPK_NODE_CONV:
    case TSPK_NODE_MATMUL:
    case TSPK_NODE_ATTENTION:
        return tspk_analog_scratch_bytes(plan, n);
    }
    return 0;
}

/* The local value that an elementwise operator reads last and may overwrite; ID_NONE: none. */
static tspk_value_id overwritten(const layout *l, uint32_t n)
{
    const tspk_spike_plan *const plan = l->plan;
    const tspk_node *const node = &plan->graph->node[n];
    const tspk_value *const value = plan->graph->value;

    if (plan->node[n].kind != TSPK_NODE_EVAL || !tspk_op_is_elementwise(node->op) ||
        node->n_in != 1 || !plan->is_local[plan->root[node->in[0]]] ||
        l->last_use[plan->root[node->in[0]]] != n ||
        !tspk_shape_equal(&value[node->in[0]].shape, &value[node->out[0]].shape))
        return TSPK_ID_NONE;
    return plan->root[node->in[0]];
}

/* A value takes over the memory of another. */
static void take_over(layout *l, tspk_value_id from, tspk_value_id to)
{
    tspk_spike_plan *const plan = l->plan;

    plan->value_at[to] = plan->value_at[from];
    plan->version_bytes[to] = plan->version_bytes[from];
    for (size_t i = 0; i < l->local.n_live; i++)
        if (l->local.live[i].at == plan->value_at[from])
            l->local.live[i].last = l->last_use[to];
}

/* Local values and levels of a chain, for its present block; their bytes. */
static size_t lay_local(layout *l, const tspk_segment *segment)
{
    const tspk_spike_plan *const plan = l->plan;

    l->local = (pool){.live = l->local.live};
    for (uint32_t n = segment->first; n < segment->end; n++) {
        const tspk_node *const node = &plan->graph->node[n];
        const tspk_linear_plan *const linear = plan->node[n].record;
        const tspk_value_id from = overwritten(l, n);

        for (uint32_t i = 0; i < node->n_out; i++)
            if (plan->is_local[node->out[i]] && from == TSPK_ID_NONE)
                place_value(l, node->out[i], segment);
            else if (plan->is_local[node->out[i]])
                take_over(l, from, node->out[i]);
        if (plan->node[n].kind == TSPK_NODE_SPIKE_LINEAR && linear->site->is_local)
            share_levels(l, linear, segment);
        release(&l->local, n);
    }
    return l->local.peak;
}

static size_t chain_weight_bytes(const tspk_spike_plan *plan, const tspk_segment *segment)
{
    size_t bytes = 0;

    for (uint32_t n = segment->first; n < segment->end; n++)
        if (plan->node[n].kind == TSPK_NODE_SPIKE_LINEAR) {
            const tspk_linear_plan *const linear = plan->node[n].record;

            bytes += linear->tiles * linear->tile_bytes;
        }
    return bytes;
}

/* Rows of a block: one of n blocks of the chain that are about as long. */
static size_t block_of(const tspk_segment *segment, size_t n)
{
    const size_t rows = (segment->rows + n - 1) / n;

    return (rows + TSPK_CHAIN_UNIT - 1) / TSPK_CHAIN_UNIT * TSPK_CHAIN_UNIT;
}

/* Blocks so long that their values stay near; but every block reads the chain's weights, and where
 * these come from afar it has so many rows, of all steps, that they are worth it. */
static void place_local(layout *l, tspk_segment *segment)
{
    const tspk_spike_plan *const plan = l->plan;
    const bool is_near = chain_weight_bytes(plan, segment) <= NEAR_WEIGHT_BYTES;
    size_t n = 0, bytes;

    do {
        segment->block = block_of(segment, ++n);
        bytes = lay_local(l, segment);
    } while (segment->block > TSPK_CHAIN_UNIT && bytes > LOCAL_BYTES &&
             (is_near || block_of(segment, n + 1) * plan->pass >= FAR_WEIGHT_ROWS));
    if (bytes > l->plan->local_bytes)
        l->plan->local_bytes = bytes;
    for (uint32_t i = segment->first; i < segment->end; i++)
        if (plan->node[i].kind == TSPK_NODE_SPIKE_LINEAR)
            ((tspk_linear_plan *)plan->node[i].record)->most_rows = segment->block;
}

/* What a segment makes and is not local. All of it lives until the segment's end: a block of rows
 * may read what another writes. */
static void place_segment(layout *l, const tspk_segment *segment)
{
    const tspk_spike_plan *const plan = l->plan;

    for (uint32_t n = segment->first; n < segment->end; n++) {
        const tspk_node *const node = &plan->graph->node[n];
        const tspk_linear_plan *const linear = plan->node[n].record;

        for (uint32_t i = 0; i < node->n_out; i++)
            if (!plan->is_local[node->out[i]])
                place_value(l, node->out[i], segment);
        if (plan->node[n].kind == TSPK_NODE_SPIKE_LINEAR && !linear->site->is_local)
            share_levels(l, linear, segment);
        if (plan->node[n].kind == TSPK_NODE_SPIKE_ATTENTION)
            share_attention(l, plan->node[n].record, n);
    }
    for (uint32_t i = segment->first_firing; i < segment->end_firing; i++) {
        tspk_attention_plan *const at = &plan->attention[plan->firing[i].attention];

        share_operand(l, at, plan->firing[i].operand, at->attention->node);
    }
    release(&l->slot, segment->end - 1);
}

static void lay_out(layout *l)
{
    tspk_spike_plan *const plan = l->plan;
    const tspk_graph *const graph = plan->graph;
    size_t most = 0;

    find_lifetimes(l);
    keep_states(l);
    l->slot.base = l->slot.peak = plan->state_bytes;
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        place_value(l, graph->input[i], NULL);
    for (uint32_t s = 0; s < plan->n_segments; s++) {
        tspk_segment *const segment = &plan->segment[s];

        if (segment->rows)
            place_local(l, segment);
        place_segment(l, segment);
        for (uint32_t n = segment->first; n < segment->end; n++) {
            const size_t scratch = node_scratch(plan, n);

            most = scratch > most ? scratch : most;
        }
        for (uint32_t i = segment->first_firing; i < segment->end_firing; i++) {
            const size_t scratch =
                tspk_operand_scratch_bytes(plan, &plan->attention[plan->firing[i].attention]);

            most = scratch > most ? scratch : most;
        }
    }
    plan->slot_bytes = l->slot.peak;
    plan->scratch_bytes = round_up(plan->local_bytes + most);
}

tspk_status tspk_plan_layout(tspk_spike_plan *plan, tspk_error *err)
{
    const uint32_t n_values = plan->graph->n_values;
    const size_t n_live = (size_t)n_values + 2 * (size_t)plan->spikes->n_sites +
                          16 * (size_t)plan->spikes->n_attentions + 16;
    tspk_arena *const scratch = tspk_arena_new(0);
    layout l = {.plan = plan};
    tspk_status status = TSPK_OK;

    plan->value_at = tspk_arena_array(plan->arena, n_values, sizeof *plan->value_at);
    plan->version_bytes = tspk_arena_array(plan->arena, n_values, sizeof *plan->version_bytes);
    if (scratch) {
        l.last_use = tspk_arena_array(scratch, n_values, sizeof *l.last_use);
        l.is_kept = tspk_arena_array(scratch, n_values, sizeof *l.is_kept);
        l.slot.live = tspk_arena_array(scratch, n_live, sizeof *l.slot.live);
        l.local.live = tspk_arena_array(scratch, n_live, sizeof *l.local.live);
    }
    if (!plan->value_at || !plan->version_bytes || !l.last_use || !l.is_kept || !l.slot.live ||
        !l.local.live)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to lay out the session");
    else
        lay_out(&l);
    tspk_arena_free(scratch);
    return status;
}
