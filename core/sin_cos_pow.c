/* SPDX-License-Identifier: Apache-2.0 */
#include "core/sin_cos_pow.h"

#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <string.h>

#include "core/compiler.h"
#include "core/mathfun.h"

/* c[0] + z c[1] + z² c[2] … */
static double polynomial(const double *c, size_t n, double z)
{
    double sum = c[n - 1];

    for (size_t i = n - 1; i > 0; i--)
        sum = sum * z + c[i - 1];
    return sum;
}

/* Nearest integer, ties to even, for |x| < 2^51. */
static double nearest(double x)
{
    const double magic = 6755399441055744.0; /* 1.5 * 2^52 */

    return (x + magic) - magic;
}

/* From here on x - n π/2 needs more bits than two doubles have. */
#define LARGE 131072.0f

/* The same for |x| ≥ LARGE: the bits of 2/π that matter to x, times its 24 bits, in units of 2^-62
 * quarter turns. */
static double reduce_large(float x, unsigned *quadrant_out)
{
    /* 32 zeros, then the bits of 2/π behind the point */
    static const uint32_t two_over_pi[] = {0,          0xa2f9836e, 0x4e441529, 0xfc2757d1,
                                           0xf534ddc0, 0xdb629599, 0x3c439041, 0xfe5163ab,
                                           0xdebbc561, 0xb7246e3a};
    const uint32_t bits = tspk_float_bits(x);
    const uint64_t mantissa = (bits & 0x007fffffu) | 0x00800000u;
    /* |x| = mantissa 2^e; earlier bits of 2/π give whole turns */
    const int e = (int)(bits >> 23 & 255u) - 150, first = 30 + e, word = first / 32;
    uint32_t window[3];
    uint64_t turns;
    double r;

    for (int i = 0; i < 3; i++) {
        const uint64_t two = (uint64_t)two_over_pi[word + i] << 32 | two_over_pi[word + i + 1];

        window[i] = (uint32_t)(two << first % 32 >> 32);
    }
    turns = (mantissa * window[0] << 32) + mantissa * window[1] + (mantissa * window[2] >> 32);
    *quadrant_out = (unsigned)((turns + (UINT64_C(1) << 61)) >> 62) & 3u;
    r = (double)(int64_t)(turns - ((uint64_t)*quadrant_out << 62)) * 0x1p-62 * 0x1.921fb54442d18p+0;
    if (!(bits >> 31))
        return r;
    *quadrant_out = (0u - *quadrant_out) & 3u;
    return -r;
}

/* x = n π/2 + r with |r| ≤ π/4; n mod 4 is the quadrant. */
static double reduce(float x, unsigned *quadrant_out)
{
    double n;

    if (!(fabsf(x) < LARGE))
        return reduce_large(x, quadrant_out);
    n = nearest((double)x * 0x1.45f306dc9c883p-1);
    *quadrant_out = (unsigned)((int)n & 3);
    /* 33 bits of π/2, so that the product is exact, and the next 53 */
    return ((double)x - n * 0x1.921fb54400000p+0) - n * 0x1.0b4611a626331p-34;
}

static float sin_or_cos(float x, unsigned ahead)
{
    static const double sine[] = {1.0,          -1.0 / 6,        1.0 / 120,       -1.0 / 5040,
                                  1.0 / 362880, -1.0 / 39916800, 1.0 / 6227020800};
    static const double cosine[] = {
        1.0,         -1.0 / 2,       1.0 / 24,        -1.0 / 720,
        1.0 / 40320, -1.0 / 3628800, 1.0 / 479001600, -1.0 / 87178291200};
    unsigned quadrant;
    double r, y;

    if (!(fabsf(x) < INFINITY))
        return x - x;
    r = reduce(x, &quadrant);
    quadrant += ahead;
    if (quadrant % 2)
        y = polynomial(cosine, TSPK_COUNT_OF(cosine), r * r);
    else
        y = r * polynomial(sine, TSPK_COUNT_OF(sine), r * r);
    return (float)(quadrant & 2u ? -y : y);
}

float tspk_sinf(float x)
{
    return x == 0.0f ? x : sin_or_cos(x, 0);
}

float tspk_cosf(float x)
{
    return sin_or_cos(x, 1);
}

/* 2^n for -1022 ≤ n ≤ 1023 */
static double power_of_two(int n)
{
    const uint64_t bits = (uint64_t)(n + 1023) << 52;
    double y;

    memcpy(&y, &bits, sizeof y);
    return y;
}

/* x > 0 and normal: x = 2^e m with m in [√½, √2), ln m = 2 artanh((m - 1) / (m + 1)) */
static double log_of(double x)
{
    static const double artanh[] = {2.0,      2.0 / 3,  2.0 / 5,  2.0 / 7,  2.0 / 9, 2.0 / 11,
                                    2.0 / 13, 2.0 / 15, 2.0 / 17, 2.0 / 19, 2.0 / 21};
    uint64_t bits;
    double e, m, s;

    memcpy(&bits, &x, sizeof bits);
    e = (double)((int)(bits >> 52) - 1023);
    bits = (bits & UINT64_C(0x000fffffffffffff)) | UINT64_C(0x3ff0000000000000);
    memcpy(&m, &bits, sizeof m);
    if (m > 1.4142135623730951) {
        m *= 0.5;
        e += 1.0;
    }
    s = (m - 1.0) / (m + 1.0);
    return e * 0x1.62e42fee00000p-1 +
           (e * 0x1.a39ef35793c76p-33 + s * polynomial(artanh, TSPK_COUNT_OF(artanh), s * s));
}

double tspk_pow_double(double x, double y)
{
    static const double exponential[] = {1.0,
                                         1.0,
                                         1.0 / 2,
                                         1.0 / 6,
                                         1.0 / 24,
                                         1.0 / 120,
                                         1.0 / 720,
                                         1.0 / 5040,
                                         1.0 / 40320,
                                         1.0 / 362880,
                                         1.0 / 3628800,
                                         1.0 / 39916800,
                                         1.0 / 479001600,
                                         1.0 / 6227020800};
    double z = y * log_of(x), n, r;

    z = z < -700.0 ? -700.0 : z > 700.0 ? 700.0 : z;
    n = nearest(z * 0x1.71547652b82fep+0);
    r = (z - n * 0x1.62e42fee00000p-1) - n * 0x1.a39ef35793c76p-33;
    return polynomial(exponential, TSPK_COUNT_OF(exponential), r) * power_of_two((int)n);
}

/* y is a whole number, of which *is_odd_out says more. y is finite. */
static bool is_whole(float y, bool *is_odd_out)
{
    const float size = fabsf(y);

    *is_odd_out = size < 16777216.0f && ((int32_t)size & 1);
    return size >= 8388608.0f || size == (float)(int32_t)size;
}

float tspk_powf(float x, float y)
{
    const float size = fabsf(x);
    bool is_y_whole, is_odd;
    float sign;

    if (y == 0.0f || x == 1.0f)
        return 1.0f;
    if (x != x || y != y)
        return x + y;
    if (fabsf(y) == INFINITY)
        return size == 1.0f ? 1.0f : (size > 1.0f) == (y > 0.0f) ? INFINITY : 0.0f;
    is_y_whole = is_whole(y, &is_odd);
    sign = is_odd && signbit(x) ? -1.0f : 1.0f;
    if (size == 0.0f || size == INFINITY)
        return (size == 0.0f) == (y < 0.0f) ? sign * INFINITY : sign * 0.0f;
    if (x < 0.0f && !is_y_whole)
        return NAN;
    return sign * (float)tspk_pow_double((double)size, (double)y);
}
