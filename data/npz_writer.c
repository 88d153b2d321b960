/* SPDX-License-Identifier: Apache-2.0 */
/* .npz: a zip of stored .npy members, with nothing in it that depends on when or where it is made.
 */
#include "data/npy.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <locale.h>
#include <stdlib.h>
#include <string.h>

#include "core/atomic_file.h"
#include "core/fail.h"

struct tspk_npz_writer {
    tspk_atomic_file *file;
    struct archive *archive;
    char *path;
    locale_t utf8;     /* (locale_t)0 where the system has none */
    tspk_error error;  /* of the write callback */
    bool is_abandoned; /* what comes from now on is dropped */
};

/* libarchive leaks its buffers when a write fails: it never hears of one. The first failure is
 * kept, what comes after it is dropped, and has_failed() is asked after every call. */
static la_ssize_t write_bytes(struct archive *archive, void *context, const void *bytes, size_t n)
{
    tspk_npz_writer *writer = context;

    (void)archive;
    if (writer->error.status == TSPK_OK && !writer->is_abandoned)
        tspk_atomic_file_write(writer->file, bytes, n, &writer->error);
    return (la_ssize_t)n;
}

static bool has_failed(const tspk_npz_writer *writer)
{
    return writer->error.status != TSPK_OK;
}

/* The reason that the file gave, or else libarchive's. */
static tspk_status fail_archive(tspk_npz_writer *writer, tspk_error *err)
{
    const char *text = archive_error_string(writer->archive);

    if (writer->error.status != TSPK_OK)
        return TSPK_FAIL(err, writer->error.status, "%s", writer->error.message);
    if (!text || archive_errno(writer->archive) == ENOMEM)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", writer->path);
    return TSPK_FAIL(err, TSPK_IO, "%s: cannot be written: %s", writer->path, text);
}

static void destroy(tspk_npz_writer *writer)
{
    archive_write_free(writer->archive);
    if (writer->utf8)
        freelocale(writer->utf8);
    free(writer->path);
    free(writer);
}

tspk_status tspk_npz_writer_open(const char *path, tspk_npz_writer **writer_out, tspk_error *err)
{
    tspk_npz_writer *writer = calloc(1, sizeof *writer);
    tspk_status status;

    if (!writer)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    writer->utf8 = newlocale(LC_CTYPE_MASK, "C.UTF-8", (locale_t)0);
    writer->path = strdup(path);
    writer->archive = archive_write_new();
    if (!writer->path || !writer->archive) {
        destroy(writer);
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to write it", path);
    }
    status = tspk_atomic_file_open(path, &writer->file, err);
    if (status != TSPK_OK) {
        destroy(writer);
        return status;
    }
    if (archive_write_set_format_zip(writer->archive) != ARCHIVE_OK ||
        archive_write_zip_set_compression_store(writer->archive) != ARCHIVE_OK ||
        archive_write_set_bytes_in_last_block(writer->archive, 1) != ARCHIVE_OK ||
        archive_write_open(writer->archive, writer, NULL, write_bytes, NULL) != ARCHIVE_OK) {
        status = fail_archive(writer, err);
        tspk_atomic_file_close(writer->file, false, NULL);
        destroy(writer);
        return status;
    }
    *writer_out = writer;
    return TSPK_OK;
}

/* Names are UTF-8; whether the member says so must not depend on the caller's locale. */
static int write_header(tspk_npz_writer *writer, struct archive_entry *entry)
{
    const locale_t before = writer->utf8 ? uselocale(writer->utf8) : (locale_t)0;
    const int code = archive_write_header(writer->archive, entry);

    if (before)
        uselocale(before);
    return code;
}

static bool write_all(struct archive *archive, const void *data, size_t n)
{
    const char *at = data;

    while (n) {
        const size_t part = n < ((size_t)1 << 24) ? n : (size_t)1 << 24;

        if (archive_write_data(archive, at, part) != (la_ssize_t)part)
            return false;
        at += part;
        n -= part;
    }
    return true;
}

tspk_status tspk_npz_writer_add(tspk_npz_writer *writer, const char *name, tspk_npy_type type,
                                const tspk_shape *shape, const void *data, tspk_error *err)
{
    uint8_t header[TSPK_NPY_HEADER_MAX];
    const size_t header_bytes = tspk_npy_format(type, shape, header);
    const size_t data_bytes = tspk_shape_elems(shape) * tspk_npy_type_bytes(type);
    const size_t length = strlen(name);
    struct archive_entry *entry = archive_entry_new();
    char *member = malloc(length + sizeof ".npy");
    tspk_status status = TSPK_OK;

    if (!entry || !member) {
        status = TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for member %s", writer->path, name);
        goto done;
    }
    memcpy(member, name, length);
    memcpy(member + length, ".npy", sizeof ".npy");
    archive_entry_set_pathname(entry, member);
    archive_entry_set_filetype(entry, AE_IFREG);
    archive_entry_set_perm(entry, 0644);
    archive_entry_set_mtime(entry, 0, 0);
    archive_entry_set_size(entry, (la_int64_t)(header_bytes + data_bytes));
    if (write_header(writer, entry) != ARCHIVE_OK ||
        !write_all(writer->archive, header, header_bytes) ||
        !write_all(writer->archive, data, data_bytes) ||
        archive_write_finish_entry(writer->archive) != ARCHIVE_OK || has_failed(writer))
        status = fail_archive(writer, err);
done:
    free(member);
    archive_entry_free(entry);
    return status;
}

tspk_status tspk_npz_writer_close(tspk_npz_writer *writer, bool is_kept, tspk_error *err)
{
    tspk_status status = TSPK_OK;

    if (!writer)
        return TSPK_OK;
    writer->is_abandoned = !is_kept;
    if ((archive_write_close(writer->archive) != ARCHIVE_OK || has_failed(writer)) && is_kept)
        status = fail_archive(writer, err);
    if (status == TSPK_OK)
        status = tspk_atomic_file_close(writer->file, is_kept, err);
    else
        tspk_atomic_file_close(writer->file, false, NULL);
    destroy(writer);
    return status;
}
