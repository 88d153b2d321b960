/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune_judge.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "calib/tune_exit.h"
#include "core/fail.h"
#include "core/point_graph.h"

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

double tspk_search_seconds(const tspk_search *search)
{
    return now() - search->started;
}

static void drop_fits(tspk_family *family)
{
    for (uint32_t i = 0; i < TSPK_TUNE_FOLDS; i++) {
        tspk_spikegraph_free(family->fit[i].spikes);
        family->fit[i] = (tspk_fit){0};
    }
}

void tspk_search_done(tspk_search *search)
{
    for (uint32_t i = 0; i < search->n_families; i++)
        drop_fits(&search->family[i]);
    for (uint32_t i = 0; i < search->n_candidates; i++)
        tspk_exit_record_done(&search->candidate[i].record);
    for (uint32_t i = 0; i < TSPK_TUNE_FOLDS; i++)
        tspk_split_done(&search->split[i]);
}

uint32_t tspk_search_family(tspk_search *search, uint32_t levels, uint32_t steps, double price)
{
    const uint32_t n = search->n_families;

    for (uint32_t i = 0; i < n; i++)
        if (search->family[i].levels == levels && search->family[i].steps == steps &&
            search->family[i].price == price)
            return i;
    if (n == TSPK_TUNE_FAMILIES)
        return 0;
    search->family[n] = (tspk_family){.levels = levels, .steps = steps, .price = price};
    return search->n_families++;
}

const char *tspk_search_point_name(uint32_t pairs, char *name)
{
    snprintf(name, TSPK_TUNE_NAME, pairs ? "merge %u" : "exact", pairs);
    return name;
}

tspk_calib_settings tspk_search_settings(const tspk_search *search, uint32_t family)
{
    tspk_calib_settings settings = *search->settings;

    settings.n_levels = search->family[family].levels;
    settings.later_price[TSPK_SITE_LINEAR] = search->family[family].price;
    return settings;
}

/* --- how many tokens are left --- */

typedef struct spread {
    uint32_t n_special, n_attentions;
    uint32_t *n_pairs; /* [n_attentions] malloc'd; NULL: nothing merges */
} spread;

static spread spread_of(const tspk_search *search, uint32_t pairs)
{
    const tspk_family *const family = &search->family[0];
    const tspk_spikegraph *const spikes = family->fit[0].spikes;
    spread s = {0};

    if (!spikes || tspk_count_special_tokens(spikes, &s.n_special, NULL) != TSPK_OK)
        return s;
    s.n_attentions = tspk_graph_count_attentions(spikes->graph);
    s.n_pairs = malloc((s.n_attentions + 1) * sizeof *s.n_pairs);
    if (s.n_pairs && pairs && !tspk_merging_spread(spikes->graph, s.n_special, pairs, s.n_pairs)) {
        free(s.n_pairs);
        s.n_pairs = NULL;
    }
    return s;
}

double tspk_search_tokens(const tspk_search *search, uint32_t pairs)
{
    const spread s = pairs ? spread_of(search, pairs) : (spread){0};
    double before = 0, left = 0;
    uint32_t merged = 0, index = 0;

    if (!s.n_pairs)
        return 1;
    for (uint32_t i = 0; i < search->family[0].fit[0].spikes->graph->n_nodes; i++) {
        const tspk_graph *const graph = search->family[0].fit[0].spikes->graph;

        if (graph->node[i].op != TSPK_OP_ATTENTION)
            continue;
        before += (double)tspk_shape_rows(&graph->value[graph->node[i].in[1]].shape);
        left += (double)tspk_shape_rows(&graph->value[graph->node[i].in[1]].shape) - merged;
        merged += s.n_pairs[index++];
    }
    free(s.n_pairs);
    return left / before;
}

uint32_t tspk_search_pairs(const tspk_search *search, double tokens)
{
    for (uint32_t pairs = 1;; pairs++) {
        const double left = tspk_search_tokens(search, pairs);

        if (left == 1)
            return 0;
        if (left <= tokens)
            return pairs;
    }
}

/* --- costs --- */

static bool has_point(const tspk_fit *fit, uint32_t pairs)
{
    char name[TSPK_TUNE_NAME];
    uint32_t index;

    return fit->spikes && tspk_find_point(fit->spikes, tspk_search_point_name(pairs, name), &index,
                                          NULL) == TSPK_OK;
}

/* Fitting ladders and rounding weights takes as long as so many units, whatever the images. */
#define FIXED_UNITS 400

