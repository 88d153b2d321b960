/* SPDX-License-Identifier: Apache-2.0 */
/* The executor against node-by-node evaluation in memory of its own for every value. */
#include "ann_test.h"

#include "core/fail.h"
#include "count_alloc.h"
#include "runtime/ann/ann_exec.h"
#include "runtime/ann/ann_plan.h"

#define TOKENS 9
#define WIDTH  8
#define WIDER  16
#define RUNS   7

static tspk_value_id add_constant(tspk_graph *graph, tspk_rng *rng, tspk_shape shape)
{
    const size_t n = tspk_shape_elems(&shape);
    float *const data = tspk_arena_array(graph->arena, n, sizeof *data);
    const tspk_tensor tensor = {TSPK_DTYPE_F32, shape, data};
    tspk_value_id id = 0;

    for (size_t i = 0; i < n; i++)
        data[i] = random_float(rng, -0.5f, 0.5f);
    assert_int_equal(tspk_graph_add_constant(graph, "c", &tensor, &id, NULL), TSPK_OK);
    return id;
}

static tspk_value_id add_value(tspk_graph *graph, tspk_dtype dtype, tspk_shape shape)
{
    tspk_value_id id = 0;

    assert_int_equal(tspk_graph_add_value(graph, "v", dtype, &shape, &id, NULL), TSPK_OK);
    return id;
}

static tspk_value_id add_node(tspk_graph *graph, tspk_op op, const tspk_attr *attr,
                              const tspk_value_id *in, uint32_t n_in, tspk_shape shape)
{
    const tspk_value_id out = add_value(graph, TSPK_DTYPE_F32, shape);

    assert_int_equal(tspk_graph_insert_node(graph, graph->n_nodes, op, "n", "", in, n_in, &out, 1,
                                            attr, NULL, NULL),
                     TSPK_OK);
    return out;
}

/* A node that suits a [1, TOKENS, WIDTH] value, made of values that are there already. */
static tspk_value_id add_random_node(tspk_graph *graph, tspk_rng *rng, const tspk_value_id *pool,
                                     size_t n_pool)
{
    const tspk_shape shape = SHAPE(1, TOKENS, WIDTH);
    const tspk_value_id a = pool[tspk_rng_below(rng, n_pool)],
                        b = pool[tspk_rng_below(rng, n_pool)];
    const tspk_value_id c = pool[tspk_rng_below(rng, n_pool)];
    const tspk_attr norm = {.axis = 2, .epsilon = 1e-5f}, attend = {.heads = 2, .scale = 0.5f};
    const tspk_attr swap = {.n_axes = 3, .axes = {0, 2, 1}};

    switch (tspk_rng_below(rng, 8)) {
    case 0:
        return add_node(graph, TSPK_OP_ADD, NULL, (tspk_value_id[]){a, b}, 2, shape);
    case 1:
        return add_node(graph, TSPK_OP_GELU, NULL, &a, 1, shape);
    case 2:
        return add_node(graph, TSPK_OP_LAYER_NORM, &norm,
                        (tspk_value_id[]){a, add_constant(graph, rng, SHAPE(WIDTH))}, 2, shape);
    case 3: {
        const tspk_value_id up =
            add_node(graph, TSPK_OP_LINEAR, NULL,
                     (tspk_value_id[]){a, add_constant(graph, rng, SHAPE(WIDER, WIDTH)),
                                       add_constant(graph, rng, SHAPE(WIDER))},
                     3, SHAPE(1, TOKENS, WIDER));

        return add_node(graph, TSPK_OP_LINEAR, NULL,
                        (tspk_value_id[]){up, add_constant(graph, rng, SHAPE(WIDTH, WIDER))}, 2,
                        shape);
    }
    case 4:
        return add_node(graph, TSPK_OP_ATTENTION, &attend, (tspk_value_id[]){a, b, c}, 3, shape);
    case 5: {
        /* views on both sides of a transposition and back */
        const tspk_value_id flat =
            add_node(graph, TSPK_OP_RESHAPE, NULL, &a, 1, SHAPE(1, WIDTH, TOKENS));
        const tspk_value_id same =
            add_node(graph, TSPK_OP_IDENTITY, NULL, &flat, 1, SHAPE(1, WIDTH, TOKENS));

        return add_node(graph, TSPK_OP_TRANSPOSE, &swap, &same, 1, shape);
    }
    case 6:
        return add_node(graph, TSPK_OP_RESHAPE, NULL, &a, 1, shape);
    default:
        return add_node(graph, TSPK_OP_MUL, NULL,
                        (tspk_value_id[]){a, add_constant(graph, rng, SHAPE(1))}, 2, shape);
    }
}

