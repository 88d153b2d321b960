/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of tensors: Concat, Split, Slice, Gather. */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

tspk_status tspk_onnx_concat(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_attribute *const given = tspk_onnx_attr(call, "axis");
    tspk_attr attr = {0};
    tspk_value first;
    tspk_shape shape;
    uint32_t n_parts = 0;
    int64_t wanted;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, call->n_in, err));
    if (!given)
        return TSPK_FAIL(err, TSPK_FORMAT, "Concat needs the attribute axis");
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 0, &wanted, err));
    first = *tspk_onnx_in(call, 0);
    shape = first.shape;
    TSPK_TRY(tspk_onnx_axis(wanted, shape.rank, &axis, err));
    attr.axis = (int64_t)axis;
    for (size_t i = 1; i < call->n_in; i++) {
        const tspk_value *const x = tspk_onnx_in(call, i);
        char ta[96], tb[96];
        bool fits = x->shape.rank == shape.rank;

        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], first.dtype, err));
        for (int a = 0; fits && a < shape.rank; a++)
            fits = a == (int)axis || x->shape.dim[a] == shape.dim[a];
        if (!fits)
            return TSPK_FAIL(err, TSPK_SHAPE, "Concat on axis %zu of %s and input %zu, %s", axis,
                             tspk_shape_text(&first.shape, ta, sizeof ta), i,
                             tspk_shape_text(&x->shape, tb, sizeof tb));
        shape.dim[axis] += x->shape.dim[axis];
    }
    for (size_t i = 0; i < call->n_in; i++) /* parts without elements add nothing */
        if (tspk_onnx_in(call, i)->shape.dim[axis] > 0 || (n_parts == 0 && i + 1 == call->n_in))
            call->in[n_parts++] = call->in[i];
    if (n_parts == 1) {
        call->results[0] = call->in[0];
        return TSPK_OK;
    }
    return tspk_onnx_emit(call, TSPK_OP_CONCAT, call->in, n_parts, first.dtype, &shape, &attr,
                          &call->results[0], err);
}

/* Sizes of the parts: given, or equal; with num_outputs the last may be smaller. */
static tspk_status split_sizes(tspk_onnx_call *call, int64_t total, const int64_t **sizes_out,
                               int64_t *chunk_out, tspk_error *err)
{
    const size_t n_parts = call->proto->n_output;
    const int64_t *sizes = NULL;
    size_t n = 0;
    int64_t sum = 0, num_outputs = 0;

    if (call->op->since >= 13) {
        if (tspk_onnx_has_in(call, 1))
            TSPK_TRY(tspk_onnx_const_ints(call, 1, "split", &sizes, &n, err));
        TSPK_TRY(tspk_onnx_attr_int(call, "num_outputs", 0, &num_outputs, err));
    } else {
        TSPK_TRY(tspk_onnx_attr_ints(call, "split", &sizes, &n, err));
    }
    *sizes_out = n ? sizes : NULL;
    if (n == 0) {
        const int64_t parts = (int64_t)n_parts;

        if (num_outputs && num_outputs != parts)
            return TSPK_FAIL(err, TSPK_FORMAT, "num_outputs is %lld, the node has %zu outputs",
                             (long long)num_outputs, n_parts);
        *chunk_out = (total + parts - 1) / parts;
        if (total % parts && (!num_outputs || *chunk_out * (parts - 1) >= total))
            return TSPK_FAIL(err, TSPK_SHAPE, "Split of an axis of %lld into %zu parts",
                             (long long)total, n_parts);
        return TSPK_OK;
    }
    if (n != n_parts)
        return TSPK_FAIL(err, TSPK_FORMAT, "Split has %zu sizes and %zu outputs", n, n_parts);
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] < 0 || sizes[i] > total)
            return TSPK_FAIL(err, TSPK_SHAPE, "Split size %zu is %lld, the axis has %lld", i,
                             (long long)sizes[i], (long long)total);
        sum += sizes[i];
    }
    if (sum != total)
        return TSPK_FAIL(err, TSPK_SHAPE, "Split sizes sum to %lld, the axis has %lld",
                         (long long)sum, (long long)total);
    return TSPK_OK;
}

