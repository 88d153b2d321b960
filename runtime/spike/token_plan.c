/* SPDX-License-Identifier: Apache-2.0 */
/* Which values have rows of tokens, and whether each node computes them token by token. */
#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "core/point_graph.h"
#include "runtime/spike/token_rows.h"

typedef struct finder {
    tspk_spike_plan *plan;
    tspk_token_plan *tokens;
    uint32_t *space, *rows, *map;
    bool *is_made_of_maps; /* [n_values] sizes of merged tokens, and what follows from them */
    uint32_t n_tokens;     /* rows of the first space */
} finder;

static uint32_t space_of(const finder *f, tspk_value_id id)
{
    return id == TSPK_ID_NONE ? TSPK_NO_SPACE : f->space[f->plan->root[id]];
}

static tspk_status refuse(const char *what, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "tokens cannot be refined: %s", what);
}

/* [1, tokens, channels] that no spike changes. */
static void find_static(finder *f, const tspk_node *node)
{
    const tspk_graph *const graph = f->plan->graph;
    bool is_made_of_maps = node->op == TSPK_OP_MERGE_MAP || node->op == TSPK_OP_MERGE_SIZES;

    for (uint32_t i = 0; i < node->n_in; i++)
        is_made_of_maps |= node->in[i] != TSPK_ID_NONE && f->is_made_of_maps[node->in[i]];
    for (uint32_t i = 0; i < node->n_out; i++) {
        const tspk_value *const value = &graph->value[node->out[i]];

        f->is_made_of_maps[node->out[i]] = is_made_of_maps;
        if (!is_made_of_maps && value->dtype == TSPK_DTYPE_F32 && value->shape.rank == 3 &&
            value->shape.dim[0] == 1 && value->shape.dim[1] == f->n_tokens)
            f->space[f->plan->root[node->out[i]]] = 0;
    }
}

/* All operands that have rows have those of one space. */
static tspk_status follow_rows(finder *f, const tspk_node *node, tspk_error *err)
{
    const tspk_graph *const graph = f->plan->graph;
    uint32_t space = TSPK_NO_SPACE;
    bool is_other = false;

    for (uint32_t i = 0; i < node->n_in; i++) {
        const uint32_t own = space_of(f, node->in[i]);

        if (node->in[i] == TSPK_ID_NONE || tspk_is_shared_operand(graph, node, i))
            continue;
        is_other |= own == TSPK_NO_SPACE || (space != TSPK_NO_SPACE && own != space);
        space = own != TSPK_NO_SPACE ? own : space;
    }
    if (space != TSPK_NO_SPACE && is_other)
        return refuse("an operand has rows of its own", err);
    f->space[f->plan->root[node->out[0]]] = space;
    return TSPK_OK;
}

static tspk_status follow_linear(finder *f, const tspk_node *node, tspk_linear_plan *linear,
                                 tspk_error *err)
{
    linear->space = space_of(f, node->in[0]);
    f->plan->site[linear->site_id].space = linear->space;
    if (linear->space == TSPK_NO_SPACE || !node->attr.n_rows)
        return follow_rows(f, node, err);
    for (uint32_t i = 0; i < node->attr.n_rows; i++)
        if (node->attr.rows[i] >= f->tokens->n_special)
            return refuse("a choice of patches", err);
    linear->space = TSPK_NO_SPACE;
    return TSPK_OK;
}

static tspk_status follow_attention(finder *f, const tspk_node *node, tspk_attention_plan *at,
                                    tspk_error *err)
{
    tspk_site_plan *const site = f->plan->site;
    const uint32_t query = space_of(f, node->in[0]), key = space_of(f, node->in[1]);

    if (key == TSPK_NO_SPACE || space_of(f, node->in[2]) != key ||
        (query != TSPK_NO_SPACE && query != key))
        return refuse("an attention to other tokens", err);
    if (query == TSPK_NO_SPACE && at->queries > f->tokens->n_special)
        return refuse("an attention of other tokens", err);
    if (node->n_in > 3 && node->in[3] != TSPK_ID_NONE) {
        const tspk_node_id from = f->plan->graph->value[node->in[3]].producer;

        if (from != TSPK_ID_NONE && !f->plan->node[from].is_static)
            return refuse("an attention's bias depends on the tokens", err);
    }
    site[at->query_id].space = site[at->numerator_id].space = query;
    site[at->key_id].space = site[at->value_id].space = key;
    site[at->key_id].other_space = site[at->value_id].other_space = query;
    if (query != TSPK_NO_SPACE)
        f->space[f->plan->root[node->out[0]]] = query;
    return TSPK_OK;
}

static tspk_status follow_merge(finder *f, const tspk_node *node, tspk_error *err)
{
    const tspk_graph *const graph = f->plan->graph;
    const uint32_t space = space_of(f, node->in[0]), next = space + 1;

    if (space + 1 != f->tokens->n_spaces)
        return refuse("tokens merge that are none of its own", err);
    f->map[space] = graph->value[node->in[1]].producer;
    f->rows[next] = (uint32_t)tspk_shape_rows(&graph->value[node->out[0]].shape);
    f->space[f->plan->root[node->out[0]]] = next;
    f->tokens->n_spaces++;
    return TSPK_OK;
}

