/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where elements come from. A chain of movement operators (Reshape, Transpose, Slice, constant
 * Gather, Expand …) is executed on the positions of its source instead of on its elements; the
 * result says for every element which one of the source it is. What the chain is spelled like does
 * not matter then.
 */
#ifndef TSPK_CONVERT_TRACE_H
#define TSPK_CONVERT_TRACE_H

#include "core/graph.h"

/** Each takes two positions of 8 bytes, whatever the file's size is. */
#define TSPK_MAX_TRACED_ELEMS ((size_t)1 << 27)

typedef struct tspk_trace {
    tspk_value_id root;   /* the first value back that is not moved only */
    double factor;        /* product of the constant scalars met on the way */
    uint32_t n_steps;     /* nodes passed, scalar ones included */
    const int64_t *index; /* [elements of the traced value] flat position in root */
} tspk_trace;

/** Whether the node only moves elements of in[0], in a way known now (Gather: constant index). */
bool tspk_is_mover(const tspk_graph *graph, const tspk_node *node);

/**
 * Traces `id` back. With scalars, products with constant scalars are passed too and multiplied up.
 * @param scratch holds the positions
 * @errors LIMIT (a value on the way has more than TSPK_MAX_TRACED_ELEMS), NOMEM
 */
tspk_status tspk_trace_back(const tspk_graph *graph, tspk_value_id id, bool with_scalars,
                            tspk_arena *scratch, tspk_trace *trace_out, tspk_error *err);

/** Runs one mover on int64 elements: [elements of in[0]] to [elements of out[0]] in `buffer`, or in
 * `from` itself when nothing moves. */
tspk_status tspk_move_labels(const tspk_graph *graph, const tspk_node *node, const int64_t *from,
                             int64_t *buffer, tspk_arena *scratch, const int64_t **to_out,
                             tspk_error *err);

#endif
