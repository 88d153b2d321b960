/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One ONNX node as an operator's import function sees it, and the table of those functions.
 *
 * An import function reads attributes (each one that it does not read is refused afterwards),
 * checks dtypes and shapes, emits nodes of core/op.h with static shapes, and sets results[]. What
 * depends on constants alone is folded while it is emitted.
 */
#ifndef TSPK_CONVERT_ONNX_OPS_H
#define TSPK_CONVERT_ONNX_OPS_H

#include "convert/onnx_importer.h"

struct tspk_onnx_op;

typedef struct tspk_onnx_call {
    tspk_onnx_importer *importer;
    tspk_onnx_scope *scope;
    const struct tspk_onnx_op *op;
    const onnx_node *proto;
    const char *name; /* of the node, or made up from its first output */
    int64_t opset;    /* of the operator's domain */
    size_t n_in;
    tspk_value_id *in;           /* [n_in] TSPK_ID_NONE where absent */
    int *in_type;                /* [n_in] element types in the file's terms, 0: not known */
    const onnx_attribute **attr; /* [n_attrs] */
    bool *is_attr_read;          /* [n_attrs] */
    size_t n_attrs;
    tspk_value_id *results; /* [proto->n_output] out; TSPK_ID_NONE: not computed */
    int *result_type;       /* [proto->n_output] out; 0: as the operator's row says */
} tspk_onnx_call;

typedef tspk_status (*tspk_onnx_op_fn)(tspk_onnx_call *call, tspk_error *err);

/** One form of an operator. An operator whose inputs or attributes changed has several rows. */
typedef struct tspk_onnx_op {
    const char *domain; /* "" is ai.onnx */
    const char *name;
    int32_t since, until;     /* opset versions of the domain, inclusive */
    uint16_t n_least, n_most; /* inputs */
    tspk_onnx_op_fn import;
    tspk_op core;      /* what `import` makes of it, where one function serves several operators */
    const char *types; /* of inputs and results, see onnx_types.c */
} tspk_onnx_op;

/**
 * The row that serves `name` at `opset`; NULL when there is none.
 * @param nearest_out a row of the same operator for other opsets, or NULL; for the refusal
 */
const tspk_onnx_op *tspk_onnx_find_op(const char *domain, const char *name, int64_t opset,
                                      const tspk_onnx_op **nearest_out);

/** All rows; *n_out of them. */
const tspk_onnx_op *tspk_onnx_ops(size_t *n_out);

/** What would help with an operator that is not supported; static text. */
const char *tspk_onnx_op_advice(const char *domain, const char *name);

/* --- attributes: FORMAT when the type is another one, or a required one is missing --- */

/** The attribute of that name, NULL when the node does not have it; marks it as read. */
const onnx_attribute *tspk_onnx_attr(tspk_onnx_call *call, const char *name);
tspk_status tspk_onnx_attr_int(tspk_onnx_call *call, const char *name, int64_t otherwise,
                               int64_t *value_out, tspk_error *err);
tspk_status tspk_onnx_attr_float(tspk_onnx_call *call, const char *name, float otherwise,
                                 float *value_out, tspk_error *err);

/** *values_out is borrowed, NULL when absent; *n_out entries. */
tspk_status tspk_onnx_attr_ints(tspk_onnx_call *call, const char *name, const int64_t **values_out,
                                size_t *n_out, tspk_error *err);
tspk_status tspk_onnx_attr_floats(tspk_onnx_call *call, const char *name, const float **values_out,
                                  size_t *n_out, tspk_error *err);

/** Text of at most size - 1 bytes, "" when absent. @errors LIMIT when longer */
tspk_status tspk_onnx_attr_text(tspk_onnx_call *call, const char *name, char *buf, size_t size,
                                tspk_error *err);

/* --- onnx_types.c: element types --- */

/** Checks the inputs against the row. @errors UNSUPPORTED (a type that the operator does not take),
 * SHAPE (types that differ) */
tspk_status tspk_onnx_check_types(const tspk_onnx_call *call, tspk_error *err);

/** Fills result_type where the import function left it 0, and wraps narrow integers. */
tspk_status tspk_onnx_type_results(tspk_onnx_call *call, tspk_error *err);

/** Whether an element type is a float of any width. */
bool tspk_onnx_is_float(int64_t onnx_type);

/* --- inputs --- */

static inline bool tspk_onnx_has_in(const tspk_onnx_call *call, size_t i)
{
    return i < call->n_in && call->in[i] != TSPK_ID_NONE;
}

