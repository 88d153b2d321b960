/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/onnx_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>


#include "core/fail.h"
#include "core/sha256.h"

tspk_status tspk_map_file(const char *path, tspk_mapped_file *file_out, tspk_error *err)
{
    const int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY);
    tspk_status status = TSPK_OK;
    struct stat info;
    void *bytes = NULL;

    if (fd < 0)
        return TSPK_FAIL(err, TSPK_IO, "cannot open %s: %s", path, strerror(errno));
    if (fstat(fd, &info) < 0)
        status = TSPK_FAIL(err, TSPK_IO, "cannot read %s: %s", path, strerror(errno));
    else if (!S_ISREG(info.st_mode))
        status = TSPK_FAIL(err, TSPK_IO, "cannot read %s: %s", path,
                           S_ISDIR(info.st_mode) ? "it is a folder" : "it is not a regular file");
    else if (info.st_size > 0) {
        bytes = mmap(NULL, (size_t)info.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
        if (bytes == MAP_FAILED)
            status = TSPK_FAIL(err, TSPK_IO, "cannot map %s: %s", path, strerror(errno));
    }
    close(fd);
    if (status == TSPK_OK)
        *file_out = (tspk_mapped_file){bytes, (size_t)info.st_size};
    return status;
}

void tspk_unmap_file(tspk_mapped_file *file)
{
    if (file->bytes)
        munmap((void *)(uintptr_t)file->bytes, file->n_bytes);
    *file = (tspk_mapped_file){0};
}

#define HASHED_BYTES  ((size_t)4 << 20)
#define RELEASE_BYTES ((size_t)1 << 20) /* below this many it is not worth the call */

void tspk_release_mapped(const uint8_t *bytes, size_t n)
{
    const size_t page = (size_t)sysconf(_SC_PAGESIZE);
    const uintptr_t first = ((uintptr_t)bytes + page - 1) / page * page;
    const uintptr_t last = ((uintptr_t)bytes + n) / page * page;

    if (n >= RELEASE_BYTES && last > first)
        madvise((void *)first, last - first, MADV_DONTNEED);
}

typedef struct external_file {
    struct external_file *next;
    tspk_mapped_file file;
    char *location;
} external_file;

struct tspk_onnx_files {
    tspk_mapped_file model;
    char folder[PATH_MAX]; /* absolute, without links */
    external_file *first;
    external_file **last;
    size_t n_external;
};

static tspk_status find_folder(const char *path, char folder_out[PATH_MAX], tspk_error *err)
{
    const char *const slash = strrchr(path, '/');
    char text[PATH_MAX];
    const int n = slash ? snprintf(text, sizeof text, "%.*s", (int)(slash - path) + 1, path)
                        : snprintf(text, sizeof text, ".");

    if (n < 0 || (size_t)n >= sizeof text || !realpath(text, folder_out))
        return TSPK_FAIL(err, TSPK_IO, "cannot open the folder of %s: %s", path,
                         (size_t)n >= sizeof text ? "the path is too long" : strerror(errno));
    return TSPK_OK;
}

tspk_status tspk_onnx_files_open(const char *path, tspk_onnx_files **files_out, tspk_error *err)
{
    tspk_onnx_files *files = calloc(1, sizeof *files);
    tspk_status status;

    if (!files)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to open %s", path);
    files->last = &files->first;
    status = tspk_map_file(path, &files->model, err);
    if (status == TSPK_OK)
        status = find_folder(path, files->folder, err);
    if (status != TSPK_OK) {
        tspk_onnx_files_close(files);
        return status;
    }
    *files_out = files;
    return TSPK_OK;
}

void tspk_onnx_files_close(tspk_onnx_files *files)
{
    if (!files)
        return;
    while (files->first) {
        external_file *const f = files->first;

        files->first = f->next;
        tspk_unmap_file(&f->file);
        free(f->location);
        free(f);
    }
    tspk_unmap_file(&files->model);
    free(files);
}

const tspk_mapped_file *tspk_onnx_files_model(const tspk_onnx_files *files)
{
    return &files->model;
}