/* Two inputs, three outputs: the last value, a view of it, and an input. */
static tspk_graph *random_graph(tspk_rng *rng, size_t n_nodes)
{
    const tspk_shape shape = SHAPE(1, TOKENS, WIDTH);
    tspk_value_id pool[64];
    size_t n_pool = 0;
    tspk_graph *graph = NULL;
    tspk_error err;
    char line[600];

    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    graph->input = tspk_arena_array(graph->arena, 2, sizeof *graph->input);
    graph->n_inputs = 2;
    for (int i = 0; i < 2; i++)
        graph->input[i] = pool[n_pool++] = add_value(graph, TSPK_DTYPE_F32, shape);
    while (n_pool < n_nodes + 2) {
        pool[n_pool] = add_random_node(graph, rng, pool, n_pool);
        n_pool++;
    }
    graph->output = tspk_arena_array(graph->arena, 3, sizeof *graph->output);
    graph->n_outputs = 3;
    graph->output[0] = pool[n_pool - 1];
    graph->output[1] =
        add_node(graph, TSPK_OP_RESHAPE, NULL, &pool[n_pool - 1], 1, SHAPE(TOKENS * WIDTH));
    graph->output[2] = graph->input[1];
    tspk_error_init(&err);
    if (tspk_graph_verify(graph, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fail_msg("%s", line);
    }
    return graph;
}

/* One run, every value in memory of its own; the result is that of graph->output[0]. */
static void run_naively(const tspk_graph *graph, const float *const input[2], float *out)
{
    void **const data = calloc(graph->n_values, sizeof *data);

    for (uint32_t v = 0; v < graph->n_values; v++)
        data[v] = calloc(tspk_shape_elems(&graph->value[v].shape) + 16, sizeof(float));
    for (uint32_t i = 0; i < 2; i++)
        memcpy(data[graph->input[i]], input[i], TOKENS * WIDTH * sizeof(float));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        void *const scratch =
            aligned_alloc(64, (tspk_op_scratch_bytes(graph, node) + 127) / 64 * 64);
        tspk_tensor in[4], to = tspk_value_tensor(&graph->value[node->out[0]]);

        for (uint32_t i = 0; i < node->n_in; i++) {
            in[i] = tspk_value_tensor(&graph->value[node->in[i]]);
            if (!in[i].data)
                in[i].data = data[node->in[i]];
        }
        to.data = data[node->out[0]];
        assert_int_equal(tspk_op_eval(node, in, &to, scratch, NULL), TSPK_OK);
        free(scratch);
    }
    memcpy(out, data[graph->output[0]], TOKENS * WIDTH * sizeof(float));
    for (uint32_t v = 0; v < graph->n_values; v++)
        free(data[v]);
    free(data);
}

