/* SPDX-License-Identifier: Apache-2.0 */
/* Scales fitted by the error of sorted samples, against neurons that fire them one at a time. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calib/channel_fit.h"
#include "calib/neuron_bank.h"
#include "core/rng.h"

#define SEED 20240917u

enum { CHANNELS = 4, SAMPLES = 2000 };

static double uniform(tspk_rng *rng)
{
    return (double)(tspk_rng_next(rng) >> 11) / 9007199254740992.0;
}

static double normal(tspk_rng *rng)
{
    return sqrt(-2 * log(uniform(rng) + 1e-300)) * cos(6.283185307179586 * uniform(rng));
}

/* Channel 0 is normal, 1 leans to the right, 2 to the left, 3 is normal and fifty times wider. */
static void fill(float *value)
{
    tspk_rng rng = {SEED};

    print_message("seed %u\n", SEED);
    for (size_t i = 0; i < SAMPLES; i++) {
        value[i] = (float)normal(&rng);
        value[SAMPLES + i] = (float)(exp(normal(&rng)) - 1);
        value[2 * SAMPLES + i] = (float)(1 - exp(normal(&rng)));
        value[3 * SAMPLES + i] = (float)(50 * normal(&rng));
    }
}

/* The levels of one sign by rising magnitude. */
static uint32_t side_of(const tspk_ladder_values *ladder, double scale, int sign, double *level)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < ladder->n; i++) {
        const double value = ladder->value[sign > 0 ? i : ladder->n - 1 - i];

        if (sign * value > 0)
            level[n++] = scale * sign * value;
    }
    return n;
}

/* docs/spikefile.md, "Neuron", nearest rule: what a potential fires before levels are integers. */
static double fired_by_rule(const tspk_ladder_values *ladder, double scale, double p,
                            bool *is_on_threshold_out)
{
    double level[2 * TSPK_MAX_LEVELS], fired = 0;
    const int sign = p > 0 ? 1 : -1;
    const uint32_t n = side_of(ladder, scale, sign, level);

    *is_on_threshold_out = false;
    for (uint32_t i = 0; i < n; i++) {
        double threshold = 0.5 * ((i ? level[i - 1] : 0) + level[i]);

        if (i == 0 && n > 1)
            threshold = fmin((1 + ladder->dead_zone) * threshold, 0.5 * (level[0] + level[1]));
        else if (i == 0)
            threshold *= 1 + ladder->dead_zone;
        if (fabs(p) > threshold)
            fired = sign * level[i];
        *is_on_threshold_out |= fabs(fabs(p) - threshold) < 1e-6 * threshold;
    }
    return fired;
}

/* Squared error of a channel's samples as its neuron fires them. */
static double error_of_bank(const tspk_ladder_values *ladder, double scale, const float *x)
{
    tspk_neuron_bank bank = {0};
    double error = 0;

    assert_int_equal(tspk_neuron_bank_real(&bank, 1, ladder, &scale, TSPK_FIRE_NEAREST, NULL),
                     TSPK_OK);
    for (size_t i = 0; i < SAMPLES; i++) {
        float o = 0;

        tspk_neuron_bank_fire_row(&bank, TSPK_CODING_DIFFERENTIAL, 1, x + i, &o);
        error += ((double)x[i] - (double)o) * ((double)x[i] - (double)o);
    }
    tspk_neuron_bank_done(&bank);
    return error;
}

/* Whether both signs fired. */
static bool fires_by_the_rule(const tspk_ladder_values *ladder, double scale, const float *x)
{
    tspk_neuron_bank bank = {0};
    bool has_positive = false, has_negative = false;

    assert_int_equal(tspk_neuron_bank_real(&bank, 1, ladder, &scale, TSPK_FIRE_NEAREST, NULL),
                     TSPK_OK);
    for (size_t i = 0; i < SAMPLES; i++) {
        bool is_on_threshold;
        const double wanted = fired_by_rule(ladder, scale, (double)x[i], &is_on_threshold);
        float o = 0;

        tspk_neuron_bank_fire_row(&bank, TSPK_CODING_DIFFERENTIAL, 1, x + i, &o);
        if (!is_on_threshold)
            assert_true(fabs((double)o - wanted) <= 1e-6 * fabs(wanted));
        has_positive |= o > 0;
        has_negative |= o < 0;
    }
    tspk_neuron_bank_done(&bank);
    return has_positive && has_negative;
}

static bool is_zone_beyond_second(const tspk_ladder_values *ladder)
{
    bool is_beyond = true;

    for (int sign = -1; sign <= 1; sign += 2) {
        double level[2 * TSPK_MAX_LEVELS];

        is_beyond &= side_of(ladder, 1, sign, level) > 1 &&
                     (1 + ladder->dead_zone) * level[0] > level[0] + level[1];
    }
    return is_beyond;
}

