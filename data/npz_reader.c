/* SPDX-License-Identifier: Apache-2.0 */
#include "data/npz_reader.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

struct tspk_npz_reader {
    struct archive *archive;
    struct archive_entry *entry; /* of the current member */
    const char *name;            /* its path, in the entry */
    char *path;
    size_t n_members;
};

static tspk_status fail_archive(const tspk_npz_reader *reader, tspk_error *err)
{
    const char *text = archive_error_string(reader->archive);
    const int number = archive_errno(reader->archive);
    const tspk_status status = number == ENOMEM                    ? TSPK_NOMEM
                               : number == EIO || number == EISDIR ? TSPK_IO
                                                                   : TSPK_FORMAT;

    if (reader->name)
        return TSPK_FAIL(err, status, "%s: %s: %s", reader->path, reader->name,
                         text ? text : "broken");
    return TSPK_FAIL(err, status, "%s: %s", reader->path, text ? text : "not a zip file");
}

tspk_status tspk_npz_reader_open(const char *path, tspk_npz_reader **reader_out, tspk_error *err)
{
    tspk_npz_reader *reader;
    FILE *file = fopen(path, "rb"); /* for the reason in errno, which libarchive puts into words */

    if (!file)
        return TSPK_FAIL(err, TSPK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    fclose(file);
    reader = calloc(1, sizeof *reader);
    if (reader) {
        reader->path = strdup(path);
        reader->archive = archive_read_new();
    }
    if (!reader || !reader->path || !reader->archive) {
        tspk_npz_reader_close(reader);
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory to read it", path);
    }
    if (archive_read_support_format_zip_seekable(reader->archive) != ARCHIVE_OK ||
        archive_read_open_filename(reader->archive, path, (size_t)1 << 18) != ARCHIVE_OK) {
        const tspk_status status = fail_archive(reader, err);

        tspk_npz_reader_close(reader);
        return status;
    }
    *reader_out = reader;
    return TSPK_OK;
}

void tspk_npz_reader_close(tspk_npz_reader *reader)
{
    if (!reader)
        return;
    archive_read_free(reader->archive);
    free(reader->path);
    free(reader);
}

tspk_status tspk_npz_reader_next(tspk_npz_reader *reader, const char **name_out, tspk_error *err)
{
    for (;;) {
        int code;

        reader->name = NULL;
        code = archive_read_next_header(reader->archive, &reader->entry);
        if (code == ARCHIVE_EOF) {
            *name_out = NULL;
            return TSPK_OK;
        }
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return fail_archive(reader, err);
        if (++reader->n_members > TSPK_MAX_ZIP_MEMBERS)
            return TSPK_FAIL(err, TSPK_LIMIT, "%s: more than %u members", reader->path,
                             TSPK_MAX_ZIP_MEMBERS);
        if (archive_entry_filetype(reader->entry) != AE_IFREG)
            continue;
        reader->name = archive_entry_pathname(reader->entry);
        if (!reader->name)
            reader->name = archive_entry_pathname_utf8(reader->entry);
        if (!reader->name)
            return TSPK_FAIL(err, TSPK_FORMAT, "%s: member %zu has no readable name", reader->path,
                             reader->n_members);
        *name_out = reader->name;
        return TSPK_OK;
    }
}

tspk_status tspk_npz_reader_read(tspk_npz_reader *reader, size_t cap_bytes, uint8_t **bytes_out,
                                 size_t *n_out, tspk_error *err)
{
    size_t room = 0, n = 0;
    uint8_t *bytes = NULL;

    if (archive_entry_size_is_set(reader->entry) &&
        (uint64_t)archive_entry_size(reader->entry) > cap_bytes)
        return TSPK_FAIL(err, TSPK_LIMIT, "%s: %s: %jd bytes, at most %zu", reader->path,
                         reader->name, (intmax_t)archive_entry_size(reader->entry), cap_bytes);
    for (;;) {
        la_ssize_t got;

        if (n == room) {
            uint8_t *grown;

            room = room ? room * 2 : (size_t)1 << 16;
            if (room > cap_bytes)
                room = cap_bytes + 1;
            grown = realloc(bytes, room);
            if (!grown) {
                free(bytes);
                return TSPK_FAIL(err, TSPK_NOMEM, "%s: %s: no memory for %zu bytes", reader->path,
                                 reader->name, room);
            }
            bytes = grown;
        }
        got = archive_read_data(reader->archive, bytes + n, room - n);
        if (got < 0) {
            free(bytes);
            return fail_archive(reader, err);
        }
        if (got == 0)
            break;
        n += (size_t)got;
        if (n > cap_bytes) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_LIMIT, "%s: %s: more than %zu bytes", reader->path,
                             reader->name, cap_bytes);
        }
    }
    *bytes_out = bytes;
    *n_out = n;
    return TSPK_OK;
}

