/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes are static: Shape and Size are constants, everything that renames axes is a Reshape. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/checked.h"
#include "core/fail.h"

static int64_t clamp(int64_t value, int64_t least, int64_t most)
{
    return value < least ? least : value > most ? most : value;
}

tspk_status tspk_onnx_shape(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape of, shape = {.rank = 1};
    int64_t start, end, rank;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    of = tspk_onnx_in(call, 0)->shape;
    rank = of.rank;
    TSPK_TRY(tspk_onnx_attr_int(call, "start", 0, &start, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "end", rank, &end, err));
    start = clamp(start < 0 ? clamp(start, -rank, 0) + rank : start, 0, rank);
    end = clamp(end < 0 ? clamp(end, -rank, 0) + rank : end, 0, rank);
    shape.dim[0] = end > start ? end - start : 0;
    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_I64, &shape, &data, &call->results[0], err));
    for (int64_t i = 0; i < shape.dim[0]; i++)
        ((int64_t *)data)[i] = of.dim[start + i];
    return TSPK_OK;
}

tspk_status tspk_onnx_size(tspk_onnx_call *call, tspk_error *err)
{
    const tspk_shape shape = {0};
    size_t n = 0;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_elems(&tspk_onnx_in(call, 0)->shape, &n, err));
    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_I64, &shape, &data, &call->results[0], err));
    *(int64_t *)data = (int64_t)n;
    return TSPK_OK;
}

static tspk_status refuse_reshape(const tspk_shape *from, const int64_t *to, size_t n,
                                  tspk_error *err)
{
    tspk_shape shape = {.rank = (uint8_t)n};
    char ta[96], tb[128];

    memcpy(shape.dim, to, n * sizeof *to);
    return TSPK_FAIL(err, TSPK_SHAPE, "Reshape of %s to %s", tspk_shape_text(from, ta, sizeof ta),
                     tspk_shape_text(&shape, tb, sizeof tb));
}

tspk_status tspk_onnx_reshape(tspk_onnx_call *call, tspk_error *err)
{
    const int64_t *to;
    int64_t allow_zero;
    tspk_shape from, shape = {0};
    size_t n, elems, known = 1, at = SIZE_MAX;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "allowzero", 0, &allow_zero, err));
    TSPK_TRY(tspk_onnx_const_ints(call, 1, "shape", &to, &n, err));
    from = tspk_onnx_in(call, 0)->shape;
    TSPK_TRY(tspk_onnx_elems(&from, &elems, err));
    if (n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Reshape to rank %zu, at most %d is supported", n,
                         TSPK_MAX_RANK);
    shape.rank = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        const bool is_kept = to[i] == 0 && !allow_zero && i < from.rank;

        shape.dim[i] = is_kept ? from.dim[i] : to[i];
        if (to[i] == -1 && at == SIZE_MAX)
            at = i;
        else if (shape.dim[i] < 0 || !tspk_checked_mul(known, (size_t)shape.dim[i], &known) ||
                 known > TSPK_MAX_TENSOR_ELEMS)
            return refuse_reshape(&from, to, n, err);
    }
    if (at != SIZE_MAX) {
        if (known == 0 || elems % known)
            return refuse_reshape(&from, to, n, err);
        shape.dim[at] = (int64_t)(elems / known);
    } else if (known != elems) {
        return refuse_reshape(&from, to, n, err);
    }
    return tspk_onnx_emit_reshape(call, call->in[0], &shape, &call->results[0], err);
}

tspk_status tspk_onnx_flatten(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape from, shape = {.rank = 2, .dim = {1, 1}};
    int64_t axis;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 1, &axis, err));
    from = tspk_onnx_in(call, 0)->shape;
    if (axis < -(int64_t)from.rank || axis > from.rank)
        return TSPK_FAIL(err, TSPK_RANGE, "Flatten axis %lld, rank %d", (long long)axis, from.rank);
    if (axis < 0)
        axis += from.rank;
    for (int i = 0; i < from.rank; i++)
        shape.dim[i >= axis] *= from.dim[i];
    return tspk_onnx_emit_reshape(call, call->in[0], &shape, &call->results[0], err);
}

tspk_status tspk_onnx_squeeze(tspk_onnx_call *call, tspk_error *err)
{
    int64_t axes[TSPK_MAX_RANK];
    tspk_shape from, shape = {0};
    size_t n, k = 0;
    bool is_given;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    from = tspk_onnx_in(call, 0)->shape;
    TSPK_TRY(
        tspk_onnx_axes_of(call, call->op->since >= 13, 1, from.rank, axes, &n, &is_given, err));
    for (int i = 0; i < from.rank; i++) {
        const bool is_named = is_given ? k < n && axes[k] == i : from.dim[i] == 1;

        k += is_given && is_named;
        if (!is_named)
            shape.dim[shape.rank++] = from.dim[i];
        else if (from.dim[i] != 1)
            return TSPK_FAIL(err, TSPK_SHAPE, "Squeeze of axis %d, which has %lld elements", i,
                             (long long)from.dim[i]);
    }
    return tspk_onnx_emit_reshape(call, call->in[0], &shape, &call->results[0], err);
}

