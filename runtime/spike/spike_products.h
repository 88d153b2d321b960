/* SPDX-License-Identifier: Apache-2.0 */
/* Integer products recomputed from codes, for the dump: plain loops, no kernel. */
#ifndef TSPK_RUNTIME_SPIKE_PRODUCTS_H
#define TSPK_RUNTIME_SPIKE_PRODUCTS_H

#include "runtime/spike/spike_plan.h"

/** Outputs of all Linears that read a site. */
size_t tspk_linear_product_width(const tspk_spike_plan *plan, uint32_t site);

/**
 * Group sums of every Linear that reads the site.
 * @param code    [rows, channels] of one step
 * @param product [rows, n_groups, tspk_linear_product_width()] zeroed; rows that a Linear does not
 *                compute stay zero; out
 */
void tspk_linear_product(const tspk_spike_plan *plan, uint32_t site, const int8_t *code,
                         int32_t *product);

/**
 * What one site's spikes of step t add to a product of two operands, on the grid of step t: query
 * ΔQ·K_{t-1}, key Q_t·ΔK, [heads, queries, keys]; numerator ΔP·V_{t-1}, value P_t·ΔV, [heads,
 * queries, head channels].
 * @param kind     which of the four
 * @param a        codes of query or numerator, all steps
 * @param b        codes of key or value, all steps
 * @param product  zeroed; out
 * @param grid_out exponent: a product stands for units times product * 2^-grid; largest sum of two
 *                 shifts so far
 * @errors RANGE (a product exceeds 63 bits)
 */
tspk_status tspk_pair_product(const tspk_spike_plan *plan, const tspk_attention_plan *at,
                              tspk_site_kind kind, uint32_t t, const int8_t *a, const int8_t *b,
                              int64_t *product, int32_t *grid_out, tspk_error *err);

#endif
