/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

static void chain_that_cancels_goes(void **state)
{
    static const int64_t forth[] = {0, 2, 1, 3}, back[] = {0, 2, 1, 3};
    fixture f = fixture_new(500);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    x = fixture_unary(&f, TSPK_OP_TANH, x);
    x = fixture_transpose(&f, fixture_reshape(&f, x, DIMS(1, 5, 2, 3)), forth);
    x = fixture_reshape(&f, fixture_transpose(&f, x, back), DIMS(1, 5, 6));
    fixture_output(&f, fixture_unary(&f, TSPK_OP_TANH, x));
    fixture_check(&f, tspk_pass_simplify_movement, 0.0);
    assert_int_equal(f.graph->n_nodes, 2);
    fixture_free(&f);
}

static void permutation_is_shortened(void **state)
{
    static const int64_t a[] = {0, 2, 1, 3}, b[] = {0, 1, 3, 2}, c[] = {2, 0, 1};
    fixture f = fixture_new(501);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 2, 3));

    (void)state;
    x = fixture_transpose(&f, fixture_transpose(&f, x, a), b);
    x = fixture_transpose(&f, fixture_reshape(&f, x, DIMS(2, 3, 5)), c);
    fixture_output(&f, fixture_unary(&f, TSPK_OP_TANH, fixture_reshape(&f, x, DIMS(1, 5, 6))));
    fixture_check(&f, tspk_pass_simplify_movement, 0.0);
    assert_true(f.graph->n_nodes <= 2);
    fixture_free(&f);
}

/* A slice loses elements, an expansion repeats them: neither is a permutation. */
static void selections_stay(void **state)
{
    fixture f = fixture_new(502);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    x = fixture_reshape(&f, fixture_slice(&f, x, 1, 1, 1), DIMS(1, 6));
    x = fixture_node(&f, TSPK_OP_EXPAND, x, TSPK_ID_NONE, TSPK_ID_NONE, DIMS(5, 6), (tspk_attr){0});
    fixture_output(&f, fixture_unary(&f, TSPK_OP_TANH, x));
    assert_int_equal(fixture_check(&f, tspk_pass_simplify_movement, 0.0), 0);
    fixture_free(&f);
}

static void neutral_nodes_go(void **state)
{
    fixture f = fixture_new(503);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    x = fixture_unary(&f, TSPK_OP_TANH, x);
    x = fixture_unary(&f, TSPK_OP_IDENTITY, x);
    x = fixture_node(&f, TSPK_OP_CAST, x, TSPK_ID_NONE, TSPK_ID_NONE, DIMS(1, 5, 6),
                     (tspk_attr){.mode = 1});
    x = fixture_binary(&f, TSPK_OP_ADD, x, fixture_scalar(&f, 0.0));
    x = fixture_binary(&f, TSPK_OP_DIV, x, fixture_filled(&f, DIMS(6), 1.0));
    x = fixture_reshape(&f, fixture_slice(&f, x, 1, 0, 5), DIMS(1, 5, 6));
    fixture_output(&f, fixture_unary(&f, TSPK_OP_ABS, x));
    assert_int_equal(fixture_check(&f, tspk_pass_drop_neutral, 0.0), 6);
    assert_int_equal(f.graph->n_nodes, 2);
    fixture_free(&f);
}

/* 0 - x, 1 / x and an addition that spreads x are not neutral. */
static void others_stay(void **state)
{
    fixture f = fixture_new(504);
    tspk_value_id x = fixture_input(&f, DIMS(1, 1, 6)), y;

    (void)state;
    y = fixture_node(&f, TSPK_OP_SUB, fixture_scalar(&f, 0.0), x, TSPK_ID_NONE, DIMS(1, 1, 6),
                     (tspk_attr){0});
    y = fixture_node(&f, TSPK_OP_DIV, fixture_scalar(&f, 1.0), y, TSPK_ID_NONE, DIMS(1, 1, 6),
                     (tspk_attr){0});
    y = fixture_node(&f, TSPK_OP_ADD, y, fixture_filled(&f, DIMS(1, 5, 1), 0.0), TSPK_ID_NONE,
                     DIMS(1, 5, 6), (tspk_attr){0});
    fixture_output(&f, y);
    assert_int_equal(fixture_check(&f, tspk_pass_drop_neutral, 0.0), 0);
    fixture_free(&f);
}

static void constants_fold(void **state)
{
    static const int64_t turn[] = {1, 0};
    fixture f = fixture_new(505);
    const tspk_value_id x = fixture_input(&f, DIMS(4, 6));
    tspk_value_id c = fixture_random(&f, "", DIMS(6, 4), 1.0);

    (void)state;
    c = fixture_unary(&f, TSPK_OP_EXP, fixture_transpose(&f, c, turn));
    fixture_output(&f, fixture_binary(&f, TSPK_OP_MUL, x, c));
    assert_int_equal(fixture_check(&f, tspk_pass_fold_constants, 0.0), 2);
    assert_int_equal(f.graph->n_nodes, 1);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chain_that_cancels_goes),
        cmocka_unit_test(permutation_is_shortened),
        cmocka_unit_test(selections_stay),
        cmocka_unit_test(neutral_nodes_go),
        cmocka_unit_test(others_stay),
        cmocka_unit_test(constants_fold),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
