/* SPDX-License-Identifier: Apache-2.0 */
/* Attributes, inputs, axes: what import functions ask of a node. */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/checked.h"
#include "core/fail.h"

static const char *const attr_types[] = {
    "UNDEFINED",      "FLOAT",      "INT",        "STRING",  "TENSOR", "GRAPH",
    "FLOATS",         "INTS",       "STRINGS",    "TENSORS", "GRAPHS", "SPARSE_TENSOR",
    "SPARSE_TENSORS", "TYPE_PROTO", "TYPE_PROTOS"};

/* Old files leave the type out: take it from the field that is there. */
static int type_of(const onnx_attribute *attr)
{
    if (attr->has_type && attr->type != ONNX_ATTR_NONE)
        return attr->type;
    return attr->has_i      ? ONNX_ATTR_INT
           : attr->has_f    ? ONNX_ATTR_FLOAT
           : attr->has_s    ? ONNX_ATTR_STRING
           : attr->t        ? ONNX_ATTR_TENSOR
           : attr->g        ? ONNX_ATTR_GRAPH
           : attr->n_floats ? ONNX_ATTR_FLOATS
           : attr->n_ints   ? ONNX_ATTR_INTS
                            : ONNX_ATTR_NONE;
}

static const char *type_name(int type)
{
    return type >= 0 && type < (int)TSPK_COUNT_OF(attr_types) ? attr_types[type] : "unknown";
}

static tspk_status need_type(const onnx_attribute *attr, int type, tspk_error *err)
{
    const int found = type_of(attr);

    if (found == type || (found == ONNX_ATTR_NONE && type >= ONNX_ATTR_FLOATS))
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_FORMAT, "attribute %.60s: %s, expected %s", attr->name,
                     type_name(found), type_name(type));
}

const onnx_attribute *tspk_onnx_attr(tspk_onnx_call *call, const char *name)
{
    for (size_t i = 0; i < call->n_attrs; i++)
        if (!strcmp(call->attr[i]->name, name)) {
            call->is_attr_read[i] = true;
            return call->attr[i];
        }
    return NULL;
}

tspk_status tspk_onnx_attr_int(tspk_onnx_call *call, const char *name, int64_t otherwise,
                               int64_t *value_out, tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, name);

    if (attr)
        TSPK_TRY(need_type(attr, ONNX_ATTR_INT, err));
    *value_out = attr ? attr->i : otherwise;
    return TSPK_OK;
}

tspk_status tspk_onnx_attr_float(tspk_onnx_call *call, const char *name, float otherwise,
                                 float *value_out, tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, name);

    if (attr)
        TSPK_TRY(need_type(attr, ONNX_ATTR_FLOAT, err));
    *value_out = attr ? attr->f : otherwise;
    return TSPK_OK;
}

tspk_status tspk_onnx_attr_ints(tspk_onnx_call *call, const char *name, const int64_t **values_out,
                                size_t *n_out, tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, name);

    *values_out = NULL;
    *n_out = 0;
    if (!attr)
        return TSPK_OK;
    TSPK_TRY(need_type(attr, ONNX_ATTR_INTS, err));
    *values_out = attr->ints;
    *n_out = attr->n_ints;
    return TSPK_OK;
}

tspk_status tspk_onnx_attr_floats(tspk_onnx_call *call, const char *name, const float **values_out,
                                  size_t *n_out, tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, name);

    *values_out = NULL;
    *n_out = 0;
    if (!attr)
        return TSPK_OK;
    TSPK_TRY(need_type(attr, ONNX_ATTR_FLOATS, err));
    *values_out = attr->floats;
    *n_out = attr->n_floats;
    return TSPK_OK;
}

tspk_status tspk_onnx_attr_text(tspk_onnx_call *call, const char *name, char *buf, size_t size,
                                tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, name);

    buf[0] = '\0';
    if (!attr)
        return TSPK_OK;
    TSPK_TRY(need_type(attr, ONNX_ATTR_STRING, err));
    if (attr->s.len >= size)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "attribute %.60s has %zu characters, at most %zu are read", attr->name,
                         attr->s.len, size - 1);
    if (attr->s.len)
        memcpy(buf, attr->s.data, attr->s.len);
    buf[attr->s.len] = '\0';
    return TSPK_OK;
}

const tspk_value *tspk_onnx_value(const tspk_onnx_call *call, tspk_value_id id)
{
    return &call->importer->graph->value[id];
}

bool tspk_onnx_is_constant(const tspk_onnx_call *call, tspk_value_id id)
{
    return tspk_onnx_value(call, id)->data != NULL;
}

tspk_status tspk_onnx_need_in(const tspk_onnx_call *call, size_t n, tspk_error *err)
{
    for (size_t i = 0; i < n; i++)
        if (!tspk_onnx_has_in(call, i))
            return TSPK_FAIL(err, TSPK_FORMAT, "input %zu is absent", i);
    return TSPK_OK;
}

tspk_status tspk_onnx_need_dtype(const tspk_onnx_call *call, tspk_value_id id, tspk_dtype dtype,
                                 tspk_error *err)
{
    const tspk_value *const value = tspk_onnx_value(call, id);

    if (value->dtype == dtype)
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_SHAPE, "operand \"%.60s\" is %s, expected %s", value->name,
                     tspk_dtype_name(value->dtype), tspk_dtype_name(dtype));
}

