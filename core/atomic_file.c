/* SPDX-License-Identifier: Apache-2.0 */
#include "core/atomic_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "core/fail.h"
#include "core/rng.h"

enum { SUFFIX_LENGTH = 7, MAX_ATTEMPTS = 100 };

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

/* Writes ".XXXXXX" with random letters. */
static void write_suffix(tspk_rng *rng, char *suffix)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789";

    suffix[0] = '.';
    for (int i = 1; i < SUFFIX_LENGTH; i++)
        suffix[i] = letters[tspk_rng_below(rng, sizeof letters - 1)];
    suffix[SUFFIX_LENGTH] = '\0';
}

/* Creates the temporary file beside the finished one, with the permissions that the system gives
 * any new file. */
static tspk_status open_temporary(tspk_atomic_file *file, const char *path, tspk_error *err)
{
    const size_t length = strlen(file->path);
    struct timespec now = {0};
    tspk_rng rng;

    file->temporary = malloc(length + SUFFIX_LENGTH + 1);
    if (!file->temporary)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    memcpy(file->temporary, file->path, length);
    clock_gettime(CLOCK_REALTIME, &now);
    rng.state = (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec +
                ((uint64_t)getpid() << 40) + (uint64_t)(uintptr_t)file;
    for (int attempt = 0; attempt < MAX_ATTEMPTS; attempt++) {
        write_suffix(&rng, file->temporary + length);
        file->descriptor = open(file->temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (file->descriptor >= 0)
            return TSPK_OK;
        if (errno != EEXIST)
            break;
    }
    return fail_io(err, path, "cannot be created", errno);
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
