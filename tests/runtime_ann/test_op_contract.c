/* SPDX-License-Identifier: Apache-2.0 */
/* MatMul, Linear, Conv and Attention against loops in double precision. */
#include <math.h>

#include "ann_test.h"

#define F32 TSPK_DTYPE_F32

static const float *floats(const tspk_tensor *tensor)
{
    return tensor->data;
}

static void matmul_of_small_operands(void **state)
{
    tspk_tensor in[2];

    (void)state;
    in[0] = tensor_f32(SHAPE(2, 2), (const float[]){1, 2, 3, 4});
    in[1] = tensor_f32(SHAPE(2, 3), (const float[]){1, 0, 2, 0, 1, 3});
    expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SHAPE(2, 3)),
               (const float[]){1, 2, 8, 3, 4, 18}, 0);
    in[0] = tensor_f32(SHAPE(2), (const float[]){1, 2});
    in[1] = tensor_f32(SHAPE(2), (const float[]){3, 4});
    expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SCALAR), (const float[]){11}, 0);
    in[0] = tensor_f32(SHAPE(2), (const float[]){1, 2});
    in[1] = tensor_f32(SHAPE(2, 2, 1), (const float[]){1, 2, 3, 4});
    expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SHAPE(2, 1)), (const float[]){5, 11}, 0);
    in[0] = tensor_f32(SHAPE(2, 1, 2), (const float[]){1, 2, 3, 4});
    in[1] = tensor_f32(SHAPE(2), (const float[]){1, 10});
    expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SHAPE(2, 1)), (const float[]){21, 43}, 0);
    in[0] = tensor_f32(SHAPE(2, 0), NULL);
    in[1] = tensor_f32(SHAPE(0, 2), NULL);
    expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SHAPE(2, 2)), (const float[]){0, 0, 0, 0},
               0);
}

static void matmul_broadcasts_leading_axes(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    for (int trial = 0; trial < 100; trial++) {
        const int64_t m = 1 + (int64_t)tspk_rng_below(&rng, 7),
                      k = 1 + (int64_t)tspk_rng_below(&rng, 9);
        const int64_t n = 1 + (int64_t)tspk_rng_below(&rng, 7);
        const int64_t lead[2] = {1 + (int64_t)tspk_rng_below(&rng, 3),
                                 1 + (int64_t)tspk_rng_below(&rng, 3)};
        const int64_t a_lead = tspk_rng_below(&rng, 2) ? lead[0] : 1;
        const int64_t b_lead = tspk_rng_below(&rng, 2) ? lead[1] : 1;
        const int64_t b_rank = (int64_t)tspk_rng_below(&rng, 3);
        tspk_tensor in[2] = {tensor_random(SHAPE(a_lead, lead[1], m, k), &rng),
                             b_rank == 0   ? tensor_random(SHAPE(k, n), &rng)
                             : b_rank == 1 ? tensor_random(SHAPE(b_lead, k, n), &rng)
                                           : tensor_random(SHAPE(lead[0], b_lead, k, n), &rng)};
        const int64_t out_lead = b_rank == 2 ? lead[0] : a_lead;
        float *const expected = malloc((size_t)(out_lead * lead[1] * m * n) * sizeof *expected);

        for (int64_t i = 0; i < out_lead * lead[1] * m * n; i++) {
            const int64_t column = i % n, row = i / n % m;
            const int64_t inner = i / n / m % lead[1], outer = i / n / m / lead[1];
            const int64_t a = (a_lead == 1 ? 0 : outer) * lead[1] + inner;
            const int64_t b_inner = b_rank && b_lead != 1 ? inner : 0;
            const int64_t b = b_rank == 2 ? outer * b_lead + b_inner : b_inner;
            double sum = 0.0;

            for (int64_t c = 0; c < k; c++)
                sum += (double)floats(&in[0])[(a * m + row) * k + c] *
                       (double)floats(&in[1])[(b * k + c) * n + column];
            expected[i] = (float)sum;
        }
        expect_f32(eval_ok(TSPK_OP_MATMUL, NULL, 2, in, F32, SHAPE(out_lead, lead[1], m, n)),
                   expected, 1e-5f);
        free(expected);
    }
}

