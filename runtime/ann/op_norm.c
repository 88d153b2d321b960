/* SPDX-License-Identifier: Apache-2.0 */
/* Softmax, LayerNorm, RmsNorm: rows through core/vecmath.h. */
#include <math.h>

#include "core/fail.h"
#include "core/mathfun.h"
#include "core/vecmath.h"
#include "runtime/ann/op_impl.h"

/* Softmax along an axis that is not the last: elements `inner` apart, in rising order. */
static void softmax_column(size_t n, size_t inner, const float *x, float *y)
{
    float max = -INFINITY, sum = 0.0f;

    for (size_t k = 0; k < n; k++)
        max = x[k * inner] > max ? x[k * inner] : max;
    for (size_t k = 0; k < n; k++) {
        y[k * inner] = tspk_expf(x[k * inner] - max);
        sum += y[k * inner];
    }
    for (size_t k = 0; k < n; k++)
        y[k * inner] *= 1.0f / sum;
}

/* Elements before and from `axis` on. */
static void split_at(const tspk_shape *shape, int64_t axis, size_t *rows_out, size_t *n_out)
{
    *rows_out = *n_out = 1;
    for (int i = 0; i < shape->rank; i++)
        *(i < axis ? rows_out : n_out) *= (size_t)shape->dim[i];
}

TSPK_OP_FN(tspk_eval_softmax)
{
    const tspk_vecmath *const vec = tools->math;
    const size_t n = in[0].shape.rank ? (size_t)in[0].shape.dim[node->attr.axis] : 1;
    const float *const x = in[0].data;
    float *const y = out[0].data;
    size_t rows, block;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    split_at(&in[0].shape, node->attr.axis, &rows, &block);
    if (!n)
        return TSPK_OK;
    for (size_t r = 0; r < rows; r++)
        if (block == n)
            vec->softmax(n, x + r * n, y + r * n);
        else
            for (size_t i = 0; i < block / n; i++)
                softmax_column(n, block / n, x + r * block + i, y + r * block + i);
    return TSPK_OK;
}

/* A scale or bias must name every element of the normalised axes. */
static tspk_status check_weight(const tspk_tensor *weight, size_t n, const char *what,
                                tspk_error *err)
{
    if (!weight->data)
        return TSPK_OK;
    if (weight->dtype != TSPK_DTYPE_F32)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s of %s elements", what,
                         tspk_dtype_name(weight->dtype));
    if (tspk_shape_elems(&weight->shape) != n)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s has %zu elements, expected %zu", what,
                         tspk_shape_elems(&weight->shape), n);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_layer_norm)
{
    const tspk_vecmath *const vec = tools->math;
    const float *const x = in[0].data;
    float *const y = out[0].data;
    const float *const weight = node->n_in > 1 ? in[1].data : NULL;
    const float *const bias = node->n_in > 2 ? in[2].data : NULL;
    size_t rows, n;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    split_at(&in[0].shape, node->attr.axis, &rows, &n);
    if (weight)
        TSPK_TRY(check_weight(&in[1], n, "scale", err));
    if (bias)
        TSPK_TRY(check_weight(&in[2], n, "bias", err));
    for (size_t r = 0; n && r < rows; r++)
        vec->layer_norm(n, x + r * n, weight, bias, node->attr.epsilon, y + r * n);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_rms_norm)
{
    const tspk_vecmath *const vec = tools->math;
    const float *const x = in[0].data;
    float *const y = out[0].data;
    const float *const weight = node->n_in > 1 ? in[1].data : NULL;
    size_t rows, n;

    if (in[0].dtype != TSPK_DTYPE_F32)
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    split_at(&in[0].shape, node->attr.axis, &rows, &n);
    if (weight)
        TSPK_TRY(check_weight(&in[1], n, "scale", err));
    for (size_t r = 0; n && r < rows; r++)
        vec->rms_norm(n, x + r * n, weight, node->attr.epsilon, y + r * n);
    return TSPK_OK;
}
