/* SPDX-License-Identifier: Apache-2.0 */
/* Calibrated networks made of random numbers, for measurements: a Vision Transformer of 197 tokens
 * with 8 levels in which about 85 % of the neurons fire in a step. */
#ifndef TSPK_BENCH_MADE_NETWORK_H
#define TSPK_BENCH_MADE_NETWORK_H

#include "core/spikegraph.h"

#define TSPK_MADE_CLASSES 1000

typedef struct tspk_made_size {
    uint32_t width, heads, blocks; /* channels of a token; hidden channels are 4 * width */
} tspk_made_size;

/** The network for `steps` steps; exits when memory runs out. Freed by tspk_spikegraph_free(). */
tspk_spikegraph *tspk_made_network(tspk_made_size size, uint32_t steps);

#endif
