/* SPDX-License-Identifier: Apache-2.0 */
/* An .npy of images, its labels in another one beside it. */
#include "data/source.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fail.h"
#include "data/file_bytes.h"

/* folder of `path` + first n bytes of `stem` + rest; NULL when memory is short. */
static char *sibling(const char *path, const char *stem, size_t n, const char *rest)
{
    const size_t folder = tspk_path_folder_length(path), rest_bytes = strlen(rest) + 1;
    char *name = malloc(folder + n + rest_bytes);

    if (!name)
        return NULL;
    memcpy(name, path, folder);
    memcpy(name + folder, stem, n);
    memcpy(name + folder + n, rest, rest_bytes);
    return name;
}

/* The labels' file: STEM_labels.npy, or the same name with "labels" for "images", or labels.npy;
 * *path_out is NULL when there is none. */
static tspk_status find_labels(const char *path, char **path_out, tspk_error *err)
{
    const char *base = path + tspk_path_folder_length(path), *dot = strrchr(base, '.');
    const char *images = strstr(base, "images");
    const size_t stem = dot ? (size_t)(dot - base) : strlen(base);

    for (int attempt = 0; attempt < 3; attempt++) {
        char *name;

        if (attempt == 0) {
            name = sibling(path, base, stem, "_labels.npy");
        } else if (attempt == 1) {
            if (!images)
                continue;
            name = sibling(path, base, strlen(base), "");
            if (name)
                memcpy(name + (images - path), "labels", 6);
        } else {
            name = sibling(path, base, 0, "labels.npy");
        }
        if (!name)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
        if (strcmp(name, path) != 0 && tspk_path_is_file(name)) {
            *path_out = name;
            return TSPK_OK;
        }
        free(name);
    }
    *path_out = NULL;
    return TSPK_OK;
}

static tspk_status read_labels(const char *path, size_t n, int64_t **labels_out, tspk_error *err)
{
    char *name = NULL;
    void *labels = NULL;
    tspk_shape shape;
    tspk_status status;

    TSPK_TRY(find_labels(path, &name, err));
    if (!name)
        return TSPK_OK;
    status = tspk_npy_read_file(name, TSPK_NPY_I8, &shape, &labels, NULL, err);
    if (status == TSPK_OK)
        status = tspk_labels_check(&shape, n, name, err);
    free(name);
    if (status != TSPK_OK) {
        free(labels);
        return status;
    }
    *labels_out = labels;
    return TSPK_OK;
}

static tspk_status open_layout(const char *path, FILE *file, tspk_array_layout *layout,
                               tspk_error *err)
{
    tspk_npy_header header;
    struct stat found;
    size_t there;

    TSPK_TRY(tspk_npy_read_header(file, &header, err));
    layout->descriptor = dup(fileno(file));
    if (layout->descriptor < 0 || fstat(layout->descriptor, &found) != 0)
        return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
    there = (size_t)found.st_size - header.data_offset;
    if (there != header.data_bytes)
        return TSPK_FAIL(err, TSPK_FORMAT, "npy: %s: %zu data bytes, the header says %zu",
                         there < header.data_bytes ? "truncated" : "too long", there,
                         header.data_bytes);
    layout->type = header.type;
    layout->shape = header.shape;
    layout->offset = header.data_offset;
    if (header.shape.rank)
        TSPK_TRY(read_labels(path, (size_t)header.shape.dim[0], &layout->labels, err));
    return TSPK_OK;
}

tspk_status tspk_source_open_npy(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_array_layout layout = {.descriptor = -1};
    FILE *file = fopen(path, "rb");
    tspk_status status;

    if (!file)
        return TSPK_FAIL(err, TSPK_IO, "cannot be opened: %s", strerror(errno));
    status = open_layout(path, file, &layout, err);
    fclose(file);
    if (status != TSPK_OK) {
        if (layout.descriptor >= 0)
            close(layout.descriptor);
        free(layout.labels);
        return status;
    }
    return tspk_source_open_array(&layout, source_out, err);
}