static void runs_match_naive_evaluation(void **state)
{
    enum { ELEMS = TOKENS * WIDTH };
    tspk_rng rng = {test_seed()};
    float *const x[2] = {malloc(RUNS * ELEMS * sizeof(float)),
                         malloc(RUNS * ELEMS * sizeof(float))};
    float *const expected = malloc(RUNS * ELEMS * sizeof(float));
    float *y[3];

    (void)state;
    for (int i = 0; i < 3; i++)
        y[i] = malloc(RUNS * ELEMS * sizeof(float));
    for (int trial = 0; trial < 40; trial++) {
        tspk_graph *graph = random_graph(&rng, 1 + tspk_rng_below(&rng, 40));

        for (int i = 0; i < RUNS * ELEMS; i++) {
            x[0][i] = random_float(&rng, -1.0f, 1.0f);
            x[1][i] = random_float(&rng, -1.0f, 1.0f);
        }
        for (int r = 0; r < RUNS; r++)
            run_naively(graph, (const float *const[]){x[0] + r * ELEMS, x[1] + r * ELEMS},
                        expected + r * ELEMS);
        for (int threads = 1; threads <= 3; threads++) {
            tspk_ann_exec *exec = NULL;
            size_t before;

            assert_int_equal(tspk_ann_exec_new(graph, threads, &exec, NULL), TSPK_OK);
            for (int i = 0; i < 3; i++)
                memset(y[i], 0, RUNS * ELEMS * sizeof(float));
            before = count_alloc_now();
            assert_int_equal(tspk_ann_exec_run(exec, RUNS, (const void *const[]){x[0], x[1]},
                                               (void *const[]){y[0], y[1], y[2]}, NULL),
                             TSPK_OK);
            assert_int_equal(count_alloc_now() - before, 0);
            assert_memory_equal(y[0], expected, RUNS * ELEMS * sizeof(float));
            assert_memory_equal(y[1], expected, RUNS * ELEMS * sizeof(float));
            assert_memory_equal(y[2], x[1], RUNS * ELEMS * sizeof(float));
            /* outputs that nobody asks for */
            assert_int_equal(tspk_ann_exec_run(exec, 1, (const void *const[]){x[0], x[1]},
                                               (void *const[]){NULL, NULL, NULL}, NULL),
                             TSPK_OK);
            tspk_ann_exec_free(exec);
        }
        tspk_graph_free(graph);
    }
    for (int i = 0; i < 3; i++)
        free(y[i]);
    free(x[0]);
    free(x[1]);
    free(expected);
}

