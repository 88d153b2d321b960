/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include <string.h>
#include <turbojpeg.h>

#include "core/fail.h"

/* a * b / 255, rounded. */
static uint32_t mul_div_255(uint32_t a, uint32_t b)
{
    const uint32_t product = a * b + 128;

    return (product + (product >> 8)) >> 8;
}

/* Inks as Adobe stores them (255: no ink) to RGB, without a colour profile. */
static void cmyk_to_rgb(const uint8_t *cmyk, uint8_t *rgb, size_t n)
{
    for (size_t i = 0; i < n; i++)
        for (size_t c = 0; c < 3; c++)
            rgb[i * 3 + c] =
                (uint8_t)(cmyk[i * 4 + 3] - mul_div_255(255u - cmyk[i * 4 + c], cmyk[i * 4 + 3]));
}

static tspk_status fail_decoder(tjhandle decoder, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_FORMAT, "broken JPEG: %s", tjGetErrorStr2(decoder));
}

static tspk_status decode(tjhandle decoder, const uint8_t *bytes, size_t n, tspk_image *image_out,
                          tspk_error *err)
{
    const int flags = TJFLAG_ACCURATEDCT | TJFLAG_LIMITSCANS;
    int width = 0, height = 0, sampling, space = -1, format;
    tspk_image image;

    /* Unusual subsampling is a failure of this call alone, after everything else was found out. */
    if (tjDecompressHeader3(decoder, bytes, n, &width, &height, &sampling, &space) != 0 &&
        (width <= 0 || height <= 0 || space < 0 || !strstr(tjGetErrorStr2(decoder), "subsampling")))
        return fail_decoder(decoder, err);
    if (width <= 0 || height <= 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "broken JPEG: no header of an image");
    format = space == TJCS_GRAY                         ? TJPF_GRAY
             : space == TJCS_CMYK || space == TJCS_YCCK ? TJPF_CMYK
                                                        : TJPF_RGB;
    TSPK_TRY(tspk_image_init(&image, (uint64_t)width, (uint64_t)height,
                             (uint32_t)tjPixelSize[format], err));
    /* Bytes between two markers do no harm and occur in the wild; every other warning means that
     * pixels are missing. */
    if (tjDecompress2(decoder, bytes, n, image.pixels, width, 0, height, format, flags) != 0 &&
        (tjGetErrorCode(decoder) != TJERR_WARNING ||
         !strstr(tjGetErrorStr2(decoder), "extraneous bytes"))) {
        tspk_image_done(&image);
        return fail_decoder(decoder, err);
    }
    if (format == TJPF_CMYK) {
        tspk_image rgb;
        const tspk_status status = tspk_image_init(&rgb, image.width, image.height, 3, err);

        if (status == TSPK_OK)
            cmyk_to_rgb(image.pixels, rgb.pixels, (size_t)image.width * image.height);
        tspk_image_done(&image);
        TSPK_TRY(status);
        image = rgb;
    }
    *image_out = image;
    return TSPK_OK;
}

tspk_status tspk_image_decode_jpeg(const uint8_t *bytes, size_t n, tspk_image *image_out,
                                   tspk_error *err)
{
    tjhandle decoder = tjInitDecompress();
    tspk_status status;

    if (!decoder)
        return TSPK_FAIL(err, TSPK_NOMEM, "no JPEG decoder: %s", tjGetErrorStr2(NULL));
    status = decode(decoder, bytes, n, image_out, err);
    tjDestroy(decoder);
    return status;
}
