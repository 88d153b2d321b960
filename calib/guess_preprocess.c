/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The preprocessing of a network that says nothing about it. With another mean and standard
 * deviation than it was trained with a network still answers, only less surely: on the sample of
 * ImageNet a ViT-Tiny that wants 0.5 and 0.5 has a mean entropy of 0.69 nats with them, of 0.97
 * with 0 and 1, of 1.99 with those of ImageNet.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/compiler.h"
#include "core/fail.h"
#include "transpike/spike.h"

#define MOST_SAMPLES         16
#define MOST_FOR_STATISTICS  128
#define LEAST_FOR_STATISTICS 8
#define N_CANDIDATES         3

/* Mean and standard deviation of every channel. */
typedef struct candidate {
    bool is_tried;
    float mean[4], std[4];
} candidate;

/* Everything that one guess holds. */
typedef struct trial {
    const tspk_model *model;
    tspk_ann *ann;
    size_t batch;   /* images a pass of the network */
    size_t n;       /* samples that could be decoded */
    size_t n_run;   /* of them, that the network is tried on */
    size_t elems;   /* of one image */
    int64_t dim[3]; /* channels, height, width of the input */
    size_t shown;   /* the output of classes */
    size_t n_outputs, classes;
    float *pixels; /* [n, elems] in [0, 1] */
    float *images; /* [passes, batch, elems] normalised */
    float *logits; /* [passes, batch, classes] */
    size_t passes;
} trial;

static tspk_status read_port(const tspk_model *model, tspk_port *port, tspk_error *err)
{
    TSPK_TRY(tspk_model_input(model, 0, port));
    if (port->rank != 4 || port->dtype != 1 || (port->dim[1] != 1 && port->dim[1] != 3))
        return tspk_at_tensor(
            err,
            TSPK_FAIL(err, TSPK_SHAPE, "the input is no image: expected float [N, 1 or 3, H, W]"),
            port->name);
    return TSPK_OK;
}

/* The first sample that can be decoded. */
static tspk_status find_shape(const tspk_dataset *data, bool *are_pixels_out, int64_t dim_out[3],
                              tspk_error *err)
{
    const size_t n = tspk_dataset_count(data);
    const tspk_status first = tspk_dataset_shape(data, 0, are_pixels_out, dim_out, err);

    if (first == TSPK_OK)
        return TSPK_OK;
    for (size_t i = 1; i < n && i < MOST_SAMPLES; i++) {
        tspk_error ignored;

        if (tspk_dataset_shape(data, i, are_pixels_out, dim_out, &ignored) == TSPK_OK) {
            if (err)
                tspk_error_init(err);
            return TSPK_OK;
        }
    }
    return first;
}

static void guess_size(const int64_t sample[3], const int64_t input[3],
                       tspk_preprocess_settings *settings)
{
    if (input[1] != input[2] || (sample[1] == input[1] && sample[2] == input[2]))
        return;
    settings->crop = (uint32_t)input[1];
    settings->resize = (uint32_t)((input[1] * 256 + 112) / 224);
}

static void trial_done(trial *t)
{
    tspk_ann_close(t->ann);
    free(t->pixels);
    free(t->images);
    free(t->logits);
}

/* Pixels in [0, 1] of the first samples that can be decoded. */
static tspk_status read_pixels(trial *t, tspk_dataset *data,
                               const tspk_preprocess_settings *settings, tspk_error *err)
{
    const size_t most = t->dim[0] == 1 ? MOST_FOR_STATISTICS : MOST_SAMPLES;
    tspk_preprocess_settings plain = *settings;

    for (int c = 0; c < 4; c++) {
        plain.mean[c] = 0;
        plain.std[c] = 1;
    }
    TSPK_TRY(tspk_dataset_set_preprocess(data, &plain, err));
    t->pixels = calloc(most, t->elems * sizeof *t->pixels);
    if (!t->pixels)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", most);
    for (size_t i = 0; i < tspk_dataset_count(data) && i < most; i++) {
        tspk_error ignored;
        const tspk_status status =
            tspk_dataset_read(data, i, t->dim, t->pixels + t->n * t->elems, NULL, &ignored);

        if (status == TSPK_OK)
            t->n++;
        else if (status == TSPK_SHAPE && t->n == 0) /* none will fit: let the reader say it */
            return tspk_dataset_read(data, i, t->dim, t->pixels, NULL, err);
    }
    return TSPK_OK;
}

/* The network's executor, and room for all samples. No output of classes: t->shown == n_outputs. */
static tspk_status open_network(trial *t, int threads, tspk_error *err)
{
    t->batch = (size_t)tspk_model_batch(t->model);
    t->n_outputs = tspk_model_count_outputs(t->model);
    for (t->shown = 0; t->shown < t->n_outputs; t->shown++) {
        tspk_port port;

        TSPK_TRY(tspk_model_output(t->model, t->shown, &port));
        if (port.dtype == 1 && port.rank == 2 && (size_t)port.dim[0] == t->batch &&
            port.dim[1] > 1) {
            t->classes = (size_t)port.dim[1];
            break;
        }
    }
    if (t->shown == t->n_outputs || t->n == 0)
        return TSPK_OK;
    t->n_run = t->n < MOST_SAMPLES ? t->n : MOST_SAMPLES;
    t->passes = (t->n_run + t->batch - 1) / t->batch;
    t->images = calloc(t->passes * t->batch, t->elems * sizeof *t->images);
    t->logits = calloc(t->passes * t->batch, t->classes * sizeof *t->logits);
    if (!t->images || !t->logits)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", t->passes * t->batch);
    return tspk_ann_open(t->model, threads, &t->ann, err);
}

