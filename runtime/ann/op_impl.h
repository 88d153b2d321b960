/* SPDX-License-Identifier: Apache-2.0 */
/* The operators behind tspk_op_eval(), one function a family member; op_eval.c holds the table. */
#ifndef TSPK_RUNTIME_ANN_OP_IMPL_H
#define TSPK_RUNTIME_ANN_OP_IMPL_H

#include "runtime/ann/op_eval.h"

/* What an operator may use beside its operands. */
typedef struct tspk_op_tools {
    const tspk_vecmath *math;
    int threads;         /* for the loops of the operator; results do not depend on it */
    void *scratch;       /* [threads, scratch_bytes] */
    size_t scratch_bytes;
} tspk_op_tools;

/** Contract of tspk_op_eval(); node, operand count and shapes were verified before. */
typedef tspk_status (*tspk_op_fn)(const tspk_node *node, const tspk_tensor *in, tspk_tensor *out,
                                  const tspk_op_tools *tools, tspk_error *err);

/** Bytes of scratch for these operands (only dtype and shape of the views are read). */
typedef size_t (*tspk_op_scratch_fn)(const tspk_node *node, const tspk_tensor *in,
                                     const tspk_tensor *out);

/* Less work than this in a loop is not worth a second thread [elements that cost a few cycles]. */
#define TSPK_PARALLEL_ELEMS ((size_t)1 << 15)

/** "Sqrt of int64 elements is not supported" [UNSUPPORTED] */
tspk_status tspk_op_refuse_dtype(const tspk_node *node, tspk_dtype dtype, tspk_error *err);

#define TSPK_OP_FN(name)                                                                           \
    tspk_status name(const tspk_node *node, const tspk_tensor *in, tspk_tensor *out,               \
                     const tspk_op_tools *tools, tspk_error *err)
#define TSPK_OP_SCRATCH_FN(name)                                                                   \
    size_t name(const tspk_node *node, const tspk_tensor *in, const tspk_tensor *out)

TSPK_OP_FN(tspk_eval_unary);
TSPK_OP_FN(tspk_eval_cast);
TSPK_OP_FN(tspk_eval_binary);
TSPK_OP_FN(tspk_eval_where);

TSPK_OP_FN(tspk_eval_copy); /* Identity, Reshape */
TSPK_OP_FN(tspk_eval_transpose);
TSPK_OP_FN(tspk_eval_slice);
TSPK_OP_FN(tspk_eval_concat);
TSPK_OP_FN(tspk_eval_gather);
TSPK_OP_FN(tspk_eval_expand);
TSPK_OP_FN(tspk_eval_tile);
TSPK_OP_FN(tspk_eval_pad);

TSPK_OP_FN(tspk_eval_reduce);
TSPK_OP_FN(tspk_eval_arg_max);
TSPK_OP_FN(tspk_eval_resize);
TSPK_OP_SCRATCH_FN(tspk_scratch_resize);

TSPK_OP_FN(tspk_eval_softmax);
TSPK_OP_FN(tspk_eval_layer_norm);
TSPK_OP_FN(tspk_eval_rms_norm);

TSPK_OP_FN(tspk_eval_matmul);
TSPK_OP_FN(tspk_eval_linear);
TSPK_OP_SCRATCH_FN(tspk_scratch_linear);
TSPK_OP_FN(tspk_eval_conv);
TSPK_OP_SCRATCH_FN(tspk_scratch_conv);
TSPK_OP_FN(tspk_eval_attention);
TSPK_OP_SCRATCH_FN(tspk_scratch_attention);

TSPK_OP_FN(tspk_eval_merge_map);
TSPK_OP_SCRATCH_FN(tspk_scratch_merge_map);
TSPK_OP_FN(tspk_eval_merge_sizes);
TSPK_OP_FN(tspk_eval_merge);

#endif
