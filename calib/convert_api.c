/* SPDX-License-Identifier: Apache-2.0 */
/* tspk_convert(): samples in, calibrated spike graph out. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calib/frame.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "core/spike_handle.h"
#include "transpike/transpike.h"

void tspk_convert_default_settings(tspk_convert_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->calibration_images = 128;
    settings->steps = 4;
    settings->levels = 8;
    settings->is_mirrored = true;
    tspk_preprocess_default_settings(&settings->preprocess);
}

static tspk_status check_settings(const tspk_convert_settings *settings, size_t n_samples,
                                  tspk_error *err)
{
    if (settings->steps < 1 || settings->steps > TSPK_MAX_STEPS)
        return TSPK_FAIL(err, TSPK_RANGE, "%" PRIu32 " steps, expected 1 to %u", settings->steps,
                         TSPK_MAX_STEPS);
    if (settings->levels < 1 || settings->levels > TSPK_MAX_LEVELS)
        return TSPK_FAIL(err, TSPK_RANGE, "%" PRIu32 " levels, expected 1 to %u", settings->levels,
                         TSPK_MAX_LEVELS);
    if (settings->is_ecmt && settings->levels > 8)
        return TSPK_FAIL(err, TSPK_RANGE,
                         "%" PRIu32
                         " levels with ECMT's rule, expected 1 to 8: its levels are powers "
                         "of two",
                         settings->levels);
    if (settings->calibration_images < 1)
        return TSPK_FAIL(err, TSPK_RANGE, "0 calibration images, expected at least 1");
    if (n_samples < 1)
        return TSPK_FAIL(err, TSPK_RANGE, "no samples to calibrate on");
    return TSPK_OK;
}

/* The calibration images, decoded side by side. */
typedef struct sample_reader {
    const tspk_dataset *data;
    int64_t dim[3];
    size_t elems;
    float *image;        /* [n, elems] */
    uint8_t (*hash)[32]; /* [n] */
    tspk_error *error;   /* [n] */
} sample_reader;

static void read_sample(void *context, size_t i, int worker)
{
    sample_reader *r = context;

    (void)worker;
    tspk_error_init(&r->error[i]);
    (void)tspk_dataset_read(r->data, i, r->dim, r->image + i * r->elems, r->hash[i], &r->error[i]);
}

static tspk_status read_samples(sample_reader *r, size_t n, int threads, tspk_error *err)
{
    r->elems = (size_t)(r->dim[0] * r->dim[1] * r->dim[2]);
    r->image = calloc(n, r->elems * sizeof *r->image);
    r->hash = calloc(n, sizeof *r->hash);
    r->error = calloc(n, sizeof *r->error);
    if (!r->image || !r->hash || !r->error)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu calibration images", n);
    tspk_parallel_for(threads, n, read_sample, r);
    for (size_t i = 0; i < n; i++)
        if (r->error[i].status != TSPK_OK) {
            if (err)
                *err = r->error[i];
            return r->error[i].status;
        }
    return TSPK_OK;
}

static void keep_preprocess(const tspk_preprocess_settings *from, const int64_t dim[3],
                            tspk_preprocess *to)
{
    to->resize = from->resize;
    to->crop_height = to->crop_width = from->crop;
    to->interpolation = from->interpolation;
    to->channels = from->channels ? from->channels : (uint32_t)dim[0];
    memcpy(to->mean, from->mean, sizeof to->mean);
    memcpy(to->std, from->std, sizeof to->std);
}

/* malloc'd, NULL when memory is short. The seed is written out: cJSON's numbers end at 2^53. */
static char *settings_json(const tspk_convert_settings *settings)
{
    const bool is_rate = settings->is_rate || settings->is_ecmt;
    cJSON *json = cJSON_CreateObject();
    cJSON *kept;
    char seed[24], *text = NULL;

    snprintf(seed, sizeof seed, "%" PRIu64, settings->seed);
    if (json && cJSON_AddNumberToObject(json, "steps", settings->steps) &&
        cJSON_AddNumberToObject(json, "levels", settings->levels) &&
        cJSON_AddStringToObject(json, "coding", is_rate ? "rate" : "differential") &&
        cJSON_AddStringToObject(json, "preset", settings->is_ecmt ? "ecmt" : "default") &&
        cJSON_AddNumberToObject(json, "calib_images", (double)settings->calibration_images) &&
        cJSON_AddBoolToObject(json, "mirror", settings->is_mirrored && !settings->is_ecmt) &&
        cJSON_AddRawToObject(json, "seed", seed) &&
        (kept = cJSON_AddArrayToObject(json, "keep_analog"))) {
        bool is_whole = true;

        for (size_t i = 0; i < settings->n_keep_analog; i++)
            is_whole &=
                cJSON_AddItemToArray(kept, cJSON_CreateString(settings->keep_analog[i])) != 0;
        if (is_whole)
            text = cJSON_PrintUnformatted(json);
    }
    cJSON_Delete(json);
    return text;
}