static void linear_computes_all_rows_or_some(void **state)
{
    static const uint32_t run[] = {2, 3}, scattered[] = {4, 0, 3};
    tspk_rng rng = {test_seed()};
    const tspk_attr attrs[] = {{0}, {.n_rows = 2, .rows = run}, {.n_rows = 3, .rows = scattered}};

    (void)state;
    for (size_t k = 0; k < 3; k++)
        for (uint32_t n_in = 2; n_in <= 3; n_in++) {
            const int64_t rows = attrs[k].n_rows ? attrs[k].n_rows : 5;
            tspk_tensor in[3] = {tensor_random(SHAPE(1, 5, 7), &rng),
                                 tensor_random(SHAPE(6, 7), &rng), tensor_random(SHAPE(6), &rng)};
            float expected[5 * 6];

            for (int64_t r = 0; r < rows; r++)
                for (int64_t o = 0; o < 6; o++) {
                    const int64_t from = attrs[k].n_rows ? attrs[k].rows[r] : r;
                    double sum = n_in > 2 ? (double)floats(&in[2])[o] : 0.0;

                    for (int64_t c = 0; c < 7; c++)
                        sum += (double)floats(&in[0])[from * 7 + c] *
                               (double)floats(&in[1])[o * 7 + c];
                    expected[r * 6 + o] = (float)sum;
                }
            if (n_in == 2)
                tensor_free(&in[2]);
            expect_f32(eval_ok(TSPK_OP_LINEAR, &attrs[k], n_in, in, F32, SHAPE(1, rows, 6)),
                       expected, 1e-5f);
        }
}

/* Large enough for several blocks of rows and of outputs, with ragged ends. */
static void a_large_linear_is_computed_in_blocks(void **state)
{
    enum { ROWS = 700, OUTPUTS = 523, INNER = 37 };
    tspk_rng rng = {test_seed()};
    tspk_tensor in[3] = {tensor_random(SHAPE(1, ROWS, INNER), &rng),
                         tensor_random(SHAPE(OUTPUTS, INNER), &rng),
                         tensor_random(SHAPE(OUTPUTS), &rng)};
    float *const expected = malloc(ROWS * OUTPUTS * sizeof *expected);

    (void)state;
    for (size_t r = 0; r < ROWS; r++)
        for (size_t o = 0; o < OUTPUTS; o++) {
            double sum = (double)floats(&in[2])[o];

            for (size_t c = 0; c < INNER; c++)
                sum +=
                    (double)floats(&in[0])[r * INNER + c] * (double)floats(&in[1])[o * INNER + c];
            expected[r * OUTPUTS + o] = (float)sum;
        }
    expect_f32(eval_ok(TSPK_OP_LINEAR, NULL, 3, in, F32, SHAPE(1, ROWS, OUTPUTS)), expected, 1e-4f);
    free(expected);
}

static void a_linear_driven_by_spikes_is_refused(void **state)
{
    tspk_tensor in = tensor_f32(SHAPE(1, 2), NULL);

    (void)state;
    eval_fails(TSPK_OP_LINEAR, NULL, 1, &in, F32, SHAPE(1, 3), TSPK_UNSUPPORTED);
}

typedef struct conv_case {
    int64_t images, groups, channels, filters; /* channels and filters a group */
    int64_t height, width, kernel[2], strides[2], dilations[2], pads[4];
} conv_case;

static double conv_at(const conv_case *c, const float *x, const float *w, int64_t image,
                      int64_t filter, int64_t oy, int64_t ox)
{
    const int64_t group = filter / c->filters;
    double sum = 0.0;

    for (int64_t ch = 0; ch < c->channels; ch++)
        for (int64_t ky = 0; ky < c->kernel[0]; ky++)
            for (int64_t kx = 0; kx < c->kernel[1]; kx++) {
                const int64_t y = oy * c->strides[0] - c->pads[0] + ky * c->dilations[0];
                const int64_t at_x = ox * c->strides[1] - c->pads[1] + kx * c->dilations[1];
                const int64_t channel = (image * c->groups + group) * c->channels + ch;

                if (y >= 0 && y < c->height && at_x >= 0 && at_x < c->width)
                    sum +=
                        (double)x[(channel * c->height + y) * c->width + at_x] *
                        (double)w[((filter * c->channels + ch) * c->kernel[0] + ky) * c->kernel[1] +
                                  kx];
            }
    return sum;
}

