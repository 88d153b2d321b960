/* SPDX-License-Identifier: Apache-2.0 */
/* The four sites of an Attention: operands first, then the softmax numerators and the output. */
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
#include "runtime/ann/blas.h"
#include "runtime/ann/op_eval.h"

#define MAX_SAMPLE_ROWS 1024u
#define MAX_LOG_RISE    1.3862943611198906 /* ln 4 */

typedef struct attention {
    tspk_calib *calib;
    const tspk_spike_attention *record;
    const tspk_node *node;
    const tspk_site *query, *key, *value;
    tspk_site *numerator;
    uint32_t heads, n, m, d, e; /* queries, keys, channels a head of q and k, of v */
    tspk_value_id bias;         /* [heads or 1, n or 1, m] or TSPK_ID_NONE */
    size_t bias_head, bias_row; /* strides, 0 where broadcast */
    uint32_t t;
    tspk_neuron_bank *bank; /* [n_classes] */
    bool is_output;         /* compute the node's output after firing */
    float *state;           /* [images, heads, n, m] fired so far */
    float *maximum;         /* [images, heads, n] */
    float *sum;             /* [images, heads, n] of step t */
    float *x;               /* [threads, heads, n, m] numerators of step t */
    float *sample;          /* per image: where numerators are kept for sampling, or NULL */
} attention;

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory to calibrate an attention");
}

static size_t cells(const attention *a)
{
    return (size_t)a->heads * a->n * a->m;
}

/* Decoded estimate of an operand at step t: [rows, channels]. */
static const float *operand(const attention *a, uint32_t site_id, size_t image)
{
    const tspk_site *site = &a->calib->spikes->site[site_id];
    const size_t elems = (size_t)site->rows * site->channels;

    return a->calib->decoded[site_id] + (image * a->calib->settings.n_steps + (a->t - 1)) * elems;
}

/* Numerators of step t of one image, row maxima and sums. */
static void compute_numerators(const attention *a, size_t image, float *x)
{
    const float *q = operand(a, a->record->query, image);
    const float *k = operand(a, a->record->key, image);
    const float *bias =
        a->bias == TSPK_ID_NONE ? NULL : tspk_stage_at(a->calib->stage, a->bias, image, a->t);
    float *maximum = a->maximum + image * a->heads * a->n;
    float *sum = a->sum + image * a->heads * a->n;

    for (size_t h = 0; h < a->heads; h++) {
        tspk_sgemm(true, a->n, a->m, a->d, a->node->attr.scale, q + h * a->d, a->query->channels,
                   k + h * a->d, a->key->channels, 0.0f, x + h * a->n * a->m, a->m);
        for (size_t i = 0; i < a->n; i++) {
            float *row = x + (h * a->n + i) * a->m;
            float *at = &maximum[h * a->n + i];
            float most = -INFINITY;
            double total = 0;

            for (size_t j = 0; j < a->m; j++) {
                if (bias)
                    row[j] += bias[h * a->bias_head + i * a->bias_row + j];
                most = row[j] > most ? row[j] : most;
            }
            if (a->t == 1 || !a->record->is_max_fixed || (double)(most - *at) > MAX_LOG_RISE)
                *at = most;
            for (size_t j = 0; j < a->m; j++) {
                row[j] = expf(row[j] - *at);
                total += (double)row[j];
            }
            sum[h * a->n + i] = (float)total;
            if (a->record->is_quotient)
                for (size_t j = 0; j < a->m; j++)
                    row[j] /= (float)total;
        }
    }
}

/* Output of step t: spikes of the numerators times decoded values, over the exact sum, plus the
 * constant part of the values under the exact softmax. */
