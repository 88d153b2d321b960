/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/flow.h"

#include "convert/passes.h"
#include "core/fail.h"

static bool is_product(tspk_op op)
{
    return op == TSPK_OP_LINEAR || op == TSPK_OP_CONV || op == TSPK_OP_MATMUL ||
           op == TSPK_OP_ATTENTION;
}

/* The first weight product of the image, and every Conv that follows Convs, is stem. */
static void mark_stem(const tspk_graph *graph, bool *has_product, bool *is_driven, bool *is_stem)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];
        bool follows = false, driven = false;

        if (node->is_dead)
            continue;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE) {
                follows = follows || has_product[node->in[i]];
                driven = driven || is_driven[node->in[i]];
            }
        driven = driven || node->op == TSPK_OP_ATTENTION || node->op == TSPK_OP_MATMUL ||
                 (node->op == TSPK_OP_LINEAR && follows);
        is_stem[n] = !driven;
        is_driven[node->out[0]] = driven;
        has_product[node->out[0]] = follows || is_product(node->op);
    }
}

static void mark_head(const tspk_graph *graph, bool *is_near_output, const bool *is_stem,
                      bool *is_head)
{
    const uint32_t chosen = tspk_find_class_output(graph);

    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_near_output[graph->output[i]] = chosen == UINT32_MAX || chosen == i;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tspk_node *node = &graph->node[n];

        if (node->is_dead || !is_near_output[node->out[0]])
            continue;
        if (node->op == TSPK_OP_LINEAR)
            is_head[n] = !is_stem[n];
        if (is_product(node->op) || node->op == TSPK_OP_LAYER_NORM || node->op == TSPK_OP_RMS_NORM)
            continue;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                is_near_output[node->in[i]] = true;
    }
}

tspk_status tspk_find_flow(const tspk_graph *graph, tspk_arena *arena, tspk_flow *flow_out,
                           tspk_error *err)
{
    tspk_flow flow = {tspk_arena_array(arena, graph->n_nodes + 1, sizeof(bool)),
                      tspk_arena_array(arena, graph->n_nodes + 1, sizeof(bool))};
    bool *const has_product = tspk_arena_array(arena, graph->n_values + 1, sizeof(bool));
    bool *const is_driven = tspk_arena_array(arena, graph->n_values + 1, sizeof(bool));
    bool *const is_near_output = tspk_arena_array(arena, graph->n_values + 1, sizeof(bool));

    if (!flow.is_stem || !flow.is_head || !has_product || !is_driven || !is_near_output)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u nodes", graph->n_nodes);
    mark_stem(graph, has_product, is_driven, flow.is_stem);
    mark_head(graph, is_near_output, flow.is_stem, flow.is_head);
    *flow_out = flow;
    return TSPK_OK;
}

/* Multiply-accumulates of one node; 0 when it is no product. */
static uint64_t node_cost(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_shape *y = &graph->value[node->out[0]].shape;
    const tspk_shape *x = &graph->value[node->in[0]].shape;

    switch (node->op) {
    case TSPK_OP_LINEAR:
    case TSPK_OP_MATMUL:
        return (uint64_t)tspk_shape_elems(y) * tspk_shape_last(x);
    case TSPK_OP_CONV: {
        const tspk_shape *w = &graph->value[node->in[1]].shape;

        return (uint64_t)tspk_shape_elems(y) * (uint64_t)(w->dim[1] * w->dim[2] * w->dim[3]);
    }
    case TSPK_OP_ATTENTION:
        return (uint64_t)tspk_shape_rows(y) * tspk_shape_rows(&graph->value[node->in[1]].shape) *
               (tspk_shape_last(x) + tspk_shape_last(y));
    default:
        return 0;
    }
}

tspk_status tspk_count_cost(const tspk_graph *graph, tspk_arena *scratch, tspk_ann_cost *cost_out,
                            tspk_error *err)
{
    tspk_ann_cost cost = {0};
    tspk_flow flow;

    TSPK_TRY(tspk_find_flow(graph, scratch, &flow, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];
        const uint64_t n_mac = node->is_dead ? 0 : node_cost(graph, node) / (uint64_t)graph->batch;

        if (flow.is_stem[n])
            cost.stem += n_mac;
        else if (flow.is_head[n])
            cost.head += n_mac;
        else if (node->op == TSPK_OP_ATTENTION || node->op == TSPK_OP_MATMUL)
            cost.product += n_mac;
        else
            cost.linear += n_mac;
    }
    *cost_out = cost;
    return TSPK_OK;
}
