/* SPDX-License-Identifier: Apache-2.0 */
/* A growing arena with a cap: everything allocated from it dies with it. */
#ifndef TSPK_CORE_ARENA_H
#define TSPK_CORE_ARENA_H

#include <stddef.h>

#define TSPK_ALIGN_BYTES 64u

typedef struct tspk_arena tspk_arena;

/** A new arena that refuses to grow beyond `cap_bytes` (0: no cap). NULL when memory is short. */
tspk_arena *tspk_arena_new(size_t cap_bytes);

/** Frees the arena and all that came from it. NULL is allowed. */
void tspk_arena_free(tspk_arena *arena);

/** `bytes` zeroed bytes aligned to TSPK_ALIGN_BYTES for requests of 64 bytes and more, to 16 below;
 * NULL when memory or the cap is short. A request of 0 gives a valid pointer. */
void *tspk_arena_alloc(tspk_arena *arena, size_t bytes);

/** `count * size` zeroed bytes, NULL also when the product overflows. */
void *tspk_arena_array(tspk_arena *arena, size_t count, size_t size);

/** Copies: text is terminated. NULL when memory is short. */
char *tspk_arena_text(tspk_arena *arena, const char *text);
char *tspk_arena_text_n(tspk_arena *arena, const char *text, size_t length);
void *tspk_arena_copy(tspk_arena *arena, const void *bytes, size_t n_bytes);

/** Bytes taken from the system so far. */
size_t tspk_arena_used_bytes(const tspk_arena *arena);

/** A point to go back to: `reset` releases everything allocated after `mark`. */
typedef struct tspk_arena_mark {
    void *block;
    size_t used;
} tspk_arena_mark;
tspk_arena_mark tspk_arena_mark_now(const tspk_arena *arena);
void tspk_arena_reset(tspk_arena *arena, tspk_arena_mark mark);

#endif