static tspk_status follow(finder *f, uint32_t n, tspk_error *err)
{
    const tspk_graph *const graph = f->plan->graph;
    const tspk_node *const node = &graph->node[n];
    tspk_node_plan *const at = &f->plan->node[n];
    bool has_tokens = false;

    for (uint32_t i = 0; i < node->n_in; i++)
        has_tokens |= space_of(f, node->in[i]) != TSPK_NO_SPACE;
    if (at->kind == TSPK_NODE_SPIKE_ATTENTION)
        return follow_attention(f, node, at->record, err);
    if (at->kind == TSPK_NODE_SPIKE_LINEAR)
        return follow_linear(f, node, at->record, err);
    if (!has_tokens)
        return TSPK_OK;
    if (at->kind == TSPK_NODE_ALIAS)
        return tspk_shape_rows(&graph->value[node->in[0]].shape) ==
                       tspk_shape_rows(&graph->value[node->out[0]].shape)
                   ? TSPK_OK
                   : refuse("a new shape", err);
    if (at->kind != TSPK_NODE_EVAL)
        return refuse("it is kept analog", err);
    if (node->op == TSPK_OP_MERGE)
        return follow_merge(f, node, err);
    if (tspk_is_row_wise(graph, node))
        return follow_rows(f, node, err);
    at->reads_whole = true;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (space_of(f, node->in[i]) != TSPK_NO_SPACE)
            f->tokens->whole_at[f->plan->root[node->in[i]]] = 0;
    return TSPK_OK;
}

/* Row classes are those of the front, whatever rows stand there. */
static tspk_status check_classes(const finder *f, tspk_error *err)
{
    for (uint32_t s = 0; s < f->plan->spikes->n_sites; s++) {
        const tspk_site *const site = f->plan->site[s].site;

        for (uint32_t r = f->tokens->n_special;
             f->plan->site[s].space != TSPK_NO_SPACE && r < site->rows; r++)
            if (site->row_class[r])
                return tspk_at_tensor(err, refuse("a special token stands behind patches", err),
                                      site->name);
    }
    return TSPK_OK;
}

/* The keys of the first Attention are the tokens. */
static uint32_t count_tokens(const tspk_graph *graph)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (graph->node[n].op == TSPK_OP_ATTENTION)
            return (uint32_t)tspk_shape_rows(&graph->value[graph->node[n].in[1]].shape);
    return 0;
}

/* A chain's blocks have rows of one space. */
static tspk_status find_chain(const finder *f, tspk_segment *segment, tspk_error *err)
{
    const tspk_node *const node = f->plan->graph->node;

    segment->space = space_of(f, node[segment->first].out[0]);
    for (uint32_t n = segment->first; n < segment->end; n++)
        if (space_of(f, node[n].out[0]) != segment->space)
            return tspk_at_node(err, refuse("as many rows stand for something else", err),
                                node[n].name, tspk_op_name(node[n].op));
    return TSPK_OK;
}

static tspk_status find_all(finder *f, tspk_error *err)
{
    tspk_spike_plan *const plan = f->plan;

    f->n_tokens = f->rows[0] = f->tokens->most_rows = count_tokens(plan->graph);
    f->tokens->n_spaces = 1;
    if (!f->n_tokens)
        return refuse("the network has no attention", err);
    TSPK_TRY(tspk_count_special_tokens(plan->spikes, &f->tokens->n_special, err));
    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        const tspk_node *const node = &plan->graph->node[n];

        if (plan->node[n].is_static)
            find_static(f, node);
        else
            TSPK_TRY(tspk_at_node(err, follow(f, n, err), node->name, tspk_op_name(node->op)));
    }
    for (uint32_t s = 0; s < plan->n_segments; s++)
        if (plan->segment[s].rows)
            TSPK_TRY(find_chain(f, &plan->segment[s], err));
    return check_classes(f, err);
}

/* What is not there yet has no space. */
static void clear_spaces(tspk_spike_plan *plan)
{
    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        plan->site[i].space = plan->site[i].other_space = TSPK_NO_SPACE;
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        plan->linear[i].space = TSPK_NO_SPACE;
    for (uint32_t i = 0; i < plan->n_segments; i++)
        plan->segment[i].space = TSPK_NO_SPACE;
}

tspk_status tspk_plan_tokens(tspk_spike_plan *plan, tspk_error *err)
{
    const uint32_t n_values = plan->graph->n_values, n_nodes = plan->graph->n_nodes;
    tspk_token_plan *const tokens = &plan->tokens;
    finder f = {.plan = plan, .tokens = tokens};
    uint32_t patches;

    clear_spaces(plan);
    if (plan->steps == 1 || !(plan->refine_share > 0.0f && plan->refine_share < 1.0f))
        return TSPK_OK;
    if (plan->point->coding == TSPK_CODING_RATE)
        return refuse("rate coding divides what has fired by the number of steps", err);
    tokens->space = f.space = tspk_arena_array(plan->arena, n_values, sizeof *f.space);
    tokens->rows = f.rows = tspk_arena_array(plan->arena, (size_t)n_nodes + 1, sizeof *f.rows);
    tokens->map = f.map = tspk_arena_array(plan->arena, (size_t)n_nodes + 1, sizeof *f.map);
    tokens->whole_at = tspk_arena_array(plan->arena, n_values, sizeof *tokens->whole_at);
    f.is_made_of_maps = tspk_arena_array(plan->arena, n_values, sizeof *f.is_made_of_maps);
    if (!f.space || !f.rows || !f.map || !tokens->whole_at || !f.is_made_of_maps)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
    for (uint32_t v = 0; v < n_values; v++) {
        f.space[v] = TSPK_NO_SPACE;
        tokens->whole_at[v] = TSPK_NOWHERE;
    }
    TSPK_TRY(find_all(&f, err));
    if (f.n_tokens <= tokens->n_special) { /* nothing to choose from */
        clear_spaces(plan);
        tokens->n_spaces = 0;
        return TSPK_OK;
    }
    patches = f.rows[tokens->n_spaces - 1] - tokens->n_special;
    tokens->n_refined =
        tokens->n_special + (uint32_t)floorf(plan->refine_share * (float)patches + 0.5f);
    return TSPK_OK;
}
