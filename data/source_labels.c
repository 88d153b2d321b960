/* SPDX-License-Identifier: Apache-2.0 */
/* Labels of images: from labels.csv, from class folders, and names of classes. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "data/file_bytes.h"

tspk_status tspk_label_parse(const char *text, size_t n, int64_t *label_out, tspk_error *err)
{
    const char *at = text, *end = text + n;
    bool is_negative = false;
    int64_t label = 0;

    while (at < end && (*at == ' ' || *at == '\t' || *at == '\r' || *at == '\n'))
        at++;
    while (end > at && (end[-1] == ' ' || end[-1] == '\t' || end[-1] == '\r' || end[-1] == '\n'))
        end--;
    if (at < end && (*at == '-' || *at == '+'))
        is_negative = *at++ == '-';
    if (at == end)
        return TSPK_FAIL(err, TSPK_FORMAT, "label \"%.*s\" is not a whole number",
                         (int)(n < 40 ? n : 40), text);
    for (; at < end; at++) {
        if (*at < '0' || *at > '9')
            return TSPK_FAIL(err, TSPK_FORMAT, "label \"%.*s\" is not a whole number",
                             (int)(n < 40 ? n : 40), text);
        if (label <= TSPK_MAX_LABEL)
            label = label * 10 + (*at - '0');
    }
    if (label > TSPK_MAX_LABEL || (is_negative && label))
        return TSPK_FAIL(err, TSPK_RANGE, "label %.*s, expected 0 to %d", (int)(n < 40 ? n : 40),
                         text, TSPK_MAX_LABEL);
    *label_out = label;
    return TSPK_OK;
}

/* One row of a .csv: a field may stand in quotes, "" inside them is one. */
typedef struct csv_row {
    char *text;           /* the .csv's folder, then fields unquoted and terminated; room for all */
    size_t folder;        /* [bytes] */
    const char *field[2]; /* file, label */
    size_t n_fields;
} csv_row;

/* Copies the field at `at`, terminated; returns where it ends: at a separator or the end. */
static const char *read_field(const char *at, const char *end, char *to, size_t *length_out)
{
    bool is_quoted = at < end && *at == '"';
    size_t n = 0;

    if (is_quoted)
        at++;
    while (at < end && (is_quoted || (*at != ',' && *at != '\n'))) {
        if (is_quoted && *at == '"' && (at + 1 == end || at[1] != '"')) {
            is_quoted = false;
            at++;
            continue;
        }
        if (is_quoted && *at == '"')
            at++;
        to[n++] = *at++;
    }
    if ((at == end || *at == '\n') && n && to[n - 1] == '\r')
        n--;
    to[n] = '\0';
    *length_out = n;
    return at;
}

/* Reads the row at `at`, and returns where the next one starts. */
static const char *read_row(const char *at, const char *end, csv_row *row)
{
    char *to = row->text + row->folder;

    row->n_fields = 0;
    for (;;) {
        size_t length;

        at = read_field(at, end, to, &length);
        if (row->n_fields < 2)
            row->field[row->n_fields] = to;
        row->n_fields++;
        to += length + 1;
        if (at == end)
            return end;
        if (*at++ == '\n')
            return at;
    }
}

static bool is_header(const csv_row *row)
{
    return row->n_fields == 2 && strcmp(row->field[0], "file") == 0 &&
           strcmp(row->field[1], "label") == 0;
}

static tspk_status apply_row(tspk_source *source, csv_row *row, tspk_error *err)
{
    const char *file = row->field[0];
    const size_t length = strlen(file);
    tspk_source_item *item;
    int64_t label;

    if (row->n_fields != 2)
        return TSPK_FAIL(err, TSPK_FORMAT, "%zu fields, expected file,label", row->n_fields);
    TSPK_TRY(tspk_label_parse(row->field[1], strlen(row->field[1]), &label, err));
    if (strncmp(file, "./", 2) == 0)
        memmove(row->text + row->folder, file + 2, length - 1);
    item = tspk_source_find(source, row->text);
    if (!item)
        return TSPK_FAIL(err, TSPK_FORMAT, "%s: there is no such image (JPEG or PNG)", file);
    if (item->label >= 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "%s: has a row already", file);
    item->label = label;
    return TSPK_OK;
}

