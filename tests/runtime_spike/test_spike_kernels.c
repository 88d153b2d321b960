/* SPDX-License-Identifier: Apache-2.0 */
/* Every kernel of every instruction set against the scalar table, bit by bit, and the scalar
 * integers against plain 64-bit sums. */
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
#include "runtime/spike/kernels.h"

enum { MOST = 1 << 16 };

static const uint64_t SEED = 20240607;
static tspk_rng rng;
static const tspk_kernels *scalar, *other;

static int set_up(void **state)
{
    (void)state;
    scalar = tspk_kernels_scalar();
    other = tspk_isa_is_supported(TSPK_ISA_AVX2) ? tspk_kernels_avx2() : NULL;
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

static size_t list(size_t n_groups, size_t pairs, const int16_t *level, tspk_events *events)
{
    uint32_t n = 0;

    for (size_t g = 0; g < n_groups; g++) {
        for (size_t p = g * pairs; p < (g + 1) * pairs; p++)
            if (level[2 * p] || level[2 * p + 1]) {
                events->pair[n] = (uint32_t)p;
                memcpy(&events->value[n++], level + 2 * p, 4);
            }
        events->end[g] = n;
    }
    return n;
}

/* dense = events = plain sums; scalar = avx2 */
static void test_linear(void **state)
{
    enum { ROWS = 15, INNER = 512 };
    static int16_t level[ROWS * INNER], wide[INNER * 16];
    static int8_t narrow[INNER * 16];
    static float scale[INNER * 16], z[4][ROWS * 16];
    static uint32_t pair[INNER], end[INNER];
    static int32_t event[INNER];
    tspk_events events = {pair, event, end};

    (void)state;
    for (int round = 0; round < 300; round++) {
        const size_t n_groups = 1 + below(4), pairs = 1 + below(32), rows = 1 + below(ROWS);
        const size_t all = n_groups * pairs, ldl = 2 * all + below(5);
        const int kind = (int)below(5), bound = below(2) ? 127 : 128;
        const bool is_byte = round & 1;

        for (size_t i = 0; i < all * 32; i++) {
            const int most = is_byte ? 127 : 2000;
            const int w = kind == 1 ? most : (int)below(2u * (unsigned)most + 1) - most;

            narrow[i] = is_byte ? (int8_t)w : 0;
            wide[i] = (int16_t)w;
        }
        fill_levels(level, ROWS * ldl, kind, bound);
        for (size_t i = 0; i < n_groups * 16; i++)
            scale[i] = fabsf(real());
        for (int which = 0; which < 2; which++) {
            const tspk_kernels *const k = which && other ? other : scalar;

            memset(z[which], 0, sizeof z[which]);
            memset(z[2 + which], 0, sizeof z[2 + which]);
            if (is_byte)
                k->linear_i8(rows, n_groups, pairs, level, ldl, narrow, scale, z[which], 16);
            else
                k->linear_i16(rows, n_groups, pairs, level, ldl, wide, scale, z[which], 16);
            for (size_t r = 0; r < rows; r++) {
                list(n_groups, pairs, level + r * ldl, &events);
                if (is_byte)
                    k->linear_events_i8(n_groups, &events, narrow, scale, z[2 + which] + r * 16);
                else
                    k->linear_events_i16(n_groups, &events, wide, scale, z[2 + which] + r * 16);
            }
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t lane = 0; lane < 16; lane++) {
                float wanted = 0.0f;

                for (size_t g = 0; g < n_groups; g++) {
                    int64_t sum = 0;

                    for (size_t i = 2 * g * pairs; i < 2 * (g + 1) * pairs; i++)
                        sum += (int64_t)level[r * ldl + i] * wide[(i / 2 * 16 + lane) * 2 + i % 2];
                    wanted = fmaf(scale[g * 16 + lane], (float)sum, wanted);
                }
                for (int which = 0; which < 4; which++)
                    assert_memory_equal(&z[which][r * 16 + lane], &wanted, sizeof wanted);
            }
    }
}

static void test_product(void **state)
{
    enum { ROWS = 15, INNER = 400 };
    static int16_t a[ROWS * INNER], b[INNER * 16];
    static float out[4][ROWS * 16], before[ROWS * 16];
    static uint32_t pair[INNER], end[1];
    static int32_t event[INNER];
    tspk_events events = {pair, event, end};

    (void)state;
    for (int round = 0; round < 300; round++) {
        const size_t pairs = 1 + below(INNER / 2), rows = 1 + below(ROWS);
        const float factor = ldexpf(1.0f, -(int)below(20));
        const bool is_first = round & 1;

        fill_levels(a, ROWS * 2 * pairs, (int)below(4), below(2) ? 127 : 128);
        fill_levels(b, pairs * 32, (int)below(3), 128);
        for (size_t i = 0; i < ROWS * 16; i++)
            before[i] = real();
        for (int which = 0; which < 2; which++) {
            const tspk_kernels *const k = which && other ? other : scalar;

            memcpy(out[which], before, sizeof before);
            memcpy(out[2 + which], before, sizeof before);
            k->product(rows, pairs, a, 2 * pairs, b, factor, is_first, out[which], 16);
            for (size_t r = 0; r < rows; r++)
                k->product_events(list(1, pairs, a + r * 2 * pairs, &events), &events, b, factor,
                                  is_first, out[2 + which] + r * 16);
        }
        for (size_t r = 0; r < rows; r++)
            for (size_t lane = 0; lane < 16; lane++) {
                int64_t sum = 0;
                float wanted;

                for (size_t i = 0; i < 2 * pairs; i++)
                    sum += (int64_t)a[r * 2 * pairs + i] * b[(i / 2 * 16 + lane) * 2 + i % 2];
                wanted = fmaf((float)sum, factor, is_first ? 0.0f : before[r * 16 + lane]);
                for (int which = 0; which < 4; which++)
                    assert_memory_equal(&out[which][r * 16 + lane], &wanted, sizeof wanted);
            }
    }
}

static void test_pack(void **state)
{
    enum { INNER = 21, WIDTH = 40, LD = 50 };
    static int16_t level[LD * LD], tiles[2][LD * 2 * 64];

    (void)state;
    for (int round = 0; round < 200; round++) {
        const size_t inner = 1 + below(INNER), width = 1 + below(WIDTH);

        fill_levels(level, LD * LD, 0, 128);
        for (int transposed = 0; transposed < 2; transposed++) {
            for (int which = 0; which < 2; which++) {
                const tspk_kernels *const k = which && other ? other : scalar;

                memset(tiles[which], 0x55, sizeof tiles[which]);
                (transposed ? k->pack_rows : k->pack)(inner, width, level, LD, tiles[which]);
            }
            assert_memory_equal(tiles[0], tiles[1], sizeof tiles[0]);
            for (size_t c = 0; c < tspk_pad_lanes(width); c++)
                for (size_t i = 0; i < (inner + 1) / 2 * 2; i++) {
                    const size_t at =
                        c / 16 * ((inner + 1) / 2 * 32) + (i / 2 * 16 + c % 16) * 2 + i % 2;
                    const int16_t wanted = c >= width || i >= inner ? 0
                                           : transposed             ? level[c * LD + i]
                                                                    : level[i * LD + c];

                    assert_int_equal(tiles[0][at], wanted);
                }
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_linear),
        cmocka_unit_test(test_product),
        cmocka_unit_test(test_pack),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
