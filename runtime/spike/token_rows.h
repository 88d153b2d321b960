/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Which rows of tokens are computed, docs/spikefile.md "Refinement". A space is a set of tokens
 * that rows stand for: the network's own, and another one behind every Merge. At step 1 all rows of
 * a space are computed; from step 2 on those alone that are refined, and they lie side by side:
 * values and state have them at their front, in their order. Only what later queries read of keys
 * and values, and what is read of a value as a whole, stays where it was at step 1.
 *
 * Special tokens come first and are always computed, so row_class is that of the front too.
 */
#ifndef TSPK_RUNTIME_TOKEN_ROWS_H
#define TSPK_RUNTIME_TOKEN_ROWS_H

#include "runtime/spike/spike_exec.h"

/** Before step 1: all rows. */
void tspk_tokens_begin(const tspk_spike_run *run);

/** Between steps 1 and 2: chooses the rows and moves what is kept of them to the front. */
void tspk_refine_tokens(const tspk_spike_run *run);

/** Rows of the space that this pass computes; `all` where there is no space. */
uint32_t tspk_rows_now(const tspk_spike_run *run, uint32_t space, size_t all);

/** [tspk_rows_now()] where each row lay at step 1, rising; NULL: where it lies. */
const uint32_t *tspk_places_now(const tspk_spike_run *run, uint32_t space);

/** Synapses that a spike of row r of this pass reaches. */
uint32_t tspk_fan_out_now(const tspk_spike_run *run, const tspk_site_plan *site, size_t r);

/** [keys_padded] where a block of queries of one head adds up what it gives to keys at step 1. */
float *tspk_relevance_part(const tspk_spike_run *run, const tspk_attention_plan *at, size_t head,
                           size_t block);

/** After an attention at step 1: adds the parts, in a fixed order. */
void tspk_add_relevance(const tspk_spike_run *run, const tspk_attention_plan *at);

/** Merges the rows of this pass; at step 1 their relevance too. */
tspk_status tspk_run_merge(const tspk_spike_run *run, uint32_t node, tspk_error *err);

/** A value with all of its rows, as a node reads it that is not computed row by row. */
void *tspk_whole_value(const tspk_spike_run *run, tspk_value_id id);

#endif
