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
 * axis. Exact: the same operations on the rows that are left. What is cut notes which rows those
 * are (source_row); a selection of the source network's own does not.
 */
#include <string.h>

#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

/* Tables of tokens in one run; a file that needs more keeps its whole values. */
#define MAX_TABLE_BYTES ((size_t)256 << 20)

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
    bool has_axis; /* else, when set, it is read along `axis` alone */
    bool is_cut;   /* only what is read is computed from now on */
    int64_t axis;
    uint8_t *is_read; /* [dim of the axis] */
    int64_t n;        /* of a cut value: how many are read, which, and where each is then */
    int64_t *index, *place;
} demand;

/* What a node is to the pass, noted before any shape changes. */
typedef struct reader {
    selection *selects; /* it selects from in[0], or NULL */
    int8_t *axis;       /* [n_in] of a node whose output is cut: axis of each input, or WHOLE */
} reader;

typedef struct cutting {
    tspk_graph *graph;
    tspk_arena *scratch;
    tspk_error *err;
    demand *demand; /* [n_values at the start] */
    reader *reader; /* [n_nodes] */
    size_t table_bytes;
    tspk_node *fresh; /* nodes to be inserted, each before the node with the id in `before` */
    tspk_node_id *before;
    uint32_t n_fresh, cap_fresh;
} cutting;

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