/* Of an answer [nats]; infinite when it is not finite. Shares are taken as they are. */
static double find_entropy(const float *logits, size_t classes)
{
    double largest = -INFINITY, sum = 0, mean = 0;
    bool are_shares = true;

    for (size_t c = 0; c < classes; c++) {
        if (!isfinite(logits[c]))
            return INFINITY;
        largest = fmax(largest, (double)logits[c]);
        sum += (double)logits[c];
        are_shares = are_shares && logits[c] >= 0;
    }
    are_shares = are_shares && fabs(sum - 1) < 1e-3;
    if (!are_shares) {
        sum = 0;
        for (size_t c = 0; c < classes; c++)
            sum += exp((double)logits[c] - largest);
    }
    for (size_t c = 0; c < classes; c++) {
        const double p = are_shares ? (double)logits[c] : exp((double)logits[c] - largest) / sum;

        mean -= p > 0 ? p * log(p) : 0;
    }
    return mean;
}

static tspk_status try_candidate(trial *t, const candidate *c, double *entropy_out, tspk_error *err)
{
    const size_t plane = (size_t)(t->dim[1] * t->dim[2]);
    const void *inputs[1] = {t->images};
    void **outputs = calloc(t->n_outputs, sizeof *outputs);
    double sum = 0;
    tspk_status status;

    if (!outputs)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu outputs", t->n_outputs);
    for (size_t i = 0; i < t->passes * t->batch; i++) /* what fills up the last pass is repeated */
        for (size_t k = 0; k < t->elems; k++)
            t->images[i * t->elems + k] =
                (t->pixels[i % t->n_run * t->elems + k] - c->mean[k / plane]) / c->std[k / plane];
    outputs[t->shown] = t->logits;
    status = tspk_ann_run(t->ann, t->passes, inputs, outputs, err);
    free(outputs);
    for (size_t i = 0; i < t->n_run && status == TSPK_OK; i++)
        sum += find_entropy(t->logits + i * t->classes, t->classes);
    *entropy_out = sum / (double)t->n_run;
    return status;
}

/* To three places, which is what somebody would write down. */
static float round_to_thousandth(double x)
{
    return (float)(round(1000 * x) / 1000);
}

/* One mean and standard deviation over all samples of one channel. */
static void take_statistics(const trial *t, candidate *c)
{
    const size_t n = t->n * t->elems;
    double sum = 0, squares = 0;

    for (size_t i = 0; i < n; i++) {
        sum += (double)t->pixels[i];
        squares += (double)t->pixels[i] * (double)t->pixels[i];
    }
    c->mean[0] = round_to_thousandth(sum / (double)n);
    c->std[0] = round_to_thousandth(
        sqrt(fmax(0, squares / (double)n - sum / (double)n * (sum / (double)n))));
    for (int i = 1; i < 4; i++) {
        c->mean[i] = c->mean[0];
        c->std[i] = c->std[0];
    }
    c->is_tried = t->n >= LEAST_FOR_STATISTICS && c->std[0] > 0;
}

static tspk_status guess_normalisation(trial *t, tspk_preprocess_guess *guess, tspk_error *err)
{
    candidate candidates[N_CANDIDATES] = {
        {true, {0.5f, 0.5f, 0.5f, 0.5f}, {0.5f, 0.5f, 0.5f, 0.5f}},
        {true, {0, 0, 0, 0}, {1, 1, 1, 1}},
        {true, {0.485f, 0.456f, 0.406f, 0.5f}, {0.229f, 0.224f, 0.225f, 0.5f}}};
    size_t best = 1;
    double least = INFINITY;

    if (t->dim[0] == 1)
        take_statistics(t, &candidates[2]);
    for (size_t i = 0; i < N_CANDIDATES && t->ann; i++) {
        if (!candidates[i].is_tried)
            continue;
        TSPK_TRY(try_candidate(t, &candidates[i], &guess->entropy[i], err));
        guess->images = t->n_run;
        if (guess->entropy[i] < least) {
            least = guess->entropy[i];
            best = i;
        }
    }
    memcpy(guess->preprocess.mean, candidates[best].mean, sizeof guess->preprocess.mean);
    memcpy(guess->preprocess.std, candidates[best].std, sizeof guess->preprocess.std);
    return TSPK_OK;
}

tspk_status tspk_dataset_guess_preprocess(tspk_dataset *data, const tspk_model *model, int threads,
                                          tspk_preprocess_guess *guess, tspk_error *err)
{
    tspk_preprocess_guess found = *guess;
    trial t = {.model = model};
    int64_t sample[3];
    tspk_port port;
    tspk_status status;

    TSPK_TRY(read_port(model, &port, err));
    memcpy(t.dim, port.dim + 1, sizeof t.dim);
    t.elems = (size_t)(t.dim[0] * t.dim[1] * t.dim[2]);
    found.images = 0;
    for (size_t i = 0; i < N_CANDIDATES; i++)
        found.entropy[i] = -1;
    found.preprocess.channels = (uint32_t)t.dim[0];
    TSPK_TRY(find_shape(data, &found.are_pixels, sample, err));
    if (found.are_pixels && !found.is_size_given)
        guess_size(sample, t.dim, &found.preprocess);
    if (found.are_pixels && !found.is_normalisation_given) {
        status = read_pixels(&t, data, &found.preprocess, err);
        if (status == TSPK_OK)
            status = open_network(&t, threads, err);
        if (status == TSPK_OK)
            status = guess_normalisation(&t, &found, err);
        trial_done(&t);
        TSPK_TRY(status);
    }
    TSPK_TRY(tspk_dataset_set_preprocess(data, &found.preprocess, err));
    *guess = found;
    return TSPK_OK;
}
