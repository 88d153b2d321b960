/* SPDX-License-Identifier: Apache-2.0 */
/* tspk_convert(): samples in, calibrated spike graph out. */
#include <cjson/cJSON.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "calib/samples.h"
#include "calib/tune.h"
#include "calib/tune_exit.h"
#include "core/compiler.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "core/spike_handle.h"
#include "transpike/transpike.h"

void tspk_budget_default(tspk_budget *budget)
{
    *budget = (tspk_budget){.max_loss = -1, .min_agreement = 0.94, .seconds = 600};
}

void tspk_convert_default_settings(tspk_convert_settings *settings)
{
    memset(settings, 0, sizeof *settings);
    settings->calibration_images = 128;
    settings->steps = 4;
    settings->levels = 8;
    settings->is_mirrored = true;
    settings->cache_bytes = (size_t)2 << 30;
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
    if (settings->is_ecmt && (settings->merged_pairs[0] || settings->merged_pairs[1]))
        return TSPK_FAIL(err, TSPK_USAGE,
                         "ECMT's rule has no class of special tokens, which merging "
                         "must leave alone");
    for (size_t i = 0; i < TSPK_COUNT_OF(settings->refine_share); i++)
        if (!(settings->refine_share[i] >= 0.0 && settings->refine_share[i] < 1.0))
            return TSPK_FAIL(err, TSPK_RANGE,
                             "%g of the patches are to be refined, expected 0 to below 1",
                             settings->refine_share[i]);
        else if (settings->refine_share[i] > 0.0 && (settings->is_rate || settings->is_ecmt))
            return TSPK_FAIL(err, TSPK_USAGE, "tokens cannot be refined in rate coding");
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

/* What a search has chosen, NULL: no search. malloc'd, NULL when memory is short. The seed is
 * written out: cJSON's numbers end at 2^53. */
static char *settings_json(const tspk_convert_settings *settings, const tspk_tuning *tuning)
{
    const bool is_rate = settings->is_rate || settings->is_ecmt;
    const tspk_trade *chosen = tuning ? &tuning->trade[tuning->balanced] : NULL;
    cJSON *json = cJSON_CreateObject();
    cJSON *kept;
    char seed[24], *text = NULL;

    snprintf(seed, sizeof seed, "%" PRIu64, settings->seed);
    if (json && cJSON_AddNumberToObject(json, "steps", settings->steps) &&
        cJSON_AddNumberToObject(json, "levels", chosen ? chosen->levels : settings->levels) &&
        cJSON_AddStringToObject(json, "coding", is_rate ? "rate" : "differential") &&
        cJSON_AddStringToObject(json, "preset", settings->is_ecmt ? "ecmt" : "default") &&
        cJSON_AddNumberToObject(json, "calib_images", (double)settings->calibration_images) &&
        cJSON_AddBoolToObject(json, "mirror", settings->is_mirrored && !settings->is_ecmt) &&
        (!chosen || (cJSON_AddNumberToObject(json, "price", chosen->price) &&
                     cJSON_AddBoolToObject(json, "partial", tuning->is_partial))) &&
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

static tspk_status keep_provenance(const tspk_convert_settings *settings, const tspk_tuning *tuning,
                                   uint8_t (*hash)[32], tspk_spikegraph *spikes, tspk_error *err)
{
    tspk_provenance *to = &spikes->provenance;
    char *text = settings_json(settings, tuning);

    to->tool = tspk_arena_text(spikes->arena, "transpike " TSPK_VERSION);
    to->settings = text ? tspk_arena_text(spikes->arena, text) : NULL;
    free(text);
    to->seed = settings->seed;
    to->calibration_hash = tspk_arena_copy(spikes->arena, hash, to->n_calibration * sizeof *hash);
    if (!to->tool || !to->settings || !to->calibration_hash)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the provenance");
    return TSPK_OK;
}

/* Everything that one conversion holds. */
typedef struct job {
    const tspk_convert_settings *settings;
    tspk_calib_settings calibration;
    tspk_samples samples;
    tspk_frame frame;
    tspk_spikegraph *spikes;
} job;

static void fill_calibration(job *j, const tspk_calib_options *options)
{
    const tspk_convert_settings *settings = j->settings;

    j->calibration = (tspk_calib_settings){
        .n_steps = settings->steps,
        .n_levels = settings->levels,
        .coding =
            settings->is_rate || settings->is_ecmt ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL,
        .options = *options,
        .cache_bytes = settings->cache_bytes,
        .is_mirrored = settings->is_mirrored && options->is_mirrored,
        .seed = settings->seed,
        .threads = settings->threads > 0 ? settings->threads : tspk_parallel_max_threads(),
        .progress = settings->progress,
        .progress_context = settings->progress_context,
    };
    if (options->is_priced)
        tspk_calib_default_price(&j->calibration);
}

static tspk_status begin(job *j, const tspk_model *model, const tspk_dataset *data,
                         const tspk_calib_options *options, tspk_error *err)
{
    const tspk_reader_settings reading = {
        .threads = j->settings->threads,
        .is_strict = j->settings->is_strict,
        .broken = j->settings->broken,
        .broken_context = j->settings->broken_context,
    };

    TSPK_TRY(check_settings(j->settings, tspk_dataset_count(data), err));
    TSPK_TRY(tspk_model_check_convertible(model, err));
    fill_calibration(j, options);
    TSPK_TRY(tspk_samples_read(&j->samples, data,
                               model->graph->value[model->graph->input[0]].shape.dim + 1,
                               j->settings->calibration_images, &reading, err));
    return tspk_frame_init(&j->frame, model, j->settings->keep_analog, j->settings->n_keep_analog,
                           err);
}

static const char *const mode_names[] = {"balanced", "fast"};

static bool has_mode(const tspk_convert_settings *settings, size_t i)
{
    return settings->merged_pairs[i] || settings->refine_share[i] > 0.0;
}

/* Appends a mode that merges or refines tokens. */
static tspk_status fit_mode(const job *j, size_t i, const tspk_calib_settings *settings,
                            const float *images, tspk_fit *fit, tspk_error *err)
{
    const tspk_merged_point point = {mode_names[i], settings->n_steps, settings->n_levels,
                                     j->settings->merged_pairs[i]};

    TSPK_TRY(tspk_frame_fit_merged(&j->frame, images, settings, &point, fit, err));
    fit->spikes->point[fit->spikes->n_points - 1].refine_share =
        (float)j->settings->refine_share[i];
    return TSPK_OK;
}

/* The policies of the modes that merge or refine tokens, fitted on half of the images' answers
 * after a fit on the other half; none is taken unless it is asked for. */
static tspk_status fit_policies(job *j, tspk_error *err)
{
    tspk_calib_settings settings = j->calibration;
    tspk_split split = {0};
    tspk_fit fit = {0};
    tspk_budget budget;
    tspk_status status;

    tspk_budget_default(&budget);
    budget.max_loss = 1;
    settings.is_mirrored = false;
    settings.is_quick = true;
    TSPK_TRY(tspk_split_make(&split, &j->frame, j->samples.image, NULL, j->samples.n, 2, 0, true,
                             &j->calibration, err));
    status = tspk_frame_fit(&j->frame, split.image, split.n, &settings, &fit, err);
    for (uint32_t i = 0; i < TSPK_COUNT_OF(mode_names) && status == TSPK_OK; i++) {
        tspk_exit_record record = {0};
        uint32_t index;

        if (!has_mode(j->settings, i))
            continue;
        status = fit_mode(j, i, &settings, split.image, &fit, err);
        if (status == TSPK_OK)
            status = tspk_exit_record_add(&record, fit.spikes, mode_names[i], &split.held_out,
                                          settings.threads, err);
        if (status == TSPK_OK)
            status = tspk_find_point(j->spikes, mode_names[i], &index, err);
        if (status == TSPK_OK)
            status = tspk_fit_exits(&record, &budget, i, false, settings.seed, j->spikes->arena,
                                    &j->spikes->point[index], err);
        tspk_exit_record_done(&record);
    }
    tspk_spikegraph_free(fit.spikes);
    tspk_split_done(&split);
    return status;
}

/* "exact", and the modes in which tokens merge or are refined, with the policies that go with them.
 */
static tspk_status fit(job *j, tspk_error *err)
{
    tspk_fit fit = {0};

    TSPK_TRY(tspk_frame_fit(&j->frame, j->samples.image, j->samples.n, &j->calibration, &fit, err));
    j->spikes = fit.spikes;
    for (size_t i = 0; i < TSPK_COUNT_OF(mode_names); i++)
        if (has_mode(j->settings, i))
            TSPK_TRY(fit_mode(j, i, &j->calibration, j->samples.image, &fit, err));
    if (j->spikes->n_points > 1 && j->settings->steps > 1 &&
        j->calibration.coding == TSPK_CODING_DIFFERENTIAL && j->samples.n > 1)
        return fit_policies(j, err);
    return TSPK_OK;
}

/* A session says whether the network lets tokens be refined. */
static tspk_status check_refining(const tspk_spike *spike, tspk_error *err)
{
    tspk_session_settings settings;
    tspk_session *session;

    tspk_session_default_settings(&settings);
    settings.threads = 1;
    for (uint32_t i = 0; i < spike->graph->n_points; i++) {
        if (!(spike->graph->point[i].refine_share > 0.0f))
            continue;
        settings.mode = spike->graph->point[i].name;
        TSPK_TRY(tspk_session_open(spike, &settings, &session, err));
        tspk_session_close(session);
    }
    return TSPK_OK;
}

static tspk_status finish(job *j, const tspk_tuning *tuning, tspk_spike **spike_out,
                          tspk_error *err)
{
    tspk_spike *spike;
    tspk_status status;

    if (tuning && tuning->is_partial) /* fitted on every other one */
        j->spikes->provenance.n_calibration = (uint32_t)j->samples.n;
    TSPK_TRY(keep_provenance(j->settings, tuning, j->samples.hash, j->spikes, err));
    keep_preprocess(&j->settings->preprocess, j->samples.dim, &j->spikes->preprocess);
    TSPK_TRY(tspk_spikegraph_verify(j->spikes, err));
    spike = malloc(sizeof *spike);
    if (!spike)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the spike graph");
    spike->graph = j->spikes;
    j->spikes = NULL;
    status = check_refining(spike, err);
    if (status != TSPK_OK) {
        tspk_spike_close(spike);
        return status;
    }
    *spike_out = spike;
    return TSPK_OK;
}

static void done(job *j)
{
    tspk_spikegraph_free(j->spikes);
    tspk_frame_done(&j->frame);
    tspk_samples_done(&j->samples);
}

tspk_status tspk_convert_with(const tspk_model *model, const tspk_dataset *data,
                              const tspk_convert_settings *settings,
                              const tspk_calib_options *options, tspk_spike **spike_out,
                              tspk_error *err)
{
    job j = {.settings = settings};
    tspk_status status = begin(&j, model, data, options, err);

    if (status == TSPK_OK)
        status = fit(&j, err);
    if (status == TSPK_OK)
        status = finish(&j, NULL, spike_out, err);
    done(&j);
    return tspk_in_stage(err, status, "convert");
}

tspk_status tspk_convert(const tspk_model *model, const tspk_dataset *data,
                         const tspk_convert_settings *settings, tspk_spike **spike_out,
                         tspk_error *err)
{
    const tspk_calib_options options =
        settings->is_ecmt ? (tspk_calib_options){0} : tspk_calib_all_options();

    return tspk_convert_with(model, data, settings, &options, spike_out, err);
}

tspk_status tspk_convert_tuned(const tspk_model *model, const tspk_dataset *data,
                               const tspk_convert_settings *settings, const tspk_budget *budget,
                               tspk_spike **spike_out, char **json_out, tspk_error *err)
{
    const tspk_calib_options options = tspk_calib_all_options();
    tspk_tuning *tuning = malloc(sizeof *tuning);
    job j = {.settings = settings};
    char *json = NULL;
    tspk_status status;

    if (!tuning)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the table of the search");
    status = settings->is_rate || settings->is_ecmt
                 ? TSPK_FAIL(err, TSPK_USAGE, "a budget needs differential coding")
                 : begin(&j, model, data, &options, err);
    if (status == TSPK_OK)
        status = tspk_tune(&j.frame, j.samples.image, j.samples.label, j.samples.n, &j.calibration,
                           settings->are_levels_pinned, settings->merged_pairs, budget, tuning,
                           &j.spikes, err);
    if (status == TSPK_OK)
        status = tspk_tuning_json(tuning, &json, err);
    if (status == TSPK_OK)
        status = finish(&j, tuning, spike_out, err);
    if (status == TSPK_OK)
        *json_out = json;
    else
        tspk_text_free(json);
    free(tuning);
    done(&j);
    return tspk_in_stage(err, status, "convert");
}
