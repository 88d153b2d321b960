/* SPDX-License-Identifier: Apache-2.0 */
/* Ladders, channel scales, units and weights against brute force. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calib/channel_fit.h"
#include "calib/class_fit.h"
#include "calib/neuron_bank.h"
#include "calib/prior.h"
#include "calib/quantise.h"
#include "calib/site_fit.h"
#include "calib/sort_floats.h"
#include "calib/weight_feedback.h"
#include "core/rng.h"

#define SEED 20240917u

static double uniform(tspk_rng *rng)
{
    return (double)(tspk_rng_next(rng) >> 11) / 9007199254740992.0;
}

static double normal(tspk_rng *rng)
{
    return sqrt(-2 * log(uniform(rng) + 1e-300)) * cos(6.283185307179586 * uniform(rng));
}

static void fill(tspk_histogram *h, double range, size_t n, double (*draw)(tspk_rng *))
{
    tspk_rng rng = {SEED};

    print_message("seed %u\n", SEED);
    tspk_histogram_init(h, range);
    for (size_t i = 0; i < n; i++)
        tspk_histogram_add(h, draw(&rng), 1);
}

static double flat(tspk_rng *rng)
{
    return 2 * uniform(rng) - 1;
}

static double one_sided(tspk_rng *rng)
{
    return fabs(normal(rng));
}

/* The best 2n + 1 levels of a flat density on [-1, 1] are equally spaced: 2 i / (2n + 1). */
/* Squared error of rounding a histogram's means to the nearest level or to silence. */
static double error_of(const tspk_histogram *h, const tspk_ladder_values *ladder)
{
    double error = 0;

    for (size_t i = 0; i < TSPK_HISTOGRAM_BINS; i++) {
        const double v = h->weight[i] > 0 ? h->moment[i] / h->weight[i] : 0;
        double best = v * v;

        for (uint32_t j = 0; j < ladder->n; j++)
            best = fmin(best, (v - ladder->value[j]) * (v - ladder->value[j]));
        error += h->weight[i] * best;
    }
    return error;
}

static void fitted_ladder_of_a_flat_density_is_uniform(void **state)
{
    tspk_histogram *h = malloc(sizeof *h);
    tspk_ladder_values ladder;

    (void)state;
    fill(h, 1, 400000, flat);
    tspk_fit_ladder(h, TSPK_LADDER_FITTED, 4, false, 0, &ladder);
    assert_int_equal(ladder.n, 8);
    for (int i = 0; i < 4; i++) {
        assert_true(fabs(ladder.value[4 + i] - 2.0 * (i + 1) / 9) < 0.02);
        assert_true(ladder.value[3 - i] == -ladder.value[4 + i]);
    }
    free(h);
}

static void signed_ladder_follows_the_sign_of_the_data(void **state)
{
    tspk_histogram *h = malloc(sizeof *h);
    tspk_ladder_values ladder, symmetric;

    (void)state;
    fill(h, 5, 100000, one_sided);
    tspk_fit_ladder(h, TSPK_LADDER_SIGNED, 8, false, 0, &ladder);
    tspk_fit_ladder(h, TSPK_LADDER_FITTED, 8, false, 0, &symmetric);
    assert_int_equal(ladder.n, 16);
    assert_true(ladder.value[0] > 0);
    assert_true(error_of(h, &ladder) < 0.5 * error_of(h, &symmetric));
    free(h);
}

static void series_ladders_keep_their_law(void **state)
{
    tspk_histogram *h = malloc(sizeof *h);
    tspk_ladder_values ladder;

    (void)state;
    fill(h, 6, 100000, normal);
    tspk_fit_ladder(h, TSPK_LADDER_POW2, 6, false, 0, &ladder);
    for (int i = 1; i < 6; i++)
        assert_true(fabs(ladder.value[6 + i] / ladder.value[5 + i] - 2) < 1e-9);
    tspk_fit_ladder(h, TSPK_LADDER_UNIFORM, 6, false, 0, &ladder);
    for (int i = 1; i < 6; i++)
        assert_true(fabs(ladder.value[6 + i] - (i + 1) * ladder.value[6]) < 1e-9);
    tspk_fit_ladder(h, TSPK_LADDER_GEOMETRIC, 6, true, 0, &ladder);
    assert_int_equal(ladder.n, 12);
    for (int i = 2; i < 12; i++)
        assert_true(
            fabs(ladder.value[i] / ladder.value[i - 1] - ladder.value[1] / ladder.value[0]) < 1e-9);
    free(h);
}

