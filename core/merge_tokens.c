/* SPDX-License-Identifier: Apache-2.0 */
#include "core/merge_tokens.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/fail.h"

#define NO_AXIS (-1)

typedef struct merger {
    tspk_graph *graph;
    uint32_t n_special;
    tspk_node_id *moved_to; /* [n_nodes_before] */
    uint32_t n_nodes_before;
    uint32_t n_axes;
    int8_t *axis;              /* [n_axes] axis of merged tokens of each value, or NO_AXIS */
    int64_t tokens_before;     /* before anything merged */
    tspk_value_id sizes, logs; /* of the latest merge, TSPK_ID_NONE before the first */
} merger;

bool tspk_merging_is_none(const tspk_merging *merging)
{
    for (uint32_t i = 0; i < merging->n_attentions; i++)
        if (merging->n_pairs[i])
            return false;
    return true;
}

uint32_t tspk_graph_count_attentions(const tspk_graph *graph)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        n += graph->node[i].op == TSPK_OP_ATTENTION;
    return n;
}

static uint32_t rows_of(const tspk_graph *graph, tspk_value_id id)
{
    return (uint32_t)tspk_shape_rows(&graph->value[id].shape);
}

static bool has_patch_queries(const tspk_graph *graph, const tspk_node *node, uint32_t n_special)
{
    return node->op == TSPK_OP_ATTENTION && rows_of(graph, node->in[0]) > n_special;
}

bool tspk_merging_spread(const tspk_graph *graph, uint32_t n_special, uint32_t pairs,
                         uint32_t *n_pairs_out)
{
    uint32_t merged = 0, index = 0, n = 0;
    bool is_whole = true;

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        n += has_patch_queries(graph, &graph->node[i], n_special);
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *const node = &graph->node[i];

        if (node->op != TSPK_OP_ATTENTION)
            continue;
        *n_pairs_out = 0;
        if (has_patch_queries(graph, node, n_special)) {
            const uint32_t patches = rows_of(graph, node->in[1]) - n_special - merged;
            /* from a third of the mean to five thirds of it */
            const uint32_t wanted = (pairs * (2 * (2 * index++ + 1) + n) + 3 * n / 2) / (3 * n);

            *n_pairs_out = wanted < patches / 2 ? wanted : patches / 2;
            is_whole &= wanted <= patches / 2;
            merged += *n_pairs_out;
        }
        n_pairs_out++;
    }
    return is_whole && n;
}

uint32_t tspk_merging_most(const tspk_graph *graph, uint32_t n_special, uint32_t *work)
{
    uint32_t most = 0;

    while (tspk_merging_spread(graph, n_special, most + 1, work))
        most++;
    return most;
}

static int axis_of(const merger *m, tspk_value_id id)
{
    return id != TSPK_ID_NONE && id < m->n_axes ? m->axis[id] : NO_AXIS;
}

static tspk_status not_by_token(const char *what, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                     "tokens cannot be merged before it: %s is not computed token by token", what);
}

/* --- what stands behind a merge --- */

/* Marks the output as having `tokens` tokens on `axis`. */
static void mark(merger *m, const tspk_node *node, int axis, int64_t tokens)
{
    tspk_value *const out = &m->graph->value[node->out[0]];

    m->axis[node->out[0]] = (int8_t)axis;
    out->shape.dim[axis] = tokens;
    out->source_row = NULL;
    out->source_rows = 0;
}

/* Elementwise: other operands have as many tokens there, or broadcast along them. */
static tspk_status follow_elementwise(merger *m, const tspk_node *node, tspk_error *err)
{
    const tspk_graph *const graph = m->graph;
    const int rank = graph->value[node->out[0]].shape.rank;
    int from_end = 0;
    int64_t tokens = 0;

    for (uint32_t i = 0; i < node->n_in; i++)
        if (axis_of(m, node->in[i]) != NO_AXIS) {
            const tspk_shape *const shape = &graph->value[node->in[i]].shape;

            from_end = shape->rank - axis_of(m, node->in[i]);
            tokens = shape->dim[shape->rank - from_end];
        }
    for (uint32_t i = 0; i < node->n_in; i++) {
        const tspk_shape *const shape = &graph->value[node->in[i]].shape;

        if (shape->rank < from_end || shape->dim[shape->rank - from_end] == 1)
            continue;
        if (axis_of(m, node->in[i]) == NO_AXIS || shape->dim[shape->rank - from_end] != tokens ||
            shape->rank - axis_of(m, node->in[i]) != from_end)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "tokens cannot be merged before it: an operand has %" PRId64
                             " tokens beside %" PRId64,
                             shape->dim[shape->rank - from_end], tokens);
    }
    mark(m, node, rank - from_end, tokens);
    return TSPK_OK;
}

