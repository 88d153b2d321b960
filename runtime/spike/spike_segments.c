/* SPDX-License-Identifier: Apache-2.0 */
/* Which nodes are executed together: chains of nodes that work row by row. */
#include "core/fail.h"
#include "runtime/spike/spike_plan.h"

static bool is_alias(const tspk_graph *graph, const tspk_node *node)
{
    if (node->op == TSPK_OP_RESHAPE || node->op == TSPK_OP_IDENTITY)
        return true;
    return node->op == TSPK_OP_CAST &&
           graph->value[node->in[0]].dtype == graph->value[node->out[0]].dtype &&
           graph->value[node->in[0]].dtype != TSPK_DTYPE_F32;
}

/* Whose memory a value shares, and what no spike changes. */
static void find_roots(tspk_spike_plan *plan, bool *is_static)
{
    const tspk_graph *const graph = plan->graph;

    for (uint32_t v = 0; v < graph->n_values; v++) {
        plan->root[v] = v;
        is_static[v] = true;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        tspk_node_plan *const at = &plan->node[n];

        at->is_static = at->kind != TSPK_NODE_SPIKE_LINEAR && at->kind != TSPK_NODE_SPIKE_ATTENTION;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                at->is_static &= is_static[plan->root[node->in[i]]];
        at->is_static |= node->op == TSPK_OP_MERGE_MAP; /* later steps keep the map of step 1 */
        if (at->kind == TSPK_NODE_EVAL && is_alias(graph, node)) {
            at->kind = TSPK_NODE_ALIAS;
            plan->root[node->out[0]] = plan->root[node->in[0]];
        }
        for (uint32_t i = 0; i < node->n_out; i++)
            is_static[plan->root[node->out[i]]] = at->is_static;
    }
}

/* Rows of a chain that a node could be part of; 0: none. */
static size_t chain_rows(const tspk_spike_plan *plan, uint32_t n)
{
    const tspk_node *const node = &plan->graph->node[n];
    const tspk_value *const value = plan->graph->value;
    const tspk_shape *const out = &value[node->out[0]].shape;
    const tspk_shape *in;

    if (plan->node[n].is_static || node->n_in < 1 || node->in[0] == TSPK_ID_NONE || out->rank < 1)
        return 0;
    in = &value[node->in[0]].shape;
    switch (plan->node[n].kind) {
    case TSPK_NODE_ALIAS:
        return in->rank >= 1 && tspk_shape_last(in) == tspk_shape_last(out) ? tspk_shape_rows(out)
                                                                            : 0;
    case TSPK_NODE_SPIKE_LINEAR:
        return node->attr.n_rows ? 0 : tspk_shape_rows(out);
    case TSPK_NODE_EVAL:
        return tspk_is_row_wise(plan->graph, node) ? tspk_shape_rows(out) : 0;
    case TSPK_NODE_SPIKE_ATTENTION:
    case TSPK_NODE_LINEAR:
    case TSPK_NODE_CONV:
    case TSPK_NODE_MATMUL:
    case TSPK_NODE_ATTENTION:
        break;
    }
    return 0;
}

bool tspk_is_shared_operand(const tspk_graph *graph, const tspk_node *node, uint32_t i)
{
    const tspk_shape *const out = &graph->value[node->out[0]].shape;
    const tspk_shape *in;
    size_t elems;

    if (!tspk_op_is_elementwise(node->op))
        return i > 0;
    in = &graph->value[node->in[i]].shape;
    elems = tspk_shape_elems(in);
    return !tspk_shape_equal(in, out) && (elems == 1 || elems == tspk_shape_last(out));
}

bool tspk_is_row_wise(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_value *const out = &graph->value[node->out[0]];
    const bool is_norm = node->op == TSPK_OP_LAYER_NORM || node->op == TSPK_OP_RMS_NORM ||
                         node->op == TSPK_OP_SOFTMAX;

    if (node->n_in > TSPK_ROW_INPUTS || node->n_out != 1 || out->dtype != TSPK_DTYPE_F32 ||
        out->shape.rank < 1)
        return false;
    if (is_norm)
        return node->attr.axis == out->shape.rank - 1;
    if (!tspk_op_is_elementwise(node->op) || node->op == TSPK_OP_CAST)
        return false;
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tspk_value *const in = &graph->value[node->in[i]];
        const size_t last = in->shape.rank ? tspk_shape_last(&in->shape) : 1;

        if (in->dtype != TSPK_DTYPE_F32 ||
            (!tspk_shape_equal(&in->shape, &out->shape) &&
             (!tspk_is_shared_operand(graph, node, i) || tspk_shape_elems(&in->shape) != last)))
            return false;
    }
    return true;
}

static uint32_t segment_end(const tspk_spike_plan *plan, uint32_t first, size_t rows)
{
    uint32_t end = first + 1;

    while (rows && end < plan->graph->n_nodes && chain_rows(plan, end) == rows)
        end++;
    return end;
}

