/* SPDX-License-Identifier: Apache-2.0 */
/* A linear site and the Linears behind it: ladders, int8 weights, biases, outputs at every step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/calibrate.h"
#include "calib/quantise.h"
#include "calib/weight_feedback.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/op_eval.h"

/* One Linear behind the site. */
typedef struct consumer {
    tspk_spike_linear *linear;
    uint32_t index;           /* in spikes->linear */
    const tspk_node *node;    /* in the source graph: weights */
    const tspk_node *lowered; /* in the spike graph: values */
    const float *weight;      /* [n_out, channels] of the source */
    const float *bias;        /* [n_out] or NULL */
    float *row_scale;         /* [n_out] balance of query and key, or NULL; of calib->arena */
    float *dequantised;       /* [n_out, channels] */
} consumer;

typedef struct linear_site {
    tspk_calib *calib;
    uint32_t id;
    tspk_site *site;
    consumer *consumer;
    uint32_t n_consumers;
    const float *state; /* [images, rows * channels] at step `t` */
    uint32_t t;
    char *work; /* [threads, work_bytes] */
    size_t work_bytes;
} linear_site;

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory to calibrate a layer");
}

static void multiply(const consumer *c, const tspk_graph *graph, const float *x,
                     const float *weight, const float *bias, float *y, void *scratch)
{
    tspk_tensor in[3] = {
        {.dtype = TSPK_DTYPE_F32}, {.dtype = TSPK_DTYPE_F32}, {.dtype = TSPK_DTYPE_F32}};
    tspk_tensor out = {
        .dtype = TSPK_DTYPE_F32, .shape = graph->value[c->lowered->out[0]].shape, .data = y};
    tspk_node node = *c->lowered;

    node.n_in = bias ? 3 : 2;
    in[0].shape = graph->value[c->lowered->in[0]].shape;
    in[0].data = (void *)(uintptr_t)x;
    in[1].shape.rank = 2;
    in[1].shape.dim[0] = c->linear->n_out;
    in[1].shape.dim[1] = (int64_t)tspk_shape_last(&in[0].shape);
    in[1].data = (void *)(uintptr_t)weight;
    in[2].shape.rank = 1;
    in[2].shape.dim[0] = c->linear->n_out;
    in[2].data = (void *)(uintptr_t)bias;
    (void)tspk_op_eval(&node, in, &out, scratch, NULL);
}

static size_t output_rows(const tspk_graph *graph, const consumer *c)
{
    return tspk_shape_rows(&graph->value[c->lowered->out[0]].shape);
}

/* Version 0: the source network's own weights, times the balance. */
static void source_image(void *context, size_t image, int worker)
{
    const linear_site *s = context;
    const tspk_graph *graph = s->calib->spikes->graph;

    for (uint32_t i = 0; i < s->n_consumers; i++) {
        const consumer *c = &s->consumer[i];
        float *y = tspk_stage_at(s->calib->stage, c->lowered->out[0], image, 0);

        multiply(c, graph, tspk_stage_at(s->calib->stage, s->site->input, image, 0), c->weight,
                 c->bias, y, s->work + (size_t)worker * s->work_bytes);
        for (size_t k = 0; c->row_scale && k < output_rows(graph, c) * c->linear->n_out; k++)
            y[k] *= c->row_scale[k % c->linear->n_out];
    }
}