/* Rows of a value of that shape that a selection takes: [*n_out]; NULL: no memory. */
static uint32_t *selected_rows(tspk_arena *arena, const tspk_shape *x, const selection *s,
                               uint32_t *n_out)
{
    int64_t after = 1, before = 1;
    uint32_t *rows, n = 0;

    for (int i = 0; i < s->axis; i++)
        before *= x->dim[i];
    for (int i = (int)s->axis + 1; i + 1 < x->rank; i++)
        after *= x->dim[i];
    rows = tspk_arena_array(arena, (size_t)(before * s->n * after), sizeof *rows);
    if (!rows)
        return NULL;
    for (int64_t b = 0; b < before; b++)
        for (int64_t i = 0; i < s->n; i++)
            for (int64_t a = 0; a < after; a++)
                rows[n++] = (uint32_t)((b * x->dim[s->axis] + selected(s, i)) * after + a);
    *n_out = n;
    return rows;
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

/* --- what is read of every value, from the outputs back --- */

static tspk_status no_memory(const cutting *c)
{
    return TSPK_FAIL(c->err, TSPK_NOMEM, "no memory for the tokens of %u values",
                     c->graph->n_values);
}

/* A reader wants `n` places of the axis: those of `s`, or of a table. */
static tspk_status want(cutting *c, tspk_value_id id, const selection *s)
{
    demand *const d = &c->demand[id];
    const int64_t size = c->graph->value[id].shape.dim[s->axis];

    if (d->is_whole || (d->has_axis && d->axis != s->axis)) {
        d->is_whole = true;
        return TSPK_OK;
    }
    if (!d->has_axis) {
        c->table_bytes += (size_t)size * (1 + sizeof *d->index + sizeof *d->place);
        d->is_whole = c->table_bytes > MAX_TABLE_BYTES;
        if (d->is_whole)
            return TSPK_OK;
        d->is_read = tspk_arena_alloc(c->scratch, (size_t)size);
        if (!d->is_read)
            return no_memory(c);
        d->has_axis = true;
        d->axis = s->axis;
    }
    for (int64_t i = 0; i < s->n; i++)
        d->is_read[selected(s, i)] = 1;
    return TSPK_OK;
}

/* Cuts the output of the node if it can compute what is read alone, and that is at most half. */
static tspk_status cut(cutting *c, tspk_node_id id)
{
    const tspk_node *node = &c->graph->node[id];
    demand *const d = &c->demand[node->out[0]];
    const int64_t size = d->has_axis ? c->graph->value[node->out[0]].shape.dim[d->axis] : 0;
    int64_t n = 0;
    int8_t *axis;

    for (int64_t i = 0; !d->is_whole && i < size; i++)
        n += d->is_read[i];
    if (n == 0 || n * 2 > size)
        return TSPK_OK;
    axis = tspk_arena_alloc(c->scratch, node->n_in);
    d->index = tspk_arena_array(c->scratch, (size_t)n, sizeof *d->index);
    d->place = tspk_arena_array(c->scratch, (size_t)size, sizeof *d->place);
    if (!axis || !d->index || !d->place)
        return no_memory(c);
    for (uint32_t i = 0; i < node->n_in; i++) {
        axis[i] =
            node->in[i] == TSPK_ID_NONE ? WHOLE : (int8_t)input_axis(c->graph, node, i, d->axis);
        if (axis[i] == BLOCKED)
            return TSPK_OK;
    }
    for (int64_t i = 0; i < size; i++)
        if (d->is_read[i]) {
            d->place[i] = d->n;
            d->index[d->n++] = i;
        }
    d->is_cut = true;
    c->reader[id].axis = axis;
    return TSPK_OK;
}

static tspk_status read_inputs(cutting *c, tspk_node_id id)
{
    const tspk_node *node = &c->graph->node[id];
    const demand *d = &c->demand[node->out[0]];
    selection s;

    if (!d->is_cut && match_selection(c->graph, node, &s)) {
        c->reader[id].selects = tspk_arena_copy(c->scratch, &s, sizeof s);
        if (!c->reader[id].selects)
            return no_memory(c);
    }
    for (uint32_t i = 0; i < node->n_in; i++) {
        if (node->in[i] == TSPK_ID_NONE)
            continue;
        if (d->is_cut && c->reader[id].axis[i] != WHOLE) {
            s = (selection){.axis = c->reader[id].axis[i], .n = d->n, .table = d->index};
            TSPK_TRY(want(c, node->in[i], &s));
        } else if (i == 0 && c->reader[id].selects) {
            TSPK_TRY(want(c, node->in[i], c->reader[id].selects));
        } else {
            c->demand[node->in[i]].is_whole = true;
        }
    }
    return TSPK_OK;
}

/* --- rewriting, from the inputs on --- */

static tspk_status emit_index(tspk_graph *graph, const int64_t *index, int64_t n,
                              const tspk_shape *shape, tspk_value_id *id_out, tspk_error *err)
{
    tspk_tensor tensor = {TSPK_DTYPE_I64, *shape, NULL};

    tensor.data = tspk_arena_copy(graph->arena, index, (size_t)n * sizeof *index);
    if (!tensor.data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %lld token indices", (long long)n);
    return tspk_graph_add_constant(graph, "", &tensor, id_out, err);
}

/* Notes in `to` which rows of the source network it holds: `n` places of `axis` of `from`, which
 * may be `to` before its shape changes. */
static tspk_status note_rows(cutting *c, tspk_value_id from, int64_t axis, const int64_t *index,
                             int64_t n, tspk_value_id to)
{
    const tspk_value x = c->graph->value[from];
    const selection s = {.axis = axis, .n = n, .table = index};
    uint32_t n_rows;
    uint32_t *const rows = selected_rows(c->graph->arena, &x.shape, &s, &n_rows);

    if (!rows)
        return no_memory(c);
    for (uint32_t r = 0; x.source_row && r < n_rows; r++)
        rows[r] = x.source_row[rows[r]];
    c->graph->value[to].source_row = rows;
    c->graph->value[to].source_rows =
        x.source_row ? x.source_rows : (uint32_t)tspk_shape_rows(&x.shape);
    return TSPK_OK;
}

/* Puts a Gather of `index` before node `id`, into the list of nodes to insert. */
static tspk_status add_gather(cutting *c, tspk_node_id id, uint32_t input, int64_t axis,
                              const int64_t *index, int64_t n)
{
    tspk_graph *const graph = c->graph;
    const tspk_value_id x = graph->node[id].in[input];
    const tspk_shape index_shape = {.rank = 1, .dim = {n}};
    tspk_shape shape = graph->value[x].shape;
    tspk_value_id pair[2] = {x, TSPK_ID_NONE}, out;
    tspk_node *node;

    if (c->n_fresh == c->cap_fresh) {
        const uint32_t cap = c->cap_fresh ? 2 * c->cap_fresh : 64;
        tspk_node *fresh = tspk_arena_array(c->scratch, cap, sizeof *fresh);
        tspk_node_id *before = tspk_arena_array(c->scratch, cap, sizeof *before);

        if (!fresh || !before)
            return no_memory(c);
        if (c->n_fresh) {
            memcpy(fresh, c->fresh, c->n_fresh * sizeof *fresh);
            memcpy(before, c->before, c->n_fresh * sizeof *before);
        }
        c->fresh = fresh;
        c->before = before;
        c->cap_fresh = cap;
    }
    shape.dim[axis] = n;
    TSPK_TRY(emit_index(graph, index, n, &index_shape, &pair[1], c->err));
    TSPK_TRY(tspk_graph_add_value(graph, "", graph->value[x].dtype, &shape, &out, c->err));
    TSPK_TRY(note_rows(c, x, axis, index, n, out));
    node = &c->fresh[c->n_fresh];
    *node = (tspk_node){.op = TSPK_OP_GATHER,
                        .name = graph->node[id].name,
                        .onnx_op = "Gather",
                        .n_in = 2,
                        .n_out = 1,
                        .attr = {.axis = axis}};
    node->in = tspk_arena_copy(graph->arena, pair, sizeof pair);
    node->out = tspk_arena_copy(graph->arena, &out, sizeof out);
    if (!node->in || !node->out)
        return no_memory(c);
    graph->node[id].in[input] = out;
    c->before[c->n_fresh++] = id;
    return TSPK_OK;
}

/* Lets a node whose output is cut read what it needs of input i. */
static tspk_status cut_input(cutting *c, tspk_node_id id, uint32_t i)
{
    const tspk_value_id x = c->graph->node[id].in[i];
    const demand *d = &c->demand[c->graph->node[id].out[0]], *from = &c->demand[x];
    const int64_t axis = c->reader[id].axis[i];
    int64_t *index;

    if (axis == WHOLE || (from->is_cut && from->n == d->n))
        return TSPK_OK;
    if (!from->is_cut)
        return add_gather(c, id, i, axis, d->index, d->n);
    index = tspk_arena_array(c->scratch, (size_t)d->n, sizeof *index);
    if (!index)
        return no_memory(c);
    for (int64_t k = 0; k < d->n; k++)
        index[k] = from->place[d->index[k]];
    return add_gather(c, id, i, axis, index, d->n);
}

/* Lets a selection read its cut input. */
static tspk_status redirect(cutting *c, tspk_node_id id)
{
    tspk_graph *const graph = c->graph;
    const tspk_node *node = &graph->node[id];
    const selection *s = c->reader[id].selects;
    const demand *from = &c->demand[node->in[0]];
    bool is_all = s->n == from->n;
    int64_t *const index = tspk_arena_array(c->scratch, (size_t)s->n + 1, sizeof *index);
    tspk_value_id in[2] = {node->in[0], TSPK_ID_NONE};

    if (!index)
        return no_memory(c);
    for (int64_t i = 0; i < s->n; i++) {
        index[i] = from->place[selected(s, i)];
        is_all = is_all && index[i] == i;
    }
    if (is_all)
        return tspk_rewrite_node(graph, id, TSPK_OP_RESHAPE, in, 1, NULL, c->err);
    const tspk_attr attr = {.axis = s->axis};
    tspk_shape shape = {.rank = 1, .dim = {s->n}};

    if (node->op == TSPK_OP_GATHER)
        shape = graph->value[node->in[1]].shape;
    TSPK_TRY(emit_index(graph, index, s->n, &shape, &in[1], c->err));
    return tspk_rewrite_node(graph, id, TSPK_OP_GATHER, in, 2, &attr, c->err);
}

/* The nodes and the new ones in one array, in order. */
static tspk_status insert_fresh(cutting *c)
{
    tspk_graph *const graph = c->graph;
    const uint32_t n_nodes = graph->n_nodes + c->n_fresh;
    tspk_node *node;
    uint32_t at = 0, next = 0;

    if (!c->n_fresh)
        return TSPK_OK;
    if (n_nodes > TSPK_MAX_NODES)
        return TSPK_FAIL(c->err, TSPK_LIMIT, "more than %u nodes", TSPK_MAX_NODES);
    node = tspk_arena_array(graph->arena, n_nodes, sizeof *node);
    if (!node)
        return no_memory(c);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        while (next < c->n_fresh && c->before[next] == n)
            node[at++] = c->fresh[next++];
        node[at++] = graph->node[n];
    }
    graph->node = node;
    graph->n_nodes = graph->cap_nodes = at;
    for (uint32_t n = 0; n < at; n++)
        for (uint32_t i = 0; !node[n].is_dead && i < node[n].n_out; i++)
            graph->value[node[n].out[i]].producer = n;
    return TSPK_OK;
}

static tspk_status rewrite(cutting *c, size_t *changes)
{
    tspk_graph *const graph = c->graph;

    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        if (node->is_dead)
            continue;
        const demand *d = &c->demand[node->out[0]];

        if (d->is_cut) {
            for (uint32_t i = 0; i < graph->node[n].n_in; i++)
                TSPK_TRY(cut_input(c, n, i));
            const tspk_value_id out = graph->node[n].out[0];

            TSPK_TRY(note_rows(c, out, d->axis, d->index, d->n, out));
            graph->value[out].shape.dim[d->axis] = d->n;
            (*changes)++;
        } else if (c->reader[n].selects && c->demand[node->in[0]].is_cut) {
            TSPK_TRY(redirect(c, n));
        }
    }
    return insert_fresh(c);
}

