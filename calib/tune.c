/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/tune.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#include "calib/tune_exit.h"
#include "core/fail.h"
#include "core/logits.h"

#define N_FOLDS 2u
/* The last fit takes this much longer than a fold's, and its share of the time is kept. */
#define LAST_FIT_FACTOR 2.2

typedef struct candidate {
    uint32_t levels;
    double price; /* at linear sites, from step 2 on */
} candidate;

/* In the order in which they are tried. */
static const uint32_t other_levels[] = {16, 12, 6, 4};
static const double other_prices[] = {0.01, 0.03};

typedef struct search {
    const tspk_frame *frame;
    const float *images, *source;
    const int64_t *labels;
    size_t n_images;
    const tspk_calib_settings *settings;
    const tspk_budget *budget;
    tspk_tuning *tuning;
    uint32_t n_candidates;
    double started, longest; /* [s] start; longest candidate so far */
    tspk_spikegraph *kept;   /* of the best candidate so far, fitted on one fold's others */
    bool is_labelled;
    double source_correct; /* share of labelled images that the source network gets right */
} search;

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_MONOTONIC, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

/* Progress of one fit under a name of its own. */
typedef struct phase {
    const tspk_calib_settings *settings;
    char name[64];
} phase;

static int report(void *context, const char *name, size_t done, size_t total)
{
    const phase *p = context;

    (void)name;
    return p->settings->progress(p->settings->progress_context, p->name, done, total);
}

static tspk_calib_settings settings_of(const search *s, const candidate *c)
{
    tspk_calib_settings settings = *s->settings;

    settings.n_levels = c->levels;
    settings.later_price[TSPK_SITE_LINEAR] = c->price;
    return settings;
}

static void count_source(search *s)
{
    size_t labelled = 0, correct = 0;

    for (size_t i = 0; s->labels && i < s->n_images; i++) {
        const float *logits = s->source + i * s->frame->classes;

        if (s->labels[i] < 0)
            continue;
        labelled++;
        correct += tspk_find_largest(logits, s->frame->classes) == (size_t)s->labels[i];
    }
    s->is_labelled = labelled == s->n_images;
    s->source_correct = labelled ? (double)correct / (double)labelled : 0;
}

/* Points of top-1: a third of the changed answers, and what was counted, each by its precision. Of
 * few images a count moves by points for nothing. */
static double loss_of(const search *s, double agreement, double correct, double n)
{
    const double estimated = 100 * TSPK_LOSS_OF_DISAGREEMENT * (1 - agreement);
    const double counted = 100 * (s->source_correct - correct / n);
    const double doubt = estimated * estimated, noise = 1e4 * (1 - agreement) / n;

    if (!s->is_labelled || !(doubt + noise > 0))
        return estimated;
    return (estimated * noise + counted * doubt) / (doubt + noise);
}

static tspk_status add_trades(search *s, const candidate *c, const tspk_judgement *sums, size_t n,
                              const tspk_exit_record *record, tspk_error *err)
{
    const tspk_trade like = {.candidate = s->n_candidates, .levels = c->levels, .price = c->price};
    const tspk_exit_target none = {0};
    tspk_tuning *tuning = s->tuning;
    tspk_exit_chances chances;
    tspk_status status;

    TSPK_TRY(tspk_exit_chances_new(record, &chances, err));
    for (uint32_t t = 0; t < s->settings->n_steps && tuning->n_trades < TSPK_MAX_TRADES; t++) {
        const tspk_exit_outcome fixed = tspk_exit_fixed(&chances, t + 1, &none);
        const double count = (double)n;
        tspk_trade *to = &tuning->trade[tuning->n_trades];

        *to = like;
        to->id = tuning->n_trades++;
        to->steps = t + 1;
        to->mean_steps = t + 1;
        to->agreement = fixed.agreement;
        to->error = fixed.error;
        to->kl = sums[t].kl / count;
        to->energy = sums[t].energy_synaptic / count;
        to->loss = loss_of(s, to->agreement, sums[t].correct, count);
    }
    s->n_candidates++;
    status = tspk_add_exit_trades(tuning, &chances, &like, s->budget, err);
    tspk_exit_chances_done(&chances);
    return status;
}

static tspk_status judge(search *s, const candidate *c, tspk_error *err)
{
    tspk_calib_settings settings = settings_of(s, c);
    phase named = {.settings = s->settings};
    tspk_spikegraph *spikes = NULL;
    const double begun = now();
    tspk_judgement *sums = calloc(s->settings->n_steps, sizeof *sums);
    tspk_status status = sums ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory to judge");
    tspk_exit_record record = {0};
    size_t n_judged = 0;

    for (uint32_t fold = 0; fold < N_FOLDS && status == TSPK_OK; fold++) {
        size_t n = 0;

        snprintf(named.name, sizeof named.name, "%u levels, price %g, fold %u of %u", c->levels,
                 c->price, fold + 1, N_FOLDS);
        if (s->settings->progress) {
            settings.progress = report;
            settings.progress_context = &named;
        }
        tspk_spikegraph_free(spikes);
        spikes = NULL;
        status = tspk_judge_fold(s->frame, s->images, s->labels, s->source, s->n_images, N_FOLDS,
                                 fold, &settings, sums, &n, &record, &spikes, err);
        n_judged += n;
    }
    if (status == TSPK_OK)
        status = add_trades(s, c, sums, n_judged, &record, err);
    tspk_exit_record_done(&record);
    if (status == TSPK_OK) {
        tspk_choose_trades(s->tuning, s->budget);
        if (s->tuning->trade[s->tuning->balanced].candidate + 1 == s->n_candidates) {
            tspk_spikegraph_free(s->kept);
            s->kept = spikes;
            spikes = NULL;
        }
    }
    tspk_spikegraph_free(spikes);
    free(sums);
    s->longest = fmax(s->longest, now() - begun);
    return status;
}

