/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: any bytes are decoded as a JPEG or PNG or refused with a message; a decoded image has 1
 * or 3 channels and goes through preprocessing. Images that say they are large are left out: they
 * cost time and nothing else.
 */
#include <stdlib.h>
#include <string.h>

#include "data/image.h"
#include "tests/fuzz/fuzz_file.h"

#define MOST_PIXELS ((uint64_t)1 << 20)

static uint64_t big_endian(const uint8_t *bytes, int n)
{
    uint64_t x = 0;

    for (int i = 0; i < n; i++)
        x = x << 8 | bytes[i];
    return x;
}

/* Width and height of a PNG are at 16; of a JPEG, behind some marker SOFn. */
static bool says_it_is_large(const uint8_t *data, size_t size)
{
    if (size >= 24 && data[0] == 0x89)
        return big_endian(data + 16, 4) * big_endian(data + 20, 4) > MOST_PIXELS;
    for (size_t i = 0; i + 9 <= size; i++)
        if (data[i] == 0xff && data[i + 1] >= 0xc0 && data[i + 1] <= 0xcf &&
            big_endian(data + i + 5, 2) * big_endian(data + i + 7, 2) > MOST_PIXELS)
            return true;
    return false;
}

static void preprocess(tspk_image *image, unsigned choice)
{
    const uint32_t channels = choice & 1 ? 3 : 1;
    const int64_t dim[3] = {channels, 5, 5};
    tspk_preprocess_settings settings;
    float out[3 * 5 * 5];
    tspk_error err;

    tspk_preprocess_default_settings(&settings);
    settings.resize = 6;
    settings.crop = 5;
    settings.channels = channels;
    settings.interpolation = choice & 2 ? TSPK_BICUBIC : TSPK_BILINEAR;
    tspk_error_init(&err);
    if (tspk_preprocess_image(image, &settings, dim, out, &err) != TSPK_OK && !err.message[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tspk_image image = {0};
    tspk_error err;

    if (says_it_is_large(data, size))
        return 0;
    tspk_error_init(&err);
    if (tspk_image_decode(data, size, &image, &err) != TSPK_OK) {
        if (image.pixels || !err.message[0])
            abort();
        return 0;
    }
    if (!image.width || !image.height || (image.channels != 1 && image.channels != 3))
        abort();
    preprocess(&image, data[size - 1]);
    tspk_image_done(&image);
    return 0;
}
