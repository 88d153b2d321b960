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
    {"", "Abs", ALL, 1, 1, tspk_onnx_unary, TSPK_OP_ABS},
    {"", "Add", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_ADD},
    {"", "And", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_AND},
    {"", "Cast", 6, 1000000, 1, 1, tspk_onnx_cast, 0},
    {"", "CastLike", 15, 1000000, 2, 2, tspk_onnx_cast_like, 0},
    {"", "Ceil", ALL, 1, 1, tspk_onnx_unary_float, TSPK_OP_CEIL},
    {"", "Clip", 6, 1000000, 1, 3, tspk_onnx_clip, 0},
    {"", "Cos", 7, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_COS},
    {"", "Div", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_DIV},
    {"", "Dropout", 7, 1000000, 1, 3, tspk_onnx_dropout, 0},
    {"", "Equal", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_EQUAL},
    {"", "Erf", 9, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_ERF},
    {"", "Exp", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_EXP},
    {"", "Floor", ALL, 1, 1, tspk_onnx_unary_float, TSPK_OP_FLOOR},
    {"", "Gelu", 20, 1000000, 1, 1, tspk_onnx_gelu, 0},
    {"", "Greater", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_GREATER},
    {"", "GreaterOrEqual", 12, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_GREATER_OR_EQUAL},
    {"", "HardSigmoid", 6, 1000000, 1, 1, tspk_onnx_hard_sigmoid, TSPK_OP_HARD_SIGMOID},
    {"", "HardSwish", 14, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_HARD_SWISH},
    {"", "Identity", ALL, 1, 1, tspk_onnx_identity, 0},
    {"", "IsNaN", 9, 1000000, 1, 1, tspk_onnx_compare, TSPK_OP_IS_NAN},
    {"", "Less", 7, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_LESS},
    {"", "LessOrEqual", 12, 1000000, 2, 2, tspk_onnx_compare, TSPK_OP_LESS_OR_EQUAL},
    {"", "Log", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_LOG},
    {"", "Max", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_MAX},
    {"", "Mean", 8, 1000000, 1, ANY, tspk_onnx_mean, TSPK_OP_ADD},
    {"", "Min", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_MIN},
    {"", "Mod", 10, 1000000, 2, 2, tspk_onnx_mod, TSPK_OP_MOD},
    {"", "Mul", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_MUL},
    {"", "Neg", 6, 1000000, 1, 1, tspk_onnx_unary, TSPK_OP_NEG},
    {"", "Not", ALL, 1, 1, tspk_onnx_logical, TSPK_OP_NOT},
    {"", "Or", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_OR},
    {"", "Pow", 7, 1000000, 2, 2, tspk_onnx_pow, TSPK_OP_POW},
    {"", "Reciprocal", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_RECIPROCAL},
    {"", "Relu", 6, 1000000, 1, 1, tspk_onnx_unary, TSPK_OP_RELU},
    {"", "Round", 11, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_ROUND},
    {"", "Sigmoid", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SIGMOID},
    {"", "Sin", 7, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SIN},
    {"", "Sqrt", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_SQRT},
    {"", "Sub", 7, 1000000, 2, 2, tspk_onnx_binary, TSPK_OP_SUB},
    {"", "Sum", 8, 1000000, 1, ANY, tspk_onnx_variadic, TSPK_OP_ADD},
    {"", "Tanh", 6, 1000000, 1, 1, tspk_onnx_unary_float, TSPK_OP_TANH},
    {"", "Where", 9, 1000000, 3, 3, tspk_onnx_where, TSPK_OP_WHERE},
    {"", "Xor", 7, 1000000, 2, 2, tspk_onnx_logical, TSPK_OP_XOR},
    /* shapes */
    {"", "Expand", 8, 1000000, 2, 2, tspk_onnx_expand, 0},
    {"", "Flatten", ALL, 1, 1, tspk_onnx_flatten, 0},
    {"", "Reshape", 5, 1000000, 2, 2, tspk_onnx_reshape, 0},
    {"", "Shape", ALL, 1, 1, tspk_onnx_shape, 0},
    {"", "Size", ALL, 1, 1, tspk_onnx_size, 0},
    {"", "Squeeze", 1, 12, 1, 1, tspk_onnx_squeeze, 0},
    {"", "Squeeze", 13, 1000000, 1, 2, tspk_onnx_squeeze, 0},
    {"", "Tile", 6, 1000000, 2, 2, tspk_onnx_tile, 0},
    {"", "Transpose", ALL, 1, 1, tspk_onnx_transpose, 0},
    {"", "Unsqueeze", 1, 12, 1, 1, tspk_onnx_unsqueeze, 0},
    {"", "Unsqueeze", 13, 1000000, 2, 2, tspk_onnx_unsqueeze, 0},
    /* parts */
    {"", "Concat", 4, 1000000, 1, ANY, tspk_onnx_concat, 0},
    {"", "Gather", ALL, 2, 2, tspk_onnx_gather, 0},
    {"", "Pad", 2, 10, 1, 1, tspk_onnx_pad, 0},
    {"", "Pad", 11, 1000000, 2, 4, tspk_onnx_pad, 0},
    {"", "Resize", 11, 1000000, 1, 4, tspk_onnx_resize, 0},
    {"", "Slice", 1, 9, 1, 1, tspk_onnx_slice_attrs, 0},
    {"", "Slice", 10, 1000000, 3, 5, tspk_onnx_slice, 0},
    {"", "Split", 2, 12, 1, 1, tspk_onnx_split, 0},
    {"", "Split", 13, 1000000, 1, 2, tspk_onnx_split, 0},
    /* constants and control */
    {"", "Constant", ALL, 0, 0, tspk_onnx_constant, 0},
    {"", "ConstantOfShape", 9, 1000000, 1, 1, tspk_onnx_constant_of_shape, 0},
    {"", "If", ALL, 1, 1, tspk_onnx_if, 0},
    {"", "Range", 11, 1000000, 3, 3, tspk_onnx_range, 0},
    /* reductions */
    {"", "ArgMax", ALL, 1, 1, tspk_onnx_arg_max, TSPK_OP_ARG_MAX},
    {"", "GlobalAveragePool", ALL, 1, 1, tspk_onnx_global_average, TSPK_OP_REDUCE_MEAN},
    {"", "GlobalMaxPool", ALL, 1, 1, tspk_onnx_global_average, TSPK_OP_REDUCE_MAX},
    {"", "ReduceL2", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_L2},
    {"", "ReduceL2", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_L2},
    {"", "ReduceMax", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MAX},
    {"", "ReduceMax", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MAX},
    {"", "ReduceMean", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MEAN},
    {"", "ReduceMean", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MEAN},
    {"", "ReduceMin", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_MIN},
    {"", "ReduceMin", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_MIN},
    {"", "ReduceProd", 1, 17, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_PROD},
    {"", "ReduceProd", 18, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_PROD},
    {"", "ReduceSum", 1, 12, 1, 1, tspk_onnx_reduce_attrs, TSPK_OP_REDUCE_SUM},
    {"", "ReduceSum", 13, 1000000, 1, 2, tspk_onnx_reduce, TSPK_OP_REDUCE_SUM},
    {"", "Softmax", 1, 12, 1, 1, tspk_onnx_softmax_flat, TSPK_OP_SOFTMAX},
    {"", "Softmax", 13, 1000000, 1, 1, tspk_onnx_softmax, TSPK_OP_SOFTMAX},
    /* products and norms */
    {"", "Attention", 23, 1000000, 3, 6, tspk_onnx_attention, 0},
    {"", "BatchNormalization", 9, 1000000, 5, 5, tspk_onnx_batch_norm, 0},
    {"", "Conv", ALL, 2, 3, tspk_onnx_conv, TSPK_OP_CONV},
    {"", "Einsum", 12, 1000000, 1, ANY, tspk_onnx_einsum, 0},
    {"", "Gemm", 7, 1000000, 2, 3, tspk_onnx_gemm, TSPK_OP_LINEAR},
    {"", "LayerNormalization", 1, 1000000, 2, 3, tspk_onnx_layer_norm, TSPK_OP_LAYER_NORM},
    {"", "MatMul", ALL, 2, 2, tspk_onnx_matmul, TSPK_OP_MATMUL},
    {"", "RMSNormalization", 23, 1000000, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM},
    {"", "SimplifiedLayerNormalization", ALL, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM},
    /* onnxruntime's own */
    {MS, "Attention", ALL, 2, 7, tspk_onnx_ms_attention, 0},
    {MS, "BiasGelu", ALL, 2, 2, tspk_onnx_bias_gelu, 0},
    {MS, "FastGelu", ALL, 1, 2, tspk_onnx_fast_gelu, 0},
    {MS, "FusedMatMul", ALL, 2, 2, tspk_onnx_fused_matmul, 0},
    {MS, "Gelu", ALL, 1, 1, tspk_onnx_gelu, 0},
    {MS, "LayerNormalization", ALL, 2, 3, tspk_onnx_layer_norm, TSPK_OP_LAYER_NORM},
    {MS, "MultiHeadAttention", ALL, 1, 10, tspk_onnx_ms_multi_head_attention, 0},
    {MS, "QuickGelu", ALL, 1, 1, tspk_onnx_quick_gelu, 0},
    {MS, "SimplifiedLayerNormalization", ALL, 2, 2, tspk_onnx_rms_norm, TSPK_OP_RMS_NORM},
    {MS, "SkipLayerNormalization", ALL, 3, 5, tspk_onnx_skip_layer_norm, TSPK_OP_LAYER_NORM},
    {MS, "SkipSimplifiedLayerNormalization", ALL, 3, 4, tspk_onnx_skip_layer_norm,
     TSPK_OP_RMS_NORM},
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
