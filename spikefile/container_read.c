/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/checked.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "spikefile/checksum.h"
#include "spikefile/container.h"

#define BLOCK_BYTES      ((size_t)256 * 1024)
#define BYTES_PER_THREAD ((size_t)1 << 20) /* less is not worth a thread */

/* A member that is read and waits for its checksum. */
typedef struct pending {
    tspk_sha256 state; /* after the .npy header */
    const void *data;          /* borrowed from the caller's arena */
    size_t n_data;
    const Spike__Tensor *tensor;
    bool is_damaged;
} pending;

struct tspk_container {
    pending *pending;
    size_t n_pending, cap_pending;
    struct archive *archive;
    int descriptor;
    uint64_t file_bytes;
    uint8_t *description;                  /* owned */
    char member[TSPK_MAX_MEMBER_NAME + 1]; /* the entry that was read last */
    uint64_t member_bytes;
    uint64_t members_bytes; /* of all entries so far: no byte of the file belongs to two */
};

/* libarchive gives errno for what the system refused, and its own codes for a broken archive. */
static tspk_status fail_archive(tspk_container *container, tspk_error *err)
{
    const char *text = archive_error_string(container->archive);
    const int number = archive_errno(container->archive);
    const bool is_system = number == EIO || number == EISDIR || number == EBADF || number == ESTALE;

    if (number == ENOMEM)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to read the archive");
    return TSPK_FAIL(err, is_system ? TSPK_IO : TSPK_FORMAT, "%s%s",
                     is_system || container->member[0] ? "" : "not a spike graph, or truncated: ",
                     text ? text : "the archive is damaged");
}

/* Steps to the next member. *is_there_out: false at the end of the archive. */
static tspk_status next_member(tspk_container *container, bool *is_there_out, tspk_error *err)
{
    struct archive_entry *entry;
    const int answer = archive_read_next_header(container->archive, &entry);
    const char *name;

    *is_there_out = answer != ARCHIVE_EOF;
    if (answer == ARCHIVE_EOF)
        return TSPK_OK;
    if (answer != ARCHIVE_OK)
        return fail_archive(container, err);
    name = archive_entry_pathname(entry);
    if (!name || !name[0] || strlen(name) > TSPK_MAX_MEMBER_NAME)
        return TSPK_FAIL(err, TSPK_FORMAT, "a member has no name, or one of more than %u bytes",
                         TSPK_MAX_MEMBER_NAME);
    memcpy(container->member, name, strlen(name) + 1);
    if (archive_entry_filetype(entry) != AE_IFREG || !archive_entry_size_is_set(entry) ||
        archive_entry_size(entry) < 0)
        return tspk_at_tensor(err, TSPK_FAIL(err, TSPK_FORMAT, "the member is not a plain file"),
                              container->member);
    container->member_bytes = (uint64_t)archive_entry_size(entry);
    if (container->member_bytes > container->file_bytes - container->members_bytes)
        return tspk_at_tensor(err,
                              TSPK_FAIL(err, TSPK_FORMAT,
                                        "a stored member of %llu bytes behind %llu of others, in "
                                        "a file of %llu",
                                        (unsigned long long)container->member_bytes,
                                        (unsigned long long)container->members_bytes,
                                        (unsigned long long)container->file_bytes),
                              container->member);
    container->members_bytes += container->member_bytes;
    return TSPK_OK;
}

/* Steps to the next member, which must have this name. */
static tspk_status expect_member(tspk_container *container, const char *name, tspk_error *err)
{
    bool is_there;

    TSPK_TRY(tspk_at_tensor(err, next_member(container, &is_there, err), name));
    if (!is_there)
        return tspk_at_tensor(err, TSPK_FAIL(err, TSPK_FORMAT, "the member is missing"), name);
    if (strcmp(container->member, name) != 0)
        return tspk_at_tensor(
            err, TSPK_FAIL(err, TSPK_FORMAT, "the member stands where %s is expected", name),
            container->member);
    return TSPK_OK;
}

/* All n bytes of what comes next in the member. */
static tspk_status read_bytes(tspk_container *container, void *to, size_t n, tspk_error *err)
{
    char *at = to;

    while (n) {
        const la_ssize_t got = archive_read_data(container->archive, at, n);

        if (got < 0)
            return fail_archive(container, err);
        if (got == 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "the member ends %zu bytes early", n);
        at += got;
        n -= (size_t)got;
    }
    return TSPK_OK;
}

