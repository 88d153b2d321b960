/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>

#include "ann_test.h"

#define F32  TSPK_DTYPE_F32
#define I64  TSPK_DTYPE_I64
#define BOOL TSPK_DTYPE_BOOL

typedef double (*reference_fn)(double x);

static double reference_neg(double x)
{
    return -x;
}

static double reference_reciprocal(double x)
{
    return 1.0 / x;
}

static double reference_sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static double reference_relu(double x)
{
    return x < 0.0 ? 0.0 : x;
}

static double reference_hard_swish(double x)
{
    return x * fmax(0.0, fmin(1.0, x / 6.0 + 0.5));
}

static double reference_gelu(double x)
{
    return 0.5 * x * (1.0 + erf(x * sqrt(0.5)));
}

static const struct {
    tspk_op op;
    reference_fn fn;
    float least, most, tolerance;
} unary[] = {
    {TSPK_OP_IDENTITY, NULL, -9, 9, 0},
    {TSPK_OP_NEG, reference_neg, -9, 9, 0},
    {TSPK_OP_ABS, fabs, -9, 9, 0},
    {TSPK_OP_EXP, exp, -20, 3, 4e-6f},
    {TSPK_OP_LOG, log, 1e-3f, 30, 2e-6f},
    {TSPK_OP_SQRT, sqrt, 0, 30, 1e-6f},
    {TSPK_OP_RECIPROCAL, reference_reciprocal, 0.1f, 9, 2e-6f},
    {TSPK_OP_ERF, erf, -5, 5, 6e-7f},
    {TSPK_OP_SIN, sin, -30, 30, 3e-7f},
    {TSPK_OP_COS, cos, -30, 30, 3e-7f},
    {TSPK_OP_TANH, tanh, -10, 10, 6e-7f},
    {TSPK_OP_SIGMOID, reference_sigmoid, -30, 30, 3e-7f},
    {TSPK_OP_RELU, reference_relu, -9, 9, 0},
    {TSPK_OP_FLOOR, floor, -9, 9, 0},
    {TSPK_OP_CEIL, ceil, -9, 9, 0},
    {TSPK_OP_ROUND, rint, -9, 9, 0},
    {TSPK_OP_HARD_SWISH, reference_hard_swish, -9, 9, 2e-6f},
    {TSPK_OP_GELU, reference_gelu, -9, 9, 2e-6f},
};

static void unary_operators_match_double_precision(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (size_t k = 0; k < sizeof unary / sizeof unary[0]; k++) {
        tspk_tensor x = tensor_f32(SHAPE(7, 37), NULL);
        float expected[7 * 37];

        for (int i = 0; i < 7 * 37; i++) {
            const float v = random_float(&rng, unary[k].least, unary[k].most);

            ((float *)x.data)[i] = v;
            expected[i] = unary[k].fn ? (float)unary[k].fn((double)v) : v;
        }
        expect_f32(eval_ok(unary[k].op, NULL, 1, &x, F32, SHAPE(7, 37)), expected,
                   unary[k].tolerance);
    }
}

