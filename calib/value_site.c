/* SPDX-License-Identifier: Apache-2.0 */
/* Sites whose input is a value of the graph: linear, query, key and value sites. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/calibrate.h"
#include "calib/class_fit.h"
#include "calib/neuron_bank.h"
#include "calib/prior.h"
#include "calib/site_fit.h"
#include "calib/site_samples.h"
#include "core/fail.h"
#include "core/parallel.h"

/* Samples a channel for a ladder's fit, at most. */
#define MAX_SAMPLES       4096u
#define MAX_QUICK_SAMPLES 1024u
/* The exponent of donors is chosen on so many samples a fold, where there are few. */
#define MAX_TRIAL_SAMPLES 256u
#define MAX_TRIED         2048u

static tspk_status no_memory(tspk_error *err, const char *what)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %s", what);
}

typedef struct firing {
    const tspk_calib *calib;
    const tspk_site *site;
    const tspk_neuron_bank *bank; /* [n_classes] */
    uint32_t t;
    float *state;
} firing;

static void fire_image(void *context, size_t image, int worker)
{
    const firing *f = context;
    const tspk_site *site = f->site;
    const float *x = tspk_stage_at(f->calib->stage, site->input, image, f->t);
    float *o = f->state + image * site->rows * site->channels;

    (void)worker;
    for (size_t r = 0; r < site->rows; r++)
        tspk_neuron_bank_fire_row(&f->bank[site->row_class[r]], f->calib->point->coding, f->t,
                                  x + r * site->channels, o + r * site->channels);
}

static void fire_all(const tspk_calib *calib, uint32_t site, uint32_t t,
                     const tspk_neuron_bank *bank, float *state)
{
    firing f = {calib, &calib->spikes->site[site], bank, t, state};

    tspk_parallel_for(calib->settings.threads, tspk_stage_images(calib->stage), fire_image, &f);
}

static void done_banks(tspk_neuron_bank *bank)
{
    for (uint32_t k = 0; k < TSPK_MAX_TOKEN_CLASSES; k++)
        tspk_neuron_bank_done(&bank[k]);
}

static tspk_channel_fit_settings ladder_settings(const tspk_calib *calib, uint32_t site_id,
                                                 uint32_t t)
{
    const tspk_site_kind kind = calib->spikes->site[site_id].kind;
    const tspk_calib_options *options = &calib->settings.options;

    return (tspk_channel_fit_settings){.kind = !options->has_site_ladders    ? TSPK_LADDER_POW2
                                               : options->has_signed_ladders ? TSPK_LADDER_SIGNED
                                                                             : TSPK_LADDER_FITTED,
                                       .n_levels = calib->settings.n_levels,
                                       .price = tspk_calib_price(&calib->settings, kind, t),
                                       .is_quick = calib->settings.is_quick,
                                       .threads = calib->settings.threads};
}

/* Fits one class at step t on the potentials that it sees. */
static tspk_status fit_class(const tspk_calib *calib, uint32_t site_id, uint32_t t,
                             uint32_t row_class, const float *state, tspk_site_samples *s,
                             tspk_site_fit *fit, tspk_error *err)
{
    tspk_ladder_values *ladder = tspk_site_fit_ladder(fit, t - 1, row_class);
    double *scale = tspk_site_fit_scale(fit, t - 1, row_class);
    const tspk_calib_options *options = &calib->settings.options;
    const tspk_channel_fit_settings settings = ladder_settings(calib, site_id, t);
    tspk_population population = {0};
    tspk_status status;

    if (!options->is_sequential && t > 1) {
        *ladder = *tspk_site_fit_ladder(fit, 0, row_class);
        memcpy(scale, tspk_site_fit_scale(fit, 0, row_class), fit->channels * sizeof *scale);
        return TSPK_OK;
    }
    tspk_site_samples_set_step(s, calib, site_id, t);
    status = tspk_site_samples_potentials(s, calib, site_id, t, state, &population, err);
    if (status == TSPK_OK)
        status = tspk_fit_class(options, &settings, &population, ladder, scale, err);
    free(population.value);
    return status;
}