tspk_status tspk_onnx_split(tspk_onnx_call *call, tspk_error *err)
{
    const int64_t *sizes;
    int64_t wanted, total, chunk = 0, at = 0;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 0, &wanted, err));
    TSPK_TRY(tspk_onnx_axis(wanted, tspk_onnx_in(call, 0)->shape.rank, &axis, err));
    total = tspk_onnx_in(call, 0)->shape.dim[axis];
    TSPK_TRY(split_sizes(call, total, &sizes, &chunk, err));
    for (size_t i = 0; i < call->proto->n_output; i++) {
        const int64_t n = sizes ? sizes[i] : chunk < total - at ? chunk : total - at;

        if (call->proto->output[i][0])
            TSPK_TRY(tspk_onnx_emit_slice(call, call->in[0], axis, at, n, &call->results[i], err));
        at += n;
    }
    return TSPK_OK;
}

/* One axis as ONNX has it: negative counts from the end, out of range is clamped. */
static tspk_status slice_axis(int64_t start, int64_t end, int64_t step, int64_t dim,
                              int64_t *start_out, int64_t *n_out, tspk_error *err)
{
    if (step == 0)
        return TSPK_FAIL(err, TSPK_RANGE, "Slice with step 0");
    if (step > (int64_t)TSPK_MAX_TENSOR_ELEMS)
        step = (int64_t)TSPK_MAX_TENSOR_ELEMS;
    if (step < -(int64_t)TSPK_MAX_TENSOR_ELEMS)
        step = -(int64_t)TSPK_MAX_TENSOR_ELEMS;
    if (start < 0)
        start = start < -dim ? -1 : start + dim;
    if (end < 0)
        end = end < -dim ? -1 : end + dim;
    if (step > 0) {
        start = start < 0 ? 0 : start > dim ? dim : start;
        end = end < 0 ? 0 : end > dim ? dim : end;
        *n_out = end > start ? (end - start + step - 1) / step : 0;
    } else {
        start = start < 0 ? -1 : start > dim - 1 ? dim - 1 : start;
        end = end > dim - 1 ? dim - 1 : end;
        *n_out = start > end ? (start - end - step - 1) / -step : 0;
    }
    *start_out = *n_out ? start : 0;
    return TSPK_OK;
}

static tspk_status emit_slices(tspk_onnx_call *call, const int64_t *starts, const int64_t *ends,
                               const int64_t *axes, const int64_t *steps, size_t n, tspk_error *err)
{
    const tspk_value x = *tspk_onnx_in(call, 0);
    tspk_shape shape = x.shape;
    tspk_attr attr = {0};
    unsigned seen = 0;

    for (int i = 0; i < shape.rank; i++)
        attr.steps[i] = 1;
    for (size_t i = 0; i < n; i++) {
        const int64_t limit = (int64_t)TSPK_MAX_TENSOR_ELEMS, step = steps ? steps[i] : 1;
        size_t axis = 0;

        TSPK_TRY(tspk_onnx_axis(axes ? axes[i] : (int64_t)i, shape.rank, &axis, err));
        if (seen & (1u << axis))
            return TSPK_FAIL(err, TSPK_FORMAT, "Slice of axis %zu twice", axis);
        seen |= 1u << axis;
        TSPK_TRY(slice_axis(starts[i], ends[i], step, x.shape.dim[axis], &attr.starts[axis],
                            &shape.dim[axis], err));
        attr.steps[axis] = step > limit ? limit : step < -limit ? -limit : step;
    }
    return tspk_onnx_emit(call, TSPK_OP_SLICE, call->in, 1, x.dtype, &shape, &attr,
                          &call->results[0], err);
}

