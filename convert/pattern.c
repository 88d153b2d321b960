/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/pattern.h"

#include <math.h>
#include <string.h>

#include "core/fail.h"

tspk_status tspk_uses_find(const tspk_graph *graph, tspk_arena *scratch, tspk_uses *uses_out,
                           tspk_error *err)
{
    tspk_uses uses = {.n_values = graph->n_values};

    uses.count = tspk_arena_array(scratch, graph->n_values, sizeof *uses.count);
    uses.user = tspk_arena_array(scratch, graph->n_values, sizeof *uses.user);
    if (!uses.count || !uses.user)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the readers of %u values",
                         graph->n_values);
    for (uint32_t i = 0; i < graph->n_values; i++)
        uses.user[i] = TSPK_ID_NONE;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        for (uint32_t i = 0; !node->is_dead && i < node->n_in; i++) {
            if (node->in[i] == TSPK_ID_NONE)
                continue;
            uses.count[node->in[i]]++;
            uses.user[node->in[i]] = n;
        }
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        uses.count[graph->output[i]]++;
    *uses_out = uses;
    return TSPK_OK;
}

tspk_node_id tspk_only_user(const tspk_graph *graph, const tspk_uses *uses, tspk_value_id id)
{
    if (id >= uses->n_values || uses->count[id] != 1 || uses->user[id] == TSPK_ID_NONE ||
        graph->node[uses->user[id]].is_dead)
        return TSPK_ID_NONE;
    return uses->user[id];
}

const tspk_node *tspk_producer(const tspk_graph *graph, tspk_value_id id)
{
    if (id == TSPK_ID_NONE || graph->value[id].producer == TSPK_ID_NONE)
        return NULL;
    return &graph->node[graph->value[id].producer];
}

const tspk_node *tspk_producer_is(const tspk_graph *graph, tspk_value_id id, tspk_op op)
{
    const tspk_node *node = tspk_producer(graph, id);

    return node && node->op == op ? node : NULL;
}

bool tspk_is_uniform(const tspk_graph *graph, tspk_value_id id, double *value_out)
{
    if (id == TSPK_ID_NONE || !graph->value[id].data)
        return false;
    const tspk_value *value = &graph->value[id];
    const size_t n = tspk_shape_elems(&value->shape);

    if (n == 0)
        return false;
    if (value->dtype == TSPK_DTYPE_F32) {
        const float *x = value->data;

        for (size_t i = 1; i < n; i++)
            if (x[i] != x[0])
                return false;
        *value_out = (double)x[0];
    } else if (value->dtype == TSPK_DTYPE_I64) {
        const int64_t *x = value->data;

        for (size_t i = 1; i < n; i++)
            if (x[i] != x[0])
                return false;
        *value_out = (double)x[0];
    } else {
        const uint8_t *x = value->data;

        for (size_t i = 1; i < n; i++)
            if (x[i] != x[0])
                return false;
        *value_out = x[0];
    }
    return true;
}

bool tspk_is_near(double found, double expected)
{
    return fabs(found - expected) <= TSPK_CONSTANT_TOLERANCE * fabs(expected);
}

bool tspk_match_scalar(const tspk_graph *graph, const tspk_node *node, tspk_value_id *x_out,
                       double *scalar_out)
{
    if (!node || node->op < TSPK_OP_ADD || node->op > TSPK_OP_POW)
        return false;
    const bool commutes = node->op == TSPK_OP_ADD || node->op == TSPK_OP_MUL;

    for (int right = 1; right >= (commutes ? 0 : 1); right--) {
        const tspk_value_id x = node->in[1 - right];

        if (graph->value[x].data || !tspk_is_uniform(graph, node->in[right], scalar_out) ||
            !tspk_shape_equal(&graph->value[x].shape, &graph->value[node->out[0]].shape))
            continue;
        *x_out = x;
        return true;
    }
    return false;
}

bool tspk_match_factor(const tspk_graph *graph, const tspk_node *node, tspk_value_id *x_out,
                       double *factor_out)
{
    double scalar;

    if (!node)
        return false;
    if (node->op == TSPK_OP_NEG) {
        *x_out = node->in[0];
        *factor_out = -1.0;
        return true;
    }
    if ((node->op != TSPK_OP_MUL && node->op != TSPK_OP_DIV) ||
        !tspk_match_scalar(graph, node, x_out, &scalar) || !isfinite(scalar))
        return false;
    if (node->op == TSPK_OP_DIV && scalar == 0.0)
        return false;
    *factor_out = node->op == TSPK_OP_DIV ? 1.0 / scalar : scalar;
    return true;
}

tspk_value_id tspk_other_operand(const tspk_node *node, tspk_value_id id)
{
    if (node->n_in != 2)
        return TSPK_ID_NONE;
    if (node->in[0] == id)
        return node->in[1];
    return node->in[1] == id ? node->in[0] : TSPK_ID_NONE;
}

tspk_status tspk_new_floats(tspk_graph *graph, const char *name, const tspk_shape *shape,
                            tspk_value_id *id_out, float **data_out, tspk_error *err)
{
    tspk_tensor tensor = {TSPK_DTYPE_F32, *shape, NULL};
    const size_t elems = tspk_shape_elems(shape);

    tensor.data = tspk_arena_array(graph->arena, elems ? elems : 1, sizeof(float));
    if (!tensor.data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu weights", elems);
    *data_out = tensor.data;
    return tspk_graph_add_constant(graph, name, &tensor, id_out, err);
}

tspk_status tspk_rewrite_node(tspk_graph *graph, tspk_node_id id, tspk_op op,
                              const tspk_value_id *in, uint32_t n_in, const tspk_attr *attr,
                              tspk_error *err)
{
    tspk_node *const node = &graph->node[id];
    tspk_value_id *const kept = tspk_arena_copy(graph->arena, in, n_in * sizeof *in);

    if (!kept)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a node");
    node->op = op;
    node->in = kept;
    node->n_in = n_in;
    node->attr = attr ? *attr : (tspk_attr){0};
    return TSPK_OK;
}

tspk_status tspk_emit_node(tspk_graph *graph, tspk_node_id *at, tspk_op op, const char *name,
                           const tspk_value_id *in, uint32_t n_in, const tspk_shape *shape,
                           const tspk_attr *attr, tspk_value_id *out, tspk_error *err)
{
    tspk_value_id id;

    TSPK_TRY(tspk_graph_add_value(graph, "", TSPK_DTYPE_F32, shape, &id, err));
    TSPK_TRY(tspk_graph_insert_node(graph, *at, op, name, tspk_op_name(op), in, n_in, &id, 1, attr,
                                    NULL, err));
    (*at)++;
    *out = id;
    return TSPK_OK;
}
