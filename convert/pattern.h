/* SPDX-License-Identifier: Apache-2.0 */
/* What recognition passes share: who reads a value, constant scalars, and rewriting in place. */
#ifndef TSPK_CONVERT_PATTERN_H
#define TSPK_CONVERT_PATTERN_H

#include "core/graph.h"

/* Half-precision exports carry rounded constants: 0.3535 for 0.35355, 1.4141 for the root of 2. */
#define TSPK_CONSTANT_TOLERANCE 1e-3

/** Readers of every value, as they were when the table was made. */
typedef struct tspk_uses {
    uint32_t *count;    /* [n_values] node inputs and graph outputs */
    tspk_node_id *user; /* [n_values] last node that reads it, TSPK_ID_NONE when only outputs do */
    uint32_t n_values;
} tspk_uses;

tspk_status tspk_uses_find(const tspk_graph *graph, tspk_arena *scratch, tspk_uses *uses_out,
                           tspk_error *err);

/** The node that alone reads `id`, once, and is alive; else TSPK_ID_NONE. */
tspk_node_id tspk_only_user(const tspk_graph *graph, const tspk_uses *uses, tspk_value_id id);

/** The live node that computes `id`, NULL for constants, inputs and TSPK_ID_NONE. */
const tspk_node *tspk_producer(const tspk_graph *graph, tspk_value_id id);

/** The producer of `id` when it is an `op`, else NULL. */
const tspk_node *tspk_producer_is(const tspk_graph *graph, tspk_value_id id, tspk_op op);

/** A constant whose elements are all equal (one element or a spread scalar), as double. */
bool tspk_is_uniform(const tspk_graph *graph, tspk_value_id id, double *value_out);

/** Whether the two agree within TSPK_CONSTANT_TOLERANCE, relatively. */
bool tspk_is_near(double found, double expected);

/**
 * An ADD, MUL (either order), SUB, DIV or POW of a value and a uniform constant that keeps the
 * value's shape. For SUB, DIV and POW the constant is the right operand.
 */
bool tspk_match_scalar(const tspk_graph *graph, const tspk_node *node, tspk_value_id *x_out,
                       double *scalar_out);

/** A product with a uniform constant: MUL, DIV by it, or NEG. */
bool tspk_match_factor(const tspk_graph *graph, const tspk_node *node, tspk_value_id *x_out,
                       double *factor_out);

/** The other operand of a binary node, TSPK_ID_NONE when neither is `id`. */
tspk_value_id tspk_other_operand(const tspk_node *node, tspk_value_id id);

/** A constant float32 value of this shape, zeroed; *data_out is writable until it is used. */
tspk_status tspk_new_floats(tspk_graph *graph, const char *name, const tspk_shape *shape,
                            tspk_value_id *id_out, float **data_out, tspk_error *err);

/** Turns `id` into another operator that computes the same output; inputs are copied. */
tspk_status tspk_rewrite_node(tspk_graph *graph, tspk_node_id id, tspk_op op,
                              const tspk_value_id *in, uint32_t n_in, const tspk_attr *attr,
                              tspk_error *err);

/** Inserts a node with a new output of this shape before `*at`, which moves on by one. `out` may be
 * `in`. */
tspk_status tspk_emit_node(tspk_graph *graph, tspk_node_id *at, tspk_op op, const char *name,
                           const tspk_value_id *in, uint32_t n_in, const tspk_shape *shape,
                           const tspk_attr *attr, tspk_value_id *out, tspk_error *err);

#endif