/* No scale between half a deviation and two and a half makes the neurons err much less than the
 * fitted one; the fit tries scales 8 % apart. */
static void check_priced(tspk_ladder_kind kind, double price)
{
    const tspk_channel_fit_settings settings = {
        .kind = kind, .n_levels = 4, .price = price, .threads = 1};
    float *value = malloc(CHANNELS * SAMPLES * sizeof *value);
    tspk_population population = {.channels = CHANNELS, .n = SAMPLES, .value = value};
    tspk_ladder_values ladder;
    double scale[CHANNELS];
    bool has_both = false;

    fill(value);
    assert_int_equal(tspk_fit_channels(&population, &settings, &ladder, scale, NULL), TSPK_OK);
    assert_int_equal(is_zone_beyond_second(&ladder), price > 0);
    for (size_t c = 0; c < CHANNELS; c++) {
        const float *x = value + c * SAMPLES;
        double square = 0, least = INFINITY;

        has_both |= fires_by_the_rule(&ladder, scale[c], x);
        for (size_t i = 0; i < SAMPLES; i++)
            square += (double)x[i] * (double)x[i];
        for (double multiple = 0.5; multiple < 2.5; multiple *= 1.02)
            least = fmin(least, error_of_bank(&ladder, multiple * sqrt(square / SAMPLES), x));
        assert_true(error_of_bank(&ladder, scale[c], x) < 1.02 * least);
    }
    assert_true(has_both);
    free(value);
}

static void scales_are_the_best_of_what_neurons_fire(void **state)
{
    static const tspk_ladder_kind kinds[] = {TSPK_LADDER_POW2, TSPK_LADDER_GEOMETRIC,
                                             TSPK_LADDER_UNIFORM, TSPK_LADDER_FITTED,
                                             TSPK_LADDER_SIGNED};

    (void)state;
    for (size_t k = 0; k < sizeof kinds / sizeof *kinds; k++) {
        check_priced(kinds[k], 0);
        check_priced(kinds[k], 2);
    }
}

/* A sample of mass m counts like m of it. */
static void mass_counts_like_repetition(void **state)
{
    enum { N = 700, MOST = 3 };
    static const double prices[] = {0, 0.1};
    double mass[N], scale[2][CHANNELS];
    float *value = malloc((1 + MOST) * CHANNELS * N * sizeof *value);
    float *repeated = value + CHANNELS * N;
    size_t total = 0;
    tspk_rng rng = {SEED};

    (void)state;
    for (size_t i = 0; i < N; i++)
        total += (size_t)(mass[i] = 1 + (double)tspk_rng_below(&rng, MOST));
    for (size_t k = 0; k < sizeof prices / sizeof *prices; k++) {
        const tspk_channel_fit_settings settings = {
            .kind = TSPK_LADDER_SIGNED, .n_levels = 4, .price = prices[k], .threads = 2};
        tspk_population massive = {CHANNELS, N, value, mass};
        tspk_population plain = {CHANNELS, (uint32_t)total, repeated, NULL};
        tspk_ladder_values ladder[2];
        float *to = repeated;

        for (size_t c = 0; c < CHANNELS; c++)
            for (size_t i = 0; i < N; i++) {
                value[c * N + i] =
                    (float)(ldexp(rint(ldexp(normal(&rng), 10)), -10) * (double)(c + 1));
                for (double m = 0; m < mass[i]; m++)
                    *to++ = value[c * N + i];
            }
        assert_int_equal(tspk_fit_channels(&massive, &settings, &ladder[0], scale[0], NULL), 0);
        assert_int_equal(tspk_fit_channels(&plain, &settings, &ladder[1], scale[1], NULL), 0);
        assert_int_equal(ladder[0].n, ladder[1].n);
        assert_true(fabs(ladder[0].dead_zone - ladder[1].dead_zone) < 1e-9);
        for (uint32_t i = 0; i < ladder[0].n; i++)
            assert_true(fabs(ladder[0].value[i] - ladder[1].value[i]) < 1e-9);
        for (size_t c = 0; c < CHANNELS; c++)
            assert_true(scale[0][c] > 0 && fabs(scale[0][c] / scale[1][c] - 1) < 1e-9);
        massive.mass = NULL;
        assert_int_equal(tspk_fit_channels(&massive, &settings, &ladder[0], scale[0], NULL), 0);
        assert_true(fabs(ladder[0].value[0] - ladder[1].value[0]) > 1e-6);
    }
    free(value);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scales_are_the_best_of_what_neurons_fire),
        cmocka_unit_test(mass_counts_like_repetition),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
