/* SPDX-License-Identifier: Apache-2.0 */
/* Error bounds of core/mathfun.h against double precision, and the same bytes from every
 * instruction set. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/mathfun.h"
#include "core/rng.h"
#include "core/sin_cos_pow.h"
#include "core/vecmath.h"

#define POINTS 200000

static double ulps(float found, double expected)
{
    const float near = (float)expected;
    const double ulp = (double)nextafterf(fabsf(near), INFINITY) - (double)fabsf(near);

    return fabs((double)found - expected) / ulp;
}

static double sigmoid(double x)
{
    return 1.0 / (1.0 + exp(-x));
}

static const struct {
    const char *name;
    float (*fn)(float x);
    double (*reference)(double x);
    double least, most, bound; /* [ulp] */
} claims[] = {
    {"exp", tspk_expf, exp, -86.97, 88.7, 2.0},
    {"exp", tspk_expf, exp, -1.0, 1.0, 2.0},
    {"log", tspk_logf, log, 1e-3, 10.0, 2.0},
    {"log", tspk_logf, log, 1.0, 1e30, 2.0},
    {"erf", tspk_erff, erf, -5.0, 5.0, 6.0},
    {"erf", tspk_erff, erf, -1e-3, 1e-3, 6.0},
    {"tanh", tspk_tanhf, tanh, -12.0, 12.0, 6.0},
    {"tanh", tspk_tanhf, tanh, -1e-2, 1e-2, 6.0},
    {"sin", tspk_sinf, sin, -4.0, 4.0, 0.51},
    {"sin", tspk_sinf, sin, -131000.0, 131100.0, 0.51},
    {"sin", tspk_sinf, sin, -3e38, 3.3e38, 0.51},
    {"sin", tspk_sinf, sin, -1e-6, 1e-6, 0.51},
    {"cos", tspk_cosf, cos, -4.0, 4.0, 0.51},
    {"cos", tspk_cosf, cos, -131000.0, 131100.0, 0.51},
    {"cos", tspk_cosf, cos, 1e7, 1e15, 0.51},
    {"sigmoid", tspk_sigmoidf, sigmoid, -86.0, 86.0, 4.0},
};

static void functions_keep_their_error_bounds(void **state)
{
    (void)state;
    for (size_t k = 0; k < sizeof claims / sizeof claims[0]; k++) {
        double worst = 0.0;

        for (int i = 0; i <= POINTS; i++) {
            const double at = claims[k].least + (claims[k].most - claims[k].least) * i / POINTS;
            const float x = (float)at;
            const double error = ulps(claims[k].fn(x), claims[k].reference((double)x));

            worst = error > worst ? error : worst;
        }
        print_message("%s on [%g, %g]: %.2f ulp\n", claims[k].name, claims[k].least, claims[k].most,
                      worst);
        assert_true(worst <= claims[k].bound);
    }
}

/* Random bits, so every magnitude, denormal ones too. */
static void powers_keep_their_error_bound(void **state)
{
    tspk_rng rng = {5};
    double worst = 0.0;

    (void)state;
    for (int i = 0; i < 4 * POINTS; i++) {
        const float x = tspk_float_from_bits((uint32_t)(tspk_rng_next(&rng) >> 33) % 0x7f800000u);
        const float spread = i % 2 ? 3.0f : 400.0f;
        const float y = (float)((double)(tspk_rng_next(&rng) >> 40) / 8388608.0 - 1.0) * spread;
        const double expected = pow((double)x, (double)y);
        const float found = tspk_powf(x, y);

        if (fabs(expected) >= 3.4e38)
            assert_true(found >= 3.4e38f);
        else
            worst = fmax(worst, ulps(found, expected));
    }
    print_message("pow: %.3f ulp\n", worst);
    assert_true(worst <= 0.51);
}

static void special_powers_are_those_of_c(void **state)
{
    static const float at[] = {0.0f,  -0.0f,     1.0f,       -1.0f,     2.0f,      -2.0f,     0.5f,
                               -0.5f, 3.0f,      -3.0f,      16777216.0f, 16777215.0f, -8388609.0f,
                               1e30f, INFINITY, -INFINITY, NAN,       1e-30f,    -1e-30f,   1e-42f};
    const size_t n = sizeof at / sizeof at[0];

    (void)state;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < n; j++) {
            const float expected = powf(at[i], at[j]), found = tspk_powf(at[i], at[j]);

            if (expected != expected ? found == found
                                     : fabsf(found - expected) > 1.2e-7f * fabsf(expected) ||
                                           signbit(found) != signbit(expected))
                fail_msg("pow(%g, %g) = %g, expected %g", (double)at[i], (double)at[j],
                         (double)found, (double)expected);
        }
    assert_true(tspk_sinf(INFINITY) != tspk_sinf(INFINITY));
    assert_true(tspk_cosf(NAN) != tspk_cosf(NAN));
    assert_true(signbit(tspk_sinf(-0.0f)) && tspk_cosf(0.0f) == 1.0f);
}