/* Error of step 1 on one fold's images after a fit on the others. */
static tspk_status try_exponent(const tspk_calib *calib, uint32_t site_id, uint32_t row_class,
                                tspk_sample_plan plan, const float *state, double *error_out,
                                tspk_error *err)
{
    const tspk_channel_fit_settings settings = ladder_settings(calib, site_id, 1);
    tspk_site_samples fitted = {0}, judged = {0};
    tspk_population potentials = {0}, unseen = {0};
    tspk_ladder_values ladder;
    double *scale = malloc(calib->spikes->site[site_id].channels * sizeof *scale);
    tspk_status status = scale ? TSPK_OK : no_memory(err, "trial scales");

    if (status == TSPK_OK)
        status = tspk_site_samples_init(&fitted, calib, site_id, row_class, &plan, err);
    plan.is_inverted = true;
    plan.has_donors = false;
    if (status == TSPK_OK)
        status = tspk_site_samples_init(&judged, calib, site_id, row_class, &plan, err);
    if (status == TSPK_OK && fitted.n && judged.n) {
        tspk_site_samples_set_step(&fitted, calib, site_id, 1);
        status = tspk_site_samples_potentials(&fitted, calib, site_id, 1, state, &potentials, err);
        if (status == TSPK_OK)
            status = tspk_site_samples_potentials(&judged, calib, site_id, 1, state, &unseen, err);
        if (status == TSPK_OK)
            status = tspk_fit_channels(&potentials, &settings, &ladder, scale, err);
        if (status == TSPK_OK)
            *error_out += tspk_channels_error(&unseen, &ladder, scale);
    }
    free(potentials.value);
    free(unseen.value);
    free(scale);
    tspk_site_samples_done(&fitted);
    tspk_site_samples_done(&judged);
    return status;
}

/* How far other channels' deviations apply to a channel: the exponent with the least error on
 * images that were not fitted. Where samples abound it hardly matters. */
static tspk_status choose_exponent(const tspk_calib *calib, uint32_t site_id, uint32_t row_class,
                                   const float *state, double *exponent_out, tspk_error *err)
{
    double least = INFINITY;

    for (int i = 0; i < 3; i++) {
        double error = 0;

        for (uint32_t fold = 0; fold < 2; fold++) {
            const tspk_sample_plan plan = {.max_samples = MAX_TRIAL_SAMPLES,
                                           .n_folds = 2,
                                           .fold = fold,
                                           .has_donors = true,
                                           .donor_exponent = 0.5 * i};

            TSPK_TRY(try_exponent(calib, site_id, row_class, plan, state, &error, err));
        }
        if (error > 0 && error < least) {
            least = error;
            *exponent_out = 0.5 * i;
        }
    }
    return TSPK_OK;
}

static tspk_status draw_samples(tspk_site_samples *s, const tspk_calib *calib, uint32_t site_id,
                                uint32_t row_class, const float *state, tspk_error *err)
{
    const tspk_calib_options *options = &calib->settings.options;
    tspk_sample_plan plan = {.max_samples =
                                 calib->settings.is_quick ? MAX_QUICK_SAMPLES : MAX_SAMPLES,
                             .has_donors = options->has_site_ladders && options->is_per_channel,
                             .donor_exponent = 1};

    TSPK_TRY(tspk_site_samples_init(s, calib, site_id, row_class, &plan, err));
    if (!plan.has_donors || !s->n || s->n > MAX_TRIED || s->n == plan.max_samples)
        return TSPK_OK;
    TSPK_TRY(choose_exponent(calib, site_id, row_class, state, &plan.donor_exponent, err));
    tspk_site_samples_done(s);
    return tspk_site_samples_init(s, calib, site_id, row_class, &plan, err);
}

/* Fits step t and fires its real-valued levels. `s`: [n_classes] */
static tspk_status fit_step(const tspk_calib *calib, uint32_t site_id, uint32_t t,
                            tspk_site_samples *s, tspk_site_fit *fit, float *state, tspk_error *err)
{
    const tspk_fire_rule rule = tspk_fire_rule_of(&calib->settings.options);
    tspk_neuron_bank bank[TSPK_MAX_TOKEN_CLASSES] = {{0}};
    tspk_status status = TSPK_OK;

    for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++) {
        if (s[k].n)
            status = fit_class(calib, site_id, t, k, state, &s[k], fit, err);
        if (status == TSPK_OK)
            status =
                tspk_neuron_bank_real(&bank[k], fit->channels, tspk_site_fit_ladder(fit, t - 1, k),
                                      tspk_site_fit_scale(fit, t - 1, k), rule, err);
        for (uint32_t i = 0; i < s[k].n_donors && status == TSPK_OK; i++)
            tspk_neuron_bank_fire_row(&bank[k], calib->point->coding, t,
                                      s[k].x + (size_t)i * fit->channels,
                                      s[k].state + (size_t)i * fit->channels);
    }
    if (status == TSPK_OK && t < calib->settings.n_steps)
        fire_all(calib, site_id, t, bank, state);
    done_banks(bank);
    return status;
}

