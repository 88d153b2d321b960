/* SPDX-License-Identifier: Apache-2.0 */
/* Values that stand for another one, resolved while a pass walks the nodes in order. */
#ifndef TSPK_CONVERT_ALIAS_H
#define TSPK_CONVERT_ALIAS_H

#include "core/graph.h"

typedef struct tspk_aliases {
    tspk_value_id *of; /* [n_values] the value to read instead; itself where there is none */
    bool *is_output;   /* [n_values] graph outputs, which keep their producer and their name */
} tspk_aliases;

tspk_status tspk_aliases_new(const tspk_graph *graph, tspk_arena *scratch,
                             tspk_aliases *aliases_out, tspk_error *err);

/** Makes a node read what its inputs stand for. */
void tspk_aliases_apply(const tspk_aliases *aliases, tspk_node *node);

/** Kills node `id` and lets its readers read `in` instead; false (and nothing done) when its output
 * is a graph output, or when the liveness pass left out other rows of it than of `in`. */
bool tspk_aliases_bypass(tspk_aliases *aliases, tspk_graph *graph, tspk_node_id id,
                         tspk_value_id in);

#endif
