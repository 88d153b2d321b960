/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

enum { TOKENS = 9, HEADS = 2, CHANNELS = 8 };

static const int64_t heads_first[] = {0, 2, 1, 3};
static const int64_t swap_last[] = {0, 1, 3, 2};

static tspk_value_id split_heads(fixture *f, tspk_value_id x)
{
    return fixture_transpose(f, fixture_reshape(f, x, DIMS(1, TOKENS, HEADS, CHANNELS / HEADS)),
                             heads_first);
}

/* A pre-norm block with attention and MLP. */
static tspk_value_id block(fixture *f, tspk_value_id x)
{
    const tspk_value_id y = fixture_layer_norm(f, x);
    const tspk_value_id q = split_heads(f, fixture_linear(f, "", y, CHANNELS));
    const tspk_value_id k = split_heads(f, fixture_linear(f, "", y, CHANNELS));
    const tspk_value_id v = split_heads(f, fixture_linear(f, "", y, CHANNELS));
    tspk_value_id o = fixture_matmul(f, q, fixture_transpose(f, k, swap_last));

    o = fixture_matmul(f, fixture_softmax(f, o), v);
    o = fixture_reshape(f, fixture_transpose(f, o, heads_first), DIMS(1, TOKENS, CHANNELS));
    x = fixture_binary(f, TSPK_OP_ADD, x, fixture_linear(f, "", o, CHANNELS));
    o = fixture_linear(f, "", fixture_layer_norm(f, x), 2 * CHANNELS);
    o = fixture_linear(f, "", fixture_unary(f, TSPK_OP_GELU, o), CHANNELS);
    return fixture_binary(f, TSPK_OP_ADD, x, o);
}

/* Image [1, 1, 8, 8] as 8 patches behind a class token, with positions. */
static tspk_value_id embed(fixture *f)
{
    static const int64_t turn[] = {0, 2, 1};
    const tspk_value_id image = fixture_input(f, DIMS(1, 1, 8, 8));
    tspk_value_id x = fixture_transpose(f, fixture_reshape(f, image, DIMS(1, 8, 8)), turn);

    x = fixture_linear(f, "", x, CHANNELS);
    x = fixture_node(f, TSPK_OP_CONCAT, fixture_random(f, "cls", DIMS(1, 1, CHANNELS), 1.0), x,
                     TSPK_ID_NONE, DIMS(1, TOKENS, CHANNELS), (tspk_attr){.axis = 1});
    return fixture_binary(f, TSPK_OP_ADD, x,
                          fixture_random(f, "pos", DIMS(1, TOKENS, CHANNELS), 1.0));
}

static tspk_value_id pick(fixture *f, tspk_value_id x, int64_t token)
{
    return fixture_node(f, TSPK_OP_GATHER, x, fixture_indices(f, (tspk_shape){0}, &token),
                        TSPK_ID_NONE, DIMS(1, CHANNELS), (tspk_attr){.axis = 1});
}

static size_t rows(const fixture *f, tspk_value_id id)
{
    return tspk_shape_rows(&f->graph->value[id].shape);
}

/* The value holds those rows of all tokens; n 0: nothing is noted. */
static void check_source(const fixture *f, tspk_value_id id, const uint32_t *tokens, size_t n)
{
    const tspk_value *value = &f->graph->value[id];

    assert_int_equal(value->source_rows, n ? TOKENS : 0);
    assert_true(!value->source_row == !n);
    for (size_t r = 0; r < n; r++)
        assert_int_equal(value->source_row[r], tokens[r]);
}

/* The last block computes the class token alone; keys and values, and the first block, are whole.
 */
