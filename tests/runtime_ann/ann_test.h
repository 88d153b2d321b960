/* SPDX-License-Identifier: Apache-2.0 */
/* Shared by the tests of runtime/ann: tensors on the heap, one node evaluated, random numbers. */
#ifndef TSPK_TESTS_ANN_TEST_H
#define TSPK_TESTS_ANN_TEST_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/graph.h"
#include "core/rng.h"
#include "runtime/ann/op_eval.h"

#define SHAPE(...)                                                                                 \
    shape_of((const int64_t[]){__VA_ARGS__}, sizeof((const int64_t[]){__VA_ARGS__}) / 8)
#define SCALAR ((tspk_shape){0})

/** The seed of random tests: TSPK_TEST_SEED or 1; printed. */
uint64_t test_seed(void);

tspk_shape shape_of(const int64_t *dim, size_t rank);

/** Tensors own their memory; `values` NULL: zeros. */
tspk_tensor tensor_f32(tspk_shape shape, const float *values);
tspk_tensor tensor_i64(tspk_shape shape, const int64_t *values);
tspk_tensor tensor_bool(tspk_shape shape, const uint8_t *values);
tspk_tensor tensor_random(tspk_shape shape, tspk_rng *rng); /* float32 in [-2, 2) */
void tensor_free(tspk_tensor *tensor);

float random_float(tspk_rng *rng, float least, float most);

/**
 * Verifies and evaluates one node. All inputs count as constants; an absent one has data == NULL.
 * @param out  dtype and shape are set by the caller; memory is made here
 */
tspk_status eval_node(tspk_op op, const tspk_attr *attr, uint32_t n_in, const tspk_tensor *in,
                      tspk_tensor *out, tspk_error *err);

/** The same, must succeed; frees the inputs. */
tspk_tensor eval_ok(tspk_op op, const tspk_attr *attr, uint32_t n_in, tspk_tensor *in,
                    tspk_dtype dtype, tspk_shape shape);

/** Must fail with `status`; frees the inputs. */
void eval_fails(tspk_op op, const tspk_attr *attr, uint32_t n_in, tspk_tensor *in, tspk_dtype dtype,
                tspk_shape shape, tspk_status status);

/** Compare and free `found`. */
void expect_f32(tspk_tensor found, const float *expected, float tolerance);
void expect_i64(tspk_tensor found, const int64_t *expected);
void expect_bool(tspk_tensor found, const uint8_t *expected);

#endif
