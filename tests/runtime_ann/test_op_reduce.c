/* SPDX-License-Identifier: Apache-2.0 */
/* Reductions, ArgMax, normalisation. */
#include <math.h>

#include "ann_test.h"

#define F32 TSPK_DTYPE_F32
#define I64 TSPK_DTYPE_I64

static void reductions_of_a_small_matrix(void **state)
{
    static const float x[] = {1, -2, 3, 4, 5, -6};
    static const struct {
        tspk_op op;
        float rows[2], columns[3], all;
    } cases[] = {
        {TSPK_OP_REDUCE_SUM, {2, 3}, {5, 3, -3}, 5},
        {TSPK_OP_REDUCE_MEAN, {2.0f / 3, 1}, {2.5f, 1.5f, -1.5f}, 5.0f / 6},
        {TSPK_OP_REDUCE_MAX, {3, 5}, {4, 5, 3}, 5},
        {TSPK_OP_REDUCE_MIN, {-2, -6}, {1, -2, -6}, -6},
        {TSPK_OP_REDUCE_PROD, {-6, -120}, {4, -10, -18}, 720},
        {TSPK_OP_REDUCE_L2,
         {3.74165739f, 8.77496439f},
         {4.12310563f, 5.38516481f, 6.70820393f},
         9.53939201f},
    };
    const tspk_attr rows = {.n_axes = 1, .axes = {1}}, columns = {.n_axes = 1, .axes = {0}};
    const tspk_attr all = {.n_axes = 2, .axes = {0, 1}}, none = {0};

    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        tspk_tensor in = tensor_f32(SHAPE(2, 3), x);

        expect_f32(eval_ok(cases[k].op, &rows, 1, &in, F32, SHAPE(2)), cases[k].rows, 1e-6f);
        in = tensor_f32(SHAPE(2, 3), x);
        expect_f32(eval_ok(cases[k].op, &columns, 1, &in, F32, SHAPE(1, 3)), cases[k].columns,
                   1e-6f);
        in = tensor_f32(SHAPE(2, 3), x);
        expect_f32(eval_ok(cases[k].op, &all, 1, &in, F32, SCALAR), &cases[k].all, 1e-6f);
    }
    {
        tspk_tensor in = tensor_f32(SHAPE(2, 3), x);

        expect_f32(eval_ok(TSPK_OP_REDUCE_SUM, &none, 1, &in, F32, SHAPE(2, 3)), x, 0);
        in = tensor_f32(SHAPE(2), (const float[]){NAN, 1});
        expect_f32(eval_ok(TSPK_OP_REDUCE_MAX, &columns, 1, &in, F32, SCALAR), (const float[]){NAN},
                   0);
        in = tensor_i64(SHAPE(2, 3), (const int64_t[]){1, 2, 3, 4, 5, 6});
        expect_i64(eval_ok(TSPK_OP_REDUCE_PROD, &rows, 1, &in, I64, SHAPE(2, 1)),
                   (const int64_t[]){6, 120});
        in = tensor_i64(SHAPE(2), (const int64_t[]){1, 2});
        eval_fails(TSPK_OP_REDUCE_L2, &columns, 1, &in, I64, SCALAR, TSPK_UNSUPPORTED);
    }
}

/* Any set of axes against a sum in double precision. */
static void random_sums_match_double_precision(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int trial = 0; trial < 200; trial++) {
        tspk_shape shape = {.rank = (uint8_t)(1 + tspk_rng_below(&rng, 4))}, kept;
        const uint64_t mask = 1 + tspk_rng_below(&rng, (1u << shape.rank) - 1);
        tspk_attr attr = {0};
        double *sum;
        float *expected;
        tspk_tensor in;

        for (int i = 0; i < shape.rank; i++)
            shape.dim[i] = 1 + (int64_t)tspk_rng_below(&rng, 20);
        kept = shape;
        for (int i = 0; i < shape.rank; i++)
            if (mask >> i & 1) {
                attr.axes[attr.n_axes++] = i;
                kept.dim[i] = 1;
            }
        in = tensor_random(shape, &rng);
        sum = calloc(tspk_shape_elems(&kept), sizeof *sum);
        expected = malloc(tspk_shape_elems(&kept) * sizeof *expected);
        for (size_t i = 0; i < tspk_shape_elems(&shape); i++) {
            size_t left = i, at = 0, stride = 1;

            for (int axis = shape.rank; axis-- > 0; left /= (size_t)shape.dim[axis]) {
                at += kept.dim[axis] == 1 ? 0 : left % (size_t)shape.dim[axis] * stride;
                stride *= (size_t)kept.dim[axis];
            }
            sum[at] += (double)((const float *)in.data)[i];
        }
        for (size_t i = 0; i < tspk_shape_elems(&kept); i++)
            expected[i] = (float)sum[i];
        expect_f32(eval_ok(TSPK_OP_REDUCE_SUM, &attr, 1, &in, F32, kept), expected, 2e-2f);
        free(sum);
        free(expected);
    }
}

