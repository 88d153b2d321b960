/* SPDX-License-Identifier: Apache-2.0 */
/* Binary files of CIFAR-10 or CIFAR-100, loose or in their archive: records of labels and
 * 3 x 32 x 32 bytes, planar. */
#include "data/source.h"

#include <stdlib.h>

#include "core/fail.h"
#include "data/file_bytes.h"

#define SIDE   32u
#define PLANE  (SIDE * SIDE)
#define PIXELS (3u * PLANE)

/* Bytes before a record's pixels, of which the last is the label; 0: no CIFAR. */
static size_t label_bytes(size_t n_bytes)
{
    if (!n_bytes)
        return 0;
    return n_bytes % (PIXELS + 1) == 0 ? 1 : n_bytes % (PIXELS + 2) == 0 ? 2 : 0;
}

bool tspk_cifar_has_size(size_t n_bytes)
{
    return label_bytes(n_bytes) != 0;
}

static size_t count_records(const tspk_text_member *file)
{
    return file->n / (label_bytes(file->n) + PIXELS);
}

/* Planar records to interleaved pixels. */
static void unpack(const tspk_text_member *file, uint8_t *pixels, int64_t *labels)
{
    const size_t skipped = label_bytes(file->n), n = count_records(file);

    for (size_t i = 0; i < n; i++, pixels += PIXELS) {
        const uint8_t *record = file->bytes + i * (skipped + PIXELS);

        labels[i] = record[skipped - 1];
        for (size_t p = 0; p < PLANE; p++)
            for (size_t c = 0; c < 3; c++)
                pixels[p * 3 + c] = record[skipped + c * PLANE + p];
    }
}

tspk_status tspk_source_open_cifar_files(const tspk_text_member *files, size_t n_files,
                                         tspk_source **source_out, tspk_error *err)
{
    tspk_array_layout layout = {
        .type = TSPK_NPY_U1, .shape = {.rank = 4, .dim = {0, SIDE, SIDE, 3}}, .descriptor = -1};
    size_t n = 0;

    for (size_t i = 0; i < n_files; i++)
        n += count_records(&files[i]);
    layout.shape.dim[0] = (int64_t)n;
    layout.memory = malloc(n * PIXELS);
    layout.labels = malloc(n * sizeof *layout.labels);
    if (!layout.memory || !layout.labels) {
        free(layout.memory);
        free(layout.labels);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", n);
    }
    n = 0;
    for (size_t i = 0; i < n_files; i++) {
        unpack(&files[i], layout.memory + n * PIXELS, layout.labels + n);
        n += count_records(&files[i]);
    }
    return tspk_source_open_array(&layout, source_out, err);
}

tspk_status tspk_source_open_cifar(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_text_member file = {0};
    tspk_status status;

    TSPK_TRY(tspk_file_read(path, TSPK_MAX_ARCHIVE_BYTES, &file.bytes, &file.n, err));
    if (tspk_cifar_has_size(file.n))
        status = tspk_source_open_cifar_files(&file, 1, source_out, err);
    else
        status = TSPK_FAIL(err, TSPK_FORMAT,
                           "%zu bytes, not a multiple of CIFAR's records of %u or %u bytes", file.n,
                           PIXELS + 1, PIXELS + 2);
    free(file.bytes);
    return status;
}
