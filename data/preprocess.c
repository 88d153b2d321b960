/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include <inttypes.h>
#include <math.h>
#include <string.h>

#include "core/fail.h"

void tspk_preprocess_default_settings(tspk_preprocess_settings *settings)
{
    *settings = (tspk_preprocess_settings){
        .interpolation = TSPK_BILINEAR,
        .std = {1.0f, 1.0f, 1.0f, 1.0f},
    };
}

tspk_status tspk_preprocess_check(const tspk_preprocess_settings *settings, tspk_error *err)
{
    if (settings->resize > TSPK_MAX_IMAGE_SIDE || settings->crop > TSPK_MAX_IMAGE_SIDE)
        return TSPK_FAIL(err, TSPK_USAGE, "resize %u, crop %u: at most %u pixels", settings->resize,
                         settings->crop, TSPK_MAX_IMAGE_SIDE);
    if (settings->channels != 0 && settings->channels != 1 && settings->channels != 3)
        return TSPK_FAIL(err, TSPK_USAGE, "channels %u: expected 1 or 3", settings->channels);
    if (settings->interpolation != TSPK_NEAREST && settings->interpolation != TSPK_BILINEAR &&
        settings->interpolation != TSPK_BICUBIC)
        return TSPK_FAIL(err, TSPK_USAGE, "interpolation %d is unknown",
                         (int)settings->interpolation);
    for (int i = 0; i < 4; i++) {
        if (!isfinite(settings->mean[i]))
            return TSPK_FAIL(err, TSPK_USAGE, "mean of channel %d is not finite", i);
        if (!isfinite(settings->std[i]) || !(settings->std[i] > 0.0f))
            return TSPK_FAIL(err, TSPK_USAGE, "std of channel %d is %g, expected above 0", i,
                             (double)settings->std[i]);
    }
    return TSPK_OK;
}

/* Half of a difference, rounded half to even. */
static int64_t half_to_even(int64_t difference)
{
    const int64_t half = difference / 2;

    return difference % 2 && half % 2 ? half + 1 : half;
}

tspk_status tspk_image_crop(tspk_image *image, uint32_t size, tspk_error *err)
{
    const int64_t width = image->width, height = image->height, side = size;
    /* Where the cut begins in the image; negative: so many columns or rows of padding before it. */
    const int64_t left = width >= side ? half_to_even(width - side) : -((side - width) / 2);
    const int64_t top = height >= side ? half_to_even(height - side) : -((side - height) / 2);
    const int64_t copied = width < side ? width : side;
    tspk_image cut;

    if (width == side && height == side)
        return TSPK_OK;
    TSPK_TRY(tspk_image_init(&cut, size, size, image->channels, err));
    memset(cut.pixels, 0, (size_t)size * size * cut.channels);
    for (int64_t y = 0; y < side; y++) {
        const int64_t from_y = y + top;

        if (from_y < 0 || from_y >= height)
            continue;
        memcpy(cut.pixels + (size_t)(y * side + (left < 0 ? -left : 0)) * cut.channels,
               image->pixels + (size_t)(from_y * width + (left > 0 ? left : 0)) * cut.channels,
               (size_t)copied * cut.channels);
    }
    tspk_image_done(image);
    *image = cut;
    return TSPK_OK;
}

static tspk_status resize_short_side(tspk_image *image, const tspk_preprocess_settings *settings,
                                     tspk_error *err)
{
    const bool is_portrait = image->width <= image->height;
    const uint64_t narrow = is_portrait ? image->width : image->height;
    const uint64_t wide = is_portrait ? image->height : image->width;
    const uint64_t resized = settings->resize * wide / narrow;

    if (narrow == settings->resize)
        return TSPK_OK;
    if (resized > TSPK_MAX_IMAGE_SIDE)
        return TSPK_FAIL(err, TSPK_LIMIT, "image of %u x %u becomes %" PRIu64 " pixels long",
                         image->width, image->height, resized);
    return tspk_image_resize(image, is_portrait ? settings->resize : (uint32_t)resized,
                             is_portrait ? (uint32_t)resized : settings->resize,
                             settings->interpolation, err);
}

tspk_status tspk_preprocess_image(tspk_image *image, const tspk_preprocess_settings *settings,
                                  const int64_t dim[3], float *out, tspk_error *err)
{
    const uint32_t channels =
        settings->channels ? settings->channels
        : (dim[0] == 1 || dim[0] == 3) && image->channels != 2 && image->channels != 4
            ? (uint32_t)dim[0]
            : image->channels;
    size_t n;

    TSPK_TRY(tspk_image_set_channels(image, channels, err));
    if (settings->resize)
        TSPK_TRY(resize_short_side(image, settings, err));
    if (settings->crop)
        TSPK_TRY(tspk_image_crop(image, settings->crop, err));
    if (dim[0] != image->channels || dim[1] != image->height || dim[2] != image->width)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "image is [%u, %u, %u] after preprocessing, the network expects [%" PRId64
                         ", %" PRId64 ", %" PRId64 "] (channels, height, width)",
                         image->channels, image->height, image->width, dim[0], dim[1], dim[2]);
    n = (size_t)image->width * image->height;
    for (uint32_t c = 0; c < channels; c++) {
        float value[256];

        for (int i = 0; i < 256; i++)
            value[i] = ((float)i / 255.0f - settings->mean[c]) / settings->std[c];
        for (size_t i = 0; i < n; i++)
            out[c * n + i] = value[image->pixels[i * channels + c]];
    }
    return TSPK_OK;
}
