/* SPDX-License-Identifier: Apache-2.0 */
#include "core/tensor.h"

#include <inttypes.h>
#include <stdio.h>

size_t tspk_dtype_bytes(tspk_dtype dtype)
{
    switch (dtype) {
    case TSPK_DTYPE_F32:
        return 4;
    case TSPK_DTYPE_I64:
        return 8;
    case TSPK_DTYPE_BOOL:
        return 1;
    }
    return 0;
}

const char *tspk_dtype_name(tspk_dtype dtype)
{
    switch (dtype) {
    case TSPK_DTYPE_F32:
        return "float32";
    case TSPK_DTYPE_I64:
        return "int64";
    case TSPK_DTYPE_BOOL:
        return "bool";
    }
    return "unknown";
}

size_t tspk_shape_elems(const tspk_shape *shape)
{
    return tspk_shape_rows(shape) * tspk_shape_last(shape);
}

size_t tspk_shape_rows(const tspk_shape *shape)
{
    size_t rows = 1;

    for (int i = 0; i + 1 < shape->rank; i++)
        rows *= (size_t)shape->dim[i];
    return rows;
}

size_t tspk_shape_last(const tspk_shape *shape)
{
    return shape->rank ? (size_t)shape->dim[shape->rank - 1] : 1;
}

bool tspk_shape_equal(const tspk_shape *a, const tspk_shape *b)
{
    if (a->rank != b->rank)
        return false;
    for (int i = 0; i < a->rank; i++)
        if (a->dim[i] != b->dim[i])
            return false;
    return true;
}

char *tspk_shape_text(const tspk_shape *shape, char *buf, size_t size)
{
    size_t used = 0;

    if (!size)
        return buf;
    used += (size_t)snprintf(buf, size, "[");
    for (int i = 0; i < shape->rank && used < size; i++)
        used += (size_t)snprintf(buf + used, size - used, i ? ", %" PRId64 : "%" PRId64,
                                 shape->dim[i]);
    if (used < size)
        snprintf(buf + used, size - used, "]");
    return buf;
}
