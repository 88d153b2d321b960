/* SPDX-License-Identifier: Apache-2.0 */
/* What can be rewritten to merge tokens, and what is refused. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "core/graph.h"
#include "core/merge_tokens.h"
#include "runtime/ann/ann_exec.h"
#include "graph_fixture.h"

enum { TOKENS = 9, WIDTH = 6, HEADS = 2 };

static tspk_value_id linear(fixture *f, tspk_value_id x)
{
    const tspk_value_id w = fixture_random(f, "", DIMS(WIDTH, WIDTH), 0.5);

    return fixture_node(f, TSPK_OP_LINEAR, x, w, fixture_random(f, "", DIMS(WIDTH), 0.5),
                        DIMS(1, TOKENS, WIDTH), (tspk_attr){0});
}

/* One block: attention with its residual, then a Linear with its residual. */
static tspk_value_id block(fixture *f, tspk_value_id x, tspk_value_id bias)
{
    const tspk_shape shape = DIMS(1, TOKENS, WIDTH);
    const tspk_value_id in[4] = {linear(f, x), linear(f, x), linear(f, x), bias};
    tspk_value_id out, y;

    assert_int_equal(tspk_graph_add_value(f->graph, "", TSPK_DTYPE_F32, &shape, &out, NULL),
                     TSPK_OK);
    assert_int_equal(tspk_graph_insert_node(f->graph, f->graph->n_nodes, TSPK_OP_ATTENTION, "attn",
                                            "", in, bias == TSPK_ID_NONE ? 3 : 4, &out, 1,
                                            &(tspk_attr){.heads = HEADS, .scale = 0.5f}, NULL,
                                            NULL),
                     TSPK_OK);
    y = fixture_binary(f, TSPK_OP_ADD, x, linear(f, out));
    return fixture_binary(f, TSPK_OP_ADD, y, fixture_unary(f, TSPK_OP_GELU, linear(f, y)));
}

static tspk_status merge(fixture *f, uint32_t special, uint32_t first, uint32_t second,
                         tspk_error *err)
{
    const uint32_t pairs[2] = {first, second};
    const tspk_merging merging = {special, 2, pairs};
    tspk_status status;

    tspk_error_init(err);
    status = tspk_merge_tokens(f->graph, &merging, NULL, err);
    if (status == TSPK_OK)
        assert_int_equal(tspk_graph_verify(f->graph, err), TSPK_OK);
    return status;
}

static void run(const fixture *f, const float *image, float *out)
{
    const void *in = image;
    void *to = out;
    tspk_ann_exec *exec;

    assert_int_equal(tspk_ann_exec_new(f->graph, 1, &exec, NULL), TSPK_OK);
    assert_int_equal(tspk_ann_exec_run(exec, 1, &in, &to, NULL), TSPK_OK);
    tspk_ann_exec_free(exec);
}

/* Tokens that are the same: merging them changes nothing, for each counts as often as before. */
static void equal_tokens_merge_without_loss(void **state)
{
    (void)state;
    for (int is_mean = 0; is_mean < 2; is_mean++) {
        fixture f = fixture_new(3);
        float image[TOKENS * WIDTH], before[TOKENS * WIDTH], after[TOKENS * WIDTH];
        const size_t n = is_mean ? WIDTH : 1;
        tspk_value_id x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
        tspk_error err;

        x = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
        x = is_mean ? fixture_mean(&f, x, 1)
                    : fixture_slice(&f, fixture_slice(&f, x, 1, 0, 1), 2, 0, 1);
        fixture_output(&f, x);
        for (int i = 0; i < TOKENS * WIDTH; i++) /* one token, then two kinds of four patches */
            image[i] = (float)((i / WIDTH ? 1 + (i / WIDTH - 1) / 4 : 0) * 7 + i % WIDTH) / 8.0f -
                       (float)(i % 3);
        run(&f, image, before);
        assert_int_equal(merge(&f, 1, 4, 2, &err), TSPK_OK);
        assert_int_equal(fixture_count(&f, TSPK_OP_MERGE), 2);
        run(&f, image, after);
        for (size_t i = 0; i < n; i++)
            assert_float_equal(before[i], after[i], 1e-4f);
        fixture_free(&f);
    }
}

