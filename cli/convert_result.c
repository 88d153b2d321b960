/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/convert_result.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "cli/output.h"
#include "cli/refuse.h"

static const char *mark(const cJSON *chosen, double id)
{
    const bool is_balanced = tspk_cli_json_number(chosen, "balanced", -1) == id;

    if (tspk_cli_json_number(chosen, "fast", -1) == id)
        return is_balanced ? "  balanced, fast" : "  fast";
    return is_balanced ? "  balanced" : "";
}

static void print_rows(const cJSON *pareto, const cJSON *chosen)
{
    const cJSON *row;

    printf(
        "\n  levels  merge  refine  steps  policy       mean  price    loss  agreement       KL  "
        "synaptic\n");
    cJSON_ArrayForEach(row, pareto) printf(
        "  %6.0f  %5.0f  %6.2f  %5.0f  %-10s  %5.2f  %5.2f  %6.2f  %8.2f%%  %7.4f  %8.3f%s\n",
        tspk_cli_json_number(row, "levels", -1),
        tspk_cli_json_number(cJSON_GetObjectItemCaseSensitive(row, "settings"), "merge", -1),
        tspk_cli_json_number(cJSON_GetObjectItemCaseSensitive(row, "settings"), "refine", -1),
        tspk_cli_json_number(row, "steps", -1), tspk_cli_json_text(row, "policy", ""),
        tspk_cli_json_number(row, "mean_steps", -1),
        tspk_cli_json_number(cJSON_GetObjectItemCaseSensitive(row, "settings"), "price", -1),
        tspk_cli_json_number(row, "loss", -1), 100 * tspk_cli_json_number(row, "agreement", -1),
        tspk_cli_json_number(row, "kl", -1), tspk_cli_json_number(row, "energy_synaptic", -1),
        mark(chosen, tspk_cli_json_number(row, "id", -1)));
}

static void print_search(const cJSON *json, const tspk_budget *budget)
{
    print_rows(cJSON_GetObjectItemCaseSensitive(json, "pareto"),
               cJSON_GetObjectItemCaseSensitive(json, "chosen"));
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "met")))
        return;
    printf("\nThe budget is not met: nothing tried has");
    if (budget->max_loss >= 0)
        printf(" loss <= %g points,", budget->max_loss);
    if (budget->max_energy > 0)
        printf(" synaptic energy <= %g,", budget->max_energy);
    printf(" agreement >= %g%%.\nbalanced is the nearest; `transpike validate --layers` ranks the "
           "layers that stand in the way,\n--keep-analog takes them out, --steps and "
           "--time-budget widen the search.\n",
           100 * budget->min_agreement);
}

static tspk_status print_modes(const tspk_spike *spike, tspk_error *err)
{
    char *text = NULL;
    cJSON *json;

    TSPK_CLI_TRY(tspk_spike_describe(spike, &text, err));
    json = cJSON_Parse(text);
    tspk_text_free(text);
    if (!json)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the description");
    tspk_cli_print_modes(json);
    cJSON_Delete(json);
    return TSPK_OK;
}

/* The JSON of the search, or one that says that there was none. NULL: no memory. */
static cJSON *make_json(const tspk_cli_convert_result *result)
{
    cJSON *json = result->search ? cJSON_Parse(result->search) : cJSON_CreateObject();

    if (json && cJSON_AddStringToObject(json, "schema", "transpike.convert/1") &&
        cJSON_AddNumberToObject(json, "seconds", result->seconds) &&
        tspk_cli_broken_json(result->broken, json) &&
        (result->search ||
         (cJSON_AddTrueToObject(json, "met") && cJSON_AddObjectToObject(json, "chosen") &&
          cJSON_AddArrayToObject(json, "pareto"))))
        return json;
    cJSON_Delete(json);
    return NULL;
}

static tspk_status print_text(const tspk_cli_args *args, const tspk_cli_convert_result *result,
                              const cJSON *json, tspk_error *err)
{
    tspk_spike_info info;

    tspk_spike_info_get(result->spike, &info);
    printf("%s: %u steps, %u levels, %s coding, %zu calibration images, %.1f s\n", args->output,
           info.steps, info.levels, result->is_rate ? "rate" : "differential",
           info.calibration_images, result->seconds);
    if (result->search)
        print_search(json, result->budget);
    return result->has_modes ? print_modes(result->spike, err) : TSPK_OK;
}

static tspk_status report(const tspk_cli_args *args, const tspk_cli_convert_result *result,
                          const cJSON *json, tspk_error *err)
{
    if (args->json)
        TSPK_CLI_TRY(tspk_cli_write_json(args->json, json, err));
    if (!tspk_cli_is_stdout(args->json))
        TSPK_CLI_TRY(print_text(args, result, json, err));
    TSPK_CLI_TRY(tspk_cli_flush(err));
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "met")))
        tspk_cli_note(args, "the budget is not met; %s holds the nearest", args->output);
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "partial")))
        return tspk_cli_fail(err, TSPK_INTERRUPTED,
                             "stopped while searching; %s holds the best so far, fitted on half of "
                             "the samples",
                             args->output);
    return TSPK_OK;
}

tspk_status tspk_cli_report_convert(const tspk_cli_args *args,
                                    const tspk_cli_convert_result *result, tspk_error *err)
{
    cJSON *json = make_json(result);
    tspk_status status;

    if (!json)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the JSON text");
    status = report(args, result, json, err);
    cJSON_Delete(json);
    return status;
}
