/* SPDX-License-Identifier: Apache-2.0 */
/* Expected values: onnxruntime 1.31.1, opset 19, one image whose element i is i² mod 17. */
#include "ann_test.h"

#define MOST 48

enum { NEAREST = 0, LINEAR = 1, CUBIC = 2 };
enum { HALF_PIXEL = 0, PYTORCH_HALF_PIXEL = 1, ALIGN_CORNERS = 2, ASYMMETRIC = 3 };

static const struct {
    tspk_attr attr;
    int64_t from[2], to[2];
    float expected[MOST];
} cases[] = {
    {{.mode = CUBIC, .axis = HALF_PIXEL, .alpha = -0.75f},
     {3, 4},
     {5, 6},
     {-1.69781f, -0.966249f, 0.970893f, 3.30245f, 6.67025f, 8.79137f,  6.69032f, 4.99012f,
      2.76321f,  1.52204f,   7.17587f,  13.13f,   16.6945f, 12.5625f,  6.21876f, 1.59375f,
      7.9375f,   16.1285f,   15.6417f,  13.6042f, 11.0274f, 10.2011f,  8.47975f, 7.27322f,
      12.6453f,  12.8365f,   14.213f,   17.2092f, 8.7595f,  -0.593135f}},
    {{.mode = CUBIC, .axis = PYTORCH_HALF_PIXEL, .alpha = -0.5f},
     {4, 4},
     {2, 7},
     {8.45208f, 6.97212f, 4.4211f, 2.27344f, 2.58282f, 9.28435f, 13.5153f, 10.0148f, 11.854f,
      14.6806f, 14.7578f, 12.294f, 5.55166f, 1.48472f}},
    {{.mode = LINEAR, .axis = ALIGN_CORNERS},
     {3, 4},
     {5, 3},
     {0, 2.5f, 9, 8, 3.75f, 12, 16, 5, 15, 14.5f, 9.5f, 8.5f, 13, 14, 2}},
    {{.mode = LINEAR, .axis = HALF_PIXEL},
     {3, 4},
     {2, 7},
     {4, 3.55357f, 2.83929f, 3.125f, 4, 8, 10.5f, 13.75f, 13.0357f, 11.8929f, 11.75f, 11.2857f,
      7.57143f, 5.25f}},
    {{.mode = LINEAR, .axis = ASYMMETRIC},
     {3, 4},
     {6, 8},
     {0,  0.5f, 1,  2.5f, 4,  6.5f, 9,  9,  8,     6.25f, 4.5f,  3.75f, 3,    7.5f, 12,   12,
      16, 12,   8,  5,    2,  8.5f, 15, 15, 14.5f, 12.5f, 10.5f, 9.5f,  8.5f, 8.5f, 8.5f, 8.5f,
      13, 13,   13, 14,   15, 8.5f, 2,  2,  13,    13,    13,    14,    15,   8.5f, 2,    2}},
    {{.mode = NEAREST, .axis = HALF_PIXEL, .starts = {0, 2}},
     {3, 4},
     {5, 6},
     {0, 0, 1,  1,  4,  9, 0, 0, 1,  1,  4,  9,  16, 16, 8,
      8, 2, 15, 16, 16, 8, 8, 2, 15, 13, 13, 13, 13, 15, 2}},
    {{.mode = NEAREST, .axis = ASYMMETRIC, .starts = {0, 0}},
     {3, 4},
     {6, 8},
     {0,  0,  1, 1, 4, 4, 9,  9,  0,  0,  1,  1,  4,  4,  9, 9, 16, 16, 8,  8,  2,  2,  15, 15,
      16, 16, 8, 8, 2, 2, 15, 15, 13, 13, 13, 13, 15, 15, 2, 2, 13, 13, 13, 13, 15, 15, 2,  2}},
    {{.mode = NEAREST, .axis = ASYMMETRIC, .starts = {0, 1}},
     {3, 4},
     {6, 8},
     {0,  1,  1,  4,  4,  9, 9, 9, 16, 8,  8,  2,  2,  15, 15, 15, 16, 8,  8,  2,  2,  15, 15, 15,
      13, 13, 13, 15, 15, 2, 2, 2, 13, 13, 13, 15, 15, 2,  2,  2,  13, 13, 13, 15, 15, 2,  2,  2}},
    {{.mode = LINEAR, .axis = HALF_PIXEL, .starts = {1}},
     {6, 8},
     {3, 3},
     {5.75872f, 9.08036f, 8.67442f, 7.34884f, 7.71726f, 9.25291f, 7.25291f, 8.33333f, 10.468f}},
    {{.mode = CUBIC, .axis = HALF_PIXEL, .alpha = -0.5f, .starts = {1}},
     {6, 8},
     {3, 3},
     {5.77597f, 9.37781f, 8.67193f, 7.42317f, 7.51035f, 9.52473f, 7.06578f, 8.01455f, 10.5903f}},
};

static void resize_matches_onnxruntime(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof cases / sizeof cases[0]; k++) {
        tspk_tensor in = tensor_f32(SHAPE(1, 1, cases[k].from[0], cases[k].from[1]), NULL);

        for (size_t i = 0; i < tspk_shape_elems(&in.shape); i++)
            ((float *)in.data)[i] = (float)(i * i % 17);
        print_message("case %zu\n", k);
        expect_f32(eval_ok(TSPK_OP_RESIZE, &cases[k].attr, 1, &in, TSPK_DTYPE_F32,
                           SHAPE(1, 1, cases[k].to[0], cases[k].to[1])),
                   cases[k].expected, 1e-4f);
    }
}

static void same_size_is_a_copy(void **state)
{
    const tspk_attr attr = {.mode = CUBIC, .axis = HALF_PIXEL, .alpha = -0.75f};
    tspk_tensor in = tensor_f32(SHAPE(1, 3), (const float[]){1, 2, 3});

    (void)state;
    expect_f32(eval_ok(TSPK_OP_RESIZE, &attr, 1, &in, TSPK_DTYPE_F32, SHAPE(1, 3)),
               (const float[]){1, 2, 3}, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(resize_matches_onnxruntime),
        cmocka_unit_test(same_size_is_a_copy),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
