/* SPDX-License-Identifier: Apache-2.0 */
/* Exit policies and policy nets fitted on made records, where it is known which answers change. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "calib/policy_net.h"
#include "calib/tune_exit.h"
#include "core/rng.h"
#include "runtime/spike/exit_policy.h"

enum { N = 1500, STEPS = 3, CLASSES = 6 };

static double uniform(tspk_rng *rng)
{
    return (double)(tspk_rng_next(rng) >> 11) * 0x1p-53;
}

/* Two classes in the lead by a margin; noise that shrinks with the steps lets the second win. */
static void make(tspk_exit_record *record, uint64_t seed)
{
    tspk_rng rng = {seed};

    *record = (tspk_exit_record){.n = N, .n_images = N, .classes = CLASSES, .n_steps = STEPS};
    record->logits = calloc((size_t)N * STEPS * CLASSES, sizeof *record->logits);
    record->image = calloc(N, sizeof *record->image);
    record->agrees = calloc((size_t)N * STEPS, sizeof *record->agrees);
    record->lost = calloc((size_t)N * STEPS, sizeof *record->lost);
    record->kl = calloc((size_t)N * STEPS, sizeof *record->kl);
    record->energy = calloc((size_t)N * STEPS, sizeof *record->energy);
    assert_non_null(record->logits);
    assert_non_null(record->image);
    assert_non_null(record->agrees);
    assert_non_null(record->lost);
    assert_non_null(record->kl);
    assert_non_null(record->energy);
    for (size_t i = 0; i < N; i++) {
        const double margin = 6 * uniform(&rng);

        record->image[i] = (uint32_t)i;
        for (uint32_t t = 0; t < STEPS; t++) {
            const double noise =
                (uniform(&rng) + uniform(&rng) + uniform(&rng) - 1.5) * 4 / (1 << 2 * t);
            float *const logits = record->logits + (i * STEPS + t) * CLASSES;

            logits[0] = logits[1] = 3;
            logits[margin + noise > 0 ? 0 : 1] += (float)fabs(margin + noise);
            record->agrees[i * STEPS + t] = margin + noise > 0;
            record->energy[i * STEPS + t] = 0.1 * (t + 1);
            record->kl[i * STEPS + t] = 0.1 / (t + 1);
        }
    }
}

/* Answers that stay the source's when answer i stops as the policy says. */
static double play(const tspk_exit_record *record, const tspk_exit_policy *policy, uint32_t n_steps,
                   double *mean_steps_out)
{
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    float scratch[512];
    double agreed = 0, steps = 0;

    assert_true(tspk_exit_scratch(policy, CLASSES) <= 512);
    for (size_t i = 0; i < record->n; i++) {
        uint32_t last = n_steps;

        for (uint32_t t = 1; t < last; t++) {
            const uint32_t found =
                tspk_exit_after(math, policy, t, n_steps, -1,
                                record->logits + (i * STEPS + t - 1) * CLASSES, CLASSES, scratch);

            last = found < last ? found : last;
        }
        agreed += record->agrees[i * STEPS + last - 1];
        steps += last;
    }
    *mean_steps_out = steps / (double)record->n;
    return agreed / (double)record->n;
}

static double fixed(const tspk_exit_record *record, uint32_t t)
{
    double agreed = 0;

    for (size_t i = 0; i < record->n; i++)
        agreed += record->agrees[i * STEPS + t - 1];
    return agreed / (double)record->n;
}

static void chances_add_up(void **state)
{
    tspk_exit_record record;
    tspk_exit_chances chances;

    (void)state;
    make(&record, 1);
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    for (uint32_t t = 1; t <= STEPS; t++) {
        const tspk_exit_target none = {0};
        const tspk_exit_outcome found = tspk_exit_fixed(&chances, t, &none);

        assert_true(fabs(found.agreement - fixed(&record, t)) < 0.005);
        assert_true(found.mean_steps == t && fabs(found.energy - 0.1 * t) < 1e-9);
        for (size_t i = 0; i < N; i++)
            assert_true(chances.chance[(t - 1) * N + i] >= 0 &&
                        chances.chance[(t - 1) * N + i] <= 1);
    }
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
}

/* On other answers of the same kind a policy keeps what it was fitted for, and beats the fixed
 * number of steps that does. */
static void policies_hold_on_other_answers(void **state)
{
    tspk_exit_record record, other;
    tspk_exit_chances chances;
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_exit_target target = {0};

    (void)state;
    assert_non_null(arena);
    make(&record, 2);
    make(&other, 3);
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    target.agreement = 0.5 * (fixed(&record, 1) + fixed(&record, 3));
    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_NET; kind++) {
        tspk_exit_policy policy;
        tspk_exit_outcome outcome;
        double steps, agreed;

        if (kind == TSPK_EXIT_NET)
            assert_int_equal(
                tspk_policy_net_fit(&chances, STEPS, &target, 5, arena, &policy, &outcome, NULL),
                TSPK_OK);
        else
            assert_int_equal(
                tspk_exit_fit(&chances, kind, STEPS, &target, arena, &policy, &outcome, NULL),
                TSPK_OK);
        assert_true(outcome.is_met && outcome.agreement >= target.agreement);
        assert_true(outcome.mean_steps < 1.3);
        agreed = play(&record, &policy, STEPS, &steps);
        assert_true(fabs(steps - outcome.mean_steps) < 1e-6);
        assert_true(fabs(agreed - outcome.agreement) < 0.02);
        agreed = play(&other, &policy, STEPS, &steps);
        assert_true(fabs(steps - outcome.mean_steps) < 0.05);
        assert_true(agreed > target.agreement - 0.02);
    }
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
    tspk_exit_record_done(&other);
    tspk_arena_free(arena);
}