static bool has_time(const search *s)
{
    const double last_fit = s->longest / N_FOLDS * LAST_FIT_FACTOR;

    return now() - s->started + s->longest + last_fit < s->budget->seconds;
}

/* A later candidate that needs more memory than there is, or exceeds a limit, is left out. */
static tspk_status judge_if_possible(search *s, const candidate *c, tspk_error *err)
{
    const tspk_status status = judge(s, c, err);

    if (status != TSPK_NOMEM && status != TSPK_LIMIT)
        return status;
    tspk_error_init(err);
    return TSPK_OK;
}

static tspk_status search_all(search *s, bool is_pinned, tspk_error *err)
{
    candidate next = {s->settings->n_levels, s->settings->later_price[TSPK_SITE_LINEAR]};

    TSPK_TRY(judge(s, &next, err));
    for (size_t i = 0; !is_pinned && i < sizeof other_levels / sizeof *other_levels; i++) {
        next.levels = other_levels[i];
        if (next.levels != s->settings->n_levels && has_time(s))
            TSPK_TRY(judge_if_possible(s, &next, err));
    }
    next.levels = s->tuning->trade[s->tuning->balanced].levels;
    for (size_t i = 0; i < sizeof other_prices / sizeof *other_prices; i++) {
        next.price = other_prices[i];
        if (has_time(s))
            TSPK_TRY(judge_if_possible(s, &next, err));
    }
    return TSPK_OK;
}

/* The first steps of "exact" under a name of their own. */
static tspk_status add_prefix(tspk_spikegraph *spikes, const char *name, uint32_t n_steps,
                              tspk_error *err)
{
    tspk_point *points = tspk_arena_array(spikes->arena, spikes->n_points + 1, sizeof *points);
    tspk_point *to = points + spikes->n_points;

    if (!points)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating point %s", name);
    for (uint32_t i = 0; i < spikes->n_points; i++)
        points[i] = spikes->point[i];
    *to = spikes->point[0];
    to->n_steps = n_steps;
    to->name = tspk_arena_text(spikes->arena, name);
    if (!to->name)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the operating point %s", name);
    spikes->point = points;
    spikes->n_points++;
    return TSPK_OK;
}

static tspk_status fit_chosen(const search *s, tspk_spikegraph **spikes_out, tspk_error *err)
{
    const tspk_trade *balanced = &s->tuning->trade[s->tuning->balanced];
    const candidate chosen = {balanced->levels, balanced->price};
    const tspk_calib_settings settings = settings_of(s, &chosen);

    return tspk_frame_fit(s->frame, s->images, s->n_images, &settings, spikes_out, err);
}

static tspk_status add_points(const search *s, tspk_spikegraph *spikes, tspk_error *err)
{
    const tspk_tuning *const tuning = s->tuning;

    TSPK_TRY(add_prefix(spikes, "balanced", tuning->trade[tuning->balanced].steps, err));
    TSPK_TRY(add_prefix(spikes, "fast", tuning->trade[tuning->fast].steps, err));
    if (tuning->is_partial) /* who stopped the search does not wait for more */
        return TSPK_OK;
    return tspk_fit_exits(s->frame, s->images, s->n_images, s->settings, tuning, s->budget, spikes,
                          err);
}

tspk_status tspk_tune(const tspk_frame *frame, const float *images, const int64_t *labels,
                      size_t n_images, const tspk_calib_settings *settings, bool is_pinned,
                      const tspk_budget *budget, tspk_tuning *tuning_out,
                      tspk_spikegraph **spikes_out, tspk_error *err)
{
    float *source = malloc(n_images * frame->classes * sizeof *source);
    search s = {.frame = frame,
                .images = images,
                .source = source,
                .labels = labels,
                .n_images = n_images,
                .settings = settings,
                .budget = budget,
                .tuning = tuning_out,
                .started = now()};
    tspk_status status = source ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory for logits");

    tspk_spikegraph *spikes = NULL;

    *tuning_out = (tspk_tuning){0};
    if (status == TSPK_OK)
        status = tspk_source_logits(frame, images, n_images, settings->threads, source, err);
    if (status == TSPK_OK) {
        count_source(&s);
        status = search_all(&s, is_pinned, err);
    }
    if (status == TSPK_OK)
        status = fit_chosen(&s, &spikes, err);
    if (status == TSPK_INTERRUPTED && s.kept) {
        spikes = s.kept;
        s.kept = NULL;
        tuning_out->is_partial = true;
        tspk_error_init(err);
        status = TSPK_OK;
    }
    if (status == TSPK_OK)
        status = add_points(&s, spikes, err);
    if (status == TSPK_OK)
        *spikes_out = spikes;
    else
        tspk_spikegraph_free(spikes);
    tspk_spikegraph_free(s.kept);
    free(source);
    return tspk_in_stage(err, status, "tune");
}
