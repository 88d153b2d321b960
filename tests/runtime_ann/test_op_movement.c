/* SPDX-License-Identifier: Apache-2.0 */
#include "ann_test.h"

#define F32 TSPK_DTYPE_F32
#define I64 TSPK_DTYPE_I64

static tspk_tensor counting_f32(tspk_shape shape)
{
    const tspk_tensor tensor = tensor_f32(shape, NULL);

    for (size_t i = 0; i < tspk_shape_elems(&shape); i++)
        ((float *)tensor.data)[i] = (float)i;
    return tensor;
}

static void reshape_keeps_the_order(void **state)
{
    tspk_tensor in = counting_f32(SHAPE(2, 3));

    (void)state;
    expect_f32(eval_ok(TSPK_OP_RESHAPE, NULL, 1, &in, F32, SHAPE(3, 2)),
               (const float[]){0, 1, 2, 3, 4, 5}, 0);
}

static void transpose_permutes(void **state)
{
    const tspk_attr swap = {.n_axes = 2, .axes = {1, 0}};
    const tspk_attr heads = {.n_axes = 4, .axes = {0, 2, 1, 3}};
    tspk_tensor in = counting_f32(SHAPE(2, 3));

    (void)state;
    expect_f32(eval_ok(TSPK_OP_TRANSPOSE, &swap, 1, &in, F32, SHAPE(3, 2)),
               (const float[]){0, 3, 1, 4, 2, 5}, 0);
    in = counting_f32(SHAPE(1, 2, 2, 2));
    expect_f32(eval_ok(TSPK_OP_TRANSPOSE, &heads, 1, &in, F32, SHAPE(1, 2, 2, 2)),
               (const float[]){0, 1, 4, 5, 2, 3, 6, 7}, 0);
}

static void random_transposes_match_a_naive_walk(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        tspk_attr attr = {.n_axes = (uint8_t)(1 + tspk_rng_below(&rng, 5))};
        tspk_shape from = {.rank = attr.n_axes}, to = {.rank = attr.n_axes};
        size_t order[8], stride[8], n;
        tspk_tensor in, out;

        tspk_rng_shuffle(tspk_rng_next(&rng), order, attr.n_axes);
        for (int i = 0; i < from.rank; i++)
            from.dim[i] = 1 + (int64_t)tspk_rng_below(&rng, 4);
        for (int i = 0; i < to.rank; i++) {
            attr.axes[i] = (int64_t)order[i];
            to.dim[i] = from.dim[order[i]];
        }
        n = 1;
        for (int i = from.rank; i-- > 0; n *= (size_t)from.dim[i])
            stride[i] = n;
        in = counting_f32(from);
        out = eval_ok(TSPK_OP_TRANSPOSE, &attr, 1, &in, F32, to);
        for (size_t i = 0; i < n; i++) {
            size_t left = i, at = 0;

            for (int axis = to.rank; axis-- > 0; left /= (size_t)to.dim[axis])
                at += left % (size_t)to.dim[axis] * stride[order[axis]];
            assert_true(((const float *)out.data)[i] == (float)at);
        }
        tensor_free(&out);
    }
}

static void slice_steps_both_ways(void **state)
{
    const tspk_attr back = {.starts = {2, 3}, .steps = {-2, -1}};
    const tspk_attr plain = {.starts = {1, 0}, .steps = {1, 3}};
    tspk_tensor in = counting_f32(SHAPE(3, 4));

    (void)state;
    expect_f32(eval_ok(TSPK_OP_SLICE, &back, 1, &in, F32, SHAPE(2, 4)),
               (const float[]){11, 10, 9, 8, 3, 2, 1, 0}, 0);
    in = counting_f32(SHAPE(3, 4));
    expect_f32(eval_ok(TSPK_OP_SLICE, &plain, 1, &in, F32, SHAPE(2, 2)),
               (const float[]){4, 7, 8, 11}, 0);
    in = counting_f32(SHAPE(3, 4));
    expect_f32(eval_ok(TSPK_OP_SLICE, &plain, 1, &in, F32, SHAPE(2, 0)), NULL, 0);
    in = tensor_i64(SHAPE(4), (const int64_t[]){1, 2, 3, 4});
    expect_i64(
        eval_ok(TSPK_OP_SLICE, &(tspk_attr){.starts = {3}, .steps = {-3}}, 1, &in, I64, SHAPE(2)),
        (const int64_t[]){4, 1});
}

