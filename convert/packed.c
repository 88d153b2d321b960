/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/packed.h"

#include "convert/linear_weights.h"
#include "convert/pattern.h"
#include "convert/trace.h"
#include "core/fail.h"

static int64_t position(const tspk_head_layout *l, int64_t head, int64_t token, int64_t channel)
{
    return head * l->head_stride + token * l->token_stride + channel * l->channel_stride;
}

/* Whether every element is (token, column[head, channel]) of a [tokens, width] source. */
static bool find_columns(const tspk_head_layout *l, const int64_t *index, int64_t width,
                         int64_t *column)
{
    for (int64_t h = 0; h < l->heads; h++)
        for (int64_t d = 0; d < l->width; d++) {
            const int64_t c = index[position(l, h, 0, d)];

            if (c < 0 || c >= width)
                return false;
            column[h * l->width + d] = c;
            for (int64_t n = 1; n < l->tokens; n++)
                if (index[position(l, h, n, d)] != n * width + c)
                    return false;
        }
    return true;
}

tspk_status tspk_is_windowed(const tspk_graph *graph, tspk_value_id id,
                             const tspk_head_layout *layout, tspk_arena *scratch,
                             bool *is_windowed_out, tspk_error *err)
{
    const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
    tspk_trace trace;
    const tspk_status status = tspk_trace_back(graph, id, true, scratch, &trace, err);

    *is_windowed_out = false;
    if (status == TSPK_OK && tspk_producer_is(graph, trace.root, TSPK_OP_LINEAR)) {
        const int64_t width = (int64_t)tspk_shape_last(&graph->value[trace.root].shape);

        for (int64_t h = 1; h < layout->heads; h++)
            if (trace.index[position(layout, h, 0, 0)] / width != trace.index[0] / width)
                *is_windowed_out = true;
    }
    tspk_arena_reset(scratch, mark);
    return status;
}

static bool is_identity(const int64_t *column, int64_t n, int64_t width)
{
    for (int64_t i = 0; i < n; i++)
        if (column[i] != i)
            return false;
    return n == width;
}

static bool has_token_shape(const tspk_shape *shape, int64_t tokens, int64_t width)
{
    for (int i = 0; i + 2 < shape->rank; i++)
        if (shape->dim[i] != 1)
            return false;
    return shape->rank >= 2 && shape->dim[shape->rank - 2] == tokens &&
           shape->dim[shape->rank - 1] == width;
}

/* Gives a value the shape [1, tokens, width] unless it has that form already. */
static tspk_status with_token_shape(tspk_graph *graph, tspk_node_id *at, tspk_value_id id,
                                    int64_t tokens, int64_t width, tspk_value_id *id_out,
                                    tspk_error *err)
{
    const tspk_shape shape = {.rank = 3, .dim = {1, tokens, width}};

    *id_out = id;
    if (has_token_shape(&graph->value[id].shape, tokens, width))
        return TSPK_OK;
    return tspk_emit_node(graph, at, TSPK_OP_RESHAPE, graph->node[*at].name, &id, 1, &shape, NULL,
                          id_out, err);
}

/* From a source whose rows are the tokens; NONE when it has to be transposed. */
static tspk_status from_source(tspk_graph *graph, tspk_node_id *at, const tspk_head_layout *l,
                               const tspk_trace *trace, tspk_arena *scratch, tspk_value_id *id_out,
                               tspk_error *err)
{
    const tspk_value *root = &graph->value[trace->root];
    const int64_t width = (int64_t)tspk_shape_last(&root->shape), n = l->heads * l->width;
    const tspk_node *producer = tspk_producer(graph, trace->root);
    int64_t *const column = tspk_arena_array(scratch, (size_t)n + 1, sizeof *column);
    tspk_value_id part;

    *id_out = TSPK_ID_NONE;
    if (!column)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %lld channels", (long long)n);
    if (root->data || root->shape.rank < 2 || tspk_shape_rows(&root->shape) != (size_t)l->tokens ||
        !find_columns(l, trace->index, width, column))
        return TSPK_OK;
    if (is_identity(column, n, width))
        return with_token_shape(graph, at, trace->root, l->tokens, n, id_out, err);
    if (!producer || producer->op != TSPK_OP_LINEAR || producer->n_in < 2)
        return TSPK_OK;
    TSPK_TRY(tspk_emit_linear_part(graph, at, root->producer, column, (size_t)n, &part, err));
    return with_token_shape(graph, at, part, l->tokens, n, id_out, err);
}

/* Reshape to the three axes of the layout, Transpose to [tokens, heads, width], Reshape. */
static tspk_status transposed(tspk_graph *graph, tspk_node_id *at, tspk_value_id id,
                              const tspk_head_layout *l, tspk_value_id *id_out, tspk_error *err)
{
    const bool is_key = l->channel_stride != 1 && l->token_stride == 1;
    const int64_t heads = l->head_stride ? l->heads : 1;
    const tspk_shape split = {
        .rank = 3, .dim = {heads, is_key ? l->width : l->tokens, is_key ? l->tokens : l->width}};
    const tspk_shape turned = {.rank = 3, .dim = {l->tokens, heads, l->width}};
    const tspk_shape spread = {.rank = 3, .dim = {l->tokens, l->heads, l->width}};
    const tspk_attr attr = {.n_axes = 3, .axes = {is_key ? 2 : 1, 0, is_key ? 1 : 2}};

    TSPK_TRY(tspk_emit_node(graph, at, TSPK_OP_RESHAPE, graph->node[*at].name, &id, 1, &split, NULL,
                            &id, err));
    TSPK_TRY(tspk_emit_node(graph, at, TSPK_OP_TRANSPOSE, graph->node[*at].name, &id, 1, &turned,
                            &attr, &id, err));
    if (heads != l->heads)
        TSPK_TRY(tspk_emit_node(graph, at, TSPK_OP_EXPAND, graph->node[*at].name, &id, 1, &spread,
                                NULL, &id, err));
    return with_token_shape(graph, at, id, l->tokens, l->heads * l->width, id_out, err);
}

tspk_status tspk_pack_operand(tspk_graph *graph, tspk_node_id *at, tspk_value_id id,
                              const tspk_head_layout *layout, bool with_factor, bool is_packed,
                              tspk_arena *scratch, tspk_value_id *id_out, double *factor,
                              tspk_error *err)
{
    const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
    tspk_value_id x;
    tspk_trace trace;
    double scalar;
    tspk_status status = tspk_trace_back(graph, id, with_factor, scratch, &trace, err);

    if (status == TSPK_OK)
        status = from_source(graph, at, layout, &trace, scratch, id_out, err);
    tspk_arena_reset(scratch, mark);
    TSPK_TRY(status);
    if (*id_out != TSPK_ID_NONE) {
        *factor *= trace.factor;
        return TSPK_OK;
    }
    while (with_factor && tspk_match_factor(graph, tspk_producer(graph, id), &x, &scalar)) {
        *factor *= scalar;
        id = x;
    }
    *id_out = id;
    return is_packed ? TSPK_OK : transposed(graph, at, id, layout, id_out, err);
}