/* Step t: the integers' weights on what was decoded from spikes, plus the step's bias. */
static void step_image(void *context, size_t image, int worker)
{
    const linear_site *s = context;
    const tspk_graph *graph = s->calib->spikes->graph;
    const tspk_point *point = s->calib->point;
    const size_t n = (size_t)s->site->rows * s->site->channels;
    const float *prior = point->site[s->id].prior;
    const float decode = point->coding == TSPK_CODING_RATE ? 1.0f / (float)s->t : 1.0f;
    float *const spikes = (float *)(void *)(s->work + (size_t)worker * s->work_bytes);
    void *const scratch = spikes + (n + 15) / 16 * 16;

    for (size_t r = 0; r < s->site->rows; r++)
        for (size_t c = 0; c < s->site->channels; c++) {
            const size_t at = r * s->site->channels + c;
            const float start =
                prior ? prior[(size_t)s->site->row_class[r] * s->site->channels + c] : 0;

            spikes[at] = (s->state[image * n + at] - start) * decode;
        }
    for (uint32_t i = 0; i < s->n_consumers; i++) {
        const consumer *c = &s->consumer[i];
        const uint32_t n_out = c->linear->n_out;
        float *y = tspk_stage_at(s->calib->stage, c->lowered->out[0], image, s->t);

        multiply(c, graph, spikes, c->dequantised, NULL, y, scratch);
        for (size_t r = 0; r < output_rows(graph, c); r++) {
            const uint32_t row = c->lowered->attr.n_rows ? c->lowered->attr.rows[r] : (uint32_t)r;
            const float *bias =
                point->bias[c->index] +
                ((size_t)(s->t - 1) * s->calib->spikes->n_classes + s->site->row_class[row]) *
                    n_out;

            for (uint32_t o = 0; o < n_out; o++)
                y[r * n_out + o] += bias[o];
        }
    }
}

/* Bias of step t: exact in the mean over the images, for each class:
 * b + W E[x_t] - Ŵ E[decoded spikes]. It carries the prior, the mean error of the site and that of
 * the weights' rounding. Without compensation the prior alone. */
static tspk_status set_biases(linear_site *s, tspk_error *err)
{
    tspk_calib *calib = s->calib;
    const uint32_t n_classes = calib->spikes->n_classes, channels = s->site->channels;
    const float *prior = calib->point->site[s->id].prior;
    double *mean = malloc(2 * (size_t)n_classes * channels * sizeof *mean);
    double *target = mean + (size_t)n_classes * channels;

    if (!mean)
        return no_memory(err);
    tspk_calib_class_means(calib, s->id, s->t, s->state, mean, target);
    for (uint32_t i = 0; i < s->n_consumers; i++) {
        const consumer *c = &s->consumer[i];
        const uint32_t n_out = c->linear->n_out;

        for (uint32_t k = 0; k < n_classes; k++)
            for (uint32_t o = 0; o < n_out; o++) {
                const double factor = c->row_scale ? (double)c->row_scale[o] : 1;
                double bias = c->bias ? (double)c->bias[o] * factor : 0;

                for (uint32_t j = 0; j < channels; j++) {
                    const size_t at = (size_t)k * channels + j, cell = (size_t)o * channels + j;
                    const double start = prior ? (double)prior[at] : 0;
                    const double weight = factor * (double)c->weight[cell];

                    if (calib->settings.options.is_compensated)
                        bias +=
                            weight * target[at] - (double)c->dequantised[cell] * (mean[at] - start);
                    else
                        bias += weight * start;
                }
                calib->point->bias[c->index][((size_t)(s->t - 1) * n_classes + k) * n_out + o] =
                    (float)bias;
            }
    }
    free(mean);
    return TSPK_OK;
}

/* The Linear whose output is this operand of an Attention, when it belongs to the site. */
static consumer *find_operand(linear_site *s, tspk_value_id value)
{
    for (uint32_t i = 0; i < s->n_consumers; i++)
        if (s->consumer[i].lowered->out[0] == value)
            return &s->consumer[i];
    return NULL;
}

static void deviations(const linear_site *s, const consumer *c, double *deviation)
{
    const tspk_graph *graph = s->calib->spikes->graph;
    const uint32_t n_out = c->linear->n_out;
    const size_t rows = output_rows(graph, c);
    double *mean = deviation + n_out;
    const double n = (double)(tspk_stage_images(s->calib->stage) * rows);

    memset(deviation, 0, 2 * n_out * sizeof *deviation);
    for (size_t i = 0; i < tspk_stage_images(s->calib->stage); i++) {
        const float *y = tspk_stage_at(s->calib->stage, c->lowered->out[0], i, 0);

        for (size_t k = 0; k < rows * n_out; k++) {
            mean[k % n_out] += (double)y[k];
            deviation[k % n_out] += (double)y[k] * (double)y[k];
        }
    }
    for (uint32_t o = 0; o < n_out; o++)
        deviation[o] = sqrt(fmax(0, deviation[o] / n - mean[o] / n * (mean[o] / n)));
}

