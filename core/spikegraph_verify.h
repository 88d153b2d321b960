/* SPDX-License-Identifier: Apache-2.0 */
/* Parts of tspk_spikegraph_verify(). */
#ifndef TSPK_CORE_SPIKEGRAPH_VERIFY_H
#define TSPK_CORE_SPIKEGRAPH_VERIFY_H

#include <string.h>

#include "core/spikegraph.h"

/** Neither infinite nor NaN; by its bits, so that a loop over it becomes vector code. */
static inline bool tspk_is_finite(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof bits);
    return (bits & 0x7f800000u) != 0x7f800000u;
}

static inline bool tspk_is_positive(float x)
{
    return x > 0.0f && tspk_is_finite(x);
}

/** Ladders, gains, offsets, priors and biases of operating point `index`, its sites being verified.
 */
tspk_status tspk_verify_point(const tspk_spikegraph *spikes, uint32_t index, tspk_error *err);

/** Exit policies of an operating point whose name and steps are verified. */
tspk_status tspk_verify_exits(const tspk_spikegraph *spikes, const tspk_point *point,
                              tspk_error *err);

/** Analog sites against the graph, the records of spike-driven nodes being verified.
 * @param has_record [n_nodes] */
tspk_status tspk_verify_analog_sites(const tspk_spikegraph *spikes, const bool *has_record,
                                     tspk_error *err);

/** Preprocessing, class names, provenance. */
tspk_status tspk_verify_meta(const tspk_spikegraph *spikes, tspk_error *err);

#endif
