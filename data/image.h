/* SPDX-License-Identifier: Apache-2.0 */
/* Decoded images and what is done to them before a network sees them. */
#ifndef TSPK_DATA_IMAGE_H
#define TSPK_DATA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/data.h"
#include "transpike/error.h"

#define TSPK_MAX_IMAGE_SIDE     65500u            /* [pixels], JPEG's own limit */
#define TSPK_MAX_IMAGE_PIXELS   178000000u        /* [pixels] */
#define TSPK_MAX_IMAGE_BYTES    ((size_t)1 << 30) /* [bytes] of one encoded image */
#define TSPK_MAX_IMAGE_CHANNELS 4u

typedef struct tspk_image {
    uint32_t width, height; /* [pixels] */
    uint32_t channels;      /* 1 … TSPK_MAX_IMAGE_CHANNELS, interleaved */
    uint8_t *pixels;        /* [height, width, channels], owned */
} tspk_image;

/** Checks the sizes and allocates the pixels, uninitialised. @errors LIMIT, FORMAT (empty), NOMEM
 */
tspk_status tspk_image_init(tspk_image *image, uint64_t width, uint64_t height, uint32_t channels,
                            tspk_error *err);

/** Frees the pixels. NULL is allowed. */
void tspk_image_done(tspk_image *image);

/** True for a file name that ends like an image's: .jpg, .jpeg, .jpe, .jfif, .png in any case. */
bool tspk_image_has_extension(const char *name);

/** True when bytes start like a JPEG or PNG. */
bool tspk_image_has_magic(const uint8_t *bytes, size_t n);

/**
 * Decodes a JPEG or PNG, found by content, to 1 (grey) or 3 (RGB) channels as Pillow would: alpha
 * is dropped, 16 bits are cut to the upper 8, CMYK is converted, orientation and colour profiles
 * are left alone.
 * @param image_out owned by the caller: tspk_image_done(); untouched on failure
 * @errors FORMAT (broken, truncated), UNSUPPORTED (another format, named), LIMIT (size), NOMEM
 */
tspk_status tspk_image_decode(const uint8_t *bytes, size_t n, tspk_image *image_out,
                              tspk_error *err);

/* The two formats; as tspk_image_decode(). */
tspk_status tspk_image_decode_jpeg(const uint8_t *bytes, size_t n, tspk_image *image_out,
                                   tspk_error *err);
tspk_status tspk_image_decode_png(const uint8_t *bytes, size_t n, tspk_image *image_out,
                                  tspk_error *err);

/** Encodes 1 or 3 channels as a PNG. @param png_out [n_out] malloc'd; NULL on failure
 * @errors IO (what the encoder says), NOMEM */
tspk_status tspk_image_encode_png(const tspk_image *image, void **png_out, size_t *n_out,
                                  tspk_error *err);

/** Writes 1 or 3 channels as a PNG; the file appears whole or not at all. @errors IO, NOMEM */
tspk_status tspk_image_write_png(const tspk_image *image, const char *path, tspk_error *err);

/** Grey to RGB (copied) or RGB to grey (ITU-R 601: 0.299 R + 0.587 G + 0.114 B), in place; nothing
 * to do when it has `channels` already. @errors SHAPE (any other pair), NOMEM */
tspk_status tspk_image_set_channels(tspk_image *image, uint32_t channels, tspk_error *err);

/**
 * Resizes in place, in 8 bits after each of the two passes: horizontal, then vertical; the other
 * way round when the height loses more than twice what the width loses (as Pillow since 13; before,
 * never: seen only where a kernel overshoots, in images more than twice as high as wide). Bilinear
 * is the triangle, bicubic the cubic convolution with a = −0.5; when an axis shrinks, the kernel is
 * widened by its scale (antialias); weights are rounded to multiples of 2^−22.
 * @source Keys 1981 (cubic convolution); rounding and windows as Pillow's Image.resize defines them
 * @errors LIMIT, NOMEM
 */
tspk_status tspk_image_resize(tspk_image *image, uint32_t width, uint32_t height,
                              tspk_interpolation interpolation, tspk_error *err);

/** Cuts out the centre, [size, size], in place; a smaller image is padded with zeros. The corner is
 * half the difference, rounded half to even. @errors LIMIT, NOMEM */
tspk_status tspk_image_crop(tspk_image *image, uint32_t size, tspk_error *err);

/** Are the settings possible? @errors USAGE (the setting and its value are named) */
tspk_status tspk_preprocess_check(const tspk_preprocess_settings *settings, tspk_error *err);

/**
 * Preprocesses an image, which is changed on the way.
 * @param dim  channels, height, width asked for
 * @param out  [dim[0], dim[1], dim[2]]; out
 * @errors SHAPE (the result has another shape; both are named), LIMIT, NOMEM
 */
tspk_status tspk_preprocess_image(tspk_image *image, const tspk_preprocess_settings *settings,
                                  const int64_t dim[3], float *out, tspk_error *err);

#endif
