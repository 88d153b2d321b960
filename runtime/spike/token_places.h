/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Where tokens stand in the unreduced network when some of them have merged. A row that several
 * tokens went into stands where the odd patch of the last merge into it stood, so rows keep their
 * order.
 */
#ifndef TSPK_RUNTIME_TOKEN_PLACES_H
#define TSPK_RUNTIME_TOKEN_PLACES_H

#include "runtime/spike/spike_session.h"

typedef struct tspk_token_places {
    size_t n_images;
    uint32_t n_merges;   /* merges of the graph; 0: nothing below is there */
    uint32_t n_tokens;   /* before the first; 0: none merge and none are refined */
    uint32_t n_spaces;   /* token_rows.h; 0: every row is computed at every step */
    uint8_t *is_refined; /* [n_spaces, images, tokens] rows that are computed from step 2 on; none
                            of an image that stopped after step 1 */
    const char **name;   /* [n_merges] the Attention before each; borrowed */
    uint32_t *node;      /* [n_merges] the MergeMap */
    uint32_t *merges_of; /* [n_sites] merges before each site */
    int32_t *stands_at;  /* [n_merges, images, tokens] the token in whose place each token stands */
    uint32_t *row_at;    /* [n_merges, images, tokens] the token in whose place each row stands */
} tspk_token_places;

/** @errors NOMEM */
tspk_status tspk_token_places_init(tspk_token_places *places, const tspk_session *session,
                                   size_t n_images, tspk_error *err);
void tspk_token_places_done(tspk_token_places *places);

/** Reads what became of the image that ran last in the slot, for `steps` steps. */
void tspk_token_places_take(tspk_token_places *places, const tspk_session *session, int slot,
                            size_t image, uint32_t steps);

/** Is a row of an image computed at step t? */
bool tspk_is_row_computed(const tspk_token_places *places, uint32_t space, size_t image, uint32_t t,
                          uint32_t row);

/** For each token of the unreduced network, whether its row is refined; [tokens]. */
void tspk_refined_tokens(const tspk_token_places *places, size_t image, int32_t *refined_out);

/** [rows of the site] the place of each; NULL: rows stand where they are. */
const uint32_t *tspk_site_places(const tspk_token_places *places, uint32_t site, size_t image);

#endif
