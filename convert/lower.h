/* SPDX-License-Identifier: Apache-2.0 */
/* A canonical float graph becomes the frame of a spike graph: sites, linears, attentions. */
#ifndef TSPK_CONVERT_LOWER_H
#define TSPK_CONVERT_LOWER_H

#include "convert/passes.h"

/**
 * Finds the sites of a canonical graph and makes a spike graph without units, weights and points,
 * which calibration fills in. Its graph is a copy: nodes keep their ids, values are renumbered, and
 * spike-driven Linears lose their weights (read them from `graph`, under the same node id).
 *
 * Sites that are named in `keep_analog` do not spike: Linears behind such a site keep their
 * weights; an Attention with such an operand is computed in float as a whole, and none of its four
 * sites spikes. They are listed in spikes->analog_site.
 * @param graph       swept and convertible; borrowed for the call
 * @param structure   of that graph
 * @param keep_analog [n_keep] names of sites, or of layers: the sites under them
 * @param spikes_out  owned by the caller
 * @errors RANGE (a name that is no site's, with the nearest ones; nothing left to spike), NOMEM
 */
tspk_status tspk_lower(const tspk_graph *graph, const tspk_structure *structure,
                       const char *const *keep_analog, size_t n_keep, tspk_spikegraph **spikes_out,
                       tspk_error *err);

/**
 * A copy of a canonical graph that computes the class output alone, and its structure.
 * @param arena      of the structure's arrays
 * @param source_out freed before `graph`; set on failure too, or NULL
 * @errors those of tspk_keep_class_output() and tspk_find_structure(), NOMEM
 */
tspk_status tspk_take_class_output(const tspk_graph *graph, tspk_arena *arena,
                                   tspk_graph **source_out, tspk_structure *structure_out,
                                   tspk_error *err);

/**
 * Lowers the class output of a canonical graph alone: what `convert` makes of it, every site
 * spiking.
 * @param source_out the graph that was lowered, freed before `graph`; set on failure too, or NULL
 * @errors those of tspk_keep_class_output() and tspk_lower()
 */
tspk_status tspk_lower_class_output(const tspk_graph *graph, tspk_graph **source_out,
                                    tspk_spikegraph **spikes_out, tspk_error *err);

#endif
