/* SPDX-License-Identifier: Apache-2.0 */
/* SplitMix64 (Steele, Lea, Flood 2014), the one source of randomness; the seed is always explicit. */
#ifndef TSPK_CORE_RNG_H
#define TSPK_CORE_RNG_H

#include <stddef.h>
#include <stdint.h>

typedef struct tspk_rng {
    uint64_t state;
} tspk_rng;

uint64_t tspk_rng_next(tspk_rng *rng);

/** A number in [0, bound): the high 64 bits of next * bound. */
uint64_t tspk_rng_below(tspk_rng *rng, uint64_t bound);

/** Fisher-Yates from the end over order[0 … n), seeded; `order` is first set to 0, 1, 2 … */
void tspk_rng_shuffle(uint64_t seed, size_t *order, size_t n);

#endif
