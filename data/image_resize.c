/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

#define WEIGHT_BITS 22 /* 8 bits of a pixel, 2 of headroom for the kernel's lobes, in 32 */

/* For every output position of one axis: where its window starts, and the weights in it. */
typedef struct axis_weights {
    uint32_t window; /* [weights] room of one position */
    uint32_t *first; /* [out] first input position */
    uint32_t *count; /* [out] */
    int32_t *weight; /* [out, window] units of 2^-WEIGHT_BITS */
} axis_weights;

static double triangle(double x)
{
    x = fabs(x);
    return x < 1.0 ? 1.0 - x : 0.0;
}

/* Cubic convolution with a = -0.5. */
static double cubic(double x)
{
    const double a = -0.5;

    x = fabs(x);
    if (x < 1.0)
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1.0;
    if (x < 2.0)
        return (((x - 5.0) * x + 8.0) * x - 4.0) * a;
    return 0.0;
}

static void axis_weights_done(axis_weights *axis)
{
    free(axis->first);
    free(axis->count);
    free(axis->weight);
}

/* One position: the kernel around `centre`, normalised to 1, then rounded half away from zero. */
static void fill_window(double centre, double widening, double support, double (*kernel)(double),
                        uint32_t n_in, double *real, uint32_t *first_out, uint32_t *count_out,
                        int32_t *weight)
{
    const double low = centre - support + 0.5, high = centre + support + 0.5;
    const uint32_t first = low > 0.0 ? (uint32_t)low : 0;
    const uint32_t end = high < (double)n_in ? (uint32_t)high : n_in;
    double sum = 0.0;

    for (uint32_t i = first; i < end; i++) {
        real[i - first] = kernel(((double)i - centre + 0.5) * (1.0 / widening));
        sum += real[i - first];
    }
    for (uint32_t i = 0; i < end - first; i++) {
        const double scaled = (sum != 0.0 ? real[i] / sum : 0.0) * (double)(1 << WEIGHT_BITS);

        weight[i] = (int32_t)(scaled < 0.0 ? scaled - 0.5 : scaled + 0.5);
    }
    *first_out = first;
    *count_out = end - first;
}

static tspk_status axis_weights_init(axis_weights *axis, uint32_t n_in, uint32_t n_out,
                                     tspk_interpolation interpolation, tspk_error *err)
{
    double (*const kernel)(double) = interpolation == TSPK_BICUBIC ? cubic : triangle;
    const double scale = (double)n_in / (double)n_out;
    const double widening = scale > 1.0 ? scale : 1.0;
    const double support = (interpolation == TSPK_BICUBIC ? 2.0 : 1.0) * widening;
    double *real;

    axis->window = (uint32_t)ceil(support) * 2 + 1;
    axis->first = calloc(n_out, sizeof *axis->first);
    axis->count = calloc(n_out, sizeof *axis->count);
    axis->weight = calloc((size_t)n_out * axis->window, sizeof *axis->weight);
    real = calloc(axis->window, sizeof *real);
    if (!axis->first || !axis->count || !axis->weight || !real) {
        free(real);
        axis_weights_done(axis);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to resize %u to %u pixels", n_in, n_out);
    }
    for (uint32_t i = 0; i < n_out; i++)
        fill_window(((double)i + 0.5) * scale, widening, support, kernel, n_in, real,
                    &axis->first[i], &axis->count[i], axis->weight + (size_t)i * axis->window);
    free(real);
    return TSPK_OK;
}

static uint8_t round_weighted(int32_t sum)
{
    if (sum < 0)
        return 0;
    sum >>= WEIGHT_BITS;
    return (uint8_t)(sum > 255 ? 255 : sum);
}

static void resize_rows(const tspk_image *from, tspk_image *to, const axis_weights *axis)
{
    const uint32_t channels = from->channels;

    for (uint32_t y = 0; y < to->height; y++) {
        const uint8_t *row = from->pixels + (size_t)y * from->width * channels;
        uint8_t *out = to->pixels + (size_t)y * to->width * channels;

        for (uint32_t x = 0; x < to->width; x++) {
            const int32_t *weight = axis->weight + (size_t)x * axis->window;
            const uint8_t *in = row + (size_t)axis->first[x] * channels;
            int32_t sum[TSPK_MAX_IMAGE_CHANNELS];

            for (uint32_t c = 0; c < channels; c++)
                sum[c] = 1 << (WEIGHT_BITS - 1);
            for (uint32_t i = 0; i < axis->count[x]; i++)
                for (uint32_t c = 0; c < channels; c++)
                    sum[c] += weight[i] * in[(size_t)i * channels + c];
            for (uint32_t c = 0; c < channels; c++)
                *out++ = round_weighted(sum[c]);
        }
    }
}