/** Borrowed until the next value is added. */
const tspk_value *tspk_onnx_value(const tspk_onnx_call *call, tspk_value_id id);
static inline const tspk_value *tspk_onnx_in(const tspk_onnx_call *call, size_t i)
{
    return tspk_onnx_value(call, call->in[i]);
}
bool tspk_onnx_is_constant(const tspk_onnx_call *call, tspk_value_id id);

/** Required input i is there. @errors FORMAT */
tspk_status tspk_onnx_need_in(const tspk_onnx_call *call, size_t n, tspk_error *err);

/** Value `id` has that dtype. @errors SHAPE, naming operator and types */
tspk_status tspk_onnx_need_dtype(const tspk_onnx_call *call, tspk_value_id id, tspk_dtype dtype,
                                 tspk_error *err);

/** Elements of a constant int64 input of rank 0 or 1, borrowed; *n_out of them.
 * @errors UNSUPPORTED when it is not constant (`what` says what it is: "shape") */
tspk_status tspk_onnx_const_ints(const tspk_onnx_call *call, size_t i, const char *what,
                                 const int64_t **values_out, size_t *n_out, tspk_error *err);

/** The one element of a constant float or integer input. @errors UNSUPPORTED, FORMAT */
tspk_status tspk_onnx_const_scalar(const tspk_onnx_call *call, size_t i, const char *what,
                                   double *value_out, tspk_error *err);

/** −rank … rank-1 to 0 … rank-1. @errors RANGE */
tspk_status tspk_onnx_axis(int64_t axis, size_t rank, size_t *axis_out, tspk_error *err);

/** A list of axes, normalised and ascending. @errors RANGE, FORMAT (one twice), SHAPE (too many) */
tspk_status tspk_onnx_axes(const int64_t *axes, size_t n, size_t rank, int64_t *axes_out,
                           tspk_error *err);

/** Axes from input i (opsets that moved them there) or from the attribute; *n_out 0 when absent. */
tspk_status tspk_onnx_axes_of(tspk_onnx_call *call, bool is_input, size_t i, size_t rank,
                              int64_t *axes_out, size_t *n_out, bool *is_given_out,
                              tspk_error *err);

/* --- shapes --- */

/** numpy broadcasting of two shapes. @errors SHAPE, with both */
tspk_status tspk_onnx_broadcast(const tspk_shape *a, const tspk_shape *b, tspk_shape *shape_out,
                                tspk_error *err);

/* --- emitting --- */

/** Elements of a shape. @errors LIMIT */
tspk_status tspk_onnx_elems(const tspk_shape *shape, size_t *n_out, tspk_error *err);

/**
 * Adds a node with one output, or a constant when every input is constant. Movement that moves
 * nothing (a Reshape to the same shape, an identity Transpose, a full Slice …) gives back its
 * input.
 * @param attr NULL: zeros
 * @errors LIMIT (result too large), NOMEM, and those of the evaluation
 */
tspk_status tspk_onnx_emit(tspk_onnx_call *call, tspk_op op, const tspk_value_id *in, uint32_t n_in,
                           tspk_dtype dtype, const tspk_shape *shape, const tspk_attr *attr,
                           tspk_value_id *out, tspk_error *err);

/** Unary and binary shorthands; the binary one broadcasts and checks that dtypes agree. */
tspk_status tspk_onnx_emit_unary(tspk_onnx_call *call, tspk_op op, tspk_value_id x,
                                 const tspk_attr *attr, tspk_value_id *out, tspk_error *err);
tspk_status tspk_onnx_emit_binary(tspk_onnx_call *call, tspk_op op, tspk_value_id a,
                                  tspk_value_id b, tspk_value_id *out, tspk_error *err);
tspk_status tspk_onnx_emit_reshape(tspk_onnx_call *call, tspk_value_id x, const tspk_shape *shape,
                                   tspk_value_id *out, tspk_error *err);
/** perm: [rank of x] */
tspk_status tspk_onnx_emit_transpose(tspk_onnx_call *call, tspk_value_id x, const int64_t *perm,
                                     tspk_value_id *out, tspk_error *err);
/** Swaps the last two axes. */
tspk_status tspk_onnx_emit_swap(tspk_onnx_call *call, tspk_value_id x, tspk_value_id *out,
                                tspk_error *err);
/** n elements of `axis` from `start` on. */
tspk_status tspk_onnx_emit_slice(tspk_onnx_call *call, tspk_value_id x, size_t axis, int64_t start,
                                 int64_t n, tspk_value_id *out, tspk_error *err);
/** numpy.matmul. @errors SHAPE */
tspk_status tspk_onnx_emit_matmul(tspk_onnx_call *call, tspk_value_id a, tspk_value_id b,
                                  tspk_value_id *out, tspk_error *err);