tspk_status tspk_onnx_slice_attrs(tspk_onnx_call *call, tspk_error *err)
{
    const int64_t *starts, *ends, *axes;
    size_t n_starts, n_ends, n_axes;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_attr_ints(call, "starts", &starts, &n_starts, err));
    TSPK_TRY(tspk_onnx_attr_ints(call, "ends", &ends, &n_ends, err));
    TSPK_TRY(tspk_onnx_attr_ints(call, "axes", &axes, &n_axes, err));
    if (n_starts == 0 || n_starts != n_ends || (axes && n_axes != n_starts))
        return TSPK_FAIL(err, TSPK_FORMAT, "Slice has %zu starts, %zu ends, %zu axes", n_starts,
                         n_ends, n_axes);
    return emit_slices(call, starts, ends, axes, NULL, n_starts, err);
}

tspk_status tspk_onnx_slice(tspk_onnx_call *call, tspk_error *err)
{
    const int64_t *starts, *ends, *axes = NULL, *steps = NULL;
    size_t n_starts, n_ends, n_axes = 0, n_steps = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 3, err));
    TSPK_TRY(tspk_onnx_const_ints(call, 1, "starts", &starts, &n_starts, err));
    TSPK_TRY(tspk_onnx_const_ints(call, 2, "ends", &ends, &n_ends, err));
    if (tspk_onnx_has_in(call, 3))
        TSPK_TRY(tspk_onnx_const_ints(call, 3, "axes", &axes, &n_axes, err));
    if (tspk_onnx_has_in(call, 4))
        TSPK_TRY(tspk_onnx_const_ints(call, 4, "steps", &steps, &n_steps, err));
    if (n_starts != n_ends || (axes && n_axes != n_starts) || (steps && n_steps != n_starts))
        return TSPK_FAIL(err, TSPK_FORMAT, "Slice has %zu starts, %zu ends, %zu axes, %zu steps",
                         n_starts, n_ends, n_axes, n_steps);
    return emit_slices(call, starts, ends, axes, steps, n_starts, err);
}

/* Constant indices are made non-negative once. */
static tspk_status normalise_indices(tspk_onnx_call *call, int64_t dim, tspk_value_id *index,
                                     tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, *index);
    const size_t n = tspk_shape_elems(&value.shape);
    const int64_t *const from = value.data;
    void *to;
    bool is_negative = false;

    for (size_t i = 0; i < n; i++) {
        if (from[i] < -dim || from[i] >= dim)
            return TSPK_FAIL(err, TSPK_RANGE, "Gather index %lld, the axis has %lld",
                             (long long)from[i], (long long)dim);
        is_negative = is_negative || from[i] < 0;
    }
    if (!is_negative)
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_I64, &value.shape, &to, index, err));
    for (size_t i = 0; i < n; i++)
        ((int64_t *)to)[i] = from[i] < 0 ? from[i] + dim : from[i];
    return TSPK_OK;
}

tspk_status tspk_onnx_gather(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id in[2];
    tspk_shape shape = {0};
    tspk_attr attr = {0};
    tspk_value x, index;
    int64_t wanted;
    size_t axis = 0;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "axis", 0, &wanted, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[1], TSPK_DTYPE_I64, err));
    x = *tspk_onnx_in(call, 0);
    index = *tspk_onnx_in(call, 1);
    TSPK_TRY(tspk_onnx_axis(wanted, x.shape.rank, &axis, err));
    attr.axis = (int64_t)axis;
    if (x.shape.rank - 1 + index.shape.rank > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Gather gives rank %d, at most %d is supported",
                         x.shape.rank - 1 + index.shape.rank, TSPK_MAX_RANK);
    in[0] = call->in[0];
    in[1] = call->in[1];
    if (index.data)
        TSPK_TRY(normalise_indices(call, x.shape.dim[axis], &in[1], err));
    for (size_t i = 0; i < axis; i++)
        shape.dim[shape.rank++] = x.shape.dim[i];
    for (int i = 0; i < index.shape.rank; i++)
        shape.dim[shape.rank++] = index.shape.dim[i];
    for (int i = (int)axis + 1; i < x.shape.rank; i++)
        shape.dim[shape.rank++] = x.shape.dim[i];
    return tspk_onnx_emit(call, TSPK_OP_GATHER, in, 2, x.dtype, &shape, &attr, &call->results[0],
                          err);
}
