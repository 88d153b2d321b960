/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ann/op_eval.h"

#include "core/arena.h"
#include "core/fail.h"
#include "runtime/ann/op_impl.h"

typedef struct op_entry {
    tspk_op_fn eval;
    tspk_op_scratch_fn scratch; /* NULL: none */
} op_entry;

#define UNARY(name)  [TSPK_OP_##name] = {tspk_eval_unary, NULL}
#define BINARY(name) [TSPK_OP_##name] = {tspk_eval_binary, NULL}
#define REDUCE(name) [TSPK_OP_##name] = {tspk_eval_reduce, NULL}

static const op_entry entries[TSPK_OP_COUNT] = {
    [TSPK_OP_IDENTITY] = {tspk_eval_copy, NULL},
    UNARY(NEG),
    UNARY(ABS),
    UNARY(EXP),
    UNARY(LOG),
    UNARY(SQRT),
    UNARY(RECIPROCAL),
    UNARY(ERF),
    UNARY(SIN),
    UNARY(COS),
    UNARY(TANH),
    UNARY(SIGMOID),
    UNARY(RELU),
    UNARY(FLOOR),
    UNARY(CEIL),
    UNARY(ROUND),
    UNARY(NOT),
    UNARY(IS_NAN),
    UNARY(CLIP),
    UNARY(HARD_SIGMOID),
    UNARY(HARD_SWISH),
    [TSPK_OP_CAST] = {tspk_eval_cast, NULL},
    UNARY(GELU),
    UNARY(SILU),
    BINARY(ADD),
    BINARY(SUB),
    BINARY(MUL),
    BINARY(DIV),
    BINARY(POW),
    BINARY(MOD),
    BINARY(MIN),
    BINARY(MAX),
    BINARY(EQUAL),
    BINARY(LESS),
    BINARY(LESS_OR_EQUAL),
    BINARY(GREATER),
    BINARY(GREATER_OR_EQUAL),
    BINARY(AND),
    BINARY(OR),
    BINARY(XOR),
    [TSPK_OP_WHERE] = {tspk_eval_where, NULL},
    [TSPK_OP_RESHAPE] = {tspk_eval_copy, NULL},
    [TSPK_OP_TRANSPOSE] = {tspk_eval_transpose, NULL},
    [TSPK_OP_SLICE] = {tspk_eval_slice, NULL},
    [TSPK_OP_CONCAT] = {tspk_eval_concat, NULL},
    [TSPK_OP_GATHER] = {tspk_eval_gather, NULL},
    [TSPK_OP_EXPAND] = {tspk_eval_expand, NULL},
    [TSPK_OP_TILE] = {tspk_eval_tile, NULL},
    [TSPK_OP_PAD] = {tspk_eval_pad, NULL},
    REDUCE(REDUCE_MEAN),
    REDUCE(REDUCE_SUM),
    REDUCE(REDUCE_MAX),
    REDUCE(REDUCE_MIN),
    REDUCE(REDUCE_PROD),
    REDUCE(REDUCE_L2),
    [TSPK_OP_ARG_MAX] = {tspk_eval_arg_max, NULL},
    [TSPK_OP_RESIZE] = {tspk_eval_resize, tspk_scratch_resize},
    [TSPK_OP_SOFTMAX] = {tspk_eval_softmax, NULL},
    [TSPK_OP_LAYER_NORM] = {tspk_eval_layer_norm, NULL},
    [TSPK_OP_RMS_NORM] = {tspk_eval_rms_norm, NULL},
    [TSPK_OP_MATMUL] = {tspk_eval_matmul, NULL},
    [TSPK_OP_LINEAR] = {tspk_eval_linear, tspk_scratch_linear},
    [TSPK_OP_CONV] = {tspk_eval_conv, tspk_scratch_conv},
    [TSPK_OP_ATTENTION] = {tspk_eval_attention, tspk_scratch_attention},
    [TSPK_OP_MERGE_MAP] = {tspk_eval_merge_map, tspk_scratch_merge_map},
    [TSPK_OP_MERGE_SIZES] = {tspk_eval_merge_sizes, NULL},
    [TSPK_OP_MERGE] = {tspk_eval_merge, NULL},
};

tspk_status tspk_op_refuse_dtype(const tspk_node *node, tspk_dtype dtype, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s of %s elements is not supported",
                     tspk_op_name(node->op), tspk_dtype_name(dtype));
}

/* No operator with scratch reads more than its first four inputs. */
#define MAX_SCRATCH_INPUTS 4

size_t tspk_op_scratch_bytes(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_op_scratch_fn scratch = node->op < TSPK_OP_COUNT ? entries[node->op].scratch : NULL;
    tspk_tensor in[MAX_SCRATCH_INPUTS] = {{0}}, out;
    size_t bytes;

    if (!scratch)
        return 0;
    for (uint32_t i = 0; i < node->n_in && i < MAX_SCRATCH_INPUTS; i++)
        if (node->in[i] != TSPK_ID_NONE)
            in[i] = tspk_value_tensor(&graph->value[node->in[i]]);
    out = tspk_value_tensor(&graph->value[node->out[0]]);
    bytes = scratch(node, in, &out);
    return bytes > SIZE_MAX - TSPK_ALIGN_BYTES
               ? SIZE_MAX
               : (bytes + TSPK_ALIGN_BYTES - 1) / TSPK_ALIGN_BYTES * TSPK_ALIGN_BYTES;
}

static tspk_status eval(const tspk_op_tools *tools, const tspk_node *node, const tspk_tensor *in,
                        tspk_tensor *out, tspk_error *err)
{
    tspk_status status;

    if (node->op >= TSPK_OP_COUNT || !entries[node->op].eval)
        status = TSPK_FAIL(err, TSPK_UNSUPPORTED, "operator %d cannot be evaluated", (int)node->op);
    else
        status = entries[node->op].eval(node, in, out, tools, err);
    return tspk_at_node(err, status, node->name, tspk_op_name(node->op));
}

tspk_status tspk_op_eval_with(const tspk_vecmath *math, const tspk_node *node,
                              const tspk_tensor *in, tspk_tensor *out, void *scratch,
                              tspk_error *err)
{
    const tspk_op_tools tools = {math, 1, scratch, 0};

    return eval(&tools, node, in, out, err);
}

tspk_status tspk_op_eval(const tspk_node *node, const tspk_tensor *in, tspk_tensor *out,
                         void *scratch, tspk_error *err)
{
    return tspk_op_eval_with(tspk_vecmath_for(TSPK_ISA_AUTO), node, in, out, scratch, err);
}

tspk_status tspk_op_eval_threaded(int threads, const tspk_node *node, const tspk_tensor *in,
                                  tspk_tensor *out, void *scratch, size_t scratch_bytes,
                                  tspk_error *err)
{
    const tspk_op_tools tools = {tspk_vecmath_for(TSPK_ISA_AUTO), threads, scratch, scratch_bytes};

    return eval(&tools, node, in, out, err);
}