static void last_block_of_the_class_token(void **state)
{
    for (int after_norm = 0; after_norm < 2; after_norm++) {
        fixture f = fixture_new(400);
        tspk_value_id x = block(&f, block(&f, embed(&f)));

        (void)state;
        x = after_norm ? pick(&f, fixture_layer_norm(&f, x), 0)
                       : fixture_layer_norm(&f, pick(&f, x, 0));
        fixture_output(&f, fixture_linear(&f, "", x, 5));
        fixture_check(&f, NULL, 3e-6);
        assert_int_equal(fixture_count(&f, TSPK_OP_ATTENTION), 2);
        const tspk_node *first = fixture_find(&f, TSPK_OP_ATTENTION, 0);
        const tspk_node *last = fixture_find(&f, TSPK_OP_ATTENTION, 1);

        assert_int_equal(rows(&f, first->out[0]), TOKENS);
        assert_int_equal(rows(&f, last->in[0]), 1);
        assert_int_equal(rows(&f, last->in[1]), TOKENS);
        assert_int_equal(rows(&f, last->in[2]), TOKENS);
        const tspk_node *query = &f.graph->node[f.graph->value[last->in[0]].producer];
        const tspk_node *key = &f.graph->node[f.graph->value[last->in[1]].producer];

        assert_int_equal(query->attr.n_rows, 1);
        assert_int_equal(query->attr.rows[0], 0);
        assert_int_equal(query->in[0], key->in[0]);
        check_source(&f, query->out[0], (uint32_t[]){0}, 1);
        check_source(&f, key->out[0], NULL, 0);
        check_source(&f, key->in[0], NULL, 0);
        check_source(&f, last->out[0], (uint32_t[]){0}, 1);
        check_source(&f, fixture_find(&f, TSPK_OP_GELU, 1)->out[0], (uint32_t[]){0}, 1);
        check_source(&f, f.graph->node[f.graph->n_nodes - 1].in[0], NULL, 0);
        for (uint32_t n = f.graph->value[last->out[0]].producer; n < f.graph->n_nodes; n++)
            assert_int_equal(rows(&f, f.graph->node[n].out[0]), 1);
        fixture_free(&f);
    }
}

/* Two tokens in two outputs' heads: their union is computed. */
static void two_tokens(void **state)
{
    fixture f = fixture_new(401);
    const tspk_value_id x = fixture_layer_norm(&f, block(&f, embed(&f)));
    const tspk_value_id a = fixture_linear(&f, "", pick(&f, x, 3), 5);
    const tspk_value_id b = fixture_linear(&f, "", pick(&f, x, 0), 5);

    (void)state;
    fixture_output(&f, fixture_binary(&f, TSPK_OP_ADD, a, b));
    fixture_check(&f, NULL, 3e-6);
    const tspk_value_id attention = fixture_find(&f, TSPK_OP_ATTENTION, 0)->out[0];

    assert_int_equal(rows(&f, attention), 2);
    check_source(&f, attention, (uint32_t[]){0, 3}, 2);
    fixture_free(&f);
}

/* A selection of the network's own that keeps its axis is not undone in the head. */
static void slice_of_the_class_token(void **state)
{
    fixture f = fixture_new(408);
    tspk_value_id x = fixture_layer_norm(&f, block(&f, block(&f, embed(&f))));

    (void)state;
    x = fixture_slice(&f, x, 1, 0, 1);
    x = fixture_linear(&f, "", x, 5);
    fixture_output(&f, fixture_reshape(&f, x, DIMS(1, 5)));
    fixture_check(&f, NULL, 3e-6);
    check_source(&f, fixture_find(&f, TSPK_OP_ATTENTION, 1)->out[0], (uint32_t[]){0}, 1);
    for (uint32_t n = 0; n < f.graph->n_nodes; n++)
        if (f.graph->node[n].op == TSPK_OP_LINEAR &&
            tspk_shape_last(&f.graph->value[f.graph->node[n].out[0]].shape) == 5)
            check_source(&f, f.graph->node[n].in[0], NULL, 0);
    fixture_free(&f);
}

/* The mean of all tokens needs all of them. */
static void pooling_needs_all(void **state)
{
    fixture f = fixture_new(402);
    tspk_value_id x = fixture_mean(&f, fixture_layer_norm(&f, block(&f, embed(&f))), 1);

    (void)state;
    x = fixture_linear(&f, "", fixture_reshape(&f, x, DIMS(1, CHANNELS)), 5);
    fixture_output(&f, x);
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(rows(&f, fixture_find(&f, TSPK_OP_ATTENTION, 0)->out[0]), TOKENS);
    fixture_free(&f);
}

