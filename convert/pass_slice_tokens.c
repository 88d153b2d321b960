/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Liveness over tokens: what reads only some tokens of a value is moved before the node that
 * computes it, so that only those tokens are computed.
 *
 *   a ─┐                                        a ─▶ Gather 0 ─┐
 *   b ─┴▶ Add ─▶ LayerNorm ─▶ Gather 0 ─▶ y  →  b ─▶ Gather 0 ─┴▶ Add ─▶ LayerNorm ─▶ y
 *
 * It goes up through elementwise operators, norms, Linear, reductions and movement that keep the
 * axis, and the query side of Attention, as long as every reader of a value selects, and ends at
 * values that are needed whole. A Linear whose input others need whole reads rows of it (attribute
 * rows). Several selections of one value become one of their union, if that is at most half of the
 * axis. Exact: the same operations on the rows that are left.
 */
#include <string.h>

#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

/* Moves in one run; a file that needs more is not a network. */
#define MAX_MOVES 4096

/* A Gather or Slice of one axis, with known indices. */
typedef struct selection {
    int64_t axis;
    int64_t n;
    int64_t start, step; /* index i is start + i * step, unless there is a table */
    const int64_t *table;
} selection;

/* How all readers of a value read it. */
typedef struct demand {
    bool is_whole; /* something reads all of it */
    bool has_axis;
    int64_t axis;
    uint8_t *is_read; /* [dim of the axis] */
} demand;

static bool match_selection(const tspk_graph *graph, const tspk_node *node, selection *s)
{
    const tspk_shape *x = &graph->value[node->in[0]].shape;
    const tspk_shape *y = &graph->value[node->out[0]].shape;
    int n_cut = 0;

    if (node->op == TSPK_OP_GATHER) {
        const tspk_value *index = &graph->value[node->in[1]];

        *s = (selection){.axis = node->attr.axis,
                         .n = (int64_t)tspk_shape_elems(&index->shape),
                         .table = index->data};
        return index->data && index->shape.rank <= 1 && s->axis + 1 < x->rank;
    }
    if (node->op != TSPK_OP_SLICE)
        return false;
    for (int i = 0; i < x->rank; i++)
        if (x->dim[i] != y->dim[i] || node->attr.steps[i] != 1) {
            n_cut++;
            *s = (selection){.axis = i,
                             .n = y->dim[i],
                             .start = node->attr.starts[i],
                             .step = node->attr.steps[i]};
        }
    return n_cut == 1 && s->axis + 1 < x->rank;
}

static int64_t selected(const selection *s, int64_t i)
{
    return s->table ? s->table[i] : s->start + i * s->step;
}

/* --- what is read of every value --- */

static tspk_status note_reader(const tspk_graph *graph, const tspk_node *node, uint32_t i,
                               demand *demands, tspk_arena *scratch, tspk_error *err)
{
    demand *const d = &demands[node->in[i]];
    const tspk_shape *shape = &graph->value[node->in[i]].shape;
    selection s;

    if (d->is_whole)
        return TSPK_OK;
    if (i != 0 || !match_selection(graph, node, &s) || (d->has_axis && d->axis != s.axis)) {
        d->is_whole = true;
        return TSPK_OK;
    }
    if (!d->has_axis) {
        d->is_read = tspk_arena_alloc(scratch, (size_t)shape->dim[s.axis]);
        if (!d->is_read)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the tokens of a value");
        d->has_axis = true;
        d->axis = s.axis;
    }
    for (int64_t k = 0; k < s.n; k++)
        d->is_read[selected(&s, k)] = 1;
    return TSPK_OK;
}

static tspk_status find_demands(const tspk_graph *graph, tspk_arena *scratch, demand **demands_out,
                                tspk_error *err)
{
    demand *const demands = tspk_arena_array(scratch, graph->n_values, sizeof *demands);

    if (!demands)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        demands[graph->output[i]].is_whole = true;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                TSPK_TRY(note_reader(graph, node, i, demands, scratch, err));
    }
    *demands_out = demands;
    return TSPK_OK;
}

