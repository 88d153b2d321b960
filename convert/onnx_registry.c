/* SPDX-License-Identifier: Apache-2.0 */
/* Every operator form that the importer reads. The opset versions are those of the ONNX operator
 * changelog (https://github.com/onnx/onnx, docs/Changelog.md). One exception: files rewritten by
 * onnxruntime hold LayerNormalization of ai.onnx below opset 17; it is read there too. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/compiler.h"

#define ALL 1, 1000000
#define MS  "com.microsoft"
#define ANY TSPK_MAX_NODE_INPUTS

static const tspk_onnx_op ops[] = {
    /* elementwise */
    {"", "Abs", ALL, 1, 1, tspk_onnx_unary, TSPK_OP_ABS, "n:T>T"},
    {"", "Add", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_ADD, "n:TT>T"},
    {"", "And", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_AND, "a:BB>B"},
    {"", "Cast", 6, 1000000, 1, 1, tspk_onnx_cast, 0, "a:T>"},
    {"", "CastLike", 15, 1000000, 2, 2, tspk_onnx_cast_like, 0, "a:..>"},
    {"", "Ceil", ALL, 1, 1, tspk_onnx_unary_float, TSPK_OP_CEIL, "f:T>T"},
    {"", "Clip", 6, 1000000, 1, 3, tspk_onnx_clip, 0, "n:TTT>T"},
    {"", "Cos", 7, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_COS, "f:T>T"},
    {"", "Div", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_DIV, "n:TT>T"},
    {"", "Dropout", 7, 1000000, 1, 3, tspk_onnx_dropout, 0, "f:T..>TB"},
    {"", "Equal", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_EQUAL, "a:TT>B"},
    {"", "Erf", 9, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_ERF, "f:T>T"},
    {"", "Exp", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_EXP, "f:T>T"},
    {"", "Floor", ALL, 1, 1, tspk_onnx_unary_float, TSPK_OP_FLOOR, "f:T>T"},
    {"", "Gelu", 20, 1000000, 1, 1, tspk_onnx_gelu, 0, "f:T>T"},
    {"", "Greater", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_GREATER, "n:TT>B"},
    {"", "GreaterOrEqual", 12, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_GREATER_OR_EQUAL,
     "n:TT>B"},
    {"", "HardSigmoid", 6, 1000000, 1, 1, tspk_onnx_hard_sigmoid, TSPK_OP_HARD_SIGMOID, "f:T>T"},
    {"", "HardSwish", 14, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_HARD_SWISH, "f:T>T"},
    {"", "Identity", ALL, 1, 1, tspk_onnx_identity, 0, "a:T>T"},
    {"", "IsNaN", 9, 1000000, 1, 1, tspk_onnx_compare, TSPK_OP_IS_NAN, "f:T>B"},
    {"", "Less", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_LESS, "n:TT>B"},
    {"", "LessOrEqual", 12, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_LESS_OR_EQUAL, "n:TT>B"},
    {"", "Log", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_LOG, "f:T>T"},
    {"", "Max", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_MAX, "n:T*>T"},
    {"", "Mean", 8, 1000000, 1, ANY, tspk_onnx_mean, TSPK_OP_ADD, "f:T*>T"},
    {"", "Min", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_MIN, "n:T*>T"},
    {"", "Mod", 10, 1000000, 2, 2, tspk_onnx_mod, TSPK_OP_MOD, "n:TT>T"},
    {"", "Mul", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_MUL, "n:TT>T"},
    {"", "Neg", 6, 1000000, 1, 1, tspk_onnx_unary, TSPK_OP_NEG, "n:T>T"},
    {"", "Not", ALL, 1, 1, tspk_onnx_logical, TSPK_OP_NOT, "a:B>B"},
    {"", "Or", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_OR, "a:BB>B"},
    {"", "Pow", 7, 1000000, 2, 2, tspk_onnx_pow, TSPK_OP_POW, "n:T.>T"},
    {"", "Reciprocal", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_RECIPROCAL, "f:T>T"},
    {"", "Relu", 6, 1000000, 1, 1, tspk_onnx_unary, TSPK_OP_RELU, "n:T>T"},
    {"", "Round", 11, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_ROUND, "f:T>T"},
    {"", "Sigmoid", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SIGMOID, "f:T>T"},
    {"", "Sin", 7, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SIN, "f:T>T"},
    {"", "Sqrt", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SQRT, "f:T>T"},
    {"", "Sub", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_SUB, "n:TT>T"},
    {"", "Sum", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_ADD, "f:T*>T"},
    {"", "Tanh", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_TANH, "f:T>T"},
    {"", "Where", 9, 1000000, 3, 3, tspk_onnx_where, TSPK_OP_WHERE, "a:BTT>T"},
    {"", "Xor", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_XOR, "a:BB>B"},
    /* shapes */
    {"", "Expand", 8, 1000000, 2, 2, tspk_onnx_expand, 0, "a:TI>T"},
    {"", "Flatten", ALL, 1, 1, tspk_onnx_flatten, 0, "a:T>T"},
    {"", "Reshape", 5, 1000000, 2, 2, tspk_onnx_reshape, 0, "a:TI>T"},
    {"", "Shape", ALL, 1, 1, tspk_onnx_shape, 0, "a:T>I"},
    {"", "Size", ALL, 1, 1, tspk_onnx_size, 0, "a:T>I"},
    {"", "Squeeze", 1, 12, 1, 1, tspk_onnx_squeeze, 0, "a:TI>T"},
    {"", "Squeeze", 13, 1000000, 1, 2, tspk_onnx_squeeze, 0, "a:TI>T"},
    {"", "Tile", 6, 1000000, 2, 2, tspk_onnx_tile, 0, "a:TI>T"},
    {"", "Transpose", ALL, 1, 1, tspk_onnx_transpose, 0, "a:T>T"},
    {"", "Unsqueeze", 1, 12, 1, 1, tspk_onnx_unsqueeze, 0, "a:TI>T"},
    {"", "Unsqueeze", 13, 1000000, 2, 2, tspk_onnx_unsqueeze, 0, "a:TI>T"},
    /* parts */
    {"", "Concat", 4, 1000000, 1, ANY, tspk_onnx_concat, 0, "a:T*>T"},
    {"", "Gather", ALL, 2, 2, tspk_onnx_gather, 0, "a:TJ>T"},
    {"", "Pad", 2, 10, 1, 1, tspk_onnx_pad, 0, "a:TITJ>T"},
    {"", "Pad", 11, 1000000, 2, 4, tspk_onnx_pad, 0, "a:TITJ>T"},
    {"", "Resize", 11, 1000000, 1, 4, tspk_onnx_resize, 0, "a:T.FI>T"},
    {"", "Slice", 1, 9, 1, 1, tspk_onnx_slice_attrs, 0, "a:TJJJJ>T"},
    {"", "Slice", 10, 1000000, 3, 5, tspk_onnx_slice, 0, "a:TJJJJ>T"},
    {"", "Split", 2, 12, 1, 1, tspk_onnx_split, 0, "a:TI>T*"},
    {"", "Split", 13, 1000000, 1, 2, tspk_onnx_split, 0, "a:TI>T*"},
    /* constants and control */
    {"", "Constant", ALL, 0, 0, tspk_onnx_constant, 0, "a:>"},
    {"", "ConstantOfShape", 9, 1000000, 1, 1, tspk_onnx_constant_of_shape, 0, "a:I>"},
    {"", "If", ALL, 1, 1, tspk_onnx_if, 0, "a:B>"},
    {"", "Range", 11, 1000000, 3, 3, tspk_onnx_range, 0, "n:TTT>T"},
    /* reductions */
    {"", "ArgMax", ALL, 1, 1, tspk_onnx_arg_max, TSPK_OP_ARG_MAX, "n:T>I"},
    {"", "GlobalAveragePool", ALL, 1, 1, tspk_onnx_global_average, TSPK_OP_REDUCE_MEAN, "f:T>T"},
    {"", "GlobalMaxPool", ALL, 1, 1, tspk_onnx_global_average, TSPK_OP_REDUCE_MAX, "f:T>T"},
    {"", "ReduceL2", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_L2, "f:TI>T"},
    {"", "ReduceL2", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_L2, "f:TI>T"},
    {"", "ReduceMax", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MAX, "a:TI>T"},
    {"", "ReduceMax", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MAX, "a:TI>T"},
    {"", "ReduceMean", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MEAN, "n:TI>T"},
    {"", "ReduceMean", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MEAN, "n:TI>T"},
    {"", "ReduceMin", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MIN, "a:TI>T"},
    {"", "ReduceMin", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MIN, "a:TI>T"},
    {"", "ReduceProd", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_PROD, "n:TI>T"},
    {"", "ReduceProd", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_PROD, "n:TI>T"},
    {"", "ReduceSum", 1, 12, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_SUM, "n:TI>T"},
    {"", "ReduceSum", 13, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_SUM, "n:TI>T"},
    {"", "Softmax", 1, 12, 1, 1, tspk_onnx_softmax_flat, TSPK_OP_SOFTMAX, "f:T>T"},
    {"", "Softmax", 13, 1000000, 1, 1, tspk_onnx_softmax, TSPK_OP_SOFTMAX, "f:T>T"},
    /* products and norms */
    {"", "Attention", 23, 1000000, 3, 6, tspk_onnx_attention, 0, "f:TTU.TU>TTUT"},
    {"", "BatchNormalization", 9, 1000000, 5, 5, tspk_onnx_batch_norm, 0, "f:TUUVV>T"},
    {"", "Conv", ALL, 2, 3, tspk_onnx_conv, TSPK_OP_CONV, "f:TTT>T"},
    {"", "Einsum", 12, 1000000, 1, ANY, tspk_onnx_einsum, 0, "f:T*>T"},
    {"", "Gemm", 7, 1000000, 2, 3, tspk_onnx_gemm, TSPK_OP_LINEAR, "f:TTT>T"},
    {"", "LayerNormalization", 1, 1000000, 2, 3, tspk_onnx_layer_norm, TSPK_OP_LAYER_NORM,
     "f:TUU>TFF"},
    {"", "MatMul", ALL, 2, 2, tspk_onnx_matmul, TSPK_OP_MATMUL, "n:TT>T"},
    {"", "RMSNormalization", 23, 1000000, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM, "f:TU>U"},
    {"", "SimplifiedLayerNormalization", ALL, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM, "f:TU>U"},
    /* onnxruntime's own */
    {MS, "Attention", ALL, 2, 7, tspk_onnx_ms_attention, 0, "f:TTTJTT>TT"},
    {MS, "BiasGelu", ALL, 2, 2, tspk_onnx_bias_gelu, 0, "f:TT>T"},
    {MS, "FastGelu", ALL, 1, 2, tspk_onnx_fast_gelu, 0, "f:TT>T"},
    {MS, "FusedMatMul", ALL, 2, 2, tspk_onnx_fused_matmul, 0, "f:TT>T"},
    {MS, "Gelu", ALL, 1, 1, tspk_onnx_gelu, 0, "f:T>T"},
    {MS, "LayerNormalization", ALL, 2, 3, tspk_onnx_layer_norm, TSPK_OP_LAYER_NORM, "f:TUU>U"},
    {MS, "MultiHeadAttention", ALL, 1, 10, tspk_onnx_ms_multi_head_attention, 0, "f:TTTTJTTT>TTT"},
    {MS, "QuickGelu", ALL, 1, 1, tspk_onnx_quick_gelu, 0, "f:T>T"},
    {MS, "SimplifiedLayerNormalization", ALL, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM, "f:TU>U"},
    {MS, "SkipLayerNormalization", ALL, 3, 5, tspk_onnx_skip_layer_norm, TSPK_OP_LAYER_NORM,
     "f:TTTTT>TFFT"},
    {MS, "SkipSimplifiedLayerNormalization", ALL, 3, 4, tspk_onnx_skip_layer_norm, TSPK_OP_RMS_NORM,
     "f:TTTT>TFFT"},
};

