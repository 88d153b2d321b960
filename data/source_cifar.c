/* SPDX-License-Identifier: Apache-2.0 */
/* A binary file of CIFAR-10 or CIFAR-100: records of labels and 3 x 32 x 32 bytes, planar. */
#include "data/source.h"

#include <stdlib.h>

#include "core/fail.h"
#include "data/file_bytes.h"

#define SIDE   32u
#define PLANE  (SIDE * SIDE)
#define PIXELS (3u * PLANE)

/* Planar records behind `skipped` bytes, of which the last is the label, to interleaved pixels. */
static tspk_status unpack(const uint8_t *bytes, size_t n, size_t skipped, tspk_array_layout *layout,
                          tspk_error *err)
{
    layout->memory = malloc(n * PIXELS);
    layout->labels = malloc(n * sizeof *layout->labels);
    if (!layout->memory || !layout->labels) {
        free(layout->memory);
        free(layout->labels);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", n);
    }
    for (size_t i = 0; i < n; i++) {
        const uint8_t *record = bytes + i * (skipped + PIXELS);
        uint8_t *pixels = layout->memory + i * PIXELS;

        layout->labels[i] = record[skipped - 1];
        for (size_t p = 0; p < PLANE; p++)
            for (size_t c = 0; c < 3; c++)
                pixels[p * 3 + c] = record[skipped + c * PLANE + p];
    }
    return TSPK_OK;
}

tspk_status tspk_source_open_cifar(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_array_layout layout = {
        .type = TSPK_NPY_U1, .shape = {.rank = 4, .dim = {0, SIDE, SIDE, 3}}, .descriptor = -1};
    uint8_t *bytes = NULL;
    size_t n_bytes = 0, skipped, n;
    tspk_status status;

    TSPK_TRY(tspk_file_read(path, TSPK_MAX_ARCHIVE_BYTES, &bytes, &n_bytes, err));
    skipped = n_bytes % (PIXELS + 1) == 0 ? 1 : 2;
    n = n_bytes / (PIXELS + skipped);
    if (!n || n_bytes % (PIXELS + skipped) != 0) {
        free(bytes);
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "%zu bytes, not a multiple of CIFAR's records of %u or %u bytes", n_bytes,
                         PIXELS + 1, PIXELS + 2);
    }
    layout.shape.dim[0] = (int64_t)n;
    status = unpack(bytes, n, skipped, &layout, err);
    free(bytes);
    TSPK_TRY(status);
    return tspk_source_open_array(&layout, source_out, err);
}
