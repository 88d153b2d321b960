/* SPDX-License-Identifier: Apache-2.0 */
/* Resize since opset 11: position tables and the like. */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/compiler.h"
#include "core/fail.h"

/* The index of `text` among `names`; `otherwise` when it is empty. */
static tspk_status choose(const char *what, const char *text, const char *const *names, size_t n,
                          int64_t otherwise, int64_t *choice_out, tspk_error *err)
{
    *choice_out = otherwise;
    if (!text[0])
        return TSPK_OK;
    for (size_t i = 0; i < n; i++)
        if (!strcmp(text, names[i])) {
            *choice_out = (int64_t)i;
            return TSPK_OK;
        }
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "Resize with %s %s is not supported", what, text);
}

static tspk_status read_attrs(tspk_onnx_call *call, tspk_attr *attr, tspk_error *err)
{
    static const char *const modes[] = {"nearest", "linear", "cubic"};
    static const char *const coordinates[] = {"half_pixel", "pytorch_half_pixel", "align_corners",
                                              "asymmetric", "half_pixel_symmetric"};
    static const char *const nearest[] = {"round_prefer_floor", "round_prefer_ceil", "floor",
                                          "ceil"};
    float value;
    char text[32];

    TSPK_TRY(tspk_onnx_attr_text(call, "mode", text, sizeof text, err));
    TSPK_TRY(choose("mode", text, modes, TSPK_COUNT_OF(modes), 0, &attr->mode, err));
    TSPK_TRY(tspk_onnx_attr_text(call, "coordinate_transformation_mode", text, sizeof text, err));
    TSPK_TRY(choose("coordinate_transformation_mode", text, coordinates, TSPK_COUNT_OF(coordinates),
                    0, &attr->axis, err));
    TSPK_TRY(tspk_onnx_attr_text(call, "nearest_mode", text, sizeof text, err));
    TSPK_TRY(
        choose("nearest_mode", text, nearest, TSPK_COUNT_OF(nearest), 0, &attr->starts[1], err));
    TSPK_TRY(tspk_onnx_attr_float(call, "cubic_coeff_a", -0.75f, &attr->alpha, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "antialias", 0, &attr->starts[0], err));
    TSPK_TRY(tspk_onnx_attr_float(call, "extrapolation_value", 0.0f, &value, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "exclude_outside", 0, &attr->starts[2], err));
    attr->starts[2] = attr->starts[2] != 0;
    return TSPK_OK;
}

/* The axes that sizes and scales are about: all, or those of the attribute (since opset 18). */
static tspk_status read_axes(tspk_onnx_call *call, size_t rank, size_t *axes_out, size_t *n_out,
                             tspk_error *err)
{
    const int64_t *axes;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_ints(call, "axes", &axes, &n, err));
    if (n > rank)
        return TSPK_FAIL(err, TSPK_SHAPE, "Resize has %zu axes, the rank is %zu", n, rank);
    *n_out = axes ? n : rank;
    for (size_t i = 0; i < *n_out; i++) {
        axes_out[i] = i;
        if (axes)
            TSPK_TRY(tspk_onnx_axis(axes[i], rank, &axes_out[i], err));
    }
    return TSPK_OK;
}

static tspk_status apply_scales(tspk_onnx_call *call, const size_t *axes, size_t n_axes,
                                tspk_shape *shape, tspk_attr *attr, tspk_error *err)
{
    const tspk_value *const scales = tspk_onnx_in(call, 2);
    const float *factor = scales->data;

    if (!factor)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "scales of Resize are computed from the image");
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[2], TSPK_DTYPE_F32, err));
    if (tspk_shape_elems(&scales->shape) != n_axes)
        return TSPK_FAIL(err, TSPK_SHAPE, "Resize has %zu scales for %zu axes",
                         tspk_shape_elems(&scales->shape), n_axes);
    for (size_t i = 0; i < n_axes; i++) {
        double size;

        if (!(factor[i] > 0.0f))
            return TSPK_FAIL(err, TSPK_RANGE, "Resize scale %zu is %g", i, (double)factor[i]);
        size = floor((double)shape->dim[axes[i]] * (double)factor[i]);
        if (!(size >= 1.0 && size <= (double)TSPK_MAX_TENSOR_ELEMS))
            return TSPK_FAIL(err, TSPK_LIMIT, "Resize of axis %zu to %g elements", axes[i], size);
        shape->dim[axes[i]] = (int64_t)size;
        attr->factor[axes[i]] = factor[i];
    }
    return TSPK_OK;
}

