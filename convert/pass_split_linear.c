/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A Linear whose outputs are only taken apart becomes one Linear a part.
 *
 *   x ─▶ Linear[3C] ─▶ Reshape ─▶ Transpose ─┬▶ Slice ─▶ q     x ─┬▶ Linear[C] ─▶ Reshape ─▶ q
 *                                            ├▶ Slice ─▶ k  →     ├▶ Linear[C] ─▶ Reshape ─▶ k
 *                                            └▶ Slice ─▶ v        └▶ Linear[C] ─▶ Reshape ─▶ v
 *
 * Each part is recognised by its positions in the Linear's output (trace.h): rows on some of its
 * axes, outputs of the Linear on the others. Exact: the same sums.
 */
#include "convert/linear_weights.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "convert/trace.h"
#include "core/fail.h"

#define MAX_PARTS    16
#define MAX_DISTANCE 4096 /* readers further on are not looked for; they keep the whole product */

/* How a traced value [d0 …] lies in a Linear's output [rows, width]. */
typedef struct part {
    tspk_value_id value;
    bool is_row_axis[TSPK_MAX_RANK];
    int64_t *column; /* [n_columns] outputs of the Linear, in the order of the column axes */
    size_t n_columns;
} part;

/* Values where the movement of `value` ends, in order; false when there are more than fit. */
static bool find_ends(const tspk_graph *graph, tspk_node_id linear, bool *is_moved, part *parts,
                      size_t *n_out)
{
    const tspk_value_id value = graph->node[linear].out[0];
    bool is_end;

    *n_out = 0;
    is_moved[value] = true;
    for (uint32_t n = linear + 1; n < graph->n_nodes && n - linear < MAX_DISTANCE; n++) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++) {
            if (node->in[i] == TSPK_ID_NONE || !is_moved[node->in[i]])
                continue;
            if (i == 0 && tspk_is_mover(graph, node)) {
                is_moved[node->out[0]] = true;
                continue;
            }
            is_end = false;
            for (size_t p = 0; p < *n_out; p++)
                is_end = is_end || parts[p].value == node->in[i];
            if (is_end)
                continue;
            if (*n_out == MAX_PARTS || node->in[i] == value)
                return false;
            parts[(*n_out)++].value = node->in[i];
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (is_moved[graph->output[i]])
            return false;
    return true;
}

/* Counts through the elements of a part: the row and the column of the Linear's output. */
typedef struct cursor {
    size_t at[TSPK_MAX_RANK];
    size_t row_step[TSPK_MAX_RANK], column_step[TSPK_MAX_RANK]; /* of one step along an axis */
    size_t row, column;
} cursor;

static cursor first_cursor(const part *p, const tspk_shape *shape)
{
    size_t row_step = 1, column_step = 1;
    cursor first = {0};

    for (int a = shape->rank; a-- > 0;)
        if (p->is_row_axis[a]) {
            first.row_step[a] = row_step;
            row_step *= (size_t)shape->dim[a];
        } else {
            first.column_step[a] = column_step;
            column_step *= (size_t)shape->dim[a];
        }
    return first;
}

static void next_cursor(cursor *at, const tspk_shape *shape)
{
    for (int a = shape->rank; a-- > 0;) {
        at->row += at->row_step[a];
        at->column += at->column_step[a];
        if (++at->at[a] < (size_t)shape->dim[a])
            return;
        at->row -= at->row_step[a] * at->at[a];
        at->column -= at->column_step[a] * at->at[a];
        at->at[a] = 0;
    }
}

/* Positions of every element from one step a axis; false when they are not rows times columns. */
static bool describe(const tspk_shape *shape, const int64_t *index, int64_t rows, int64_t width,
                     part *p)
{
    size_t stride[TSPK_MAX_RANK] = {0}, elems = 1, n_rows = 1;
    cursor at;

    p->n_columns = 1;
    for (int a = shape->rank; a-- > 0;) {
        stride[a] = elems;
        elems *= (size_t)shape->dim[a];
    }
    if (elems == 0)
        return false;
    for (int a = 0; a < shape->rank; a++) {
        p->is_row_axis[a] = shape->dim[a] > 1 && (index[stride[a]] - index[0]) % width == 0;
        if (p->is_row_axis[a])
            n_rows *= (size_t)shape->dim[a];
        else
            p->n_columns *= (size_t)shape->dim[a];
    }
    if ((int64_t)n_rows != rows)
        return false;
    at = first_cursor(p, shape);
    for (size_t i = 0; i < elems; i++, next_cursor(&at, shape)) {
        if (at.row == 0)
            p->column[at.column] = index[i];
        if (at.row == 0 && (index[i] < 0 || index[i] >= width))
            return false;
    }
    at = first_cursor(p, shape);
    for (size_t i = 0; i < elems; i++, next_cursor(&at, shape))
        if (index[i] != (int64_t)at.row * width + p->column[at.column])
            return false;
    return true;
}

