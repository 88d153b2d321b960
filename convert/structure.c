/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the rows of every value stand for. A row that enters a Concat from a constant (class,
 * distillation, register tokens) is special, one class each; rows made from the image are class 0.
 * From there classes follow the rows through every operator that keeps rows apart.
 */
#include <string.h>

#include "convert/flow.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "convert/trace.h"
#include "core/fail.h"

#define MAX_SPECIAL_CLASSES 3

typedef struct classes {
    const tspk_graph *graph;
    tspk_arena *arena;
    tspk_error *err;
    const uint8_t **of; /* [n_values] -> [rows] or NULL */
    uint32_t n_special;
} classes;

static size_t rows_of(const classes *c, tspk_value_id id)
{
    return tspk_shape_rows(&c->graph->value[id].shape);
}

static tspk_status no_memory(const classes *c, size_t rows)
{
    return TSPK_FAIL(c->err, TSPK_NOMEM, "no memory for the classes of %zu rows", rows);
}

static uint8_t next_special(classes *c)
{
    if (c->n_special < MAX_SPECIAL_CLASSES)
        c->n_special++;
    return (uint8_t)c->n_special;
}

/* Rows of the parts one after another; each place of a constant part on the axis is a class. */
static tspk_status join(classes *c, const tspk_node *node)
{
    const tspk_graph *graph = c->graph;
    const tspk_shape *shape = &graph->value[node->out[0]].shape;
    const int64_t axis = node->attr.axis, total = shape->dim[axis];
    uint8_t *rows;
    size_t outer = 1, inner = 1, offset = 0;
    bool is_known = false, is_mixed = false;

    for (uint32_t i = 0; i < node->n_in; i++) {
        is_known = is_known || c->of[node->in[i]];
        is_mixed = is_mixed || !graph->value[node->in[i]].data;
    }
    for (uint32_t i = 0; i < node->n_in; i++)
        is_known = is_known || graph->value[node->in[i]].data;
    if (!is_known || !is_mixed || axis + 1 >= shape->rank)
        return TSPK_OK;
    for (int i = 0; i < axis; i++)
        outer *= (size_t)shape->dim[i];
    for (int i = (int)axis + 1; i + 1 < shape->rank; i++)
        inner *= (size_t)shape->dim[i];
    rows = tspk_arena_alloc(c->arena, rows_of(c, node->out[0]));
    if (!rows)
        return no_memory(c, rows_of(c, node->out[0]));
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tspk_value *part = &graph->value[node->in[i]];
        const size_t n = (size_t)part->shape.dim[axis];

        for (size_t k = 0; k < n; k++) {
            const uint8_t special = part->data ? next_special(c) : 0;

            for (size_t o = 0; o < outer; o++)
                for (size_t j = 0; j < inner; j++) {
                    const uint8_t *from = c->of[node->in[i]];

                    rows[(o * (size_t)total + offset + k) * inner + j] =
                        part->data ? special
                        : from     ? from[(o * n + k) * inner + j]
                                   : 0;
                }
        }
        offset += n;
    }
    c->of[node->out[0]] = rows;
    return TSPK_OK;
}

/* Moves the classes as labels of elements; a row of mixed classes has none. */
static tspk_status move(classes *c, const tspk_node *node)
{
    const tspk_value_id in = node->in[0], out = node->out[0];
    const size_t rows = rows_of(c, in), width = tspk_shape_last(&c->graph->value[in].shape);
    const size_t new_rows = rows_of(c, out);
    const size_t new_width = tspk_shape_last(&c->graph->value[out].shape);
    const int64_t *moved;
    int64_t *labels, *buffer;
    uint8_t *classes_out;

    if (node->op == TSPK_OP_RESHAPE && width == new_width) {
        c->of[out] = c->of[in];
        return TSPK_OK;
    }
    classes_out = tspk_arena_alloc(c->arena, new_rows);
    const tspk_arena_mark mark = tspk_arena_mark_now(c->arena);

    labels = tspk_arena_array(c->arena, rows * width + 1, sizeof *labels);
    buffer = tspk_arena_array(c->arena, new_rows * new_width + 1, sizeof *buffer);
    if (!classes_out || !labels || !buffer)
        return no_memory(c, rows * width);
    for (size_t r = 0; r < rows; r++)
        for (size_t k = 0; k < width; k++)
            labels[r * width + k] = c->of[in][r];
    TSPK_TRY(tspk_move_labels(c->graph, node, labels, buffer, c->arena, &moved, c->err));
    for (size_t r = 0; r < new_rows; r++)
        for (size_t k = 0; k < new_width; k++) {
            if (k == 0)
                classes_out[r] = (uint8_t)moved[r * new_width];
            if (moved[r * new_width + k] != classes_out[r])
                classes_out = NULL;
            if (!classes_out)
                goto done;
        }
done:
    tspk_arena_reset(c->arena, mark);
    c->of[out] = new_rows > 0 && new_width > 0 ? classes_out : NULL;
    return TSPK_OK;
}

