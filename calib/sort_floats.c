/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/sort_floats.h"

#include <string.h>

/* Three passes cover 32 bits. */
#define DIGIT_BITS 11
#define DIGITS     (1u << DIGIT_BITS)

static uint32_t key_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof bits);
    return bits ^ ((bits >> 31) ? 0xffffffffu : 0x80000000u);
}

static float value_of(uint32_t key)
{
    const uint32_t bits = key ^ ((key >> 31) ? 0x80000000u : 0xffffffffu);
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

const tspk_ranked *tspk_sort_floats(float *value, tspk_ranked *work, size_t n)
{
    tspk_ranked *from = work, *to = work + n;

    for (size_t i = 0; i < n; i++)
        from[i] = (tspk_ranked){key_of(value[i]), (uint32_t)i};
    for (int shift = 0; shift < 32; shift += DIGIT_BITS) {
        size_t start[DIGITS + 1] = {0};
        tspk_ranked *const kept = from;

        for (size_t i = 0; i < n; i++)
            start[((from[i].key >> shift) & (DIGITS - 1)) + 1]++;
        for (size_t d = 0; d < DIGITS; d++)
            start[d + 1] += start[d];
        for (size_t i = 0; i < n; i++)
            to[start[(from[i].key >> shift) & (DIGITS - 1)]++] = from[i];
        from = to;
        to = kept;
    }
    for (size_t i = 0; i < n; i++)
        value[i] = value_of(from[i].key);
    return from;
}
