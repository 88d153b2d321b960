/* SPDX-License-Identifier: Apache-2.0 */
/* A folder of image files, or one image file. */
#include "data/source.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "core/fail.h"
#include "data/file_bytes.h"

typedef struct folder_source {
    tspk_source base;
    char *root; /* names are relative to it; NULL: to the working folder */
} folder_source;

static tspk_status load(const tspk_source *source, size_t i, tspk_content *content_out,
                        tspk_error *err)
{
    const folder_source *folder = (const folder_source *)source;
    char *path = tspk_path_join(folder->root, source->items[i].name);
    tspk_content content = {0};
    uint8_t *bytes = NULL;
    size_t n = 0;
    tspk_status status;

    if (!path)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    status = tspk_file_read(path, TSPK_MAX_IMAGE_BYTES, &bytes, &n, err);
    if (status == TSPK_OK)
        status = tspk_in_file(err, tspk_image_decode(bytes, n, &content.image, err), path);
    free(bytes);
    free(path);
    TSPK_TRY(status);
    *content_out = content;
    return TSPK_OK;
}

static void done(tspk_source *source)
{
    free(((folder_source *)source)->root);
}

static const tspk_source_ops ops = {load, done};

static tspk_status walk(tspk_source *source, const char *root, const char *below, int depth,
                        tspk_error *err);

/* One entry of a folder: an image is added, a folder entered, anything else passed over. */
static tspk_status visit(tspk_source *source, const char *root, const char *below,
                         const char *entry, int depth, tspk_error *err)
{
    char *name = tspk_path_join(below, entry), *path = name ? tspk_path_join(root, name) : NULL;
    tspk_status status = TSPK_OK;
    struct stat found;

    if (!path)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    else if (stat(path, &found) != 0) {
        if (tspk_image_has_extension(entry)) /* a broken sample: reading it says why */
            status = tspk_source_add(source, name, 0, err);
    } else if (S_ISDIR(found.st_mode))
        status = walk(source, root, name, depth + 1, err);
    else if (S_ISREG(found.st_mode) && tspk_image_has_extension(entry))
        status = tspk_source_add(source, name, 0, err);
    free(path);
    free(name);
    return status;
}

/* Hidden files are passed over; links are followed, to TSPK_MAX_FOLDER_DEPTH at most. */
static tspk_status walk(tspk_source *source, const char *root, const char *below, int depth,
                        tspk_error *err)
{
    char *path = tspk_path_join(root, below);
    tspk_status status = TSPK_OK;
    const struct dirent *entry;
    DIR *folder;

    if (!path)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    if (depth > TSPK_MAX_FOLDER_DEPTH) {
        status = TSPK_FAIL(err, TSPK_LIMIT, "%s: more than %d folders deep", path,
                           TSPK_MAX_FOLDER_DEPTH);
        free(path);
        return status;
    }
    folder = opendir(path);
    if (!folder)
        status = TSPK_FAIL(err, TSPK_IO, "%s: cannot be read: %s", path, strerror(errno));
    while (status == TSPK_OK && (errno = 0, entry = readdir(folder)) != NULL)
        if (entry->d_name[0] != '.')
            status = visit(source, root, below, entry->d_name, depth, err);
    if (status == TSPK_OK && errno != 0)
        status = TSPK_FAIL(err, TSPK_IO, "%s: cannot be read: %s", path, strerror(errno));
    if (folder)
        closedir(folder);
    free(path);
    return status;
}

/* A text file of the folder; *text_out stays NULL when there is none. */
static tspk_status read_text(const char *root, const char *name, uint8_t **text_out, size_t *n_out,
                             tspk_error *err)
{
    char *path = tspk_path_join(root, name);
    tspk_status status = TSPK_OK;
    struct stat found;

    if (!path)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    if (stat(path, &found) == 0)
        status = tspk_file_read(path, TSPK_MAX_LABELS_BYTES, text_out, n_out, err);
    free(path);
    return status;
}

static tspk_status label(tspk_source *source, const char *root, tspk_error *err)
{
    uint8_t *text = NULL;
    size_t n = 0;
    tspk_status status;

    TSPK_TRY(read_text(root, "labels.csv", &text, &n, err));
    if (!text)
        return tspk_source_label_by_folder(source, 0, err);
    status = tspk_source_label_by_csv(source, text, n, "labels.csv", err);
    free(text);
    text = NULL;
    if (status == TSPK_OK)
        status = read_text(root, "classes.txt", &text, &n, err);
    if (status == TSPK_OK && text)
        status = tspk_source_name_classes(source, text, n, err);
    free(text);
    return status;
}

tspk_status tspk_source_open_folder(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_source *source;
    tspk_status status;

    TSPK_TRY(tspk_source_new(sizeof(folder_source), &ops, &source, err));
    ((folder_source *)source)->root = strdup(path);
    if (!((folder_source *)source)->root)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for a path");
    else
        status = walk(source, path, "", 0, err);
    if (status == TSPK_OK)
        status = tspk_source_sort(source, err);
    if (status == TSPK_OK && !source->n)
        status = TSPK_FAIL(err, TSPK_FORMAT, "the folder holds no images (JPEG or PNG)");
    if (status == TSPK_OK)
        status = label(source, path, err);
    if (status != TSPK_OK) {
        tspk_source_free(source);
        return status;
    }
    *source_out = source;
    return TSPK_OK;
}

tspk_status tspk_source_open_image(const char *path, tspk_source **source_out, tspk_error *err)
{
    tspk_source *source;
    const tspk_status status = tspk_source_new(sizeof(folder_source), &ops, &source, err);

    TSPK_TRY(status);
    if (tspk_source_add(source, path, 0, err) != TSPK_OK) {
        tspk_source_free(source);
        return TSPK_NOMEM;
    }
    *source_out = source;
    return TSPK_OK;
}