/* --- through which axis of which input a selection of the output goes --- */

enum { WHOLE = -1, BLOCKED = -2 };

/* Axis of a reshaped input that is the output's `axis`: as long, with as much before it. */
static int64_t axis_before_reshape(const tspk_shape *from, const tspk_shape *to, int64_t axis)
{
    int64_t before = 1, at = 1;

    for (int i = 0; i < axis; i++)
        before *= to->dim[i];
    for (int i = 0; i + 1 < from->rank; i++) {
        if (at == before && from->dim[i] == to->dim[axis])
            return i;
        at *= from->dim[i];
    }
    return BLOCKED;
}

/* By broadcasting: the axis as far from the end, WHOLE where the input has 1 or nothing there. */
static int64_t axis_of_operand(const tspk_shape *in, const tspk_shape *out, int64_t axis)
{
    const int64_t i = axis - (out->rank - in->rank);

    return i < 0 || (in->dim[i] == 1 && out->dim[axis] != 1) ? WHOLE : i;
}

static bool is_reduced(const tspk_attr *attr, int64_t axis)
{
    for (int i = 0; i < attr->n_axes; i++)
        if (attr->axes[i] == axis)
            return true;
    return false;
}

static int64_t input_axis(const tspk_graph *graph, const tspk_node *node, uint32_t i, int64_t axis)
{
    const tspk_shape *in = &graph->value[node->in[i]].shape;
    const tspk_shape *out = &graph->value[node->out[0]].shape;

    if (tspk_op_is_elementwise(node->op) || node->op == TSPK_OP_EXPAND)
        return axis_of_operand(in, out, axis);
    switch (node->op) {
    case TSPK_OP_RESHAPE:
        return axis_before_reshape(in, out, axis);
    case TSPK_OP_TRANSPOSE:
        return node->attr.axes[axis] + 1 < in->rank ? node->attr.axes[axis] : BLOCKED;
    case TSPK_OP_CONCAT:
        return axis == node->attr.axis ? BLOCKED : axis;
    case TSPK_OP_REDUCE_MEAN:
    case TSPK_OP_REDUCE_SUM:
    case TSPK_OP_REDUCE_MAX:
    case TSPK_OP_REDUCE_MIN:
    case TSPK_OP_REDUCE_L2:
        return in->rank == out->rank && !is_reduced(&node->attr, axis) ? axis : BLOCKED;
    case TSPK_OP_SOFTMAX:
        return axis == node->attr.axis ? BLOCKED : axis;
    case TSPK_OP_LAYER_NORM:
    case TSPK_OP_RMS_NORM:
        return axis >= node->attr.axis ? BLOCKED : i == 0 ? axis : WHOLE;
    case TSPK_OP_LINEAR:
        if (i > 0)
            return WHOLE;
        return node->attr.n_rows || in->rank != out->rank || in->dim[axis] != out->dim[axis]
                   ? BLOCKED
                   : axis;
    case TSPK_OP_MATMUL:
        if (axis != out->rank - 2 || in->rank < 2)
            return BLOCKED;
        return i == 0 ? in->rank - 2 : WHOLE;
    case TSPK_OP_ATTENTION:
        if (axis != out->rank - 2)
            return BLOCKED;
        if (i == 0)
            return in->rank - 2;
        return i == 3 && in->dim[1] != 1 ? 1 : WHOLE;
    default:
        return BLOCKED;
    }
}

/* --- moving --- */