/* What is wrong with a location, NULL when it is a plain relative path. */
static const char *refuse_location(const char *location, size_t n)
{
    if (n == 0)
        return "is empty";
    if (memchr(location, '\0', n))
        return "holds a NUL byte";
    if (location[0] == '/')
        return "is absolute";
    if (strchr(location, '\\') || (n > 1 && location[1] == ':'))
        return "holds a backslash or a drive letter";
    for (const char *part = location; part; part = strchr(part, '/')) {
        part += *part == '/';
        if (!strncmp(part, "..", 2) && (part[2] == '/' || part[2] == '\0'))
            return "has a \"..\" and may leave the model's folder";
    }
    return NULL;
}

static tspk_status map_external(const tspk_onnx_files *files, const char *location,
                                tspk_mapped_file *file_out, tspk_error *err)
{
    const size_t n_folder = strlen(files->folder);
    char joined[2 * PATH_MAX], resolved[PATH_MAX];
    const int n = snprintf(joined, sizeof joined, "%s/%s", files->folder, location);

    if (n < 0 || n >= PATH_MAX)
        return TSPK_FAIL(err, TSPK_IO, "external location: the path is too long (%d bytes)", n);
    if (!realpath(joined, resolved))
        return TSPK_FAIL(err, TSPK_IO, "cannot open the external file \"%.200s\": %s", location,
                         strerror(errno));
    if (strncmp(resolved, files->folder, n_folder) != 0 ||
        (files->folder[1] != '\0' && resolved[n_folder] != '/'))
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "external location \"%.200s\" resolves outside the model's folder",
                         location);
    return tspk_map_file(resolved, file_out, err);
}

tspk_status tspk_onnx_files_external(tspk_onnx_files *files, const uint8_t *location,
                                     size_t n_location, const tspk_mapped_file **file_out,
                                     tspk_error *err)
{
    external_file *f;
    tspk_status status;
    const char *wrong;
    char *text;

    for (f = files->first; f; f = f->next)
        if (strlen(f->location) == n_location && !memcmp(f->location, location, n_location)) {
            *file_out = &f->file;
            return TSPK_OK;
        }
    if (files->n_external == TSPK_ONNX_MAX_EXTERNAL_FILES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u external files",
                         TSPK_ONNX_MAX_EXTERNAL_FILES);
    text = malloc(n_location + 1);
    f = calloc(1, sizeof *f);
    if (!text || !f) {
        free(text);
        free(f);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for an external file");
    }
    if (n_location)
        memcpy(text, location, n_location);
    text[n_location] = '\0';
    wrong = refuse_location(text, n_location);
    if (wrong)
        status = TSPK_FAIL(err, TSPK_FORMAT, "external location \"%.200s\" %s", text, wrong);
    else
        status = map_external(files, text, &f->file, err);
    if (status != TSPK_OK) {
        free(text);
        free(f);
        return status;
    }
    f->location = text;
    *files->last = f;
    files->last = &f->next;
    files->n_external++;
    *file_out = &f->file;
    return TSPK_OK;
}

size_t tspk_onnx_files_bytes(const tspk_onnx_files *files)
{
    size_t total = files->model.n_bytes;

    for (const external_file *f = files->first; f; f = f->next)
        total = total > SIZE_MAX - f->file.n_bytes ? SIZE_MAX : total + f->file.n_bytes;
    return total;
}

/* Piece by piece: what was hashed need not stay in memory. */
static void hash_file(tspk_sha256 *state, const tspk_mapped_file *file)
{
    for (size_t at = 0; at < file->n_bytes; at += HASHED_BYTES) {
        const size_t left = file->n_bytes - at, n = left < HASHED_BYTES ? left : HASHED_BYTES;

        tspk_sha256_add(state, file->bytes + at, n);
        tspk_release_mapped(file->bytes + at, n);
    }
}

void tspk_onnx_files_sha256(const tspk_onnx_files *files, char hex_out[65])
{
    tspk_sha256 state;
    uint8_t digest[TSPK_SHA256_BYTES];

    tspk_sha256_begin(&state);
    hash_file(&state, &files->model);
    for (const external_file *f = files->first; f; f = f->next)
        hash_file(&state, &f->file);
    tspk_sha256_end(&state, digest);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex_out + 2 * i, 3, "%02x", digest[i]);
}
