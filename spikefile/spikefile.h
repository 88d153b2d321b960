/* SPDX-License-Identifier: Apache-2.0 */
/* model.spike: reader and writer of the one schema, side by side. docs/spikefile.md is the format. */
#ifndef TSPK_SPIKEFILE_SPIKEFILE_H
#define TSPK_SPIKEFILE_SPIKEFILE_H

#include "core/spikegraph.h"

/** Writes atomically: temporary file in the same folder, fsync, rename. The same spike graph gives
 * the same bytes. @errors IO (disk full, folder read-only …), NOMEM */
tspk_status tspk_spikefile_write(const tspk_spikegraph *spikes, const char *path, tspk_error *err);

/** Reads, checks every checksum, count, shape and offset, then tspk_spikegraph_verify().
 * @errors IO, FORMAT (names the member), LIMIT, SHAPE, RANGE, NOMEM, UNSUPPORTED (newer version) */
tspk_status tspk_spikefile_read(const char *path, tspk_spikegraph **spikes_out, tspk_error *err);

#endif