/* The axis of tokens keeps what stands before and behind it. */
static tspk_status follow_reshape(merger *m, const tspk_node *node, int64_t before, tspk_error *err)
{
    const tspk_shape *const in = &m->graph->value[node->in[0]].shape;
    const tspk_shape *const out = &m->graph->value[node->out[0]].shape;
    const int axis = axis_of(m, node->in[0]);
    int64_t lead = 1, product = 1;

    for (int i = 0; i < axis; i++)
        lead *= in->dim[i];
    for (int i = 0; i < out->rank; i++) {
        if (product == lead && out->dim[i] == before) {
            mark(m, node, i, in->dim[axis]);
            return TSPK_OK;
        }
        product *= out->dim[i];
    }
    return not_by_token("a new shape", err);
}

/* Special tokens alone: true and nothing changes behind it. */
static bool is_special_slice(const merger *m, const tspk_node *node, int axis)
{
    const int64_t step = node->attr.steps[axis], first = node->attr.starts[axis];
    const int64_t n = m->graph->value[node->out[0]].shape.dim[axis];
    const int64_t last = first + (n - 1) * step;

    return first >= 0 && first < m->n_special && last >= 0 && last < m->n_special;
}

static bool is_special_gather(const merger *m, const tspk_node *node, int axis)
{
    const tspk_value *const picked = &m->graph->value[node->in[1]];
    const int64_t *const index = picked->data;

    if (!index || picked->dtype != TSPK_DTYPE_I64 || node->attr.axis != axis)
        return false;
    for (size_t i = 0; i < tspk_shape_elems(&picked->shape); i++)
        if (index[i] < 0 || index[i] >= m->n_special)
            return false;
    return true;
}

static tspk_status follow_slice(merger *m, const tspk_node *node, int64_t before, tspk_error *err)
{
    const int axis = axis_of(m, node->in[0]);
    const tspk_shape *const in = &m->graph->value[node->in[0]].shape;
    const tspk_shape *const out = &m->graph->value[node->out[0]].shape;
    const int64_t first = node->attr.starts[axis];

    if (is_special_slice(m, node, axis))
        return TSPK_OK;
    if (node->attr.steps[axis] != 1 || first < 0 || first > m->n_special ||
        first + out->dim[axis] != before)
        return not_by_token("a slice of the patches", err);
    mark(m, node, axis, in->dim[axis] - first);
    return TSPK_OK;
}

static tspk_status follow_linear(merger *m, const tspk_node *node, tspk_error *err)
{
    const tspk_shape *const in = &m->graph->value[node->in[0]].shape;
    const tspk_shape *const out = &m->graph->value[node->out[0]].shape;
    const int axis = axis_of(m, node->in[0]);

    if (axis == in->rank - 1 || tspk_shape_rows(in) != (size_t)in->dim[axis])
        return not_by_token("a product over tokens", err);
    for (uint32_t i = 0; i < node->attr.n_rows; i++)
        if (node->attr.rows[i] >= m->n_special)
            return not_by_token("a choice of patches", err);
    if (!node->attr.n_rows)
        mark(m, node, out->rank - in->rank + axis, in->dim[axis]);
    return TSPK_OK;
}

/* Keys count as often as tokens went into them. */
static tspk_status follow_attention(merger *m, tspk_node *node, tspk_error *err)
{
    const int key = axis_of(m, node->in[1]), value = axis_of(m, node->in[2]);
    tspk_value_id *in;

    if (key == NO_AXIS || value == NO_AXIS)
        return not_by_token("an attention to tokens of elsewhere", err);
    if (node->n_in > 3 && node->in[3] != TSPK_ID_NONE &&
        m->graph->value[node->in[3]].producer == TSPK_ID_NONE)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "tokens cannot be merged before it: it has an additive bias, such as "
                         "that of relative positions");
    in = tspk_arena_array(m->graph->arena, 4, sizeof *in);
    if (!in)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph");
    for (int i = 0; i < 3; i++)
        in[i] = node->in[i];
    in[3] = m->logs;
    node->in = in;
    node->n_in = 4;
    if (axis_of(m, node->in[0]) != NO_AXIS)
        mark(m, node, axis_of(m, node->in[0]), m->graph->value[node->in[0]].shape.dim[key]);
    return TSPK_OK;
}