static void concat_joins_along_an_axis(void **state)
{
    tspk_tensor in[3] = {counting_f32(SHAPE(2, 1)), counting_f32(SHAPE(2, 2)),
                         counting_f32(SHAPE(2, 0))};

    (void)state;
    expect_f32(eval_ok(TSPK_OP_CONCAT, &(tspk_attr){.axis = 1}, 3, in, F32, SHAPE(2, 3)),
               (const float[]){0, 0, 1, 1, 2, 3}, 0);
    in[0] = counting_f32(SHAPE(1, 2));
    in[1] = counting_f32(SHAPE(2, 2));
    expect_f32(eval_ok(TSPK_OP_CONCAT, &(tspk_attr){.axis = 0}, 2, in, F32, SHAPE(3, 2)),
               (const float[]){0, 1, 0, 1, 2, 3}, 0);
}

static void gather_picks_along_an_axis(void **state)
{
    tspk_tensor in[2] = {counting_f32(SHAPE(2, 3, 2)), tensor_i64(SCALAR, (const int64_t[]){2})};

    (void)state;
    expect_f32(eval_ok(TSPK_OP_GATHER, &(tspk_attr){.axis = 1}, 2, in, F32, SHAPE(2, 2)),
               (const float[]){4, 5, 10, 11}, 0);
    in[0] = counting_f32(SHAPE(3, 2));
    in[1] = tensor_i64(SHAPE(2, 2), (const int64_t[]){0, 2, 1, 1});
    expect_f32(eval_ok(TSPK_OP_GATHER, &(tspk_attr){.axis = 0}, 2, in, F32, SHAPE(2, 2, 2)),
               (const float[]){0, 1, 4, 5, 2, 3, 2, 3}, 0);
}

/* Indices that are computed are checked when they are used. */
static void gather_refuses_an_index_outside(void **state)
{
    tspk_node node = {.op = TSPK_OP_GATHER, .name = "pick", .n_in = 2, .n_out = 1};
    tspk_tensor in[2] = {counting_f32(SHAPE(3)), tensor_i64(SHAPE(2), (const int64_t[]){-1, 3})};
    tspk_tensor out = tensor_f32(SHAPE(2), NULL);
    tspk_error err;

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_op_eval(&node, in, &out, NULL, &err), TSPK_RANGE);
    assert_string_equal(err.node, "pick");
    assert_string_equal(err.op, "Gather");
    assert_true(((const float *)out.data)[0] == 0.0f);
    ((int64_t *)in[1].data)[1] = -3;
    assert_int_equal(tspk_op_eval(&node, in, &out, NULL, &err), TSPK_OK);
    assert_true(((const float *)out.data)[0] == 2.0f && ((const float *)out.data)[1] == 0.0f);
    tensor_free(&in[0]);
    tensor_free(&in[1]);
    tensor_free(&out);
}

static void expand_tile_and_pad(void **state)
{
    tspk_tensor in = tensor_f32(SHAPE(2, 1), (const float[]){1, 2});

    (void)state;
    expect_f32(eval_ok(TSPK_OP_EXPAND, NULL, 1, &in, F32, SHAPE(2, 2, 2)),
               (const float[]){1, 1, 2, 2, 1, 1, 2, 2}, 0);
    in = tensor_f32(SHAPE(1, 2), (const float[]){1, 2});
    expect_f32(eval_ok(TSPK_OP_TILE, NULL, 1, &in, F32, SHAPE(2, 4)),
               (const float[]){1, 2, 1, 2, 1, 2, 1, 2}, 0);
    in = counting_f32(SHAPE(2, 2));
    expect_f32(
        eval_ok(TSPK_OP_PAD, &(tspk_attr){.starts = {1, 0}, .alpha = 9}, 1, &in, F32, SHAPE(3, 4)),
        (const float[]){9, 9, 9, 9, 0, 1, 9, 9, 2, 3, 9, 9}, 0);
    in = tensor_i64(SHAPE(2), (const int64_t[]){5, 6});
    expect_i64(
        eval_ok(TSPK_OP_PAD, &(tspk_attr){.starts = {2}, .alpha = -1}, 1, &in, I64, SHAPE(4)),
        (const int64_t[]){-1, -1, 5, 6});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reshape_keeps_the_order),
        cmocka_unit_test(transpose_permutes),
        cmocka_unit_test(random_transposes_match_a_naive_walk),
        cmocka_unit_test(slice_steps_both_ways),
        cmocka_unit_test(concat_joins_along_an_axis),
        cmocka_unit_test(gather_picks_along_an_axis),
        cmocka_unit_test(gather_refuses_an_index_outside),
        cmocka_unit_test(expand_tile_and_pad),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
