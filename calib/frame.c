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

tspk_status tspk_frame_fit(const tspk_frame *frame, const float *images, size_t n_images,
                           const tspk_calib_settings *settings, tspk_spikegraph **spikes_out,
                           tspk_error *err)
{
    return tspk_frame_fit_points(frame, images, n_images, settings, NULL, 0, spikes_out, err);
}

tspk_status tspk_frame_fit_points(const tspk_frame *frame, const float *images, size_t n_images,
                                  const tspk_calib_settings *settings,
                                  const tspk_merged_point *points, uint32_t n_points,
                                  tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_calib_settings fitted = *settings;
    float *mirrored = NULL;
    tspk_spikegraph *spikes = NULL;
    tspk_status status = tspk_lower(frame->source, &frame->structure, frame->keep_analog,
                                    frame->n_keep_analog, &spikes, err);

    if (status == TSPK_OK)
        status = fit_into_cache(spikes, &n_images, &fitted, err);
    if (status == TSPK_OK && fitted.is_mirrored) {
        mirrored = add_mirrored(frame, images, n_images);
        if (!mirrored)
            status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu mirrored images", n_images);
    }
    if (status == TSPK_OK)
        status = tspk_calibrate_points(spikes, frame->source, mirrored ? mirrored : images,
                                       mirrored ? 2 * n_images : n_images, &fitted, points,
                                       n_points, err);
    free(mirrored);
    if (status == TSPK_OK) {
        spikes->ann_cost = frame->cost;
        spikes->provenance.n_calibration = (uint32_t)n_images;
        *spikes_out = spikes;
    } else {
        tspk_spikegraph_free(spikes);
    }
    return status;
}
