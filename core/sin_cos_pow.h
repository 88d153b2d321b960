/* SPDX-License-Identifier: Apache-2.0 */
/* Functions that a Vision Transformer calls rarely, one number at a time. They are computed in
 * double precision, one IEEE operation after the other and without libm, and rounded to float32 at
 * the end: the same bits everywhere. Errors against libm in double are tested
 * (tests/core/test_vecmath.c). */
#ifndef TSPK_CORE_SIN_COS_POW_H
#define TSPK_CORE_SIN_COS_POW_H

/** Within 0.51 ulp for every finite x; NaN for infinities. */
float tspk_sinf(float x);
float tspk_cosf(float x);

/** x^y, within 0.51 ulp, denormal results too; special cases as in IEEE 754 and C. */
float tspk_powf(float x, float y);

/** x^y in double, within 1e-13 of its value; x and y are finite, x > 0. */
double tspk_pow_double(double x, double y);

#endif
