/* SPDX-License-Identifier: Apache-2.0 */
/* How the rounding error of one weight is made good by the weights that are rounded after it. */
#ifndef TSPK_CALIB_WEIGHT_FEEDBACK_H
#define TSPK_CALIB_WEIGHT_FEEDBACK_H

#include "calib/calibrate.h"

/**
 * The upper triangular U with UᵀU = H⁻¹, where H is the second moment of what a linear site
 * receives at its last step, about its prior, in units of the channels and in the order of
 * site->order; a token class with less than a tenth of the rows counts as a tenth. Rounding weight
 * p with an error e changes weight j > p by −e · U[p, j] / U[p, p].
 * @param factor_out [channels, channels] malloc'd, owned by the caller
 * @errors NOMEM
 * @source Frantar et al. 2022 (GPTQ, arXiv 2210.17323), section 3, steps 2 and 3
 */
tspk_status tspk_weight_feedback(const tspk_calib *calib, uint32_t site, double **factor_out,
                                 tspk_error *err);

/**
 * U from H [n, n], symmetric and not negative, which is damped by 1 % of its mean diagonal and
 * overwritten. The identity where H is not finite. @param u_out [n, n]
 */
void tspk_factor_inverse(double *h, size_t n, double *u_out);

#endif