static void unary_operators_with_attributes(void **state)
{
    static const float x[] = {-4.0f, -0.5f, 0.0f, 0.25f, 1.0f, 3.0f, NAN};
    const tspk_attr clip = {.alpha = -1.0f, .beta = 2.0f};
    const tspk_attr hard = {.alpha = 0.2f, .beta = 0.5f};
    const tspk_attr silu = {.alpha = 1.702f}, gelu = {.mode = TSPK_GELU_TANH};
    float expected[7];
    tspk_tensor in;

    (void)state;
    in = tensor_f32(SHAPE(7), x);
    expect_f32(eval_ok(TSPK_OP_CLIP, &clip, 1, &in, F32, SHAPE(7)),
               (const float[]){-1, -0.5f, 0, 0.25f, 1, 2, NAN}, 0);
    in = tensor_f32(SHAPE(7), x);
    expect_f32(eval_ok(TSPK_OP_HARD_SIGMOID, &hard, 1, &in, F32, SHAPE(7)),
               (const float[]){0, 0.4f, 0.5f, 0.55f, 0.7f, 1, NAN}, 1e-6f);
    for (int i = 0; i < 7; i++)
        expected[i] = (float)(x[i] / (1.0 + exp(-1.702 * (double)x[i])));
    in = tensor_f32(SHAPE(7), x);
    expect_f32(eval_ok(TSPK_OP_SILU, &silu, 1, &in, F32, SHAPE(7)), expected, 1e-6f);
    for (int i = 0; i < 7; i++) {
        const double v = (double)x[i];

        expected[i] =
            (float)(0.5 * v * (1.0 + tanh(sqrt(2.0 / acos(-1.0)) * (v + 0.044715 * v * v * v))));
    }
    in = tensor_f32(SHAPE(7), x);
    expect_f32(eval_ok(TSPK_OP_GELU, &gelu, 1, &in, F32, SHAPE(7)), expected, 1e-6f);
    in = tensor_f32(SHAPE(7), x);
    expect_bool(eval_ok(TSPK_OP_IS_NAN, NULL, 1, &in, BOOL, SHAPE(7)),
                (const uint8_t[]){0, 0, 0, 0, 0, 0, 1});
    in = tensor_bool(SHAPE(3), (const uint8_t[]){0, 1, 1});
    expect_bool(eval_ok(TSPK_OP_NOT, NULL, 1, &in, BOOL, SHAPE(3)), (const uint8_t[]){1, 0, 0});
    in = tensor_f32(SHAPE(5), (const float[]){0.5f, 1.5f, 2.5f, -0.5f, -1.5f});
    expect_f32(eval_ok(TSPK_OP_ROUND, NULL, 1, &in, F32, SHAPE(5)),
               (const float[]){0, 2, 2, -0.0f, -2}, 0);
}

static void integers_have_their_unary_operators(void **state)
{
    const tspk_attr clip = {.alpha = -2.0f, .beta = INFINITY};
    tspk_tensor in;

    (void)state;
    in = tensor_i64(SHAPE(3), (const int64_t[]){-5, 7, INT64_MIN});
    expect_i64(eval_ok(TSPK_OP_NEG, NULL, 1, &in, I64, SHAPE(3)),
               (const int64_t[]){5, -7, INT64_MIN});
    in = tensor_i64(SHAPE(2), (const int64_t[]){-5, 7});
    expect_i64(eval_ok(TSPK_OP_ABS, NULL, 1, &in, I64, SHAPE(2)), (const int64_t[]){5, 7});
    in = tensor_i64(SHAPE(3), (const int64_t[]){-5, 7, INT64_MAX});
    expect_i64(eval_ok(TSPK_OP_CLIP, &clip, 1, &in, I64, SHAPE(3)),
               (const int64_t[]){-2, 7, INT64_MAX});
    in = tensor_i64(SHAPE(2), (const int64_t[]){1, 2});
    eval_fails(TSPK_OP_SQRT, NULL, 1, &in, I64, SHAPE(2), TSPK_UNSUPPORTED);
}

static void casts_truncate_and_wrap(void **state)
{
    const float x[] = {1.9f, -1.9f, 300.5f, -1e20f, NAN, 0.0f};
    tspk_tensor in;

    (void)state;
    in = tensor_f32(SHAPE(6), x);
    expect_i64(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 7}, 1, &in, I64, SHAPE(6)),
               (const int64_t[]){1, -1, 300, INT64_MIN, 0, 0});
    in = tensor_f32(SHAPE(6), x);
    expect_i64(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 2}, 1, &in, I64, SHAPE(6)),
               (const int64_t[]){1, 0, 255, 0, 0, 0});
    in = tensor_f32(SHAPE(6), x);
    expect_bool(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 9}, 1, &in, BOOL, SHAPE(6)),
                (const uint8_t[]){1, 1, 1, 1, 1, 0});
    in = tensor_i64(SHAPE(4), (const int64_t[]){200, -1, 65535, 1});
    expect_i64(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 3}, 1, &in, I64, SHAPE(4)),
               (const int64_t[]){-56, -1, -1, 1});
    in = tensor_i64(SHAPE(2), (const int64_t[]){INT64_C(4294967297), -1});
    expect_i64(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 12}, 1, &in, I64, SHAPE(2)),
               (const int64_t[]){1, INT64_C(4294967295)});
    in = tensor_i64(SHAPE(2), (const int64_t[]){3, -4});
    expect_f32(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 1}, 1, &in, F32, SHAPE(2)),
               (const float[]){3, -4}, 0);
    in = tensor_bool(SHAPE(2), (const uint8_t[]){1, 0});
    expect_f32(eval_ok(TSPK_OP_CAST, &(tspk_attr){.mode = 1}, 1, &in, F32, SHAPE(2)),
               (const float[]){1, 0}, 0);
}

