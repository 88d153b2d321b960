/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions and ArgMax. Order of a float sum: along contiguous rows that of core/vecmath.h, else
 * rising index order, each output element by itself. */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "core/vecmath.h"
#include "runtime/ann/op_impl.h"
#include "runtime/ann/strided.h"

/* Axes split into those that stay and those that are summed over. */
typedef struct split {
    int n_kept, n_reduced;
    size_t kept_dim[TSPK_MAX_RANK], reduced_dim[TSPK_MAX_RANK];
    ptrdiff_t kept_stride[TSPK_MAX_RANK], reduced_stride[TSPK_MAX_RANK];
    size_t n_out, n_per_out;
} split;

static bool is_reduced(const tspk_attr *attr, int axis)
{
    for (int i = 0; i < attr->n_axes; i++)
        if (attr->axes[i] == axis)
            return true;
    return false;
}

static split split_axes(const tspk_attr *attr, const tspk_shape *shape)
{
    split s = {.n_out = 1, .n_per_out = 1};
    ptrdiff_t stride[TSPK_MAX_RANK];

    tspk_dense_strides(shape, stride);
    for (int i = 0; i < shape->rank; i++) {
        const size_t n = (size_t)shape->dim[i];

        if (is_reduced(attr, i)) {
            s.reduced_dim[s.n_reduced] = n;
            s.reduced_stride[s.n_reduced++] = stride[i];
            s.n_per_out *= n;
        } else {
            s.kept_dim[s.n_kept] = n;
            s.kept_stride[s.n_kept++] = stride[i];
            s.n_out *= n;
        }
    }
    return s;
}

/* Offset of the i-th element of a strided block in row-major order. */
static size_t offset_of(size_t i, int rank, const size_t *dim, const ptrdiff_t *stride)
{
    size_t at = 0;

    for (int axis = rank; axis-- > 0;) {
        at += i % dim[axis] * (size_t)stride[axis];
        i /= dim[axis];
    }
    return at;
}

static float step_f32(tspk_op op, float total, float x)
{
    switch (op) {
    case TSPK_OP_REDUCE_MAX:
        return x > total || x != x ? x : total;
    case TSPK_OP_REDUCE_MIN:
        return x < total || x != x ? x : total;
    case TSPK_OP_REDUCE_PROD:
        return total * x;
    case TSPK_OP_REDUCE_L2:
        return fmaf(x, x, total);
    default:
        return total + x;
    }
}

static float start_f32(tspk_op op)
{
    switch (op) {
    case TSPK_OP_REDUCE_MAX:
        return -INFINITY;
    case TSPK_OP_REDUCE_MIN:
        return INFINITY;
    case TSPK_OP_REDUCE_PROD:
        return 1.0f;
    default:
        return 0.0f;
    }
}

static float finish_f32(tspk_op op, float total, size_t n)
{
    if (op == TSPK_OP_REDUCE_MEAN)
        return total / (float)n;
    return op == TSPK_OP_REDUCE_L2 ? sqrtf(total) : total;
}

/* True when the reduced axes are the last ones: rows of the dense input. */
static bool is_rows(const tspk_attr *attr, const tspk_shape *shape)
{
    for (int i = 0; i < attr->n_axes; i++)
        if (!is_reduced(attr, shape->rank - 1 - i))
            return false;
    return attr->n_axes > 0;
}

static void reduce_f32(tspk_op op, const tspk_vecmath *vec, const split *s, bool has_rows,
                       const float *x, float *y)
{
    if (has_rows && (op == TSPK_OP_REDUCE_MEAN || op == TSPK_OP_REDUCE_SUM)) {
        for (size_t i = 0; i < s->n_out; i++)
            y[i] = finish_f32(op, vec->sum(s->n_per_out, x + i * s->n_per_out), s->n_per_out);
        return;
    }
    for (size_t i = 0; i < s->n_out; i++) {
        const float *const from = x + offset_of(i, s->n_kept, s->kept_dim, s->kept_stride);
        float total = start_f32(op);

        if (s->n_reduced == 1)
            for (size_t r = 0; r < s->n_per_out; r++)
                total = step_f32(op, total, from[r * (size_t)s->reduced_stride[0]]);
        else
            for (size_t r = 0; r < s->n_per_out; r++)
                total = step_f32(
                    op, total, from[offset_of(r, s->n_reduced, s->reduced_dim, s->reduced_stride)]);
        y[i] = finish_f32(op, total, s->n_per_out);
    }
}