static void compute_output(const attention *a, size_t image, const float *x)
{
    const uint32_t n_classes = a->calib->spikes->n_classes;
    const tspk_coding coding = a->calib->point->coding;
    const float *v = operand(a, a->record->value, image);
    const float *p = a->state + image * cells(a);
    const float *offset = a->calib->point->site[a->record->value].step[a->t - 1].offset;
    float *y = tspk_stage_at(a->calib->stage, a->node->out[0], image, a->t);
    const size_t width = a->value->channels;
    const float decode = coding == TSPK_CODING_RATE ? 1.0f / (float)a->t : 1.0f;

    for (size_t h = 0; h < a->heads; h++) {
        tspk_sgemm(false, a->n, a->e, a->m, decode, p + h * a->n * a->m, a->m, v + h * a->e, width,
                   0.0f, y + h * a->e, width);
        for (size_t i = 0; i < a->n; i++) {
            const float *row = x + (h * a->n + i) * a->m;
            const float sum = a->sum[(image * a->heads + h) * a->n + i];
            const float spikes = a->record->is_quotient ? 1.0f : 1.0f / sum;
            const float exact = a->record->is_quotient ? 1.0f : 1.0f / sum;
            float mass[TSPK_MAX_TOKEN_CLASSES] = {0};
            float *to = y + i * width + h * a->e;

            for (size_t j = 0; j < a->m; j++)
                mass[a->value->row_class[j]] += row[j];
            for (size_t c = 0; c < a->e; c++) {
                const float *b = offset + h * a->e + c;
                float total = to[c] * spikes + b[0];

                for (uint32_t k = 1; k < n_classes; k++)
                    total += (b[k * width] - b[0]) * mass[k] * exact;
                to[c] = total;
            }
        }
    }
}

static void step_image(void *context, size_t image, int worker)
{
    const attention *a = context;
    const size_t all = cells(a);
    float *x = a->sample ? a->sample + image * all : a->x + (size_t)worker * all;

    compute_numerators(a, image, x);
    if (a->sample)
        return;
    for (size_t h = 0; h < a->heads; h++)
        for (size_t i = 0; i < a->n; i++) {
            const size_t at = (h * a->n + i) * a->m;

            tspk_neuron_bank_fire_channel(&a->bank[a->numerator->row_class[i]],
                                          a->calib->point->coding, a->t, (uint32_t)h, x + at,
                                          a->state + image * all + at, a->m);
        }
    if (a->is_output)
        compute_output(a, image, x);
}

/* Potentials of sampled rows: a "channel" is a head. */
static tspk_status sample_rows(const attention *a, uint32_t row_class, tspk_population *population,
                               tspk_error *err)
{
    const uint64_t key = a->calib->settings.seed ^ ((uint64_t)a->record->numerator << 32);
    const tspk_coding coding = a->calib->point->coding;
    tspk_rng rng = {key};
    uint32_t *row = malloc((a->n + 1) * sizeof *row);
    uint32_t n_rows = 0, n_samples;
    size_t total;

    population->value = NULL;
    if (!row)
        return no_memory(err);
    for (uint32_t i = 0; i < a->n; i++)
        if (a->numerator->row_class[i] == row_class)
            row[n_rows++] = i;
    total = tspk_stage_images(a->calib->stage) * n_rows;
    n_samples = total < MAX_SAMPLE_ROWS ? (uint32_t)total : MAX_SAMPLE_ROWS;
    population->channels = a->heads;
    population->n = n_samples * a->m;
    population->value = malloc((size_t)population->n * a->heads * sizeof(float) + 1);
    if (!population->value) {
        free(row);
        return no_memory(err);
    }
    for (uint32_t s = 0; s < n_samples; s++) {
        const size_t pick = total == n_samples ? s : (size_t)tspk_rng_below(&rng, total);
        const size_t base = pick / n_rows * cells(a) + (size_t)row[pick % n_rows] * a->m;

        for (size_t h = 0; h < a->heads; h++) {
            const float *x = a->sample + base + h * a->n * a->m;
            const float *o = a->state + base + h * a->n * a->m;
            float *to = population->value + h * population->n + (size_t)s * a->m;

            for (size_t j = 0; j < a->m; j++)
                to[j] =
                    coding == TSPK_CODING_DIFFERENTIAL ? x[j] - o[j] : (float)a->t * x[j] - o[j];
        }
    }
    free(row);
    return TSPK_OK;
}

