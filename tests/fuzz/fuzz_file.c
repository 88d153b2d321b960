/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/fuzz/fuzz_file.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

static bool write_all(const char *path, const uint8_t *data, size_t size)
{
    const int descriptor = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    size_t n = 0;

    if (descriptor < 0)
        return false;
    while (n < size) {
        const ssize_t written = write(descriptor, data + n, size - n);

        if (written <= 0)
            break;
        n += (size_t)written;
    }
    return close(descriptor) == 0 && n == size;
}

bool fuzz_file_init(fuzz_file *file, const char *name, const uint8_t *data, size_t size)
{
    const char *base = getenv("TMPDIR");
    int n;

    n = snprintf(file->folder, sizeof file->folder, "%s/tspk-fuzz-XXXXXX", base ? base : "/tmp");
    if (n < 0 || (size_t)n >= sizeof file->folder || !mkdtemp(file->folder)) {
        perror("fuzz: no temporary folder");
        return false;
    }
    snprintf(file->path, sizeof file->path, "%s/%s", file->folder, name);
    if (write_all(file->path, data, size))
        return true;
    perror("fuzz: no temporary file");
    fuzz_file_done(file);
    return false;
}

void fuzz_file_done(fuzz_file *file)
{
    unlink(file->path);
    rmdir(file->folder);
}
