/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune.h"

#include <stdlib.h>

#include "calib/tune_exit.h"
#include "core/compiler.h"
#include "core/fail.h"

/* Where the optimum was found for networks of two sizes: tried first. */
#define FIRST_LEVELS 16u
#define FIRST_STEPS  2u
#define BISECTIONS   4

/* In the order in which they are tried. */
static const double token_shares[] = {0.70, 0.58, 0.84, 0.48};
static const double refined_shares[] = {0.3, 0.15};
static const uint32_t other_levels[] = {12, 8, 6, 4};
static const double other_prices[] = {0.01, 0.03};

/* Is there time to judge, and then for the last fit? */
static bool has_time(const tspk_search *s, uint32_t family, uint32_t pairs, uint32_t fold,
                     bool is_mirrored)
{
    return tspk_search_seconds(s) + tspk_search_cost(s, family, pairs, fold) +
               tspk_search_last_fit(s, is_mirrored && s->settings->is_mirrored) <
           s->budget->seconds;
}

/* A later candidate that needs more memory than there is, exceeds a limit or cannot merge is left
 * out. */
static tspk_status judge_if_possible(tspk_search *s, uint32_t family, uint32_t pairs,
                                     double refined, uint32_t fold, bool is_mirrored,
                                     tspk_error *err)
{
    tspk_status status;

    if (!has_time(s, family, pairs, fold, is_mirrored))
        return TSPK_OK;
    status = tspk_search_judge(s, family, pairs, refined, fold, err);
    if (status != TSPK_NOMEM && status != TSPK_LIMIT && status != TSPK_UNSUPPORTED &&
        status != TSPK_RANGE)
        return status;
    tspk_error_init(err);
    return TSPK_OK;
}

static const tspk_trade *chosen(const tspk_search *s, bool is_fast)
{
    return &s->tuning->trade[is_fast ? s->tuning->fast : s->tuning->balanced];
}

/* Judges on the other fold what the modes would be, until that changes nothing. */
static tspk_status confirm(tspk_search *s, tspk_error *err)
{
    for (int round = 0; round < 2 * BISECTIONS; round++) {
        bool is_confirmed = true;

        for (int is_fast = 0; is_fast < 2; is_fast++) {
            const tspk_trade trade = *chosen(s, is_fast);
            const tspk_candidate *const c =
                tspk_search_find(s, trade.family, trade.pairs, trade.refined);

            if (!c || c->is_judged[1] || !has_time(s, trade.family, trade.pairs, 1, false))
                continue;
            TSPK_TRY(judge_if_possible(s, trade.family, trade.pairs, trade.refined, 1, false, err));
            is_confirmed = false;
            break;
        }
        if (is_confirmed)
            return TSPK_OK;
    }
    return TSPK_OK;
}

/* The middle between a mode's pairs and the next more that were tried in its family; 0: none. */
static uint32_t next_pairs(const tspk_search *s, const tspk_trade *trade)
{
    uint32_t more = 0;

    for (uint32_t i = 0; i < s->n_candidates; i++) {
        const tspk_candidate *const c = &s->candidate[i];

        if (c->family == trade->family && c->pairs > trade->pairs && (!more || c->pairs < more))
            more = c->pairs;
    }
    return more > trade->pairs + 1 ? (more + trade->pairs) / 2 : 0;
}

static tspk_status bisect(tspk_search *s, tspk_error *err)
{
    for (int i = 0; i < BISECTIONS; i++)
        for (int is_fast = 0; is_fast < 2; is_fast++) {
            const tspk_trade trade = *chosen(s, is_fast);
            const uint32_t pairs = next_pairs(s, &trade);

            if (!pairs)
                continue;
            TSPK_TRY(judge_if_possible(s, trade.family, pairs, trade.refined, 0, true, err));
            TSPK_TRY(confirm(s, err));
        }
    return TSPK_OK;
}

/* One fold of all tokens and of as many pairs as the modes merge now; the other where they win. */
static tspk_status try_family(tspk_search *s, uint32_t family, tspk_error *err)
{
    const tspk_trade mode[] = {{0}, *chosen(s, false), *chosen(s, true)};

    for (size_t i = 0; i < TSPK_COUNT_OF(mode); i++)
        TSPK_TRY(judge_if_possible(s, family, mode[i].pairs, mode[i].refined, 0, true, err));
    return confirm(s, err);
}

