/* SPDX-License-Identifier: Apache-2.0 */
/* What a public tspk_spike holds. */
#ifndef TSPK_CORE_SPIKE_HANDLE_H
#define TSPK_CORE_SPIKE_HANDLE_H

#include "core/spikegraph.h"
#include "transpike/spike.h"

struct tspk_spike {
    tspk_spikegraph *graph; /* owned, verified */
};

#endif