static void done_banks(attention *a)
{
    for (uint32_t k = 0; k < a->calib->spikes->n_classes; k++)
        tspk_neuron_bank_done(&a->bank[k]);
}

static tspk_status fit_class(attention *a, uint32_t row_class, tspk_site_fit *fit, tspk_error *err)
{
    tspk_ladder_values *ladder = tspk_site_fit_ladder(fit, a->t - 1, row_class);
    double *scale = tspk_site_fit_scale(fit, a->t - 1, row_class);
    tspk_channel_fit_settings settings = {
        .n_levels = a->calib->settings.n_levels,
        .price = tspk_calib_price(&a->calib->settings, TSPK_SITE_NUMERATOR, a->t),
        .is_quick = a->calib->settings.is_quick,
        .threads = a->calib->settings.threads};
    const tspk_calib_options *options = &a->calib->settings.options;
    const bool is_first = a->t == 1 || a->calib->point->coding == TSPK_CODING_RATE;
    tspk_population population = {0};
    tspk_status status = sample_rows(a, row_class, &population, err);

    settings.kind = !options->has_site_ladders ? TSPK_LADDER_POW2
                    : is_first                 ? TSPK_LADDER_GEOMETRIC
                                               : TSPK_LADDER_FITTED;
    settings.is_one_sided = options->has_signed_ladders && is_first;
    if (status == TSPK_OK && population.n)
        status = tspk_fit_class(options, &settings, &population, ladder, scale, err);
    free(population.value);
    return status;
}

/* Numerators of all images at step t into `sample`, then ladders, then real-valued firing. */
static tspk_status fit_step(attention *a, tspk_site_fit *fit, tspk_error *err)
{
    const tspk_calib *calib = a->calib;
    const size_t n_images = tspk_stage_images(calib->stage);
    const tspk_fire_rule rule = tspk_fire_rule_of(&calib->settings.options);
    tspk_status status = TSPK_OK;

    a->sample = malloc(n_images * cells(a) * sizeof *a->sample);
    if (!a->sample)
        return no_memory(err);
    tspk_parallel_for(calib->settings.threads, n_images, step_image, a);
    for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++) {
        if (!calib->settings.options.is_sequential && a->t > 1) {
            *tspk_site_fit_ladder(fit, a->t - 1, k) = *tspk_site_fit_ladder(fit, 0, k);
            memcpy(tspk_site_fit_scale(fit, a->t - 1, k), tspk_site_fit_scale(fit, 0, k),
                   a->heads * sizeof(double));
        } else {
            status = fit_class(a, k, fit, err);
        }
        if (status == TSPK_OK)
            status =
                tspk_neuron_bank_real(&a->bank[k], a->heads, tspk_site_fit_ladder(fit, a->t - 1, k),
                                      tspk_site_fit_scale(fit, a->t - 1, k), rule, err);
    }
    free(a->sample);
    a->sample = NULL;
    if (status == TSPK_OK && a->t < calib->settings.n_steps)
        tspk_parallel_for(calib->settings.threads, n_images, step_image, a);
    done_banks(a);
    return status;
}

static tspk_status fit_numerators(attention *a, tspk_error *err)
{
    tspk_calib *calib = a->calib;
    tspk_site_params *params = &calib->point->site[a->record->numerator];
    tspk_site_fit fit = {0};
    tspk_status status =
        tspk_site_fit_init(&fit, a->heads, calib->spikes->n_classes, calib->settings.n_steps, err);

    fit.has_units = calib->has_weights;
    for (a->t = 1; a->t <= calib->settings.n_steps && status == TSPK_OK; a->t++)
        status = fit_step(a, &fit, err);
    if (status == TSPK_OK)
        status = tspk_fold_class_fits(&calib->settings.options, &fit, calib->point->coding, 0,
                                      calib->arena, a->numerator, params, err);
    tspk_site_fit_done(&fit);
    return status;
}

