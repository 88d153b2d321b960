/* SPDX-License-Identifier: Apache-2.0 */
#include "data/image.h"

#include <spng.h>

#include "core/fail.h"

#define MAX_CHUNK_BYTES ((size_t)64 << 20) /* of one ancillary chunk, and twice that of all */

static tspk_status fail_decoder(int code, tspk_error *err)
{
    if (code == SPNG_EMEM)
        return TSPK_FAIL(err, TSPK_NOMEM, "PNG: %s", spng_strerror(code));
    return TSPK_FAIL(err, TSPK_FORMAT, "broken PNG: %s", spng_strerror(code));
}

static tspk_status decode(spng_ctx *decoder, const uint8_t *bytes, size_t n, tspk_image *image,
                          tspk_error *err)
{
    struct spng_ihdr header;
    size_t n_bytes, n_pixels;
    int code;

    /* Sizes are checked by tspk_image_init(), with numbers in its message. */
    if ((code = spng_set_chunk_limits(decoder, MAX_CHUNK_BYTES, 2 * MAX_CHUNK_BYTES)) != 0 ||
        (code = spng_set_png_buffer(decoder, bytes, n)) != 0 ||
        (code = spng_get_ihdr(decoder, &header)) != 0 ||
        (code = spng_decoded_image_size(decoder, SPNG_FMT_RGB8, &n_bytes)) != 0)
        return fail_decoder(code, err);
    TSPK_TRY(tspk_image_init(image, header.width, header.height, 3, err));
    n_pixels = (size_t)image->width * image->height;
    if (n_bytes != n_pixels * 3)
        return TSPK_FAIL(err, TSPK_FORMAT, "PNG: %zu bytes for %zu pixels", n_bytes, n_pixels);
    if ((code = spng_decode_image(decoder, image->pixels, n_bytes, SPNG_FMT_RGB8, 0)) != 0 ||
        (code = spng_decode_chunks(decoder)) != 0)
        return fail_decoder(code, err);
    if (header.color_type == SPNG_COLOR_TYPE_GRAYSCALE ||
        header.color_type == SPNG_COLOR_TYPE_GRAYSCALE_ALPHA) {
        for (size_t i = 0; i < n_pixels; i++)
            image->pixels[i] = image->pixels[i * 3];
        image->channels = 1;
    }
    return TSPK_OK;
}

tspk_status tspk_image_decode_png(const uint8_t *bytes, size_t n, tspk_image *image_out,
                                  tspk_error *err)
{
    spng_ctx *decoder = spng_ctx_new(0);
    tspk_image image = {0};
    tspk_status status;

    if (!decoder)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a PNG decoder");
    status = decode(decoder, bytes, n, &image, err);
    spng_ctx_free(decoder);
    if (status == TSPK_OK)
        *image_out = image;
    else
        tspk_image_done(&image);
    return status;
}
