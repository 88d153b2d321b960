/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where everything lies in a slot: first what is kept from step to step, then the values of a step,
 * which share memory by their lifetimes (first fit, in order of execution).
 */
#include <stdlib.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"
#include "runtime/spike/spike_exec.h"

/* A stretch of the shared part that is in use. */
typedef struct stretch {
    size_t at, bytes;
    uint32_t last; /* node after which it is free */
} stretch;

typedef struct layout {
    tspk_spike_plan *plan;
    uint32_t *last_use; /* [n_values] of roots: last node that reads it; n_nodes: an output */
    bool *is_static;    /* [n_values] of roots */
    bool *is_kept;      /* [n_values] of roots: later steps read what step 1 computed */
    stretch *live;      /* by rising offset */
    size_t n_live;
    size_t peak;
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
static size_t share(layout *l, size_t bytes, uint32_t last)
{
    const size_t need = round_up(bytes);
    size_t at = l->plan->state_bytes, i = 0;

    while (i < l->n_live && l->live[i].at - at < need) {
        at = l->live[i].at + l->live[i].bytes;
        i++;
    }
    for (size_t j = l->n_live; j > i; j--)
        l->live[j] = l->live[j - 1];
    l->live[i] = (stretch){at, need, last};
    l->n_live++;
    if (at + need > l->peak)
        l->peak = at + need;
    return at;
}

static void release(layout *l, uint32_t node)
{
    size_t kept = 0;

    for (size_t i = 0; i < l->n_live; i++)
        if (l->live[i].last > node)
            l->live[kept++] = l->live[i];
    l->n_live = kept;
}

static bool is_alias(const tspk_graph *graph, const tspk_node *node)
{
    if (node->op == TSPK_OP_RESHAPE || node->op == TSPK_OP_IDENTITY)
        return true;
    return node->op == TSPK_OP_CAST &&
           graph->value[node->in[0]].dtype == graph->value[node->out[0]].dtype &&
           graph->value[node->in[0]].dtype != TSPK_DTYPE_F32;
}

/* Roots, what depends on spikes, and the last reader of each value. */
static void find_lifetimes(layout *l)
{
    tspk_spike_plan *const plan = l->plan;
    const tspk_graph *const graph = plan->graph;

    for (uint32_t v = 0; v < graph->n_values; v++) {
        plan->root[v] = v;
        plan->value_at[v] = TSPK_NOWHERE;
        l->is_static[v] = true;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        tspk_node_plan *const at = &plan->node[n];

        at->is_static = at->kind != TSPK_NODE_SPIKE_LINEAR && at->kind != TSPK_NODE_SPIKE_ATTENTION;
        for (uint32_t i = 0; i < node->n_in; i++) {
            const tspk_value_id id = node->in[i];

            if (id != TSPK_ID_NONE)
                at->is_static &= l->is_static[plan->root[id]];
        }
        if (at->kind == TSPK_NODE_EVAL && is_alias(graph, node)) {
            at->kind = TSPK_NODE_ALIAS;
            plan->root[node->out[0]] = plan->root[node->in[0]];
        }
        for (uint32_t i = 0; i < node->n_out; i++)
            l->is_static[plan->root[node->out[i]]] = at->is_static;
        for (uint32_t i = 0; i < node->n_in; i++) {
            const tspk_value_id id = node->in[i];

            if (id == TSPK_ID_NONE || at->kind == TSPK_NODE_ALIAS)
                continue;
            l->last_use[plan->root[id]] = n;
            l->is_kept[plan->root[id]] |= !at->is_static;
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        l->last_use[plan->root[graph->output[i]]] = graph->n_nodes;
        l->is_kept[plan->root[graph->output[i]]] = true;
    }
    for (uint32_t v = 0; v < graph->n_values; v++)
        l->is_kept[v] &= l->is_static[v] && plan->steps > 1;
}

static size_t value_bytes(const tspk_value *value)
{
    return tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype);
}

static void place_value(layout *l, tspk_value_id id)
{
    const tspk_value *const value = &l->plan->graph->value[id];

    if (value->data || l->plan->root[id] != id)
        return;
    if (!l->is_kept[id])
        l->plan->value_at[id] = share(l, value_bytes(value), l->last_use[id]);
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

static void keep_states(layout *l)
{
    tspk_spike_plan *const plan = l->plan;

    for (uint32_t v = 0; v < plan->graph->n_values; v++)
        if (l->is_kept[v] && plan->root[v] == v && !plan->graph->value[v].data)
            plan->value_at[v] = keep(l, value_bytes(&plan->graph->value[v]));
    if (plan->steps == 1)
        return;
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

static void share_attention(layout *l, tspk_attention_plan *at, uint32_t node)
{
    tspk_site_plan *const site = l->plan->site;

    at->key_level_at = share(l, at->keys * at->key->n * sizeof(int16_t), node);
    at->value_level_at = share(l, at->keys * at->value->n * sizeof(int16_t), node);
    at->add_at = share(l, l->plan->n_classes * at->heads * at->keys_padded * sizeof(float), node);
    at->decoded_at = share(l, at->keys * at->key->n * sizeof(float), node);
    site[at->query_id].o_at = share(l, at->queries * at->query->n * sizeof(float), node);
    site[at->key_id].o_at = share(l, at->keys * at->key->n * sizeof(float), node);
    if (l->plan->steps > 1)
        return;
    at->logit_at = at->max_at = at->acc_at = at->code_at = TSPK_NOWHERE;
    at->key_at = share(l, at->key_plane, node);
    at->value_at = share(l, at->value_plane, node);
    site[at->query_id].level_at = share(l, at->queries * at->query->n * sizeof(int16_t), node);
}

/* The first Linear that reads a site fires it; the levels live until the last has read them. */
static void share_levels(layout *l, tspk_linear_plan *at)
{
    tspk_site_plan *const site = &l->plan->site[at->site_id];
    uint32_t last = 0;

    if (site->level_at != TSPK_NOWHERE)
        return;
    for (uint32_t i = 0; i < l->plan->spikes->n_linears; i++)
        if (l->plan->linear[i].site_id == at->site_id && l->plan->spikes->linear[i].node > last)
            last = l->plan->spikes->linear[i].node;
    at->is_first = true;
    site->level_at = share(l, site->site->rows * site->n * sizeof(int16_t), last);
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

static void lay_out(layout *l)
{
    tspk_spike_plan *const plan = l->plan;
    const tspk_graph *const graph = plan->graph;

    find_lifetimes(l);
    keep_states(l);
    l->peak = plan->state_bytes;
    for (uint32_t i = 0; i < graph->n_inputs; i++)
        place_value(l, graph->input[i]);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        const size_t scratch = node_scratch(plan, n);

        for (uint32_t i = 0; i < node->n_out; i++)
            place_value(l, node->out[i]);
        if (plan->node[n].kind == TSPK_NODE_SPIKE_LINEAR)
            share_levels(l, plan->node[n].record);
        if (plan->node[n].kind == TSPK_NODE_SPIKE_ATTENTION)
            share_attention(l, plan->node[n].record, n);
        if (scratch > plan->scratch_bytes)
            plan->scratch_bytes = scratch;
        release(l, n);
    }
    plan->slot_bytes = l->peak;
}

tspk_status tspk_plan_layout(tspk_spike_plan *plan, tspk_error *err)
{
    const uint32_t n_values = plan->graph->n_values;
    tspk_arena *const scratch = tspk_arena_new(0);
    layout l = {.plan = plan};
    tspk_status status = TSPK_OK;

    plan->root = tspk_arena_array(plan->arena, n_values, sizeof *plan->root);
    plan->value_at = tspk_arena_array(plan->arena, n_values, sizeof *plan->value_at);
    if (scratch) {
        l.last_use = tspk_arena_array(scratch, n_values, sizeof *l.last_use);
        l.is_static = tspk_arena_array(scratch, n_values, sizeof *l.is_static);
        l.is_kept = tspk_arena_array(scratch, n_values, sizeof *l.is_kept);
        l.live = tspk_arena_array(scratch,
                                  (size_t)n_values + plan->spikes->n_sites +
                                      16 * (size_t)plan->spikes->n_attentions + 16,
                                  sizeof *l.live);
    }
    if (!plan->root || !plan->value_at || !l.last_use || !l.is_static || !l.is_kept || !l.live)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to lay out the session");
    else
        lay_out(&l);
    tspk_arena_free(scratch);
    return status;
}