static tspk_status keep_provenance(const tspk_convert_settings *settings, uint8_t (*hash)[32],
                                   size_t n, tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_provenance *to = &spikes->provenance;
    char *text = settings_json(settings);

    to->tool = tspk_arena_text(spikes->arena, "transpike " TSPK_VERSION);
    to->settings = text ? tspk_arena_text(spikes->arena, text) : NULL;
    free(text);
    to->seed = settings->seed;
    to->n_calibration = (uint32_t)n;
    to->calibration_hash = tspk_arena_copy(spikes->arena, hash, n * sizeof *hash);
    if (!to->tool || !to->settings || !to->calibration_hash)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the provenance");
    return TSPK_OK;
}

tspk_status tspk_convert(const tspk_model *model, const tspk_dataset *data,
                         const tspk_convert_settings *settings, tspk_spike **spike_out,
                         tspk_error *err)
{
    const tspk_calib_options options =
        settings->is_ecmt ? (tspk_calib_options){0} : tspk_calib_all_options();

    return tspk_convert_with(model, data, settings, &options, spike_out, err);
}

tspk_status tspk_convert_with(const tspk_model *model, const tspk_dataset *data,
                              const tspk_convert_settings *settings,
                              const tspk_calib_options *options, tspk_spike **spike_out,
                              tspk_error *err)
{
    const size_t available = tspk_dataset_count(data);
    const size_t n =
        settings->calibration_images < available ? settings->calibration_images : available;
    tspk_calib_settings calibration = {
        .n_steps = settings->steps,
        .n_levels = settings->levels,
        .coding =
            settings->is_rate || settings->is_ecmt ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL,
        .options = *options,
        .is_mirrored = settings->is_mirrored && options->is_mirrored,
        .seed = settings->seed,
        .threads = settings->threads > 0 ? settings->threads : tspk_parallel_max_threads(),
        .progress = settings->progress,
        .progress_context = settings->progress_context,
    };
    sample_reader reader = {.data = data};
    tspk_spike *spike = NULL;
    tspk_spikegraph *spikes = NULL;
    tspk_frame frame = {0};
    tspk_status status = check_settings(settings, available, err);

    if (options->is_priced)
        tspk_calib_default_price(&calibration);
    if (status == TSPK_OK)
        status = tspk_model_check_convertible(model, err);
    if (status != TSPK_OK)
        return tspk_in_stage(err, status, "convert");
    memcpy(reader.dim, model->graph->value[model->graph->input[0]].shape.dim + 1,
           sizeof reader.dim);
    status = read_samples(&reader, n, calibration.threads, err);
    if (status == TSPK_OK)
        status =
            tspk_frame_init(&frame, model, settings->keep_analog, settings->n_keep_analog, err);
    if (status == TSPK_OK)
        status = tspk_frame_fit(&frame, reader.image, n, &calibration, &spikes, err);
    if (status == TSPK_OK)
        status = keep_provenance(settings, reader.hash, n, spikes, err);
    if (status == TSPK_OK) {
        keep_preprocess(&settings->preprocess, reader.dim, &spikes->preprocess);
        status = tspk_spikegraph_verify(spikes, err);
    }
    if (status == TSPK_OK) {
        spike = malloc(sizeof *spike);
        status = spike ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the spike graph");
    }
    if (status == TSPK_OK) {
        spike->graph = spikes;
        *spike_out = spike;
    } else {
        tspk_spikegraph_free(spikes);
    }
    tspk_frame_done(&frame);
    free(reader.image);
    free(reader.hash);
    free(reader.error);
    return tspk_in_stage(err, status, "convert");
}
