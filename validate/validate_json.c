/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/validate_json.h"

#include <cjson/cJSON.h>

#include "core/fail.h"
#include "transpike/transpike.h"

#define MOST_NAMES 20 /* of samples that were left out */

/* What is not finite becomes null: JSON has no other word for it. */
static bool add_number(cJSON *object, const char *name, double value)
{
    return cJSON_AddNumberToObject(object, name, value) != NULL;
}

static bool add_top(cJSON *object, const tspk_tally *tally, bool is_labelled)
{
    const double images = (double)tally->images;

    if (!is_labelled)
        return cJSON_AddNullToObject(object, "top1") && cJSON_AddNullToObject(object, "top5");
    return add_number(object, "top1", (double)tally->top1 / images) &&
           add_number(object, "top5", (double)tally->top5 / images);
}

static bool add_step(cJSON *steps, const tspk_validation *result, uint32_t t)
{
    const tspk_tally *tally = &result->step[t];
    const double images = (double)tally->images;
    cJSON *json = cJSON_CreateObject();

    return json && cJSON_AddItemToArray(steps, json) && add_number(json, "t", t + 1) &&
           add_top(json, tally, result->is_labelled) &&
           add_number(json, "agreement", (double)tally->agreed / images) &&
           add_number(json, "kl", tally->kl / images) &&
           add_number(json, "energy_synaptic", tally->synaptic / images) &&
           add_number(json, "energy_full", tally->full / images) &&
           add_number(json, "energy_quantised_ann", tally->quantised_ann / images) &&
           add_number(json, "firing_rate",
                      tally->neurons > 0 ? tally->spikes / tally->neurons : 0) &&
           (result->is_timed ? add_number(json, "ms_per_image", result->step_ms[t])
                             : cJSON_AddNullToObject(json, "ms_per_image") != NULL);
}

static const char *policy_name(tspk_policy policy)
{
    static const char *const names[] = {"mode", "none", "confidence", "entropy", "margin", "net"};

    return names[policy];
}

/* What was asked for, and of what: enough to do it again. */
static bool add_settings(cJSON *json, const tspk_validation *result)
{
    const tspk_validate_settings *const asked = result->settings;
    cJSON *const settings = cJSON_AddObjectToObject(json, "settings");
    tspk_spike_info info;

    tspk_spike_info_get(result->spike, &info);
    return settings && cJSON_AddStringToObject(settings, "version", tspk_version()) &&
           cJSON_AddStringToObject(settings, "data", tspk_dataset_path(result->data)) &&
           cJSON_AddStringToObject(settings, "network_sha256", result->network_sha256) &&
           cJSON_AddStringToObject(settings, "source_sha256", info.source_sha256) &&
           add_number(settings, "seed", (double)info.seed) &&
           add_number(settings, "skip", (double)asked->skip) &&
           add_number(settings, "limit", (double)asked->limit) &&
           add_number(settings, "steps", result->n_steps) &&
           cJSON_AddStringToObject(settings, "mode", asked->mode ? asked->mode : "all") &&
           cJSON_AddStringToObject(settings, "policy", policy_name(asked->policy)) &&
           (asked->exit < 0 ? cJSON_AddNullToObject(settings, "exit") != NULL
                            : add_number(settings, "exit", asked->exit)) &&
           cJSON_AddBoolToObject(settings, "merging", !asked->is_merging_off) &&
           cJSON_AddBoolToObject(settings, "refining", !asked->is_refining_off);
}

static bool add_skipped(cJSON *json, const tspk_validation *result)
{
    cJSON *const skipped = cJSON_AddObjectToObject(json, "skipped");
    cJSON *const names = skipped ? cJSON_AddArrayToObject(skipped, "names") : NULL;

    for (size_t i = 0; names && i < result->n_broken && i < MOST_NAMES; i++)
        if (!cJSON_AddItemToArray(
                names, cJSON_CreateString(tspk_dataset_name(result->data, result->broken[i]))))
            return false;
    return names && add_number(skipped, "images", (double)result->n_broken);
}

static bool add_all(cJSON *json, const tspk_validation *result)
{
    cJSON *ann, *snn, *steps;

    if (!cJSON_AddStringToObject(json, "schema", "transpike.validate/1") ||
        !add_number(json, "images", (double)result->ann.images) ||
        !add_number(json, "threads", result->threads) ||
        !add_number(json, "batch", result->batch) ||
        !add_number(json, "calibration_overlap", (double)result->overlap) ||
        !(ann = cJSON_AddObjectToObject(json, "ann")) ||
        !add_top(ann, &result->ann, result->is_labelled) ||
        !(result->is_ann_timed ? add_number(ann, "ms_per_image", result->ann_ms)
                               : cJSON_AddNullToObject(ann, "ms_per_image") != NULL) ||
        !(snn = cJSON_AddObjectToObject(json, "snn")) ||
        !(steps = cJSON_AddArrayToObject(snn, "steps")))
        return false;
    for (uint32_t t = 0; t < result->n_steps; t++)
        if (!add_step(steps, result, t))
            return false;
    return tspk_modes_json(&result->modes, result->is_labelled, snn) &&
           tspk_layers_json(&result->layers, json) &&
           tspk_outcomes_json(&result->outcomes, result->spike, result->data, result->is_labelled,
                              json) &&
           add_skipped(json, result) && add_settings(json, result);
}

tspk_status tspk_validation_json(const tspk_validation *result, char **json_out, tspk_error *err)
{
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;

    if (json && add_all(json, result))
        text = cJSON_Print(json);
    cJSON_Delete(json);
    if (!text)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the JSON text");
    *json_out = text;
    return TSPK_OK;
}