/* A fit to the density beats those that keep a law. */
static void fitted_ladders_lose_least(void **state)
{
    static const tspk_ladder_kind kinds[] = {TSPK_LADDER_FITTED, TSPK_LADDER_SIGNED,
                                             TSPK_LADDER_UNIFORM, TSPK_LADDER_POW2};
    tspk_histogram *h = malloc(sizeof *h);
    double error[4];

    (void)state;
    fill(h, 6, 20000, normal);
    for (size_t k = 0; k < 4; k++) {
        tspk_ladder_values ladder;

        tspk_fit_ladder(h, kinds[k], 5, false, 0, &ladder);
        error[k] = error_of(h, &ladder);
    }
    assert_true(error[0] < error[2] && error[1] < error[2] && error[0] < 0.8 * error[3]);
    free(h);
}

static void sort_orders_floats(void **state)
{
    float value[1000], before[1000];
    tspk_ranked work[2000];
    const tspk_ranked *ranked;
    tspk_rng rng = {SEED};

    (void)state;
    for (int i = 0; i < 1000; i++)
        value[i] = (float)(normal(&rng) * pow(10, 6 * uniform(&rng) - 3));
    value[7] = -0.0f;
    memcpy(before, value, sizeof before);
    ranked = tspk_sort_floats(value, work, 1000);
    for (int i = 1; i < 1000; i++)
        assert_true(value[i - 1] <= value[i]);
    for (int i = 0; i < 1000; i++)
        assert_true(value[i] == before[ranked[i].index]);
}

#define CHANNELS 6u
#define SAMPLES  3000u

static void fit_random_channels(tspk_ladder_values *ladder, double *scale)
{
    tspk_population population = {
        .channels = CHANNELS, .n = SAMPLES, .value = malloc(CHANNELS * SAMPLES * sizeof(float))};
    const tspk_channel_fit_settings settings = {
        .kind = TSPK_LADDER_FITTED, .n_levels = 4, .threads = 2};
    tspk_rng rng = {SEED};

    for (uint32_t c = 0; c < CHANNELS; c++)
        for (uint32_t i = 0; i < SAMPLES; i++)
            population.value[c * SAMPLES + i] =
                c + 1 == CHANNELS ? 0.0f : (float)(normal(&rng) * pow(4, c));
    assert_int_equal(tspk_fit_channels(&population, &settings, ladder, scale, NULL), TSPK_OK);
    free(population.value);
}

static void channel_scales_follow_the_channels(void **state)
{
    tspk_ladder_values ladder;
    double scale[CHANNELS];

    (void)state;
    fit_random_channels(&ladder, scale);
    for (uint32_t c = 1; c + 1 < CHANNELS; c++)
        assert_true(fabs(scale[c] / scale[c - 1] - 4) < 0.6);
    assert_true(scale[CHANNELS - 1] == 0);
}

/* docs/calibration.md: nothing is clipped, every live channel of a linear site uses 127 somewhere.
 */
