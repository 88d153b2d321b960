/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ann/strided.h"

#include <string.h>

void tspk_dense_strides(const tspk_shape *shape, ptrdiff_t *stride_out)
{
    ptrdiff_t stride = 1;

    for (int i = shape->rank; i-- > 0;) {
        stride_out[i] = stride;
        stride *= (ptrdiff_t)shape->dim[i];
    }
}

#define COPY_ROW(name, type)                                                                       \
    static void name(size_t n, void *dst, ptrdiff_t dst_stride, const void *src,                   \
                     ptrdiff_t src_stride)                                                         \
    {                                                                                              \
        type *to = dst;                                                                            \
        const type *from = src;                                                                    \
                                                                                                   \
        for (size_t i = 0; i < n; i++, to += dst_stride, from += src_stride)                       \
            *to = *from;                                                                           \
    }

COPY_ROW(copy_row_1, uint8_t)
COPY_ROW(copy_row_4, uint32_t)
COPY_ROW(copy_row_8, uint64_t)

static void copy_row(size_t bytes, size_t n, void *dst, ptrdiff_t dst_stride, const void *src,
                     ptrdiff_t src_stride)
{
    if (dst_stride == 1 && src_stride == 1)
        memcpy(dst, src, n * bytes);
    else if (bytes == 4)
        copy_row_4(n, dst, dst_stride, src, src_stride);
    else if (bytes == 8)
        copy_row_8(n, dst, dst_stride, src, src_stride);
    else
        copy_row_1(n, dst, dst_stride, src, src_stride);
}

/* Drops axes of length 1 and merges neighbours that both sides walk as one; returns the rank. */
static int collapse(int rank, const size_t *dim, const ptrdiff_t *a, const ptrdiff_t *b,
                    size_t *dim_out, ptrdiff_t *a_out, ptrdiff_t *b_out)
{
    int kept = 0;

    for (int i = 0; i < rank; i++) {
        const ptrdiff_t n = (ptrdiff_t)dim[i];

        if (n == 1)
            continue;
        if (kept && a_out[kept - 1] == a[i] * n && b_out[kept - 1] == b[i] * n) {
            dim_out[kept - 1] *= dim[i];
            a_out[kept - 1] = a[i];
            b_out[kept - 1] = b[i];
            continue;
        }
        dim_out[kept] = dim[i];
        a_out[kept] = a[i];
        b_out[kept] = b[i];
        kept++;
    }
    if (!kept) {
        dim_out[0] = 1;
        a_out[0] = b_out[0] = 1;
        kept = 1;
    }
    return kept;
}

void tspk_copy_strided(size_t elem_bytes, int rank, const size_t *dim, void *dst,
                       const ptrdiff_t *dst_stride, const void *src, const ptrdiff_t *src_stride)
{
    size_t n[TSPK_MAX_STRIDED_RANK], index[TSPK_MAX_STRIDED_RANK] = {0};
    ptrdiff_t to_stride[TSPK_MAX_STRIDED_RANK], from_stride[TSPK_MAX_STRIDED_RANK];
    const ptrdiff_t bytes = (ptrdiff_t)elem_bytes;
    char *to = dst;
    const char *from = src;
    int last;

    for (int i = 0; i < rank; i++)
        if (!dim[i])
            return;
    last = collapse(rank, dim, dst_stride, src_stride, n, to_stride, from_stride) - 1;
    for (;;) {
        int axis = last - 1;

        copy_row(elem_bytes, n[last], to, to_stride[last], from, from_stride[last]);
        for (; axis >= 0; axis--) {
            to += to_stride[axis] * bytes;
            from += from_stride[axis] * bytes;
            if (++index[axis] < n[axis])
                break;
            to -= to_stride[axis] * bytes * (ptrdiff_t)n[axis];
            from -= from_stride[axis] * bytes * (ptrdiff_t)n[axis];
            index[axis] = 0;
        }
        if (axis < 0)
            return;
    }
}

static bool is_merged(const tspk_broadcast *plan, const ptrdiff_t *stride, ptrdiff_t n)
{
    for (int o = 0; o < plan->n; o++)
        if (plan->stride[o][plan->rank - 1] != stride[o] * n)
            return false;
    return true;
}

void tspk_broadcast_plan(const tspk_shape *out, int n, const tspk_tensor *in,
                         tspk_broadcast *plan_out)
{
    ptrdiff_t dense[TSPK_MAX_OPERANDS][TSPK_MAX_RANK];

    plan_out->rank = 0;
    plan_out->n = n;
    for (int o = 0; o < n; o++)
        tspk_dense_strides(&in[o].shape, dense[o]);
    for (int i = 0; i < out->rank; i++) {
        ptrdiff_t stride[TSPK_MAX_OPERANDS];

        if (out->dim[i] == 1)
            continue;
        for (int o = 0; o < n; o++) {
            const int axis = i - (out->rank - in[o].shape.rank);

            stride[o] = axis < 0 || in[o].shape.dim[axis] == 1 ? 0 : dense[o][axis];
        }
        if (plan_out->rank && is_merged(plan_out, stride, (ptrdiff_t)out->dim[i])) {
            plan_out->dim[plan_out->rank - 1] *= (size_t)out->dim[i];
        } else {
            plan_out->dim[plan_out->rank++] = (size_t)out->dim[i];
        }
        for (int o = 0; o < n; o++)
            plan_out->stride[o][plan_out->rank - 1] = stride[o];
    }
    if (!plan_out->rank) {
        plan_out->rank = 1;
        plan_out->dim[0] = 1;
        for (int o = 0; o < n; o++)
            plan_out->stride[o][0] = 0;
    }
}

bool tspk_broadcast_next(const tspk_broadcast *plan, tspk_broadcast_row *row)
{
    row->out += plan->dim[plan->rank - 1];
    for (int axis = plan->rank - 2; axis >= 0; axis--) {
        for (int o = 0; o < plan->n; o++)
            row->at[o] += (size_t)plan->stride[o][axis];
        if (++row->index[axis] < plan->dim[axis])
            return true;
        for (int o = 0; o < plan->n; o++)
            row->at[o] -= (size_t)plan->stride[o][axis] * plan->dim[axis];
        row->index[axis] = 0;
    }
    return false;
}
