/* SPDX-License-Identifier: Apache-2.0 */
/* Every row kernel of every instruction set against the scalar table, bit by bit. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "runtime/spike/row_kernels.h"

enum { MOST = 1 << 16 };

static const uint64_t SEED = 20240607;
static tspk_rng rng;
static const tspk_row_kernels *scalar, *other;

static int set_up(void **state)
{
    (void)state;
    scalar = tspk_row_kernels_for(TSPK_ISA_SCALAR);
    other = tspk_isa_is_supported(TSPK_ISA_AVX2) ? tspk_row_kernels_for(TSPK_ISA_AVX2) : NULL;
    rng.state = SEED;
    printf("seed %llu, %s against scalar\n", (unsigned long long)SEED,
           other ? other->name : "nothing");
    return 0;
}

static uint32_t below(uint32_t n)
{
    return (uint32_t)(tspk_rng_next(&rng) >> 32) % n;
}

static float real(void)
{
    return (float)((double)(tspk_rng_next(&rng) >> 11) / 9007199254740992.0 * 2.0 - 1.0);
}

/* Levels: random with a share of zeros, or all at the bound, or none. */
static void fill_levels(int16_t *level, size_t n, int kind, int bound)
{
    for (size_t i = 0; i < n; i++) {
        if (kind == 0)
            level[i] = below(3) ? (int16_t)((int)below(2u * (unsigned)bound + 1) - bound) : 0;
        else
            level[i] = (int16_t)(kind == 1 ? bound : kind == 2 ? -bound : 0);
    }
}

static void test_fire(void **state)
{
    enum { N = 48, ROWS = 5, LEVELS = 9 };
    static float step[N], reciprocal[N], threshold[2][LEVELS * N], value[2][LEVELS * N];
    static float x[ROWS * N], o[2][ROWS * N];
    static int16_t level[2][ROWS * N];

    (void)state;
    for (int round = 0; round < 400; round++) {
        tspk_fire_table table = {N,        below(LEVELS + 1), below(LEVELS + 1),
                                 step,     reciprocal,        threshold[0],
                                 value[0], threshold[1],      value[1]};
        tspk_fire_args args = {.table = &table,
                               .rows = 1 + below(ROWS),
                               .n = 16 * (1 + below(3)),
                               .neuron = below(N),
                               .is_rate = round & 1,
                               .t = (float)(1 + below(5)),
                               .x = x,
                               .ldx = N,
                               .ldo_in = round & 2 ? N : 0,
                               .ldo_out = N,
                               .ldl = N};

        for (int c = 0; c < N; c++) {
            const int dead = !below(6);

            step[c] = dead ? 0.0f : 0.25f;
            reciprocal[c] = dead ? 0.0f : 4.0f;
            for (int i = 0; i < LEVELS; i++) {
                threshold[0][i * N + c] = dead ? INFINITY : (float)i + 0.5f;
                value[0][i * N + c] = dead ? 0.0f : (float)(i + 1);
                threshold[1][i * N + c] = dead ? -INFINITY : -(float)i - 0.5f;
                value[1][i * N + c] = dead ? 0.0f : -(float)(i + 1);
            }
        }
        /* multiples of 1/8 fall on thresholds and on zero */
        for (size_t i = 0; i < ROWS * N; i++) {
            x[i] = below(2) ? 3.0f * real() : (float)((int)below(65) - 32) / 8.0f;
            o[0][i] = o[1][i] = below(2) ? real() : 0.0f;
            if (!below(40))
                x[i] = below(2) ? NAN : INFINITY;
        }
        for (int k = 0; k < 2 && other; k++) {
            for (int which = 0; which < 2; which++) {
                const tspk_row_kernels *const kernels = which ? other : scalar;

                args.o_in = round & 4 ? o[which] : NULL;
                args.o_out = round & 8 ? o[which] : NULL;
                if (!args.ldo_in)
                    args.o_out = NULL;
                args.level = level[which];
                memset(level[which], 0, sizeof level[which]);
                (k ? kernels->fire_alike : kernels->fire)(&args);
            }
            assert_memory_equal(level[0], level[1], sizeof level[0]);
            for (size_t i = 0; i < ROWS * N; i++)
                assert_true(o[0][i] == o[1][i] || (isnan(o[0][i]) && isnan(o[1][i])));
        }
    }
}

