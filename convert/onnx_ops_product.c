/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul, Gemm, Conv. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

tspk_status tspk_onnx_matmul(tspk_onnx_call *call, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    return tspk_onnx_emit_matmul(call, call->in[0], call->in[1], &call->results[0], err);
}

typedef struct gemm {
    int64_t is_a_swapped, is_b_swapped;
    float alpha, beta;
} gemm;

static tspk_status emit_scaled(tspk_onnx_call *call, tspk_value_id x, float factor,
                               tspk_value_id *out, tspk_error *err)
{
    tspk_value_id scalar;

    *out = x;
    if (factor == 1.0f)
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_scalar(call, factor, &scalar, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_MUL, x, scalar, out, err);
}

/* A C that is one number a column, and constant, is the bias of a Linear. */
static bool is_bias(const tspk_onnx_call *call, int64_t n)
{
    const tspk_shape *shape;

    if (!tspk_onnx_has_in(call, 2) || !tspk_onnx_is_constant(call, call->in[2]))
        return false;
    shape = &tspk_onnx_in(call, 2)->shape;
    return shape->rank <= 2 && (shape->rank < 2 || shape->dim[0] == 1) &&
           (shape->rank == 0 || shape->dim[shape->rank - 1] == 1 ||
            shape->dim[shape->rank - 1] == n);
}

static tspk_status make_bias(tspk_onnx_call *call, int64_t n, float beta, tspk_value_id *out,
                             tspk_error *err)
{
    const tspk_shape shape = {.rank = 1, .dim = {n}};
    tspk_value_id c = call->in[2];

    if (tspk_shape_elems(&tspk_onnx_value(call, c)->shape) == 1) {
        const tspk_shape scalar = {.rank = 1, .dim = {1}};

        TSPK_TRY(tspk_onnx_emit_reshape(call, c, &scalar, &c, err));
        TSPK_TRY(
            tspk_onnx_emit(call, TSPK_OP_EXPAND, &c, 1, TSPK_DTYPE_F32, &shape, NULL, &c, err));
    }
    TSPK_TRY(tspk_onnx_emit_reshape(call, c, &shape, &c, err));
    return emit_scaled(call, c, beta, out, err);
}

/* With a constant B: y = x Wᵀ + b, W [out, in]. */
static tspk_status gemm_linear(tspk_onnx_call *call, const gemm *g, tspk_value_id a,
                               tspk_value_id *out, tspk_error *err)
{
    tspk_value_id in[3] = {a, call->in[1], TSPK_ID_NONE};
    tspk_shape x, w, shape = {.rank = 2};
    uint32_t n_in = 2;

    if (!g->is_b_swapped)
        TSPK_TRY(tspk_onnx_emit_swap(call, in[1], &in[1], err));
    TSPK_TRY(emit_scaled(call, in[1], g->alpha, &in[1], err));
    x = tspk_onnx_value(call, a)->shape;
    w = tspk_onnx_value(call, in[1])->shape;
    if (x.dim[1] != w.dim[1])
        return TSPK_FAIL(err, TSPK_SHAPE, "Gemm of %lld columns and a weight for %lld",
                         (long long)x.dim[1], (long long)w.dim[1]);
    shape.dim[0] = x.dim[0];
    shape.dim[1] = w.dim[0];
    if (is_bias(call, w.dim[0])) {
        TSPK_TRY(make_bias(call, w.dim[0], g->beta, &in[2], err));
        n_in = 3;
    }
    return tspk_onnx_emit(call, TSPK_OP_LINEAR, in, n_in, TSPK_DTYPE_F32, &shape, NULL, out, err);
}

static tspk_status gemm_general(tspk_onnx_call *call, const gemm *g, tspk_value_id a,
                                tspk_value_id *out, tspk_error *err)
{
    tspk_value_id b = call->in[1];

    if (g->is_b_swapped)
        TSPK_TRY(tspk_onnx_emit_swap(call, b, &b, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, a, b, out, err));
    return emit_scaled(call, *out, g->alpha, out, err);
}

