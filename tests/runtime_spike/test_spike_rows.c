/* SPDX-License-Identifier: Apache-2.0 */
/* Every row kernel of every instruction set against the scalar table, bit by bit; the neurons
 * against their definition. */
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
#include "runtime/spike/spike_exec.h"

static const uint64_t SEED = 20240607;
static tspk_rng rng;
static const tspk_row_kernels *tables[3]; /* of this machine; the first is the scalar one */
static size_t n_tables;

static int set_up(void **state)
{
    static const tspk_isa sets[] = {TSPK_ISA_SCALAR, TSPK_ISA_AVX2, TSPK_ISA_AVX512VNNI};

    (void)state;
    rng.state = SEED;
    printf("seed %llu:", (unsigned long long)SEED);
    for (size_t i = 0; i < sizeof sets / sizeof *sets; i++)
        if (tspk_isa_is_supported(sets[i])) {
            tables[n_tables] = tspk_row_kernels_for(sets[i]);
            printf(" %s", tables[n_tables++]->name);
        }
    printf("\n");
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

enum { N = 3 * 64, ROWS = 5, LEVELS = 10 };

/* Levels of N neurons by rising magnitude, as ladders make them, with their thresholds. */
typedef struct ladders {
    int n[2][N];
    int level[2][LEVELS][N];       /* magnitudes */
    float threshold[2][LEVELS][N]; /* magnitudes */
    float step[N], reciprocal[N];
    uint8_t side[2][LEVELS * 2 * N];
    tspk_fire_table table;
} ladders;

static void make_ladders(ladders *l, bool is_mirrored, bool is_ecmt, int most)
{
    l->table = (tspk_fire_table){
        .step = l->step, .reciprocal = l->reciprocal, .is_mirrored = is_mirrored};
    for (int c = 0; c < N; c++) {
        const bool is_dead = !below(9);

        l->step[c] = is_dead ? 0.0f : below(2) ? 0.25f : 0.1f + fabsf(real());
        l->reciprocal[c] = is_dead ? 0.0f : 2.0f * (1.0f / l->step[c]);
        for (int side = 0; side < 2; side++) {
            int m = 0;

            if (side && is_mirrored)
                l->n[1][c] = l->n[0][c];
            else
                l->n[side][c] = is_dead ? 0 : (int)below(LEVELS + 1);
            for (int i = 0; i < LEVELS; i++) {
                const int before = m;
                uint8_t *const at = l->side[side] + (c / 64 * LEVELS + i) * 128 + c % 64;
                const bool is_there = i < l->n[side][c];

                if (side && is_mirrored)
                    m = l->level[0][i][c];
                else
                    m += 1 + (int)below((unsigned)((most - m) / (LEVELS - i)));
                l->level[side][i][c] = m;
                l->threshold[side][i][c] =
                    is_ecmt ? (float)m - 0.5f * (float)l->level[side][0][c]
                            : 0.5f * (float)(before + m);
                at[0] = (uint8_t)(is_there ? (int)(2.0f * l->threshold[side][i][c]) - 129 : 127);
                at[64] = (uint8_t)(is_there ? m - before : 0);
            }
        }
    }
    for (int side = 0; side < 2; side++) {
        l->table.n_side[side] = LEVELS;
        l->table.side[side] = l->side[side];
    }
}

/* docs/spikefile.md, "Neuron" */
static int wanted_level(const ladders *l, size_t c, float x, float o, float t, float *o_out)
{
    const float u = t * x - o;
    const float p = u * (0.5f * l->reciprocal[c]);
    int m = 0;

    for (int side = 0; side < 2; side++)
        for (int i = 0; i < l->n[side][c]; i++) {
            if (!side && p > l->threshold[0][i][c])
                m = l->level[0][i][c];
            if (side && p < -l->threshold[1][i][c])
                m = -l->level[1][i][c];
        }
    *o_out = o + (float)m * l->step[c];
    return m;
}

static void check_row(const ladders *l, const tspk_fire_args *args, size_t r, const float *o)
{
    tspk_level_count count = {0, 0};

    for (size_t i = 0; i < args->n; i++) {
        const size_t c = args->is_alike ? args->block * 64 : i;
        float kept;
        const int m = wanted_level(l, c, args->x[r * args->ldx + i],
                                   args->o_in ? o[r * args->ldo_in + i] : 0.0f, args->t, &kept);
        const int found = args->is_wide ? ((int16_t *)args->level)[r * args->ldl + i]
                                        : ((int8_t *)args->level)[r * args->ldl + i];

        assert_int_equal(found, m);
        if (args->o_out) {
            const float now = args->o_out[r * args->ldo_out + i];

            assert_true(now == kept || (isnan(now) && isnan(kept)));
        }
        count.spikes += m != 0;
        if (abs(m) & (abs(m) - 1))
            count.bits += (uint64_t)floor(log2(abs(m))) + 1;
    }
    assert_int_equal(args->count[r].spikes, count.spikes);
    assert_int_equal(args->count[r].bits, count.bits);
}

/* Every table against the definition: all widths, states, ladders; ties, infinities and NaNs. */
static void test_fire(void **state)
{
    static ladders l;
    static float x[ROWS * N], o[ROWS * N], before[ROWS * N];
    static int16_t level[ROWS * N];
    tspk_level_count count[ROWS];

    (void)state;
    for (int round = 0; round < 600; round++) {
        const bool is_wide = below(2), is_ecmt = below(2);
        const bool is_alike = below(4) == 0;
        tspk_fire_args args = {.table = &l.table,
                               .rows = 1 + below(ROWS),
                               .n = 16 * (1 + below(N / 16)),
                               .is_alike = is_alike,
                               .block = below(3),
                               .t = (float)(round & 1 ? 1 + below(5) : 1),
                               .x = x,
                               .ldx = N,
                               .o_in = round & 4 ? o : NULL,
                               .ldo_in = round & 8 ? N : 0,
                               .o_out = round & 16 ? o : NULL,
                               .ldo_out = N,
                               .level = level,
                               .is_wide = is_wide,
                               .ldl = N,
                               .count = count};

        make_ladders(&l, below(2), is_ecmt, is_wide ? 128 : 127);
        if (is_alike)
            for (size_t c = 0; c < N; c++) {
                l.step[c] = l.step[c / 64 * 64];
                l.reciprocal[c] = l.reciprocal[c / 64 * 64];
                for (int side = 0; side < 2; side++)
                    for (size_t i = 0; i < 2 * LEVELS; i++) {
                        uint8_t *const at = l.side[side] + (c / 64 * 2 * LEVELS + i) * 64;

                        at[c % 64] = at[0];
                    }
            }
        if (!args.ldo_in)
            args.o_out = NULL;
        /* halves of steps of 1/4 fall on thresholds and on zero */
        for (size_t i = 0; i < ROWS * N; i++) {
            x[i] = below(2) ? 30.0f * real() : (float)((int)below(601) - 300) / 8.0f;
            before[i] = below(2) ? real() : below(2) ? 0.0f : -0.0f;
            if (!below(40))
                x[i] = below(2) ? NAN : below(2) ? INFINITY : -INFINITY;
            if (!below(40))
                x[i] = below(2) ? 1e38f : -1e-42f;
        }
        for (size_t which = 0; which < n_tables; which++) {
            memcpy(o, before, sizeof o);
            memset(level, 0x55, sizeof level);
            tables[which]->fire(&args);
            for (size_t r = 0; r < args.rows; r++)
                check_row(&l, &args, r, before);
        }
    }
}

static void test_fire_ties(void **state)
{
    static const int m[] = {1, 2, 4};
    const float x[16] = {0.5f, 1.5f, 3.0f, 3.1f, -0.5f, -0.6f, 1e30f, -1e30f, NAN, 0.0f};
    const int8_t wanted[16] = {0, 1, 2, 4, 0, -1, 4, -1, 0, 0};
    static float step[64], twice[64];
    static int8_t found[16];
    static uint8_t side[2][4][2][64]; /* level; bounds, rises */
    const tspk_fire_table table = {.step = step,
                                   .reciprocal = twice,
                                   .n_side = {4, 2},
                                   .side = {side[0][0][0], side[1][0][0]}};
    tspk_level_count count;
    const tspk_fire_args args = {.table = &table,
                                 .rows = 1,
                                 .n = 16,
                                 .is_alike = true,
                                 .t = 1.0f,
                                 .x = x,
                                 .ldx = 16,
                                 .level = found,
                                 .ldl = 16,
                                 .count = &count};

    (void)state;
    for (int c = 0; c < 64; c++) {
        step[c] = 1.0f;
        twice[c] = 2.0f;
        for (int i = 0; i < 3; i++) {
            const int before = i ? m[i - 1] : 0;

            side[0][i][0][c] = (uint8_t)(before + m[i] - 129);
            side[0][i][1][c] = (uint8_t)(m[i] - before);
        }
        side[0][3][0][c] = side[1][1][0][c] = 127;
        side[1][0][0][c] = (uint8_t)(1 - 129);
        side[1][0][1][c] = 1;
    }
    for (size_t which = 0; which < n_tables; which++) {
        tables[which]->fire(&args);
        assert_memory_equal(found, wanted, sizeof wanted);
        assert_int_equal(count.spikes, 6);
    }
}

static void test_reorder(void **state)
{
    enum { CHANNELS = 500, LD = 512, POSITIONS = 304, HIGH = 19 };
    static int16_t wide[HIGH][LD], found[HIGH][POSITIONS];
    static int8_t narrow[HIGH][LD], bytes[HIGH][POSITIONS];
    static uint32_t order[POSITIONS];

    (void)state;
    for (int round = 0; round < 100; round++) {
        const size_t rows = 1 + below(HIGH), channels = 1 + below(CHANNELS);
        const size_t n = 16 * (1 + below(POSITIONS / 16));

        for (size_t i = 0; i < n; i++)
            order[i] = below((uint32_t)channels);
        for (size_t r = 0; r < HIGH; r++)
            for (size_t c = 0; c < LD; c++) {
                wide[r][c] = (int16_t)((int)below(257) - 128);
                narrow[r][c] = (int8_t)((int)below(255) - 127);
            }
        for (size_t which = 0; which < n_tables; which++) {
            memset(found, 0x55, sizeof found);
            memset(bytes, 0x55, sizeof bytes);
            tables[which]->reorder(rows, n, channels, order, true, wide, LD, found, POSITIONS);
            tables[which]->reorder(rows, n, channels, order, false, narrow, LD, bytes, POSITIONS);
            for (size_t r = 0; r < rows; r++)
                for (size_t i = 0; i < POSITIONS; i++) {
                    assert_int_equal(found[r][i], i < n ? wide[r][order[i]] : 0x5555);
                    assert_int_equal(bytes[r][i], i < n ? narrow[r][order[i]] : 0x55);
                }
        }
    }
}

/* Everything in float, with every length up to two vectors and more. */
static void test_float(void **state)
{
    enum { MOST = 70, HIGH = 13, INNER = 150, TABLES = 3 };
    static float a[HIGH * INNER], b[INNER * 16], bias[MOST];
    static int16_t level[2][MOST];
    static int8_t code[MOST];
    static float y[TABLES][HIGH * MOST], out[TABLES][HIGH * MOST];

    (void)state;
    for (size_t n = 0; n <= MOST; n++) {
        const float factor = real();
        const size_t rows = 1 + below(HIGH), inner = 1 + below(INNER), wide = n < 16 ? n : 16;

        for (size_t i = 0; i < HIGH * INNER; i++)
            a[i] = real();
        for (size_t i = 0; i < HIGH * MOST; i++)
            for (int which = 0; which < TABLES; which++)
                y[which][i] = out[which][i] = which ? y[0][i] : real();
        for (size_t i = 0; i < INNER * 16; i++)
            b[i] = real();
        for (size_t i = 0; i < MOST; i++) {
            bias[i] = real();
            level[0][i] = (int16_t)((int)below(255) - 127);
            level[1][i] = (int16_t)((1 << below(8)) * ((int)below(3) - 1));
        }
        for (size_t which = 0; which < n_tables; which++) {
            const tspk_row_kernels *const k = tables[which];
            float dot;

            k->finish(n, factor, a, n & 1 ? y[which] : NULL, n & 2, n & 4 ? 3.0f : 0.0f, bias,
                      out[which]);
            k->logits(n, factor, a, bias, n & 1 ? a + MOST : NULL, y[which], y[which]);
            k->scale_out(n, factor, a, bias, n & 1 ? a + MOST : NULL, out[which] + MOST);
            k->add_scaled(n, factor, a, out[which] + MOST);
            for (int form = TSPK_CODE_LEVEL; form <= TSPK_CODE_EXPONENT; form++) {
                k->encode(n, form, level[form], code);
                for (size_t i = 0; i < n; i++)
                    assert_int_equal(code[i], tspk_code_of_level(form, level[form][i]));
                k->add_codes(n, bias, n & 8, form, code, n & 2 ? a : NULL,
                             y[which] + (2 + form) * MOST);
            }
            k->decode(n, a, n & 1 ? bias : NULL, n & 2 ? 3.0f : 0.0f, n & 4 ? a + 1 : NULL,
                      out[which] + 2 * MOST);
            dot = k->dot(n, a, bias);
            memcpy(out[which] + 3 * MOST, &dot, sizeof dot);
            k->gemm_f32(rows, inner, a, inner, b, n & 1 ? bias : NULL, wide, y[which] + MOST, 16);
        }
        for (size_t which = 1; which < n_tables; which++) {
            assert_memory_equal(out[0], out[which], sizeof out[0]);
            assert_memory_equal(y[0], y[which], sizeof y[0]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_fire),
        cmocka_unit_test(test_fire_ties),
        cmocka_unit_test(test_reorder),
        cmocka_unit_test(test_float),
    };

    return cmocka_run_group_tests(tests, set_up, NULL);
}