static tspk_status read_rows(classes *c, const tspk_node *node)
{
    const uint8_t *from = c->of[node->in[0]];
    uint8_t *rows;

    if (!node->attr.n_rows || !from) {
        c->of[node->out[0]] = from;
        return TSPK_OK;
    }
    rows = tspk_arena_alloc(c->arena, node->attr.n_rows);
    if (!rows)
        return no_memory(c, node->attr.n_rows);
    for (uint32_t i = 0; i < node->attr.n_rows; i++)
        rows[i] = from[node->attr.rows[i]];
    c->of[node->out[0]] = rows;
    return TSPK_OK;
}

/* The classes of the first input that has as many rows as the output. */
static void keep(classes *c, const tspk_node *node, uint32_t n_in)
{
    for (uint32_t i = 0; i < n_in && i < node->n_in; i++) {
        const tspk_value_id in = node->in[i];

        if (in == TSPK_ID_NONE || !c->of[in] || rows_of(c, in) != rows_of(c, node->out[0]))
            continue;
        c->of[node->out[0]] = c->of[in];
        return;
    }
}

static tspk_status follow(classes *c, const tspk_node *node)
{
    if (tspk_op_is_elementwise(node->op)) {
        keep(c, node, node->n_in);
        return TSPK_OK;
    }
    if (tspk_is_mover(c->graph, node))
        return c->of[node->in[0]] ? move(c, node) : TSPK_OK;
    switch (node->op) {
    case TSPK_OP_CONCAT:
        if (node->attr.axis + 1 == c->graph->value[node->out[0]].shape.rank)
            keep(c, node, node->n_in);
        return join(c, node);
    case TSPK_OP_LINEAR:
        return read_rows(c, node);
    case TSPK_OP_REDUCE_MEAN:
    case TSPK_OP_REDUCE_SUM:
    case TSPK_OP_REDUCE_MAX:
    case TSPK_OP_REDUCE_MIN:
    case TSPK_OP_REDUCE_PROD:
    case TSPK_OP_REDUCE_L2:
        if (c->graph->value[node->out[0]].shape.rank == c->graph->value[node->in[0]].shape.rank)
            keep(c, node, 1);
        return TSPK_OK;
    case TSPK_OP_SOFTMAX:
    case TSPK_OP_LAYER_NORM:
    case TSPK_OP_RMS_NORM:
    case TSPK_OP_MATMUL:
    case TSPK_OP_ATTENTION:
        keep(c, node, 1);
        return TSPK_OK;
    default:
        return TSPK_OK;
    }
}

tspk_status tspk_find_structure(const tspk_graph *graph, tspk_arena *arena,
                                tspk_structure *structure_out, tspk_error *err)
{
    classes c = {.graph = graph, .arena = arena, .err = err};
    tspk_flow flow;

    c.of = tspk_arena_array(arena, graph->n_values + 1, sizeof *c.of);
    if (!c.of)
        return no_memory(&c, graph->n_values);
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead)
            TSPK_TRY(
                tspk_in_stage(err,
                              tspk_at_node(err, follow(&c, &graph->node[n]), graph->node[n].name,
                                           tspk_op_name(graph->node[n].op)),
                              "structure"));
    TSPK_TRY(tspk_find_flow(graph, arena, &flow, err));
    *structure_out = (tspk_structure){.n_classes = 1 + c.n_special,
                                      .row_class = c.of,
                                      .is_stem = flow.is_stem,
                                      .is_head = flow.is_head};
    return TSPK_OK;
}
