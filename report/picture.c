/* SPDX-License-Identifier: Apache-2.0 */
#include "report/picture.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/evp.h>

#include "core/fail.h"

static const char prefix[] = "data:image/png;base64,";

tspk_status tspk_picture_uri(const tspk_image *image, char **uri_out, tspk_error *err)
{
    void *png = NULL;
    char *uri;
    size_t n = 0;

    TSPK_TRY(tspk_image_encode_png(image, &png, &n, err));
    uri = malloc(sizeof prefix + (n + 2) / 3 * 4);
    if (uri) {
        memcpy(uri, prefix, sizeof prefix);
        EVP_EncodeBlock((unsigned char *)uri + sizeof prefix - 1, png, (int)n);
    }
    free(png);
    if (!uri)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a picture of %zu bytes", n);
    *uri_out = uri;
    return TSPK_OK;
}

static uint8_t to_level(float value)
{
    const float level = value * 255.0f + 0.5f;

    return level >= 255.0f ? 255 : level > 0.0f ? (uint8_t)level : 0;
}

tspk_status tspk_picture_of_tensor(const float *tensor, const tspk_spike_info *info, char **uri_out,
                                   tspk_error *err)
{
    const uint32_t channels = info->image_dim[0] == 3 ? 3 : 1;
    const size_t elems = (size_t)info->image_dim[1] * info->image_dim[2];
    tspk_image image = {0};
    tspk_status status;

    TSPK_TRY(tspk_image_init(&image, info->image_dim[2], info->image_dim[1], channels, err));
    for (size_t i = 0; i < elems; i++)
        for (uint32_t c = 0; c < channels; c++)
            image.pixels[i * channels + c] = to_level(
                tensor[c * elems + i] * info->preprocess.std[c] + info->preprocess.mean[c]);
    status = tspk_picture_uri(&image, uri_out, err);
    tspk_image_done(&image);
    return status;
}
