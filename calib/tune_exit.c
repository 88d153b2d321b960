/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune_exit.h"

#include <math.h>

#include "calib/policy_net.h"
#include "core/fail.h"

static tspk_exit_target target_of(const tspk_budget *budget, bool is_fast)
{
    const double lost = budget->max_loss / 100 / TSPK_LOSS_OF_DISAGREEMENT;

    if (!is_fast)
        return (tspk_exit_target){.agreement = budget->max_loss < 0 ? 0 : 1 - lost,
                                  .sure_agreement = budget->min_agreement};
    return (tspk_exit_target){
        .agreement = budget->max_loss < 0 ? 1 - TSPK_FAST_ALLOWANCE * (1 - budget->min_agreement)
                                          : 1 - TSPK_FAST_ALLOWANCE * lost};
}

/* Points of top-1: a share of the changed answers, and what labels say, each by its precision. Of
 * few images a count moves by points for nothing. */
static double loss_of(const tspk_exit_record *record, const tspk_exit_outcome *outcome)
{
    const double estimated = 100 * TSPK_LOSS_OF_DISAGREEMENT * (1 - outcome->agreement);
    const double counted = 100 * outcome->lost;
    const double doubt = estimated * estimated;
    const double noise = 1e4 * outcome->error * outcome->error;

    if (!record->is_labelled || !(doubt + noise > 0))
        return estimated;
    return (estimated * noise + counted * doubt) / (doubt + noise);
}

static void add_trade(tspk_tuning *tuning, const tspk_exit_record *record, const tspk_trade *like,
                      uint32_t n_steps, tspk_exit_kind exit, const tspk_exit_outcome *outcome)
{
    tspk_trade *const to = &tuning->trade[tuning->n_trades];

    if (tuning->n_trades == TSPK_MAX_TRADES)
        return;
    *to = *like;
    to->id = tuning->n_trades++;
    to->steps = n_steps;
    to->exit = exit;
    to->mean_steps = outcome->mean_steps;
    to->agreement = outcome->agreement;
    to->error = outcome->error;
    to->loss = loss_of(record, outcome);
    to->kl = outcome->kl;
    to->energy = outcome->energy;
}

static tspk_status add_best(tspk_tuning *tuning, const tspk_exit_chances *chances,
                            const tspk_trade *like, uint32_t n_steps,
                            const tspk_exit_target *target, tspk_arena *arena, tspk_error *err)
{
    tspk_exit_outcome best = {0};
    tspk_exit_kind best_kind = TSPK_EXIT_NONE;

    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_MARGIN; kind++) {
        tspk_exit_policy policy;
        tspk_exit_outcome found;

        TSPK_TRY(tspk_exit_fit(chances, kind, n_steps, target, arena, &policy, &found, err));
        if (!found.is_met || (best_kind != TSPK_EXIT_NONE && found.energy >= best.energy))
            continue;
        best = found;
        best_kind = kind;
    }
    if (best_kind != TSPK_EXIT_NONE && best.mean_steps > 1) /* else: the line of one step */
        add_trade(tuning, chances->record, like, n_steps, best_kind, &best);
    return TSPK_OK;
}

tspk_status tspk_add_trades(tspk_tuning *tuning, const tspk_exit_record *record,
                            const tspk_trade *like, const tspk_budget *budget, tspk_error *err)
{
    const tspk_exit_target none = {0};
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_exit_chances chances = {0};
    tspk_status status =
        arena ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory to fit exit policies");

    if (status == TSPK_OK)
        status = tspk_exit_chances_new(record, &chances, err);
    for (uint32_t t = 1; t <= record->n_steps && status == TSPK_OK; t++) {
        const tspk_exit_outcome fixed = tspk_exit_fixed(&chances, t, &none);

        if (t > 1 || like->refined == 0) /* else: the line of another candidate */
            add_trade(tuning, record, like, t, TSPK_EXIT_NONE, &fixed);
        for (int is_fast = 0; t > 1 && is_fast < 2 && status == TSPK_OK; is_fast++) {
            const tspk_exit_target asked = target_of(budget, is_fast);
            const tspk_exit_target target = tspk_exit_reachable(&chances, t, &asked);

            status = add_best(tuning, &chances, like, t, &target, arena, err);
        }
    }
    tspk_exit_chances_done(&chances);
    tspk_arena_free(arena);
    return status;
}

/* One policy of each kind; the one of least energy that is enough is taken if `is_taken`. */
static tspk_status fit_kinds(const tspk_exit_chances *chances, const tspk_exit_target *target,
                             bool is_taken, uint64_t seed, tspk_arena *arena, tspk_point *point,
                             tspk_error *err)
{
    double least = INFINITY;

    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_NET; kind++) {
        tspk_exit_policy *const policy = &point->exit[point->n_exits];
        tspk_exit_outcome found;

        if (kind == TSPK_EXIT_NET)
            TSPK_TRY(tspk_policy_net_fit(chances, point->n_steps, target, seed, arena, policy,
                                         &found, err));
        else
            TSPK_TRY(
                tspk_exit_fit(chances, kind, point->n_steps, target, arena, policy, &found, err));
        point->n_exits++;
        if (!is_taken || !found.is_met || found.energy >= least)
            continue;
        least = found.energy;
        point->exit_kind = kind;
    }
    return TSPK_OK;
}

tspk_status tspk_fit_exits(const tspk_exit_record *record, const tspk_budget *budget, bool is_fast,
                           bool is_taken, uint64_t seed, tspk_arena *arena, tspk_point *point,
                           tspk_error *err)
{
    const tspk_exit_target asked = target_of(budget, is_fast);
    tspk_exit_chances chances = {0};
    tspk_exit_target target;
    tspk_status status;

    if (point->n_steps < 2)
        return TSPK_OK;
    point->exit = tspk_arena_array(arena, TSPK_EXIT_KINDS - 1, sizeof *point->exit);
    if (!point->exit)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for exit policies");
    TSPK_TRY(tspk_exit_chances_new(record, &chances, err));
    target = tspk_exit_reachable(&chances, point->n_steps, &asked);
    status = fit_kinds(&chances, &target, is_taken, seed, arena, point, err);
    tspk_exit_chances_done(&chances);
    return status;
}