static void check_conv(const conv_case *c, tspk_rng *rng, bool has_bias)
{
    tspk_attr attr = {.groups = c->groups};
    int64_t size[2];
    const int64_t room[2] = {c->height, c->width};
    const int64_t n_filters = c->groups * c->filters;
    tspk_tensor in[3] = {
        tensor_random(SHAPE(c->images, c->groups * c->channels, c->height, c->width), rng),
        tensor_random(SHAPE(n_filters, c->channels, c->kernel[0], c->kernel[1]), rng),
        tensor_random(SHAPE(n_filters), rng)};
    float *expected;
    size_t at = 0;

    memcpy(attr.pads, c->pads, sizeof attr.pads);
    for (int i = 0; i < 2; i++) {
        attr.strides[i] = c->strides[i];
        attr.dilations[i] = c->dilations[i];
        size[i] =
            (room[i] + c->pads[i] + c->pads[i + 2] - c->dilations[i] * (c->kernel[i] - 1) - 1) /
                c->strides[i] +
            1;
    }
    expected = malloc((size_t)(c->images * n_filters * size[0] * size[1]) * sizeof *expected);
    for (int64_t image = 0; image < c->images; image++)
        for (int64_t f = 0; f < n_filters; f++)
            for (int64_t y = 0; y < size[0]; y++)
                for (int64_t x = 0; x < size[1]; x++)
                    expected[at++] =
                        (float)(conv_at(c, floats(&in[0]), floats(&in[1]), image, f, y, x) +
                                (has_bias ? (double)floats(&in[2])[f] : 0.0));
    if (!has_bias)
        tensor_free(&in[2]);
    expect_f32(eval_ok(TSPK_OP_CONV, &attr, has_bias ? 3 : 2, in, F32,
                       SHAPE(c->images, n_filters, size[0], size[1])),
               expected, 1e-4f);
    free(expected);
}

static void conv_matches_direct_loops(void **state)
{
    static const conv_case fixed[] = {
        {1, 1, 3, 4, 8, 8, {4, 4}, {4, 4}, {1, 1}, {0, 0, 0, 0}}, /* patch embedding */
        {2, 1, 2, 3, 5, 7, {3, 3}, {2, 1}, {1, 2}, {1, 0, 2, 3}}, /* odd pads, strided, dilated */
        {1, 3, 2, 2, 6, 5, {3, 2}, {1, 2}, {2, 1}, {0, 1, 1, 0}}, /* grouped */
        {2, 4, 1, 1, 5, 5, {3, 3}, {1, 1}, {1, 1}, {1, 1, 1, 1}}, /* depthwise */
        {2, 1, 5, 3, 4, 4, {1, 1}, {1, 1}, {1, 1}, {0, 0, 0, 0}}, /* pointwise */
        {1, 1, 2, 2, 4, 4, {1, 1}, {2, 2}, {1, 1}, {0, 0, 0, 0}},
    };
    tspk_rng rng = {test_seed()};

    (void)state;
    for (size_t k = 0; k < sizeof fixed / sizeof fixed[0]; k++) {
        check_conv(&fixed[k], &rng, true);
        check_conv(&fixed[k], &rng, false);
    }
    for (int trial = 0; trial < 100; trial++) {
        conv_case c = {.images = 1 + (int64_t)tspk_rng_below(&rng, 2),
                       .groups = 1 + (int64_t)tspk_rng_below(&rng, 3),
                       .channels = 1 + (int64_t)tspk_rng_below(&rng, 3),
                       .filters = 1 + (int64_t)tspk_rng_below(&rng, 3),
                       .height = 6 + (int64_t)tspk_rng_below(&rng, 5),
                       .width = 6 + (int64_t)tspk_rng_below(&rng, 5)};

        for (int i = 0; i < 2; i++) {
            c.kernel[i] = 1 + (int64_t)tspk_rng_below(&rng, 3);
            c.strides[i] = 1 + (int64_t)tspk_rng_below(&rng, 3);
            c.dilations[i] = 1 + (int64_t)tspk_rng_below(&rng, 2);
            c.pads[i] = (int64_t)tspk_rng_below(&rng, 3);
            c.pads[i + 2] = (int64_t)tspk_rng_below(&rng, 3);
        }
        check_conv(&c, &rng, trial % 2 == 0);
    }
}

