/* SPDX-License-Identifier: Apache-2.0 */
/* The operators of the graph: few, static, opset-free. The importer rewrites every ONNX spelling into
 * these; shapes are known, so Squeeze, Unsqueeze and Flatten are Reshape, Split is several Slices. */
#ifndef TSPK_CORE_OP_H
#define TSPK_CORE_OP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

/* X(NAME, "Name", inputs at least, inputs at most) */
#define TSPK_OP_TABLE(X)                                                                           \
    /* unary, elementwise */                                                                       \
    X(IDENTITY, "Identity", 1, 1)                                                                  \
    X(NEG, "Neg", 1, 1)                                                                            \
    X(ABS, "Abs", 1, 1)                                                                            \
    X(EXP, "Exp", 1, 1)                                                                            \
    X(LOG, "Log", 1, 1)                                                                            \
    X(SQRT, "Sqrt", 1, 1)                                                                          \
    X(RECIPROCAL, "Reciprocal", 1, 1)                                                              \
    X(ERF, "Erf", 1, 1)                                                                            \
    X(SIN, "Sin", 1, 1)                                                                            \
    X(COS, "Cos", 1, 1)                                                                            \
    X(TANH, "Tanh", 1, 1)                                                                          \
    X(SIGMOID, "Sigmoid", 1, 1)                                                                    \
    X(RELU, "Relu", 1, 1)                                                                          \
    X(FLOOR, "Floor", 1, 1)                                                                        \
    X(CEIL, "Ceil", 1, 1)                                                                          \
    X(ROUND, "Round", 1, 1)                                                                        \
    X(NOT, "Not", 1, 1)                                                                            \
    X(IS_NAN, "IsNaN", 1, 1)                                                                       \
    X(CLIP, "Clip", 1, 1)                /* attr alpha = least, beta = greatest */                 \
    X(HARD_SIGMOID, "HardSigmoid", 1, 1) /* max(0, min(1, alpha x + beta)) */                      \
    X(HARD_SWISH, "HardSwish", 1, 1)                                                               \
    X(CAST, "Cast", 1, 1)          /* to the output's dtype; attr mode = ONNX element type */      \
    X(GELU, "Gelu", 1, 1)          /* attr mode: TSPK_GELU_ERF or TSPK_GELU_TANH */                \
    X(SILU, "Silu", 1, 1)          /* x sigmoid(alpha x); quick-GELU has alpha = 1.702 */          \
    /* binary and ternary, broadcasting */                                                         \
    X(ADD, "Add", 2, 2)                                                                            \
    X(SUB, "Sub", 2, 2)                                                                            \
    X(MUL, "Mul", 2, 2)                                                                            \
    X(DIV, "Div", 2, 2)                                                                            \
    X(POW, "Pow", 2, 2)                                                                            \
    X(MOD, "Mod", 2, 2) /* attr mode: 1 = fmod */                                                  \
    X(MIN, "Min", 2, 2)                                                                            \
    X(MAX, "Max", 2, 2)                                                                            \
    X(EQUAL, "Equal", 2, 2)                                                                        \
    X(LESS, "Less", 2, 2)                                                                          \
    X(LESS_OR_EQUAL, "LessOrEqual", 2, 2)                                                          \
    X(GREATER, "Greater", 2, 2)                                                                    \
    X(GREATER_OR_EQUAL, "GreaterOrEqual", 2, 2)                                                    \
    X(AND, "And", 2, 2)                                                                            \
    X(OR, "Or", 2, 2)                                                                              \
    X(XOR, "Xor", 2, 2)                                                                            \
    X(WHERE, "Where", 3, 3)                                                                        \
    /* movement: no arithmetic */                                                                  \
    X(RESHAPE, "Reshape", 1, 1)     /* to the output's shape */                                    \
    X(TRANSPOSE, "Transpose", 1, 1) /* attr axes = permutation, as ONNX perm */                    \
    X(SLICE, "Slice", 1, 1)         /* attr starts, steps per axis (full rank); steps ≠ 0 */       \
    X(CONCAT, "Concat", 1, TSPK_MAX_NODE_INPUTS) /* attr axis */                                   \
    X(GATHER, "Gather", 2, 2) /* attr axis; in[1] int64, indices already in [0, dim) if constant */ \
    X(EXPAND, "Expand", 1, 1) /* broadcast to the output's shape */                                \
    X(TILE, "Tile", 1, 1)     /* to the output's shape */                                          \
    X(PAD, "Pad", 1, 1)       /* attr starts = pads before, per axis; alpha = value; mode 0 */     \
    /* reductions; attr axes, n_axes (all named, ascending); dropped or kept by the output's shape */ \
    X(REDUCE_MEAN, "ReduceMean", 1, 1)                                                             \
    X(REDUCE_SUM, "ReduceSum", 1, 1)                                                               \
    X(REDUCE_MAX, "ReduceMax", 1, 1)                                                               \
    X(REDUCE_MIN, "ReduceMin", 1, 1)                                                               \
    X(REDUCE_PROD, "ReduceProd", 1, 1)                                                             \
    X(REDUCE_L2, "ReduceL2", 1, 1)                                                                 \
    X(ARG_MAX, "ArgMax", 1, 1) /* attr axis; mode 1: the last of equals, 0: the first */             \
    X(RESIZE, "Resize", 1, 1)  /* see tspk_attr */                                                 \
    /* normalisation */                                                                            \
    X(SOFTMAX, "Softmax", 1, 1)       /* attr axis */                                              \
    X(LAYER_NORM, "LayerNorm", 1, 3)  /* over attr axis …, in[1] scale, in[2] bias; epsilon */     \
    X(RMS_NORM, "RmsNorm", 1, 2)      /* over attr axis …, in[1] scale; epsilon */                 \
    /* contractions */                                                                             \
    X(MATMUL, "MatMul", 2, 2)         /* numpy.matmul */                                           \
    X(LINEAR, "Linear", 1, 3)         /* y[r,o] = Σ_c x[rows[r],c] W[o,c] + b[o]; W constant */    \
    X(CONV, "Conv", 2, 3)             /* 2-D, NCHW; attr pads, strides, dilations, groups */       \
    X(ATTENTION, "Attention", 3, 4)   /* see below */                                              \
    /* token merging, put in by core/merge_tokens.h */                                             \
    X(MERGE_MAP, "MergeMap", 1, 1)     /* see below */                                             \
    X(MERGE_SIZES, "MergeSizes", 1, 2) /* see below */                                             \
    X(MERGE, "Merge", 2, 3)            /* see below */