tspk_status tspk_onnx_unsqueeze(tspk_onnx_call *call, tspk_error *err)
{
    int64_t axes[TSPK_MAX_RANK];
    const int64_t *given = NULL;
    tspk_shape from, shape = {0};
    size_t n = 0, at = 0, k = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    from = tspk_onnx_in(call, 0)->shape;
    if (call->op->since >= 13)
        TSPK_TRY(tspk_onnx_const_ints(call, 1, "axes", &given, &n, err));
    else
        TSPK_TRY(tspk_onnx_attr_ints(call, "axes", &given, &n, err));
    if (n + from.rank > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Unsqueeze to rank %zu, at most %d is supported",
                         n + from.rank, TSPK_MAX_RANK);
    shape.rank = (uint8_t)(n + from.rank);
    TSPK_TRY(tspk_onnx_axes(given, n, shape.rank, axes, err));
    for (int i = 0; i < shape.rank; i++) {
        const bool is_new = k < n && axes[k] == i;

        k += is_new;
        shape.dim[i] = is_new ? 1 : from.dim[at++];
    }
    return tspk_onnx_emit_reshape(call, call->in[0], &shape, &call->results[0], err);
}

tspk_status tspk_onnx_transpose(tspk_onnx_call *call, tspk_error *err)
{
    int64_t perm[TSPK_MAX_RANK];
    const int64_t *given;
    unsigned seen = 0;
    int rank;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_ints(call, "perm", &given, &n, err));
    rank = tspk_onnx_in(call, 0)->shape.rank;
    if (given && n != (size_t)rank)
        return TSPK_FAIL(err, TSPK_SHAPE, "perm has %zu entries, the rank is %d", n, rank);
    for (int i = 0; i < rank; i++) {
        perm[i] = given ? given[i] : rank - 1 - i;
        if (perm[i] < 0 || perm[i] >= rank || (seen & (1u << perm[i])))
            return TSPK_FAIL(err, TSPK_FORMAT, "perm is not a permutation: entry %d is %lld", i,
                             (long long)perm[i]);
        seen |= 1u << perm[i];
    }
    return tspk_onnx_emit_transpose(call, call->in[0], perm, &call->results[0], err);
}

/* A shape given as a constant: rank within bounds, nothing negative. */
static tspk_status read_shape(tspk_onnx_call *call, size_t i, tspk_shape *shape_out,
                              tspk_error *err)
{
    const int64_t *dims;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_const_ints(call, i, "shape", &dims, &n, err));
    if (n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "rank %zu, at most %d is supported", n, TSPK_MAX_RANK);
    shape_out->rank = (uint8_t)n;
    for (size_t k = 0; k < n; k++) {
        if (dims[k] < 0)
            return TSPK_FAIL(err, TSPK_SHAPE, "dimension %zu is %lld", k, (long long)dims[k]);
        shape_out->dim[k] = dims[k];
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_expand(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape to = {0}, shape;
    tspk_value x;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(read_shape(call, 1, &to, err));
    x = *tspk_onnx_in(call, 0);
    TSPK_TRY(tspk_onnx_broadcast(&x.shape, &to, &shape, err));
    return tspk_onnx_emit(call, TSPK_OP_EXPAND, call->in, 1, x.dtype, &shape, NULL,
                          &call->results[0], err);
}

tspk_status tspk_onnx_tile(tspk_onnx_call *call, tspk_error *err)
{
    tspk_shape repeats = {0}, shape;
    tspk_value x;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(read_shape(call, 1, &repeats, err));
    x = *tspk_onnx_in(call, 0);
    shape = x.shape;
    if (repeats.rank != shape.rank)
        return TSPK_FAIL(err, TSPK_SHAPE, "Tile has %d repeats, the rank is %d", repeats.rank,
                         shape.rank);
    for (int i = 0; i < shape.rank; i++) {
        size_t n;

        if (!tspk_checked_mul((size_t)shape.dim[i], (size_t)repeats.dim[i], &n) ||
            n > TSPK_MAX_TENSOR_ELEMS)
            return TSPK_FAIL(err, TSPK_LIMIT, "Tile of axis %d: %lld times %lld elements", i,
                             (long long)repeats.dim[i], (long long)shape.dim[i]);
        shape.dim[i] = (int64_t)n;
    }
    return tspk_onnx_emit(call, TSPK_OP_TILE, call->in, 1, x.dtype, &shape, NULL, &call->results[0],
                          err);
}
