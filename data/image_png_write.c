/* SPDX-License-Identifier: Apache-2.0 */
#include <spng.h>
#include <stdlib.h>

#include "core/atomic_file.h"
#include "core/fail.h"
#include "data/image.h"

tspk_status tspk_image_encode_png(const tspk_image *image, void **png_out, size_t *n_out,
                                  tspk_error *err)
{
    spng_ctx *const encoder = spng_ctx_new(SPNG_CTX_ENCODER);
    struct spng_ihdr header = {.width = image->width,
                               .height = image->height,
                               .bit_depth = 8,
                               .color_type = image->channels == 1 ? SPNG_COLOR_TYPE_GRAYSCALE
                                                                  : SPNG_COLOR_TYPE_TRUECOLOR};
    const size_t bytes = (size_t)image->width * image->height * image->channels;
    int code = encoder ? 0 : SPNG_EMEM;

    *png_out = NULL;
    if (!code)
        code = spng_set_option(encoder, SPNG_ENCODE_TO_BUFFER, 1);
    if (!code)
        code = spng_set_ihdr(encoder, &header);
    if (!code)
        code = spng_encode_image(encoder, image->pixels, bytes, SPNG_FMT_PNG, SPNG_ENCODE_FINALIZE);
    if (!code)
        *png_out = spng_get_png_buffer(encoder, n_out, &code);
    spng_ctx_free(encoder);
    if (code == SPNG_EMEM || (!code && !*png_out))
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a PNG of %u x %u pixels", image->width,
                         image->height);
    if (code)
        return TSPK_FAIL(err, TSPK_IO, "PNG of %u x %u pixels: %s", image->width, image->height,
                         spng_strerror(code));
    return TSPK_OK;
}

tspk_status tspk_image_write_png(const tspk_image *image, const char *path, tspk_error *err)
{
    tspk_atomic_file *file;
    void *png;
    size_t n;
    tspk_status status = tspk_image_encode_png(image, &png, &n, err);

    if (status == TSPK_OK)
        status = tspk_atomic_file_open(path, &file, err);
    if (status == TSPK_OK) {
        tspk_status closed;

        status = tspk_atomic_file_write(file, png, n, err);
        closed = tspk_atomic_file_close(file, status == TSPK_OK, status == TSPK_OK ? err : NULL);
        if (status == TSPK_OK)
            status = closed;
    }
    free(png);
    return status;
}
