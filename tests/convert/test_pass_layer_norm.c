/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

enum { CENTRED = 0, SQUARES_LESS_MEAN = 1, NOT_CENTRED = 2 };
enum { BY_SQRT_DIV = 0, BY_RECIPROCAL = 1, BY_POW = 2, BY_ONE_OVER = 3, EPS_OUTSIDE = 4 };

typedef struct spelling {
    const char *name;
    int variance, root;
    bool is_square_by_mul, has_two_means, is_swapped;
    double unbiased; /* factor on the variance; 0: none */
    bool is_norm;
    tspk_op expected;
} spelling;

static tspk_value_id square(fixture *f, tspk_value_id d, bool by_mul)
{
    return by_mul ? fixture_binary(f, TSPK_OP_MUL, d, d)
                  : fixture_binary(f, TSPK_OP_POW, d, fixture_scalar(f, 2.0));
}

static tspk_value_id binary_either(fixture *f, tspk_op op, tspk_value_id a, tspk_value_id b,
                                   bool is_swapped)
{
    return is_swapped ? fixture_binary(f, op, b, a) : fixture_binary(f, op, a, b);
}

static tspk_value_id spell(fixture *f, const spelling *s, tspk_value_id x)
{
    const tspk_value_id mean = fixture_mean(f, x, 2);
    const tspk_value_id other = s->has_two_means ? fixture_mean(f, x, 2) : mean;
    const tspk_value_id d = fixture_binary(f, TSPK_OP_SUB, x, mean);
    const tspk_value_id numerator = s->variance == NOT_CENTRED ? x : d;
    const tspk_value_id eps = fixture_scalar(f, 1e-5);
    tspk_value_id v, y;

    if (s->variance == SQUARES_LESS_MEAN) {
        v = fixture_binary(f, TSPK_OP_SUB, fixture_mean(f, square(f, x, s->is_square_by_mul), 2),
                           square(f, other, s->is_square_by_mul));
    } else {
        const tspk_value_id again =
            s->variance == NOT_CENTRED
                ? x
                : (s->has_two_means ? fixture_binary(f, TSPK_OP_SUB, x, other) : d);

        v = fixture_mean(f, square(f, again, s->is_square_by_mul), 2);
    }
    if (s->unbiased > 0.0)
        v = fixture_binary(f, TSPK_OP_MUL, v, fixture_scalar(f, s->unbiased));
    if (s->root == EPS_OUTSIDE) {
        v = fixture_binary(f, TSPK_OP_ADD, fixture_unary(f, TSPK_OP_SQRT, v), eps);
        y = fixture_binary(f, TSPK_OP_DIV, numerator, v);
    } else {
        v = binary_either(f, TSPK_OP_ADD, v, eps, s->is_swapped);
        if (s->root == BY_POW) {
            v = fixture_binary(f, TSPK_OP_POW, v, fixture_scalar(f, -0.5));
        } else {
            v = fixture_unary(f, TSPK_OP_SQRT, v);
            if (s->root == BY_RECIPROCAL)
                v = fixture_unary(f, TSPK_OP_RECIPROCAL, v);
            if (s->root == BY_ONE_OVER)
                v = fixture_node(f, TSPK_OP_DIV, fixture_scalar(f, 1.0), v, TSPK_ID_NONE,
                                 f->graph->value[v].shape, (tspk_attr){0});
        }
        y = s->root == BY_SQRT_DIV ? fixture_binary(f, TSPK_OP_DIV, numerator, v)
                                   : binary_either(f, TSPK_OP_MUL, numerator, v, s->is_swapped);
    }
    y = binary_either(f, TSPK_OP_MUL, y, fixture_random(f, "w", DIMS(16), 1.0), s->is_swapped);
    return binary_either(f, TSPK_OP_ADD, y, fixture_random(f, "b", DIMS(16), 1.0), s->is_swapped);
}