static void arg_max_takes_the_first(void **state)
{
    tspk_tensor in = tensor_f32(SHAPE(2, 3), (const float[]){1, 7, 7, 9, 2, 3});

    (void)state;
    expect_i64(eval_ok(TSPK_OP_ARG_MAX, &(tspk_attr){.axis = 1}, 1, &in, I64, SHAPE(2)),
               (const int64_t[]){1, 0});
    in = tensor_f32(SHAPE(2, 3), (const float[]){1, 7, 7, 9, 2, 3});
    expect_i64(eval_ok(TSPK_OP_ARG_MAX, &(tspk_attr){.axis = 0}, 1, &in, I64, SHAPE(1, 3)),
               (const int64_t[]){1, 0, 0});
    in = tensor_i64(SHAPE(3), (const int64_t[]){-5, -2, -9});
    expect_i64(eval_ok(TSPK_OP_ARG_MAX, &(tspk_attr){.axis = 0}, 1, &in, I64, SCALAR),
               (const int64_t[]){1});
    in = tensor_f32(SHAPE(0), NULL);
    eval_fails(TSPK_OP_ARG_MAX, &(tspk_attr){.axis = 0}, 1, &in, I64, SCALAR, TSPK_RANGE);
}

/* Softmax along any axis against double precision. */
static void softmax_along_any_axis(void **state)
{
    tspk_rng rng = {test_seed()};
    const int64_t dim[3] = {3, 37, 5};

    (void)state;
    for (int axis = 0; axis < 3; axis++) {
        tspk_tensor in = tensor_random(SHAPE(3, 37, 5), &rng);
        const float *const x = in.data;
        size_t stride = 1;
        float expected[3 * 37 * 5];

        for (int i = axis + 1; i < 3; i++)
            stride *= (size_t)dim[i];
        for (size_t i = 0; i < 3 * 37 * 5; i++) {
            const size_t n = (size_t)dim[axis], index = i / stride % n;
            double sum = 0.0;

            for (size_t k = 0; k < n; k++)
                sum += exp((double)x[i + (k - index) * stride]);
            expected[i] = (float)(exp((double)x[i]) / sum);
        }
        expect_f32(
            eval_ok(TSPK_OP_SOFTMAX, &(tspk_attr){.axis = axis}, 1, &in, F32, SHAPE(3, 37, 5)),
            expected, 2e-7f);
    }
    {
        tspk_tensor in = tensor_f32(SHAPE(1, 4), (const float[]){1000, -INFINITY, 1000, -5000});

        expect_f32(eval_ok(TSPK_OP_SOFTMAX, &(tspk_attr){.axis = 1}, 1, &in, F32, SHAPE(1, 4)),
                   (const float[]){0.5f, 0, 0.5f, 0}, 0);
    }
}

static void layer_norm_over_several_axes(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int axis = 0; axis < 3; axis++)
        for (int n_in = 1; n_in <= 3; n_in++) {
            const tspk_attr attr = {.axis = axis, .epsilon = 1e-5f};
            const size_t n = axis == 0 ? 4 * 6 * 9 : axis == 1 ? 6 * 9 : 9;
            tspk_tensor in[3] = {tensor_random(SHAPE(4, 6, 9), &rng),
                                 tensor_random(SHAPE((int64_t)n), &rng),
                                 tensor_random(SHAPE((int64_t)n), &rng)};
            const float *const x = in[0].data, *const w = in[1].data, *const b = in[2].data;
            float expected[4 * 6 * 9];

            for (size_t row = 0; row < 4 * 6 * 9; row += n) {
                double mean = 0.0, variance = 0.0;

                for (size_t i = 0; i < n; i++)
                    mean += (double)x[row + i] / (double)n;
                for (size_t i = 0; i < n; i++)
                    variance += pow((double)x[row + i] - mean, 2.0) / (double)n;
                for (size_t i = 0; i < n; i++) {
                    double y = ((double)x[row + i] - mean) / sqrt(variance + 1e-5);

                    y = n_in > 1 ? y * (double)w[i] : y;
                    expected[row + i] = (float)(n_in > 2 ? y + (double)b[i] : y);
                }
            }
            for (int i = n_in; i < 3; i++)
                tensor_free(&in[i]);
            expect_f32(eval_ok(TSPK_OP_LAYER_NORM, &attr, (uint32_t)n_in, in, F32, SHAPE(4, 6, 9)),
                       expected, 3e-6f);
        }
}

static void rms_norm_scales_by_the_mean_square(void **state)
{
    const tspk_attr attr = {.axis = 1, .epsilon = 0.25f};
    tspk_tensor in[2] = {tensor_f32(SHAPE(1, 4), (const float[]){1, -1, 3, 2}),
                         tensor_f32(SHAPE(4), (const float[]){1, 2, 1, 0})};

    (void)state;
    /* mean square 15/4, + 1/4 = 4, root 2 */
    expect_f32(eval_ok(TSPK_OP_RMS_NORM, &attr, 2, in, F32, SHAPE(1, 4)),
               (const float[]){0.5f, -1, 1.5f, 0}, 1e-6f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reductions_of_a_small_matrix),
        cmocka_unit_test(random_sums_match_double_precision),
        cmocka_unit_test(arg_max_takes_the_first),
        cmocka_unit_test(softmax_along_any_axis),
        cmocka_unit_test(layer_norm_over_several_axes),
        cmocka_unit_test(rms_norm_scales_by_the_mean_square),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
