/* SPDX-License-Identifier: Apache-2.0 */
/* The spike graph that an operating point executes: where it merges tokens, another graph with
 * fewer rows, whose weights, units and parameters are those of the file's. */
#ifndef TSPK_CORE_POINT_GRAPH_H
#define TSPK_CORE_POINT_GRAPH_H

#include "core/spikegraph.h"

/**
 * A spike graph of its own that shares everything but graph, nodes and rows with `spikes`, which
 * must outlive it. Sites, linears and attentions keep their indices; a site whose rows merge has
 * neither source_row nor source_rows.
 * @errors those of tspk_merge_tokens(), UNSUPPORTED (special tokens that do not come first), NOMEM
 */
tspk_status tspk_point_graph(const tspk_spikegraph *spikes, const tspk_merging *merging,
                             tspk_spikegraph **derived_out, tspk_error *err);

/** Leading tokens of a class other than 0 at the attentions' keys: those that never merge.
 * @errors UNSUPPORTED: there are others behind the first of class 0 */
tspk_status tspk_count_special_tokens(const tspk_spikegraph *spikes, uint32_t *n_out,
                                      tspk_error *err);

#endif
