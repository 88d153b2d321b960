/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_CORE_GRAPH_VERIFY_OP_H
#define TSPK_CORE_GRAPH_VERIFY_OP_H

#include "core/graph.h"

/** Checks one node whose ids and values are in range: shapes, element types, attributes, constant
 * indices. Part of tspk_graph_verify(). */
tspk_status tspk_graph_verify_operator(const tspk_graph *graph, const tspk_node *node,
                                       tspk_error *err);

#endif