static tspk_status need_constant(const tspk_onnx_call *call, size_t i, const char *what,
                                 tspk_error *err)
{
    if (tspk_onnx_is_constant(call, call->in[i]))
        return TSPK_OK;
    return TSPK_FAIL(
        err, TSPK_UNSUPPORTED,
        "input %zu (%s) is computed from the image; it must be constant once the batch "
        "is bound (export with fixed sizes)",
        i, what);
}

tspk_status tspk_onnx_const_ints(const tspk_onnx_call *call, size_t i, const char *what,
                                 const int64_t **values_out, size_t *n_out, tspk_error *err)
{
    const tspk_value *value;

    if (!tspk_onnx_has_in(call, i))
        return TSPK_FAIL(err, TSPK_FORMAT, "input %zu (%s) is absent", i, what);
    TSPK_TRY(need_constant(call, i, what, err));
    value = tspk_onnx_in(call, i);
    TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_I64, err));
    if (value->shape.rank > 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "input %zu (%s) has rank %d, expected 1", i, what,
                         value->shape.rank);
    *values_out = value->data;
    *n_out = tspk_shape_elems(&value->shape);
    return TSPK_OK;
}

tspk_status tspk_onnx_const_scalar(const tspk_onnx_call *call, size_t i, const char *what,
                                   double *value_out, tspk_error *err)
{
    const tspk_value *value;

    if (!tspk_onnx_has_in(call, i))
        return TSPK_FAIL(err, TSPK_FORMAT, "input %zu (%s) is absent", i, what);
    TSPK_TRY(need_constant(call, i, what, err));
    value = tspk_onnx_in(call, i);
    if (tspk_shape_elems(&value->shape) != 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "input %zu (%s) has %zu elements, expected 1", i, what,
                         tspk_shape_elems(&value->shape));
    *value_out = value->dtype == TSPK_DTYPE_F32   ? (double)*(const float *)value->data
                 : value->dtype == TSPK_DTYPE_I64 ? (double)*(const int64_t *)value->data
                                                  : (double)*(const uint8_t *)value->data;
    return TSPK_OK;
}

tspk_status tspk_onnx_axis(int64_t axis, size_t rank, size_t *axis_out, tspk_error *err)
{
    const int64_t r = (int64_t)rank;

    if (axis < -r || axis >= r)
        return TSPK_FAIL(err, TSPK_RANGE, "axis %lld of a tensor of rank %zu", (long long)axis,
                         rank);
    *axis_out = (size_t)(axis < 0 ? axis + r : axis);
    return TSPK_OK;
}

tspk_status tspk_onnx_axes(const int64_t *axes, size_t n, size_t rank, int64_t *axes_out,
                           tspk_error *err)
{
    unsigned seen = 0;
    size_t k = 0;

    if (n > rank)
        return TSPK_FAIL(err, TSPK_SHAPE, "%zu axes for a tensor of rank %zu", n, rank);
    for (size_t i = 0; i < n; i++) {
        size_t axis = 0;

        TSPK_TRY(tspk_onnx_axis(axes[i], rank, &axis, err));
        if (seen & (1u << axis))
            return TSPK_FAIL(err, TSPK_FORMAT, "axis %zu stands twice", axis);
        seen |= 1u << axis;
    }
    for (size_t axis = 0; axis < rank; axis++)
        if (seen & (1u << axis))
            axes_out[k++] = (int64_t)axis;
    return TSPK_OK;
}

tspk_status tspk_onnx_axes_of(tspk_onnx_call *call, bool is_input, size_t i, size_t rank,
                              int64_t *axes_out, size_t *n_out, bool *is_given_out, tspk_error *err)
{
    const int64_t *axes = NULL;
    size_t n = 0;

    if (is_input) {
        *is_given_out = tspk_onnx_has_in(call, i);
        if (*is_given_out)
            TSPK_TRY(tspk_onnx_const_ints(call, i, "axes", &axes, &n, err));
    } else {
        TSPK_TRY(tspk_onnx_attr_ints(call, "axes", &axes, &n, err));
        *is_given_out = axes != NULL || n > 0;
    }
    TSPK_TRY(tspk_onnx_axes(axes, n, rank, axes_out, err));
    *n_out = n;
    return TSPK_OK;
}

tspk_status tspk_onnx_broadcast(const tspk_shape *a, const tspk_shape *b, tspk_shape *shape_out,
                                tspk_error *err)
{
    const int rank = a->rank > b->rank ? a->rank : b->rank;
    tspk_shape shape = {.rank = (uint8_t)rank};

    for (int i = 0; i < rank; i++) {
        const int ia = i - (rank - a->rank), ib = i - (rank - b->rank);
        const int64_t da = ia < 0 ? 1 : a->dim[ia], db = ib < 0 ? 1 : b->dim[ib];

        if (da != db && da != 1 && db != 1) {
            char ta[96], tb[96];

            return TSPK_FAIL(err, TSPK_SHAPE, "%s and %s do not broadcast",
                             tspk_shape_text(a, ta, sizeof ta), tspk_shape_text(b, tb, sizeof tb));
        }
        shape.dim[i] = da == 1 ? db : da;
    }
    *shape_out = shape;
    return TSPK_OK;
}

tspk_status tspk_onnx_elems(const tspk_shape *shape, size_t *n_out, tspk_error *err)
{
    char text[96];

    if (tspk_checked_elems(shape->dim, shape->rank, TSPK_MAX_TENSOR_ELEMS, n_out))
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_LIMIT, "the result %s has more than %zu elements",
                     tspk_shape_text(shape, text, sizeof text), TSPK_MAX_TENSOR_ELEMS);
}
