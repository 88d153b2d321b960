/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/graph.h"

#define DIMS(...)                                                                                  \
    ((tspk_shape){.rank = sizeof((int64_t[]){__VA_ARGS__}) / sizeof(int64_t), .dim = {__VA_ARGS__}})

static const float zeros[4096];

static tspk_value_id value(tspk_graph *graph, tspk_shape shape)
{
    tspk_value_id id = 0;

    assert_int_equal(tspk_graph_add_value(graph, "", TSPK_DTYPE_F32, &shape, &id, NULL), TSPK_OK);
    return id;
}

static tspk_value_id constant(tspk_graph *graph, tspk_shape shape)
{
    const tspk_tensor tensor = {TSPK_DTYPE_F32, shape, (void *)(uintptr_t)zeros};
    tspk_value_id id = 0;

    assert_int_equal(tspk_graph_add_constant(graph, "", &tensor, &id, NULL), TSPK_OK);
    return id;
}

/* A graph of one node: inputs of these shapes, the first one computed at run time. */
typedef struct rule {
    const char *what;
    tspk_op op;
    tspk_attr attr;
    tspk_shape in[4]; /* rank 0xff: no more */
    tspk_shape out;
    tspk_status expected;
} rule;

static const uint32_t rows_ok[] = {4, 0};
static const uint32_t rows_out[] = {5};