static void units_neither_clip_nor_waste(void **state)
{
    static const double shrink[] = {1, 0.2, 0.03};
    tspk_arena *arena = tspk_arena_new(0);
    tspk_site_step steps[3];
    tspk_site site = {.kind = TSPK_SITE_LINEAR, .channels = CHANNELS};
    tspk_site_params params = {.step = steps};
    tspk_site_fit fit;
    tspk_ladder_values ladder;
    double scale[CHANNELS];

    (void)state;
    memset(steps, 0, sizeof steps);
    fit_random_channels(&ladder, scale);
    assert_int_equal(tspk_site_fit_init(&fit, CHANNELS, 2, 3, NULL), TSPK_OK);
    for (uint32_t t = 0; t < 3; t++)
        for (uint32_t k = 0; k < 2; k++) {
            *tspk_site_fit_ladder(&fit, t, k) = ladder;
            for (uint32_t c = 0; c < CHANNELS; c++)
                tspk_site_fit_scale(&fit, t, k)[c] =
                    scale[c] * shrink[t] * (k ? 3 : 1) * (c == 2 && t == 1 ? 1.7 : 1);
        }
    assert_int_equal(
        tspk_site_fit_fold(&fit, TSPK_CODING_DIFFERENTIAL, 0, arena, &site, &params, NULL),
        TSPK_OK);
    for (uint32_t c = 0; c < CHANNELS; c++) {
        int top = 0;

        for (uint32_t t = 0; t < 3; t++)
            for (uint32_t k = 0; k < 2; k++) {
                tspk_channel_levels levels;
                const double wanted =
                    ladder.value[ladder.n - 1] * tspk_site_fit_scale(&fit, t, k)[c];

                tspk_derive_channel_levels(site.unit[c], steps[t].gain[k * CHANNELS + c], &params,
                                           t, k, &levels);
                if (c + 1 == CHANNELS) {
                    assert_int_equal(levels.n_positive + levels.n_negative, 0);
                    continue;
                }
                assert_true(levels.n_positive > 0);
                assert_true(fabs(levels.positive[levels.n_positive - 1] * (double)levels.step -
                                 wanted) < 0.51 * (double)levels.step);
                top = levels.positive[levels.n_positive - 1] > top
                          ? levels.positive[levels.n_positive - 1]
                          : top;
            }
        assert_int_equal(top, c + 1 == CHANNELS ? 0 : 127);
    }
    site.kind = TSPK_SITE_QUERY;
    assert_int_equal(
        tspk_site_fit_fold(&fit, TSPK_CODING_DIFFERENTIAL, 2, arena, &site, &params, NULL),
        TSPK_OK);
    assert_true(site.unit[0] == site.unit[1] && site.unit[1] == site.unit[2]);
    for (uint32_t t = 0; t < 3; t++)
        assert_true(steps[t].scale[1] == ldexpf(steps[0].scale[1], -steps[t].shift));
    tspk_site_fit_done(&fit);
    tspk_arena_free(arena);
}

static void weights_round_to_half_a_scale(void **state)
{
    enum { OUT = 5, IN = 70 };
    tspk_arena *arena = tspk_arena_new(0);
    float unit[IN], weight[OUT * IN], back[OUT * IN];
    tspk_site site = {
        .kind = TSPK_SITE_LINEAR, .channels = IN, .unit = unit, .group_size = 64, .n_groups = 2};
    tspk_spike_linear linear = {.n_out = OUT};
    tspk_rng rng = {SEED};

    (void)state;
    for (int c = 0; c < IN; c++)
        unit[c] = (float)(0.01 + uniform(&rng));
    for (int i = 0; i < OUT * IN; i++)
        weight[i] = (float)normal(&rng);
    assert_int_equal(tspk_sort_channels(arena, &site, NULL), TSPK_OK);
    for (uint32_t p = 1; p < IN; p++)
        assert_true(unit[site.order[p]] <= unit[site.order[p - 1]]);
    for (uint32_t p = IN; p < 128; p++)
        assert_true(site.order[p] == UINT32_MAX);
    assert_int_equal(tspk_quantise_weights(arena, &site, weight, NULL, NULL, 2, &linear, NULL),
                     TSPK_OK);
    tspk_dequantise_weights(&site, &linear, back);
    for (size_t o = 0; o < OUT; o++)
        for (size_t p = 0; p < IN; p++) {
            const size_t c = site.order[p];
            const double half = 0.5 * (double)linear.scale[p / 64 * OUT + o] / (double)unit[c];

            assert_true(fabs((double)(back[o * IN + c] - weight[o * IN + c])) <= half * 1.0001);
        }
    /* the largest weight of a row's group takes all of int8 */
    for (size_t i = 0; i < 2 * (size_t)OUT; i++) {
        const int8_t *const code = (const int8_t *)linear.weight + i * 64;
        int largest = 0;

        for (int p = 0; p < 64; p++)
            largest = abs(code[p]) > largest ? abs(code[p]) : largest;
        assert_int_equal(largest, 127);
    }
    tspk_arena_free(arena);
}

