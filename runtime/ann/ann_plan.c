/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ann/ann_plan.h"

#include <string.h>

#include "core/checked.h"
#include "core/fail.h"

/* A stretch of the block that a live value holds; kept sorted by offset. */
typedef struct holding {
    size_t offset, bytes;
    tspk_value_id root;
} holding;

typedef struct planner {
    const tspk_graph *graph;
    tspk_ann_plan *plan;
    tspk_node_id *last_use; /* [n_values] last node that reads the root; n_nodes for outputs */
    holding *held;          /* [n_values] */
    size_t n_held;
} planner;

static bool is_view(const tspk_node *node)
{
    return node->op == TSPK_OP_IDENTITY || node->op == TSPK_OP_RESHAPE;
}

static void find_roots(planner *p)
{
    const tspk_graph *const graph = p->graph;

    for (uint32_t v = 0; v < graph->n_values; v++) {
        p->plan->root[v] = v;
        p->plan->offset[v] = SIZE_MAX;
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        if (!node->is_dead && is_view(node))
            p->plan->root[node->out[0]] = p->plan->root[node->in[0]];
    }
}

static void find_last_uses(planner *p)
{
    const tspk_graph *const graph = p->graph;

    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                p->last_use[p->plan->root[node->in[i]]] = n;
        for (uint32_t i = 0; !node->is_dead && i < node->n_out; i++)
            if (p->plan->root[node->out[i]] == node->out[i])
                p->last_use[node->out[i]] = n;
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        p->last_use[p->plan->root[graph->output[i]]] = graph->n_nodes;
}

/* Takes the smallest gap that is large enough, or grows the block. */
static bool hold(planner *p, tspk_value_id root, size_t bytes)
{
    size_t best = p->n_held, best_gap = SIZE_MAX, end = 0, grown;

    for (size_t i = 0; i < p->n_held; i++) {
        const size_t gap = p->held[i].offset - end;

        if (gap >= bytes && gap < best_gap) {
            best = i;
            best_gap = gap;
        }
        end = p->held[i].offset + p->held[i].bytes;
    }
    if (best < p->n_held)
        end = best ? p->held[best - 1].offset + p->held[best - 1].bytes : 0;
    if (!tspk_checked_add(end, bytes, &grown))
        return false;
    memmove(p->held + best + 1, p->held + best, (p->n_held - best) * sizeof *p->held);
    p->held[best] = (holding){end, bytes, root};
    p->n_held++;
    p->plan->offset[root] = end;
    if (grown > p->plan->bytes)
        p->plan->bytes = grown;
    return true;
}

static void release_after(planner *p, tspk_node_id node)
{
    size_t kept = 0;

    for (size_t i = 0; i < p->n_held; i++)
        if (p->last_use[p->held[i].root] > node)
            p->held[kept++] = p->held[i];
    p->n_held = kept;
}

/* Whole lines of the cache, at least one, so that holdings never share an offset. */
static bool rounded_bytes(const tspk_value *value, size_t *bytes_out)
{
    const size_t elems = tspk_shape_elems(&value->shape);
    size_t bytes;

    if (!tspk_checked_mul(elems ? elems : 1, tspk_dtype_bytes(value->dtype), &bytes) ||
        !tspk_checked_add(bytes, TSPK_ALIGN_BYTES - 1, &bytes))
        return false;
    *bytes_out = bytes / TSPK_ALIGN_BYTES * TSPK_ALIGN_BYTES;
    return true;
}

static bool place_all(planner *p)
{
    for (uint32_t n = 0; n < p->graph->n_nodes; n++) {
        const tspk_node *const node = &p->graph->node[n];

        if (node->is_dead)
            continue;
        for (uint32_t i = 0; i < node->n_out; i++) {
            const tspk_value_id id = node->out[i];
            size_t bytes;

            if (p->plan->root[id] != id)
                continue;
            if (!rounded_bytes(&p->graph->value[id], &bytes) || !hold(p, id, bytes))
                return false;
        }
        release_after(p, n);
    }
    return true;
}

tspk_status tspk_ann_plan_make(const tspk_graph *graph, tspk_arena *arena, tspk_ann_plan *plan_out,
                               tspk_error *err)
{
    tspk_ann_plan plan = {
        .root = tspk_arena_array(arena, graph->n_values, sizeof *plan.root),
        .offset = tspk_arena_array(arena, graph->n_values, sizeof *plan.offset),
    };
    const tspk_arena_mark mark = tspk_arena_mark_now(arena);
    planner p = {
        .graph = graph,
        .plan = &plan,
        .last_use = tspk_arena_array(arena, graph->n_values, sizeof *p.last_use),
        .held = tspk_arena_array(arena, graph->n_values, sizeof *p.held),
    };

    if (!plan.root || !plan.offset || !p.last_use || !p.held)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to plan %u values", graph->n_values);
    find_roots(&p);
    find_last_uses(&p);
    if (!place_all(&p))
        return TSPK_FAIL(err, TSPK_NOMEM, "the values of the graph do not fit in memory");
    tspk_arena_reset(arena, mark);
    *plan_out = plan;
    return TSPK_OK;
}