static void test_fire_ties(void **state)
{
    static const float threshold[] = {0.5f, 1.5f, 3.0f}, level[] = {1.0f, 2.0f, 4.0f};
    static const float below_zero[] = {-0.5f}, minus[] = {-1.0f};
    const float step = 1.0f;
    const float x[16] = {0.5f, 1.5f, 3.0f, 3.1f, -0.5f, -0.6f, 1e30f, -1e30f, NAN, 0.0f};
    const int16_t wanted[16] = {0, 1, 2, 4, 0, -1, 4, -1, 0, 0};
    const tspk_fire_table table = {1, 3, 1, &step, &step, threshold, level, below_zero, minus};
    int16_t found[16];
    const tspk_fire_args args = {
        .table = &table, .rows = 1, .n = 16, .t = 1, .x = x, .ldx = 16, .level = found, .ldl = 16};

    (void)state;
    scalar->fire_alike(&args);
    assert_memory_equal(found, wanted, sizeof wanted);
}

static void test_count(void **state)
{
    static int16_t level[MOST];

    (void)state;
    for (int round = 0; round < 200; round++) {
        const size_t n = round < 3 ? MOST : below(3000);
        uint64_t spikes = 0, bits = 0;
        tspk_level_count found;

        fill_levels(level, n, round < 60 ? round % 4 : 0, 128 - (round == 2));
        for (size_t i = 0; i < n; i++) {
            const int m = abs(level[i]);

            spikes += m != 0;
            if (m & (m - 1))
                bits += (uint64_t)floor(log2(m)) + 1;
        }
        found = scalar->count(n, level);
        assert_int_equal(found.spikes, spikes);
        assert_int_equal(found.bits, bits);
        if (other) {
            found = other->count(n, level);
            assert_int_equal(found.spikes, spikes);
            assert_int_equal(found.bits, bits);
        }
    }
}

/* Everything in float, with every length up to two vectors and more. */
static void test_float(void **state)
{
    enum { N = 70, ROWS = 13, INNER = 150 };
    static float a[ROWS * INNER], b[INNER * 16], bias[N], y[2][ROWS * N], out[2][ROWS * N];

    (void)state;
    if (!other)
        skip();
    for (size_t n = 0; n <= N; n++) {
        const float factor = real();
        const size_t rows = 1 + below(ROWS), inner = 1 + below(INNER), wide = n < 16 ? n : 16;

        for (size_t i = 0; i < ROWS * INNER; i++)
            a[i] = real();
        for (size_t i = 0; i < ROWS * N; i++)
            y[0][i] = y[1][i] = out[0][i] = out[1][i] = real();
        for (size_t i = 0; i < INNER * 16; i++)
            b[i] = real();
        for (size_t i = 0; i < N; i++)
            bias[i] = real();
        for (int which = 0; which < 2; which++) {
            const tspk_row_kernels *const k = which ? other : scalar;
            float dot;

            k->finish(n, factor, a, n & 1 ? y[which] : NULL, n & 2, n & 4 ? 3.0f : 0.0f, bias,
                      out[which]);
            k->logits(n, factor, a, bias, n & 1 ? a + N : NULL, y[which]);
            k->scale_out(n, factor, a, bias, n & 1 ? a + N : NULL, out[which] + N);
            k->add_scaled(n, factor, a, out[which] + N);
            k->decode(n, a, n & 1 ? bias : NULL, n & 2 ? 3.0f : 0.0f, out[which] + 2 * N);
            dot = k->dot(n, a, bias);
            memcpy(out[which] + 3 * N, &dot, sizeof dot);
            k->gemm_f32(rows, inner, a, inner, b, n & 1 ? bias : NULL, wide, y[which] + N, 16);
        }
        assert_memory_equal(out[0], out[1], sizeof out[0]);
        assert_memory_equal(y[0], y[1], sizeof y[0]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fire),
        cmocka_unit_test(test_fire_ties),
        cmocka_unit_test(test_count),
        cmocka_unit_test(test_float),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
