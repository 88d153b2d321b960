/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "graph_fixture.h"

static void matmul_and_bias_become_linear(void **state)
{
    fixture f = fixture_new(1);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));
    const tspk_value_id w = fixture_random(&f, "layer.weight", DIMS(6, 4), 0.5);
    const tspk_value_id b = fixture_random(&f, "layer.bias", DIMS(1, 1, 4), 0.5);

    (void)state;
    x = fixture_binary(&f, TSPK_OP_ADD, b, fixture_matmul(&f, x, w));
    fixture_output(&f, x);
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_linear, 1e-6), 2);
    assert_int_equal(f.graph->n_nodes, 1);
    assert_int_equal(fixture_find(&f, TSPK_OP_LINEAR, 0)->n_in, 3);
    fixture_free(&f);
}

/* A constant that is not one row is no bias: a position embedding stays an Add. */
static void position_is_no_bias(void **state)
{
    fixture f = fixture_new(2);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    x = fixture_matmul(&f, x, fixture_random(&f, "", DIMS(6, 4), 0.5));
    x = fixture_binary(&f, TSPK_OP_ADD, x, fixture_random(&f, "", DIMS(1, 5, 4), 0.5));
    fixture_output(&f, x);
    fixture_check(&f, tspk_pass_fuse_linear, 1e-6);
    assert_int_equal(fixture_count(&f, TSPK_OP_LINEAR), 1);
    assert_int_equal(fixture_count(&f, TSPK_OP_ADD), 1);
    fixture_free(&f);
}

/* Two products with one matrix share its turned copy; a product read twice keeps its bias apart. */
static void shared_weight_and_shared_product(void **state)
{
    fixture f = fixture_new(3);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 5, 4));
    const tspk_value_id w = fixture_random(&f, "", DIMS(4, 4), 0.5);
    const tspk_value_id y = fixture_matmul(&f, x, w);
    const tspk_value_id z = fixture_matmul(&f, y, w);

    (void)state;
    fixture_output(&f, fixture_binary(&f, TSPK_OP_MUL, y,
                                      fixture_binary(&f, TSPK_OP_ADD, z,
                                                     fixture_random(&f, "", DIMS(4), 1.0))));
    fixture_check(&f, tspk_pass_fuse_linear, 1e-6);
    assert_int_equal(fixture_count(&f, TSPK_OP_LINEAR), 2);
    assert_int_equal(fixture_find(&f, TSPK_OP_LINEAR, 0)->in[1],
                     fixture_find(&f, TSPK_OP_LINEAR, 1)->in[1]);
    assert_int_equal(fixture_find(&f, TSPK_OP_LINEAR, 1)->n_in, 3);
    fixture_free(&f);
}

static void reshapes_around_a_product_go(void **state)
{
    fixture f = fixture_new(4);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    x = fixture_reshape(&f, x, DIMS(5, 6));
    x = fixture_matmul(&f, x, fixture_random(&f, "", DIMS(6, 4), 0.5));
    x = fixture_reshape(&f, x, DIMS(1, 5, 4));
    x = fixture_binary(&f, TSPK_OP_ADD, x, fixture_random(&f, "", DIMS(4), 0.5));
    fixture_output(&f, x);
    fixture_check(&f, tspk_pass_fuse_linear, 1e-6);
    assert_int_equal(f.graph->n_nodes, 1);
    assert_int_equal(fixture_find(&f, TSPK_OP_LINEAR, 0)->n_in, 3);
    fixture_free(&f);
}

/* A constant left operand is no Linear. */
static void constant_on_the_left_stays(void **state)
{
    fixture f = fixture_new(5);
    const tspk_value_id x = fixture_input(&f, DIMS(1, 5, 6));

    (void)state;
    fixture_output(&f, fixture_matmul(&f, fixture_random(&f, "", DIMS(1, 3, 5), 0.5), x));
    assert_int_equal(fixture_check(&f, tspk_pass_fuse_linear, 1e-6), 0);
    assert_int_equal(fixture_count(&f, TSPK_OP_MATMUL), 1);
    fixture_free(&f);
}

/* [x W] reshaped to (tokens, 3, heads, width), turned and cut: three Linears, no common product. */
static void fused_qkv_is_split(void **state)
{
    static const int64_t turn[] = {2, 0, 3, 1, 4};
    fixture f = fixture_new(6);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 8)), part[3];

    (void)state;
    x = fixture_linear(&f, "", x, 24);
    x = fixture_transpose(&f, fixture_reshape(&f, x, DIMS(1, 5, 3, 2, 4)), turn);
    for (int i = 0; i < 3; i++)
        part[i] = fixture_reshape(&f, fixture_slice(&f, x, 0, i, 1), DIMS(1, 2, 5, 4));
    x = fixture_binary(&f, TSPK_OP_MUL, part[0], part[1]);
    fixture_output(&f, fixture_binary(&f, TSPK_OP_ADD, x, part[2]));
    fixture_check(&f, tspk_pass_fuse_linear, 1e-6);
    assert_int_equal(fixture_check(&f, tspk_pass_split_linear, 1e-6), 1);
    assert_int_equal(fixture_count(&f, TSPK_OP_LINEAR), 3);
    for (size_t i = 0; i < 3; i++)
        assert_int_equal(f.graph->value[fixture_find(&f, TSPK_OP_LINEAR, i)->in[1]].shape.dim[0],
                         8);
    fixture_free(&f);
}

/* Something needs the product whole: it stays whole. */
static void used_product_is_not_split(void **state)
{
    fixture f = fixture_new(7);
    tspk_value_id x = fixture_input(&f, DIMS(1, 5, 8)), a, b;

    (void)state;
    x = fixture_linear(&f, "", x, 8);
    a = fixture_slice(&f, x, 2, 0, 4);
    b = fixture_slice(&f, x, 2, 4, 4);
    a = fixture_binary(&f, TSPK_OP_MUL, a, b);
    x = fixture_matmul(&f, x, fixture_random(&f, "", DIMS(8, 4), 0.5));
    fixture_output(&f, fixture_binary(&f, TSPK_OP_ADD, a, x));
    fixture_check(&f, tspk_pass_fuse_linear, 1e-6);
    assert_int_equal(fixture_check(&f, tspk_pass_split_linear, 1e-6), 0);
    fixture_free(&f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_and_bias_become_linear),
        cmocka_unit_test(position_is_no_bias),
        cmocka_unit_test(shared_weight_and_shared_product),
        cmocka_unit_test(reshapes_around_a_product_go),
        cmocka_unit_test(constant_on_the_left_stays),
        cmocka_unit_test(fused_qkv_is_split),
        cmocka_unit_test(used_product_is_not_split),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
