/* SPDX-License-Identifier: Apache-2.0 */
/* Elements move, none changes: every element type alike. */
#include <inttypes.h>
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_impl.h"
#include "runtime/ann/strided.h"

static void shape_dims(const tspk_shape *shape, size_t *dim_out)
{
    for (int i = 0; i < shape->rank; i++)
        dim_out[i] = (size_t)shape->dim[i];
}

/* Product of dim[from … to). */
static size_t span(const tspk_shape *shape, int64_t from, int64_t to)
{
    size_t elems = 1;

    for (int64_t i = from; i < to; i++)
        elems *= (size_t)shape->dim[i];
    return elems;
}

TSPK_OP_FN(tspk_eval_copy)
{
    const size_t bytes = tspk_shape_elems(&in[0].shape) * tspk_dtype_bytes(in[0].dtype);

    (void)node;
    (void)tools;
    (void)err;
    if (bytes)
        memcpy(out[0].data, in[0].data, bytes);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_transpose)
{
    ptrdiff_t in_stride[TSPK_MAX_RANK], from[TSPK_MAX_RANK], to[TSPK_MAX_RANK];
    size_t dim[TSPK_MAX_RANK];

    (void)tools;
    (void)err;
    tspk_dense_strides(&in[0].shape, in_stride);
    tspk_dense_strides(&out[0].shape, to);
    shape_dims(&out[0].shape, dim);
    for (int i = 0; i < out[0].shape.rank; i++)
        from[i] = in_stride[node->attr.axes[i]];
    tspk_copy_strided(tspk_dtype_bytes(in[0].dtype), out[0].shape.rank, dim, out[0].data, to,
                      in[0].data, from);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_slice)
{
    const size_t bytes = tspk_dtype_bytes(in[0].dtype);
    ptrdiff_t from[TSPK_MAX_RANK], to[TSPK_MAX_RANK];
    size_t dim[TSPK_MAX_RANK];
    ptrdiff_t first = 0;

    (void)tools;
    if (!tspk_shape_elems(&out[0].shape))
        return TSPK_OK;
    tspk_dense_strides(&in[0].shape, from);
    tspk_dense_strides(&out[0].shape, to);
    shape_dims(&out[0].shape, dim);
    for (int i = 0; i < out[0].shape.rank; i++) {
        const int64_t start = node->attr.starts[i], step = node->attr.steps[i];
        const int64_t n = in[0].shape.dim[i], last = start + step * (out[0].shape.dim[i] - 1);

        if (start < 0 || start >= n || last < 0 || last >= n)
            return TSPK_FAIL(err, TSPK_RANGE,
                             "slice %" PRId64 " … %" PRId64 " of axis %d leaves its %" PRId64
                             " elements",
                             start, last, i, n);
        first += (ptrdiff_t)start * from[i];
        from[i] *= (ptrdiff_t)step;
    }
    tspk_copy_strided(bytes, out[0].shape.rank, dim, out[0].data, to,
                      (const char *)in[0].data + first * (ptrdiff_t)bytes, from);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_concat)
{
    const int64_t axis = node->attr.axis;
    const size_t outer = span(&out[0].shape, 0, axis);
    const size_t row =
        span(&out[0].shape, axis, out[0].shape.rank) * tspk_dtype_bytes(out[0].dtype);
    size_t at = 0;

    (void)tools;
    (void)err;
    for (uint32_t i = 0; i < node->n_in; i++) {
        const size_t part =
            span(&in[i].shape, axis, in[i].shape.rank) * tspk_dtype_bytes(out[0].dtype);

        for (size_t o = 0; part && o < outer; o++)
            memcpy((char *)out[0].data + o * row + at, (const char *)in[i].data + o * part, part);
        at += part;
    }
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_gather)
{
    const int64_t axis = node->attr.axis, n = in[0].shape.dim[axis];
    const size_t outer = span(&in[0].shape, 0, axis);
    const size_t inner =
        span(&in[0].shape, axis + 1, in[0].shape.rank) * tspk_dtype_bytes(in[0].dtype);
    const size_t n_indices = tspk_shape_elems(&in[1].shape);
    const int64_t *const index = in[1].data;
    char *to = out[0].data;

    (void)tools;
    if (in[1].dtype != TSPK_DTYPE_I64)
        return tspk_op_refuse_dtype(node, in[1].dtype, err);
    for (size_t i = 0; i < n_indices; i++)
        if (index[i] < -n || index[i] >= n)
            return TSPK_FAIL(err, TSPK_RANGE,
                             "index %" PRId64 " is outside the %" PRId64
                             " elements of axis %" PRId64,
                             index[i], n, axis);
    for (size_t o = 0; inner && o < outer; o++)
        for (size_t i = 0; i < n_indices; i++, to += inner) {
            const size_t at = (size_t)(index[i] < 0 ? index[i] + n : index[i]);

            memcpy(to, (const char *)in[0].data + (o * (size_t)n + at) * inner, inner);
        }
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_expand)
{
    ptrdiff_t in_stride[TSPK_MAX_RANK], from[TSPK_MAX_RANK], to[TSPK_MAX_RANK];
    size_t dim[TSPK_MAX_RANK];
    const int shift = out[0].shape.rank - in[0].shape.rank;

    (void)node;
    (void)tools;
    (void)err;
    tspk_dense_strides(&in[0].shape, in_stride);
    tspk_dense_strides(&out[0].shape, to);
    shape_dims(&out[0].shape, dim);
    for (int i = 0; i < out[0].shape.rank; i++)
        from[i] = i < shift || in[0].shape.dim[i - shift] == 1 ? 0 : in_stride[i - shift];
    tspk_copy_strided(tspk_dtype_bytes(in[0].dtype), out[0].shape.rank, dim, out[0].data, to,
                      in[0].data, from);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_tile)
{
    ptrdiff_t in_stride[TSPK_MAX_RANK], out_stride[TSPK_MAX_RANK];
    ptrdiff_t from[TSPK_MAX_STRIDED_RANK], to[TSPK_MAX_STRIDED_RANK];
    size_t dim[TSPK_MAX_STRIDED_RANK];
    const int rank = out[0].shape.rank;

    (void)node;
    (void)tools;
    (void)err;
    if (!tspk_shape_elems(&out[0].shape))
        return TSPK_OK;
    tspk_dense_strides(&in[0].shape, in_stride);
    tspk_dense_strides(&out[0].shape, out_stride);
    /* every axis becomes two: repeats, and the elements repeated */
    for (int i = 0; i < rank; i++) {
        dim[2 * i] = (size_t)(out[0].shape.dim[i] / in[0].shape.dim[i]);
        dim[2 * i + 1] = (size_t)in[0].shape.dim[i];
        from[2 * i] = 0;
        from[2 * i + 1] = in_stride[i];
        to[2 * i] = out_stride[i] * (ptrdiff_t)in[0].shape.dim[i];
        to[2 * i + 1] = out_stride[i];
    }
    tspk_copy_strided(tspk_dtype_bytes(in[0].dtype), 2 * rank, dim, out[0].data, to, in[0].data,
                      from);
    return TSPK_OK;
}

