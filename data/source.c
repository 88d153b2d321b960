/* SPDX-License-Identifier: Apache-2.0 */
#include "data/source.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

void tspk_content_done(tspk_content *content)
{
    tspk_image_done(&content->image);
    free(content->values);
    content->values = NULL;
}

tspk_status tspk_source_new(size_t bytes, const tspk_source_ops *ops, tspk_source **source_out,
                            tspk_error *err)
{
    tspk_source *source = calloc(1, bytes);

    if (source)
        source->arena = tspk_arena_new(0);
    if (!source || !source->arena) {
        free(source);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a set of samples");
    }
    source->ops = ops;
    *source_out = source;
    return TSPK_OK;
}

void tspk_source_free(tspk_source *source)
{
    if (!source)
        return;
    source->ops->done(source);
    tspk_arena_free(source->arena);
    free(source->items);
    free(source->class_names);
    free(source);
}

tspk_status tspk_source_add(tspk_source *source, const char *name, size_t payload, tspk_error *err)
{
    char *copy;

    if (source->n == TSPK_MAX_SAMPLES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %zu samples", TSPK_MAX_SAMPLES);
    if (source->n == source->room) {
        const size_t room = source->room ? source->room * 2 : 64;
        tspk_source_item *items = realloc(source->items, room * sizeof *items);

        if (!items)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu samples", room);
        source->items = items;
        source->room = room;
    }
    copy = tspk_arena_text(source->arena, name);
    if (!copy)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the name of sample %zu", source->n);
    source->items[source->n++] = (tspk_source_item){copy, -1, payload};
    return TSPK_OK;
}

static int compare_items(const void *a, const void *b)
{
    return strcmp(((const tspk_source_item *)a)->name, ((const tspk_source_item *)b)->name);
}

tspk_status tspk_source_sort(tspk_source *source, tspk_error *err)
{
    if (source->n)
        qsort(source->items, source->n, sizeof *source->items, compare_items);
    for (size_t i = 1; i < source->n; i++)
        if (strcmp(source->items[i - 1].name, source->items[i].name) == 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "%s occurs twice", source->items[i].name);
    return TSPK_OK;
}

tspk_source_item *tspk_source_find(const tspk_source *source, const char *name)
{
    const tspk_source_item key = {name, -1, 0};

    if (!source->n)
        return NULL;
    return bsearch(&key, source->items, source->n, sizeof key, compare_items);
}

tspk_status tspk_source_add_indices(tspk_source *source, size_t n, const int64_t *labels,
                                    tspk_error *err)
{
    if (n > TSPK_MAX_SAMPLES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu samples, at most %zu", n, TSPK_MAX_SAMPLES);
    for (size_t i = 0; i < n; i++) {
        char name[24];

        snprintf(name, sizeof name, "%zu", i);
        TSPK_TRY(tspk_source_add(source, name, i, err));
        if (!labels)
            continue;
        if (labels[i] < 0 || labels[i] > TSPK_MAX_LABEL)
            return TSPK_FAIL(err, TSPK_RANGE, "label %" PRId64 " of sample %zu, expected 0 to %d",
                             labels[i], i, TSPK_MAX_LABEL);
        source->items[i].label = labels[i];
    }
    return TSPK_OK;
}