static void shapes_narrow(void **state)
{
    fixture f = fixture_new(4);
    tspk_value_id x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
    uint32_t pairs[2];
    tspk_error err;

    (void)state;
    x = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
    fixture_output(&f, fixture_slice(&f, x, 1, 0, 1));
    assert_false(tspk_merging_spread(f.graph, 1, 3, pairs));
    assert_int_equal(pairs[0], 2);
    assert_int_equal(pairs[1], 3); /* half of the six patches that are left */
    assert_int_equal(merge(&f, 1, pairs[0], pairs[1], &err), TSPK_OK);
    assert_int_equal(f.graph->value[fixture_find(&f, TSPK_OP_ATTENTION, 1)->out[0]].shape.dim[1],
                     7);
    assert_int_equal(fixture_find(&f, TSPK_OP_ATTENTION, 1)->n_in, 4);
    fixture_free(&f);
}

static void too_many_pairs_are_told(void **state)
{
    fixture f = fixture_new(4);
    tspk_value_id x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
    uint32_t pairs[2];
    uint32_t most;

    (void)state;
    x = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
    fixture_output(&f, fixture_slice(&f, x, 1, 0, 1));
    most = tspk_merging_most(f.graph, 1, pairs);
    assert_true(most >= 1 && tspk_merging_spread(f.graph, 1, most, pairs));
    assert_false(tspk_merging_spread(f.graph, 1, most + 1, pairs));
    assert_false(tspk_merging_spread(f.graph, 1, 100, pairs));
    assert_true(pairs[0] <= (TOKENS - 1) / 2); /* and what merges is what there is */
    fixture_free(&f);
}

static void expect_refusal(fixture *f, uint32_t special, uint32_t first, tspk_status status,
                           const char *why)
{
    tspk_error err;

    assert_int_equal(merge(f, special, first, 0, &err), status);
    if (!strstr(err.message, why))
        fail_msg("\"%s\" does not say \"%s\"", err.message, why);
    fixture_free(f);
}

static void what_mixes_tokens_is_refused(void **state)
{
    fixture f = fixture_new(5);
    tspk_value_id x = fixture_input(&f, DIMS(1, TOKENS, WIDTH)), y, z;

    (void)state;
    y = block(&f, x, TSPK_ID_NONE);
    z = fixture_random(&f, "positions", DIMS(HEADS, TOKENS, TOKENS), 1.0);
    fixture_output(&f, fixture_slice(&f, block(&f, y, z), 1, 0, 1));
    expect_refusal(&f, 1, 2, TSPK_UNSUPPORTED, "relative positions");

    f = fixture_new(5);
    x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
    y = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
    y = fixture_binary(&f, TSPK_OP_ADD, y, fixture_random(&f, "", DIMS(1, TOKENS, WIDTH), 1.0));
    fixture_output(&f, fixture_slice(&f, y, 1, 0, 1));
    expect_refusal(&f, 1, 2, TSPK_UNSUPPORTED, "beside");

    f = fixture_new(5);
    x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
    y = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
    fixture_output(&f, fixture_slice(&f, y, 1, 3, 1));
    expect_refusal(&f, 1, 2, TSPK_UNSUPPORTED, "slice");

    f = fixture_new(5);
    x = fixture_input(&f, DIMS(1, TOKENS, WIDTH));
    y = block(&f, block(&f, x, TSPK_ID_NONE), TSPK_ID_NONE);
    fixture_output(&f, fixture_slice(&f, y, 1, 0, 1));
    expect_refusal(&f, 1, 5, TSPK_RANGE, "at most half");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(equal_tokens_merge_without_loss),
        cmocka_unit_test(shapes_narrow),
        cmocka_unit_test(too_many_pairs_are_told),
        cmocka_unit_test(what_mixes_tokens_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