static const spelling spellings[] = {
    {"sub, pow, sqrt, div", CENTRED, BY_SQRT_DIV, false, false, false, 0, true, TSPK_OP_LAYER_NORM},
    {"other operands first", CENTRED, BY_RECIPROCAL, true, false, true, 0, true,
     TSPK_OP_LAYER_NORM},
    {"two means", CENTRED, BY_SQRT_DIV, true, true, false, 0, true, TSPK_OP_LAYER_NORM},
    {"pow -0.5", CENTRED, BY_POW, false, false, false, 0, true, TSPK_OP_LAYER_NORM},
    {"one over sqrt", CENTRED, BY_ONE_OVER, false, false, true, 0, true, TSPK_OP_LAYER_NORM},
    {"mean of squares", SQUARES_LESS_MEAN, BY_SQRT_DIV, true, false, false, 0, true,
     TSPK_OP_LAYER_NORM},
    {"unbiased, eps inside", CENTRED, BY_SQRT_DIV, false, false, false, 16.0 / 15.0, true,
     TSPK_OP_LAYER_NORM},
    {"eps outside", CENTRED, EPS_OUTSIDE, false, false, false, 16.0 / 15.0, false,
     TSPK_OP_LAYER_NORM},
    {"not centred", NOT_CENTRED, BY_RECIPROCAL, false, false, false, 0, true, TSPK_OP_RMS_NORM},
};

static void every_spelling(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof spellings / sizeof spellings[0]; i++) {
        const spelling *s = &spellings[i];
        fixture f = fixture_new(100 + i);

        print_message("%s\n", s->name);
        fixture_output(&f, spell(&f, s, fixture_input(&f, DIMS(1, 5, 16))));
        assert_int_equal(fixture_check(&f, tspk_pass_fuse_layer_norm, 4e-6), s->is_norm);
        assert_int_equal(fixture_count(&f, s->expected), s->is_norm);
        if (s->is_norm && s->expected == TSPK_OP_LAYER_NORM)
            assert_int_equal(f.graph->n_nodes, 1);
        fixture_free(&f);
    }
}

/* x / sqrt(var(x) + eps) divides x itself: no LayerNorm, no RmsNorm. */
static void deviation_of_another_numerator_stays(void **state)
{
    fixture f = fixture_new(120);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 5, 16));
    const tspk_value_id d = fixture_binary(&f, TSPK_OP_SUB, x, fixture_mean(&f, x, 2));
    tspk_value_id v = fixture_mean(&f, square(&f, d, true), 2);

    (void)state;
    v = fixture_binary(&f, TSPK_OP_ADD, v, fixture_scalar(&f, 1e-5));
    fixture_output(&f, fixture_binary(&f, TSPK_OP_DIV, x, fixture_unary(&f, TSPK_OP_SQRT, v)));
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_layer_norm, 1e-6), 0);
    fixture_free(&f);
}

/* Over the tokens, not over the channels. */
static void other_axis_stays(void **state)
{
    fixture f = fixture_new(121);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 5, 16));
    const tspk_value_id d = fixture_binary(&f, TSPK_OP_SUB, x, fixture_mean(&f, x, 1));
    tspk_value_id v = fixture_mean(&f, square(&f, d, true), 1);

    (void)state;
    v = fixture_binary(&f, TSPK_OP_ADD, v, fixture_scalar(&f, 1e-5));
    fixture_output(&f, fixture_binary(&f, TSPK_OP_DIV, d, fixture_unary(&f, TSPK_OP_SQRT, v)));
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_layer_norm, 1e-6), 0);
    fixture_free(&f);
}

/* A weight a token is no weight of the norm. */
static void weight_per_token_stays_outside(void **state)
{
    fixture f = fixture_new(122);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 16, 16));
    const tspk_value_id d = fixture_binary(&f, TSPK_OP_SUB, x, fixture_mean(&f, x, 2));
    tspk_value_id v = fixture_mean(&f, square(&f, d, true), 2), y;

    (void)state;
    v = fixture_binary(&f, TSPK_OP_ADD, v, fixture_scalar(&f, 1e-5));
    y = fixture_binary(&f, TSPK_OP_DIV, d, fixture_unary(&f, TSPK_OP_SQRT, v));
    fixture_output(&f,
                   fixture_binary(&f, TSPK_OP_MUL, y, fixture_random(&f, "", DIMS(1, 16, 1), 1.0)));
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_layer_norm, 1e-6), 1);
    assert_int_equal(fixture_count(&f, TSPK_OP_MUL), 1);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_spelling),
        cmocka_unit_test(deviation_of_another_numerator_stays),
        cmocka_unit_test(other_axis_stays),
        cmocka_unit_test(weight_per_token_stays_outside),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