static void gelu_keeps_its_absolute_error(void **state)
{
    double worst_erf = 0.0, worst_tanh = 0.0;

    (void)state;
    for (int i = -POINTS; i <= POINTS; i++) {
        const float at = 10.0f * (float)i / POINTS;
        const double x = (double)at;
        const double inner = sqrt(2.0 / acos(-1.0)) * (x + 0.044715 * x * x * x);

        worst_erf =
            fmax(worst_erf, fabs((double)tspk_gelu_erf(at) - 0.5 * x * (1.0 + erf(x * sqrt(0.5)))));
        worst_tanh =
            fmax(worst_tanh, fabs((double)tspk_gelu_tanh(at) - 0.5 * x * (1.0 + tanh(inner))));
    }
    print_message("gelu: %.2g (erf), %.2g (tanh)\n", worst_erf, worst_tanh);
    assert_true(worst_erf <= 1e-6 && worst_tanh <= 2e-6);
    for (int i = -POINTS; i <= POINTS; i++) {
        const float at = 0.01f * (float)i / POINTS;
        const double wanted = 0.5 * (double)at * (1.0 + erf((double)at * sqrt(0.5)));

        assert_true(fabs((double)tspk_gelu_erf(at) - wanted) <= 4e-6 * fabs(wanted));
    }
    assert_true(tspk_gelu_erf(INFINITY) == INFINITY && tspk_gelu_erf(-INFINITY) == 0.0f &&
                isnan(tspk_gelu_erf(NAN)));
}

static void the_ends_of_the_range(void **state)
{
    (void)state;
    assert_true(tspk_expf(0.0f) == 1.0f);
    assert_true(tspk_expf(-INFINITY) == 0.0f && tspk_expf(-87.0f) == 0.0f);
    assert_true(tspk_expf(TSPK_EXP_LEAST) > 0.0f);
    assert_true(isinf(tspk_expf(INFINITY)) && isinf(tspk_expf(88.8f)) &&
                isfinite(tspk_expf(88.7f)));
    assert_true(isnan(tspk_expf(NAN)) && isnan(tspk_erff(NAN)) && isnan(tspk_tanhf(NAN)));
    assert_true(tspk_logf(1.0f) == 0.0f && tspk_logf(0.0f) == -INFINITY);
    assert_true(tspk_logf(INFINITY) == INFINITY && isnan(tspk_logf(-1.0f)) &&
                isnan(tspk_logf(NAN)));
    assert_true(tspk_erff(INFINITY) == 1.0f && tspk_erff(-4.0f) == -1.0f &&
                tspk_erff(0.0f) == 0.0f);
    assert_true(tspk_sigmoidf(-INFINITY) == 0.0f && tspk_sigmoidf(INFINITY) == 1.0f);
}

#define MOST 700

static void fill(tspk_rng *rng, size_t n, float span, float *x)
{
    for (size_t i = 0; i < n; i++)
        x[i] = span * ((float)(tspk_rng_next(rng) >> 40) / 8388608.0f - 1.0f);
    if (n && tspk_rng_below(rng, 4) == 0)
        x[tspk_rng_below(rng, n)] = -INFINITY;
}

/* Equal bytes; a NaN may have any payload. */
static void expect_same(size_t n, const float *a, const float *b)
{
    for (size_t i = 0; i < n; i++)
        if (memcmp(&a[i], &b[i], sizeof a[i]) && !(isnan(a[i]) && isnan(b[i])))
            fail_msg("element %zu of %zu: %.9g and %.9g", i, n, (double)a[i], (double)b[i]);
}