/* One factor for all axes: the smallest or the largest that the sizes ask for. */
static void keep_aspect(const int64_t *sizes, const size_t *axes, size_t n, bool is_larger,
                        tspk_shape *shape, tspk_attr *attr)
{
    double factor = 0.0;

    for (size_t i = 0; i < n; i++) {
        const double own = (double)sizes[i] / (double)shape->dim[axes[i]];

        if (i == 0 || (is_larger ? own > factor : own < factor))
            factor = own;
    }
    for (size_t i = 0; i < n; i++) {
        attr->factor[axes[i]] = (float)factor;
        shape->dim[axes[i]] = (int64_t)floor((double)shape->dim[axes[i]] * factor + 0.5);
        if (shape->dim[axes[i]] < 1)
            shape->dim[axes[i]] = 1;
    }
}

static tspk_status apply_sizes(tspk_onnx_call *call, const size_t *axes, size_t n_axes,
                               tspk_shape *shape, tspk_attr *attr, tspk_error *err)
{
    static const char *const policies[] = {"stretch", "not_larger", "not_smaller"};
    const int64_t *sizes;
    int64_t policy;
    char text[32];
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_text(call, "keep_aspect_ratio_policy", text, sizeof text, err));
    TSPK_TRY(choose("keep_aspect_ratio_policy", text, policies, TSPK_COUNT_OF(policies), 0, &policy,
                    err));

    TSPK_TRY(tspk_onnx_const_ints(call, 3, "sizes", &sizes, &n, err));
    if (n != n_axes)
        return TSPK_FAIL(err, TSPK_SHAPE, "Resize has %zu sizes for %zu axes", n, n_axes);
    for (size_t i = 0; i < n; i++) {
        if (sizes[i] < 1 || sizes[i] > (int64_t)TSPK_MAX_TENSOR_ELEMS)
            return TSPK_FAIL(err, TSPK_LIMIT, "Resize of axis %zu to %lld elements", axes[i],
                             (long long)sizes[i]);
        if (policy && shape->dim[axes[i]] < 1)
            return TSPK_FAIL(err, TSPK_SHAPE, "Resize of axis %zu without elements by %s", axes[i],
                             policies[policy]);
    }
    if (policy) {
        keep_aspect(sizes, axes, n, policy == 2, shape, attr);
        return TSPK_OK;
    }
    for (size_t i = 0; i < n; i++)
        shape->dim[axes[i]] = sizes[i];
    return TSPK_OK;
}

tspk_status tspk_onnx_resize(tspk_onnx_call *call, tspk_error *err)
{
    size_t axes[TSPK_MAX_RANK] = {0}, n_axes = 0;
    tspk_attr attr = {0};
    tspk_shape shape;
    bool has_scales;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[0], TSPK_DTYPE_F32, err));
    TSPK_TRY(read_attrs(call, &attr, err));
    shape = tspk_onnx_in(call, 0)->shape;
    TSPK_TRY(read_axes(call, shape.rank, axes, &n_axes, err));
    has_scales = tspk_onnx_has_in(call, 2) && tspk_shape_elems(&tspk_onnx_in(call, 2)->shape) > 0;
    if (has_scales && tspk_onnx_has_in(call, 3))
        return TSPK_FAIL(err, TSPK_FORMAT, "Resize has both scales and sizes");
    if (has_scales)
        TSPK_TRY(apply_scales(call, axes, n_axes, &shape, &attr, err));
    else
        TSPK_TRY(apply_sizes(call, axes, n_axes, &shape, &attr, err));
    return tspk_onnx_emit(call, TSPK_OP_RESIZE, call->in, 1, TSPK_DTYPE_F32, &shape, &attr,
                          &call->results[0], err);
}
