/* SPDX-License-Identifier: Apache-2.0 */
#include "data/file_bytes.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/fail.h"

/* Reads until the end, growing; the size that the system states is the first guess. */
static tspk_status read_all(int descriptor, size_t guess, size_t cap, uint8_t **bytes_out,
                            size_t *n_out, tspk_error *err)
{
    size_t room = (guess < cap ? guess : cap) + 1, n = 0;
    uint8_t *bytes = malloc(room);

    while (bytes) {
        const ssize_t got = read(descriptor, bytes + n, room - n);

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
        }
        n += (size_t)got;
        if (n > cap) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu bytes", cap);
        }
        if (got == 0) {
            *bytes_out = bytes;
            *n_out = n;
            return TSPK_OK;
        }
        if (n == room) {
            uint8_t *grown;

            room = room < cap / 2 ? room * 2 : cap + 1;
            grown = realloc(bytes, room);
            if (!grown)
                free(bytes);
            bytes = grown;
        }
    }
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", room);
}

tspk_status tspk_file_read(const char *path, size_t cap, uint8_t **bytes_out, size_t *n_out,
                           tspk_error *err)
{
    const int descriptor = open(path, O_RDONLY | O_CLOEXEC);
    struct stat found;
    tspk_status status;

    if (descriptor < 0)
        return TSPK_FAIL(err, TSPK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    if (fstat(descriptor, &found) != 0)
        status = TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
    else if (S_ISREG(found.st_mode) && (uintmax_t)found.st_size > cap)
        status = TSPK_FAIL(err, TSPK_LIMIT, "%jd bytes, at most %zu", (intmax_t)found.st_size, cap);
    else
        status = read_all(descriptor, S_ISREG(found.st_mode) ? (size_t)found.st_size : 4096, cap,
                          bytes_out, n_out, err);
    close(descriptor);
    return tspk_in_file(err, status, path);
}

char *tspk_path_join(const char *folder, const char *name)
{
    const size_t length = folder ? strlen(folder) : 0, name_bytes = strlen(name) + 1;
    const bool has_slash = length && folder[length - 1] != '/';
    char *path = malloc(length + has_slash + name_bytes);

    if (!path)
        return NULL;
    if (length)
        memcpy(path, folder, length);
    if (has_slash)
        path[length] = '/';
    memcpy(path + length + has_slash, name, name_bytes);
    return path;
}

size_t tspk_path_folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

bool tspk_path_ends_with(const char *path, const char *end)
{
    const size_t length = strlen(path), end_length = strlen(end);

    return length >= end_length && strcasecmp(path + length - end_length, end) == 0;
}

bool tspk_path_is_file(const char *path)
{
    struct stat found;

    return stat(path, &found) == 0 && S_ISREG(found.st_mode);
}
