/* SPDX-License-Identifier: Apache-2.0 */
/* Names of sites: parts separated by dots, "blocks.0.attn.qkv.input". */
#ifndef TSPK_CONVERT_SITE_NAMES_H
#define TSPK_CONVERT_SITE_NAMES_H

#include "core/spikegraph.h"

/** Is `prefix` the name, or its first parts? "blocks.1" is not of "blocks.10.attn.query". */
bool tspk_is_under(const char *name, const char *prefix);

/** Fails with the sites' names that share most with `name`. @errors RANGE always */
tspk_status tspk_fail_unknown_site(const tspk_spikegraph *spikes, const char *name,
                                   tspk_error *err);

#endif