static void what_cannot_be_reached_is_said(void **state)
{
    const tspk_exit_target target = {.agreement = 1.1}, sure = {.sure_agreement = 0.9999};
    tspk_exit_record record;
    tspk_exit_chances chances;
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_exit_policy policy;
    tspk_exit_outcome outcome;
    tspk_exit_target softer;
    double steps;

    (void)state;
    make(&record, 4);
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    assert_int_equal(
        tspk_exit_fit(&chances, TSPK_EXIT_MARGIN, STEPS, &target, arena, &policy, &outcome, NULL),
        TSPK_OK);
    assert_false(outcome.is_met);
    (void)play(&record, &policy, STEPS, &steps);
    assert_true(steps == STEPS);
    assert_false(tspk_exit_fixed(&chances, STEPS, &sure).is_met);
    softer = tspk_exit_reachable(&chances, STEPS, &target);
    assert_int_equal(
        tspk_exit_fit(&chances, TSPK_EXIT_MARGIN, STEPS, &softer, arena, &policy, &outcome, NULL),
        TSPK_OK);
    assert_true(outcome.is_met && outcome.mean_steps < STEPS);
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
    tspk_arena_free(arena);
}

static void the_seed_makes_the_net(void **state)
{
    const tspk_exit_target target = {.agreement = 0.95};
    tspk_exit_record record;
    tspk_exit_chances chances;
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_exit_policy policy[3];
    tspk_exit_outcome outcome;
    size_t bytes;

    (void)state;
    make(&record, 6);
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    for (int i = 0; i < 3; i++)
        assert_int_equal(tspk_policy_net_fit(&chances, 2, &target, i == 2 ? 8 : 7, arena,
                                             &policy[i], &outcome, NULL),
                         TSPK_OK);
    bytes = (size_t)policy[0].net.n_in * policy[0].net.n_hidden * sizeof(float);
    assert_memory_equal(policy[0].net.weight_in, policy[1].net.weight_in, bytes);
    assert_memory_equal(policy[0].threshold, policy[1].threshold, sizeof(float));
    assert_memory_not_equal(policy[0].net.weight_in, policy[2].net.weight_in, bytes);
    assert_int_equal(policy[0].net.n_in, CLASSES);
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
    tspk_arena_free(arena);
}

/* Copies of an image say little new: of a quarter of the images in four views each the agreement is
 * less sure than of as many images. */
static void copies_are_not_independent(void **state)
{
    const tspk_exit_target none = {0};
    tspk_exit_record record;
    tspk_exit_chances chances;
    double apart;

    (void)state;
    make(&record, 9);
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    apart = tspk_exit_fixed(&chances, 1, &none).error;
    tspk_exit_chances_done(&chances);
    for (size_t i = 0; i < N; i++) { /* views of the same answer */
        const size_t from = i - i % 4;

        record.image[i] = (uint32_t)(i / 4);
        memcpy(record.logits + i * STEPS * CLASSES, record.logits + from * STEPS * CLASSES,
               STEPS * CLASSES * sizeof *record.logits);
        memcpy(record.agrees + i * STEPS, record.agrees + from * STEPS, STEPS);
    }
    record.n_images = N / 4;
    assert_int_equal(tspk_exit_chances_new(&record, &chances, NULL), TSPK_OK);
    assert_true(tspk_exit_fixed(&chances, 1, &none).error > 1.5 * apart);
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
}

/* A line a number of steps, policies between them, and a loss that labels move. */
static void a_record_becomes_trades(void **state)
{
    const tspk_budget budget = {.max_loss = 1, .min_agreement = 0.9};
    const tspk_trade like = {.family = 3, .levels = 16, .pairs = 5};
    tspk_tuning *const tuning = calloc(1, sizeof *tuning);
    tspk_exit_record record;
    uint32_t n_fixed = 0, n_policies = 0;
    double unlabelled = 0;

    (void)state;
    assert_non_null(tuning);
    make(&record, 10);
    assert_int_equal(tspk_add_trades(tuning, &record, &like, &budget, NULL), TSPK_OK);
    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        const tspk_trade *const trade = &tuning->trade[i];

        assert_true(trade->id == i && trade->family == 3 && trade->levels == 16 &&
                    trade->pairs == 5);
        if (trade->exit == TSPK_EXIT_NONE) {
            n_fixed++;
            assert_true(trade->mean_steps == trade->steps);
            assert_true(fabs(trade->loss - 25 * (1 - trade->agreement)) < 1e-9);
        } else {
            n_policies++;
            assert_true(trade->mean_steps > 1 && trade->mean_steps < trade->steps);
        }
    }
    assert_true(n_fixed == STEPS && n_policies > 0);
    unlabelled = tuning->trade[0].loss;
    tuning->n_trades = 0;
    record.is_labelled = true; /* and no answer is lost */
    assert_int_equal(tspk_add_trades(tuning, &record, &like, &budget, NULL), TSPK_OK);
    assert_true(tuning->trade[0].loss > 0 && tuning->trade[0].loss < unlabelled);
    tspk_exit_record_done(&record);
    free(tuning);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(chances_add_up),
        cmocka_unit_test(policies_hold_on_other_answers),
        cmocka_unit_test(what_cannot_be_reached_is_said),
        cmocka_unit_test(the_seed_makes_the_net),
        cmocka_unit_test(copies_are_not_independent),
        cmocka_unit_test(a_record_becomes_trades),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