/* `sums` holds one row. */
static void resize_columns(const tspk_image *from, tspk_image *to, const axis_weights *axis,
                           int32_t *sums)
{
    const size_t row_bytes = (size_t)from->width * from->channels;

    for (uint32_t y = 0; y < to->height; y++) {
        const int32_t *weight = axis->weight + (size_t)y * axis->window;
        uint8_t *out = to->pixels + y * row_bytes;

        for (size_t i = 0; i < row_bytes; i++)
            sums[i] = 1 << (WEIGHT_BITS - 1);
        for (uint32_t k = 0; k < axis->count[y]; k++) {
            const uint8_t *in = from->pixels + (axis->first[y] + k) * row_bytes;
            const int32_t w = weight[k];

            for (size_t i = 0; i < row_bytes; i++)
                sums[i] += w * in[i];
        }
        for (size_t i = 0; i < row_bytes; i++)
            out[i] = round_weighted(sums[i]);
    }
}

/* Positions are summed up, not multiplied: where one falls on a pixel's edge, rounding decides, and
 * this is how Pillow rounds. */
static void resize_nearest(const tspk_image *from, tspk_image *to)
{
    const double scale_x = (double)from->width / (double)to->width;
    const double scale_y = (double)from->height / (double)to->height;
    uint8_t *out = to->pixels;
    double at_y = scale_y * 0.5;

    for (uint32_t y = 0; y < to->height; y++, at_y += scale_y) {
        const uint32_t from_y = at_y < (double)from->height ? (uint32_t)at_y : from->height - 1;
        const uint8_t *row = from->pixels + (size_t)from_y * from->width * from->channels;
        double at_x = scale_x * 0.5;

        for (uint32_t x = 0; x < to->width; x++, at_x += scale_x, out += to->channels) {
            const uint32_t from_x = at_x < (double)from->width ? (uint32_t)at_x : from->width - 1;

            memcpy(out, row + (size_t)from_x * from->channels, from->channels);
        }
    }
}

/* One axis: exactly one of the sizes differs from the image's. */
static tspk_status resize_axis(tspk_image *image, uint32_t width, uint32_t height,
                               tspk_interpolation interpolation, tspk_error *err)
{
    const bool is_horizontal = width != image->width;
    axis_weights axis = {0};
    tspk_image resized = {0};
    int32_t *sums = NULL;
    tspk_status status = tspk_image_init(&resized, width, height, image->channels, err);

    if (status == TSPK_OK)
        status = axis_weights_init(&axis, is_horizontal ? image->width : image->height,
                                   is_horizontal ? width : height, interpolation, err);
    if (status != TSPK_OK) {
        tspk_image_done(&resized);
        return status;
    }
    if (is_horizontal) {
        resize_rows(image, &resized, &axis);
    } else {
        sums = malloc((size_t)width * image->channels * sizeof *sums);
        if (sums)
            resize_columns(image, &resized, &axis, sums);
        else
            status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to resize %u columns", width);
    }
    free(sums);
    axis_weights_done(&axis);
    if (status != TSPK_OK) {
        tspk_image_done(&resized);
        return status;
    }
    tspk_image_done(image);
    *image = resized;
    return TSPK_OK;
}

tspk_status tspk_image_resize(tspk_image *image, uint32_t width, uint32_t height,
                              tspk_interpolation interpolation, tspk_error *err)
{
    bool is_vertical_first;

    if (interpolation == TSPK_NEAREST) {
        tspk_image resized;

        TSPK_TRY(tspk_image_init(&resized, width, height, image->channels, err));
        resize_nearest(image, &resized);
        tspk_image_done(image);
        *image = resized;
        return TSPK_OK;
    }
    is_vertical_first = height < image->height &&
                        (int64_t)image->height - height > 2 * ((int64_t)image->width - width);
    if (is_vertical_first)
        TSPK_TRY(resize_axis(image, image->width, height, interpolation, err));
    if (width != image->width)
        TSPK_TRY(resize_axis(image, width, image->height, interpolation, err));
    if (height != image->height)
        TSPK_TRY(resize_axis(image, width, height, interpolation, err));
    return TSPK_OK;
}
