/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdlib.h>

#include "calib/tune.h"
#include "core/fail.h"

static bool add_trade(cJSON *rows, const tspk_trade *trade)
{
    cJSON *row = cJSON_CreateObject(), *settings;

    if (!cJSON_AddItemToArray(rows, row))
        return false;
    settings = cJSON_AddObjectToObject(row, "settings");
    return settings && cJSON_AddNumberToObject(settings, "levels", trade->levels) &&
           cJSON_AddNumberToObject(settings, "steps", trade->steps) &&
           cJSON_AddNumberToObject(settings, "merge", trade->pairs) &&
           cJSON_AddNumberToObject(settings, "refine", trade->refined) &&
           cJSON_AddStringToObject(settings, "policy", tspk_exit_kind_name(trade->exit)) &&
           cJSON_AddNumberToObject(settings, "price", trade->price) &&
           cJSON_AddNumberToObject(row, "id", trade->id) &&
           cJSON_AddNumberToObject(row, "levels", trade->levels) &&
           cJSON_AddNumberToObject(row, "steps", trade->steps) &&
           cJSON_AddStringToObject(row, "policy", tspk_exit_kind_name(trade->exit)) &&
           cJSON_AddNumberToObject(row, "mean_steps", trade->mean_steps) &&
           cJSON_AddNumberToObject(row, "loss", trade->loss) &&
           cJSON_AddNumberToObject(row, "agreement", trade->agreement) &&
           cJSON_AddNumberToObject(row, "error", trade->error) &&
           cJSON_AddNumberToObject(row, "kl", trade->kl) &&
           cJSON_AddNumberToObject(row, "energy_synaptic", trade->energy);
}

/* Rows that nothing beats, and those that were chosen. */
static bool fill(cJSON *root, const tspk_tuning *tuning)
{
    cJSON *chosen, *rows;
    bool is_whole;

    if (!cJSON_AddBoolToObject(root, "met", tuning->is_met) ||
        !cJSON_AddBoolToObject(root, "partial", tuning->is_partial) ||
        !(chosen = cJSON_AddObjectToObject(root, "chosen")) ||
        !cJSON_AddNumberToObject(chosen, "balanced", tuning->balanced) ||
        !cJSON_AddNumberToObject(chosen, "fast", tuning->fast) ||
        !(rows = cJSON_AddArrayToObject(root, "pareto")))
        return false;
    is_whole = true;
    for (uint32_t i = 0; i < tuning->n_trades; i++)
        if (tuning->trade[i].is_pareto || i == tuning->balanced || i == tuning->fast)
            is_whole &= add_trade(rows, &tuning->trade[i]);
    return is_whole;
}

tspk_status tspk_tuning_json(const tspk_tuning *tuning, char **json_out, tspk_error *err)
{
    cJSON *root = cJSON_CreateObject();
    char *text = root && fill(root, tuning) ? cJSON_PrintUnformatted(root) : NULL;

    cJSON_Delete(root);
    if (!text)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the table of the search");
    *json_out = text;
    return TSPK_OK;
}
