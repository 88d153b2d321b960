/* SPDX-License-Identifier: Apache-2.0 */
/* A .tar (packed or not) or .zip of images. Labels: labels.csv, else `key.cls` or `key.json` beside
 * `key.jpg` (WebDataset), else class folders. Images of a plain .tar are read where they lie; those
 * of a packed archive are kept in memory as they are encoded. */
#include "data/source.h"

#include <archive.h>
#include <archive_entry.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cjson/cJSON.h>

#include "core/fail.h"
#include "data/file_bytes.h"

#define MOST_NOTE_BYTES 65536 /* of a .json beside an image; longer ones are no labels */

typedef struct member {
    uint8_t *bytes;  /* malloc'd, or NULL: in the file */
    uint64_t offset; /* [bytes] in the file */
    size_t size;     /* [bytes] */
} member;

typedef struct text_list {
    tspk_text_member *items;
    size_t n, room;
} text_list;

typedef struct archive_source {
    tspk_source base;
    int descriptor;
    member *members; /* [n_members] by payload */
    size_t n_members, room;
    size_t kept_bytes;
    tspk_text_member csv, classes; /* labels.csv, classes.txt; bytes NULL: absent */
    text_list keys;                /* the .cls members */
    text_list notes;               /* the .json members that have a label, as its digits */
    text_list records;             /* the .bin members that can be CIFAR's */
} archive_source;

static tspk_status read_at(const archive_source *source, const member *from, uint8_t *bytes,
                           size_t n, tspk_error *err)
{
    size_t have = 0;

    while (have < n) {
        const ssize_t got =
            pread(source->descriptor, bytes + have, n - have, (off_t)(from->offset + have));

        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return TSPK_FAIL(err, TSPK_IO, "cannot be read: %s", strerror(errno));
        if (got == 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "%zu of %zu bytes are missing", n - have, n);
        have += (size_t)got;
    }
    return TSPK_OK;
}

static tspk_status load(const tspk_source *base, size_t i, tspk_content *content_out,
                        tspk_error *err)
{
    const archive_source *source = (const archive_source *)base;
    const member *from = &source->members[base->items[i].payload];
    tspk_content content = {0};
    uint8_t *bytes = NULL;
    tspk_status status = TSPK_OK;

    if (!from->bytes) {
        bytes = malloc(from->size ? from->size : 1);
        status = bytes ? read_at(source, from, bytes, from->size, err)
                       : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu bytes", from->size);
    }
    if (status == TSPK_OK)
        status =
            tspk_image_decode(from->bytes ? from->bytes : bytes, from->size, &content.image, err);
    free(bytes);
    TSPK_TRY(status);
    *content_out = content;
    return TSPK_OK;
}

static void text_done(tspk_text_member *text)
{
    free(text->name);
    free(text->bytes);
}

static void list_done(text_list *list)
{
    for (size_t i = 0; i < list->n; i++)
        text_done(&list->items[i]);
    free(list->items);
}

static void done(tspk_source *base)
{
    archive_source *source = (archive_source *)base;

    for (size_t i = 0; i < source->n_members; i++)
        free(source->members[i].bytes);
    list_done(&source->keys);
    list_done(&source->notes);
    list_done(&source->records);
    free(source->members);
    text_done(&source->csv);
    text_done(&source->classes);
    if (source->descriptor >= 0)
        close(source->descriptor);
}

static const tspk_source_ops ops = {load, done};

static tspk_status fail_archive(struct archive *archive, const char *name, tspk_error *err)
{
    const char *text = archive_error_string(archive);
    const tspk_status status = archive_errno(archive) == ENOMEM ? TSPK_NOMEM
                               : archive_errno(archive) == EIO  ? TSPK_IO
                                                                : TSPK_FORMAT;

    return TSPK_FAIL(err, status, "%s%s%s", name ? name : "", name ? ": " : "",
                     text ? text : "no archive");
}

/* Reads the current member whole. */
static tspk_status read_member(struct archive *archive, const char *name, size_t cap,
                               uint8_t **bytes_out, size_t *n_out, tspk_error *err)
{
    size_t n = 0, room = (size_t)1 << 16;
    uint8_t *bytes = malloc(room);

    while (bytes) {
        const la_ssize_t got = archive_read_data(archive, bytes + n, room - n);

        if (got < 0) {
            free(bytes);
            return fail_archive(archive, name, err);
        }
        n += (size_t)got;
        if (n > cap) {
            free(bytes);
            return TSPK_FAIL(err, TSPK_LIMIT, "%s: more than %zu bytes", name, cap);
        }
        if (got == 0) {
            *bytes_out = bytes;
            *n_out = n;
            return TSPK_OK;
        }
        if (n == room) {
            uint8_t *grown = realloc(bytes, room *= 2);

            if (!grown)
                free(bytes);
            bytes = grown;
        }
    }
    return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for %zu bytes", name, room);
}