/* Integer firing and the node's output, step by step. */
static tspk_status run_steps(attention *a, tspk_error *err)
{
    tspk_calib *calib = a->calib;
    const size_t n_images = tspk_stage_images(calib->stage);
    tspk_status status = TSPK_OK;

    memset(a->state, 0, n_images * cells(a) * sizeof *a->state);
    a->is_output = true;
    for (a->t = 1; a->t <= calib->settings.n_steps && status == TSPK_OK; a->t++) {
        for (uint32_t k = 0; k < calib->spikes->n_classes && status == TSPK_OK; k++)
            status = tspk_neuron_bank_integer(&a->bank[k], a->numerator,
                                              &calib->point->site[a->record->numerator], a->t - 1,
                                              k, err);
        if (status == TSPK_OK)
            tspk_parallel_for(calib->settings.threads, n_images, step_image, a);
        done_banks(a);
    }
    return status;
}

/* Fits an operand and keeps what it decodes to at every step: estimates with their offset at query
 * and key, spikes alone at value. */
static tspk_status fit_operand(tspk_calib *calib, uint32_t site_id, uint32_t heads, tspk_error *err)
{
    tspk_site *site = &calib->spikes->site[site_id];
    tspk_site_params *params = &calib->point->site[site_id];
    const size_t n_images = tspk_stage_images(calib->stage), n_steps = calib->settings.n_steps;
    const size_t elems = (size_t)site->rows * site->channels;
    const size_t classes = (size_t)calib->spikes->n_classes * site->channels;
    float *state = NULL;
    double *mean = malloc(2 * classes * sizeof *mean);
    tspk_status status = tspk_calib_fit_value_site(calib, site_id, heads, err);

    calib->decoded[site_id] = malloc(n_images * n_steps * elems * sizeof(float));
    if (status == TSPK_OK)
        state = tspk_calib_start_state(calib, site_id);
    if (status == TSPK_OK && (!mean || !state || !calib->decoded[site_id]))
        status = no_memory(err);
    for (uint32_t t = 1; t <= n_steps && status == TSPK_OK; t++) {
        const float decode = calib->point->coding == TSPK_CODING_RATE ? 1.0f / (float)t : 1.0f;
        float *offset = tspk_arena_array(calib->arena, classes, sizeof *offset);

        status =
            offset ? tspk_calib_fire_value_site(calib, site_id, t, state, err) : no_memory(err);
        if (status != TSPK_OK)
            break;
        tspk_calib_class_means(calib, site_id, t, state, mean, mean + classes);
        for (size_t c = 0; c < classes; c++) {
            const double prior = params->prior ? (double)params->prior[c] : 0;

            offset[c] =
                (float)(calib->settings.options.is_compensated ? prior + mean[classes + c] - mean[c]
                                                               : prior);
        }
        params->step[t - 1].offset = offset;
        for (size_t i = 0; i < n_images * site->rows; i++) {
            const size_t row = i % site->rows, image = i / site->rows;
            const size_t at = (size_t)site->row_class[row] * site->channels;
            float *to =
                calib->decoded[site_id] + (image * n_steps + t - 1) * elems + row * site->channels;

            for (size_t c = 0; c < site->channels; c++) {
                const float prior = params->prior ? params->prior[at + c] : 0.0f;

                to[c] = (state[i * site->channels + c] - prior) * decode +
                        (site->kind == TSPK_SITE_VALUE ? 0.0f : offset[at + c]);
            }
        }
    }
    free(state);
    free(mean);
    return status;
}

typedef struct source_run {
    const attention *a;
    char *scratch;
    size_t scratch_bytes;
} source_run;

static void source_image(void *context, size_t image, int worker)
{
    const source_run *s = context;
    const tspk_graph *graph = s->a->calib->spikes->graph;
    tspk_tensor in[4] = {{0}}, out;

    for (uint32_t i = 0; i < s->a->node->n_in; i++)
        if (s->a->node->in[i] != TSPK_ID_NONE) {
            in[i] = tspk_value_tensor(&graph->value[s->a->node->in[i]]);
            in[i].data = tspk_stage_at(s->a->calib->stage, s->a->node->in[i], image, 0);
        }
    out = tspk_value_tensor(&graph->value[s->a->node->out[0]]);
    out.data = tspk_stage_at(s->a->calib->stage, s->a->node->out[0], image, 0);
    (void)tspk_op_eval(s->a->node, in, &out, s->scratch + (size_t)worker * s->scratch_bytes, NULL);
}