static int64_t step_i64(tspk_op op, int64_t total, int64_t x)
{
    switch (op) {
    case TSPK_OP_REDUCE_MAX:
        return x > total ? x : total;
    case TSPK_OP_REDUCE_MIN:
        return x < total ? x : total;
    case TSPK_OP_REDUCE_PROD:
        return (int64_t)((uint64_t)total * (uint64_t)x);
    default:
        return (int64_t)((uint64_t)total + (uint64_t)x);
    }
}

static int64_t start_i64(tspk_op op)
{
    switch (op) {
    case TSPK_OP_REDUCE_MAX:
        return INT64_MIN;
    case TSPK_OP_REDUCE_MIN:
        return INT64_MAX;
    default:
        return op == TSPK_OP_REDUCE_PROD;
    }
}

static void reduce_i64(tspk_op op, const split *s, const int64_t *x, int64_t *y)
{
    for (size_t i = 0; i < s->n_out; i++) {
        const int64_t *const from = x + offset_of(i, s->n_kept, s->kept_dim, s->kept_stride);
        int64_t total = start_i64(op);

        for (size_t r = 0; r < s->n_per_out; r++)
            total = step_i64(op, total,
                             from[offset_of(r, s->n_reduced, s->reduced_dim, s->reduced_stride)]);
        y[i] = op == TSPK_OP_REDUCE_MEAN && s->n_per_out ? total / (int64_t)s->n_per_out : total;
    }
}

TSPK_OP_FN(tspk_eval_reduce)
{
    const split s = split_axes(&node->attr, &in[0].shape);

    if (in[0].dtype == TSPK_DTYPE_F32) {
        reduce_f32(node->op, tools->math, &s, is_rows(&node->attr, &in[0].shape), in[0].data,
                   out[0].data);
        return TSPK_OK;
    }
    if (in[0].dtype == TSPK_DTYPE_I64 && node->op != TSPK_OP_REDUCE_L2) {
        reduce_i64(node->op, &s, in[0].data, out[0].data);
        return TSPK_OK;
    }
    return tspk_op_refuse_dtype(node, in[0].dtype, err);
}

#define ARG_MAX(name, type)                                                                        \
    static void name(const type *x, size_t outer, size_t n, size_t inner, bool is_last,            \
                     int64_t *y)                                                                   \
    {                                                                                              \
        for (size_t o = 0; o < outer; o++)                                                         \
            for (size_t i = 0; i < inner; i++) {                                                   \
                const type *const from = x + o * n * inner + i;                                    \
                size_t best = 0;                                                                   \
                                                                                                   \
                for (size_t k = 1; k < n; k++)                                                     \
                    if (from[k * inner] > from[best * inner] ||                                    \
                        (is_last && from[k * inner] == from[best * inner]))                        \
                        best = k;                                                                  \
                y[o * inner + i] = (int64_t)best;                                                  \
            }                                                                                      \
    }

ARG_MAX(arg_max_f32, float)
ARG_MAX(arg_max_i64, int64_t)

TSPK_OP_FN(tspk_eval_arg_max)
{
    const tspk_shape *const shape = &in[0].shape;
    const size_t n = (size_t)shape->dim[node->attr.axis];
    size_t outer = 1, inner = 1;

    (void)tools;
    for (int i = 0; i < shape->rank; i++)
        if (i < node->attr.axis)
            outer *= (size_t)shape->dim[i];
        else if (i > node->attr.axis)
            inner *= (size_t)shape->dim[i];
    if (!n && outer * inner > 0)
        return TSPK_FAIL(err, TSPK_RANGE, "no largest of 0 elements");
    if (in[0].dtype == TSPK_DTYPE_F32)
        arg_max_f32(in[0].data, outer, n, inner, node->attr.mode != 0, out[0].data);
    else if (in[0].dtype == TSPK_DTYPE_I64)
        arg_max_i64(in[0].data, outer, n, inner, node->attr.mode != 0, out[0].data);
    else
        return tspk_op_refuse_dtype(node, in[0].dtype, err);
    return TSPK_OK;
}
