/* SPDX-License-Identifier: Apache-2.0 */
/* Sites whose input is a value of the graph: linear, query, key and value sites. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/calibrate.h"
#include "calib/class_fit.h"
#include "calib/neuron_bank.h"
#include "calib/site_fit.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "core/rng.h"

/* Samples a channel for a ladder's fit, at most. */
#define MAX_SAMPLES 4096u
/* One sample in so many has a twin, stretched by so much. */
#define TWIN_SHARE   16u
#define TWIN_STRETCH 1.5f

static tspk_status no_memory(tspk_error *err, const char *what)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %s", what);
}

/* Rows of one token class. */
typedef struct class_rows {
    uint32_t *row;
    uint32_t n;
} class_rows;

static tspk_status find_rows(const tspk_site *site, uint32_t row_class, class_rows *rows_out,
                             tspk_error *err)
{
    rows_out->n = 0;
    rows_out->row = malloc((site->rows + 1) * sizeof *rows_out->row);
    if (!rows_out->row)
        return no_memory(err, "row numbers");
    for (uint32_t r = 0; r < site->rows; r++)
        if (site->row_class[r] == row_class)
            rows_out->row[rows_out->n++] = r;
    return TSPK_OK;
}

static float potential(tspk_coding coding, uint32_t t, float x, float o)
{
    return coding == TSPK_CODING_DIFFERENTIAL ? x - o : (float)t * x - o;
}

/*
 * Sampled (image, row) pairs of one class, the same at every step. A share of them has a twin: the
 * same activations drawn out from the prior by TWIN_STRETCH, with a membrane of its own, as another
 * image may have them. Without twins, what exceeds the calibration images' range is never caught up
 * with.
 */
typedef struct samples {
    uint32_t n, n_twins;
    size_t *image;     /* [n] */
    uint32_t *row;     /* [n] */
    float *twin_x;     /* [n_twins, channels] at the present step */
    float *twin_state; /* [n_twins, channels] */
} samples;

static void samples_done(samples *s)
{
    free(s->image);
    free(s->row);
    free(s->twin_x);
    free(s->twin_state);
}

static tspk_status samples_init(samples *s, const tspk_calib *calib, uint32_t site_id,
                                uint32_t row_class, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const float *prior = calib->point->site[site_id].prior;
    tspk_rng rng = {calib->settings.seed ^ ((uint64_t)site_id << 32)};
    class_rows rows;
    size_t total;

    TSPK_TRY(find_rows(site, row_class, &rows, err));
    total = tspk_stage_fitted(calib->stage) * rows.n;
    s->n = total < MAX_SAMPLES ? (uint32_t)total : MAX_SAMPLES;
    s->n_twins =
        calib->settings.options.has_site_ladders ? (s->n + TWIN_SHARE - 1) / TWIN_SHARE : 0;
    s->image = malloc(((size_t)s->n + 1) * sizeof *s->image);
    s->row = malloc(((size_t)s->n + 1) * sizeof *s->row);
    s->twin_x = calloc((size_t)s->n_twins * site->channels + 1, sizeof(float));
    s->twin_state = calloc((size_t)s->n_twins * site->channels + 1, sizeof(float));
    for (uint32_t i = 0; s->image && s->row && i < s->n; i++) {
        const size_t pick = total == s->n ? i : (size_t)tspk_rng_below(&rng, total);

        s->image[i] = pick / rows.n;
        s->row[i] = rows.row[pick % rows.n];
    }
    for (uint32_t i = 0; s->twin_state && prior && i < s->n_twins; i++)
        memcpy(s->twin_state + (size_t)i * site->channels,
               prior + (size_t)row_class * site->channels, site->channels * sizeof(float));
    free(rows.row);
    return s->image && s->row && s->twin_x && s->twin_state ? TSPK_OK
                                                            : no_memory(err, "sampled rows");
}

/* Twins are taken evenly from the samples. */
static uint32_t twin_of(const samples *s, uint32_t twin)
{
    return (uint32_t)((uint64_t)twin * s->n / s->n_twins);
}

static void stretch_twins(const tspk_calib *calib, uint32_t site_id, uint32_t t, uint32_t row_class,
                          samples *s)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const float *prior = calib->point->site[site_id].prior;

    for (uint32_t i = 0; i < s->n_twins; i++) {
        const uint32_t from = twin_of(s, i);
        const float *x = tspk_stage_at(calib->stage, site->input, s->image[from], t) +
                         (size_t)s->row[from] * site->channels;

        for (uint32_t c = 0; c < site->channels; c++) {
            const float middle = prior ? prior[(size_t)row_class * site->channels + c] : 0.0f;

            s->twin_x[(size_t)i * site->channels + c] = middle + TWIN_STRETCH * (x[c] - middle);
        }
    }
}