/* Query and key meet only in their product: a factor per channel makes their deviations equal.
 * docs/calibration.md, "Balance of q and k". */
static tspk_status balance(linear_site *s, consumer *query, consumer *key, tspk_error *err)
{
    const uint32_t n_out = query->linear->n_out;
    double *work = malloc(4 * (size_t)n_out * sizeof *work);

    query->row_scale = tspk_arena_array(s->calib->arena, n_out, sizeof(float));
    key->row_scale = tspk_arena_array(s->calib->arena, n_out, sizeof(float));
    if (!work || !query->row_scale || !key->row_scale) {
        free(work);
        return no_memory(err);
    }
    deviations(s, query, work);
    deviations(s, key, work + 2 * (size_t)n_out);
    for (uint32_t o = 0; o < n_out; o++) {
        const double q = work[o], k = work[2 * (size_t)n_out + o];
        const double factor = q > 0 && k > 0 ? sqrt(k / q) : 1;

        query->row_scale[o] = (float)factor;
        key->row_scale[o] = (float)(1 / factor);
    }
    s->calib->balance[query->index] = query->row_scale;
    s->calib->balance[key->index] = key->row_scale;
    free(work);
    return TSPK_OK;
}

static bool is_read_once(const tspk_graph *graph, tspk_value_id id)
{
    return tspk_graph_count_uses(graph, id) == 1;
}

static tspk_status balance_attentions(linear_site *s, tspk_error *err)
{
    const tspk_spikegraph *spikes = s->calib->spikes;

    for (uint32_t i = 0; i < spikes->n_attentions && s->calib->settings.options.is_per_channel;
         i++) {
        const tspk_node *node = &spikes->graph->node[spikes->attention[i].node];
        consumer *query = find_operand(s, node->in[0]), *key = find_operand(s, node->in[1]);

        if (query && key && query != key && query->linear->n_out == key->linear->n_out &&
            is_read_once(spikes->graph, node->in[0]) && is_read_once(spikes->graph, node->in[1]))
            TSPK_TRY(balance(s, query, key, err));
    }
    return TSPK_OK;
}

static tspk_status find_consumers(linear_site *s, tspk_error *err)
{
    tspk_spikegraph *spikes = s->calib->spikes;
    const tspk_graph *source = s->calib->source;

    s->consumer = calloc(spikes->n_linears, sizeof *s->consumer);
    if (!s->consumer)
        return no_memory(err);
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        tspk_spike_linear *linear = &spikes->linear[i];
        consumer *c = &s->consumer[s->n_consumers];
        const size_t biases =
            (size_t)s->calib->settings.n_steps * spikes->n_classes * linear->n_out;

        if (linear->site != s->id)
            continue;
        *c = (consumer){.linear = linear,
                        .index = i,
                        .node = &source->node[linear->node],
                        .lowered = &spikes->graph->node[linear->node],
                        .row_scale = s->calib->has_weights ? s->calib->balance[i] : NULL};
        s->n_consumers++;
        c->weight = source->value[c->node->in[1]].data;
        if (c->node->n_in > 2 && c->node->in[2] != TSPK_ID_NONE)
            c->bias = source->value[c->node->in[2]].data;
        c->dequantised = calloc((size_t)linear->n_out * s->site->channels, sizeof(float));
        s->calib->point->bias[i] = tspk_arena_array(s->calib->arena, biases, sizeof(float));
        if (!c->dequantised || !s->calib->point->bias[i])
            return no_memory(err);
        TSPK_TRY(tspk_stage_make(s->calib->stage, c->lowered->out[0], err));
    }
    return TSPK_OK;
}