/* Does the member that starts here lie in the file as it is? Compared, not assumed. */
static bool lies_in_file(const archive_source *source, struct archive *archive,
                         struct archive_entry *entry, member *found)
{
    const void *block;
    size_t n;
    la_int64_t offset;
    uint8_t *there;
    bool is_equal;

    if (archive_filter_count(archive) != 1 || archive_entry_sparse_count(entry) != 0 ||
        (archive_format(archive) & ARCHIVE_FORMAT_BASE_MASK) != ARCHIVE_FORMAT_TAR)
        return false;
    found->offset = (uint64_t)archive_filter_bytes(archive, -1);
    found->size = (size_t)archive_entry_size(entry);
    if (archive_read_data_block(archive, &block, &n, &offset) != ARCHIVE_OK || offset != 0)
        return false;
    if (n > found->size)
        n = found->size;
    there = malloc(n ? n : 1);
    is_equal =
        there && read_at(source, found, there, n, NULL) == TSPK_OK && memcmp(there, block, n) == 0;
    free(there);
    return is_equal;
}

static tspk_status add_image(archive_source *source, struct archive *archive,
                             struct archive_entry *entry, const char *name, tspk_error *err)
{
    member *found;

    if (source->n_members == source->room) {
        const size_t room = source->room ? source->room * 2 : 64;
        member *members = realloc(source->members, room * sizeof *members);

        if (!members)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", room);
        source->members = members;
        source->room = room;
    }
    found = &source->members[source->n_members];
    *found = (member){0};
    TSPK_TRY(tspk_source_add(&source->base, name, source->n_members, err));
    source->n_members++;
    /* The plain .tar: nothing is kept. */
    if (archive_entry_size(entry) > 0 &&
        (uint64_t)archive_entry_size(entry) <= TSPK_MAX_IMAGE_BYTES &&
        lies_in_file(source, archive, entry, found))
        return TSPK_OK;
    found->size = 0;
    TSPK_TRY(read_member(archive, name, TSPK_MAX_IMAGE_BYTES, &found->bytes, &found->size, err));
    source->kept_bytes += found->size;
    if (source->kept_bytes > TSPK_MAX_ARCHIVE_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu bytes of images", TSPK_MAX_ARCHIVE_BYTES);
    return TSPK_OK;
}

static tspk_status read_text(struct archive *archive, const char *name, size_t cap,
                             tspk_text_member *text_out, tspk_error *err)
{
    tspk_text_member text = {0};

    TSPK_TRY(read_member(archive, name, cap, &text.bytes, &text.n, err));
    text.name = strdup(name);
    if (!text.name) {
        free(text.bytes);
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for it", name);
    }
    *text_out = text;
    return TSPK_OK;
}

static tspk_status add_text(text_list *list, struct archive *archive, const char *name, size_t cap,
                            tspk_error *err)
{
    if (list->n == TSPK_MAX_SAMPLES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu labels", TSPK_MAX_SAMPLES);
    if (list->n == list->room) {
        const size_t room = list->room ? list->room * 2 : 64;
        tspk_text_member *items = realloc(list->items, room * sizeof *items);

        if (!items)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu labels", room);
        list->items = items;
        list->room = room;
    }
    TSPK_TRY(read_text(archive, name, cap, &list->items[list->n], err));
    list->n++;
    return TSPK_OK;
}

static tspk_status add_records(archive_source *source, struct archive *archive,
                               struct archive_entry *entry, const char *name, tspk_error *err)
{
    const la_int64_t size = archive_entry_size(entry);

    if (size < 0 || (uint64_t)size > TSPK_MAX_ARCHIVE_BYTES || !tspk_cifar_has_size((size_t)size))
        return TSPK_OK;
    TSPK_TRY(add_text(&source->records, archive, name, (size_t)size, err));
    source->kept_bytes += (size_t)size;
    if (source->kept_bytes > TSPK_MAX_ARCHIVE_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu bytes of images", TSPK_MAX_ARCHIVE_BYTES);
    return TSPK_OK;
}

/* Is a part of the path hidden (macOS puts `._name` beside files)? */
static bool is_hidden(const char *name)
{
    return name[0] == '.' || strstr(name, "/.") != NULL || strncmp(name, "__MACOSX/", 9) == 0;
}

/* `key.json` with a member "label" or "cls"; any other says nothing of labels. */
static tspk_status add_note(text_list *list, struct archive *archive, const char *name,
                            tspk_error *err)
{
    tspk_text_member *added;
    const cJSON *label;
    cJSON *json;
    char *digits = NULL;

    TSPK_TRY(add_text(list, archive, name, MOST_NOTE_BYTES, err));
    added = &list->items[list->n - 1];
    json = cJSON_ParseWithLength((const char *)added->bytes, added->n);
    label = cJSON_GetObjectItemCaseSensitive(json, "label");
    if (!label)
        label = cJSON_GetObjectItemCaseSensitive(json, "cls");
    if (cJSON_IsNumber(label))
        digits = cJSON_PrintUnformatted(label);
    cJSON_Delete(json);
    if (!digits) {
        text_done(added);
        list->n--;
        return TSPK_OK;
    }
    free(added->bytes);
    added->bytes = (uint8_t *)digits;
    added->n = strlen(digits);
    return TSPK_OK;
}

static tspk_status add_member(archive_source *source, struct archive *archive,
                              struct archive_entry *entry, tspk_error *err)
{
    const char *name = archive_entry_pathname(entry);

    if (!name)
        name = archive_entry_pathname_utf8(entry);
    if (archive_entry_filetype(entry) != AE_IFREG || archive_entry_hardlink(entry))
        return TSPK_OK;
    if (!name)
        return TSPK_FAIL(err, TSPK_FORMAT, "a member has no readable name");
    while (strncmp(name, "./", 2) == 0)
        name += 2;
    if (is_hidden(name))
        return TSPK_OK;
    if (tspk_image_has_extension(name))
        return add_image(source, archive, entry, name, err);
    if (tspk_path_ends_with(name, ".cls"))
        return add_text(&source->keys, archive, name, 64, err);
    if (tspk_path_ends_with(name, ".json") && archive_entry_size(entry) <= MOST_NOTE_BYTES)
        return add_note(&source->notes, archive, name, err);
    if (tspk_path_ends_with(name, ".bin"))
        return add_records(source, archive, entry, name, err);
    if (strcmp(name + tspk_path_folder_length(name), "labels.csv") == 0) {
        if (source->csv.bytes)
            return TSPK_FAIL(err, TSPK_FORMAT, "both %s and %s are there", source->csv.name, name);
        return read_text(archive, name, TSPK_MAX_LABELS_BYTES, &source->csv, err);
    }
    if (strcmp(name + tspk_path_folder_length(name), "classes.txt") == 0 && !source->classes.bytes)
        return read_text(archive, name, TSPK_MAX_LABELS_BYTES, &source->classes, err);
    return TSPK_OK;
}

static tspk_status index_members(archive_source *source, struct archive *archive, tspk_error *err)
{
    for (;;) {
        struct archive_entry *entry;
        const int code = archive_read_next_header(archive, &entry);

        if (code == ARCHIVE_EOF)
            return TSPK_OK;
        if (code != ARCHIVE_OK && code != ARCHIVE_WARN)
            return fail_archive(archive, NULL, err);
        if (archive_filter_bytes(archive, 0) > TSPK_MAX_ARCHIVE_STREAM ||
            archive_entry_size(entry) > TSPK_MAX_ARCHIVE_STREAM)
            return TSPK_FAIL(err, TSPK_LIMIT, "unpacks to more than %jd bytes",
                             (intmax_t)TSPK_MAX_ARCHIVE_STREAM);
        TSPK_TRY(add_member(source, archive, entry, err));
    }
}

static tspk_status read_archive(archive_source *source, const char *path, tspk_error *err)
{
    struct archive *archive = archive_read_new();
    tspk_status status;

    if (!archive)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for an archive");
    /* Only what libarchive does by itself: no program is started. */
    archive_read_support_filter_gzip(archive);
    archive_read_support_filter_bzip2(archive);
    archive_read_support_filter_xz(archive);
    archive_read_support_filter_zstd(archive);
    archive_read_support_format_tar(archive);
    archive_read_support_format_zip_seekable(archive);
    if (archive_read_open_filename(archive, path, (size_t)1 << 18) != ARCHIVE_OK)
        status = fail_archive(archive, NULL, err);
    else
        status = index_members(source, archive, err);
    archive_read_free(archive);
    return status;
}

/* `key.cls` labels the image `key.jpg`: the image whose name is `key` and an extension. */
static tspk_status label_by_key(const tspk_source *base, const text_list *keys, const char *ending,
                                tspk_error *err)
{
    for (size_t k = 0; k < keys->n; k++) {
        const tspk_text_member *key = &keys->items[k];
        const size_t stem = strlen(key->name) - strlen(ending);
        size_t low = 0, high = base->n;
        tspk_source_item *item = NULL;
        int64_t label;
        tspk_status status;

        while (low < high) { /* the first name that is not below `key.` */
            const size_t middle = low + (high - low) / 2;

            if (strncmp(base->items[middle].name, key->name, stem + 1) < 0)
                low = middle + 1;
            else
                high = middle;
        }
        for (; low < base->n && strncmp(base->items[low].name, key->name, stem + 1) == 0; low++)
            if (!strchr(base->items[low].name + stem + 1, '.') &&
                !strchr(base->items[low].name + stem + 1, '/'))
                item = &base->items[low];
        if (!item)
            return TSPK_FAIL(err, TSPK_FORMAT, "%s: there is no such image (JPEG or PNG)",
                             key->name);
        if (item->label >= 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "%s: its image has a label already", key->name);
        status = tspk_label_parse((const char *)key->bytes, key->n, &label, err);
        TSPK_TRY(tspk_in_file(err, status, key->name));
        item->label = label;
    }
    for (size_t i = 0; i < base->n; i++)
        if (base->items[i].label < 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "image %s has no %s", base->items[i].name, ending);
    return TSPK_OK;
}

/* Is there nothing but one folder with images in it? Then it is what was packed, and no class. */
static bool is_packed_folder(const tspk_source *base)
{
    const size_t length = tspk_path_folder_length(base->items[0].name);

    for (size_t i = 0; i < base->n; i++)
        if (tspk_path_folder_length(base->items[i].name) != length ||
            strncmp(base->items[i].name, base->items[0].name, length) != 0)
            return false;
    return length && !memchr(base->items[0].name, '/', length - 1);
}

/* Leading folders that all images share and that hold no image themselves: a packed folder is
 * seldom packed from the inside. */
static size_t count_shared_folders(const tspk_source *base)
{
    const char *first = base->items[0].name;
    size_t n_shared = 0;

    for (const char *end = strchr(first, '/'); end; end = strchr(end + 1, '/')) {
        const size_t length = (size_t)(end - first) + 1;

        for (size_t i = 0; i < base->n; i++) {
            const char *name = base->items[i].name;

            if (strncmp(name, first, length) != 0 || !strchr(name + length, '/'))
                return n_shared;
        }
        n_shared++;
    }
    return n_shared;
}

static tspk_status label(archive_source *source, tspk_error *err)
{
    tspk_source *base = &source->base;

    if (source->csv.bytes)
        TSPK_TRY(tspk_source_label_by_csv(base, source->csv.bytes, source->csv.n, source->csv.name,
                                          err));
    else if (source->keys.n)
        TSPK_TRY(label_by_key(base, &source->keys, ".cls", err));
    else if (source->notes.n)
        TSPK_TRY(label_by_key(base, &source->notes, ".json", err));
    else if (is_packed_folder(base))
        return TSPK_OK;
    else
        return tspk_source_label_by_folder(base, count_shared_folders(base), err);
    if (source->classes.bytes)
        return tspk_source_name_classes(base, source->classes.bytes, source->classes.n, err);
    return TSPK_OK;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(((const tspk_text_member *)a)->name, ((const tspk_text_member *)b)->name);
}

/* An archive without images that holds CIFAR's files. */
static tspk_status open_records(archive_source *source, tspk_source **source_out, tspk_error *err)
{
    tspk_source *records;

    qsort(source->records.items, source->records.n, sizeof *source->records.items, compare_texts);
    TSPK_TRY(tspk_source_open_cifar_files(source->records.items, source->records.n, &records, err));
    tspk_source_free(&source->base);
    *source_out = records;
    return TSPK_OK;
}

static tspk_status open_images(archive_source *source, tspk_source **source_out, tspk_error *err)
{
    TSPK_TRY(tspk_source_sort(&source->base, err));
    TSPK_TRY(label(source, err));
    *source_out = &source->base;
    return TSPK_OK;
}

tspk_status tspk_source_open_archive(const char *path, tspk_source **source_out, tspk_error *err)
{
    archive_source *source;
    tspk_source *base;
    tspk_status status;

    TSPK_TRY(tspk_source_new(sizeof *source, &ops, &base, err));
    source = (archive_source *)base;
    source->descriptor = open(path, O_RDONLY | O_CLOEXEC);
    if (source->descriptor < 0)
        status = TSPK_FAIL(err, TSPK_IO, "cannot be opened: %s", strerror(errno));
    else
        status = read_archive(source, path, err);
    if (status == TSPK_OK && base->n)
        status = open_images(source, source_out, err);
    else if (status == TSPK_OK && source->records.n)
        status = open_records(source, source_out, err);
    else if (status == TSPK_OK)
        status = TSPK_FAIL(err, TSPK_FORMAT, "the archive holds no images (JPEG or PNG)");
    if (status != TSPK_OK)
        tspk_source_free(base);
    return status;
}