static tspk_status follow_transpose(merger *m, const tspk_node *node)
{
    for (int i = 0; i < node->attr.n_axes; i++)
        if (node->attr.axes[i] == axis_of(m, node->in[0]))
            mark(m, node, i, m->graph->value[node->in[0]].shape.dim[node->attr.axes[i]]);
    return TSPK_OK;
}

/* `before`: tokens on the axis until now. */
static tspk_status follow(merger *m, tspk_node *node, int64_t before, tspk_error *err)
{
    const int axis = axis_of(m, node->in[0]);
    const tspk_shape *const in = &m->graph->value[node->in[0]].shape;

    if (tspk_op_is_elementwise(node->op))
        return follow_elementwise(m, node, err);
    switch (node->op) {
    case TSPK_OP_RESHAPE:
        return follow_reshape(m, node, before, err);
    case TSPK_OP_TRANSPOSE:
        return follow_transpose(m, node);
    case TSPK_OP_SLICE:
        return follow_slice(m, node, before, err);
    case TSPK_OP_GATHER:
        return is_special_gather(m, node, axis) ? TSPK_OK
                                                : not_by_token("a choice of patches", err);
    case TSPK_OP_LAYER_NORM:
    case TSPK_OP_RMS_NORM:
    case TSPK_OP_SOFTMAX:
        if (node->attr.axis <= axis && (node->op != TSPK_OP_SOFTMAX || node->attr.axis == axis))
            return not_by_token("a norm over tokens", err);
        mark(m, node, axis, in->dim[axis]);
        return TSPK_OK;
    case TSPK_OP_LINEAR:
        return follow_linear(m, node, err);
    case TSPK_OP_ATTENTION:
        return follow_attention(m, node, err);
    case TSPK_OP_REDUCE_MEAN:
        if (in->rank == 3 && axis == 1 && node->attr.n_axes == 1 && node->attr.axes[0] == 1)
            return TSPK_OK; /* weigh_means() */
        return not_by_token("a mean", err);
    default:
        return not_by_token(tspk_op_name(node->op), err);
    }
}

/* Everything behind node `from`, whose output has the axis of tokens already. */
static tspk_status follow_all(merger *m, tspk_node_id from, int64_t before, tspk_error *err)
{
    const int64_t now = m->graph->value[m->graph->node[from].out[0]].shape.dim[1];

    for (tspk_node_id n = from + 1; n < m->graph->n_nodes; n++) {
        tspk_node *const node = &m->graph->node[n];
        int64_t cut = 0;
        bool is_behind = false;

        for (uint32_t i = 0; i < node->n_in; i++) {
            const int axis = axis_of(m, node->in[i]);

            if (axis == NO_AXIS)
                continue;
            /* a slice has left special tokens out */
            cut = now - m->graph->value[node->in[i]].shape.dim[axis];
            is_behind = true;
        }
        if (is_behind)
            TSPK_TRY(tspk_at_node(err, follow(m, node, before - cut, err), node->name,
                                  tspk_op_name(node->op)));
    }
    return TSPK_OK;
}

/* --- the merge itself --- */

static tspk_status insert(merger *m, tspk_node_id at, tspk_op op, const char *name,
                          const tspk_value_id *in, uint32_t n_in, tspk_dtype dtype,
                          const tspk_shape *shape, const tspk_attr *attr, tspk_value_id *out,
                          tspk_error *err)
{
    tspk_graph *const graph = m->graph;
    char full[192];

    snprintf(full, sizeof full, "%.160s.%s", name, tspk_op_name(op));
    TSPK_TRY(tspk_graph_add_value(graph, full, dtype, shape, out, err));
    if (*out >= m->n_axes)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u values", m->n_axes);
    m->axis[*out] = NO_AXIS;
    TSPK_TRY(tspk_graph_insert_node(graph, at, op, full,
                                    op == TSPK_OP_LOG ? "Log" : tspk_op_name(op), in, n_in, out, 1,
                                    attr, NULL, err));
    for (uint32_t i = 0; i < m->n_nodes_before; i++)
        m->moved_to[i] += m->moved_to[i] >= at;
    return TSPK_OK;
}

