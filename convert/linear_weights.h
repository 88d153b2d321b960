/* SPDX-License-Identifier: Apache-2.0 */
/* Linear nodes that compute some outputs of another one. */
#ifndef TSPK_CONVERT_LINEAR_WEIGHTS_H
#define TSPK_CONVERT_LINEAR_WEIGHTS_H

#include "core/graph.h"

/**
 * Inserts before `*at` (which moves on) a Linear with the outputs `column` of the Linear `id`,
 * which stands before it. It reads the same rows of the same input; its constants keep their names.
 * @param column  [n_columns] outputs of the old node, in the new order
 * @param out     value of the shape of the old output with n_columns on the last axis
 */
tspk_status tspk_emit_linear_part(tspk_graph *graph, tspk_node_id *at, tspk_node_id id,
                                  const int64_t *column, size_t n_columns, tspk_value_id *out,
                                  tspk_error *err);

#endif
