/* SPDX-License-Identifier: Apache-2.0 */
#include "ann_test.h"

#include <math.h>

uint64_t test_seed(void)
{
    const char *const text = getenv("TSPK_TEST_SEED");
    const uint64_t seed = text ? strtoull(text, NULL, 10) : 1;

    print_message("seed %llu (TSPK_TEST_SEED sets another)\n", (unsigned long long)seed);
    return seed;
}

tspk_shape shape_of(const int64_t *dim, size_t rank)
{
    tspk_shape shape = {.rank = (uint8_t)rank};

    memcpy(shape.dim, dim, rank * sizeof *dim);
    return shape;
}

static tspk_tensor tensor_new(tspk_dtype dtype, tspk_shape shape, const void *values)
{
    const size_t bytes = tspk_shape_elems(&shape) * tspk_dtype_bytes(dtype);
    tspk_tensor tensor = {dtype, shape, aligned_alloc(64, (bytes + 64) / 64 * 64)};

    assert_non_null(tensor.data);
    if (values)
        memcpy(tensor.data, values, bytes);
    else
        memset(tensor.data, 0, bytes);
    return tensor;
}

tspk_tensor tensor_f32(tspk_shape shape, const float *values)
{
    return tensor_new(TSPK_DTYPE_F32, shape, values);
}

tspk_tensor tensor_i64(tspk_shape shape, const int64_t *values)
{
    return tensor_new(TSPK_DTYPE_I64, shape, values);
}

tspk_tensor tensor_bool(tspk_shape shape, const uint8_t *values)
{
    return tensor_new(TSPK_DTYPE_BOOL, shape, values);
}

float random_float(tspk_rng *rng, float least, float most)
{
    return least + (most - least) * (float)(tspk_rng_next(rng) >> 40) / 16777216.0f;
}

tspk_tensor tensor_random(tspk_shape shape, tspk_rng *rng)
{
    const tspk_tensor tensor = tensor_f32(shape, NULL);

    for (size_t i = 0; i < tspk_shape_elems(&shape); i++)
        ((float *)tensor.data)[i] = random_float(rng, -2.0f, 2.0f);
    return tensor;
}

void tensor_free(tspk_tensor *tensor)
{
    free(tensor->data);
    tensor->data = NULL;
}

#define MOST_INPUTS 8

tspk_status eval_node(tspk_op op, const tspk_attr *attr, uint32_t n_in, const tspk_tensor *in,
                      tspk_tensor *out, tspk_error *err)
{
    tspk_value value[MOST_INPUTS + 1];
    tspk_value_id id[MOST_INPUTS + 1];
    tspk_node node = {.op = op, .name = "node", .onnx_op = "", .n_in = n_in, .n_out = 1};
    tspk_graph graph = {.value = value,
                        .n_values = n_in + 1,
                        .node = &node,
                        .n_nodes = 1,
                        .batch = 1,
                        .n_outputs = 1};
    size_t scratch_bytes;
    void *scratch;
    tspk_status status;

    assert_true(n_in <= MOST_INPUTS);
    for (uint32_t i = 0; i <= n_in; i++) {
        const tspk_tensor *const tensor = i < n_in ? &in[i] : out;

        id[i] = i < n_in && !in[i].data ? TSPK_ID_NONE : i;
        value[i] = (tspk_value){.name = "v", .dtype = TSPK_DTYPE_F32, .producer = TSPK_ID_NONE};
        if (i < n_in && !in[i].data)
            continue;
        value[i].dtype = tensor->dtype;
        value[i].shape = tensor->shape;
        value[i].data = i < n_in ? tensor->data : NULL;
        value[i].producer = i < n_in ? TSPK_ID_NONE : 0;
    }
    node.in = id;
    node.out = &id[n_in];
    graph.output = &id[n_in];
    if (attr)
        node.attr = *attr;
    status = tspk_graph_verify(&graph, err);
    if (status != TSPK_OK)
        return status;
    *out = tensor_new(out->dtype, out->shape, NULL);
    /* one line more than asked for, to see that nothing writes there */
    scratch_bytes = tspk_op_scratch_bytes(&graph, &node);
    scratch = aligned_alloc(64, (scratch_bytes + 64 + 63) / 64 * 64);
    assert_non_null(scratch);
    memset(scratch, 0xa5, scratch_bytes + 64);
    status = tspk_op_eval(&node, in, out, scratch, err);
    for (size_t i = scratch_bytes; i < scratch_bytes + 64; i++)
        assert_int_equal(((uint8_t *)scratch)[i], 0xa5);
    free(scratch);
    if (status != TSPK_OK)
        tensor_free(out);
    return status;
}

static void free_inputs(uint32_t n_in, tspk_tensor *in)
{
    for (uint32_t i = 0; i < n_in; i++)
        tensor_free(&in[i]);
}

tspk_tensor eval_ok(tspk_op op, const tspk_attr *attr, uint32_t n_in, tspk_tensor *in,
                    tspk_dtype dtype, tspk_shape shape)
{
    tspk_tensor out = {dtype, shape, NULL};
    tspk_error err;
    char line[600];

    tspk_error_init(&err);
    if (eval_node(op, attr, n_in, in, &out, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fail_msg("%s", line);
    }
    free_inputs(n_in, in);
    return out;
}

void eval_fails(tspk_op op, const tspk_attr *attr, uint32_t n_in, tspk_tensor *in, tspk_dtype dtype,
                tspk_shape shape, tspk_status status)
{
    tspk_tensor out = {dtype, shape, NULL};
    tspk_error err;

    tspk_error_init(&err);
    assert_int_equal(eval_node(op, attr, n_in, in, &out, &err), status);
    assert_int_equal(err.status, status);
    assert_true(err.message[0] != '\0');
    free_inputs(n_in, in);
}

void expect_f32(tspk_tensor found, const float *expected, float tolerance)
{
    const float *const x = found.data;

    for (size_t i = 0; i < tspk_shape_elems(&found.shape); i++) {
        if (isnan(expected[i]) && isnan(x[i]))
            continue;
        if (x[i] != expected[i] && !(fabsf(x[i] - expected[i]) <= tolerance))
            fail_msg("element %zu is %.9g, expected %.9g within %g", i, (double)x[i],
                     (double)expected[i], (double)tolerance);
    }
    tensor_free(&found);
}

void expect_i64(tspk_tensor found, const int64_t *expected)
{
    for (size_t i = 0; i < tspk_shape_elems(&found.shape); i++)
        assert_int_equal(((const int64_t *)found.data)[i], expected[i]);
    tensor_free(&found);
}

void expect_bool(tspk_tensor found, const uint8_t *expected)
{
    for (size_t i = 0; i < tspk_shape_elems(&found.shape); i++)
        assert_int_equal(((const uint8_t *)found.data)[i], expected[i]);
    tensor_free(&found);
}