/* All pairs that were tried, with fewer patches at later steps: nothing more is fitted for it. */
static tspk_status try_refining(tspk_search *s, uint32_t family, tspk_error *err)
{
    const uint32_t n = s->n_candidates;

    for (size_t i = 0; i < TSPK_COUNT_OF(refined_shares); i++)
        for (uint32_t c = 0; c < n; c++) {
            const tspk_candidate *const like = &s->candidate[c];

            if (like->family == family && like->is_judged[0] && !like->has_failed &&
                like->refined == 0 && s->family[family].steps > 1)
                TSPK_TRY(
                    judge_if_possible(s, family, like->pairs, refined_shares[i], 0, false, err));
        }
    return TSPK_OK;
}

/* Merging in one family: the pairs that are asked for, or a row of them and what is between. */
static tspk_status try_merging(tspk_search *s, uint32_t family, const uint32_t *pairs,
                               tspk_error *err)
{
    const bool is_asked = pairs[0] || pairs[1];

    for (size_t i = 0; is_asked && i < 2; i++)
        if (pairs[i])
            TSPK_TRY(tspk_search_judge(s, family, pairs[i], 0, 0, err));
    for (size_t i = 0; !is_asked && i < TSPK_COUNT_OF(token_shares); i++) {
        const uint32_t next = tspk_search_pairs(s, token_shares[i]);

        if (next)
            TSPK_TRY(judge_if_possible(s, family, next, 0, 0, false, err));
    }
    TSPK_TRY(try_refining(s, family, err));
    TSPK_TRY(confirm(s, err));
    return is_asked ? TSPK_OK : bisect(s, err);
}

static tspk_status search_all(tspk_search *s, bool is_pinned, const uint32_t *pairs,
                              tspk_error *err)
{
    const double price = s->settings->later_price[TSPK_SITE_LINEAR];
    const uint32_t levels = is_pinned ? s->settings->n_levels : FIRST_LEVELS;
    const uint32_t n_steps = s->settings->n_steps;
    const uint32_t steps = n_steps < FIRST_STEPS ? n_steps : FIRST_STEPS;
    uint32_t family = tspk_search_family(s, levels, steps, price);

    TSPK_TRY(tspk_search_judge(s, family, 0, 0, 0, err));
    if (!s->tuning->is_met && n_steps > steps) {
        family = tspk_search_family(s, levels, n_steps, price);
        TSPK_TRY(judge_if_possible(s, family, 0, 0, 0, false, err));
        family = chosen(s, false)->family;
    }
    TSPK_TRY(try_merging(s, family, pairs, err));
    for (size_t i = 0; !is_pinned && i < TSPK_COUNT_OF(other_levels); i++)
        TSPK_TRY(try_family(
            s, tspk_search_family(s, other_levels[i], s->family[family].steps, price), err));
    for (size_t i = 0; i < TSPK_COUNT_OF(other_prices); i++) {
        const tspk_trade *const best = chosen(s, false);

        TSPK_TRY(try_family(
            s, tspk_search_family(s, best->levels, s->family[best->family].steps, other_prices[i]),
            err));
    }
    return TSPK_OK;
}

/* --- the file's points --- */

/* The first steps of the point that a mode was judged as, under the mode's name. */
static tspk_status name_point(tspk_spikegraph *spikes, const tspk_trade *trade, const char *mode,
                              tspk_point *to, tspk_error *err)
{
    char name[TSPK_TUNE_NAME];
    uint32_t index;

    TSPK_TRY(tspk_find_point(spikes, tspk_search_point_name(trade->pairs, name), &index, err));
    *to = spikes->point[index];
    to->n_steps = trade->steps;
    to->refine_share = trade->steps > 1 ? (float)trade->refined : 0;
    to->name = tspk_arena_text(spikes->arena, mode);
    return to->name ? TSPK_OK
                    : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating point %s", mode);
}

/* "exact" and the modes, with their policies, in the place of the points there are. */
static tspk_status set_points(const tspk_search *s, tspk_spikegraph *spikes, tspk_error *err)
{
    static const char *const names[] = {"balanced", "fast"};
    tspk_point *const points = tspk_arena_array(spikes->arena, 3, sizeof *points);

    if (!points)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating points");
    points[0] = spikes->point[0];
    for (uint32_t i = 0; i < 2; i++) {
        const tspk_trade *const trade = chosen(s, i);
        const tspk_candidate *const judged =
            tspk_search_find(s, trade->family, trade->pairs, trade->refined);

        TSPK_TRY(name_point(spikes, trade, names[i], &points[i + 1], err));
        if (judged)
            TSPK_TRY(tspk_fit_exits(&judged->record, s->budget, i, trade->exit != TSPK_EXIT_NONE,
                                    s->settings->seed, spikes->arena, &points[i + 1], err));
    }
    spikes->point = points;
    spikes->n_points = 3;
    return TSPK_OK;
}

