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
    char *path;
    char *temporary; /* NULL when the path is a device or a pipe and is written straight into */
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

tspk_status tspk_atomic_file_open(const char *path, tspk_atomic_file **file_out, tspk_error *err)
{
    static const char suffix[] = ".XXXXXX";
    const size_t length = strlen(path);
    tspk_atomic_file *file = calloc(1, sizeof *file);
    struct stat there;
    mode_t mask;

    if (!file)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    file->path = malloc(length + 1);
    file->temporary = malloc(length + sizeof suffix);
    if (!file->path || !file->temporary) {
        destroy(file);
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    }
    memcpy(file->path, path, length + 1);
    /* A rename over /dev/null would replace the device. */
    if (stat(path, &there) == 0 && !S_ISREG(there.st_mode)) {
        free(file->temporary);
        file->temporary = NULL;
        file->descriptor = open(path, O_WRONLY | O_CLOEXEC);
        if (file->descriptor < 0) {
            const int number = errno;

            destroy(file);
            return fail_io(err, path, "cannot be written", number);
        }
        *file_out = file;
        return TSPK_OK;
    }
    memcpy(file->temporary, path, length);
    memcpy(file->temporary + length, suffix, sizeof suffix);
    file->descriptor = mkstemp(file->temporary);
    if (file->descriptor < 0) {
        const int number = errno;

        destroy(file);
        return fail_io(err, path, "cannot be created", number);
    }
    /* mkstemp() gives 0600; a finished file has the permissions that open() would have given. */
    mask = umask(0);
    umask(mask);
    (void)fchmod(file->descriptor, (mode_t)(0666 & ~mask));
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
    if (file->temporary) {
        if (is_kept && status == TSPK_OK && rename(file->temporary, file->path) != 0)
            status = fail_io(err, file->path, "cannot be put in place", errno);
        if (!is_kept || status != TSPK_OK)
            unlink(file->temporary);
    }
    destroy(file);
    return status;
}
