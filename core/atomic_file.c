/* SPDX-License-Identifier: Apache-2.0 */
#include "core/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fail.h"

struct tspk_atomic_file {
    int descriptor;
    char *path;      /* of the finished file, links followed */
    char *temporary; /* NULL: `path` is a device or a pipe and is written directly */
};

static tspk_status fail_io(tspk_error *err, const char *path, const char *what, int number)
{
    tspk_fail(err, TSPK_IO, "%s: %s: %s", path, what, strerror(number));
    return TSPK_IO;
}

static void destroy(tspk_atomic_file *file)
{
    free(file->path);
    free(file->temporary);
    free(file);
}

/* Creates the temporary file beside the finished one. */
static tspk_status open_temporary(tspk_atomic_file *file, const char *path, tspk_error *err)
{
    static const char suffix[] = ".XXXXXX";
    const size_t length = strlen(file->path);
    mode_t mask;

    file->temporary = malloc(length + sizeof suffix);
    if (!file->temporary)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    memcpy(file->temporary, file->path, length);
    memcpy(file->temporary + length, suffix, sizeof suffix);
    file->descriptor = mkostemp(file->temporary, O_CLOEXEC);
    if (file->descriptor < 0)
        return fail_io(err, path, "cannot be created", errno);
    /* mkostemp() gives 0600; a finished file has the permissions that open() would have given. */
    mask = umask(0);
    umask(mask);
    (void)fchmod(file->descriptor, (mode_t)(0666 & ~mask));
    return TSPK_OK;
}

/* A device or a pipe cannot be replaced: it is written as it is. */
static tspk_status open_directly(tspk_atomic_file *file, const char *path, tspk_error *err)
{
    file->descriptor = open(path, O_WRONLY | O_CLOEXEC);
    if (file->descriptor < 0)
        return fail_io(err, path, "cannot be opened for writing", errno);
    return TSPK_OK;
}

tspk_status tspk_atomic_file_open(const char *path, tspk_atomic_file **file_out, tspk_error *err)
{
    tspk_atomic_file *file = calloc(1, sizeof *file);
    struct stat found;
    tspk_status status;

    if (!file)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    /* A link stays one: the file that it names is replaced. */
    file->path = realpath(path, NULL);
    if (!file->path)
        file->path = strdup(path);
    if (!file->path)
        status = TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    else if (stat(path, &found) == 0 && !S_ISREG(found.st_mode))
        status = open_directly(file, path, err);
    else
        status = open_temporary(file, path, err);
    if (status != TSPK_OK) {
        destroy(file);
        return status;
    }
    *file_out = file;
    return TSPK_OK;
}

int tspk_atomic_file_descriptor(const tspk_atomic_file *file)
{
    return file->descriptor;
}

tspk_status tspk_atomic_file_write(tspk_atomic_file *file, const void *bytes, size_t n,
                                   tspk_error *err)
{
    const char *at = bytes;

    while (n) {
        const ssize_t written = write(file->descriptor, at, n);

        if (written < 0 && errno == EINTR)
            continue;
        if (written < 0)
            return fail_io(err, file->path, "cannot be written", errno);
        at += written;
        n -= (size_t)written;
    }
    return TSPK_OK;
}

tspk_status tspk_atomic_file_close(tspk_atomic_file *file, bool is_kept, tspk_error *err)
{
    tspk_status status = TSPK_OK;

    if (!file)
        return TSPK_OK;
    if (is_kept && fsync(file->descriptor) != 0 && errno != EINVAL && errno != EROFS)
        status = fail_io(err, file->path, "cannot be written", errno);
    if (close(file->descriptor) != 0 && status == TSPK_OK && is_kept)
        status = fail_io(err, file->path, "cannot be written", errno);
    if (is_kept && status == TSPK_OK && file->temporary && rename(file->temporary, file->path) != 0)
        status = fail_io(err, file->path, "cannot be put in place", errno);
    if (file->temporary && (!is_kept || status != TSPK_OK))
        unlink(file->temporary);
    destroy(file);
    return status;
}
