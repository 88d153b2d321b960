/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/trust/failing_heap.h"

#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

/* glibc's own heap, which these replace by name. */
void *__libc_malloc(size_t bytes);
void *__libc_calloc(size_t n, size_t bytes);
void *__libc_realloc(void *p, size_t bytes);
void *__libc_memalign(size_t alignment, size_t bytes);
void __libc_free(void *p);

enum { MOST_RANGES = 32, MOST_FOREIGN = 512 };

static struct {
    uintptr_t first, last;
} excluded[MOST_RANGES];
static int n_excluded;
static atomic_bool is_armed, has_failed;
static atomic_size_t n_counted, failing;
static atomic_long n_live;
static _Atomic(void *) foreign[MOST_FOREIGN]; /* of the excluded libraries: not in n_live */
static atomic_int n_foreign;                  /* slots that were ever used */

static int add_object(struct dl_phdr_info *info, size_t size, void *context)
{
    static const char *const names[] = {"libgomp", "libomp", "libopenblas", "libgfortran",
                                        "ld-linux"};

    (void)size;
    (void)context;
    for (size_t k = 0; k < sizeof names / sizeof *names; k++)
        for (int i = 0; strstr(info->dlpi_name, names[k]) && i < info->dlpi_phnum; i++)
            if (info->dlpi_phdr[i].p_type == PT_LOAD && n_excluded < MOST_RANGES) {
                excluded[n_excluded].first = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
                excluded[n_excluded].last = excluded[n_excluded].first + info->dlpi_phdr[i].p_memsz;
                n_excluded++;
            }
    return 0;
}

void failing_heap_init(void)
{
    dl_iterate_phdr(add_object, NULL);
}

void failing_heap_arm(size_t n)
{
    n_counted = 0;
    failing = n;
    has_failed = false;
    is_armed = true;
}

size_t failing_heap_disarm(bool *has_failed_out)
{
    is_armed = false;
    *has_failed_out = has_failed;
    return n_counted;
}

long failing_heap_live(void)
{
    return n_live;
}

static bool is_excluded(const void *caller)
{
    const uintptr_t at = (uintptr_t)caller;

    for (int i = 0; i < n_excluded; i++)
        if (at >= excluded[i].first && at < excluded[i].last)
            return true;
    return false;
}

static bool is_refused(const void *caller)
{
    if (!is_armed || is_excluded(caller) || ++n_counted != failing)
        return false;
    has_failed = true;
    errno = ENOMEM;
    return true;
}

/* p is one of the excluded libraries' own; it is forgotten. */
static bool forget_foreign(void *p)
{
    for (int i = 0; i < n_foreign; i++) {
        void *found = p;

        if (atomic_compare_exchange_strong(&foreign[i], &found, NULL))
            return true;
    }
    return false;
}

static void *counted(void *p, const void *caller)
{
    if (!p)
        return NULL;
    for (int i = 0; is_excluded(caller) && i < MOST_FOREIGN; i++) {
        void *empty = NULL;

        if (atomic_compare_exchange_strong(&foreign[i], &empty, p)) {
            if (i >= n_foreign)
                n_foreign = i + 1;
            return p;
        }
    }
    n_live++;
    return p;
}

/* The shared libraries must find what follows. */
#pragma GCC visibility push(default)

void *malloc(size_t bytes)
{
    return is_refused(__builtin_return_address(0))
               ? NULL
               : counted(__libc_malloc(bytes), __builtin_return_address(0));
}

void *calloc(size_t n, size_t bytes)
{
    return is_refused(__builtin_return_address(0))
               ? NULL
               : counted(__libc_calloc(n, bytes), __builtin_return_address(0));
}

void *realloc(void *p, size_t bytes)
{
    void *to;

    if (is_refused(__builtin_return_address(0)))
        return NULL;
    to = __libc_realloc(p, bytes);
    if (p && (to || !bytes) && !forget_foreign(p))
        n_live--;
    return counted(to, __builtin_return_address(0));
}

void *aligned_alloc(size_t alignment, size_t bytes)
{
    return is_refused(__builtin_return_address(0))
               ? NULL
               : counted(__libc_memalign(alignment, bytes), __builtin_return_address(0));
}

void *memalign(size_t alignment, size_t bytes);
void *memalign(size_t alignment, size_t bytes)
{
    return is_refused(__builtin_return_address(0))
               ? NULL
               : counted(__libc_memalign(alignment, bytes), __builtin_return_address(0));
}

int posix_memalign(void **p_out, size_t alignment, size_t bytes)
{
    void *const p = is_refused(__builtin_return_address(0))
                        ? NULL
                        : counted(__libc_memalign(alignment, bytes), __builtin_return_address(0));

    if (!p)
        return ENOMEM;
    *p_out = p;
    return 0;
}

void free(void *p)
{
    const int number = errno;

    if (p && !forget_foreign(p))
        n_live--;
    __libc_free(p);
    errno = number;
}

#pragma GCC visibility pop