static void structure_of_a_class_token(void **state)
{
    fixture f = fixture_new(403);
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_structure s;
    size_t n_heads = 0, n_stems = 0;

    (void)state;
    assert_non_null(arena);
    fixture_output(&f, fixture_linear(&f, "", pick(&f, block(&f, block(&f, embed(&f))), 0), 5));
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(tspk_find_structure(f.graph, arena, &s, NULL), TSPK_OK);
    assert_int_equal(s.n_classes, 2);
    const tspk_node *first = fixture_find(&f, TSPK_OP_ATTENTION, 0);
    const tspk_node *last = fixture_find(&f, TSPK_OP_ATTENTION, 1);

    for (int i = 0; i < 3; i++)
        for (int r = 0; r < TOKENS; r++)
            assert_int_equal(s.row_class[first->in[i]][r], r == 0);
    assert_int_equal(s.row_class[last->in[0]][0], 1);
    assert_int_equal(s.row_class[f.graph->output[0]][0], 1);
    for (uint32_t n = 0; n < f.graph->n_nodes; n++) {
        const bool is_linear = f.graph->node[n].op == TSPK_OP_LINEAR;

        n_heads += s.is_head[n];
        n_stems += is_linear && s.is_stem[n];
        assert_true(!s.is_head[n] || is_linear);
    }
    assert_int_equal(n_heads, 1);
    assert_int_equal(n_stems, 1);
    assert_int_equal(tspk_check_convertible(f.graph, NULL), TSPK_OK);
    tspk_arena_free(arena);
    fixture_free(&f);
}

static void refusals(void **state)
{
    tspk_error err;
    fixture f = fixture_new(404);
    tspk_value_id x = fixture_input(&f, DIMS(1, 1, 4, 8));

    (void)state;
    /* a product of two activations */
    x = fixture_linear(&f, "", fixture_reshape(&f, x, DIMS(1, 4, 8)), 4);
    x = fixture_linear(&f, "", x, 4);
    x = fixture_mean(&f, fixture_matmul(&f, x, x), 1);
    fixture_output(&f, fixture_reshape(&f, x, DIMS(1, 4)));
    fixture_check(&f, NULL, 3e-6);
    tspk_error_init(&err);
    assert_int_equal(tspk_check_convertible(f.graph, &err), TSPK_UNSUPPORTED);
    assert_string_equal(err.op, "MatMul");
    f.graph->batch = 4;
    assert_int_equal(tspk_check_convertible(f.graph, NULL), TSPK_SHAPE);
    fixture_free(&f);

    /* no attention */
    f = fixture_new(405);
    x = fixture_reshape(&f, fixture_input(&f, DIMS(1, 1, 4, 8)), DIMS(1, 32));
    fixture_output(&f, fixture_linear(&f, "", x, 4));
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(tspk_check_convertible(f.graph, NULL), TSPK_UNSUPPORTED);
    fixture_free(&f);

    /* no classes */
    f = fixture_new(406);
    x = fixture_reshape(&f, fixture_input(&f, DIMS(1, 1, 4, 8)), DIMS(1, 4, 8));
    fixture_output(&f, fixture_linear(&f, "", fixture_linear(&f, "", x, 4), 4));
    fixture_check(&f, NULL, 3e-6);
    assert_int_equal(tspk_check_convertible(f.graph, NULL), TSPK_UNSUPPORTED);
    fixture_free(&f);
}

static void cost_counts_before_slicing(void **state)
{
    fixture f = fixture_new(407);
    tspk_pass_report report;

    (void)state;
    fixture_output(&f, fixture_linear(&f, "", pick(&f, block(&f, embed(&f)), 0), 5));
    assert_int_equal(tspk_run_passes(f.graph, &report, NULL), TSPK_OK);
    assert_int_equal(report.source_cost.stem, 8 * 8 * CHANNELS);
    assert_int_equal(report.source_cost.linear, TOKENS * CHANNELS * CHANNELS * (4 + 4));
    assert_int_equal(report.source_cost.product, 2 * TOKENS * TOKENS * CHANNELS);
    assert_int_equal(report.source_cost.head, CHANNELS * 5);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(last_block_of_the_class_token), cmocka_unit_test(two_tokens),
        cmocka_unit_test(slice_of_the_class_token),      cmocka_unit_test(pooling_needs_all),
        cmocka_unit_test(structure_of_a_class_token),    cmocka_unit_test(refusals),
        cmocka_unit_test(cost_counts_before_slicing),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