/* Potentials at step t of the samples and their twins, channel by channel. */
static tspk_status sample_potentials(const tspk_calib *calib, uint32_t site_id, uint32_t t,
                                     const float *state, const samples *s,
                                     tspk_population *population, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    const size_t per_image = (size_t)site->rows * site->channels;
    const uint32_t n = s->n + s->n_twins;
    const uint32_t version = calib->settings.options.is_sequential ? t : 0;

    population->channels = site->channels;
    population->n = n;
    population->value = malloc((size_t)n * site->channels * sizeof(float) + 1);
    if (!population->value)
        return no_memory(err, "samples of potentials");
    for (uint32_t i = 0; i < n; i++) {
        const bool is_twin = i >= s->n;
        const size_t at = is_twin ? 0 : (size_t)s->row[i] * site->channels;
        const float *x = is_twin
                             ? s->twin_x + (size_t)(i - s->n) * site->channels
                             : tspk_stage_at(calib->stage, site->input, s->image[i], version) + at;
        const float *o = is_twin ? s->twin_state + (size_t)(i - s->n) * site->channels
                                 : state + s->image[i] * per_image + at;

        for (uint32_t c = 0; c < site->channels; c++)
            population->value[(size_t)c * n + i] = potential(calib->point->coding, t, x[c], o[c]);
    }
    return TSPK_OK;
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

/* Fits one class at step t on the potentials that it sees. */
static tspk_status fit_class(const tspk_calib *calib, uint32_t site_id, uint32_t t,
                             uint32_t row_class, const float *state, samples *s, tspk_site_fit *fit,
                             tspk_error *err)
{
    tspk_ladder_values *ladder = tspk_site_fit_ladder(fit, t - 1, row_class);
    double *scale = tspk_site_fit_scale(fit, t - 1, row_class);
    const tspk_calib_options *options = &calib->settings.options;
    const tspk_channel_fit_settings settings = {
        .kind = !options->has_site_ladders    ? TSPK_LADDER_POW2
                : options->has_signed_ladders ? TSPK_LADDER_SIGNED
                                              : TSPK_LADDER_FITTED,
        .n_levels = calib->settings.n_levels,
        .threads = calib->settings.threads};
    tspk_population population = {0};
    tspk_status status;

    if (!options->is_sequential && t > 1) {
        *ladder = *tspk_site_fit_ladder(fit, 0, row_class);
        memcpy(scale, tspk_site_fit_scale(fit, 0, row_class), fit->channels * sizeof *scale);
        return TSPK_OK;
    }
    stretch_twins(calib, site_id, t, row_class, s);
    status = sample_potentials(calib, site_id, t, state, s, &population, err);
    if (status == TSPK_OK)
        status = tspk_fit_class(options, &settings, &population, ladder, scale, err);
    free(population.value);
    return status;
}

/* Fits step t and fires its real-valued levels. `s`: [n_classes] */
static tspk_status fit_step(const tspk_calib *calib, uint32_t site_id, uint32_t t, samples *s,
                            tspk_site_fit *fit, float *state, tspk_error *err)
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
        for (uint32_t i = 0; i < s[k].n_twins && status == TSPK_OK; i++)
            tspk_neuron_bank_fire_row(&bank[k], calib->point->coding, t,
                                      s[k].twin_x + (size_t)i * fit->channels,
                                      s[k].twin_state + (size_t)i * fit->channels);
    }
    if (status == TSPK_OK && t < calib->settings.n_steps)
        fire_all(calib, site_id, t, bank, state);
    done_banks(bank);
    return status;
}

/* Prior: the mean of what the site receives at step 1, per class and channel. */
static tspk_status fit_prior(tspk_calib *calib, uint32_t site_id, tspk_error *err)
{
    const tspk_site *site = &calib->spikes->site[site_id];
    tspk_site_params *params = &calib->point->site[site_id];
    const size_t cells = (size_t)calib->spikes->n_classes * site->channels;
    double *sum = calloc(cells + TSPK_MAX_TOKEN_CLASSES, sizeof *sum);
    double *count;

    params->prior = tspk_arena_array(calib->spikes->arena, cells, sizeof *params->prior);
    if (!sum || !params->prior) {
        free(sum);
        return no_memory(err, "priors");
    }
    count = sum + cells;
    for (size_t i = 0; i < tspk_stage_fitted(calib->stage); i++) {
        const float *x = tspk_stage_at(calib->stage, site->input, i, 1);

        for (size_t r = 0; r < site->rows; r++) {
            double *to = sum + (size_t)site->row_class[r] * site->channels;

            count[site->row_class[r]]++;
            for (size_t c = 0; c < site->channels; c++)
                to[c] += (double)x[r * site->channels + c];
        }
    }
    for (size_t i = 0; i < cells; i++)
        params->prior[i] =
            count[i / site->channels] > 0 ? (float)(sum[i] / count[i / site->channels]) : 0.0f;
    free(sum);
    return TSPK_OK;
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
    tspk_arena *arena = calib->spikes->arena;
    samples s[TSPK_MAX_TOKEN_CLASSES] = {{0}};
    tspk_site_fit fit = {0};
    float *state = NULL;
    tspk_status status;

    status = tspk_site_fit_init(&fit, site->channels, calib->spikes->n_classes,
                                calib->settings.n_steps, err);
    if (status == TSPK_OK && calib->settings.options.has_prior &&
        calib->point->coding == TSPK_CODING_DIFFERENTIAL)
        status = fit_prior(calib, site_id, err);
    for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++)
        status = samples_init(&s[k], calib, site_id, k, err);
    if (status == TSPK_OK) {
        state = tspk_calib_start_state(calib, site_id);
        if (!state)
            status = no_memory(err, "the state of a site");
    }
    for (uint32_t t = 1; t <= calib->settings.n_steps && status == TSPK_OK; t++)
        status = fit_step(calib, site_id, t, s, &fit, state, err);
    if (status == TSPK_OK)
        status = tspk_fold_class_fits(&calib->settings.options, &fit, calib->point->coding, heads,
                                      arena, site, params, err);
    for (uint32_t k = 0; k < TSPK_MAX_TOKEN_CLASSES; k++)
        samples_done(&s[k]);
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
    for (size_t i = 0; i < tspk_stage_fitted(calib->stage); i++) {
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
