/* SPDX-License-Identifier: Apache-2.0 */
#include "core/rng.h"

uint64_t tspk_rng_next(tspk_rng *rng)
{
    uint64_t z = (rng->state += UINT64_C(0x9e3779b97f4a7c15));

    z = (z ^ (z >> 30)) * UINT64_C(0xbf58476d1ce4e5b9);
    z = (z ^ (z >> 27)) * UINT64_C(0x94d049bb133111eb);
    return z ^ (z >> 31);
}

/* High half of a 64 x 64 bit product, in portable C. */
static uint64_t mul_high(uint64_t a, uint64_t b)
{
    const uint64_t a0 = a & 0xffffffffu, a1 = a >> 32;
    const uint64_t b0 = b & 0xffffffffu, b1 = b >> 32;
    const uint64_t mid = a1 * b0 + ((a0 * b0) >> 32);
    const uint64_t low = a0 * b1 + (mid & 0xffffffffu);

    return a1 * b1 + (mid >> 32) + (low >> 32);
}

uint64_t tspk_rng_below(tspk_rng *rng, uint64_t bound)
{
    return mul_high(tspk_rng_next(rng), bound);
}

void tspk_rng_shuffle(uint64_t seed, size_t *order, size_t n)
{
    tspk_rng rng = {seed};

    for (size_t i = 0; i < n; i++)
        order[i] = i;
    for (size_t i = n; i-- > 1;) {
        const size_t j = (size_t)tspk_rng_below(&rng, (uint64_t)i + 1);
        const size_t kept = order[i];

        order[i] = order[j];
        order[j] = kept;
    }
}
