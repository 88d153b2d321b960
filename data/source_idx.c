/* SPDX-License-Identifier: Apache-2.0 */
/* An IDX pair, as MNIST and Fashion-MNIST come: images, and labels found by the images' name. */
#include "data/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "core/checked.h"
#include "core/fail.h"
#include "data/file_bytes.h"

#define IDX_UBYTE 8 /* element type code of unsigned bytes */

/* Reads n bytes, unpacked when the file is gzip; growing with what really comes. */
static tspk_status read_grown(gzFile file, size_t n, uint8_t **bytes_out, tspk_error *err)
{
    size_t have = 0, room = 0;
    uint8_t *bytes = NULL;

    while (have < n || !bytes) {
        const size_t step = (size_t)8 << 20;
        int got;

        if (have == room) {
            uint8_t *grown;

            room = room < step ? step : room * 2;
            if (room > n)
                room = n;
            grown = realloc(bytes, room ? room : 1);
            if (!grown) {
                free(bytes);
                return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", room);
            }
            bytes = grown;
            continue;
        }
        got = gzread(file, bytes + have, (unsigned)(room - have < step ? room - have : step));
        if (got <= 0) {
            int code;
            const char *text = gzerror(file, &code);

            free(bytes);
            if (code == Z_ERRNO)
                return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
            if (code != Z_OK && code != Z_BUF_ERROR)
                return TSPK_FAIL(err, TSPK_FORMAT, "broken gzip: %s", text);
            return TSPK_FAIL(err, TSPK_FORMAT, "IDX: truncated, %zu of %zu bytes", have, n);
        }
        have += (size_t)got;
    }
    *bytes_out = bytes;
    return TSPK_OK;
}

static uint32_t big_endian(const uint8_t *bytes)
{
    return (uint32_t)bytes[0] << 24 | (uint32_t)bytes[1] << 16 | (uint32_t)bytes[2] << 8 | bytes[3];
}

static tspk_status read_header(gzFile file, tspk_shape *shape, size_t *elems_out, tspk_error *err)
{
    uint8_t *bytes;
    int rank;

    TSPK_TRY(read_grown(file, 4, &bytes, err));
    rank = bytes[3];
    if (bytes[0] || bytes[1] || !rank || rank > 4) {
        free(bytes);
        return TSPK_FAIL(err, TSPK_FORMAT, "not IDX: wrong magic");
    }
    if (bytes[2] != IDX_UBYTE) {
        const int code = bytes[2];

        free(bytes);
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "IDX: element type %d, expected %d (unsigned byte)",
                         code, IDX_UBYTE);
    }
    free(bytes);
    TSPK_TRY(read_grown(file, (size_t)rank * 4, &bytes, err));
    shape->rank = (uint8_t)rank;
    for (int i = 0; i < rank; i++)
        shape->dim[i] = big_endian(bytes + i * 4);
    free(bytes);
    if (!tspk_checked_elems(shape->dim, shape->rank, TSPK_MAX_TENSOR_ELEMS, elems_out))
        return TSPK_FAIL(err, TSPK_LIMIT, "IDX: more than %zu elements", TSPK_MAX_TENSOR_ELEMS);
    return TSPK_OK;
}

static tspk_status read_open(gzFile file, tspk_shape *shape_out, uint8_t **bytes_out,
                             tspk_error *err)
{
    tspk_shape shape = {0};
    uint8_t *bytes = NULL, extra;
    size_t elems = 0;
    int got;

    TSPK_TRY(read_header(file, &shape, &elems, err));
    TSPK_TRY(read_grown(file, elems, &bytes, err));
    /* This reads to the end, and so verifies gzip's checksum too. */
    got = gzread(file, &extra, 1);
    if (got != 0) {
        free(bytes);
        if (got > 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "IDX: more than its %zu elements", elems);
        return TSPK_FAIL(err, TSPK_FORMAT, "broken gzip: %s", gzerror(file, &got));
    }
    *shape_out = shape;
    *bytes_out = bytes;
    return TSPK_OK;
}

static tspk_status read_idx(const char *path, tspk_shape *shape_out, uint8_t **bytes_out,
                            tspk_error *err)
{
    uint8_t *bytes = NULL;
    tspk_status status;
    gzFile file;

    errno = 0;
    file = gzopen(path, "rb");
    if (!file)
        return TSPK_FAIL(err, TSPK_IO, "%s: cannot be opened: %s", path,
                         errno ? strerror(errno) : "no memory");
    status = read_open(file, shape_out, &bytes, err);
    /* Says also whether the last read ended in the middle of a gzip stream. */
    if (gzclose(file) != Z_OK && status == TSPK_OK)
        status = TSPK_FAIL(err, TSPK_FORMAT, "broken gzip: truncated");
    if (status != TSPK_OK) {
        free(bytes);
        return tspk_in_file(err, status, path);
    }
    *bytes_out = bytes;
    return TSPK_OK;
}

/* The labels' path: "labels" for "images", "idx1" for "idx3" or "idx4", with or without .gz.
 * *path_out is NULL when there is no such file. */
static tspk_status find_labels(const char *path, char **path_out, tspk_error *err)
{
    char *name = malloc(strlen(path) + sizeof ".gz"), *base, *at;
    size_t length;

    *path_out = NULL;
    if (!name)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    strcpy(name, path);
    base = name + tspk_path_folder_length(name);
    at = strstr(base, "images");
    if (!at) {
        free(name);
        return TSPK_OK;
    }
    memcpy(at, "labels", 6);
    at = strstr(base, "idx3");
    if (!at)
        at = strstr(base, "idx4");
    if (at)
        at[3] = '1';
    length = strlen(name);
    if (!tspk_path_is_file(name)) {
        if (tspk_path_ends_with(name, ".gz"))
            name[length - 3] = '\0';
        else
            strcpy(name + length, ".gz");
    }
    if (tspk_path_is_file(name))
        *path_out = name;
    else
        free(name);
    return TSPK_OK;
}

static tspk_status read_labels(const char *path, size_t n, int64_t **labels_out, tspk_error *err)
{
    tspk_shape shape;
    uint8_t *bytes = NULL;
    int64_t *labels = NULL;
    tspk_status status;
    char *name = NULL;

    TSPK_TRY(find_labels(path, &name, err));
    if (!name)
        return TSPK_OK;
    status = read_idx(name, &shape, &bytes, err);
    if (status == TSPK_OK)
        status = tspk_labels_check(&shape, n, name, err);
    if (status == TSPK_OK) {
        labels = malloc(n ? n * sizeof *labels : 1);
        if (!labels)
            status = TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for %zu labels", name, n);
    }
    for (size_t i = 0; status == TSPK_OK && i < n; i++)
        labels[i] = bytes[i];
    free(bytes);
    free(name);
    TSPK_TRY(status);
    *labels_out = labels;
    return TSPK_OK;
}

tspk_status tspk_source_open_idx(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_array_layout layout = {.type = TSPK_NPY_U1, .descriptor = -1};
    tspk_status status;

    TSPK_TRY(read_idx(path, &layout.shape, &layout.memory, err));
    if (layout.shape.rank < 3)
        status = TSPK_FAIL(err, TSPK_SHAPE,
                           "IDX of rank %d, expected images of rank 3 (give the images' file, its "
                           "labels are found beside it)",
                           layout.shape.rank);
    else
        status = read_labels(path, (size_t)layout.shape.dim[0], &layout.labels, err);
    if (status != TSPK_OK) {
        free(layout.memory);
        return status;
    }
    return tspk_source_open_array(&layout, source_out, err);
}
