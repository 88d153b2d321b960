/* SPDX-License-Identifier: Apache-2.0 */
/* Where each value of a graph lives while the graph runs: offsets in one block of memory, shared by
 * values whose lifetimes do not meet. */
#ifndef TSPK_RUNTIME_ANN_PLAN_H
#define TSPK_RUNTIME_ANN_PLAN_H

#include "core/arena.h"
#include "core/graph.h"

typedef struct tspk_ann_plan {
    /* [n_values] value whose elements this one shows: itself, or, behind Reshape and Identity, the
     * value at their beginning */
    tspk_value_id *root;
    size_t *offset; /* [n_values] of a root that a node computes [bytes]; SIZE_MAX for all others */
    size_t bytes;   /* of the block, a multiple of TSPK_ALIGN_BYTES */
} tspk_ann_plan;

/**
 * Plans a verified graph. Dead nodes and values that nothing computes take no memory; graph outputs
 * live to the end.
 * @param arena   holds the arrays of the plan
 * @errors NOMEM
 */
tspk_status tspk_ann_plan_make(const tspk_graph *graph, tspk_arena *arena, tspk_ann_plan *plan_out,
                               tspk_error *err);

#endif