static void compare_with_scalar(const tspk_vecmath *other)
{
    const char *const text = getenv("TSPK_TEST_SEED");
    tspk_rng rng = {text ? strtoull(text, NULL, 10) : 1};
    const tspk_vecmath *const sets[] = {tspk_vecmath_for(TSPK_ISA_SCALAR), other};
    float x[MOST], weight[MOST], bias[MOST], y[2][MOST], z[2][MOST];

    print_message("seed %llu (TSPK_TEST_SEED sets another)\n", (unsigned long long)rng.state);
    for (int trial = 0; trial < 500; trial++) {
        const size_t n = (size_t)tspk_rng_below(&rng, MOST);
        const float span = trial % 2 ? 4.0f : 120.0f;
        float number[2][4];

        fill(&rng, n, span, x);
        fill(&rng, n, 1.0f, weight);
        fill(&rng, n, 1.0f, bias);
#define BOTH(call)                                                                                 \
    for (int s = 0; s < 2; s++)                                                                    \
        sets[s]->call;                                                                             \
    expect_same(n, y[0], y[1])
        BOTH(exp(n, x, y[s]));
        BOTH(log(n, x, y[s]));
        BOTH(erf(n, x, y[s]));
        BOTH(tanh(n, x, y[s]));
        BOTH(sigmoid(n, x, y[s]));
        BOTH(gelu_erf(n, x, y[s]));
        BOTH(gelu_tanh(n, x, y[s]));
        BOTH(silu(n, 1.702f, x, y[s]));
        BOTH(scale(n, 0.3f, x, y[s]));
        BOTH(softmax(n, x, y[s]));
        BOTH(layer_norm(n, x, weight, bias, 1e-6f, y[s]));
        BOTH(layer_norm(n, x, weight, NULL, 1e-6f, y[s]));
        BOTH(layer_norm(n, x, NULL, bias, 1e-6f, y[s]));
        BOTH(layer_norm(n, x, NULL, NULL, 1e-6f, y[s]));
        BOTH(rms_norm(n, x, weight, 1e-6f, y[s]));
        BOTH(rms_norm(n, x, NULL, 1e-6f, y[s]));
        for (int s = 0; s < 2; s++) {
            number[s][0] = sets[s]->sum(n, x);
            number[s][1] = sets[s]->max(n, x);
            number[s][2] = sets[s]->exp_minus(n, 1.5f, x, z[s]);
            /* in place is allowed */
            memcpy(y[s], x, sizeof x);
            sets[s]->softmax(n, y[s], y[s]);
            number[s][3] = 0.0f;
        }
        expect_same(n, z[0], z[1]);
        expect_same(n, y[0], y[1]);
        expect_same(4, number[0], number[1]);
        sets[1]->softmax(n, x, z[1]);
        expect_same(n, y[0], z[1]);
    }
}

static void every_set_gives_the_same_bytes(void **state)
{
    static const tspk_isa wide[] = {TSPK_ISA_AVX2, TSPK_ISA_AVX512VNNI};
    int compared = 0;

    (void)state;
    for (size_t i = 0; i < sizeof wide / sizeof *wide; i++)
        if (tspk_isa_is_supported(wide[i])) {
            compare_with_scalar(tspk_vecmath_for(wide[i]));
            compared++;
        }
    if (!compared)
        skip();
}

static void rows_of_known_result(void **state)
{
    const tspk_vecmath *const vec = tspk_vecmath_for(TSPK_ISA_AUTO);
    float x[40], y[40];

    (void)state;
    for (int i = 0; i < 40; i++)
        x[i] = (float)(i - 10);
    assert_true(vec->sum(40, x) == 380.0f && vec->max(40, x) == 29.0f);
    assert_true(vec->sum(0, x) == 0.0f && vec->max(0, x) == -INFINITY);
    assert_true(vec->sum(1, x) == -10.0f && vec->max(1, x) == -10.0f);
    vec->softmax(2, (const float[]){3.0f, 3.0f}, y);
    assert_true(y[0] == 0.5f && y[1] == 0.5f);
    vec->layer_norm(2, (const float[]){1.0f, 3.0f}, (const float[]){2.0f, 4.0f},
                    (const float[]){10.0f, 20.0f}, 0.0f, y);
    assert_true(y[0] == 8.0f && y[1] == 24.0f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(functions_keep_their_error_bounds),
        cmocka_unit_test(powers_keep_their_error_bound),
        cmocka_unit_test(special_powers_are_those_of_c),
        cmocka_unit_test(gelu_keeps_its_absolute_error),
        cmocka_unit_test(the_ends_of_the_range),
        cmocka_unit_test(every_set_gives_the_same_bytes),
        cmocka_unit_test(rows_of_known_result),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
