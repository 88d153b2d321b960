/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune_exit.h"

#include <string.h>

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

static tspk_status add_best(tspk_tuning *tuning, const tspk_exit_chances *chances,
                            const tspk_trade *like, uint32_t n_steps,
                            const tspk_exit_target *target, tspk_arena *arena, tspk_error *err)
{
    tspk_exit_outcome best = {0};
    tspk_exit_kind best_kind = TSPK_EXIT_NONE;
    tspk_trade *to;

    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_MARGIN; kind++) {
        tspk_exit_policy policy;
        tspk_exit_outcome found;

        TSPK_TRY(tspk_exit_fit(chances, kind, n_steps, target, arena, &policy, &found, err));
        if (!found.is_met || (best_kind != TSPK_EXIT_NONE && found.energy >= best.energy))
            continue;
        best = found;
        best_kind = kind;
    }
    if (best_kind == TSPK_EXIT_NONE || tuning->n_trades == TSPK_MAX_TRADES)
        return TSPK_OK;
    to = &tuning->trade[tuning->n_trades];
    *to = *like;
    to->id = tuning->n_trades++;
    to->steps = n_steps;
    to->exit = best_kind;
    to->mean_steps = best.mean_steps;
    to->agreement = best.agreement;
    to->error = best.error;
    to->loss = 100 * TSPK_LOSS_OF_DISAGREEMENT * (1 - best.agreement);
    to->kl = best.kl;
    to->energy = best.energy;
    return TSPK_OK;
}

tspk_status tspk_add_exit_trades(tspk_tuning *tuning, const tspk_exit_chances *chances,
                                 const tspk_trade *like, const tspk_budget *budget, tspk_error *err)
{
    tspk_arena *const arena = tspk_arena_new(0);
    tspk_status status =
        arena ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory to fit exit policies");

    for (uint32_t n_steps = 2; n_steps <= chances->record->n_steps; n_steps++)
        for (int is_fast = 0; is_fast < 2 && status == TSPK_OK; is_fast++) {
            const tspk_exit_target asked = target_of(budget, is_fast);
            const tspk_exit_target target = tspk_exit_reachable(chances, n_steps, &asked);

            status = add_best(tuning, chances, like, n_steps, &target, arena, err);
        }
    tspk_arena_free(arena);
    return status;
}

/* All policies of a point; the one of least energy that is enough is taken if `is_taken`. */
static tspk_status fit_point(const tspk_exit_chances *chances, const tspk_exit_target *target,
                             bool is_taken, uint64_t seed, tspk_arena *arena, tspk_point *point,
                             tspk_error *err)
{
    double least = 0;

    if (point->n_steps < 2)
        return TSPK_OK;
    point->exit = tspk_arena_array(arena, TSPK_EXIT_KINDS - 1, sizeof *point->exit);
    if (!point->exit)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for exit policies");
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
        if (!is_taken || !found.is_met ||
            (point->exit_kind != TSPK_EXIT_NONE && found.energy >= least))
            continue;
        least = found.energy;
        point->exit_kind = kind;
    }
    return TSPK_OK;
}

tspk_status tspk_fit_exits(const tspk_frame *frame, const float *images, size_t n_images,
                           const tspk_calib_settings *settings, const tspk_tuning *tuning,
                           const tspk_budget *budget, tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_exit_record record = {0};
    tspk_exit_chances chances = {0};
    tspk_status status;

    if (tuning->trade[tuning->balanced].steps < 2 && tuning->trade[tuning->fast].steps < 2)
        return TSPK_OK;
    status = tspk_exit_record_add(&record, frame, spikes, images, n_images, true,
                                  settings->is_mirrored, settings->seed, settings->threads, err);
    if (status == TSPK_OK)
        status = tspk_exit_chances_new(&record, &chances, err);
    for (uint32_t i = 0; i < spikes->n_points && status == TSPK_OK; i++) {
        const bool is_fast = !strcmp(spikes->point[i].name, "fast");
        const tspk_trade *const trade = &tuning->trade[is_fast ? tuning->fast : tuning->balanced];
        const tspk_exit_target asked = target_of(budget, is_fast);
        const tspk_exit_target target =
            tspk_exit_reachable(&chances, spikes->point[i].n_steps, &asked);

        if (!is_fast && strcmp(spikes->point[i].name, "balanced") != 0)
            continue;
        status = fit_point(&chances, &target, trade->exit != TSPK_EXIT_NONE, settings->seed,
                           spikes->arena, &spikes->point[i], err);
    }
    tspk_exit_chances_done(&chances);
    tspk_exit_record_done(&record);
    return status;
}
