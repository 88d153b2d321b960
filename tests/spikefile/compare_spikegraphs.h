/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_TESTS_COMPARE_SPIKEGRAPHS_H
#define TSPK_TESTS_COMPARE_SPIKEGRAPHS_H

#include "core/spikegraph.h"

/** The first thing in which two spike graphs differ, NULL when they are equal in all that counts:
 * constants that no node reads do not, an absent prior or offset equals zeros. Static text. */
const char *compare_spikegraphs(const tspk_spikegraph *a, const tspk_spikegraph *b);

#endif