/* Every operator whose loops threads share, in sizes that make several blocks of each. */
static tspk_graph *wide_graph(tspk_rng *rng)
{
    const tspk_attr conv = {.groups = 1, .strides = {4, 4}, .dilations = {1, 1}};
    const tspk_attr swap = {.n_axes = 3, .axes = {0, 2, 1}}, attend = {.heads = 4, .scale = 0.2f};
    tspk_value_id at, in[3];
    tspk_graph *graph = NULL;
    tspk_error err;
    char line[600] = "";

    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    graph->input = tspk_arena_array(graph->arena, 1, sizeof *graph->input);
    graph->output = tspk_arena_array(graph->arena, 1, sizeof *graph->output);
    graph->n_inputs = graph->n_outputs = 1;
    graph->input[0] = add_value(graph, TSPK_DTYPE_F32, SHAPE(1, 3, 112, 112));
    in[0] = graph->input[0];
    in[1] = add_constant(graph, rng, SHAPE(200, 3, 4, 4));
    in[2] = add_constant(graph, rng, SHAPE(200));
    at = add_node(graph, TSPK_OP_CONV, &conv, in, 3, SHAPE(1, 200, 28, 28));
    at = add_node(graph, TSPK_OP_RESHAPE, NULL, &at, 1, SHAPE(1, 200, 784));
    in[0] = add_node(graph, TSPK_OP_TRANSPOSE, &swap, &at, 1, SHAPE(1, 784, 200));
    in[1] = add_constant(graph, rng, SHAPE(520, 200));
    in[2] = add_constant(graph, rng, SHAPE(520));
    at = add_node(graph, TSPK_OP_LINEAR, NULL, in, 3, SHAPE(1, 784, 520));
    at = add_node(graph, TSPK_OP_GELU, NULL, &at, 1, SHAPE(1, 784, 520));
    in[0] = in[1] = in[2] = at;
    graph->output[0] = add_node(graph, TSPK_OP_ATTENTION, &attend, in, 3, SHAPE(1, 784, 520));
    tspk_error_init(&err);
    if (tspk_graph_verify(graph, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fail_msg("%s", line);
    }
    return graph;
}

static void threads_share_a_run_without_a_trace(void **state)
{
    enum { IN = 3 * 112 * 112, OUT = 784 * 520, MOST = 3 };
    tspk_rng rng = {test_seed()};
    tspk_graph *const graph = wide_graph(&rng);
    float *const x = malloc(MOST * IN * sizeof *x);
    float *const alone = calloc(MOST * OUT, sizeof *alone);
    float *const shared = calloc(MOST * OUT, sizeof *shared);

    (void)state;
    for (int i = 0; i < MOST * IN; i++)
        x[i] = random_float(&rng, -1.0f, 1.0f);
    for (int threads = 1; threads <= 3; threads++)
        for (size_t runs = 1; runs <= MOST; runs++) {
            float *const y = threads == 1 ? alone : shared;
            tspk_ann_exec *exec = NULL;
            size_t before;

            assert_int_equal(tspk_ann_exec_new(graph, threads, &exec, NULL), TSPK_OK);
            before = count_alloc_now();
            assert_int_equal(
                tspk_ann_exec_run(exec, runs, (const void *const[]){x}, (void *const[]){y}, NULL),
                TSPK_OK);
            assert_int_equal(count_alloc_now() - before, 0);
            assert_memory_equal(y, alone, runs * OUT * sizeof *y);
            tspk_ann_exec_free(exec);
        }
    assert_true(alone[0] != alone[1]);
    tspk_graph_free(graph);
    free(x);
    free(alone);
    free(shared);
}

/* A chain needs two buffers, however long it is. */
static void memory_is_used_again(void **state)
{
    const tspk_shape shape = SHAPE(1, 1024);
    tspk_graph *graph = NULL;
    tspk_arena *arena = tspk_arena_new(0);
    tspk_ann_plan plan;
    tspk_value_id last;

    (void)state;
    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    graph->input = tspk_arena_array(graph->arena, 1, sizeof *graph->input);
    graph->n_inputs = 1;
    graph->input[0] = last = add_value(graph, TSPK_DTYPE_F32, shape);
    for (int i = 0; i < 100; i++)
        last = add_node(graph, TSPK_OP_RELU, NULL, &last, 1, shape);
    graph->output = &last;
    graph->n_outputs = 1;
    assert_int_equal(tspk_ann_plan_make(graph, arena, &plan, NULL), TSPK_OK);
    assert_int_equal(plan.bytes, 2 * 1024 * sizeof(float));
    tspk_arena_free(arena);
    tspk_graph_free(graph);
}

/* The earliest run that fails is reported, with the node. */
static void a_failing_run_names_its_node(void **state)
{
    static const int64_t x[3] = {4, 0, 2};
    const int64_t one = 1;
    const tspk_tensor dividend = {TSPK_DTYPE_I64, SHAPE(1), (void *)(uintptr_t)&one};
    int64_t y[3] = {0};
    tspk_graph *graph = NULL;
    tspk_ann_exec *exec = NULL;
    tspk_value_id in[2], out;
    tspk_error err;

    (void)state;
    assert_int_equal(tspk_graph_new(0, &graph, NULL), TSPK_OK);
    assert_int_equal(tspk_graph_add_constant(graph, "one", &dividend, &in[0], NULL), TSPK_OK);
    in[1] = add_value(graph, TSPK_DTYPE_I64, SHAPE(1));
    out = add_value(graph, TSPK_DTYPE_I64, SHAPE(1));
    assert_int_equal(tspk_graph_insert_node(graph, 0, TSPK_OP_DIV, "share", "Div", in, 2, &out, 1,
                                            NULL, NULL, NULL),
                     TSPK_OK);
    graph->input = &in[1];
    graph->n_inputs = 1;
    graph->output = &out;
    graph->n_outputs = 1;
    assert_int_equal(tspk_ann_exec_new(graph, 2, &exec, NULL), TSPK_OK);
    tspk_error_init(&err);
    assert_int_equal(tspk_ann_exec_run(exec, 3, (const void *const[]){x}, (void *const[]){y}, &err),
                     TSPK_RANGE);
    assert_string_equal(err.node, "share");
    assert_string_equal(err.op, "Div");
    assert_int_equal(tspk_ann_exec_run(exec, 1, (const void *const[]){x}, (void *const[]){y}, &err),
                     TSPK_OK);
    tspk_ann_exec_free(exec);
    assert_int_equal(tspk_ann_exec_new(graph, 0, &exec, &err), TSPK_USAGE);
    tspk_graph_free(graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(runs_match_naive_evaluation),
        cmocka_unit_test(threads_share_a_run_without_a_trace),
        cmocka_unit_test(memory_is_used_again),
        cmocka_unit_test(a_failing_run_names_its_node),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