/* On correlated inputs the output's error is less with feedback than without. */
static void feedback_saves_the_output(void **state)
{
    enum { OUT = 40, IN = 70, ROWS = 1000 };
    tspk_arena *arena = tspk_arena_new(0);
    double *x = malloc(ROWS * IN * sizeof *x), h[IN * IN] = {0}, kept[IN * IN], u[IN * IN];
    float unit[IN], weight[OUT * IN], back[OUT * IN];
    tspk_site site = {
        .kind = TSPK_SITE_LINEAR, .channels = IN, .unit = unit, .group_size = 64, .n_groups = 2};
    tspk_spike_linear linear = {.n_out = OUT};
    double error[2] = {0};
    tspk_rng rng = {SEED};

    (void)state;
    for (int c = 0; c < IN; c++)
        unit[c] = (float)(0.1 + uniform(&rng));
    for (int i = 0; i < OUT * IN; i++)
        weight[i] = (float)normal(&rng);
    assert_int_equal(tspk_sort_channels(arena, &site, NULL), TSPK_OK);
    for (int r = 0; r < ROWS; r++) {
        const double common = 3 * normal(&rng);

        for (int p = 0; p < IN; p++)
            x[r * IN + p] = common + normal(&rng);
        for (int p = 0; p < IN; p++)
            for (int q = 0; q < IN; q++)
                h[p * IN + q] += x[r * IN + p] * x[r * IN + q] / ROWS;
    }
    memcpy(kept, h, sizeof h);
    tspk_factor_inverse(h, IN, u);
    for (int p = 0; p < IN; p++)
        for (int q = 0; q < IN; q++) {
            double product = 0, trace = 0; /* (U^T U) (H + damping) is the identity */

            for (int i = 0; i < IN; i++)
                trace += kept[i * IN + i];
            for (int i = 0; i < IN; i++)
                for (int j = 0; j <= p && j <= i; j++)
                    product += u[j * IN + p] * u[j * IN + i] *
                               (kept[i * IN + q] + (i == q ? 0.01 * trace / IN : 0));
            assert_true(fabs(product - (p == q)) < 1e-8);
        }
    for (int k = 0; k < 2; k++) {
        assert_int_equal(
            tspk_quantise_weights(arena, &site, weight, NULL, k ? u : NULL, 2, &linear, NULL),
            TSPK_OK);
        tspk_dequantise_weights(&site, &linear, back);
        for (int r = 0; r < ROWS; r++)
            for (int o = 0; o < OUT; o++) {
                double y = 0;

                for (int p = 0; p < IN; p++) {
                    const uint32_t c = site.order[p];

                    y += x[r * IN + p] * (double)unit[c] *
                         (double)(back[o * IN + (int)c] - weight[o * IN + (int)c]);
                }
                error[k] += y * y;
            }
    }
    assert_true(error[1] < 0.5 * error[0]);
    free(x);
    tspk_arena_free(arena);
}

