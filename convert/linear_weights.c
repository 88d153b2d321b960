/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/linear_weights.h"

#include <string.h>

#include "convert/pattern.h"
#include "core/fail.h"

/* Rows `row` of a constant [n, width] as a constant of its own. */
static tspk_status take_rows(tspk_graph *graph, tspk_value_id from, const int64_t *row, size_t n,
                             const tspk_shape *shape, size_t width, tspk_value_id *id_out,
                             tspk_error *err)
{
    const char *name = graph->value[from].name;
    float *data;

    TSPK_TRY(tspk_new_floats(graph, name, shape, id_out, &data, err));
    const float *source = graph->value[from].data;

    for (size_t i = 0; i < n; i++)
        memcpy(data + i * width, source + (size_t)row[i] * width, width * sizeof *data);
    return TSPK_OK;
}

tspk_status tspk_emit_linear_part(tspk_graph *graph, tspk_node_id *at, tspk_node_id id,
                                  const int64_t *column, size_t n_columns, tspk_value_id *out,
                                  tspk_error *err)
{
    const tspk_node old = graph->node[id];
    const bool has_bias = old.n_in > 2 && old.in[2] != TSPK_ID_NONE;
    tspk_shape weight = graph->value[old.in[1]].shape;
    tspk_shape shape = graph->value[old.out[0]].shape;
    tspk_value_id in[3] = {old.in[0], TSPK_ID_NONE, TSPK_ID_NONE};

    weight.dim[0] = (int64_t)n_columns;
    TSPK_TRY(take_rows(graph, old.in[1], column, n_columns, &weight, (size_t)weight.dim[1], &in[1],
                       err));
    if (has_bias) {
        const tspk_shape bias = {.rank = 1, .dim = {(int64_t)n_columns}};

        TSPK_TRY(take_rows(graph, old.in[2], column, n_columns, &bias, 1, &in[2], err));
    }
    shape.dim[shape.rank - 1] = (int64_t)n_columns;
    return tspk_emit_node(graph, at, TSPK_OP_LINEAR, old.name, in, has_bias ? 3 : 2, &shape,
                          &old.attr, out, err);
}
