/* SPDX-License-Identifier: Apache-2.0 */
#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/checked.h"

#define BLOCK_BYTES ((size_t)64 * 1024)

typedef struct block {
    struct block *before;
    size_t size; /* payload [bytes] */
    size_t used; /* [bytes] */
} block;

#define HEADER_BYTES TSPK_ALIGN_BYTES

struct tspk_arena {
    block *last;
    size_t cap;   /* [bytes], 0: none */
    size_t taken; /* [bytes] */
};

_Static_assert(sizeof(block) <= HEADER_BYTES, "the header must keep the payload aligned");

tspk_arena *tspk_arena_new(size_t cap_bytes)
{
    tspk_arena *arena = calloc(1, sizeof *arena);

    if (arena)
        arena->cap = cap_bytes;
    return arena;
}

static void free_after(tspk_arena *arena, const block *keep)
{
    while (arena->last && arena->last != keep) {
        block *const b = arena->last;

        arena->last = b->before;
        arena->taken -= b->size + HEADER_BYTES;
        free(b);
    }
}

void tspk_arena_free(tspk_arena *arena)
{
    if (!arena)
        return;
    free_after(arena, NULL);
    free(arena);
}

static block *add_block(tspk_arena *arena, size_t payload)
{
    size_t total;
    block *b;

    if (payload < BLOCK_BYTES)
        payload = BLOCK_BYTES;
    if (!tspk_checked_add(payload, HEADER_BYTES + TSPK_ALIGN_BYTES, &total))
        return NULL;
    total -= total % TSPK_ALIGN_BYTES;
    if (arena->cap && (total > arena->cap || arena->taken > arena->cap - total))
        return NULL;
    b = aligned_alloc(TSPK_ALIGN_BYTES, total);
    if (!b)
        return NULL;
    b->before = arena->last;
    b->size = total - HEADER_BYTES;
    b->used = 0;
    arena->last = b;
    arena->taken += total;
    return b;
}

void *tspk_arena_alloc(tspk_arena *arena, size_t bytes)
{
    const size_t align = bytes >= TSPK_ALIGN_BYTES ? TSPK_ALIGN_BYTES : 16;
    block *b = arena->last;
    size_t start = b ? (b->used + align - 1) / align * align : 0;
    char *p;

    if (bytes > SIZE_MAX / 2)
        return NULL;
    if (!b || start > b->size || bytes > b->size - start) {
        b = add_block(arena, bytes);
        if (!b)
            return NULL;
        start = 0;
    }
    b->used = start + bytes;
    p = (char *)b + HEADER_BYTES + start;
    memset(p, 0, bytes);
    return p;
}

void *tspk_arena_array(tspk_arena *arena, size_t count, size_t size)
{
    size_t bytes;

    return tspk_checked_mul(count, size, &bytes) ? tspk_arena_alloc(arena, bytes) : NULL;
}

void *tspk_arena_copy(tspk_arena *arena, const void *bytes, size_t n_bytes)
{
    void *const to = tspk_arena_alloc(arena, n_bytes);

    if (to && n_bytes)
        memcpy(to, bytes, n_bytes);
    return to;
}

char *tspk_arena_text_n(tspk_arena *arena, const char *text, size_t length)
{
    char *const to = length < SIZE_MAX ? tspk_arena_alloc(arena, length + 1) : NULL;

    if (to && length)
        memcpy(to, text, length);
    return to;
}

char *tspk_arena_text(tspk_arena *arena, const char *text)
{
    return tspk_arena_text_n(arena, text, strlen(text));
}

size_t tspk_arena_used_bytes(const tspk_arena *arena)
{
    return arena->taken;
}

tspk_arena_mark tspk_arena_mark_now(const tspk_arena *arena)
{
    return (tspk_arena_mark){arena->last, arena->last ? arena->last->used : 0};
}

void tspk_arena_reset(tspk_arena *arena, tspk_arena_mark mark)
{
    free_after(arena, mark.block);
    if (arena->last)
        arena->last->used = mark.used;
}