static void operands_broadcast_like_numpy(void **state)
{
    tspk_tensor in[2];

    (void)state;
    in[0] = tensor_f32(SHAPE(2, 1, 3), (const float[]){1, 2, 3, 4, 5, 6});
    in[1] = tensor_f32(SHAPE(2, 1), (const float[]){10, 20});
    expect_f32(eval_ok(TSPK_OP_ADD, NULL, 2, in, F32, SHAPE(2, 2, 3)),
               (const float[]){11, 12, 13, 21, 22, 23, 14, 15, 16, 24, 25, 26}, 0);
    in[0] = tensor_f32(SCALAR, (const float[]){10});
    in[1] = tensor_f32(SHAPE(2, 2), (const float[]){1, 2, 4, 5});
    expect_f32(eval_ok(TSPK_OP_DIV, NULL, 2, in, F32, SHAPE(2, 2)), (const float[]){10, 5, 2.5f, 2},
               0);
    in[0] = tensor_f32(SHAPE(2, 2), (const float[]){1, 2, 4, 5});
    in[1] = tensor_f32(SHAPE(1), (const float[]){2});
    expect_f32(eval_ok(TSPK_OP_POW, NULL, 2, in, F32, SHAPE(2, 2)), (const float[]){1, 4, 16, 25},
               0);
    in[0] = tensor_f32(SCALAR, (const float[]){3});
    in[1] = tensor_f32(SCALAR, (const float[]){4});
    expect_f32(eval_ok(TSPK_OP_MUL, NULL, 2, in, F32, SCALAR), (const float[]){12}, 0);
    in[0] = tensor_f32(SHAPE(0, 3), NULL);
    in[1] = tensor_f32(SHAPE(3), (const float[]){1, 2, 3});
    expect_f32(eval_ok(TSPK_OP_SUB, NULL, 2, in, F32, SHAPE(0, 3)), NULL, 0);
}

/* Element of a dense tensor at the broadcast position of out[flat]. */
static float broadcast_at(const tspk_tensor *x, const tspk_shape *out, size_t flat)
{
    size_t at = 0, stride = 1;

    for (int i = out->rank; i-- > 0;) {
        const int axis = i - (out->rank - x->shape.rank);
        const size_t index = flat % (size_t)out->dim[i];

        flat /= (size_t)out->dim[i];
        if (axis < 0)
            continue;
        at += x->shape.dim[axis] == 1 ? 0 : index * stride;
        stride *= (size_t)x->shape.dim[axis];
    }
    return ((const float *)x->data)[at];
}

static void random_broadcasts_match_a_naive_walk(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int trial = 0; trial < 300; trial++) {
        tspk_shape out = {.rank = (uint8_t)tspk_rng_below(&rng, 6)}, shape[2];
        tspk_tensor in[2];
        float *expected;
        size_t n;

        for (int i = 0; i < out.rank; i++)
            out.dim[i] = 1 + (int64_t)tspk_rng_below(&rng, 4);
        for (int o = 0; o < 2; o++) {
            const int dropped = o ? (int)tspk_rng_below(&rng, (uint64_t)out.rank + 1) : 0;

            shape[o].rank = (uint8_t)(out.rank - dropped);
            for (int i = 0; i < shape[o].rank; i++)
                shape[o].dim[i] = tspk_rng_below(&rng, 3) ? out.dim[i + dropped] : 1;
        }
        /* what both have as 1 is 1 in the output */
        for (int i = 0; i < out.rank; i++) {
            const int b = i - (out.rank - shape[1].rank);

            if (shape[0].dim[i] == 1)
                out.dim[i] = b < 0 ? 1 : shape[1].dim[b];
        }
        for (int o = 0; o < 2; o++)
            in[o] = tensor_random(shape[o], &rng);
        n = tspk_shape_elems(&out);
        expected = malloc(n * sizeof *expected);
        for (size_t i = 0; i < n; i++)
            expected[i] = broadcast_at(&in[0], &out, i) - broadcast_at(&in[1], &out, i);
        expect_f32(eval_ok(TSPK_OP_SUB, NULL, 2, in, F32, out), expected, 0);
        free(expected);
    }
}

