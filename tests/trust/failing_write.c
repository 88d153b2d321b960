/* SPDX-License-Identifier: Apache-2.0 */
/*
 * To be preloaded: write() to regular files as a disk that is full after TRUST_WRITE_ROOM bytes, or
 * one that takes at most TRUST_WRITE_PART bytes at a time.
 */
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

static size_t written;

static size_t setting(const char *name, size_t otherwise)
{
    const char *const text = getenv(name);

    return text ? strtoull(text, NULL, 10) : otherwise;
}

__attribute__((visibility("default"))) ssize_t write(int descriptor, const void *bytes, size_t n)
{
    ssize_t (*real)(int, const void *, size_t);
    const size_t room = setting("TRUST_WRITE_ROOM", (size_t)-1);
    const size_t part = setting("TRUST_WRITE_PART", (size_t)-1);
    struct stat found;
    ssize_t done;

    *(void **)&real = dlsym(RTLD_NEXT, "write");
    if (!real || fstat(descriptor, &found) != 0 || !S_ISREG(found.st_mode))
        return real ? real(descriptor, bytes, n) : -1;
    if (written >= room) {
        errno = ENOSPC;
        return -1;
    }
    if (n > part)
        n = part;
    if (n > room - written)
        n = room - written;
    done = real(descriptor, bytes, n);
    written += done > 0 ? (size_t)done : 0;
    return done;
}