tspk_status tspk_source_label_by_csv(tspk_source *source, const uint8_t *text, size_t n,
                                     const char *name, tspk_error *err)
{
    const char *at = (const char *)text, *end = at + n;
    const size_t folder = tspk_path_folder_length(name);
    csv_row row = {.text = malloc(folder + n + 2), .folder = folder};
    tspk_status status = TSPK_OK;

    if (!row.text)
        return TSPK_FAIL(err, TSPK_NOMEM, "%s: no memory for %zu bytes", name, n);
    memcpy(row.text, name, folder);
    if (n >= 3 && memcmp(at, "\xef\xbb\xbf", 3) == 0)
        at += 3;
    for (size_t line = 1; at < end && status == TSPK_OK; line++) {
        at = read_row(at, end, &row);
        if ((row.n_fields == 1 && row.field[0][0] == '\0') || (line == 1 && is_header(&row)))
            continue;
        status = apply_row(source, &row, err);
        if (status != TSPK_OK) {
            char where[320];

            snprintf(where, sizeof where, "%s: row %zu", name, line);
            tspk_in_file(err, status, where);
        }
    }
    free(row.text);
    for (size_t i = 0; i < source->n && status == TSPK_OK; i++)
        if (source->items[i].label < 0)
            status =
                TSPK_FAIL(err, TSPK_FORMAT, "%s: image %s has no row", name, source->items[i].name);
    return status;
}

/* The folder at depth `skipped` of a name; NULL when the name ends before. */
static const char *class_of(const char *name, size_t skipped, size_t *length_out)
{
    const char *slash = strchr(name, '/');

    for (; slash && skipped; skipped--) {
        name = slash + 1;
        slash = strchr(name, '/');
    }
    if (!slash)
        return NULL;
    *length_out = (size_t)(slash - name);
    return name;
}

static int compare_texts(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

tspk_status tspk_source_label_by_folder(tspk_source *source, size_t skipped, tspk_error *err)
{
    const char **names, *stray = NULL;
    size_t n = 0, n_kept = 0;

    for (size_t i = 0; i < source->n; i++) {
        size_t length;

        if (class_of(source->items[i].name, skipped, &length))
            n++;
        else
            stray = source->items[i].name;
    }
    if (!n)
        return TSPK_OK;
    if (stray)
        return TSPK_FAIL(err, TSPK_FORMAT, "image %s lies beside class folders", stray);
    names = malloc(n * sizeof *names);
    if (!names)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the classes of %zu images", n);
    /* Names are sorted, so the images of a folder follow one another: one copy a folder. */
    for (size_t i = 0; i < n; i++) {
        size_t length = 0;
        const char *name = class_of(source->items[i].name, skipped, &length);

        if (n_kept && strncmp(names[n_kept - 1], name, length) == 0 &&
            names[n_kept - 1][length] == '\0')
            continue;
        names[n_kept] = tspk_arena_text_n(source->arena, name, length);
        if (!names[n_kept++]) {
            free(names);
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu class names", n_kept);
        }
    }
    qsort(names, n_kept, sizeof *names, compare_texts);
    for (size_t i = 0; i < n; i++) {
        size_t length = 0, low = 0, high = n_kept;
        const char *name = class_of(source->items[i].name, skipped, &length);

        while (high - low > 1) {
            const size_t middle = low + (high - low) / 2;
            const int order = strncmp(names[middle], name, length);

            if (order > 0 || (order == 0 && names[middle][length] != '\0'))
                high = middle;
            else
                low = middle;
        }
        source->items[i].label = (int64_t)low;
    }
    free(source->class_names);
    source->class_names = names;
    source->n_classes = n_kept;
    return TSPK_OK;
}

tspk_status tspk_source_name_classes(tspk_source *source, const uint8_t *text, size_t n,
                                     tspk_error *err)
{
    const char *at = (const char *)text, *end = at + n;
    const char **names;
    size_t n_names = 0, room = 0;

    for (size_t i = 0; i < n; i++)
        room += text[i] == '\n';
    names = malloc((room + 1) * sizeof *names);
    if (!names)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu class names", room + 1);
    while (at < end) {
        const char *line_end = memchr(at, '\n', (size_t)(end - at));
        const char *next = line_end ? line_end + 1 : end;

        if (!line_end)
            line_end = end;
        if (line_end > at && line_end[-1] == '\r')
            line_end--;
        names[n_names] = tspk_arena_text_n(source->arena, at, (size_t)(line_end - at));
        if (!names[n_names++]) {
            free(names);
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu class names", n_names);
        }
        at = next;
    }
    free(source->class_names);
    source->class_names = names;
    source->n_classes = n_names;
    return TSPK_OK;
}