static tspk_status make_work(linear_site *s, tspk_error *err)
{
    size_t scratch = 0;

    for (uint32_t i = 0; i < s->n_consumers; i++) {
        const size_t bytes = tspk_op_scratch_bytes(s->calib->source, s->consumer[i].node);

        scratch = bytes > scratch ? bytes : scratch;
    }
    s->work_bytes = ((size_t)s->site->rows * s->site->channels + 16) * sizeof(float) + scratch;
    s->work_bytes = (s->work_bytes + 127) / 64 * 64;
    s->work = aligned_alloc(64, s->work_bytes * (size_t)s->calib->settings.threads);
    return s->work ? TSPK_OK : no_memory(err);
}

static tspk_status fit_site(linear_site *s, tspk_error *err)
{
    tspk_spikegraph *spikes = s->calib->spikes;
    double *feedback = NULL;
    tspk_status status = tspk_calib_fit_value_site(s->calib, s->id, 0, err);

    if (s->calib->has_weights) {
        for (uint32_t i = 0; i < s->n_consumers; i++)
            tspk_dequantise_weights(s->site, s->consumer[i].linear, s->consumer[i].dequantised);
        return status;
    }
    if (status == TSPK_OK)
        status = tspk_sort_channels(spikes->arena, s->site, err);
    if (status == TSPK_OK && s->calib->settings.options.is_compensated)
        status = tspk_weight_feedback(s->calib, s->id, &feedback, err);
    for (uint32_t i = 0; i < s->n_consumers && status == TSPK_OK; i++) {
        const consumer *c = &s->consumer[i];

        status = tspk_quantise_weights(spikes->arena, s->site, c->weight, c->row_scale, feedback,
                                       s->calib->settings.threads, c->linear, err);
        if (status == TSPK_OK)
            tspk_dequantise_weights(s->site, c->linear, c->dequantised);
    }
    free(feedback);
    return status;
}

static tspk_status run_steps(linear_site *s, tspk_error *err)
{
    tspk_calib *calib = s->calib;
    const size_t n_images = tspk_stage_images(calib->stage);
    float *state = tspk_calib_start_state(calib, s->id);
    tspk_status status = state ? TSPK_OK : no_memory(err);

    s->state = state;
    for (s->t = 1; s->t <= calib->settings.n_steps && status == TSPK_OK; s->t++) {
        status = tspk_calib_fire_value_site(calib, s->id, s->t, state, err);
        if (status == TSPK_OK)
            status = set_biases(s, err);
        if (status == TSPK_OK)
            tspk_parallel_for(calib->settings.threads, n_images, step_image, s);
    }
    free(state);
    return status;
}

tspk_status tspk_calib_linear_site(tspk_calib *calib, uint32_t site, tspk_error *err)
{
    linear_site s = {.calib = calib, .id = site, .site = &calib->spikes->site[site]};
    tspk_status status = find_consumers(&s, err);

    if (status == TSPK_OK)
        status = make_work(&s, err);
    if (status == TSPK_OK) {
        tspk_parallel_for(calib->settings.threads, tspk_stage_images(calib->stage), source_image,
                          &s);
        if (!calib->has_weights)
            status = balance_attentions(&s, err);
    }
    if (status == TSPK_OK)
        status = fit_site(&s, err);
    if (status == TSPK_OK) {
        /* Once more where the balance has changed the scale of query and key. */
        tspk_parallel_for(calib->settings.threads, tspk_stage_images(calib->stage), source_image,
                          &s);
        status = run_steps(&s, err);
    }
    for (uint32_t i = 0; i < s.n_consumers; i++) {
        if (status == TSPK_OK)
            tspk_stage_release(calib->stage, s.site->input);
        free(s.consumer[i].dequantised);
    }
    free(s.consumer);
    free(s.work);
    return tspk_at_tensor(err, status, s.site->name);
}