/* Inserts Linear, Reshape and turns the producer of the part into the Transpose that is left. */
static tspk_status emit_part(tspk_graph *graph, tspk_node_id linear, const part *p, tspk_error *err)
{
    const tspk_shape to = graph->value[p->value].shape;
    tspk_node_id at = graph->value[p->value].producer;
    tspk_shape shape = {.rank = to.rank};
    tspk_attr attr = {.n_axes = to.rank};
    tspk_value_id out;
    int n = 0, place[TSPK_MAX_RANK];

    for (int wanted = 1; wanted >= 0; wanted--)
        for (int a = 0; a < to.rank; a++)
            if (p->is_row_axis[a] == (wanted == 1)) {
                place[a] = n;
                shape.dim[n++] = to.dim[a];
            }
    for (int a = 0; a < to.rank; a++)
        attr.axes[a] = place[a];
    TSPK_TRY(tspk_emit_linear_part(graph, &at, linear, p->column, p->n_columns, &out, err));
    TSPK_TRY(tspk_emit_node(graph, &at, TSPK_OP_RESHAPE, graph->node[at].name, &out, 1, &shape,
                            NULL, &out, err));
    return tspk_rewrite_node(graph, at, TSPK_OP_TRANSPOSE, &out, 1, &attr, err);
}

static tspk_status split(tspk_graph *graph, tspk_node_id id, tspk_arena *scratch, size_t *changes,
                         tspk_error *err)
{
    const tspk_value_id value = graph->node[id].out[0];
    const int64_t rows = (int64_t)tspk_shape_rows(&graph->value[value].shape);
    const int64_t width = (int64_t)tspk_shape_last(&graph->value[value].shape);
    bool *const is_moved = tspk_arena_array(scratch, graph->n_values, sizeof *is_moved);
    part parts[MAX_PARTS] = {{0}};
    size_t n_parts, n_columns = 0;

    if (!is_moved)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", graph->n_values);
    if (!find_ends(graph, id, is_moved, parts, &n_parts) || n_parts < 2)
        return TSPK_OK;
    for (size_t i = 0; i < n_parts; i++) {
        part *const p = &parts[i];
        const tspk_shape *shape = &graph->value[p->value].shape;
        tspk_trace trace;

        TSPK_TRY(tspk_trace_back(graph, p->value, false, scratch, &trace, err));
        p->column = tspk_arena_array(scratch, tspk_shape_elems(shape) + 1, sizeof *p->column);
        if (!p->column)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory to split a Linear");
        if (trace.root != value || !describe(shape, trace.index, rows, width, p) ||
            p->n_columns >= (size_t)width)
            return TSPK_OK;
        n_columns += p->n_columns;
    }
    if (n_columns > (size_t)width)
        return TSPK_OK;
    for (size_t i = 0; i < n_parts; i++)
        TSPK_TRY(emit_part(graph, id, &parts[i], err));
    (*changes)++;
    return TSPK_OK;
}

tspk_status tspk_pass_split_linear(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err)
{
    const uint32_t n_values = graph->n_values;
    bool *const is_taken_apart = tspk_arena_array(scratch, n_values, sizeof *is_taken_apart);

    if (!is_taken_apart)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u values", n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead && tspk_is_mover(graph, &graph->node[n]))
            is_taken_apart[graph->node[n].in[0]] = true;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        if (node->is_dead || node->op != TSPK_OP_LINEAR || node->n_in < 2 || node->attr.n_rows ||
            node->out[0] >= n_values || !is_taken_apart[node->out[0]])
            continue;
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        const tspk_status status = split(graph, n, scratch, changes, err);

        tspk_arena_reset(scratch, mark);
        TSPK_TRY(status);
    }
    return TSPK_OK;
}