tspk_status tspk_onnx_gemm(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id a, y, c;
    bool is_linear;
    gemm g;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transA", 0, &g.is_a_swapped, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "transB", 0, &g.is_b_swapped, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "alpha", 1.0f, &g.alpha, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "beta", 1.0f, &g.beta, err));
    for (size_t i = 0; i < 2; i++) {
        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_F32, err));
        if (tspk_onnx_in(call, i)->shape.rank != 2)
            return TSPK_FAIL(err, TSPK_SHAPE, "operand %zu of Gemm has rank %d, expected 2", i,
                             tspk_onnx_in(call, i)->shape.rank);
    }
    a = call->in[0];
    if (g.is_a_swapped)
        TSPK_TRY(tspk_onnx_emit_swap(call, a, &a, err));
    is_linear = tspk_onnx_is_constant(call, call->in[1]);
    TSPK_TRY(is_linear ? gemm_linear(call, &g, a, &y, err) : gemm_general(call, &g, a, &y, err));
    call->results[0] = y;
    if (!tspk_onnx_has_in(call, 2) ||
        (is_linear && is_bias(call, tspk_onnx_value(call, y)->shape.dim[1])))
        return TSPK_OK;
    TSPK_TRY(emit_scaled(call, call->in[2], g.beta, &c, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_ADD, y, c, &call->results[0], err);
}

/* --- Conv --- */

#define MAX_CONV_NUMBER ((int64_t)1 << 20) /* of a stride, pad or dilation */

/* A 1-D Conv is a 2-D one of height 1: n_axes is 1 or 2, the pair is (height, width). */
static tspk_status conv_pair(tspk_onnx_call *call, const char *name, const char *what,
                             size_t n_axes, int64_t *pair_out, tspk_error *err)
{
    const int64_t *given;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_ints(call, name, &given, &n, err));
    if (given && n != n_axes)
        return TSPK_FAIL(err, TSPK_SHAPE, "Conv has %zu %s, expected %zu", n, name, n_axes);
    for (size_t i = 0; i < 2; i++) {
        pair_out[i] = given && i + n_axes >= 2 ? given[i + n_axes - 2] : 1;
        if (pair_out[i] < 1 || pair_out[i] > MAX_CONV_NUMBER)
            return TSPK_FAIL(err, TSPK_RANGE, "Conv %s %lld, expected 1 to %lld", what,
                             (long long)pair_out[i], (long long)MAX_CONV_NUMBER);
    }
    return TSPK_OK;
}

/* Pads as given, or as auto_pad says (SAME_*: the output has ceil(in / stride) elements). */
static tspk_status conv_pads(tspk_onnx_call *call, size_t n_axes, const tspk_shape *x,
                             const tspk_shape *w, tspk_attr *attr, tspk_error *err)
{
    const int64_t *given;
    char mode[16];
    bool is_upper;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_text(call, "auto_pad", mode, sizeof mode, err));
    TSPK_TRY(tspk_onnx_attr_ints(call, "pads", &given, &n, err));
    if (given && n != 2 * n_axes)
        return TSPK_FAIL(err, TSPK_SHAPE, "Conv has %zu pads, expected %zu", n, 2 * n_axes);
    for (size_t i = 0; i < 4; i++) {
        attr->pads[i] = !given ? 0 : n_axes == 2 ? given[i] : i % 2 ? given[i / 2] : 0;
        if (attr->pads[i] < 0 || attr->pads[i] > MAX_CONV_NUMBER)
            return TSPK_FAIL(err, TSPK_RANGE, "Conv pad %lld, expected 0 to %lld",
                             (long long)attr->pads[i], (long long)MAX_CONV_NUMBER);
    }
    if (!mode[0] || !strcmp(mode, "NOTSET"))
        return TSPK_OK;
    memset(attr->pads, 0, sizeof attr->pads);
    if (!strcmp(mode, "VALID"))
        return TSPK_OK;
    is_upper = !strcmp(mode, "SAME_UPPER");
    if (!is_upper && strcmp(mode, "SAME_LOWER") != 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "Conv auto_pad \"%s\" does not exist", mode);
    for (size_t i = 0; i < 2; i++) {
        const int64_t in = x->dim[2 + i], stride = attr->strides[i];
        const int64_t reach = (w->dim[2 + i] - 1) * attr->dilations[i] + 1;
        int64_t total = ((in + stride - 1) / stride - 1) * stride + reach - in;

        total = total < 0 ? 0 : total;
        attr->pads[i] = is_upper ? total / 2 : total - total / 2;
        attr->pads[2 + i] = total - attr->pads[i];
    }
    return TSPK_OK;
}

