/* SPDX-License-Identifier: Apache-2.0 */
/* An .npz with `images` and, if there are any, `labels`. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "data/npz_reader.h"

static tspk_status read_labels(const char *path, size_t n, int64_t **labels_out, tspk_error *err)
{
    tspk_npy_header header;
    uint8_t *bytes = NULL;
    int64_t *labels = NULL;
    tspk_status status;

    TSPK_TRY(tspk_npz_read_array(path, "labels", TSPK_MAX_SAMPLES * 8 + TSPK_NPY_READ_MAX, &header,
                                 &bytes, err));
    status = tspk_labels_check(&header.shape, n, "labels.npy", err);
    if (status == TSPK_OK) {
        labels = malloc(n ? n * sizeof *labels : 1);
        status = labels ? tspk_in_file(err,
                                       tspk_npy_convert(header.type, bytes + header.data_offset, n,
                                                        TSPK_NPY_I8, labels, err),
                                       "labels.npy")
                        : TSPK_FAIL(err, TSPK_NOMEM, "labels.npy: no memory for %zu labels", n);
    }
    free(bytes);
    if (status != TSPK_OK) {
        free(labels);
        return status;
    }
    *labels_out = labels;
    return TSPK_OK;
}

tspk_status tspk_source_open_npz(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_array_layout layout = {.descriptor = -1};
    tspk_npy_header header;
    bool has_labels = false;
    tspk_status status;

    TSPK_TRY(
        tspk_npz_read_array(path, "images", TSPK_MAX_ARCHIVE_BYTES, &header, &layout.memory, err));
    layout.type = header.type;
    layout.shape = header.shape;
    layout.offset = header.data_offset;
    status = tspk_npz_has_member(path, "labels.npy", &has_labels, err);
    if (status == TSPK_OK && has_labels)
        status = read_labels(path, header.shape.rank ? (size_t)header.shape.dim[0] : 0,
                             &layout.labels, err);
    if (status != TSPK_OK) {
        free(layout.memory);
        return status;
    }
    return tspk_source_open_array(&layout, source_out, err);
}
