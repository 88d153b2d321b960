/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune_choice.h"

#include <math.h>

static bool is_cheap(const tspk_budget *budget, const tspk_trade *trade)
{
    return isfinite(trade->kl) && (budget->max_energy <= 0 || trade->energy <= budget->max_energy);
}

static bool is_within(const tspk_budget *budget, const tspk_trade *trade)
{
    return is_cheap(budget, trade) && trade->agreement - trade->error >= budget->min_agreement &&
           (budget->max_loss < 0 || trade->loss <= budget->max_loss);
}

static bool is_fast_enough(const tspk_budget *budget, const tspk_trade *trade)
{
    if (budget->max_loss < 0)
        return is_cheap(budget, trade) &&
               1 - trade->agreement <= TSPK_FAST_ALLOWANCE * (1 - budget->min_agreement);
    return is_cheap(budget, trade) && trade->loss <= TSPK_FAST_ALLOWANCE * budget->max_loss;
}

static const tspk_trade *find_balanced(tspk_tuning *tuning, const tspk_budget *budget)
{
    const tspk_trade *within = NULL, *least_kl = NULL, *least_energy = NULL;

    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        const tspk_trade *trade = &tuning->trade[i];

        if (is_within(budget, trade) && (!within || trade->energy < within->energy))
            within = trade;
        if (is_cheap(budget, trade) && (!least_kl || trade->kl < least_kl->kl))
            least_kl = trade;
        if (isfinite(trade->kl) && (!least_energy || trade->energy < least_energy->energy))
            least_energy = trade;
    }
    tuning->is_met = within != NULL;
    return within ? within : least_kl ? least_kl : least_energy ? least_energy : tuning->trade;
}

static const tspk_trade *find_fast(const tspk_tuning *tuning, const tspk_budget *budget,
                                   const tspk_trade *balanced)
{
    const tspk_trade *fast = balanced;

    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        const tspk_trade *trade = &tuning->trade[i];

        if (trade->family == balanced->family && trade->energy < fast->energy &&
            is_fast_enough(budget, trade))
            fast = trade;
    }
    return fast;
}

static bool is_beaten(const tspk_tuning *tuning, const tspk_trade *a)
{
    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        const tspk_trade *b = &tuning->trade[i];

        if (isfinite(b->kl) && b->energy <= a->energy && b->kl <= a->kl &&
            (b->energy < a->energy || b->kl < a->kl))
            return true;
    }
    return false;
}

void tspk_choose_trades(tspk_tuning *tuning, const tspk_budget *budget)
{
    const tspk_trade *balanced = find_balanced(tuning, budget);

    tuning->balanced = (uint32_t)(balanced - tuning->trade);
    tuning->fast = (uint32_t)(find_fast(tuning, budget, balanced) - tuning->trade);
    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        tspk_trade *trade = &tuning->trade[i];

        trade->is_pareto = isfinite(trade->kl) && !is_beaten(tuning, trade);
    }
}