/* The Add that joins the attention's output with the residual stream. */
static tspk_status find_residual(const tspk_graph *graph, tspk_node_id attention,
                                 tspk_node_id *add_out, tspk_error *err)
{
    tspk_value_id id = graph->node[attention].out[0];

    for (tspk_node_id n = attention + 1; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        const bool is_first = node->n_in && node->in[0] == id;
        const bool is_second = node->n_in > 1 && node->in[1] == id;

        if (!is_first && !is_second)
            continue;
        if (node->op == TSPK_OP_ADD) {
            const tspk_value_id other = node->in[is_first];

            if (!graph->value[other].data &&
                tspk_shape_equal(&graph->value[other].shape, &graph->value[id].shape)) {
                *add_out = n;
                return TSPK_OK;
            }
        } else if (node->op != TSPK_OP_LINEAR && node->op != TSPK_OP_MUL &&
                   node->op != TSPK_OP_RESHAPE && node->op != TSPK_OP_IDENTITY) {
            break;
        }
        if (tspk_graph_count_uses(graph, id) != 1)
            break;
        id = node->out[0];
    }
    return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                     "tokens cannot be merged after it: no addition of the residual behind it");
}

static void replace_uses(tspk_graph *graph, tspk_node_id from, tspk_value_id old, tspk_value_id new)
{
    for (tspk_node_id n = from; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->node[n].n_in; i++)
            if (graph->node[n].in[i] == old)
                graph->node[n].in[i] = new;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        if (graph->output[i] == old)
            graph->output[i] = new;
}

static tspk_status merge_after(merger *m, tspk_node_id attention, uint32_t pairs, tspk_error *err)
{
    tspk_graph *const graph = m->graph;
    const tspk_node at = graph->node[attention];
    const int64_t tokens = (int64_t)tspk_shape_rows(&graph->value[at.in[1]].shape);
    const int64_t rows = tokens - pairs;
    const tspk_attr attr = {.starts = {m->n_special}, .steps = {pairs}};
    tspk_value_id in[3] = {at.in[1], m->sizes, m->sizes}, map, sizes, flat, logs, merged, stream;
    tspk_node_id add = 0;
    tspk_shape shape;

    if (pairs > (tokens - m->n_special) / 2)
        return TSPK_FAIL(err, TSPK_RANGE, "%u pairs merge of %" PRId64 " patches, at most half can",
                         pairs, tokens - m->n_special);
    TSPK_TRY(find_residual(graph, attention, &add, err));
    stream = graph->node[add].out[0];
    shape = graph->value[stream].shape;
    if (shape.rank != 3 || shape.dim[0] != 1 || shape.dim[1] != tokens)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "tokens cannot be merged after it: the residual has not the shape [1, "
                         "%" PRId64 ", channels]",
                         tokens);
    TSPK_TRY(insert(m, add + 1, TSPK_OP_MERGE_MAP, at.name, in, 1, TSPK_DTYPE_I64,
                    &(tspk_shape){1, {tokens}}, &attr, &map, err));
    in[0] = map;
    TSPK_TRY(insert(m, add + 2, TSPK_OP_MERGE_SIZES, at.name, in, m->sizes == TSPK_ID_NONE ? 1 : 2,
                    TSPK_DTYPE_F32, &(tspk_shape){3, {1, rows, 1}}, NULL, &sizes, err));
    TSPK_TRY(insert(m, add + 3, TSPK_OP_LOG, at.name, &sizes, 1, TSPK_DTYPE_F32,
                    &(tspk_shape){3, {1, rows, 1}}, NULL, &flat, err));
    TSPK_TRY(insert(m, add + 4, TSPK_OP_RESHAPE, at.name, &flat, 1, TSPK_DTYPE_F32,
                    &(tspk_shape){3, {1, 1, rows}}, NULL, &logs, err));
    in[0] = stream;
    in[1] = map;
    shape.dim[1] = rows;
    TSPK_TRY(insert(m, add + 5, TSPK_OP_MERGE, at.name, in, m->sizes == TSPK_ID_NONE ? 2 : 3,
                    TSPK_DTYPE_F32, &shape, NULL, &merged, err));
    replace_uses(graph, add + 6, stream, merged);
    m->axis[merged] = 1;
    m->sizes = sizes;
    m->logs = logs;
    return follow_all(m, add + 5, tokens, err);
}