/* A Linear with one input only is spike-driven: its weights are in the spike graph (core/spikegraph.h).
 * Attention: in q [.., N, H*D], k [.., M, H*D], v [.., M, H*E], optional constant additive bias
 * [H or 1, N or 1, M]; the axes before the last two have product 1. Head h owns channels
 * [h*D, (h+1)*D). out[n, h*E + e] = Σ_m softmax_m(scale Σ_d q[n,h,d] k[m,h,d] + bias[h,n,m]) v[m,h,e].
 * attr heads, scale. The bias may also be a value [1, 1, M].
 *
 * MergeMap: in metric [.., N, C]; out [N] int64, the row that each token goes to. attr starts[0] = leading tokens that never merge, attr steps[0] = pairs that merge. In a spike
 * graph it is evaluated at step 1 alone. MergeSizes: in map [N], optional sizes [1, N, 1] of the
 * tokens (absent: ones); out [1, M, 1], those of the rows. Merge: in tokens [.., N, C], map,
 * optional sizes of the tokens; out [.., M, C], the means of what goes to each row, weighted by the
 * sizes. docs/spikefile.md, "Merging". */

typedef enum tspk_op {
#define X(NAME, text, least, most) TSPK_OP_##NAME,
    TSPK_OP_TABLE(X)
#undef X
        TSPK_OP_COUNT
} tspk_op;

enum { TSPK_GELU_ERF = 0, TSPK_GELU_TANH = 1 };

/** Every attribute that an operator can have; which of them count, the table above says. */
typedef struct tspk_attr {
    int64_t axis;                    /* normalised: 0 … rank-1 */
    uint8_t n_axes;                  /* used entries of axes */
    int64_t axes[TSPK_MAX_RANK];     /* permutation, or reduced axes */
    int64_t starts[TSPK_MAX_RANK];   /* Slice: first index per axis; Pad: elements before */
    int64_t steps[TSPK_MAX_RANK];    /* Slice: stride per axis */
    int64_t pads[4];                 /* Conv: top, left, bottom, right */
    int64_t strides[2];              /* Conv */
    int64_t dilations[2];            /* Conv */
    int64_t groups;                  /* Conv */
    int64_t mode;                    /* per operator */
    float epsilon;
    float alpha;
    float beta;
    float scale;                     /* Attention */
    uint32_t heads;                  /* Attention */
    uint32_t n_rows;                 /* Linear: entries of rows; 0 = all rows in order */
    const uint32_t *rows;            /* Linear: rows of x that are computed; owned by the graph */
    /* Resize: mode 0 nearest, 1 linear, 2 cubic; axis = coordinate transformation (0 half_pixel,
     * 1 pytorch_half_pixel, 2 align_corners, 3 asymmetric, 4 half_pixel_symmetric); alpha = cubic
     * coefficient; factor = scale per axis (0: from the shapes); starts[0] = antialias, starts[1] =
     * nearest mode, starts[2] = leave pixels outside out */
    float factor[TSPK_MAX_RANK];
} tspk_attr;

/** "LayerNorm" …; static text. */
const char *tspk_op_name(tspk_op op);

/** The operator of that name, TSPK_OP_COUNT when there is none. */
tspk_op tspk_op_from_name(const char *name);

/** Bounds on the number of inputs. */
size_t tspk_op_inputs_least(tspk_op op);
size_t tspk_op_inputs_most(tspk_op op);

/** Reshape, Transpose, Slice, Concat, Gather, Expand, Tile, Identity: elements move, none changes. */
bool tspk_op_is_movement(tspk_op op);

/** Each output element depends on the input elements at its own (broadcast) position alone. */
bool tspk_op_is_elementwise(tspk_op op);

#endif