/** To F32, I64 or BOOL; nothing to do gives back x. */
tspk_status tspk_onnx_emit_cast(tspk_onnx_call *call, tspk_value_id x, int64_t onnx_type,
                                tspk_value_id *out, tspk_error *err);

/** Constants: memory for `shape` (zeroed), to be filled; or one F32 scalar (rank 0). */
tspk_status tspk_onnx_new_constant(tspk_onnx_call *call, tspk_dtype dtype, const tspk_shape *shape,
                                   void **data_out, tspk_value_id *id_out, tspk_error *err);
tspk_status tspk_onnx_scalar(tspk_onnx_call *call, float value, tspk_value_id *id_out,
                             tspk_error *err);

/* --- the operators, by file --- */

/* onnx_ops_elementwise.c */
tspk_status tspk_onnx_unary(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_unary_float(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_binary(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_compare(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_logical(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_variadic(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_pow(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_mod(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_mean(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_where(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_clip(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_cast(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_cast_like(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_hard_sigmoid(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_gelu(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_identity(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_dropout(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_shape.c */
tspk_status tspk_onnx_shape(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_size(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_reshape(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_flatten(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_squeeze(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_unsqueeze(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_transpose(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_expand(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_tile(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_index.c */
tspk_status tspk_onnx_concat(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_split(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_slice_attrs(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_slice(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_gather(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_pad.c, onnx_ops_resize.c */
tspk_status tspk_onnx_pad(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_resize(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_constant.c */
tspk_status tspk_onnx_constant(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_constant_of_shape(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_range(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_if(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_reduce.c */
tspk_status tspk_onnx_reduce_attrs(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_reduce(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_arg_max(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_global_average(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_softmax_flat(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_softmax(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_product.c */
tspk_status tspk_onnx_matmul(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_gemm(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_conv(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_einsum(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_norm.c */
tspk_status tspk_onnx_layer_norm(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_rms_norm(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_batch_norm(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_skip_layer_norm(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_attention.c */
tspk_status tspk_onnx_attention(tspk_onnx_call *call, tspk_error *err);

/** Operands of one attention. */
typedef struct tspk_onnx_heads {
    tspk_value_id q, k, v; /* [B, H, N, D], [B, H or fewer, M, D], [B, H or fewer, M, E] */
    tspk_value_id mask[3]; /* [n_masks] added to the logits, broadcasting to [B, H, N, M] */
    size_t n_masks;
    float scale, softcap; /* of the logits; softcap 0: none */
    int64_t logits_mode;  /* 0, 1: given back before the masks, 2: after them, 3: after Softmax */
} tspk_onnx_heads;

/** y: [B, H, N, E]. @errors SHAPE, NOMEM */
tspk_status tspk_onnx_emit_attention(tspk_onnx_call *call, const tspk_onnx_heads *heads,
                                     tspk_value_id *y_out, tspk_value_id *logits_out,
                                     tspk_error *err);

/** [B, N, H D] to [B, H, N, D], rank 4 stays; and [B, H, N, D] to [B, N, H D]. @errors SHAPE */
tspk_status tspk_onnx_split_heads(tspk_onnx_call *call, tspk_value_id x, int64_t heads,
                                  const char *what, tspk_value_id *out, tspk_error *err);
tspk_status tspk_onnx_join_heads(tspk_onnx_call *call, tspk_value_id y, tspk_value_id *out,
                                 tspk_error *err);

/** A boolean mask (true: attend) as 0 and `fill`; a float one as it is. @errors SHAPE */
tspk_status tspk_onnx_additive_mask(tspk_onnx_call *call, tspk_value_id mask, float fill,
                                    tspk_value_id *out, tspk_error *err);

/** [queries, keys]: -Inf where key > query + n_before. @errors LIMIT, NOMEM */
tspk_status tspk_onnx_causal_mask(tspk_onnx_call *call, int64_t queries, int64_t keys,
                                  int64_t n_before, tspk_value_id *out, tspk_error *err);

/** past [B, H, P, D] before now [B, H, N, D]. @errors SHAPE */
tspk_status tspk_onnx_append_past(tspk_onnx_call *call, tspk_value_id past, tspk_value_id now,
                                  tspk_value_id *out, tspk_error *err);

/* onnx_ops_microsoft_attention.c */
tspk_status tspk_onnx_ms_attention(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_ms_multi_head_attention(tspk_onnx_call *call, tspk_error *err);

/* onnx_ops_microsoft.c */
tspk_status tspk_onnx_bias_gelu(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_fast_gelu(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_quick_gelu(tspk_onnx_call *call, tspk_error *err);
tspk_status tspk_onnx_fused_matmul(tspk_onnx_call *call, tspk_error *err);

#endif