/* A fit carries every image through in one version a step and the source's. */
static double fit_units(const tspk_search *search, size_t n_images, uint32_t steps, uint32_t pairs)
{
    return FIXED_UNITS + (double)n_images * (steps + 1) * tspk_search_tokens(search, pairs);
}

double tspk_search_cost(const tspk_search *search, uint32_t family, uint32_t pairs, uint32_t fold)
{
    const tspk_family *const f = &search->family[family];
    const size_t n_held = search->n_images / TSPK_TUNE_FOLDS;
    const size_t n = search->n_images - n_held;
    const tspk_views *const views = &search->split[0].held_out;
    double cost = search->run_rate * (double)views->n * f->steps;

    if (!f->fit[fold].spikes)
        cost += search->fit_rate * fit_units(search, n, f->steps, 0);
    if (pairs && !has_point(&f->fit[fold], pairs))
        cost += search->fit_rate * fit_units(search, n, f->steps, pairs);
    return cost;
}

double tspk_search_last_fit(const tspk_search *search, bool is_mirrored)
{
    const tspk_tuning *const tuning = search->tuning;
    const tspk_trade *const mode[] = {&tuning->trade[tuning->balanced],
                                      &tuning->trade[tuning->fast]};
    const size_t n = is_mirrored ? 2 * search->n_images : search->n_images;
    double units = fit_units(search, n, search->settings->n_steps, 0);

    for (int i = 0; i < 2; i++)
        if (mode[i]->pairs && (!i || mode[0]->pairs != mode[1]->pairs))
            units += fit_units(search, n, mode[i]->steps, mode[i]->pairs);
    return search->fit_rate * units;
}

/* --- judging --- */

/* Progress of one fit under a name of its own. */
typedef struct phase {
    const tspk_calib_settings *settings;
    char name[96];
} phase;

static int report(void *context, const char *name, size_t done, size_t total)
{
    const phase *const p = context;

    (void)name;
    return p->settings->progress(p->settings->progress_context, p->name, done, total);
}

static tspk_calib_settings start_phase(const tspk_search *search, uint32_t family, uint32_t pairs,
                                       uint32_t fold, phase *named)
{
    const tspk_family *const f = &search->family[family];
    tspk_calib_settings settings = tspk_search_settings(search, family);
    char name[TSPK_TUNE_NAME];

    named->settings = search->settings;
    snprintf(named->name, sizeof named->name, "%u levels, price %g, %s, fold %u of %u", f->levels,
             f->price, pairs ? tspk_search_point_name(pairs, name) : "all tokens", fold + 1,
             TSPK_TUNE_FOLDS);
    settings.n_steps = f->steps;
    settings.is_mirrored = false;
    settings.is_quick = true;
    if (settings.progress) {
        settings.progress = report;
        settings.progress_context = named;
    }
    return settings;
}

static tspk_status fit(tspk_search *search, uint32_t family, uint32_t pairs, uint32_t fold,
                       tspk_error *err)
{
    const tspk_split *const split = &search->split[fold];
    tspk_fit *const to = &search->family[family].fit[fold];
    phase named;
    const tspk_calib_settings settings = start_phase(search, family, pairs, fold, &named);
    char name[TSPK_TUNE_NAME];
    const tspk_merged_point point = {tspk_search_point_name(pairs, name), settings.n_steps,
                                     settings.n_levels, pairs};
    const double begun = now();

    if (pairs)
        TSPK_TRY(tspk_frame_fit_merged(search->frame, split->image, &settings, &point, to, err));
    else
        TSPK_TRY(tspk_frame_fit(search->frame, split->image, split->n, &settings, to, err));
    search->fit_rate = fmax(search->fit_rate,
                            (now() - begun) / fit_units(search, split->n, settings.n_steps, pairs));
    return TSPK_OK;
}

static bool is_of(const tspk_candidate *candidate, uint32_t family, uint32_t pairs, double refined)
{
    return candidate->family == family && candidate->pairs == pairs &&
           candidate->refined == refined;
}

static tspk_candidate *take_candidate(tspk_search *search, uint32_t family, uint32_t pairs,
                                      double refined)
{
    for (uint32_t i = 0; i < search->n_candidates; i++)
        if (is_of(&search->candidate[i], family, pairs, refined))
            return &search->candidate[i];
    if (search->n_candidates == TSPK_TUNE_CANDIDATES)
        return NULL;
    search->candidate[search->n_candidates] =
        (tspk_candidate){.family = family, .pairs = pairs, .refined = refined};
    return &search->candidate[search->n_candidates++];
}

