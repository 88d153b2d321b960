/* SPDX-License-Identifier: Apache-2.0 */
#include "graph_fixture.h"

#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "runtime/ann/ann_exec.h"

#define MUST(call) must((call), &err, #call)

static void must(tspk_status status, const tspk_error *err, const char *what)
{
    char text[1024];

    if (status == TSPK_OK)
        return;
    tspk_error_format(err, text, sizeof text);
    fail_msg("%s: %s", what, text);
}

fixture fixture_new(uint64_t seed)
{
    fixture f = {NULL, {seed}};
    tspk_error err;

    tspk_error_init(&err);
    print_message("seed %llu\n", (unsigned long long)seed);
    MUST(tspk_graph_new(0, &f.graph, &err));
    return f;
}

void fixture_free(fixture *f)
{
    tspk_graph_free(f->graph);
    f->graph = NULL;
}

/* About normal: the sum of twelve uniform numbers. */
static double next_normal(tspk_rng *rng)
{
    double sum = -6.0;

    for (int i = 0; i < 12; i++)
        sum += (double)(tspk_rng_next(rng) >> 11) * 0x1p-53;
    return sum;
}

tspk_value_id fixture_input(fixture *f, tspk_shape shape)
{
    tspk_value_id *const inputs =
        tspk_arena_array(f->graph->arena, f->graph->n_inputs + 1, sizeof *inputs);
    tspk_value_id id = 0;
    tspk_error err;

    tspk_error_init(&err);
    assert_non_null(inputs);
    MUST(tspk_graph_add_value(f->graph, "image", TSPK_DTYPE_F32, &shape, &id, &err));
    if (f->graph->n_inputs)
        memcpy(inputs, f->graph->input, f->graph->n_inputs * sizeof *inputs);
    inputs[f->graph->n_inputs++] = id;
    f->graph->input = inputs;
    return id;
}

static tspk_value_id add_constant(fixture *f, const char *name, tspk_dtype dtype, tspk_shape shape,
                                  void *data)
{
    const tspk_tensor tensor = {dtype, shape, data};
    tspk_value_id id = 0;
    tspk_error err;

    tspk_error_init(&err);
    MUST(tspk_graph_add_constant(f->graph, name, &tensor, &id, &err));
    return id;
}

tspk_value_id fixture_random(fixture *f, const char *name, tspk_shape shape, double scale)
{
    const size_t n = tspk_shape_elems(&shape);
    float *const data = tspk_arena_array(f->graph->arena, n, sizeof *data);

    assert_non_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = (float)(scale * next_normal(&f->rng));
    return add_constant(f, name, TSPK_DTYPE_F32, shape, data);
}

tspk_value_id fixture_filled(fixture *f, tspk_shape shape, double value)
{
    const size_t n = tspk_shape_elems(&shape);
    float *const data = tspk_arena_array(f->graph->arena, n, sizeof *data);

    assert_non_null(data);
    for (size_t i = 0; i < n; i++)
        data[i] = (float)value;
    return add_constant(f, "", TSPK_DTYPE_F32, shape, data);
}

tspk_value_id fixture_scalar(fixture *f, double value)
{
    return fixture_filled(f, (tspk_shape){0}, value);
}

tspk_value_id fixture_indices(fixture *f, tspk_shape shape, const int64_t *index)
{
    int64_t *const data =
        tspk_arena_copy(f->graph->arena, index, tspk_shape_elems(&shape) * sizeof *index);

    assert_non_null(data);
    return add_constant(f, "", TSPK_DTYPE_I64, shape, data);
}

tspk_value_id fixture_node(fixture *f, tspk_op op, tspk_value_id a, tspk_value_id b,
                           tspk_value_id c, tspk_shape shape, tspk_attr attr)
{
    const tspk_value_id in[3] = {a, b, c};
    const uint32_t n_in = b == TSPK_ID_NONE ? 1 : c == TSPK_ID_NONE ? 2 : 3;
    tspk_value_id out = 0;
    tspk_error err;

    tspk_error_init(&err);
    MUST(tspk_graph_add_value(f->graph, "", TSPK_DTYPE_F32, &shape, &out, &err));
    MUST(tspk_graph_insert_node(f->graph, f->graph->n_nodes, op, "", tspk_op_name(op), in, n_in,
                                &out, 1, &attr, NULL, &err));
    return out;
}

