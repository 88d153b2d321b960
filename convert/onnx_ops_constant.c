/* SPDX-License-Identifier: Apache-2.0 */
/* Nodes that are constants, and If on a constant condition. */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

static tspk_status new_list(tspk_onnx_call *call, tspk_dtype dtype, size_t n, bool is_scalar,
                            void **data_out, tspk_error *err)
{
    const tspk_shape shape = {.rank = is_scalar ? 0 : 1, .dim = {is_scalar ? 0 : (int64_t)n}};

    return tspk_onnx_new_constant(call, dtype, &shape, data_out, &call->results[0], err);
}

static tspk_status constant_tensor(tspk_onnx_call *call, const onnx_attribute *attr,
                                   tspk_error *err)
{
    tspk_tensor tensor;

    if (!attr->t)
        return TSPK_FAIL(err, TSPK_FORMAT, "attribute value holds no tensor");
    TSPK_TRY(tspk_at_tensor(err, tspk_onnx_tensor_read(call->importer, attr->t, &tensor, err),
                            call->proto->output[0]));
    call->result_type[0] = attr->t->data_type;
    return tspk_graph_add_constant(call->importer->graph, "", &tensor, &call->results[0], err);
}

tspk_status tspk_onnx_constant(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_attribute *attr;
    const int64_t *ints;
    const float *floats;
    size_t n;
    void *data = NULL;

    if (call->n_attrs != 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "Constant has %zu attributes, expected 1",
                         call->n_attrs);
    if ((attr = tspk_onnx_attr(call, "value")))
        return constant_tensor(call, attr, err);
    call->result_type[0] = ONNX_INT64;
    if (strstr(call->attr[0]->name, "float"))
        call->result_type[0] = ONNX_FLOAT;
    if (tspk_onnx_attr(call, "value_float")) {
        TSPK_TRY(new_list(call, TSPK_DTYPE_F32, 1, true, &data, err));
        return tspk_onnx_attr_float(call, "value_float", 0.0f, data, err);
    }
    if (tspk_onnx_attr(call, "value_int")) {
        TSPK_TRY(new_list(call, TSPK_DTYPE_I64, 1, true, &data, err));
        return tspk_onnx_attr_int(call, "value_int", 0, data, err);
    }
    if (tspk_onnx_attr(call, "value_floats")) {
        TSPK_TRY(tspk_onnx_attr_floats(call, "value_floats", &floats, &n, err));
        TSPK_TRY(new_list(call, TSPK_DTYPE_F32, n, false, &data, err));
        if (n)
            memcpy(data, floats, n * sizeof *floats);
        return TSPK_OK;
    }
    if (tspk_onnx_attr(call, "value_ints")) {
        TSPK_TRY(tspk_onnx_attr_ints(call, "value_ints", &ints, &n, err));
        TSPK_TRY(new_list(call, TSPK_DTYPE_I64, n, false, &data, err));
        if (n)
            memcpy(data, ints, n * sizeof *ints);
        return TSPK_OK;
    }
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "a Constant with the attribute %.60s is not supported",
                     call->attr[0]->name);
}

tspk_status tspk_onnx_constant_of_shape(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_attribute *const attr = tspk_onnx_attr(call, "value");
    float zero = 0.0f;
    tspk_tensor value = {TSPK_DTYPE_F32, {0}, &zero};
    tspk_shape shape = {0};
    const int64_t *dims;
    size_t n, elems, size;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_const_ints(call, 0, "shape", &dims, &n, err));
    if (n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "rank %zu, at most %d is supported", n, TSPK_MAX_RANK);
    shape.rank = (uint8_t)n;
    for (size_t i = 0; i < n; i++) {
        if (dims[i] < 0)
            return TSPK_FAIL(err, TSPK_SHAPE, "dimension %zu is %lld", i, (long long)dims[i]);
        shape.dim[i] = dims[i];
    }
    if (attr && !attr->t)
        return TSPK_FAIL(err, TSPK_FORMAT, "attribute value holds no tensor");
    if (attr)
        TSPK_TRY(tspk_onnx_tensor_read(call->importer, attr->t, &value, err));
    if (tspk_shape_elems(&value.shape) != 1)
        return TSPK_FAIL(err, TSPK_SHAPE, "value has %zu elements, expected 1",
                         tspk_shape_elems(&value.shape));
    TSPK_TRY(tspk_onnx_new_constant(call, value.dtype, &shape, &data, &call->results[0], err));
    call->result_type[0] = attr ? attr->t->data_type : ONNX_FLOAT;
    elems = tspk_shape_elems(&shape);
    size = tspk_dtype_bytes(value.dtype);
    for (size_t i = 0; i < elems; i++)
        memcpy((char *)data + i * size, value.data, size);
    return TSPK_OK;
}

tspk_status tspk_onnx_range(tspk_onnx_call *call, tspk_error *err)
{
    double start, limit, delta, n;
    tspk_dtype dtype;
    void *data = NULL;

    TSPK_TRY(tspk_onnx_const_scalar(call, 0, "start", &start, err));
    TSPK_TRY(tspk_onnx_const_scalar(call, 1, "limit", &limit, err));
    TSPK_TRY(tspk_onnx_const_scalar(call, 2, "delta", &delta, err));
    if (delta == 0)
        return TSPK_FAIL(err, TSPK_RANGE, "Range with delta 0");
    dtype = tspk_onnx_in(call, 0)->dtype;
    n = ceil((limit - start) / delta);
    if (!(n > 0))
        n = 0;
    if (n > (double)TSPK_ONNX_MAX_FOLD_ELEMS)
        return TSPK_FAIL(err, TSPK_LIMIT, "Range of %g elements, at most %zu are made", n,
                         TSPK_ONNX_MAX_FOLD_ELEMS);
    TSPK_TRY(new_list(call, dtype, (size_t)n, false, &data, err));
    for (size_t i = 0; i < (size_t)n; i++) {
        const double value = start + (double)i * delta;

        if (dtype == TSPK_DTYPE_F32)
            ((float *)data)[i] = (float)value;
        else
            ((int64_t *)data)[i] = (int64_t)value;
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_if(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_attribute *const then_branch = tspk_onnx_attr(call, "then_branch");
    const onnx_attribute *const else_branch = tspk_onnx_attr(call, "else_branch");
    const onnx_attribute *chosen;
    double condition;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    if (!then_branch || !then_branch->g || !else_branch || !else_branch->g)
        return TSPK_FAIL(err, TSPK_FORMAT, "If needs then_branch and else_branch");
    if (!tspk_onnx_is_constant(call, call->in[0]))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "If on a condition that is computed from the image is not supported");
    TSPK_TRY(tspk_onnx_const_scalar(call, 0, "condition", &condition, err));
    chosen = condition != 0 ? then_branch : else_branch;
    if (chosen->g->n_output != call->proto->n_output)
        return TSPK_FAIL(err, TSPK_FORMAT, "the branch has %zu outputs, the node %zu",
                         chosen->g->n_output, call->proto->n_output);
    return tspk_onnx_import_subgraph(call->importer, call->scope, chosen->g, call->name,
                                     call->results, call->result_type, err);
}
