/* SPDX-License-Identifier: Apache-2.0 */
/* One operator on dense tensors, in float (int64 and bool where the operator has them). The
 * importer folds constants with it, the float executor and calibration run the network with it. */
#ifndef TSPK_RUNTIME_ANN_OP_EVAL_H
#define TSPK_RUNTIME_ANN_OP_EVAL_H

#include "core/graph.h"
#include "core/vecmath.h"

/** Bytes of scratch that tspk_op_eval() needs for a node of these shapes, a multiple of 64, SIZE_MAX
 * when there is no such number; 0 for most. */
size_t tspk_op_scratch_bytes(const tspk_graph *graph, const tspk_node *node);

/**
 * Evaluates a verified node with the best vector functions of this machine. Single-threaded;
 * allocates nothing.
 * @param in      [node->n_in] views; an absent optional input has data == NULL
 * @param out     [node->n_out] views with memory; overlaps no input, but may be the only input of an
 *                elementwise operator
 * @param scratch tspk_op_scratch_bytes() bytes, 64-byte aligned
 * @errors UNSUPPORTED (dtype that the operator lacks), RANGE (integer division by zero, index out
 * of range); float arithmetic never fails
 */
tspk_status tspk_op_eval(const tspk_node *node, const tspk_tensor *in, tspk_tensor *out,
                         void *scratch, tspk_error *err);

/** The same with the vector functions of a chosen instruction set. */
tspk_status tspk_op_eval_with(const tspk_vecmath *math, const tspk_node *node,
                              const tspk_tensor *in, tspk_tensor *out, void *scratch,
                              tspk_error *err);

/**
 * tspk_op_eval() with the work of the node spread over threads; the bytes are the same.
 * @param scratch       [threads, scratch_bytes]
 * @param scratch_bytes at least tspk_op_scratch_bytes(), a multiple of 64
 */
tspk_status tspk_op_eval_threaded(int threads, const tspk_node *node, const tspk_tensor *in,
                                  tspk_tensor *out, void *scratch, size_t scratch_bytes,
                                  tspk_error *err);

#endif
