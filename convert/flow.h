/* SPDX-License-Identifier: Apache-2.0 */
/* Where products stand in a canonical graph: before every spike, in the blocks, or at the output.
 */
#ifndef TSPK_CONVERT_FLOW_H
#define TSPK_CONVERT_FLOW_H

#include "core/graph.h"
#include "core/spikegraph.h"

typedef struct tspk_flow {
    bool *is_stem; /* [n_nodes] no spike-driven product upstream, and none itself */
    bool *is_head; /* [n_nodes] Linear with no other product between it and an output */
} tspk_flow;

/** Arrays come from `arena`. @errors NOMEM */
tspk_status tspk_find_flow(const tspk_graph *graph, tspk_arena *arena, tspk_flow *flow_out,
                           tspk_error *err);

/** Multiply-accumulates of one image, by where they stand. @errors NOMEM */
tspk_status tspk_count_cost(const tspk_graph *graph, tspk_arena *scratch, tspk_ann_cost *cost_out,
                            tspk_error *err);

#endif