const tspk_candidate *tspk_search_find(const tspk_search *search, uint32_t family, uint32_t pairs,
                                       double refined)
{
    for (uint32_t i = 0; i < search->n_candidates; i++) {
        const tspk_candidate *const c = &search->candidate[i];

        if (is_of(c, family, pairs, refined))
            return c->has_failed ? NULL : c;
    }
    return NULL;
}

static void drop_trades(tspk_tuning *tuning, const tspk_candidate *candidate)
{
    uint32_t n = 0;

    for (uint32_t i = 0; i < tuning->n_trades; i++) {
        const tspk_trade *const trade = &tuning->trade[i];

        if (is_of(candidate, trade->family, trade->pairs, trade->refined))
            continue;
        tuning->trade[n] = *trade;
        tuning->trade[n].id = n;
        n++;
    }
    tuning->n_trades = n;
}

static tspk_status update_trades(tspk_search *search, const tspk_candidate *candidate,
                                 tspk_error *err)
{
    const tspk_family *const family = &search->family[candidate->family];
    const tspk_trade like = {.family = candidate->family,
                             .levels = family->levels,
                             .pairs = candidate->pairs,
                             .refined = candidate->refined,
                             .price = family->price};
    tspk_status status = TSPK_OK;

    drop_trades(search->tuning, candidate);
    if (!candidate->has_failed)
        status = tspk_add_trades(search->tuning, &candidate->record, &like, search->budget, err);
    tspk_choose_trades(search->tuning, search->budget);
    return status;
}

/* Fits of other families than this one and the best are not needed any more. */
static void drop_other_fits(tspk_search *search, uint32_t family)
{
    const tspk_tuning *const tuning = search->tuning;

    for (uint32_t i = 1; i < search->n_families; i++) /* the first tells how tokens merge */
        if (i != family && (!tuning->n_trades || i != tuning->trade[tuning->balanced].family))
            drop_fits(&search->family[i]);
}

static tspk_status judge(tspk_search *search, tspk_candidate *candidate, uint32_t fold,
                         tspk_error *err)
{
    const tspk_fit *const fitted = &search->family[candidate->family].fit[fold];
    const tspk_views *const views = &search->split[fold].held_out;
    char name[TSPK_TUNE_NAME];
    uint32_t index;
    double begun;
    tspk_status status;

    if (!fitted->spikes)
        TSPK_TRY(fit(search, candidate->family, 0, fold, err));
    if (candidate->pairs && !has_point(fitted, candidate->pairs))
        TSPK_TRY(fit(search, candidate->family, candidate->pairs, fold, err));
    begun = now();
    tspk_search_point_name(candidate->pairs, name);
    TSPK_TRY(tspk_find_point(fitted->spikes, name, &index, err));
    fitted->spikes->point[index].refine_share = (float)candidate->refined;
    status = tspk_exit_record_add(&candidate->record, fitted->spikes, name, views,
                                  search->settings->threads, err);
    fitted->spikes->point[index].refine_share = 0; /* as it was fitted */
    TSPK_TRY(status);
    search->run_rate = fmax(search->run_rate, (now() - begun) / (double)views->n /
                                                  search->family[candidate->family].steps);
    candidate->is_judged[fold] = true;
    return TSPK_OK;
}

tspk_status tspk_search_judge(tspk_search *search, uint32_t family, uint32_t pairs, double refined,
                              uint32_t fold, tspk_error *err)
{
    tspk_candidate *const candidate = take_candidate(search, family, pairs, refined);
    tspk_status status = TSPK_OK;

    if (!candidate)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u candidates", TSPK_TUNE_CANDIDATES);
    if (candidate->is_judged[fold] || candidate->has_failed)
        return TSPK_OK;
    drop_other_fits(search, family);
    if (!search->has_split[fold]) {
        TSPK_TRY(tspk_split_make(&search->split[fold], search->frame, search->images,
                                 search->labels, search->n_images, TSPK_TUNE_FOLDS, fold, true,
                                 search->settings, err));
        search->has_split[fold] = true;
    }
    status = judge(search, candidate, fold, err);
    if (status == TSPK_INTERRUPTED)
        return status;
    candidate->has_failed = status != TSPK_OK;
    if (status == TSPK_OK)
        return update_trades(search, candidate, err);
    drop_trades(search->tuning, candidate);
    tspk_choose_trades(search->tuning, search->budget);
    return status;
}