const tspk_onnx_op *tspk_onnx_ops(size_t *n_out)
{
    *n_out = TSPK_COUNT_OF(ops);
    return ops;
}

const tspk_onnx_op *tspk_onnx_find_op(const char *domain, const char *name, int64_t opset,
                                      const tspk_onnx_op **nearest_out)
{
    *nearest_out = NULL;
    for (size_t i = 0; i < TSPK_COUNT_OF(ops); i++) {
        if (strcmp(ops[i].name, name) != 0 || strcmp(ops[i].domain, domain) != 0)
            continue;
        if (opset >= ops[i].since && opset <= ops[i].until)
            return &ops[i];
        if (!*nearest_out || opset > ops[i].until)
            *nearest_out = &ops[i];
    }
    return NULL;
}

const char *tspk_onnx_op_advice(const char *domain, const char *name)
{
    static const struct {
        const char *start, *advice;
    } by_name[] = {
        {"Loop", "control flow is not supported: export with fixed sizes"},
        {"Scan", "control flow is not supported: export with fixed sizes"},
        {"Sequence", "sequences are not supported"},
        {"SplitToSequence", "sequences are not supported"},
        {"Optional", "optional types are not supported"},
        {"String", "strings are not supported"},
        {"QuantizeLinear", "quantised models are not supported: convert the float model"},
        {"DequantizeLinear", "quantised models are not supported: convert the float model"},
        {"DynamicQuantizeLinear", "quantised models are not supported: convert the float model"},
        {"MatMulInteger", "quantised models are not supported: convert the float model"},
        {"ConvInteger", "quantised models are not supported: convert the float model"},
        {"QLinear", "quantised models are not supported: convert the float model"},
        {"MaxPool", "pooling over windows belongs to convolutional networks, not to ViTs"},
        {"AveragePool", "pooling over windows belongs to convolutional networks, not to ViTs"},
        {"ATen", "export again without the ONNX_ATEN_FALLBACK option"},
    };

    if (!strcmp(domain, "com.microsoft.nchwc"))
        return "it is bound to one CPU type: save with onnxruntime's optimisation level extended "
               "or "
               "lower";
    if (!strncmp(domain, "org.pytorch.aten", 16))
        return "export again without the ONNX_ATEN_FALLBACK option";
    for (size_t i = 0; i < TSPK_COUNT_OF(by_name); i++)
        if (!strncmp(name, by_name[i].start, strlen(by_name[i].start)))
            return by_name[i].advice;
    if (domain[0] && strcmp(domain, MS) != 0)
        return "operators of this domain are not known: export with standard operators only";
    return "export from standard PyTorch layers, or simplify the model first (onnxsim)";
}