static tspk_shape shape_of(const fixture *f, tspk_value_id id)
{
    return f->graph->value[id].shape;
}

tspk_value_id fixture_unary(fixture *f, tspk_op op, tspk_value_id x)
{
    return fixture_node(f, op, x, TSPK_ID_NONE, TSPK_ID_NONE, shape_of(f, x), (tspk_attr){0});
}

tspk_value_id fixture_binary(fixture *f, tspk_op op, tspk_value_id a, tspk_value_id b)
{
    const tspk_shape sa = shape_of(f, a), sb = shape_of(f, b);

    return fixture_node(f, op, a, b, TSPK_ID_NONE,
                        tspk_shape_elems(&sa) >= tspk_shape_elems(&sb) ? sa : sb, (tspk_attr){0});
}

tspk_value_id fixture_reshape(fixture *f, tspk_value_id x, tspk_shape shape)
{
    return fixture_node(f, TSPK_OP_RESHAPE, x, TSPK_ID_NONE, TSPK_ID_NONE, shape, (tspk_attr){0});
}

tspk_value_id fixture_transpose(fixture *f, tspk_value_id x, const int64_t *axes)
{
    const tspk_shape from = shape_of(f, x);
    tspk_attr attr = {.n_axes = from.rank};
    tspk_shape shape = from;

    for (int i = 0; i < from.rank; i++) {
        attr.axes[i] = axes[i];
        shape.dim[i] = from.dim[axes[i]];
    }
    return fixture_node(f, TSPK_OP_TRANSPOSE, x, TSPK_ID_NONE, TSPK_ID_NONE, shape, attr);
}

tspk_value_id fixture_slice(fixture *f, tspk_value_id x, int64_t axis, int64_t start, int64_t n)
{
    tspk_shape shape = shape_of(f, x);
    tspk_attr attr = {0};

    for (int i = 0; i < shape.rank; i++)
        attr.steps[i] = 1;
    attr.starts[axis] = start;
    shape.dim[axis] = n;
    return fixture_node(f, TSPK_OP_SLICE, x, TSPK_ID_NONE, TSPK_ID_NONE, shape, attr);
}

tspk_value_id fixture_matmul(fixture *f, tspk_value_id a, tspk_value_id b)
{
    const tspk_shape sb = shape_of(f, b);
    tspk_shape shape = shape_of(f, a);

    shape.dim[shape.rank - 1] = sb.dim[sb.rank - 1];
    return fixture_node(f, TSPK_OP_MATMUL, a, b, TSPK_ID_NONE, shape, (tspk_attr){0});
}

tspk_value_id fixture_mean(fixture *f, tspk_value_id x, int64_t axis)
{
    tspk_shape shape = shape_of(f, x);
    const tspk_attr attr = {.n_axes = 1, .axes = {axis}};

    shape.dim[axis] = 1;
    return fixture_node(f, TSPK_OP_REDUCE_MEAN, x, TSPK_ID_NONE, TSPK_ID_NONE, shape, attr);
}

tspk_value_id fixture_softmax(fixture *f, tspk_value_id x)
{
    return fixture_node(f, TSPK_OP_SOFTMAX, x, TSPK_ID_NONE, TSPK_ID_NONE, shape_of(f, x),
                        (tspk_attr){.axis = shape_of(f, x).rank - 1});
}

tspk_value_id fixture_layer_norm(fixture *f, tspk_value_id x)
{
    const tspk_shape shape = shape_of(f, x);
    const int64_t width = shape.dim[shape.rank - 1];

    return fixture_node(f, TSPK_OP_LAYER_NORM, x, fixture_random(f, "", DIMS(width), 1.0),
                        fixture_random(f, "", DIMS(width), 0.1), shape,
                        (tspk_attr){.axis = shape.rank - 1, .epsilon = 1e-6f});
}

tspk_value_id fixture_linear(fixture *f, const char *layer, tspk_value_id x, int64_t n_out)
{
    const tspk_shape shape = shape_of(f, x);
    const int64_t n_in = shape.dim[shape.rank - 1];
    char weight[96] = "", bias[96] = "";

    if (layer[0]) {
        snprintf(weight, sizeof weight, "%s.weight", layer);
        snprintf(bias, sizeof bias, "%s.bias", layer);
    }
    const tspk_value_id w = fixture_random(f, weight, DIMS(n_in, n_out), 1.0 / sqrt((double)n_in));
    const tspk_value_id b = fixture_random(f, bias, DIMS(n_out), 0.1);

    return fixture_binary(f, TSPK_OP_ADD, fixture_matmul(f, x, w), b);
}

