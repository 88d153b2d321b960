/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

#define DEFAULT_TOP 5

static tspk_status no_memory(tspk_error *err)
{
    return tspk_cli_fail(err, TSPK_NOMEM, "no memory for the results");
}

tspk_status tspk_cli_report_init(tspk_cli_report *report, const tspk_cli_args *args,
                                 const char *mode, const tspk_spike *spike, tspk_error *err)
{
    memset(report, 0, sizeof *report);
    report->k = args->top >= 0 ? (size_t)args->top : DEFAULT_TOP;
    report->spike = spike;
    if (args->classes)
        TSPK_CLI_TRY(tspk_cli_names_read(args->classes, &report->names, err));
    report->top = calloc(report->k + 1, sizeof *report->top);
    report->json = cJSON_CreateObject();
    if (!report->top || !report->json ||
        !cJSON_AddStringToObject(report->json, "schema", "transpike.run/1") ||
        !cJSON_AddStringToObject(report->json, "mode", mode) ||
        !(report->images = cJSON_AddArrayToObject(report->json, "images"))) {
        tspk_cli_report_done(report);
        return no_memory(err);
    }
    return TSPK_OK;
}

void tspk_cli_report_done(tspk_cli_report *report)
{
    cJSON_Delete(report->json);
    free(report->top);
    tspk_cli_names_done(&report->names);
    memset(report, 0, sizeof *report);
}

tspk_status tspk_cli_report_check_names(const tspk_cli_report *report, const tspk_cli_args *args,
                                        size_t classes, tspk_error *err)
{
    if (args->classes && report->names.n != classes)
        return tspk_cli_fail(err, TSPK_RANGE, "%s: %zu class names, the network has %zu classes",
                             args->classes, report->names.n, classes);
    return TSPK_OK;
}

static const char *class_name(const tspk_cli_report *report, int64_t index)
{
    if (report->names.n > 0)
        return (size_t)index < report->names.n ? report->names.name[index] : NULL;
    return report->spike ? tspk_spike_class_name(report->spike, (uint32_t)index) : NULL;
}

static bool add_top(tspk_cli_report *report, cJSON *image, const float *logits, size_t classes)
{
    const size_t n = tspk_cli_find_top(logits, classes, report->k, report->top);
    cJSON *top = cJSON_AddArrayToObject(image, "top");

    for (size_t i = 0; top && i < n; i++) {
        cJSON *entry = cJSON_CreateObject();
        const char *name = class_name(report, report->top[i].index);

        if (!entry || !cJSON_AddItemToArray(top, entry) ||
            !cJSON_AddNumberToObject(entry, "class", (double)report->top[i].index) ||
            !(name ? cJSON_AddStringToObject(entry, "name", name)
                   : cJSON_AddNullToObject(entry, "name")) ||
            !cJSON_AddNumberToObject(entry, "p", report->top[i].p))
            return false;
    }
    return top != NULL;
}

tspk_status tspk_cli_report_add(tspk_cli_report *report, const char *name, const float *logits,
                                size_t classes, const tspk_step_work *work, tspk_error *err)
{
    cJSON *image = cJSON_CreateObject();

    if (!image || !cJSON_AddItemToArray(report->images, image) ||
        !cJSON_AddStringToObject(image, "name", name) || !add_top(report, image, logits, classes))
        return no_memory(err);
    if (work) {
        if (!cJSON_AddNumberToObject(image, "steps", work->steps) ||
            !cJSON_AddNumberToObject(image, "tokens", work->tokens / work->steps) ||
            !cJSON_AddNumberToObject(image, "energy_synaptic", work->energy_synaptic))
            return no_memory(err);
    } else if (!cJSON_AddNullToObject(image, "steps") || !cJSON_AddNullToObject(image, "tokens") ||
               !cJSON_AddNullToObject(image, "energy_synaptic")) {
        return no_memory(err);
    }
    return TSPK_OK;
}

static void print_image(const cJSON *image)
{
    const cJSON *top = cJSON_GetObjectItemCaseSensitive(image, "top");
    const cJSON *energy = cJSON_GetObjectItemCaseSensitive(image, "energy_synaptic");
    const cJSON *entry;

    printf("%s", tspk_cli_json_text(image, "name", ""));
    if (cJSON_IsNumber(energy))
        printf("  (%.0f step%s, synaptic energy %.3f of the ANN's)",
               tspk_cli_json_number(image, "steps", 0),
               tspk_cli_json_number(image, "steps", 0) == 1 ? "" : "s", energy->valuedouble);
    printf("\n");
    if (cJSON_GetArraySize(top) == 0)
        printf("  no finite logits\n");
    cJSON_ArrayForEach(entry, top)
    {
        const char *name = tspk_cli_json_text(entry, "name", NULL);

        printf("  %.4f  %4.0f%s%s\n", tspk_cli_json_number(entry, "p", 0),
               tspk_cli_json_number(entry, "class", 0), name ? "  " : "", name ? name : "");
    }
}

tspk_status tspk_cli_report_finish(tspk_cli_report *report, const tspk_cli_args *args,
                                   tspk_error *err)
{
    const cJSON *image;

    if (args->json)
        TSPK_CLI_TRY(tspk_cli_write_json(args->json, report->json, err));
    if (tspk_cli_is_stdout(args->json))
        return TSPK_OK;
    cJSON_ArrayForEach(image, report->images) print_image(image);
    return tspk_cli_flush(err);
}
