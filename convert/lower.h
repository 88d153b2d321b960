/* SPDX-License-Identifier: Apache-2.0 */
/* A canonical float graph becomes the frame of a spike graph: sites, linears, attentions. */
#ifndef TSPK_CONVERT_LOWER_H
#define TSPK_CONVERT_LOWER_H

#include "convert/passes.h"

/**
 * Finds the sites of a canonical graph and makes a spike graph without units, weights and points,
 * which calibration fills in. Its graph is a copy: nodes keep their ids, values are renumbered, and
 * spike-driven Linears lose their weights (read them from `graph`, under the same node id).
 * @param graph      swept and convertible; borrowed for the call
 * @param structure  of that graph
 * @param spikes_out owned by the caller
 */
tspk_status tspk_lower(const tspk_graph *graph, const tspk_structure *structure,
                       tspk_spikegraph **spikes_out, tspk_error *err);

#endif
