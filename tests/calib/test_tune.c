/* SPDX-License-Identifier: Apache-2.0 */
/* The tuner's operating points, on made tables. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "calib/tune_choice.h"

/* Two candidates of three steps: the second costs and loses a little more at steps 1 and 2. */
static tspk_tuning made(void)
{
    static const tspk_trade rows[] = {
        {.family = 0, .steps = 1, .loss = 4.0, .agreement = 0.86, .kl = 0.150, .energy = 0.18},
        {.family = 0, .steps = 2, .loss = 1.0, .agreement = 0.95, .kl = 0.022, .energy = 0.34},
        {.family = 0, .steps = 3, .loss = 0.4, .agreement = 0.98, .kl = 0.006, .energy = 0.51},
        {.family = 1, .steps = 1, .loss = 4.1, .agreement = 0.80, .kl = 0.160, .energy = 0.19},
        {.family = 1, .steps = 2, .loss = 1.4, .agreement = 0.94, .kl = 0.030, .energy = 0.33},
        {.family = 1, .steps = 3, .loss = 0.3, .agreement = 0.99, .kl = 0.005, .energy = 0.48},
    };
    tspk_tuning tuning = {.n_trades = sizeof rows / sizeof *rows};

    for (uint32_t i = 0; i < tuning.n_trades; i++) {
        tuning.trade[i] = rows[i];
        tuning.trade[i].id = i;
    }
    return tuning;
}

static tspk_budget budget_of(double max_loss, double min_agreement, double max_energy)
{
    return (tspk_budget){
        .max_loss = max_loss, .min_agreement = min_agreement, .max_energy = max_energy};
}

static void check(tspk_tuning *tuning, double max_loss, double min_agreement, double max_energy,
                  bool is_met, uint32_t balanced, uint32_t fast)
{
    const tspk_budget budget = budget_of(max_loss, min_agreement, max_energy);

    tspk_choose_trades(tuning, &budget);
    assert_int_equal(tuning->is_met, is_met);
    assert_int_equal(tuning->balanced, balanced);
    assert_int_equal(tuning->fast, fast);
}

static void within_the_budget_least_energy_wins(void **state)
{
    tspk_tuning tuning = made();

    (void)state;
    check(&tuning, 0.5, 0.94, 0, true, 5, 4);    /* 3 and 4 lose more; 1.4 <= 3 * 0.5 */
    check(&tuning, 1.0, 0.94, 0, true, 1, 1);    /* step 1 loses 4.0 > 3 * 1 */
    check(&tuning, 1.5, 0.94, 0, true, 4, 3);    /* 0.33 < 0.34; 4.1 <= 3 * 1.5 */
    check(&tuning, 1.5, 0.945, 0, true, 1, 0);   /* agreement rules row 4 out */
    check(&tuning, 5.0, 0.5, 0.3, true, 0, 0);   /* nothing is cheaper than the cheapest */
    check(&tuning, 0.35, 0.5, 0.48, true, 5, 5); /* bounds belong to the budget; 1.4 > 3 * 0.35 */
}

static void beyond_the_budget_least_kl_within_max_energy_wins(void **state)
{
    tspk_tuning tuning = made();

    (void)state;
    check(&tuning, 0.4, 0.94, 0.35, false, 1, 1);
    check(&tuning, 0.4, 0.94, 0.33, false, 4, 4);
    check(&tuning, 0.1, 0.94, 0, false, 5, 5);
    check(&tuning, -1, 0.999, 0.5, false, 5, 5);
}

static void beyond_max_energy_least_energy_wins(void **state)
{
    tspk_tuning tuning = made();

    (void)state;
    check(&tuning, 5, 0.5, 0.1, false, 0, 0);
    tuning.trade[0].energy = 0.2;
    check(&tuning, 5, 0.5, 0.1, false, 3, 3);
}

/* Three times the loss allowed, among balanced's family alone. */
static void fast_stays_with_its_family(void **state)
{
    tspk_tuning tuning = made();

    (void)state;
    tuning.trade[5].energy = 0.52;
    tuning.trade[4].loss = 1.3;
    check(&tuning, 0.45, 0.94, 0, true, 2, 1); /* not 4, though cheaper and within 1.35 */
    tuning.trade[1].loss = 1.36;
    check(&tuning, 0.45, 0.94, 0, true, 2, 2);
}

/* Without max_loss three times the disagreement allowed bounds it. */
static void fast_is_bounded_without_max_loss(void **state)
{
    tspk_tuning tuning = made();

    (void)state;
    check(&tuning, -1, 0.945, 0.6, true, 1, 0); /* 0.14 <= 3 * 0.055 */
    check(&tuning, -1, 0.985, 0.6, true, 5, 5); /* 0.06 > 3 * 0.015 */
    check(&tuning, -1, 0.97, 0.6, true, 5, 4);  /* 0.06 <= 3 * 0.03, 0.20 is more */
    check(&tuning, 1.4, 0.94, 0.6, true, 4, 3); /* with max_loss the loss alone bounds it */
}

static void infinite_kl_is_never_chosen(void **state)
{
    static const double not_finite[] = {NAN, INFINITY, -INFINITY};

    (void)state;
    for (size_t k = 0; k < 3; k++) {
        tspk_tuning tuning = made();

        tuning.trade[4].kl = not_finite[k];
        check(&tuning, 1.5, 0.94, 0, true, 1, 0);
        check(&tuning, 0.1, 0.94, 0.33, false, 0, 0);
        assert_true(!tuning.trade[4].is_pareto);
        tuning.trade[0].kl = not_finite[k];
        check(&tuning, 5, 0.5, 0.1, false, 3, 3);
        check(&tuning, 1.5, 0.945, 0, true, 1, 1);
        for (uint32_t i = 0; i < tuning.n_trades; i++)
            tuning.trade[i].kl = not_finite[k];
        check(&tuning, 5, 0.5, 0, false, 0, 0);
        for (uint32_t i = 0; i < tuning.n_trades; i++)
            assert_true(!tuning.trade[i].is_pareto);
    }
}

static void pareto_marks_what_nothing_beats(void **state)
{
    static const bool wanted[] = {true, true, false, false, true, true};
    const tspk_budget budget = budget_of(1, 0.94, 0);
    tspk_tuning tuning = made();

    (void)state;
    tspk_choose_trades(&tuning, &budget);
    for (uint32_t i = 0; i < tuning.n_trades; i++)
        assert_int_equal(tuning.trade[i].is_pareto, wanted[i]);
    tuning.trade[3] = tuning.trade[0]; /* twins do not beat each other */
    tuning.trade[4].energy = 0.34;     /* as much energy as 1 and more KL */
    tspk_choose_trades(&tuning, &budget);
    assert_true(tuning.trade[0].is_pareto && tuning.trade[3].is_pareto);
    assert_true(tuning.trade[1].is_pareto && !tuning.trade[4].is_pareto);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(within_the_budget_least_energy_wins),
        cmocka_unit_test(beyond_the_budget_least_kl_within_max_energy_wins),
        cmocka_unit_test(beyond_max_energy_least_energy_wins),
        cmocka_unit_test(fast_stays_with_its_family),
        cmocka_unit_test(fast_is_bounded_without_max_loss),
        cmocka_unit_test(infinite_kl_is_never_chosen),
        cmocka_unit_test(pareto_marks_what_nothing_beats),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