static tspk_status cut_all(tspk_graph *graph, tspk_arena *scratch, size_t *changes, tspk_error *err)
{
    cutting c = {.graph = graph, .scratch = scratch, .err = err};

    c.demand = tspk_arena_array(scratch, graph->n_values + 1, sizeof *c.demand);
    c.reader = tspk_arena_array(scratch, graph->n_nodes + 1, sizeof *c.reader);
    if (!c.demand || !c.reader)
        return no_memory(&c);
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        c.demand[graph->output[i]].is_whole = true;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        if (graph->node[n].is_dead)
            continue;
        TSPK_TRY(cut(&c, n));
        TSPK_TRY(read_inputs(&c, n));
    }
    return rewrite(&c, changes);
}

/* --- Linears that read rows of what others need whole --- */

/* is_read_whole: [n_values] a Linear reads all rows of the value */
static tspk_status read_rows(tspk_graph *graph, tspk_node_id id, const bool *is_read_whole,
                             size_t *changes, tspk_error *err)
{
    tspk_node *const node = &graph->node[id];
    const tspk_node *gather = tspk_producer_is(graph, node->in[0], TSPK_OP_GATHER);
    selection s;
    uint32_t *rows, n;

    if (!gather || node->attr.n_rows || !match_selection(graph, gather, &s) ||
        graph->value[gather->in[1]].shape.rank != 1 || !is_read_whole[gather->in[0]])
        return TSPK_OK;
    rows = selected_rows(graph->arena, &graph->value[gather->in[0]].shape, &s, &n);
    if (!rows)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for token indices");
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
    bool *is_read_whole;

    TSPK_TRY(cut_all(graph, scratch, changes, err));
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