void fixture_output(fixture *f, tspk_value_id x)
{
    tspk_value_id *const outputs =
        tspk_arena_array(f->graph->arena, f->graph->n_outputs + 1, sizeof *outputs);

    assert_non_null(outputs);
    if (f->graph->n_outputs)
        memcpy(outputs, f->graph->output, f->graph->n_outputs * sizeof *outputs);
    outputs[f->graph->n_outputs++] = x;
    f->graph->output = outputs;
}

size_t fixture_count(const fixture *f, tspk_op op)
{
    size_t n = 0;

    for (uint32_t i = 0; i < f->graph->n_nodes; i++)
        n += !f->graph->node[i].is_dead && f->graph->node[i].op == op;
    return n;
}

const tspk_node *fixture_find(const fixture *f, tspk_op op, size_t n)
{
    for (uint32_t i = 0; i < f->graph->n_nodes; i++)
        if (!f->graph->node[i].is_dead && f->graph->node[i].op == op && n-- == 0)
            return &f->graph->node[i];
    fail_msg("no such %s", tspk_op_name(op));
    return NULL;
}

static float *run(const fixture *f, const float *input, size_t *n_out)
{
    const void *inputs[1] = {input};
    void *outputs[8] = {NULL};
    tspk_ann_exec *exec = NULL;
    tspk_error err;

    tspk_error_init(&err);
    *n_out = tspk_shape_elems(&f->graph->value[f->graph->output[0]].shape);
    outputs[0] = malloc(*n_out * sizeof(float) + 1);
    assert_non_null(outputs[0]);
    assert_true(f->graph->n_outputs <= 8);
    MUST(tspk_graph_verify(f->graph, &err));
    MUST(tspk_ann_exec_new(f->graph, 1, &exec, &err));
    MUST(tspk_ann_exec_run(exec, 1, inputs, outputs, &err));
    tspk_ann_exec_free(exec);
    return outputs[0];
}

static size_t rewrite(fixture *f, tspk_pass_fn pass)
{
    tspk_arena *const scratch = tspk_arena_new(0);
    tspk_pass_report report;
    size_t total = 0, changes = 1, dead = 0;
    tspk_error err;

    tspk_error_init(&err);
    assert_non_null(scratch);
    if (!pass) {
        MUST(tspk_run_passes(f->graph, &report, &err));
        for (size_t i = 0; i < TSPK_MAX_PASSES; i++)
            total += report.changes[i];
        changes = 0;
    }
    for (int round = 0; changes; round++) {
        changes = 0;
        MUST(pass(f->graph, scratch, &changes, &err));
        MUST(tspk_pass_remove_dead(f->graph, scratch, &dead, &err));
        MUST(tspk_graph_verify(f->graph, &err));
        total += changes;
        assert_true(round < 64);
        if (pass == tspk_pass_name_layers)
            break;
    }
    tspk_arena_free(scratch);
    return total;
}

size_t fixture_check(fixture *f, tspk_pass_fn pass, double tolerance)
{
    const size_t n_in = tspk_shape_elems(&f->graph->value[f->graph->input[0]].shape);
    float *const input = malloc(n_in * sizeof *input + 1);
    double worst = 0.0, largest = 0.0;
    size_t n = 0, n_after = 0, changes;
    float *before, *after;

    assert_non_null(input);
    for (size_t i = 0; i < n_in; i++)
        input[i] = (float)next_normal(&f->rng);
    before = run(f, input, &n);
    changes = rewrite(f, pass);
    after = run(f, input, &n_after);
    assert_int_equal(n, n_after);
    for (size_t i = 0; i < n; i++) {
        const double difference = fabs((double)before[i] - (double)after[i]);

        largest = fabs((double)before[i]) > largest ? fabs((double)before[i]) : largest;
        if (!(difference <= worst))
            worst = difference;
    }
    free(input);
    free(before);
    free(after);
    if (!(worst <= tolerance * largest))
        fail_msg("outputs differ by %g of %g", worst, largest);
    return changes;
}