/* The tables of calibration fire what the document's neuron fires, one at a time. */
static void check_bank(float dead_zone)
{
    static const float value[] = {-3, -1, 0.4f, 1, 2, 6};
    float unit = 0.37f, gain[1] = {7.5f};
    tspk_site site = {.channels = 1, .unit = &unit};
    tspk_site_step step = {.scale = {1.25f}, .gain = gain, .dead_zone = {dead_zone}};
    tspk_site_params params = {.step = &step};
    tspk_channel_levels levels;
    tspk_neuron_bank bank;
    tspk_rng rng = {SEED};

    step.ladder[0] = (tspk_ladder){TSPK_LADDER_SIGNED, 6, (float *)(uintptr_t)value};
    tspk_derive_channel_levels(unit, 7.5f, &params, 0, 0, &levels);
    assert_int_equal(tspk_neuron_bank_integer(&bank, &site, &params, 0, 0, NULL), TSPK_OK);
    for (int i = 0; i < 5000; i++) {
        const float x = (float)(12 * normal(&rng));
        float o = (float)normal(&rng), channel_o = o;
        const float p = (x - o) * levels.reciprocal;
        float best = 0, expected;

        for (uint32_t j = 0; j < levels.n_positive; j++)
            if (fabsf(p - levels.positive[j]) < fabsf(p - best))
                best = levels.positive[j];
        for (uint32_t j = 0; j < levels.n_negative; j++)
            if (fabsf(p - levels.negative[j]) < fabsf(p - best))
                best = levels.negative[j];
        if (fabsf(p) <= 0.5f * rintf((1 + dead_zone) *
                                     fabsf((float)(p > 0 ? levels.positive : levels.negative)[0])))
            best = 0;
        else if (best == 0)
            best = (p > 0 ? levels.positive : levels.negative)[0];
        expected = o + best * levels.step;
        tspk_neuron_bank_fire_row(&bank, TSPK_CODING_DIFFERENTIAL, 1, &x, &o);
        tspk_neuron_bank_fire_channel(&bank, TSPK_CODING_DIFFERENTIAL, 1, 0, &x, &channel_o, 1);
        assert_true(o == expected && channel_o == expected);
    }
    tspk_neuron_bank_done(&bank);
}

static void bank_fires_as_the_document_says(void **state)
{
    (void)state;
    check_bank(0);
    check_bank(0.4f);
}

/* A price makes the first level fire less and stand further out. */
static void dead_zone_widens_silence(void **state)
{
    tspk_histogram *h = malloc(sizeof *h);
    tspk_ladder_values free_ladder, priced;

    (void)state;
    fill(h, 6, 100000, normal);
    tspk_fit_ladder(h, TSPK_LADDER_FITTED, 8, false, 0, &free_ladder);
    tspk_fit_ladder(h, TSPK_LADDER_FITTED, 8, false, 0.1, &priced);
    assert_true(priced.value[8] > 1.2 * free_ladder.value[8] && free_ladder.dead_zone == 0);
    assert_true(fabs(priced.dead_zone * priced.value[8] * priced.value[8] - 0.1) < 0.02);
    free(h);
}

enum { FEW_CHANNELS = 3, FEW_SAMPLES = 1001 };

/* Channel c is uniform on ±(c + 1), its samples shuffled. */
static void fill_uniform(float *value)
{
    size_t order[FEW_SAMPLES];

    tspk_rng_shuffle(SEED, order, FEW_SAMPLES);
    for (size_t c = 0; c < FEW_CHANNELS; c++)
        for (size_t i = 0; i < FEW_SAMPLES; i++)
            value[c * FEW_SAMPLES + i] =
                (float)(c + 1) * ((float)order[i] / (FEW_SAMPLES - 1) * 2 - 1);
}

/* ECMT's base is the 0.99 quantile: of each channel, or of the tensor when channels are pooled. */
/* A hidden unit behind GELU that most tokens leave at rest, and one that answers to all. */
static void units_that_rest_start_at_rest(void **state)
{
    enum { N = 4096 };
    static float value[N];
    static tspk_ranked work[2 * N];
    tspk_rng rng = {11};
    float rest = 7;

    (void)state;
    for (int i = 0; i < N; i++) {
        const double x = normal(&rng) - 0.75;

        value[i] = (float)(0.5 * x * (1 + erf(x / sqrt(2))));
    }
    assert_true(tspk_find_rest(value, work, N, &rest));
    /* The band begins at GELU's lowest value, where it turns. */
    assert_true(rest > -0.17f && rest < -0.13f);
    rest = 7;
    for (int i = 0; i < N; i++)
        value[i] = (float)normal(&rng);
    assert_false(tspk_find_rest(value, work, N, &rest));
    for (int i = 0; i < N; i++)
        value[i] = 2.5f;
    assert_false(tspk_find_rest(value, work, N, &rest));
    assert_true(rest == 7);
}

