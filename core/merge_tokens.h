/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token merging as a rewriting of a graph: all shapes stay static, for as many tokens merge after
 * an Attention in every image; only which ones differs.
 *
 *   x ─┬─▶ … Attention ─▶ Linear ─▶ Add ─▶ y        before
 *      └──────────────────────────▶┘
 *   x ─┬─▶ … Attention ─▶ Linear ─▶ Add ─▶ Merge ─▶ y'      after; y' has fewer rows
 *      └──────────────────────────▶┘        ▲
 *               key ─▶ MergeMap ────────────┴─▶ MergeSizes ─▶ Log ─▶ bias of later Attentions
 *
 * Between a merge and the output each token must be computed alone, but for Attentions: elementwise
 * operators, normalisations over channels, Linears, Reshape and Transpose that keep the axis of
 * tokens whole. Reading special tokens by Linear rows, Gather or Slice is fine, and so is a mean
 * over all tokens or over all but the special ones, which becomes a mean weighted by the sizes.
 */
#ifndef TSPK_CORE_MERGE_TOKENS_H
#define TSPK_CORE_MERGE_TOKENS_H

#include "core/graph.h"

typedef struct tspk_merging {
    uint32_t n_special;      /* leading tokens that never merge: class, register, distillation */
    uint32_t n_attentions;   /* Attention nodes of the graph */
    const uint32_t *n_pairs; /* [n_attentions] that merge after each, in the order of the nodes */
} tspk_merging;

/** No pair merges anywhere. */
bool tspk_merging_is_none(const tspk_merging *merging);

/**
 * Spreads `pairs` a layer over the Attentions of a graph: from a third of it in the first layer to
 * five thirds in the last, rising evenly, and at most half of the patches that are left; none where
 * the queries are special alone.
 * @param n_pairs_out [number of Attention nodes]
 * @return false: more were asked for than merge
 */
bool tspk_merging_spread(const tspk_graph *graph, uint32_t n_special, uint32_t pairs,
                         uint32_t *n_pairs_out);

/** The most pairs a layer that merge whole; 0: none. @param work [number of Attention nodes] */
uint32_t tspk_merging_most(const tspk_graph *graph, uint32_t n_special, uint32_t *work);

/** Attention nodes of a graph. */
uint32_t tspk_graph_count_attentions(const tspk_graph *graph);

/**
 * Rewrites a graph, for which a clone will do.
 * @param moved_to_out [nodes before] new id of every node, or NULL
 * @errors UNSUPPORTED: what stands behind a merge is not computed token by token, or an Attention
 *         has an additive bias of its own; RANGE: more pairs than patches allow; LIMIT, NOMEM. The
 *         node is named.
 * @source docs/adaptive.md
 */
tspk_status tspk_merge_tokens(tspk_graph *graph, const tspk_merging *merging,
                              tspk_node_id *moved_to_out, tspk_error *err);

#endif