static tspk_status read_description(tspk_container *container, size_t *n_bytes_out, tspk_error *err)
{
    uint8_t digest[TSPK_SHA256_BYTES];
    char expected[TSPK_CHECKSUM_TEXT_BYTES], found[TSPK_CHECKSUM_TEXT_BYTES];
    size_t n_bytes;

    TSPK_TRY(expect_member(container, TSPK_DESCRIPTION_MEMBER, err));
    if (container->member_bytes > TSPK_MAX_DESCRIPTION_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%llu bytes, at most %zu",
                         (unsigned long long)container->member_bytes, TSPK_MAX_DESCRIPTION_BYTES);
    n_bytes = (size_t)container->member_bytes;
    container->description = malloc(n_bytes ? n_bytes : 1);
    if (!container->description)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", n_bytes);
    TSPK_TRY(read_bytes(container, container->description, n_bytes, err));
    TSPK_TRY(expect_member(container, TSPK_CHECKSUM_MEMBER, err));
    if (container->member_bytes != sizeof found)
        return TSPK_FAIL(err, TSPK_FORMAT, "%llu bytes, expected %zu",
                         (unsigned long long)container->member_bytes, sizeof found);
    TSPK_TRY(read_bytes(container, found, sizeof found, err));
    tspk_checksum(container->description, n_bytes, NULL, 0, digest);
    tspk_checksum_text(digest, expected);
    if (memcmp(found, expected, sizeof found) != 0)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "the checksum does not match " TSPK_DESCRIPTION_MEMBER
                         ": the file is damaged");
    *n_bytes_out = n_bytes;
    return TSPK_OK;
}

static tspk_status open_archive(tspk_container *container, const char *path, tspk_error *err)
{
    struct stat found;

    container->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (container->descriptor < 0 || fstat(container->descriptor, &found) != 0)
        return TSPK_FAIL(err, TSPK_IO, "cannot be opened: %s", strerror(errno));
    if (!S_ISREG(found.st_mode))
        return TSPK_FAIL(err, TSPK_IO, "not a regular file");
    container->file_bytes = (uint64_t)found.st_size;
    container->archive = archive_read_new();
    if (!container->archive)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to read the archive");
    /* SHA-256 stands for CRC-32: every byte that is used is under one. */
    if (archive_read_support_format_zip_seekable(container->archive) != ARCHIVE_OK ||
        archive_read_set_format_option(container->archive, "zip", "ignorecrc32", "1") !=
            ARCHIVE_OK ||
        archive_read_open_fd(container->archive, container->descriptor, BLOCK_BYTES) != ARCHIVE_OK)
        return fail_archive(container, err);
    return TSPK_OK;
}

tspk_status tspk_container_open(const char *path, tspk_container **container_out,
                                const uint8_t **bytes_out, size_t *n_bytes_out, tspk_error *err)
{
    tspk_container *container = calloc(1, sizeof *container);
    tspk_status status;

    if (!container)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to read the archive");
    container->descriptor = -1;
    status = open_archive(container, path, err);
    if (status == TSPK_OK)
        status =
            tspk_at_tensor(err, read_description(container, n_bytes_out, err), container->member);
    if (status != TSPK_OK) {
        tspk_container_close(container);
        return status;
    }
    *bytes_out = container->description;
    *container_out = container;
    return TSPK_OK;
}

void tspk_container_close(tspk_container *container)
{
    if (!container)
        return;
    archive_read_free(container->archive);
    if (container->descriptor >= 0)
        close(container->descriptor);
    free(container->pending);
    free(container->description);
    free(container);
}