/* q [1, N, H*D], k [1, M, H*D], v [1, M, H*E], bias [bias_heads, bias_rows, M] or none (0) */
static void check_attention(tspk_rng *rng, int64_t heads, int64_t queries, int64_t keys, int64_t d,
                            int64_t e, int64_t bias_heads, int64_t bias_rows)
{
    const tspk_attr attr = {.heads = (uint32_t)heads, .scale = 0.37f};
    tspk_tensor in[4] = {tensor_random(SHAPE(1, queries, heads * d), rng),
                         tensor_random(SHAPE(1, keys, heads * d), rng),
                         tensor_random(SHAPE(keys, heads * e), rng),
                         {0}};
    float *const expected = malloc((size_t)(queries * heads * e) * sizeof *expected);
    double *const p = malloc((size_t)keys * sizeof *p);

    if (bias_heads)
        in[3] = tensor_random(SHAPE(bias_heads, bias_rows, keys), rng);
    for (int64_t h = 0; h < heads; h++)
        for (int64_t n = 0; n < queries; n++) {
            double sum = 0.0;

            for (int64_t m = 0; m < keys; m++) {
                double l = 0.0;

                for (int64_t c = 0; c < d; c++)
                    l += (double)floats(&in[0])[n * heads * d + h * d + c] *
                         (double)floats(&in[1])[m * heads * d + h * d + c];
                l *= (double)0.37f;
                if (bias_heads)
                    l += (double)floats(
                        &in[3])[((bias_heads > 1 ? h : 0) * bias_rows + (bias_rows > 1 ? n : 0)) *
                                    keys +
                                m];
                p[m] = exp(l);
                sum += p[m];
            }
            for (int64_t c = 0; c < e; c++) {
                double out = 0.0;

                for (int64_t m = 0; m < keys; m++)
                    out += p[m] / sum * (double)floats(&in[2])[m * heads * e + h * e + c];
                expected[n * heads * e + h * e + c] = (float)out;
            }
        }
    free(p);
    expect_f32(eval_ok(TSPK_OP_ATTENTION, &attr, bias_heads ? 4 : 3, in, F32,
                       SHAPE(1, queries, heads * e)),
               expected, 1e-5f);
    free(expected);
}

static void attention_matches_direct_loops(void **state)
{
    tspk_rng rng = {test_seed()};

    (void)state;
    check_attention(&rng, 3, 17, 17, 8, 8, 0, 0);
    check_attention(&rng, 2, 1, 19, 4, 6, 0, 0); /* class token alone */
    check_attention(&rng, 2, 5, 7, 4, 4, 1, 1);
    check_attention(&rng, 2, 5, 7, 4, 4, 2, 1);
    check_attention(&rng, 2, 5, 7, 4, 4, 1, 5);
    check_attention(&rng, 3, 5, 7, 4, 2, 3, 5);
    check_attention(&rng, 1, 1, 1, 1, 1, 1, 1);
}

static void a_masked_key_has_no_weight(void **state)
{
    const tspk_attr attr = {.heads = 1, .scale = 1.0f};
    tspk_tensor in[4] = {tensor_f32(SHAPE(1, 1, 1), (const float[]){1}),
                         tensor_f32(SHAPE(1, 2, 1), (const float[]){5, 5}),
                         tensor_f32(SHAPE(1, 2, 1), (const float[]){3, 9}),
                         tensor_f32(SHAPE(1, 1, 2), (const float[]){0, -INFINITY})};

    (void)state;
    expect_f32(eval_ok(TSPK_OP_ATTENTION, &attr, 4, in, F32, SHAPE(1, 1, 1)), (const float[]){3},
               0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(matmul_of_small_operands),
        cmocka_unit_test(matmul_broadcasts_leading_axes),
        cmocka_unit_test(linear_computes_all_rows_or_some),
        cmocka_unit_test(a_large_linear_is_computed_in_blocks),
        cmocka_unit_test(a_linear_driven_by_spikes_is_refused),
        cmocka_unit_test(conv_matches_direct_loops),
        cmocka_unit_test(attention_matches_direct_loops),
        cmocka_unit_test(a_masked_key_has_no_weight),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
