/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/tuning.h"

#include <cjson/cJSON.h>
#include <stdio.h>

#include "cli/refuse.h"

static double number(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(item) ? item->valuedouble : -1;
}

static const char *text(const cJSON *object, const char *name)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : "";
}

static const char *mark(const cJSON *chosen, double id)
{
    const bool is_balanced = number(chosen, "balanced") == id;

    if (number(chosen, "fast") == id)
        return is_balanced ? "  balanced, fast" : "  fast";
    return is_balanced ? "  balanced" : "";
}

static void print_rows(const cJSON *pareto, const cJSON *chosen)
{
    const cJSON *row;

    printf("\n  levels  merge  steps  policy       mean  price    loss  agreement       KL  "
           "synaptic\n");
    cJSON_ArrayForEach(row, pareto) printf(
        "  %6.0f  %5.0f  %5.0f  %-10s  %5.2f  %5.2f  %6.2f  %8.2f%%  %7.4f  %8.3f%s\n",
        number(row, "levels"), number(cJSON_GetObjectItemCaseSensitive(row, "settings"), "merge"),
        number(row, "steps"), text(row, "policy"),
        number(row, "mean_steps"), number(cJSON_GetObjectItemCaseSensitive(row, "settings"), "price"),
        number(row, "loss"), 100 * number(row, "agreement"), number(row, "kl"),
        number(row, "energy_synaptic"), mark(chosen, number(row, "id")));
}

tspk_status tspk_cli_print_tuning(const char *json, const tspk_budget *budget, tspk_error *err)
{
    cJSON *root = cJSON_Parse(json);

    if (!root)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the table of the search");
    print_rows(cJSON_GetObjectItemCaseSensitive(root, "pareto"),
               cJSON_GetObjectItemCaseSensitive(root, "chosen"));
    if (!cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(root, "met"))) {
        printf("\nThe budget is not met: nothing tried has");
        if (budget->max_loss >= 0)
            printf(" loss <= %g points,", budget->max_loss);
        if (budget->max_energy > 0)
            printf(" synaptic energy <= %g,", budget->max_energy);
        printf(
            " agreement >= %g%%.\nbalanced is the nearest; `transpike validate --layers` ranks the "
            "layers that stand in the way,\n--keep-analog takes them out, --steps and "
            "--time-budget "
            "widen the search.\n",
            100 * budget->min_agreement);
    }
    cJSON_Delete(root);
    return TSPK_OK;
}