static const rule rules[] = {
    {"add", TSPK_OP_ADD, {0}, {{2, {3, 4}}, {1, {4}}, {.rank = 255}}, {2, {3, 4}}, TSPK_OK},
    {"add does not broadcast",
     TSPK_OP_ADD,
     {0},
     {{2, {3, 4}}, {1, {3}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_SHAPE},
    {"add of another shape",
     TSPK_OP_ADD,
     {0},
     {{2, {3, 4}}, {1, {4}}, {.rank = 255}},
     {2, {4, 4}},
     TSPK_SHAPE},
    {"erf of another shape",
     TSPK_OP_ERF,
     {0},
     {{2, {3, 4}}, {.rank = 255}},
     {2, {4, 3}},
     TSPK_SHAPE},
    {"gelu of a third kind",
     TSPK_OP_GELU,
     {.mode = 2},
     {{1, {4}}, {.rank = 255}},
     {1, {4}},
     TSPK_RANGE},
    {"reshape", TSPK_OP_RESHAPE, {0}, {{2, {3, 4}}, {.rank = 255}}, {1, {12}}, TSPK_OK},
    {"reshape to more", TSPK_OP_RESHAPE, {0}, {{2, {3, 4}}, {.rank = 255}}, {1, {13}}, TSPK_SHAPE},
    {"transpose",
     TSPK_OP_TRANSPOSE,
     {.n_axes = 2, .axes = {1, 0}},
     {{2, {3, 4}}, {.rank = 255}},
     {2, {4, 3}},
     TSPK_OK},
    {"transpose twice one axis",
     TSPK_OP_TRANSPOSE,
     {.n_axes = 2, .axes = {1, 1}},
     {{2, {4, 4}}, {.rank = 255}},
     {2, {4, 4}},
     TSPK_SHAPE},
    {"transpose axis out of range",
     TSPK_OP_TRANSPOSE,
     {.n_axes = 2, .axes = {7, 0}},
     {{2, {4, 4}}, {.rank = 255}},
     {2, {4, 4}},
     TSPK_SHAPE},
    {"transpose negative axis",
     TSPK_OP_TRANSPOSE,
     {.n_axes = 2, .axes = {-1, 0}},
     {{2, {4, 4}}, {.rank = 255}},
     {2, {4, 4}},
     TSPK_SHAPE},
    {"slice backwards",
     TSPK_OP_SLICE,
     {.starts = {4}, .steps = {-2}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_OK},
    {"slice before the start",
     TSPK_OP_SLICE,
     {.starts = {3}, .steps = {-2}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_RANGE},
    {"slice past the end",
     TSPK_OP_SLICE,
     {.starts = {2}, .steps = {2}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_RANGE},
    {"slice from a negative start",
     TSPK_OP_SLICE,
     {.starts = {-1}, .steps = {1}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_RANGE},
    {"slice with step 0",
     TSPK_OP_SLICE,
     {.starts = {0}, .steps = {0}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_RANGE},
    {"slice with a step that overflows",
     TSPK_OP_SLICE,
     {.starts = {0}, .steps = {INT64_MAX}},
     {{1, {5}}, {.rank = 255}},
     {1, {3}},
     TSPK_RANGE},
    {"slice of no elements",
     TSPK_OP_SLICE,
     {.starts = {9}, .steps = {1}},
     {{1, {5}}, {.rank = 255}},
     {1, {0}},
     TSPK_OK},
    {"concat",
     TSPK_OP_CONCAT,
     {.axis = 0},
     {{2, {1, 4}}, {2, {2, 4}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_OK},
    {"concat axis",
     TSPK_OP_CONCAT,
     {.axis = 2},
     {{2, {1, 4}}, {2, {2, 4}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_SHAPE},
    {"concat of other widths",
     TSPK_OP_CONCAT,
     {.axis = 0},
     {{2, {1, 4}}, {2, {2, 5}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_SHAPE},
    {"expand", TSPK_OP_EXPAND, {0}, {{2, {1, 4}}, {.rank = 255}}, {3, {2, 3, 4}}, TSPK_OK},
    {"expand of 3 to 4", TSPK_OP_EXPAND, {0}, {{1, {3}}, {.rank = 255}}, {1, {4}}, TSPK_SHAPE},
    {"tile of 3 to 7", TSPK_OP_TILE, {0}, {{1, {3}}, {.rank = 255}}, {1, {7}}, TSPK_SHAPE},
    {"pad", TSPK_OP_PAD, {.starts = {1}}, {{1, {3}}, {.rank = 255}}, {1, {5}}, TSPK_OK},
    {"pad without room",
     TSPK_OP_PAD,
     {.starts = {3}},
     {{1, {3}}, {.rank = 255}},
     {1, {5}},
     TSPK_SHAPE},
    {"pad negative",
     TSPK_OP_PAD,
     {.starts = {-1}},
     {{1, {3}}, {.rank = 255}},
     {1, {5}},
     TSPK_SHAPE},
    {"mean, axis kept",
     TSPK_OP_REDUCE_MEAN,
     {.n_axes = 1, .axes = {1}},
     {{2, {3, 4}}, {.rank = 255}},
     {2, {3, 1}},
     TSPK_OK},
    {"mean, axis dropped",
     TSPK_OP_REDUCE_MEAN,
     {.n_axes = 1, .axes = {1}},
     {{2, {3, 4}}, {.rank = 255}},
     {1, {3}},
     TSPK_OK},
    {"mean over another axis",
     TSPK_OP_REDUCE_MEAN,
     {.n_axes = 1, .axes = {0}},
     {{2, {3, 4}}, {.rank = 255}},
     {1, {3}},
     TSPK_SHAPE},
    {"mean, axes not ascending",
     TSPK_OP_REDUCE_MEAN,
     {.n_axes = 2, .axes = {1, 0}},
     {{2, {3, 4}}, {.rank = 255}},
     {0},
     TSPK_SHAPE},
    {"mean, too many axes",
     TSPK_OP_REDUCE_MEAN,
     {.n_axes = 200},
     {{1, {3}}, {.rank = 255}},
     {1, {1}},
     TSPK_SHAPE},
    {"softmax axis", TSPK_OP_SOFTMAX, {.axis = 1}, {{1, {3}}, {.rank = 255}}, {1, {3}}, TSPK_SHAPE},
    {"layer norm",
     TSPK_OP_LAYER_NORM,
     {.axis = 1},
     {{2, {3, 4}}, {1, {4}}, {1, {4}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_OK},
    {"layer norm with a short bias",
     TSPK_OP_LAYER_NORM,
     {.axis = 1},
     {{2, {3, 4}}, {1, {4}}, {1, {3}}, {.rank = 255}},
     {2, {3, 4}},
     TSPK_SHAPE},
    {"matmul",
     TSPK_OP_MATMUL,
     {0},
     {{3, {2, 3, 4}}, {2, {4, 5}}, {.rank = 255}},
     {3, {2, 3, 5}},
     TSPK_OK},
    {"matmul inner",
     TSPK_OP_MATMUL,
     {0},
     {{3, {2, 3, 4}}, {2, {3, 5}}, {.rank = 255}},
     {3, {2, 3, 5}},
     TSPK_SHAPE},
    {"matmul leading axes",
     TSPK_OP_MATMUL,
     {0},
     {{3, {2, 3, 4}}, {3, {3, 4, 5}}, {.rank = 255}},
     {3, {2, 3, 5}},
     TSPK_SHAPE},
    {"linear",
     TSPK_OP_LINEAR,
     {0},
     {{2, {5, 4}}, {2, {6, 4}}, {1, {6}}, {.rank = 255}},
     {2, {5, 6}},
     TSPK_OK},
    {"linear of one input",
     TSPK_OP_LINEAR,
     {0},
     {{2, {5, 4}}, {.rank = 255}},
     {2, {5, 6}},
     TSPK_OK},
    {"linear, weight turned",
     TSPK_OP_LINEAR,
     {0},
     {{2, {5, 4}}, {2, {4, 6}}, {.rank = 255}},
     {2, {5, 6}},
     TSPK_SHAPE},
    {"linear, short bias",
     TSPK_OP_LINEAR,
     {0},
     {{2, {5, 4}}, {2, {6, 4}}, {1, {5}}, {.rank = 255}},
     {2, {5, 6}},
     TSPK_SHAPE},
    {"linear of rows",
     TSPK_OP_LINEAR,
     {.n_rows = 2, .rows = rows_ok},
     {{2, {5, 4}}, {2, {6, 4}}, {.rank = 255}},
     {2, {2, 6}},
     TSPK_OK},
    {"linear of a row too far",
     TSPK_OP_LINEAR,
     {.n_rows = 1, .rows = rows_out},
     {{2, {5, 4}}, {2, {6, 4}}, {.rank = 255}},
     {2, {1, 6}},
     TSPK_RANGE},
    {"linear of more rows than said",
     TSPK_OP_LINEAR,
     {.n_rows = 1, .rows = rows_ok},
     {{2, {5, 4}}, {2, {6, 4}}, {.rank = 255}},
     {2, {5, 6}},
     TSPK_SHAPE},
    {"linear without its list of rows",
     TSPK_OP_LINEAR,
     {.n_rows = 1},
     {{2, {5, 4}}, {2, {6, 4}}, {.rank = 255}},
     {2, {1, 6}},
     TSPK_FORMAT},
    {"conv",
     TSPK_OP_CONV,
     {.pads = {1, 1, 1, 1}, .strides = {2, 2}, .dilations = {1, 1}, .groups = 1},
     {{4, {1, 3, 7, 7}}, {4, {2, 3, 3, 3}}, {1, {2}}, {.rank = 255}},
     {4, {1, 2, 4, 4}},
     TSPK_OK},
    {"conv with stride 0",
     TSPK_OP_CONV,
     {.strides = {0, 1}, .dilations = {1, 1}, .groups = 1},
     {{4, {1, 3, 7, 7}}, {4, {2, 3, 3, 3}}, {.rank = 255}},
     {4, {1, 2, 5, 5}},
     TSPK_RANGE},
    {"conv with no groups",
     TSPK_OP_CONV,
     {.strides = {1, 1}, .dilations = {1, 1}},
     {{4, {1, 3, 7, 7}}, {4, {2, 3, 3, 3}}, {.rank = 255}},
     {4, {1, 2, 5, 5}},
     TSPK_SHAPE},
    {"conv with a kernel too large",
     TSPK_OP_CONV,
     {.strides = {1, 1}, .dilations = {4, 4}, .groups = 1},
     {{4, {1, 3, 7, 7}}, {4, {2, 3, 3, 3}}, {.rank = 255}},
     {4, {1, 2, 1, 1}},
     TSPK_SHAPE},
    {"conv with a negative pad",
     TSPK_OP_CONV,
     {.pads = {-1, 0, 0, 0}, .strides = {1, 1}, .dilations = {1, 1}, .groups = 1},
     {{4, {1, 3, 7, 7}}, {4, {2, 3, 3, 3}}, {.rank = 255}},
     {4, {1, 2, 4, 5}},
     TSPK_RANGE},
    {"attention",
     TSPK_OP_ATTENTION,
     {.heads = 2},
     {{3, {1, 3, 4}}, {3, {1, 5, 4}}, {3, {1, 5, 6}}, {3, {2, 1, 5}}},
     {3, {1, 3, 6}},
     TSPK_OK},
    {"attention of no heads",
     TSPK_OP_ATTENTION,
     {.heads = 0},
     {{3, {1, 3, 4}}, {3, {1, 5, 4}}, {3, {1, 5, 6}}, {.rank = 255}},
     {3, {1, 3, 6}},
     TSPK_SHAPE},
    {"attention of three heads",
     TSPK_OP_ATTENTION,
     {.heads = 3},
     {{3, {1, 3, 4}}, {3, {1, 5, 4}}, {3, {1, 5, 6}}, {.rank = 255}},
     {3, {1, 3, 6}},
     TSPK_SHAPE},
    {"attention, keys and values",
     TSPK_OP_ATTENTION,
     {.heads = 2},
     {{3, {1, 3, 4}}, {3, {1, 5, 4}}, {3, {1, 6, 6}}, {.rank = 255}},
     {3, {1, 3, 6}},
     TSPK_SHAPE},
    {"attention over a batch",
     TSPK_OP_ATTENTION,
     {.heads = 2},
     {{3, {2, 3, 4}}, {3, {2, 5, 4}}, {3, {2, 5, 6}}, {.rank = 255}},
     {3, {2, 3, 6}},
     TSPK_SHAPE},
    {"attention with a short bias",
     TSPK_OP_ATTENTION,
     {.heads = 2},
     {{3, {1, 3, 4}}, {3, {1, 5, 4}}, {3, {1, 5, 6}}, {3, {2, 1, 4}}},
     {3, {1, 3, 6}},
     TSPK_SHAPE},
    {"resize of nothing",
     TSPK_OP_RESIZE,
     {0},
     {{4, {1, 1, 0, 2}}, {.rank = 255}},
     {4, {1, 1, 2, 2}},
     TSPK_SHAPE},
};

static tspk_graph *build(const rule *r)
{
    tspk_graph *graph = NULL;
    tspk_value_id in[4], out;
    uint32_t n_in = 0;

    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    graph->input = tspk_arena_array(graph->arena, 1, sizeof *graph->input);
    graph->output = tspk_arena_array(graph->arena, 1, sizeof *graph->output);
    assert_true(graph->input && graph->output);
    for (; n_in < 4 && r->in[n_in].rank != 255; n_in++)
        in[n_in] = n_in ? constant(graph, r->in[n_in]) : value(graph, r->in[0]);
    graph->input[graph->n_inputs++] = in[0];
    out = value(graph, r->out);
    assert_int_equal(
        tspk_graph_insert_node(graph, 0, r->op, "n", "", in, n_in, &out, 1, &r->attr, NULL, NULL),
        TSPK_OK);
    graph->output[graph->n_outputs++] = out;
    return graph;
}

static void every_operator(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof rules / sizeof rules[0]; i++) {
        tspk_graph *graph = build(&rules[i]);
        tspk_error err;
        tspk_status status;

        tspk_error_init(&err);
        status = tspk_graph_verify(graph, &err);
        if (status != rules[i].expected)
            fail_msg("%s: %s, expected %s (%s)", rules[i].what, tspk_status_name(status),
                     tspk_status_name(rules[i].expected), err.message);
        if (status != TSPK_OK)
            assert_string_equal(err.node, "n");
        tspk_graph_free(graph);
    }
}

static const rule plain = {"add",       TSPK_OP_ADD, {0}, {{2, {3, 4}}, {1, {4}}, {.rank = 255}},
                           {2, {3, 4}}, TSPK_OK};

static void gather_indices(void **state)
{
    static const int64_t inside[] = {0, 4}, outside[] = {0, 5}, negative[] = {-1, 0};
    const int64_t *const lists[] = {inside, outside, negative};
    const rule r = {"gather",    TSPK_OP_GATHER,
                    {.axis = 0}, {{2, {5, 2}}, {1, {2}}, {.rank = 255}},
                    {2, {2, 2}}, TSPK_OK};

    (void)state;
    for (size_t i = 0; i < 3; i++) {
        tspk_graph *graph = build(&r);

        graph->value[1].dtype = TSPK_DTYPE_I64;
        graph->value[1].data = lists[i];
        assert_int_equal(tspk_graph_verify(graph, NULL), i ? TSPK_RANGE : TSPK_OK);
        tspk_graph_free(graph);
    }
}

static void element_types(void **state)
{
    tspk_graph *graph = build(&plain);

    (void)state;
    graph->value[2].dtype = TSPK_DTYPE_BOOL;
    assert_int_equal(tspk_graph_verify(graph, NULL), TSPK_FORMAT);
    graph->value[2].dtype = (tspk_dtype)9;
    assert_int_equal(tspk_graph_verify(graph, NULL), TSPK_FORMAT);
    tspk_graph_free(graph);
}

/* Ids, order and limits. */
static void broken_graphs(void **state)
{
    (void)state;
    for (int i = 0; i < 13; i++) {
        tspk_graph *graph = build(&plain);
        tspk_node *node = &graph->node[0];
        const tspk_status expected = i >= 9 && i <= 11 ? TSPK_LIMIT
                                     : i == 12         ? TSPK_SHAPE
                                                       : TSPK_FORMAT;

        switch (i) {
        case 0:
            node->in[0] = 99;
            break;
        case 1:
            node->in[0] = TSPK_ID_NONE;
            break;
        case 2:
            node->out[0] = 99;
            break;
        case 3:
            node->in[0] = node->out[0];
            break;
        case 4:
            graph->value[1].data = NULL;
            break;
        case 5:
            node->n_in = 1;
            break;
        case 6:
            node->op = (tspk_op)1000;
            break;
        case 7:
            graph->output[0] = 99;
            break;
        case 8:
            graph->value[2].producer = 5;
            break;
        case 9:
            graph->value[0].shape.rank = 9;
            break;
        case 10:
            graph->value[0].shape.dim[0] = -1;
            break;
        case 11:
            graph->value[0].shape = DIMS(1 << 20, 1 << 20);
            break;
        case 12:
            graph->batch = 0;
            break;
        }
        assert_int_equal(tspk_graph_verify(graph, NULL), expected);
        tspk_graph_free(graph);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_operator),
        cmocka_unit_test(gather_indices),
        cmocka_unit_test(element_types),
        cmocka_unit_test(broken_graphs),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
