/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A softmax written out becomes Softmax.
 *
 *   x ─┬▶ Sub ─▶ Exp ─┬──────────▶ Div ─▶ A      →      x ─▶ Softmax ─▶ A
 *      └▶ Max ─▶┘     └▶ Sum ─────▶┘
 *
 * Over the last axis, with or without the maximum taken off first. Exact but for rounding; without
 * the maximum the original overflows for logits above 88, Softmax does not.
 */
#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

/* `id` = reduction of `of` over its last axis, kept. */
static bool reduces_last(const tspk_graph *graph, tspk_value_id id, tspk_op op, tspk_value_id of)
{
    const tspk_node *node = tspk_producer_is(graph, id, op);
    const int rank = graph->value[of].shape.rank;

    return node && node->in[0] == of && node->attr.n_axes == 1 && node->attr.axes[0] == rank - 1 &&
           graph->value[id].shape.rank == rank;
}

/* The logits of exp(x) or exp(x - max(x)). */
static tspk_value_id find_logits(const tspk_graph *graph, tspk_value_id numerators)
{
    const tspk_node *exponential = tspk_producer_is(graph, numerators, TSPK_OP_EXP);
    const tspk_node *difference;

    if (!exponential)
        return TSPK_ID_NONE;
    difference = tspk_producer_is(graph, exponential->in[0], TSPK_OP_SUB);
    if (difference && reduces_last(graph, difference->in[1], TSPK_OP_REDUCE_MAX, difference->in[0]))
        return difference->in[0];
    return exponential->in[0];
}

tspk_status tspk_pass_fuse_softmax(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err)
{
    (void)scratch;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];

        if (node->is_dead || node->op != TSPK_OP_DIV ||
            !reduces_last(graph, node->in[1], TSPK_OP_REDUCE_SUM, node->in[0]))
            continue;
        const tspk_value_id x = find_logits(graph, node->in[0]);

        if (x == TSPK_ID_NONE || graph->value[x].shape.rank < 1)
            continue;
        const tspk_attr attr = {.axis = graph->value[x].shape.rank - 1};

        TSPK_TRY(tspk_rewrite_node(graph, n, TSPK_OP_SOFTMAX, &x, 1, &attr, err));
        (*changes)++;
    }
    return TSPK_OK;
}
