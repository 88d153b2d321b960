/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/fail.h"
#include "spikefile/sections.h"

tspk_status tspk_section_text(tspk_arena *arena, const char *text, size_t most, const char *what,
                              const char **text_out, tspk_error *err)
{
    const size_t length = strlen(text);
    const char *copy;

    if (length > most)
        return TSPK_FAIL(err, TSPK_LIMIT, "%s has %zu bytes, at most %zu", what, length, most);
    copy = tspk_arena_text_n(arena, text, length);
    if (!copy)
        return TSPK_NO_SECTION_MEMORY(err);
    *text_out = copy;
    return TSPK_OK;
}