static void fill(tspk_tensor *tensor, float value)
{
    const size_t n = tspk_shape_elems(&tensor->shape);

    switch (tensor->dtype) {
    case TSPK_DTYPE_F32:
        for (size_t i = 0; i < n; i++)
            ((float *)tensor->data)[i] = value;
        return;
    case TSPK_DTYPE_I64:
        for (size_t i = 0; i < n; i++)
            ((int64_t *)tensor->data)[i] = (int64_t)value;
        return;
    case TSPK_DTYPE_BOOL:
        if (n)
            memset(tensor->data, value != 0.0f, n);
        return;
    }
}

TSPK_OP_FN(tspk_eval_pad)
{
    const size_t bytes = tspk_dtype_bytes(in[0].dtype);
    ptrdiff_t from[TSPK_MAX_RANK], to[TSPK_MAX_RANK];
    size_t dim[TSPK_MAX_RANK];
    ptrdiff_t from_first = 0, to_first = 0;

    (void)tools;
    if (node->attr.mode != 0)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "only constant padding is supported");
    fill(&out[0], node->attr.alpha);
    tspk_dense_strides(&in[0].shape, from);
    tspk_dense_strides(&out[0].shape, to);
    for (int i = 0; i < out[0].shape.rank; i++) {
        /* a negative pad crops */
        const int64_t before = node->attr.starts[i];
        const int64_t skipped = before < 0 ? -before : 0, at = before > 0 ? before : 0;
        const int64_t left = in[0].shape.dim[i] - skipped, room = out[0].shape.dim[i] - at;
        const int64_t n = left < room ? left : room;

        if (n <= 0)
            return TSPK_OK;
        dim[i] = (size_t)n;
        from_first += (ptrdiff_t)skipped * from[i];
        to_first += (ptrdiff_t)at * to[i];
    }
    tspk_copy_strided(bytes, out[0].shape.rank, dim,
                      (char *)out[0].data + to_first * (ptrdiff_t)bytes, to,
                      (const char *)in[0].data + from_first * (ptrdiff_t)bytes, from);
    return TSPK_OK;
}