static tspk_status emit_index(tspk_graph *graph, const int64_t *index, int64_t n,
                              const tspk_shape *shape, tspk_value_id *id_out, tspk_error *err)
{
    tspk_tensor tensor = {TSPK_DTYPE_I64, *shape, NULL};

    tensor.data = tspk_arena_copy(graph->arena, index, (size_t)n * sizeof *index);
    if (!tensor.data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %lld token indices", (long long)n);
    return tspk_graph_add_constant(graph, "", &tensor, id_out, err);
}

/* Lets a selection of `old` read `part`, which holds the rows whose place is in `place`. */
static tspk_status redirect(tspk_graph *graph, tspk_node_id id, tspk_value_id part,
                            const int64_t *place, tspk_arena *scratch, tspk_error *err)
{
    const tspk_node *node = &graph->node[id];
    selection s;
    bool is_all;

    if (!match_selection(graph, node, &s))
        return TSPK_FAIL(err, TSPK_FORMAT, "a reader of tokens is no selection");
    int64_t *const index = tspk_arena_array(scratch, (size_t)s.n + 1, sizeof *index);

    if (!index)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for token indices");
    is_all = s.n == graph->value[part].shape.dim[s.axis];
    for (int64_t i = 0; i < s.n; i++) {
        index[i] = place[selected(&s, i)];
        is_all = is_all && index[i] == i;
    }
    if (is_all)
        return tspk_rewrite_node(graph, id, TSPK_OP_RESHAPE, &part, 1, NULL, err);
    const tspk_attr attr = {.axis = s.axis};
    tspk_shape shape = {.rank = 1, .dim = {s.n}};
    tspk_value_id in[2] = {part, TSPK_ID_NONE};

    if (node->op == TSPK_OP_GATHER)
        shape = graph->value[node->in[1]].shape;
    TSPK_TRY(emit_index(graph, index, s.n, &shape, &in[1], err));
    return tspk_rewrite_node(graph, id, TSPK_OP_GATHER, in, 2, &attr, err);
}

/* Computes rows `index` of the output of node `id` from rows of its inputs, before it. */
static tspk_status emit_rows(tspk_graph *graph, tspk_node_id *id, int64_t axis,
                             const int64_t *index, int64_t n, tspk_value_id *out, tspk_error *err)
{
    const tspk_shape index_shape = {.rank = 1, .dim = {n}};
    const tspk_node old = graph->node[*id];
    tspk_shape shape = graph->value[old.out[0]].shape;
    tspk_value_id in[TSPK_MAX_NODE_INPUTS], rows;

    TSPK_TRY(emit_index(graph, index, n, &index_shape, &rows, err));
    for (uint32_t i = 0; i < old.n_in; i++) {
        const int64_t a =
            old.in[i] == TSPK_ID_NONE ? WHOLE : input_axis(graph, &graph->node[*id], i, axis);

        in[i] = old.in[i];
        if (a == WHOLE)
            continue;
        const tspk_attr attr = {.axis = a};
        const tspk_value_id pair[2] = {old.in[i], rows};
        tspk_shape part = graph->value[old.in[i]].shape;

        part.dim[a] = n;
        TSPK_TRY(
            tspk_graph_add_value(graph, "", graph->value[old.in[i]].dtype, &part, &in[i], err));
        TSPK_TRY(tspk_graph_insert_node(graph, *id, TSPK_OP_GATHER, old.name, "Gather", pair, 2,
                                        &in[i], 1, &attr, NULL, err));
        (*id)++;
    }
    shape.dim[axis] = n;
    TSPK_TRY(tspk_graph_add_value(graph, "", graph->value[old.out[0]].dtype, &shape, out, err));
    TSPK_TRY(tspk_graph_insert_node(graph, *id, old.op, old.name, old.onnx_op, in, old.n_in, out, 1,
                                    &old.attr, NULL, err));
    (*id)++;
    return TSPK_OK;
}

/* Whether the node can compute rows of its output alone. */
static bool can_move(const tspk_graph *graph, const tspk_node *node, const demand *d)
{
    const int64_t size = graph->value[node->out[0]].shape.dim[d->axis];
    int64_t n_read = 0;

    for (int64_t i = 0; i < size; i++)
        n_read += d->is_read[i];
    if (n_read == 0 || n_read * 2 > size)
        return false;
    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE && input_axis(graph, node, i, d->axis) == BLOCKED)
            return false;
    return true;
}