/* A mean over tokens becomes Σ size x / tokens before. */
static tspk_status weigh_mean(merger *m, tspk_node_id id, tspk_error *err)
{
    tspk_graph *const graph = m->graph;
    const tspk_value_id x = graph->node[id].in[0], out = graph->node[id].out[0];
    const tspk_shape shape = graph->value[x].shape;
    const int64_t left_out = graph->value[m->sizes].shape.dim[1] - shape.dim[1];
    const tspk_attr part = {.starts = {0, left_out}, .steps = {1, 1, 1}};
    const char *const name = graph->node[id].name;
    tspk_value_id in[2] = {x, m->sizes}, weighed, summed, factor;
    float *const share = tspk_arena_array(graph->arena, 1, sizeof *share);
    const tspk_tensor one = {TSPK_DTYPE_F32, {.rank = 0}, share};
    tspk_attr attr;

    if (!share)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph");
    *share = 1.0f / (float)(m->tokens_before - left_out);
    if (left_out) {
        TSPK_TRY(insert(m, id++, TSPK_OP_SLICE, name, &m->sizes, 1, TSPK_DTYPE_F32,
                        &(tspk_shape){3, {1, shape.dim[1], 1}}, &part, &in[1], err));
    }
    TSPK_TRY(
        insert(m, id++, TSPK_OP_MUL, name, in, 2, TSPK_DTYPE_F32, &shape, NULL, &weighed, err));
    attr = graph->node[id].attr;
    TSPK_TRY(insert(m, id++, TSPK_OP_REDUCE_SUM, name, &weighed, 1, TSPK_DTYPE_F32,
                    &graph->value[out].shape, &attr, &summed, err));
    TSPK_TRY(tspk_graph_add_constant(graph, "", &one, &factor, err));
    graph->node[id].op = TSPK_OP_MUL;
    graph->node[id].in = tspk_arena_array(graph->arena, 2, sizeof *graph->node[id].in);
    if (!graph->node[id].in)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph");
    graph->node[id].in[0] = summed;
    graph->node[id].in[1] = factor;
    graph->node[id].n_in = 2;
    return TSPK_OK;
}

static tspk_status weigh_means(merger *m, tspk_error *err)
{
    for (tspk_node_id n = 0; n < m->graph->n_nodes; n++) {
        const tspk_node *const node = &m->graph->node[n];

        if (node->op == TSPK_OP_REDUCE_MEAN && axis_of(m, node->in[0]) != NO_AXIS)
            TSPK_TRY(tspk_at_node(err, weigh_mean(m, n, err), node->name, "ReduceMean"));
    }
    return TSPK_OK;
}

static tspk_status merge_all(merger *m, const tspk_merging *merging, tspk_error *err)
{
    uint32_t index = 0;

    for (tspk_node_id n = 0; n < m->graph->n_nodes; n++) {
        const tspk_node *const node = &m->graph->node[n];

        if (node->op != TSPK_OP_ATTENTION)
            continue;
        if (!index)
            m->tokens_before = (int64_t)tspk_shape_rows(&m->graph->value[node->in[1]].shape);
        if (merging->n_pairs[index])
            TSPK_TRY(tspk_at_node(err, merge_after(m, n, merging->n_pairs[index], err), node->name,
                                  "Attention"));
        index++;
    }
    return m->sizes == TSPK_ID_NONE ? TSPK_OK : weigh_means(m, err);
}

tspk_status tspk_merge_tokens(tspk_graph *graph, const tspk_merging *merging,
                              tspk_node_id *moved_to_out, tspk_error *err)
{
    merger m = {.graph = graph,
                .n_special = merging->n_special,
                .n_nodes_before = graph->n_nodes,
                .n_axes = graph->n_values + 8 * (merging->n_attentions + graph->n_nodes),
                .sizes = TSPK_ID_NONE,
                .logs = TSPK_ID_NONE};
    tspk_status status = TSPK_OK;

    if (merging->n_attentions != tspk_graph_count_attentions(graph))
        return TSPK_FAIL(err, TSPK_RANGE, "merges after %u attentions, the graph has %u",
                         merging->n_attentions, tspk_graph_count_attentions(graph));
    m.axis = malloc(m.n_axes + 1);
    m.moved_to = malloc(((size_t)graph->n_nodes + 1) * sizeof *m.moved_to);
    if (!m.axis || !m.moved_to)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to merge tokens");
    for (uint32_t i = 0; m.axis && i < m.n_axes; i++)
        m.axis[i] = NO_AXIS;
    for (uint32_t i = 0; m.moved_to && i < m.n_nodes_before; i++)
        m.moved_to[i] = i;
    if (status == TSPK_OK)
        status = merge_all(&m, merging, err);
    for (uint32_t i = 0; status == TSPK_OK && moved_to_out && i < m.n_nodes_before; i++)
        moved_to_out[i] = m.moved_to[i];
    free(m.axis);
    free(m.moved_to);
    return tspk_in_stage(err, status, "merge");
}
