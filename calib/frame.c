/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/frame.h"

#include <stdlib.h>
#include <string.h>

#include "convert/lower.h"
#include "core/fail.h"

tspk_status tspk_frame_init(tspk_frame *frame, const tspk_model *model,
                            const char *const *keep_analog, size_t n_keep_analog, tspk_error *err)
{
    tspk_status status;

    *frame = (tspk_frame){.scratch = tspk_arena_new(0),
                          .keep_analog = keep_analog,
                          .n_keep_analog = n_keep_analog,
                          .cost = model->report.source_cost};
    if (!frame->scratch)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to analyse the network");
    status = tspk_take_class_output(model->graph, frame->scratch, &frame->source, &frame->structure,
                                    err);
    if (status == TSPK_OK) {
        const tspk_graph *graph = frame->source;

        frame->image_elems = tspk_shape_elems(&graph->value[graph->input[0]].shape);
        frame->classes = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    } else {
        tspk_frame_done(frame);
    }
    return status;
}

void tspk_frame_done(tspk_frame *frame)
{
    tspk_graph_free(frame->source);
    tspk_arena_free(frame->scratch);
    *frame = (tspk_frame){0};
}

/* Every image [channels, height, width] and, behind all of them, its mirror image. */
static float *add_mirrored(const tspk_frame *frame, const float *images, size_t n)
{
    const tspk_graph *graph = frame->source;
    const size_t elems = frame->image_elems;
    const size_t width = tspk_shape_last(&graph->value[graph->input[0]].shape);
    float *all = malloc(2 * n * elems * sizeof *all);

    if (!all)
        return NULL;
    memcpy(all, images, n * elems * sizeof *all);
    for (size_t i = 0; i < n * elems; i++)
        all[n * elems + i] = images[i - i % width + (width - 1 - i % width)];
    return all;
}

/* Leaves out the mirror images, then images, until the rest fits. */
static tspk_status fit_into_cache(const tspk_spikegraph *spikes, size_t *n_images,
                                  tspk_calib_settings *settings, tspk_error *err)
{
    size_t bytes, room;

    if (!settings->cache_bytes)
        return TSPK_OK;
    TSPK_TRY(tspk_stage_image_bytes(spikes, settings->n_steps, &bytes, err));
    room = settings->cache_bytes / bytes;
    if (!room)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "calibration takes %zu MiB an image and step count %u, the cache has %zu",
                         (bytes >> 20) + 1, settings->n_steps, settings->cache_bytes >> 20);
    settings->is_mirrored = settings->is_mirrored && 2 * *n_images <= room;
    *n_images = *n_images < room ? *n_images : room;
    return TSPK_OK;
}

/* The images, with mirror images behind them where they count; NULL when memory is short. */
static const float *take_images(const tspk_frame *frame, const float *images, const tspk_fit *fit,
                                float **mirrored_out)
{
    *mirrored_out = fit->is_mirrored ? add_mirrored(frame, images, fit->n_images) : NULL;
    return fit->is_mirrored ? *mirrored_out : images;
}

static tspk_status no_images(const tspk_fit *fit, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu mirrored images", fit->n_images);
}

static size_t count_images(const tspk_fit *fit)
{
    return fit->is_mirrored ? 2 * fit->n_images : fit->n_images;
}

tspk_status tspk_frame_fit(const tspk_frame *frame, const float *images, size_t n_images,
                           const tspk_calib_settings *settings, tspk_fit *fit_out, tspk_error *err)
{
    tspk_calib_settings fitted = *settings;
    tspk_fit fit = {.n_images = n_images};
    float *mirrored = NULL;
    tspk_status status = tspk_lower(frame->source, &frame->structure, frame->keep_analog,
                                    frame->n_keep_analog, &fit.spikes, err);

    if (status == TSPK_OK)
        status = fit_into_cache(fit.spikes, &fit.n_images, &fitted, err);
    fit.is_mirrored = fitted.is_mirrored;
    if (status == TSPK_OK) {
        const float *const all = take_images(frame, images, &fit, &mirrored);

        status = all ? tspk_calibrate(fit.spikes, frame->source, all, count_images(&fit), &fitted,
                                      &fit.balance, err)
                     : no_images(&fit, err);
    }
    free(mirrored);
    if (status == TSPK_OK) {
        fit.spikes->ann_cost = frame->cost;
        fit.spikes->provenance.n_calibration = (uint32_t)fit.n_images;
        *fit_out = fit;
    } else {
        tspk_spikegraph_free(fit.spikes);
    }
    return status;
}

tspk_status tspk_frame_fit_merged(const tspk_frame *frame, const float *images,
                                  const tspk_calib_settings *settings,
                                  const tspk_merged_point *point, tspk_fit *fit, tspk_error *err)
{
    tspk_calib_settings fitted = *settings;
    float *mirrored = NULL;
    const float *const all = take_images(frame, images, fit, &mirrored);
    tspk_status status;

    fitted.is_mirrored = fit->is_mirrored;
    status = all ? tspk_calibrate_merged(fit->spikes, frame->source, all, count_images(fit),
                                         &fitted, fit->balance, point, err)
                 : no_images(fit, err);
    free(mirrored);
    return status;
}