static tspk_tensor pair_f32(tspk_op op, const tspk_attr *attr, const float *a, const float *b,
                            int64_t n, tspk_dtype dtype)
{
    tspk_tensor in[2] = {tensor_f32(SHAPE(n), a), tensor_f32(SHAPE(n), b)};

    return eval_ok(op, attr, 2, in, dtype, SHAPE(n));
}

static void float_pairs(void **state)
{
    static const float a[] = {1, 5, -7, NAN, 2}, b[] = {2, 3, 3, 1, NAN};
    static const float c[] = {1, 3, -7, 2, 2}, d[] = {1, 2, 3, 2, 1};

    (void)state;
    expect_f32(pair_f32(TSPK_OP_MIN, NULL, a, b, 5, F32), (const float[]){1, 3, -7, NAN, NAN}, 0);
    expect_f32(pair_f32(TSPK_OP_MAX, NULL, a, b, 5, F32), (const float[]){2, 5, 3, NAN, NAN}, 0);
    expect_f32(pair_f32(TSPK_OP_MOD, &(tspk_attr){.mode = 1}, a, b, 3, F32),
               (const float[]){1, 2, -1}, 0);
    expect_f32(pair_f32(TSPK_OP_MOD, &(tspk_attr){.mode = 0}, a, b, 3, F32),
               (const float[]){1, 2, 2}, 0);
    expect_bool(pair_f32(TSPK_OP_EQUAL, NULL, c, d, 5, BOOL), (const uint8_t[]){1, 0, 0, 1, 0});
    expect_bool(pair_f32(TSPK_OP_LESS, NULL, c, d, 5, BOOL), (const uint8_t[]){0, 0, 1, 0, 0});
    expect_bool(pair_f32(TSPK_OP_LESS_OR_EQUAL, NULL, c, d, 5, BOOL),
                (const uint8_t[]){1, 0, 1, 1, 0});
    expect_bool(pair_f32(TSPK_OP_GREATER, NULL, c, d, 5, BOOL), (const uint8_t[]){0, 1, 0, 0, 1});
    expect_bool(pair_f32(TSPK_OP_GREATER_OR_EQUAL, NULL, c, d, 5, BOOL),
                (const uint8_t[]){1, 1, 0, 1, 1});
    expect_f32(pair_f32(TSPK_OP_POW, NULL, (const float[]){4, 4, 9, 2, 2},
                        (const float[]){0.5f, -0.5f, 2, 3, -1}, 5, F32),
               (const float[]){2, 0.5f, 81, 8, 0.5f}, 1e-6f);
}

static tspk_tensor pair_i64(tspk_op op, const tspk_attr *attr, const int64_t *a, const int64_t *b,
                            int64_t n, tspk_dtype dtype)
{
    tspk_tensor in[2] = {tensor_i64(SHAPE(n), a), tensor_i64(SHAPE(n), b)};

    return eval_ok(op, attr, 2, in, dtype, SHAPE(n));
}