static void ecmt_bases_are_quantiles(void **state)
{
    tspk_calib_options options = {.is_per_channel = true};
    const tspk_channel_fit_settings settings = {.n_levels = 8, .threads = 1};
    float value[FEW_CHANNELS * FEW_SAMPLES];
    tspk_population population = {.channels = FEW_CHANNELS, .n = FEW_SAMPLES, .value = value};
    tspk_ladder_values ladder;
    double scale[FEW_CHANNELS];

    (void)state;
    fill_uniform(value);
    assert_int_equal(tspk_fit_class(&options, &settings, &population, &ladder, scale, NULL), 0);
    for (int c = 0; c < FEW_CHANNELS; c++)
        assert_true(fabs(scale[c] - (c + 1) * 0.98) < 1e-4 * (c + 1));
    assert_int_equal(ladder.n, 16);
    assert_true(ladder.value[8] == 1 && ladder.value[15] == 128 && ladder.value[0] == -128);
    assert_int_equal(tspk_fire_rule_of(&options), TSPK_FIRE_ECMT);
    options.is_per_channel = false;
    fill_uniform(value);
    assert_int_equal(tspk_fit_class(&options, &settings, &population, &ladder, scale, NULL), 0);
    /* beyond 2 the widest channel is alone: P(x > b) = (1 - b / 3) / 6 = 0.01 at b = 2.82 */
    for (int c = 0; c < FEW_CHANNELS; c++)
        assert_true(fabs(scale[c] - 2.82) < 0.01);
}

/* Pooled, the scale of least squared error is one for all channels; alone it follows each. */
static void pooled_channels_share_a_scale(void **state)
{
    tspk_calib_options options = {.is_nearest = true};
    const tspk_channel_fit_settings settings = {
        .kind = TSPK_LADDER_POW2, .n_levels = 4, .threads = 1};
    float value[FEW_CHANNELS * FEW_SAMPLES];
    tspk_population population = {.channels = FEW_CHANNELS, .n = FEW_SAMPLES, .value = value};
    tspk_ladder_values ladder;
    double scale[FEW_CHANNELS];

    (void)state;
    fill_uniform(value);
    assert_int_equal(tspk_fit_class(&options, &settings, &population, &ladder, scale, NULL), 0);
    assert_true(scale[0] > 0 && scale[1] == scale[0] && scale[2] == scale[0]);
    assert_int_equal(tspk_fire_rule_of(&options), TSPK_FIRE_NEAREST);
    options.is_per_channel = true;
    fill_uniform(value);
    assert_int_equal(tspk_fit_class(&options, &settings, &population, &ladder, scale, NULL), 0);
    for (int c = 1; c < FEW_CHANNELS; c++)
        assert_true(fabs(scale[c] / scale[0] - (c + 1)) < 1e-3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(fitted_ladder_of_a_flat_density_is_uniform),
        cmocka_unit_test(signed_ladder_follows_the_sign_of_the_data),
        cmocka_unit_test(series_ladders_keep_their_law),
        cmocka_unit_test(fitted_ladders_lose_least),
        cmocka_unit_test(sort_orders_floats),
        cmocka_unit_test(channel_scales_follow_the_channels),
        cmocka_unit_test(units_neither_clip_nor_waste),
        cmocka_unit_test(weights_round_to_half_a_scale),
        cmocka_unit_test(feedback_saves_the_output),
        cmocka_unit_test(dead_zone_widens_silence),
        cmocka_unit_test(bank_fires_as_the_document_says),
        cmocka_unit_test(units_that_rest_start_at_rest),
        cmocka_unit_test(ecmt_bases_are_quantiles),
        cmocka_unit_test(pooled_channels_share_a_scale),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
