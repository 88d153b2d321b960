/* SPDX-License-Identifier: Apache-2.0 */
#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <string.h>

#include "core/atomic_file.h"
#include "core/fail.h"
#include "spikefile/checksum.h"
#include "spikefile/container.h"

#define PART_BYTES ((size_t)1 << 24)

/* NumPy's spelling of the element types. */
static const char *type_text(tspk_npy_type type)
{
    switch (type) {
    case TSPK_NPY_F4:
        return "<f4";
    case TSPK_NPY_I1:
        return "|i1";
    case TSPK_NPY_U1:
        return "|u1";
    case TSPK_NPY_I2:
        return "<i2";
    case TSPK_NPY_U4:
        return "<u4";
    case TSPK_NPY_I8:
        return "<i8";
    case TSPK_NPY_B1:
        return "|b1";
    default:
        return "";
    }
}

static Spike__Tensor *describe(tspk_arena *arena, const char *name, tspk_npy_type type,
                               const tspk_shape *shape, const tspk_member *member)
{
    Spike__Tensor *const tensor = tspk_arena_alloc(arena, sizeof *tensor);
    uint64_t *const dims = tspk_arena_array(arena, shape->rank, sizeof *dims);
    uint8_t *const digest = tspk_arena_alloc(arena, TSPK_SHA256_BYTES);

    if (!tensor || !dims || !digest)
        return NULL;
    spike__tensor__init(tensor);
    for (int i = 0; i < shape->rank; i++)
        dims[i] = (uint64_t)shape->dim[i];
    tspk_checksum(member->header, member->header_bytes, member->data, member->data_bytes, digest);
    tensor->member = (char *)(uintptr_t)name;
    tensor->dtype = (char *)(uintptr_t)type_text(type);
    tensor->n_shape = shape->rank;
    tensor->shape = dims;
    tensor->sha256.data = digest;
    tensor->sha256.len = TSPK_SHA256_BYTES;
    return tensor;
}

tspk_status tspk_members_add(tspk_members *members, const char *name, tspk_npy_type type,
                             const tspk_shape *shape, const void *data, Spike__Tensor **tensor_out,
                             tspk_error *err)
{
    tspk_member *const member = tspk_arena_alloc(members->arena, sizeof *member);
    Spike__Tensor *tensor;

    if (!member)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for member %s", name);
    member->name = tspk_arena_text(members->arena, name);
    member->header_bytes = tspk_npy_format(type, shape, member->header);
    member->data = data;
    member->data_bytes = tspk_shape_elems(shape) * tspk_npy_type_bytes(type);
    tensor = member->name ? describe(members->arena, member->name, type, shape, member) : NULL;
    if (!tensor)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for member %s", name);
    if (members->last)
        members->last->next = member;
    else
        members->first = member;
    members->last = member;
    *tensor_out = tensor;
    return TSPK_OK;
}

/* What the write callback needs. A failure is kept here and not told to libarchive, which would
 * leak its buffers: it goes on into nothing. */
typedef struct sink {
    tspk_atomic_file *file;
    tspk_error error;
} sink;

static la_ssize_t write_bytes(struct archive *archive, void *context, const void *bytes, size_t n)
{
    sink *const to = context;

    (void)archive;
    if (to->error.status == TSPK_OK)
        tspk_atomic_file_write(to->file, bytes, n, &to->error);
    return (la_ssize_t)n;
}

static bool put(struct archive *archive, const void *bytes, size_t n)
{
    const char *at = bytes;

    while (n) {
        const size_t part = n < PART_BYTES ? n : PART_BYTES;

        if (archive_write_data(archive, at, part) != (la_ssize_t)part)
            return false;
        at += part;
        n -= part;
    }
    return true;
}

/* Nothing of the entry depends on where, when or by whom it is written. */
static bool put_member(struct archive *archive, const char *name, const void *head, size_t n_head,
                       const void *body, size_t n_body)
{
    struct archive_entry *entry = archive_entry_new();
    bool is_fine;

    if (!entry)
        return false;
    archive_entry_set_pathname(entry, name);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_uid(entry, 0);
    archive_entry_set_gid(entry, 0);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_size(entry, (la_int64_t)(n_head + n_body));
    is_fine = archive_write_header(archive, entry) == ARCHIVE_OK && put(archive, head, n_head) &&
              put(archive, body, n_body) && archive_write_finish_entry(archive) == ARCHIVE_OK;
    archive_entry_free(entry);
    return is_fine;
}

static bool put_all(struct archive *archive, sink *to, const uint8_t *description, size_t n_bytes,
                    const tspk_members *members)
{
    uint8_t digest[TSPK_SHA256_BYTES];
    char text[TSPK_CHECKSUM_TEXT_BYTES];

    tspk_checksum(description, n_bytes, NULL, 0, digest);
    tspk_checksum_text(digest, text);
    if (archive_write_set_format_zip(archive) != ARCHIVE_OK ||
        archive_write_zip_set_compression_store(archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(archive, 1) != ARCHIVE_OK ||
        archive_write_open(archive, to, NULL, write_bytes, NULL) != ARCHIVE_OK ||
        !put_member(archive, TSPK_DESCRIPTION_MEMBER, description, n_bytes, NULL, 0) ||
        !put_member(archive, TSPK_CHECKSUM_MEMBER, text, sizeof text, NULL, 0))
        return false;
    for (const tspk_member *member = members->first; member; member = member->next)
        if (to->error.status != TSPK_OK ||
            !put_member(archive, member->name, member->header, member->header_bytes, member->data,
                        member->data_bytes))
            return false;
    return archive_write_close(archive) == ARCHIVE_OK;
}

tspk_status tspk_container_write(const char *path, const uint8_t *description, size_t n_bytes,
                                 const tspk_members *members, tspk_error *err)
{
    struct archive *archive = archive_write_new();
    sink to = {0};
    bool is_written;
    tspk_status status;

    if (!archive)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    status = tspk_atomic_file_open(path, &to.file, err);
    if (status != TSPK_OK) {
        archive_write_free(archive);
        return status;
    }
    is_written = put_all(archive, &to, description, n_bytes, members);
    if (to.error.status != TSPK_OK)
        status = TSPK_FAIL(err, to.error.status, "%s", to.error.message);
    else if (!is_written && (!archive_error_string(archive) || archive_errno(archive) == ENOMEM))
        status = TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    else if (!is_written)
        status = TSPK_FAIL(err, TSPK_IO, "%s: cannot be written: %s", path,
                           archive_error_string(archive));
    archive_write_free(archive);
    if (status == TSPK_OK)
        return tspk_atomic_file_close(to.file, true, err);
    tspk_atomic_file_close(to.file, false, NULL);
    return status;
}