static void integer_pairs(void **state)
{
    static const int64_t a[] = {7, -7, 7, -7}, b[] = {2, 2, -2, -2};
    tspk_tensor in[2];

    (void)state;
    expect_i64(pair_i64(TSPK_OP_ADD, NULL, a, b, 4, I64), (const int64_t[]){9, -5, 5, -9});
    expect_i64(pair_i64(TSPK_OP_SUB, NULL, a, b, 4, I64), (const int64_t[]){5, -9, 9, -5});
    expect_i64(pair_i64(TSPK_OP_MUL, NULL, a, b, 4, I64), (const int64_t[]){14, -14, -14, 14});
    expect_i64(pair_i64(TSPK_OP_DIV, NULL, a, b, 4, I64), (const int64_t[]){3, -3, -3, 3});
    expect_i64(pair_i64(TSPK_OP_MOD, NULL, a, b, 4, I64), (const int64_t[]){1, 1, -1, -1});
    expect_i64(pair_i64(TSPK_OP_MOD, &(tspk_attr){.mode = 1}, a, b, 4, I64),
               (const int64_t[]){1, -1, 1, -1});
    expect_i64(pair_i64(TSPK_OP_POW, NULL, (const int64_t[]){3, -2, 1}, (const int64_t[]){4, 3, -1},
                        3, I64),
               (const int64_t[]){81, -8, 1});
    expect_i64(pair_i64(TSPK_OP_MIN, NULL, a, b, 4, I64), (const int64_t[]){2, -7, -2, -7});
    expect_i64(pair_i64(TSPK_OP_MAX, NULL, a, b, 4, I64), (const int64_t[]){7, 2, 7, -2});
    expect_bool(pair_i64(TSPK_OP_EQUAL, NULL, a, (const int64_t[]){7, 7, 7, -7}, 4, BOOL),
                (const uint8_t[]){1, 0, 1, 1});
    in[0] = tensor_i64(SHAPE(1), (const int64_t[]){1});
    in[1] = tensor_i64(SHAPE(1), (const int64_t[]){0});
    eval_fails(TSPK_OP_DIV, NULL, 2, in, I64, SHAPE(1), TSPK_RANGE);
    in[0] = tensor_i64(SHAPE(1), (const int64_t[]){INT64_MIN});
    in[1] = tensor_i64(SHAPE(1), (const int64_t[]){-1});
    eval_fails(TSPK_OP_MOD, NULL, 2, in, I64, SHAPE(1), TSPK_RANGE);
}

static void truth_values_and_where(void **state)
{
    static const uint8_t a[] = {0, 0, 1, 1}, b[] = {0, 1, 0, 1};
    static const struct {
        tspk_op op;
        uint8_t expected[4];
    } cases[] = {{TSPK_OP_AND, {0, 0, 0, 1}},
                 {TSPK_OP_OR, {0, 1, 1, 1}},
                 {TSPK_OP_XOR, {0, 1, 1, 0}},
                 {TSPK_OP_EQUAL, {1, 0, 0, 1}}};
    tspk_tensor in[3];

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        in[0] = tensor_bool(SHAPE(4), a);
        in[1] = tensor_bool(SHAPE(4), b);
        expect_bool(eval_ok(cases[k].op, NULL, 2, in, BOOL, SHAPE(4)), cases[k].expected);
    }
    in[0] = tensor_bool(SHAPE(2, 1), (const uint8_t[]){1, 0});
    in[1] = tensor_f32(SHAPE(3), (const float[]){1, 2, 3});
    in[2] = tensor_f32(SCALAR, (const float[]){-INFINITY});
    expect_f32(eval_ok(TSPK_OP_WHERE, NULL, 3, in, F32, SHAPE(2, 3)),
               (const float[]){1, 2, 3, -INFINITY, -INFINITY, -INFINITY}, 0);
    in[0] = tensor_bool(SHAPE(3), (const uint8_t[]){1, 0, 1});
    in[1] = tensor_i64(SHAPE(3), (const int64_t[]){1, 2, 3});
    in[2] = tensor_i64(SHAPE(3), (const int64_t[]){4, 5, 6});
    expect_i64(eval_ok(TSPK_OP_WHERE, NULL, 3, in, I64, SHAPE(3)), (const int64_t[]){1, 5, 3});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(unary_operators_match_double_precision),
        cmocka_unit_test(unary_operators_with_attributes),
        cmocka_unit_test(integers_have_their_unary_operators),
        cmocka_unit_test(casts_truncate_and_wrap),
        cmocka_unit_test(operands_broadcast_like_numpy),
        cmocka_unit_test(random_broadcasts_match_a_naive_walk),
        cmocka_unit_test(float_pairs),
        cmocka_unit_test(integer_pairs),
        cmocka_unit_test(truth_values_and_where),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
