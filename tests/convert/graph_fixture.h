/* SPDX-License-Identifier: Apache-2.0 */
/* Graphs built by hand for tests of the passes: build, run, rewrite, run again, compare. */
#ifndef TSPK_TESTS_GRAPH_FIXTURE_H
#define TSPK_TESTS_GRAPH_FIXTURE_H

#include "convert/passes.h"
#include "core/graph.h"
#include "core/rng.h"

#define DIMS(...)                                                                                  \
    ((tspk_shape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dim = {__VA_ARGS__}})

typedef struct fixture {
    tspk_graph *graph;
    tspk_rng rng;
} fixture;

/** A new graph; the seed of its random numbers is printed. Every call below fails the test instead
 * of returning an error. */
fixture fixture_new(uint64_t seed);
void fixture_free(fixture *f);

tspk_value_id fixture_input(fixture *f, tspk_shape shape);
/** Constants: normal numbers about 0 times `scale`; one value in a shape; integers. */
tspk_value_id fixture_random(fixture *f, const char *name, tspk_shape shape, double scale);
tspk_value_id fixture_filled(fixture *f, tspk_shape shape, double value);
tspk_value_id fixture_scalar(fixture *f, double value);
tspk_value_id fixture_indices(fixture *f, tspk_shape shape, const int64_t *index);

/** A node with up to three inputs (TSPK_ID_NONE: fewer) and an output of this shape. */
tspk_value_id fixture_node(fixture *f, tspk_op op, tspk_value_id a, tspk_value_id b,
                           tspk_value_id c, tspk_shape shape, tspk_attr attr);
tspk_value_id fixture_unary(fixture *f, tspk_op op, tspk_value_id x);
/** Both of one shape, or one that broadcasts to the other. */
tspk_value_id fixture_binary(fixture *f, tspk_op op, tspk_value_id a, tspk_value_id b);
tspk_value_id fixture_reshape(fixture *f, tspk_value_id x, tspk_shape shape);
tspk_value_id fixture_transpose(fixture *f, tspk_value_id x, const int64_t *axes);
/** One axis; the others whole. */
tspk_value_id fixture_slice(fixture *f, tspk_value_id x, int64_t axis, int64_t start, int64_t n);
tspk_value_id fixture_matmul(fixture *f, tspk_value_id a, tspk_value_id b);
tspk_value_id fixture_mean(fixture *f, tspk_value_id x, int64_t axis);
tspk_value_id fixture_softmax(fixture *f, tspk_value_id x);
tspk_value_id fixture_layer_norm(fixture *f, tspk_value_id x);
/** MatMul with a random [in, out] and Add of a random bias; "" names nothing. */
tspk_value_id fixture_linear(fixture *f, const char *layer, tspk_value_id x, int64_t n_out);
void fixture_output(fixture *f, tspk_value_id x);

/** Live nodes of an operator. */
size_t fixture_count(const fixture *f, tspk_op op);
/** The n-th node of an operator, from 0. */
const tspk_node *fixture_find(const fixture *f, tspk_op op, size_t n);

/** Runs `pass` to its fixpoint (NULL: all passes) between two runs on one random input and compares
 * the outputs: largest difference over largest output ≤ tolerance. Returns the number of changes.
 */
size_t fixture_check(fixture *f, tspk_pass_fn pass, double tolerance);

#endif