tspk_status tspk_npz_read_member(const char *path, const char *name, size_t cap_bytes,
                                 uint8_t **bytes_out, size_t *n_out, tspk_error *err)
{
    tspk_npz_reader *reader;
    uint8_t *bytes = NULL;
    size_t n = 0;
    tspk_status status;

    TSPK_TRY(tspk_npz_reader_open(path, &reader, err));
    for (;;) {
        const char *found;

        status = tspk_npz_reader_next(reader, &found, err);
        if (status != TSPK_OK || !found)
            break;
        if (strcmp(found, name) != 0)
            continue;
        if (bytes)
            status = TSPK_FAIL(err, TSPK_FORMAT, "%s: %s occurs twice", path, name);
        else
            status = tspk_npz_reader_read(reader, cap_bytes, &bytes, &n, err);
        if (status != TSPK_OK)
            break;
    }
    tspk_npz_reader_close(reader);
    if (status == TSPK_OK && !bytes)
        status = TSPK_FAIL(err, TSPK_FORMAT, "%s: holds no member %s", path, name);
    if (status != TSPK_OK) {
        free(bytes);
        return status;
    }
    *bytes_out = bytes;
    *n_out = n;
    return TSPK_OK;
}

static char *member_name(const char *name)
{
    const size_t length = strlen(name);
    char *member = malloc(length + sizeof ".npy");

    if (member) {
        memcpy(member, name, length);
        memcpy(member + length, ".npy", sizeof ".npy");
    }
    return member;
}

tspk_status tspk_npz_read_array(const char *path, const char *name, size_t cap_bytes,
                                tspk_npy_header *header_out, uint8_t **bytes_out, tspk_error *err)
{
    char *member = member_name(name);
    tspk_npy_header header;
    uint8_t *bytes = NULL;
    size_t n = 0;
    tspk_status status;

    if (!member)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for a name", path);
    status = tspk_npz_read_member(path, member, cap_bytes, &bytes, &n, err);
    if (status == TSPK_OK) {
        status = tspk_npy_parse(bytes, n, &header, err);
        if (status == TSPK_OK && header.data_bytes != n - header.data_offset)
            status = TSPK_FAIL(err, TSPK_FORMAT, "%zu data bytes, the header says %zu",
                               n - header.data_offset, header.data_bytes);
        if (status != TSPK_OK) {
            tspk_in_file(err, status, member);
            tspk_in_file(err, status, path);
        }
    }
    free(member);
    if (status != TSPK_OK) {
        free(bytes);
        return status;
    }
    *header_out = header;
    *bytes_out = bytes;
    return TSPK_OK;
}

tspk_status tspk_npz_has_member(const char *path, const char *name, bool *is_there_out,
                                tspk_error *err)
{
    tspk_npz_reader *reader;
    tspk_status status;
    const char *found = "";
    bool is_there = false;

    TSPK_TRY(tspk_npz_reader_open(path, &reader, err));
    do {
        status = tspk_npz_reader_next(reader, &found, err);
        is_there = status == TSPK_OK && found && strcmp(found, name) == 0;
    } while (status == TSPK_OK && found && !is_there);
    tspk_npz_reader_close(reader);
    if (status == TSPK_OK)
        *is_there_out = is_there;
    return status;
}