/* Version 0: the source network's attention. */
static tspk_status run_source(const attention *a, tspk_error *err)
{
    const tspk_calib *calib = a->calib;
    const size_t bytes = (tspk_op_scratch_bytes(calib->spikes->graph, a->node) + 127) / 64 * 64;
    source_run s = {a, aligned_alloc(64, bytes * (size_t)calib->settings.threads), bytes};

    if (!s.scratch)
        return no_memory(err);
    tspk_parallel_for(calib->settings.threads, tspk_stage_images(calib->stage), source_image, &s);
    free(s.scratch);
    return TSPK_OK;
}

static void find_bias(attention *a)
{
    const tspk_graph *graph = a->calib->spikes->graph;

    if (a->node->n_in < 4 || a->node->in[3] == TSPK_ID_NONE)
        return;
    a->bias = a->node->in[3];
    a->bias_row = graph->value[a->node->in[3]].shape.dim[1] > 1 ? a->m : 0;
    a->bias_head = graph->value[a->node->in[3]].shape.dim[0] > 1
                       ? (size_t)graph->value[a->node->in[3]].shape.dim[1] * a->m
                       : 0;
}

tspk_status tspk_calib_attention(tspk_calib *calib, uint32_t index, tspk_error *err)
{
    tspk_spikegraph *spikes = calib->spikes;
    tspk_spike_attention *record = &spikes->attention[index];
    const size_t n_images = tspk_stage_images(calib->stage);
    tspk_neuron_bank bank[TSPK_MAX_TOKEN_CLASSES] = {{0}};
    attention a = {.calib = calib,
                   .record = record,
                   .node = &spikes->graph->node[record->node],
                   .query = &spikes->site[record->query],
                   .key = &spikes->site[record->key],
                   .value = &spikes->site[record->value],
                   .numerator = &spikes->site[record->numerator],
                   .bias = TSPK_ID_NONE,
                   .bank = bank};
    tspk_status status;

    record->is_quotient = !calib->settings.options.has_site_ladders;
    record->is_max_fixed = false;
    a.heads = a.node->attr.heads;
    a.n = a.query->rows;
    a.m = a.key->rows;
    a.d = a.query->channels / a.heads;
    a.e = a.value->channels / a.heads;
    find_bias(&a);
    status = fit_operand(calib, record->query, a.heads, err);
    if (status == TSPK_OK)
        status = fit_operand(calib, record->key, a.heads, err);
    if (status == TSPK_OK)
        status = fit_operand(calib, record->value, 0, err);
    a.state = calloc(n_images * cells(&a), sizeof *a.state);
    a.maximum = malloc(n_images * a.heads * a.n * sizeof *a.maximum);
    a.sum = malloc(n_images * a.heads * a.n * sizeof *a.sum);
    a.x = malloc((size_t)calib->settings.threads * cells(&a) * sizeof *a.x);
    if (status == TSPK_OK && (!a.state || !a.maximum || !a.sum || !a.x))
        status = no_memory(err);
    if (status == TSPK_OK)
        status = fit_numerators(&a, err);
    if (status == TSPK_OK)
        status = tspk_stage_make(calib->stage, a.node->out[0], err);
    if (status == TSPK_OK)
        status = run_source(&a, err);
    if (status == TSPK_OK)
        status = run_steps(&a, err);
    free(a.state);
    free(a.maximum);
    free(a.sum);
    free(a.x);
    for (uint32_t i = 0; i < 3; i++) {
        const uint32_t site = i == 0 ? record->query : i == 1 ? record->key : record->value;

        free(calib->decoded[site]);
        calib->decoded[site] = NULL;
    }
    for (uint32_t i = 0; i < a.node->n_in && status == TSPK_OK; i++)
        tspk_stage_release(calib->stage, a.node->in[i]);
    return tspk_at_node(err, status, a.node->name, "Attention");
}
