/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/compiler.h"
#include "core/fail.h"

tspk_status tspk_image_init(tspk_image *image, uint64_t width, uint64_t height, uint32_t channels,
                            tspk_error *err)
{
    uint8_t *pixels;

    if (!width || !height)
        return TSPK_FAIL(err, TSPK_FORMAT, "image of %" PRIu64 " x %" PRIu64 " pixels", width,
                         height);
    if (width > TSPK_MAX_IMAGE_SIDE || height > TSPK_MAX_IMAGE_SIDE)
        return TSPK_FAIL(err, TSPK_LIMIT, "image of %" PRIu64 " x %" PRIu64 ", a side is above %u",
                         width, height, TSPK_MAX_IMAGE_SIDE);
    if (width * height > TSPK_MAX_IMAGE_PIXELS)
        return TSPK_FAIL(err, TSPK_LIMIT, "image of %" PRIu64 " x %" PRIu64 ", above %u pixels",
                         width, height, TSPK_MAX_IMAGE_PIXELS);
    if (!channels || channels > TSPK_MAX_IMAGE_CHANNELS)
        return TSPK_FAIL(err, TSPK_LIMIT, "image of %u channels, at most %u", channels,
                         TSPK_MAX_IMAGE_CHANNELS);
    pixels = malloc((size_t)(width * height) * channels);
    if (!pixels)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for an image of %" PRIu64 " x %" PRIu64, width,
                         height);
    *image = (tspk_image){(uint32_t)width, (uint32_t)height, channels, pixels};
    return TSPK_OK;
}

void tspk_image_done(tspk_image *image)
{
    if (!image)
        return;
    free(image->pixels);
    image->pixels = NULL;
}

bool tspk_image_has_extension(const char *name)
{
    static const char *const extensions[] = {".jpg", ".jpeg", ".jpe", ".jfif", ".png"};
    const char *dot = strrchr(name, '.');

    for (size_t i = 0; dot && i < TSPK_COUNT_OF(extensions); i++)
        if (strcasecmp(dot, extensions[i]) == 0)
            return true;
    return false;
}

static bool starts_with(const uint8_t *bytes, size_t n, const char *magic, size_t length)
{
    return n >= length && memcmp(bytes, magic, length) == 0;
}

static bool is_jpeg(const uint8_t *bytes, size_t n)
{
    return starts_with(bytes, n, "\xff\xd8\xff", 3);
}

static bool is_png(const uint8_t *bytes, size_t n)
{
    return starts_with(bytes, n, "\x89PNG\r\n\x1a\n", 8);
}

bool tspk_image_has_magic(const uint8_t *bytes, size_t n)
{
    return is_jpeg(bytes, n) || is_png(bytes, n);
}

/* A format that is recognised to be named, and not read; NULL when it is none of these. */
static const char *other_format(const uint8_t *bytes, size_t n)
{
    if (starts_with(bytes, n, "GIF8", 4))
        return "GIF";
    if (starts_with(bytes, n, "BM", 2))
        return "BMP";
    if (starts_with(bytes, n, "II*\0", 4) || starts_with(bytes, n, "MM\0*", 4))
        return "TIFF";
    if (n >= 12 && starts_with(bytes, n, "RIFF", 4) && memcmp(bytes + 8, "WEBP", 4) == 0)
        return "WebP";
    if (n >= 12 && memcmp(bytes + 4, "ftyp", 4) == 0)
        return "HEIF or AVIF";
    return NULL;
}

tspk_status tspk_image_decode(const uint8_t *bytes, size_t n, tspk_image *image_out,
                              tspk_error *err)
{
    const char *format;

    if (n > TSPK_MAX_IMAGE_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "image file of %zu bytes, at most %zu", n,
                         TSPK_MAX_IMAGE_BYTES);
    if (is_jpeg(bytes, n))
        return tspk_image_decode_jpeg(bytes, n, image_out, err);
    if (is_png(bytes, n))
        return tspk_image_decode_png(bytes, n, image_out, err);
    if (n == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "empty, expected a JPEG or PNG image");
    format = other_format(bytes, n);
    if (format)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s image, expected JPEG or PNG", format);
    return TSPK_FAIL(err, TSPK_FORMAT, "neither a JPEG nor a PNG image");
}

tspk_status tspk_image_set_channels(tspk_image *image, uint32_t channels, tspk_error *err)
{
    const size_t n = (size_t)image->width * image->height;
    tspk_image converted;

    if (image->channels == channels)
        return TSPK_OK;
    if (!(image->channels == 1 && channels == 3) && !(image->channels == 3 && channels == 1))
        return TSPK_FAIL(err, TSPK_SHAPE, "image of %u channels, expected %u", image->channels,
                         channels);
    TSPK_TRY(tspk_image_init(&converted, image->width, image->height, channels, err));
    for (size_t i = 0; i < n; i++) {
        const uint8_t *from = image->pixels + i * image->channels;
        uint8_t *to = converted.pixels + i * channels;

        if (channels == 3)
            to[0] = to[1] = to[2] = from[0];
        else /* 0.299, 0.587 and 0.114 in units of 2^-16, rounded; they sum to 2^16 */
            to[0] =
                (uint8_t)((from[0] * 19595u + from[1] * 38470u + from[2] * 7471u + 0x8000u) >> 16);
    }
    tspk_image_done(image);
    *image = converted;
    return TSPK_OK;
}