static tspk_status fit_modes(const tspk_search *s, const tspk_calib_settings *settings,
                             tspk_fit *fit, tspk_error *err)
{
    const tspk_trade *const mode[] = {chosen(s, false), chosen(s, true)};
    const bool is_shared = mode[0]->pairs == mode[1]->pairs;

    for (int i = 0; i < 2; i++) {
        char name[TSPK_TUNE_NAME];
        const uint32_t other = mode[1 - i]->steps;
        const tspk_merged_point point = {tspk_search_point_name(mode[i]->pairs, name),
                                         is_shared && other > mode[i]->steps ? other
                                                                             : mode[i]->steps,
                                         mode[i]->levels, mode[i]->pairs};

        if (mode[i]->pairs && !(is_shared && i))
            TSPK_TRY(tspk_frame_fit_merged(s->frame, s->images, settings, &point, fit, err));
    }
    return TSPK_OK;
}

static tspk_status fit_chosen(const tspk_search *s, tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_calib_settings settings = tspk_search_settings(s, chosen(s, false)->family);
    tspk_fit fit = {0};
    tspk_status status;

    settings.is_mirrored &=
        tspk_search_seconds(s) + tspk_search_last_fit(s, true) < s->budget->seconds;
    TSPK_TRY(tspk_frame_fit(s->frame, s->images, s->n_images, &settings, &fit, err));
    status = fit_modes(s, &settings, &fit, err);
    if (status == TSPK_OK)
        *spikes_out = fit.spikes;
    else
        tspk_spikegraph_free(fit.spikes);
    return status;
}

static bool has_point(const tspk_spikegraph *spikes, const tspk_trade *trade)
{
    char name[TSPK_TUNE_NAME];
    uint32_t index;

    return tspk_find_point(spikes, tspk_search_point_name(trade->pairs, name), &index, NULL) ==
           TSPK_OK;
}

/* The network of a fold in which "balanced" was fitted; "fast" is the same where it was not. */
static tspk_spikegraph *take_kept(tspk_search *s)
{
    tspk_fit *const fit = s->family[chosen(s, false)->family].fit;
    uint32_t fold = TSPK_TUNE_FOLDS;
    tspk_spikegraph *kept;

    for (uint32_t i = TSPK_TUNE_FOLDS; i-- > 0;)
        if (fit[i].spikes && has_point(fit[i].spikes, chosen(s, false)) &&
            (fold == TSPK_TUNE_FOLDS || has_point(fit[i].spikes, chosen(s, true))))
            fold = i;
    if (fold == TSPK_TUNE_FOLDS)
        return NULL;
    kept = fit[fold].spikes;
    fit[fold] = (tspk_fit){0};
    if (!has_point(kept, chosen(s, true)))
        s->tuning->fast = s->tuning->balanced;
    return kept;
}

tspk_status tspk_tune(const tspk_frame *frame, const float *images, const int64_t *labels,
                      size_t n_images, const tspk_calib_settings *settings, bool is_pinned,
                      const uint32_t *pairs, const tspk_budget *budget, tspk_tuning *tuning_out,
                      tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_search *const s = calloc(1, sizeof *s);
    tspk_spikegraph *spikes = NULL;
    tspk_status status;

    *tuning_out = (tspk_tuning){0};
    if (!s)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the search");
    *s = (tspk_search){.frame = frame,
                       .images = images,
                       .labels = labels,
                       .n_images = n_images,
                       .settings = settings,
                       .budget = budget,
                       .tuning = tuning_out};
    s->started = tspk_search_seconds(s);
    status = search_all(s, is_pinned, pairs, err);
    if (status == TSPK_OK)
        status = fit_chosen(s, &spikes, err);
    if (status == TSPK_INTERRUPTED && tuning_out->n_trades && (spikes = take_kept(s))) {
        tuning_out->is_partial = true;
        tspk_error_init(err);
        status = TSPK_OK;
    }
    if (status == TSPK_OK)
        status = set_points(s, spikes, err);
    if (status == TSPK_OK)
        *spikes_out = spikes;
    else
        tspk_spikegraph_free(spikes);
    tspk_search_done(s);
    free(s);
    return tspk_in_stage(err, status, "tune");
}