/* The description must ask for what the caller knows that it needs. */
static tspk_status check_description(const Spike__Tensor *tensor, const tspk_shape *shape,
                                     tspk_error *err)
{
    bool is_equal = tensor->n_shape == shape->rank;
    char text[128];
    size_t elems;

    if (tensor->sha256.len != TSPK_SHA256_BYTES)
        return TSPK_FAIL(err, TSPK_FORMAT, "a checksum of %zu bytes, expected %d",
                         tensor->sha256.len, TSPK_SHA256_BYTES);
    for (size_t i = 0; is_equal && i < tensor->n_shape; i++)
        is_equal = tensor->shape[i] == (uint64_t)shape->dim[i];
    if (!is_equal)
        return TSPK_FAIL(err, TSPK_SHAPE, "the description gives another shape than %s",
                         tspk_shape_text(shape, text, sizeof text));
    if (!tspk_checked_elems(shape->dim, shape->rank, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "shape %s has more than %zu elements",
                         tspk_shape_text(shape, text, sizeof text), TSPK_MAX_TENSOR_ELEMS);
    return TSPK_OK;
}

static tspk_status add_pending(tspk_container *container, const void *head, size_t n_head,
                               const void *data, size_t n_data, const Spike__Tensor *tensor,
                               tspk_error *err)
{
    pending *to;

    if (container->n_pending == container->cap_pending) {
        const size_t cap = container->cap_pending ? 2 * container->cap_pending : 256;
        pending *const more = realloc(container->pending, cap * sizeof *more);

        if (!more)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for checksums");
        container->pending = more;
        container->cap_pending = cap;
    }
    to = &container->pending[container->n_pending++];
    *to = (pending){.data = data, .n_data = n_data, .tensor = tensor};
    tspk_sha256_begin(&to->state);
    tspk_sha256_add(&to->state, head, n_head);
    return TSPK_OK;
}

/* The .npy header must be the one that the writer makes for this type and shape. */
static tspk_status read_member(tspk_container *container, const Spike__Tensor *tensor,
                               tspk_npy_type type, const tspk_shape *shape, tspk_arena *arena,
                               void **data_out, tspk_error *err)
{
    uint8_t head[TSPK_NPY_HEADER_MAX];
    const size_t n_head = tspk_npy_format(type, shape, head);
    const size_t n_data = tspk_shape_elems(shape) * tspk_npy_type_bytes(type);
    tspk_npy_header header;
    char text[128];
    void *data;

    if (container->member_bytes != (uint64_t)n_head + n_data)
        return TSPK_FAIL(err, TSPK_FORMAT, "%llu bytes, expected %zu",
                         (unsigned long long)container->member_bytes, n_head + n_data);
    TSPK_TRY(read_bytes(container, head, n_head, err));
    TSPK_TRY(tspk_npy_parse(head, n_head, &header, err));
    if (header.type != type || !tspk_shape_equal(&header.shape, shape) ||
        header.data_offset != n_head)
        return TSPK_FAIL(err, TSPK_SHAPE, "its .npy header gives another type or shape than %s",
                         tspk_shape_text(shape, text, sizeof text));
    data = tspk_arena_alloc(arena, n_data);
    if (!data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", n_data);
    TSPK_TRY(read_bytes(container, data, n_data, err));
    TSPK_TRY(add_pending(container, head, n_head, data, n_data, tensor, err));
    *data_out = data;
    return TSPK_OK;
}

tspk_status tspk_container_take(tspk_container *container, const Spike__Tensor *tensor,
                                const char *what, tspk_npy_type type, const tspk_shape *shape,
                                tspk_arena *arena, void **data_out, tspk_error *err)
{
    if (!tensor)
        return TSPK_FAIL(err, TSPK_FORMAT, "the description lacks the tensor \"%s\"", what);
    if (!tensor->member[0] || strlen(tensor->member) > TSPK_MAX_MEMBER_NAME)
        return TSPK_FAIL(err, TSPK_FORMAT, "the tensor \"%s\" names no member", what);
    TSPK_TRY(tspk_at_tensor(err, check_description(tensor, shape, err), tensor->member));
    TSPK_TRY(expect_member(container, tensor->member, err));
    return tspk_at_tensor(err, read_member(container, tensor, type, shape, arena, data_out, err),
                          tensor->member);
}

static void check_pending(void *context, size_t i, int worker)
{
    pending *const member = &((pending *)context)[i];
    uint8_t digest[TSPK_SHA256_BYTES];

    (void)worker;
    tspk_sha256_add(&member->state, member->data, member->n_data);
    tspk_sha256_end(&member->state, digest);
    member->is_damaged = memcmp(digest, member->tensor->sha256.data, sizeof digest) != 0;
}

tspk_status tspk_container_check(tspk_container *container, tspk_error *err)
{
    const size_t n = container->n_pending;
    int threads = tspk_opening_threads();
    size_t n_bytes = 0;

    for (size_t i = 0; i < n; i++)
        n_bytes += container->pending[i].n_data;
    if (n_bytes / BYTES_PER_THREAD < (size_t)threads)
        threads = (int)(n_bytes / BYTES_PER_THREAD);
    tspk_parallel_for(threads, n, check_pending, container->pending);
    container->n_pending = 0;
    for (size_t i = 0; i < n; i++)
        if (container->pending[i].is_damaged)
            return tspk_at_tensor(
                err,
                TSPK_FAIL(err, TSPK_FORMAT, "the checksum does not match: the file is damaged"),
                container->pending[i].tensor->member);
    return TSPK_OK;
}

tspk_status tspk_container_blame(tspk_container *container, tspk_status status, tspk_error *err)
{
    tspk_error damage;

    if (status == TSPK_OK)
        return TSPK_OK;
    tspk_error_init(&damage);
    if (tspk_container_check(container, &damage) == TSPK_OK)
        return status;
    if (err)
        *err = damage;
    return damage.status;
}

tspk_status tspk_container_finish(tspk_container *container, bool is_newer, tspk_error *err)
{
    bool is_there;

    TSPK_TRY(next_member(container, &is_there, err));
    if (is_there && !is_newer)
        return tspk_at_tensor(
            err, TSPK_FAIL(err, TSPK_FORMAT, "the description does not name this member"),
            container->member);
    return tspk_container_check(container, err);
}
