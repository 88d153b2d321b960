/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A two-block toy Vision Transformer with random weights as a valid spike graph, for tests.
 *
 * Image [1, 1, 8, 8], Conv stem 4 x 4, class token, 4 patches, width 12, 2 heads, hidden width 20,
 * 5 classes; q, k and v read one site; the second block computes q, projection and MLP of the class
 * token alone (attribute rows, Slice). Token class 1 is the class token. No mean errors: with more
 * steps the decoded logits approach those of the float network, up to the rounding of weights.
 *
 *   const tiny_settings settings = tiny_default_settings(seed);
 *   tspk_graph *ann;
 *   tspk_spikegraph *spikes = tiny_spikegraph_new(&settings, &ann);   (ann: NULL if not wanted)
 *   float image[TINY_IMAGE_ELEMS];
 *   tiny_image(7, image);
 *   …
 *   tspk_spikegraph_free(spikes);
 *   tspk_graph_free(ann);
 *
 * In meson: dependencies: [dep_internal, dep_cmocka, dep_tiny_spikegraph].
 */
#ifndef TSPK_TESTS_TINY_SPIKEGRAPH_H
#define TSPK_TESTS_TINY_SPIKEGRAPH_H

#include "core/spikegraph.h"

enum {
    TINY_IMAGE_ELEMS = 64,
    TINY_CLASSES = 5,
    TINY_TOKENS = 5,
    TINY_WIDTH = 12,
    TINY_HEADS = 2,
    TINY_HIDDEN = 20,
    TINY_SITES = 17,
    TINY_LINEARS = 13,
    TINY_ATTENTIONS = 2,
    TINY_ANALOG_SITES = 5, /* with has_analog */
    TINY_EXIT_INPUTS = 3,
    TINY_EXIT_HIDDEN = 6
};

typedef struct tiny_settings {
    uint64_t seed;
    tspk_coding coding;
    uint32_t n_steps;
    uint32_t n_points;    /* 1, or 2: "exact" and a "balanced" of two steps */
    uint32_t n_pairs;     /* that merge after block 0's attention in the last point; 0 … 2 */
    float refine_share;   /* of the last point */
    uint32_t weight_bits; /* 8 or 16 */
    bool is_exponent;     /* pow2 ladders with exponent codes and ECMT's rule */
    bool is_quotient;
    bool is_max_fixed;
    bool has_exits;    /* every exit policy; "balanced" takes the one on margins */
    bool has_analog; /* the sites of block 0's attention and its fc1 do not spike */
} tiny_settings;

/** Differential, 4 steps, one point, int8, levels as codes, numerators, a fresh maximum a step. */
tiny_settings tiny_default_settings(uint64_t seed);

/** Exits the test program with a message when memory is short.
 * @param ann_out the float network of the same weights, owned by the caller, or NULL */
tspk_spikegraph *tiny_spikegraph_new(const tiny_settings *settings, tspk_graph **ann_out);

/** A random image, values within ±2. */
void tiny_image(uint64_t seed, float image_out[TINY_IMAGE_ELEMS]);

#endif