float *tspk_calib_start_state(const tspk_calib *calib, uint32_t site_id)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const float *prior = calib->point->site[site_id].prior;
    const size_t rows = tspk_stage_images(calib->stage) * site->rows;
    float *state = calloc(rows * site->channels + 1, sizeof *state);

    for (size_t r = 0; state && prior && r < rows; r++)
        memcpy(state + r * site->channels,
               prior + (size_t)site->row_class[r % site->rows] * site->channels,
               site->channels * sizeof *state);
    return state;
}

tspk_status tspk_calib_fit_value_site(tspk_calib *calib, uint32_t site_id, uint32_t heads,
                                      tspk_error *err)
{
    tspk_site *site = &calib->spikes->site[site_id];
    tspk_site_params *params = &calib->point->site[site_id];
    tspk_site_samples s[TSPK_MAX_TOKEN_CLASSES] = {{0}};
    tspk_site_fit fit = {0};
    float *state = NULL;
    tspk_status status;

    status = tspk_site_fit_init(&fit, site->channels, calib->spikes->n_classes,
                                calib->settings.n_steps, err);
    fit.has_units = calib->has_weights;
    if (status == TSPK_OK && calib->settings.options.has_prior &&
        calib->point->coding == TSPK_CODING_DIFFERENTIAL)
        status = tspk_calib_fit_prior(calib, site_id, err);
    if (status == TSPK_OK) {
        state = tspk_calib_start_state(calib, site_id);
        if (!state)
            status = no_memory(err, "the state of a site");
    }
    for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++)
        status = draw_samples(&s[k], calib, site_id, k, state, err);
    for (uint32_t t = 1; t <= calib->settings.n_steps && status == TSPK_OK; t++)
        status = fit_step(calib, site_id, t, s, &fit, state, err);
    if (status == TSPK_OK)
        status = tspk_fold_class_fits(&calib->settings.options, &fit, calib->point->coding, heads,
                                      calib->arena, site, params, err);
    for (uint32_t k = 0; k < TSPK_MAX_TOKEN_CLASSES; k++)
        tspk_site_samples_done(&s[k]);
    free(state);
    tspk_site_fit_done(&fit);
    return tspk_at_tensor(err, status, site->name);
}

tspk_status tspk_calib_fire_value_site(tspk_calib *calib, uint32_t site_id, uint32_t t,
                                       float *state, tspk_error *err)
{
    tspk_neuron_bank bank[TSPK_MAX_TOKEN_CLASSES] = {{0}};
    tspk_status status = TSPK_OK;

    for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++)
        status = tspk_neuron_bank_integer(&bank[k], &calib->spikes->site[site_id],
                                          &calib->point->site[site_id], t - 1, k, err);
    if (status == TSPK_OK)
        fire_all(calib, site_id, t, bank, state);
    done_banks(bank);
    return status;
}

void tspk_calib_class_means(const tspk_calib *calib, uint32_t site_id, uint32_t t,
                            const float *state, double *mean_out, double *target_out)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const size_t cells = (size_t)calib->spikes->n_classes * site->channels;
    const double decode = calib->point->coding == TSPK_CODING_RATE ? 1.0 / t : 1.0;
    double count[TSPK_MAX_TOKEN_CLASSES] = {0};

    memset(mean_out, 0, cells * sizeof *mean_out);
    memset(target_out, 0, cells * sizeof *target_out);
    for (size_t i = 0; i < tspk_stage_images(calib->stage); i++) {
        const float *x = tspk_stage_at(calib->stage, site->input, i, t);
        const float *o = state + i * site->rows * site->channels;

        for (size_t r = 0; r < site->rows; r++) {
            const size_t to = (size_t)site->row_class[r] * site->channels;

            count[site->row_class[r]]++;
            for (size_t c = 0; c < site->channels; c++) {
                mean_out[to + c] += (double)o[r * site->channels + c];
                target_out[to + c] += (double)x[r * site->channels + c];
            }
        }
    }
    for (size_t i = 0; i < cells; i++) {
        const double n = count[i / site->channels];

        mean_out[i] = n > 0 ? mean_out[i] / n * decode : 0;
        target_out[i] = n > 0 ? target_out[i] / n : 0;
    }
}