/* Values that are read in the chain that makes them, and nowhere else. */
static void find_local_values(tspk_spike_plan *plan, uint32_t *made_in)
{
    const tspk_graph *const graph = plan->graph;

    for (uint32_t s = 0; s < plan->n_segments; s++)
        for (uint32_t n = plan->segment[s].first; n < plan->segment[s].end; n++) {
            const tspk_node *const node = &graph->node[n];

            if (plan->node[n].kind == TSPK_NODE_ALIAS)
                continue;
            for (uint32_t i = 0; i < node->n_in; i++) {
                const tspk_value_id root =
                    node->in[i] == TSPK_ID_NONE ? TSPK_ID_NONE : plan->root[node->in[i]];

                if (root != TSPK_ID_NONE && made_in[root] != s)
                    plan->is_local[root] = false;
            }
            for (uint32_t i = 0; i < node->n_out; i++) {
                made_in[plan->root[node->out[i]]] = s;
                plan->is_local[plan->root[node->out[i]]] = plan->segment[s].rows > 0;
            }
        }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        plan->is_local[plan->root[graph->output[i]]] = false;
}

/* Nodes that read a value; an output of the graph is read once more. */
static uint32_t count_readers(const tspk_spike_plan *plan, tspk_value_id root)
{
    const tspk_graph *const graph = plan->graph;
    uint32_t readers = 0;

    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; plan->node[n].kind != TSPK_NODE_ALIAS && i < graph->node[n].n_in; i++)
            readers +=
                graph->node[n].in[i] != TSPK_ID_NONE && plan->root[graph->node[n].in[i]] == root;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        readers += plan->root[graph->output[i]] == root;
    return readers;
}

/* Operands that a chain makes for one attention alone are fired at its end and stay local. */
static void find_firings(tspk_spike_plan *plan, const uint32_t *made_in)
{
    for (uint32_t s = 0; s < plan->n_segments; s++) {
        tspk_segment *const segment = &plan->segment[s];

        segment->first_firing = segment->end_firing = plan->n_firings;
        for (uint32_t a = 0; segment->rows && a < plan->spikes->n_attentions; a++) {
            tspk_attention_plan *const at = &plan->attention[a];

            for (int i = 0; i < TSPK_OPERANDS; i++) {
                const tspk_site *const site =
                    plan->site[tspk_operand_site(at, (tspk_operand)i)].site;
                const tspk_value_id root = plan->root[at->node->in[i]];

                if (made_in[root] != s || site->rows != segment->rows ||
                    site->channels != tspk_shape_last(&plan->graph->value[root].shape) ||
                    count_readers(plan, root) != 1)
                    continue;
                at->is_fired[i] = plan->is_local[root] = true;
                plan->firing[plan->n_firings++] = (tspk_firing){a, (tspk_operand)i};
            }
        }
        segment->end_firing = plan->n_firings;
    }
}

/* The first Linear that reads a site fires it. */
static void find_firing_linears(tspk_spike_plan *plan, uint32_t *fired_in)
{
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        fired_in[i] = TSPK_ID_NONE;
    for (uint32_t s = 0; s < plan->n_segments; s++)
        for (uint32_t n = plan->segment[s].first; n < plan->segment[s].end; n++) {
            tspk_linear_plan *const linear = plan->node[n].record;
            tspk_site_plan *site;

            if (plan->node[n].kind != TSPK_NODE_SPIKE_LINEAR)
                continue;
            site = &plan->site[linear->site_id];
            linear->is_first = fired_in[linear->site_id] == TSPK_ID_NONE;
            if (linear->is_first) {
                fired_in[linear->site_id] = s;
                site->is_local = plan->segment[s].rows > 0;
            } else if (fired_in[linear->site_id] != s) {
                site->is_local = false;
            }
        }
}

tspk_status tspk_plan_segments(tspk_spike_plan *plan, tspk_error *err)
{
    const uint32_t n_values = plan->graph->n_values, n_nodes = plan->graph->n_nodes;
    tspk_arena *const scratch = tspk_arena_new(0);
    bool *is_static = NULL;
    uint32_t *made_in = NULL, *fired_in = NULL;

    plan->root = tspk_arena_array(plan->arena, n_values, sizeof *plan->root);
    plan->is_local = tspk_arena_array(plan->arena, n_values, sizeof *plan->is_local);
    plan->segment = tspk_arena_array(plan->arena, n_nodes, sizeof *plan->segment);
    plan->firing = tspk_arena_array(plan->arena, TSPK_OPERANDS * (size_t)plan->spikes->n_attentions,
                                    sizeof *plan->firing);
    if (scratch) {
        is_static = tspk_arena_array(scratch, n_values, sizeof *is_static);
        made_in = tspk_arena_array(scratch, n_values, sizeof *made_in);
        fired_in = tspk_arena_array(scratch, plan->spikes->n_sites, sizeof *fired_in);
    }
    if (!plan->root || !plan->is_local || !plan->segment || !plan->firing || !is_static ||
        !made_in || !fired_in) {
        tspk_arena_free(scratch);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
    }
    find_roots(plan, is_static);
    for (uint32_t n = 0; n < n_nodes; n = plan->segment[plan->n_segments++].end) {
        const size_t rows = chain_rows(plan, n);

        plan->segment[plan->n_segments] =
            (tspk_segment){.first = n, .end = segment_end(plan, n, rows), .rows = rows};
    }
    for (uint32_t v = 0; v < n_values; v++)
        made_in[v] = TSPK_ID_NONE;
    find_local_values(plan, made_in);
    find_firings(plan, made_in);
    find_firing_linears(plan, fired_in);
    tspk_arena_free(scratch);
    return TSPK_OK;
}