static tspk_status move(tspk_graph *graph, tspk_node_id id, const demand *d, tspk_arena *scratch,
                        tspk_error *err)
{
    const tspk_value_id old = graph->node[id].out[0];
    const int64_t size = graph->value[old].shape.dim[d->axis];
    int64_t *const index = tspk_arena_array(scratch, (size_t)size, sizeof *index);
    int64_t *const place = tspk_arena_array(scratch, (size_t)size, sizeof *place);
    tspk_value_id part;
    int64_t n = 0;

    if (!index || !place)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for token indices");
    for (int64_t i = 0; i < size; i++)
        if (d->is_read[i]) {
            place[i] = n;
            index[n++] = i;
        }
    TSPK_TRY(emit_rows(graph, &id, d->axis, index, n, &part, err));
    for (tspk_node_id u = id + 1; u < graph->n_nodes; u++)
        if (!graph->node[u].is_dead && graph->node[u].in[0] == old)
            TSPK_TRY(redirect(graph, u, part, place, scratch, err));
    tspk_graph_kill_node(graph, id);
    return TSPK_OK;
}

/* The selection nearest to the output that can be moved up; false when there is none. */
static tspk_status move_one(tspk_graph *graph, tspk_arena *scratch, bool *has_moved,
                            tspk_error *err)
{
    demand *demands = NULL;

    *has_moved = false;
    TSPK_TRY(find_demands(graph, scratch, &demands, err));
    for (tspk_node_id n = graph->n_nodes; n-- > 0;) {
        const tspk_node *node = &graph->node[n];

        if (node->is_dead)
            continue;
        const demand *d = &demands[node->out[0]];

        if (d->is_whole || !d->has_axis || !can_move(graph, node, d))
            continue;
        *has_moved = true;
        return move(graph, n, d, scratch, err);
    }
    return TSPK_OK;
}

/* --- Linears that read rows of what others need whole --- */

/* is_read_whole: [n_values] a Linear reads all rows of the value */
static tspk_status read_rows(tspk_graph *graph, tspk_node_id id, const bool *is_read_whole,
                             size_t *changes, tspk_error *err)
{
    tspk_node *const node = &graph->node[id];
    const tspk_node *gather = tspk_producer_is(graph, node->in[0], TSPK_OP_GATHER);
    int64_t after = 1, before = 1;
    selection s;
    uint32_t *rows, n = 0;

    if (!gather || node->attr.n_rows || !match_selection(graph, gather, &s) ||
        graph->value[gather->in[1]].shape.rank != 1 || !is_read_whole[gather->in[0]])
        return TSPK_OK;
    const tspk_shape *x = &graph->value[gather->in[0]].shape;

    for (int i = 0; i < s.axis; i++)
        before *= x->dim[i];
    for (int i = (int)s.axis + 1; i + 1 < x->rank; i++)
        after *= x->dim[i];
    rows = tspk_arena_array(graph->arena, (size_t)(before * s.n * after), sizeof *rows);
    if (!rows)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for token indices");
    for (int64_t b = 0; b < before; b++)
        for (int64_t i = 0; i < s.n; i++)
            for (int64_t a = 0; a < after; a++)
                rows[n++] = (uint32_t)((b * x->dim[s.axis] + selected(&s, i)) * after + a);
    if (!n)
        return TSPK_OK;
    node->in[0] = gather->in[0];
    node->attr.rows = rows;
    node->attr.n_rows = n;
    (*changes)++;
    return TSPK_OK;
}

tspk_status tspk_pass_slice_tokens(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err)
{
    bool has_moved = true, *is_read_whole;

    for (int i = 0; i < MAX_MOVES && has_moved; i++) {
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        const tspk_status status = move_one(graph, scratch, &has_moved, err);

        tspk_arena_reset(scratch, mark);
        TSPK_TRY(status);
        *changes += has_moved;
    }
    is_read_whole = tspk_arena_array(scratch, graph->n_values + 1, sizeof *is_read_whole);
    if (!is_read_whole)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead && graph->node[n].op == TSPK_OP_LINEAR &&
            !graph->node[n].attr.n_rows)
            is_read_whole[graph->node[n].in[0]] = true;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead && graph->node[n].op == TSPK_OP_LINEAR)
            TSPK_TRY(read_rows(graph, n, is_read_whole, changes, err));
    return TSPK_OK;
}