static tspk_status check_conv(tspk_onnx_call *call, size_t n_axes, const tspk_shape *x,
                              const tspk_shape *w, const tspk_attr *attr, tspk_error *err)
{
    const int64_t *kernel;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_ints(call, "kernel_shape", &kernel, &n, err));
    for (size_t i = 0; kernel && i < n_axes; i++)
        if (n != n_axes || kernel[i] != w->dim[4 - n_axes + i])
            return TSPK_FAIL(err, TSPK_SHAPE,
                             "Conv kernel_shape has %zu entries, the first %lld, and the weight "
                             "[.., %lld, %lld]",
                             n, (long long)kernel[0], (long long)w->dim[2], (long long)w->dim[3]);
    if (w->dim[2] < 1 || w->dim[3] < 1 || w->dim[2] > MAX_CONV_NUMBER ||
        w->dim[3] > MAX_CONV_NUMBER)
        return TSPK_FAIL(err, TSPK_SHAPE, "Conv kernel %lld x %lld", (long long)w->dim[2],
                         (long long)w->dim[3]);
    if (attr->groups < 1 || x->dim[1] % attr->groups || w->dim[0] % attr->groups ||
        w->dim[1] != x->dim[1] / attr->groups)
        return TSPK_FAIL(
            err, TSPK_SHAPE,
            "Conv of %lld channels in %lld groups, the weight is for %lld and makes %lld",
            (long long)x->dim[1], (long long)attr->groups, (long long)w->dim[1],
            (long long)w->dim[0]);
    return TSPK_OK;
}

static tspk_status check_conv_operands(tspk_onnx_call *call, tspk_error *err)
{
    const tspk_value *const x = tspk_onnx_in(call, 0), *const w = tspk_onnx_in(call, 1);

    for (size_t i = 0; i < call->n_in; i++)
        if (tspk_onnx_has_in(call, i))
            TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_F32, err));
    if (!w->data && w->producer == TSPK_ID_NONE)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "the weight \"%.60s\" is a graph input without a value (exported with "
                         "export_params=False?)",
                         w->name);
    if (x->shape.rank > 4 && x->shape.rank == w->shape.rank)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "Conv of a tensor of rank %d: [N, C, H, W] and [N, C, L] are supported",
                         x->shape.rank);
    if (x->shape.rank < 3 || x->shape.rank != w->shape.rank)
        return TSPK_FAIL(err, TSPK_SHAPE, "Conv of rank %d with a weight of rank %d", x->shape.rank,
                         w->shape.rank);
    return TSPK_OK;
}

/* [N, C, L] to [N, C, 1, L]; rank 4 stays. */
static tspk_status as_image(tspk_onnx_call *call, tspk_value_id x, tspk_value_id *out,
                            tspk_error *err)
{
    const tspk_shape from = tspk_onnx_value(call, x)->shape;
    const tspk_shape shape = {.rank = 4, .dim = {from.dim[0], from.dim[1], 1, from.dim[2]}};

    *out = x;
    return from.rank == 4 ? TSPK_OK : tspk_onnx_emit_reshape(call, x, &shape, out, err);
}

tspk_status tspk_onnx_conv(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape x, w, shape = {.rank = 4};
    tspk_value_id in[3], y;
    tspk_attr attr = {0};
    size_t n_axes;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(check_conv_operands(call, err));
    n_axes = tspk_onnx_in(call, 0)->shape.rank - 2u;
    for (size_t i = 0; i < 2; i++)
        TSPK_TRY(as_image(call, call->in[i], &in[i], err));
    in[2] = tspk_onnx_has_in(call, 2) ? call->in[2] : TSPK_ID_NONE;
    x = tspk_onnx_value(call, in[0])->shape;
    w = tspk_onnx_value(call, in[1])->shape;
    TSPK_TRY(tspk_onnx_attr_int(call, "group", 1, &attr.groups, err));
    TSPK_TRY(conv_pair(call, "strides", "stride", n_axes, attr.strides, err));
    TSPK_TRY(conv_pair(call, "dilations", "dilation", n_axes, attr.dilations, err));
    TSPK_TRY(check_conv(call, n_axes, &x, &w, &attr, err));
    TSPK_TRY(conv_pads(call, n_axes, &x, &w, &attr, err));
    shape.dim[0] = x.dim[0];
    shape.dim[1] = w.dim[0];
    for (size_t i = 0; i < 2; i++) {
        const int64_t room = x.dim[2 + i] + attr.pads[i] + attr.pads[2 + i] -
                             (w.dim[2 + i] - 1) * attr.dilations[i] - 1;

        if (room < 0)
            return TSPK_FAIL(err, TSPK_SHAPE, "Conv kernel of %lld over %lld elements",
                             (long long)w.dim[2 + i], (long long)x.dim[2 + i]);
        shape.dim[2 + i] = room / attr.strides[i] + 1;
    }
    TSPK_TRY(tspk_onnx_emit(call, TSPK_OP_CONV, in, in[2] == TSPK_ID_NONE ? 2 : 3, TSPK_DTYPE_F32,
                            &shape, &attr, &y, err));
    call->results[0] = y;
    if (n_axes == 2)
        return TSPK_OK;
    shape = (tspk_shape){.rank = 3, .dim = {shape.dim[0], shape.dim[1], shape.dim[3]}};
    return tspk_onnx_emit_reshape(call, y, &shape, &call->results[0], err);
}
