/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Chains of movement that leave every element where it was become one Reshape, or nothing; chains
 * that only permute axes become a Transpose and, where the shape differs, a Reshape.
 *
 *   x ─▶ Reshape ─▶ Transpose ─▶ Reshape ─▶ Transpose ─▶ Reshape ─▶ A      →      x ─▶ Reshape ─▶ A
 *   x ─▶ Transpose ─▶ Reshape ─▶ Transpose ─▶ A      →      x ─▶ Transpose ─▶ Reshape ─▶ A
 *
 * Exact. The chain is traced on positions (trace.h), so its spelling does not matter.
 */
#include "convert/alias.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "convert/trace.h"
#include "core/fail.h"

/* Values that something else than a mover reads: where chains end. */
static tspk_status find_ends(const tspk_graph *graph, tspk_arena *scratch, bool **ends_out,
                             tspk_error *err)
{
    bool *const is_end = tspk_arena_array(scratch, graph->n_values, sizeof *is_end);

    if (!is_end)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE && (i > 0 || !tspk_is_mover(graph, node)))
                is_end[node->in[i]] = true;
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_end[graph->output[i]] = true;
    *ends_out = is_end;
    return TSPK_OK;
}

static bool is_in_order(const tspk_graph *graph, const tspk_trace *trace, tspk_value_id id)
{
    const size_t elems = tspk_shape_elems(&graph->value[id].shape);

    if (elems != tspk_shape_elems(&graph->value[trace->root].shape))
        return false;
    for (size_t i = 0; i < elems; i++)
        if (trace->index[i] != (int64_t)i)
            return false;
    return true;
}

/* The permutation of the source's axes that gives the traced order; false when none does. */
static bool find_permutation(const tspk_shape *from, const int64_t *index, int64_t *place,
                             tspk_attr *attr, tspk_shape *shape)
{
    const size_t elems = tspk_shape_elems(from);
    int64_t stride[TSPK_MAX_RANK], step[TSPK_MAX_RANK], next = 1;

    *attr = (tspk_attr){.n_axes = from->rank};
    *shape = (tspk_shape){.rank = from->rank};
    for (size_t i = 0; i < elems; i++)
        place[i] = -1;
    for (size_t i = 0; i < elems; i++) {
        if (index[i] < 0 || index[i] >= (int64_t)elems || place[index[i]] >= 0)
            return false;
        place[index[i]] = (int64_t)i;
    }
    /* Outermost first: the axis whose next element is farthest away in the new order. Axes of 1
     * stay in front. */
    for (int a = from->rank; a-- > 0;) {
        stride[a] = next;
        next *= from->dim[a];
        step[a] = from->dim[a] > 1 ? place[stride[a]] - place[0] : INT64_MAX;
        attr->axes[a] = a;
    }
    for (int i = 1; i < from->rank; i++)
        for (int k = i; k > 0 && step[attr->axes[k]] > step[attr->axes[k - 1]]; k--) {
            const int64_t axis = attr->axes[k];

            attr->axes[k] = attr->axes[k - 1];
            attr->axes[k - 1] = axis;
        }
    for (int i = 0; i < from->rank; i++)
        shape->dim[i] = from->dim[attr->axes[i]];
    for (size_t i = 0; i < elems; i++) {
        size_t rest = i;
        int64_t at = 0;

        for (int k = from->rank; k-- > 0;) {
            at += (int64_t)(rest % (size_t)shape->dim[k]) * stride[attr->axes[k]];
            rest /= (size_t)shape->dim[k];
        }
        if (index[i] != at)
            return false;
    }
    return true;
}

/* A longer chain that only permutes axes, if it is one. `*id` moves on by what is inserted. */
static tspk_status permute(tspk_graph *graph, tspk_node_id *id, const tspk_trace *trace,
                           tspk_arena *scratch, size_t *changes, tspk_error *err)
{
    const tspk_shape from = graph->value[trace->root].shape;
    const tspk_value_id out = graph->node[*id].out[0];
    const size_t elems = tspk_shape_elems(&from);
    tspk_value_id turned, root = trace->root;
    int64_t *place;
    tspk_attr attr;
    tspk_shape shape;

    if (trace->n_steps < 2 || elems == 0 || graph->value[root].dtype != TSPK_DTYPE_F32 ||
        elems != tspk_shape_elems(&graph->value[out].shape))
        return TSPK_OK;
    place = tspk_arena_array(scratch, elems, sizeof *place);
    if (!place)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to trace %zu elements", elems);
    if (!find_permutation(&from, trace->index, place, &attr, &shape))
        return TSPK_OK;
    if (tspk_shape_equal(&shape, &graph->value[out].shape)) {
        (*changes)++;
        return tspk_rewrite_node(graph, *id, TSPK_OP_TRANSPOSE, &root, 1, &attr, err);
    }
    if (trace->n_steps < 3)
        return TSPK_OK;
    (*changes)++;
    TSPK_TRY(tspk_emit_node(graph, id, TSPK_OP_TRANSPOSE, graph->node[*id].name, &root, 1, &shape,
                            &attr, &turned, err));
    return tspk_rewrite_node(graph, *id, TSPK_OP_RESHAPE, &turned, 1, NULL, err);
}

static tspk_status simplify(tspk_graph *graph, tspk_node_id *at, tspk_aliases *aliases,
                            tspk_arena *scratch, size_t *changes, tspk_error *err)
{
    const tspk_node_id id = *at;
    const tspk_node *node = &graph->node[id];
    const tspk_value_id out = node->out[0];
    tspk_trace trace;

    TSPK_TRY(tspk_trace_back(graph, out, false, scratch, &trace, err));
    if ((trace.n_steps == 1 && node->op == TSPK_OP_RESHAPE) ||
        graph->value[trace.root].dtype != graph->value[out].dtype)
        return TSPK_OK;
    if (!is_in_order(graph, &trace, out))
        return permute(graph, at, &trace, scratch, changes, err);
    if (tspk_shape_equal(&graph->value[trace.root].shape, &graph->value[out].shape) &&
        tspk_aliases_bypass(aliases, graph, id, trace.root)) {
        (*changes)++;
        return TSPK_OK;
    }
    if (node->op == TSPK_OP_RESHAPE && node->in[0] == trace.root)
        return TSPK_OK;
    (*changes)++;
    return tspk_rewrite_node(graph, id, TSPK_OP_RESHAPE, &trace.root, 1, NULL, err);
}

tspk_status tspk_pass_simplify_movement(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                        tspk_error *err)
{
    const uint32_t n_values = graph->n_values;
    tspk_aliases aliases;
    bool *is_end = NULL;

    TSPK_TRY(tspk_aliases_new(graph, scratch, &aliases, err));
    TSPK_TRY(find_ends(graph, scratch, &is_end, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tspk_node *const node = &graph->node[n];

        if (node->is_dead)
            continue;
        tspk_aliases_apply(&aliases, node);
        if (!tspk_is_mover(graph, node) || node->out[0] >= n_values || !is_end[node->out[0]])
            continue;
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        const tspk_status status = simplify(graph, &n, &aliases, scratch, changes, err);

        tspk_arena_reset(scratch, mark);
        TSPK_TRY(status);
    }
    return TSPK_OK;
}
