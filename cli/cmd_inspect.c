/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/refuse.h"

static void print_ports(const cJSON *json, const char *what)
{
    const cJSON *port, *dim;

    cJSON_ArrayForEach(port, cJSON_GetObjectItemCaseSensitive(json, what))
    {
        bool is_first = true;

        printf("  %-11s %s %s [", what[0] == 'i' ? "input" : "output",
               tspk_cli_json_text(port, "name", ""), tspk_cli_json_text(port, "type", ""));
        cJSON_ArrayForEach(dim, cJSON_GetObjectItemCaseSensitive(port, "shape"))
        {
            printf("%s%.0f", is_first ? "" : ", ", dim->valuedouble);
            is_first = false;
        }
        printf("]\n");
    }
}

static void print_sites(const cJSON *json)
{
    const cJSON *sites = cJSON_GetObjectItemCaseSensitive(json, "sites");
    const bool has_levels = cJSON_HasObjectItem(cJSON_GetArrayItem(sites, 0), "levels");
    const cJSON *site;

    if (cJSON_GetArraySize(sites) == 0)
        return;
    printf("\nSites (neuron layers): %d\n", cJSON_GetArraySize(sites));
    printf("  %-36s %-10s %7s %8s %7s  %s\n", "name", "kind", "tokens", "channels", "fan-out",
           has_levels ? "levels and ladders by step" : "");
    cJSON_ArrayForEach(site, sites)
    {
        const cJSON *levels = cJSON_GetObjectItemCaseSensitive(site, "levels");
        const cJSON *ladders = cJSON_GetObjectItemCaseSensitive(site, "ladder");

        printf("  %-36s %-10s %7.0f %8.0f %7.0f ", tspk_cli_json_text(site, "name", ""),
               tspk_cli_json_text(site, "kind", ""), tspk_cli_json_number(site, "tokens", 0),
               tspk_cli_json_number(site, "channels", 0), tspk_cli_json_number(site, "fan_out", 0));
        if (cJSON_IsFalse(cJSON_GetObjectItemCaseSensitive(site, "spiking")))
            printf(" analog");
        for (int i = 0; i < cJSON_GetArraySize(levels); i++) {
            const cJSON *ladder = cJSON_GetArrayItem(ladders, i);

            printf(" %.0f %s", cJSON_GetArrayItem(levels, i)->valuedouble,
                   cJSON_IsString(ladder) ? ladder->valuestring : "");
        }
        printf("\n");
    }
}

/* "Name 12" pairs, wrapped. */
static void print_operators(const cJSON *json)
{
    const cJSON *entry;
    int column = 0;

    printf("\nOperators\n ");
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(json, "operators"))
    {
        if (column > 78) {
            printf("\n ");
            column = 0;
        }
        column += printf(" %s %.0f", tspk_cli_json_text(entry, "op", ""),
                         tspk_cli_json_number(entry, "count", 0));
    }
    printf("\n");
}

static void print_model(const cJSON *json, const char *path)
{
    const cJSON *blocks = cJSON_GetObjectItemCaseSensitive(json, "blocks");
    const cJSON *macs = cJSON_GetObjectItemCaseSensitive(json, "macs");
    const cJSON *entry;

    printf("%s: can be converted\n", path);
    printf("  %-11s %s, opset %.0f\n", "exporter", tspk_cli_json_text(json, "producer", "unknown"),
           tspk_cli_json_number(json, "opset", 0));
    printf("  %-11s %s\n", "SHA-256", tspk_cli_json_text(json, "source_sha256", ""));
    print_ports(json, "inputs");
    print_ports(json, "outputs");
    if (cJSON_IsTrue(cJSON_GetObjectItemCaseSensitive(json, "is_batch_fixed")))
        printf("  %-11s %.0f (fixed)\n", "batch", tspk_cli_json_number(json, "batch", 1));
    else
        printf("  %-11s any\n", "batch");
    printf("\nAttention blocks: %d\n", cJSON_GetArraySize(blocks));
    printf("  %-40s %6s %6s %7s\n", "name", "heads", "width", "tokens");
    cJSON_ArrayForEach(entry, blocks)
        printf("  %-40s %6.0f %6.0f %7.0f\n", tspk_cli_json_text(entry, "name", ""),
               tspk_cli_json_number(entry, "heads", 0), tspk_cli_json_number(entry, "width", 0),
               tspk_cli_json_number(entry, "tokens", 0));
    printf("\nMultiply-accumulates an image\n");
    cJSON_ArrayForEach(entry, macs) printf("  %-11s %.0f\n", entry->string, entry->valuedouble);
    print_sites(json);
    print_operators(json);
    printf("\nPasses (changes)\n");
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(json, "passes"))
        printf("  %-24s %6.0f  %s\n", tspk_cli_json_text(entry, "name", ""),
               tspk_cli_json_number(entry, "changes", 0), tspk_cli_json_text(entry, "what", ""));
}

static void print_spike(const cJSON *json, const char *path)
{
    const cJSON *memory = cJSON_GetObjectItemCaseSensitive(json, "memory");
    const cJSON *entry;
    char text[32];

    printf("%s: %.0f steps, %s coding, made by %s\n", path, tspk_cli_json_number(json, "steps", 0),
           tspk_cli_json_text(json, "coding", ""), tspk_cli_json_text(json, "tool", ""));
    printf("  %-11s %s\n", "source", tspk_cli_json_text(json, "source_sha256", ""));
    print_sites(json);
    printf("\nAnalog (every step, unless it says otherwise)\n");
    cJSON_ArrayForEach(entry, cJSON_GetObjectItemCaseSensitive(json, "analog"))
        printf("  %-17s %5.0f  %s\n", tspk_cli_json_text(entry, "op", ""),
               tspk_cli_json_number(entry, "count", 0), tspk_cli_json_text(entry, "why", ""));
    tspk_cli_print_modes(json);
    printf("\nMemory of a session (one image at a time, one thread)\n");
    cJSON_ArrayForEach(entry, memory) printf(
        "  %-16s %s\n", entry->string, tspk_cli_bytes_text(entry->valuedouble, text, sizeof text));
}

static tspk_status report(const tspk_cli_args *args, const char *text, bool is_spike,
                          tspk_error *err)
{
    cJSON *json = cJSON_Parse(text);

    if (!json)
        return tspk_cli_fail(err, TSPK_FORMAT, "the description is not JSON");
    if (tspk_cli_is_stdout(args->json)) {
        cJSON_Delete(json);
        return tspk_cli_write_json_text(args->json, text, err);
    }
    if (is_spike)
        print_spike(json, args->inputs[0]);
    else
        print_model(json, args->inputs[0]);
    cJSON_Delete(json);
    if (args->json)
        TSPK_CLI_TRY(tspk_cli_write_json_text(args->json, text, err));
    return tspk_cli_flush(err);
}

static tspk_status describe_spike(const char *path, char **text_out, tspk_error *err)
{
    tspk_spike *spike = NULL;
    tspk_status status = tspk_cli_name_file(err, tspk_spike_open(path, &spike, err), path);

    if (status == TSPK_OK)
        status = tspk_spike_describe(spike, text_out, err);
    tspk_spike_close(spike);
    return status;
}

static tspk_status describe_model(const char *path, char **text_out, tspk_error *err)
{
    tspk_model *model = NULL;
    tspk_status status = tspk_cli_name_file(err, tspk_model_open(path, NULL, &model, err), path);

    if (status == TSPK_OK)
        status = tspk_cli_name_file(err, tspk_model_check_convertible(model, err), path);
    if (status == TSPK_OK)
        status = tspk_model_describe(model, text_out, err);
    tspk_model_close(model);
    return status;
}

tspk_status tspk_cli_inspect(const tspk_cli_args *args, tspk_error *err)
{
    const char *path = args->inputs[0];
    char *text = NULL;
    bool is_spike;
    tspk_status status;

    TSPK_CLI_TRY(tspk_cli_is_spike(path, &is_spike, err));
    status = is_spike ? describe_spike(path, &text, err) : describe_model(path, &text, err);
    if (status == TSPK_OK)
        status = report(args, text, is_spike, err);
    tspk_text_free(text);
    return status;
}
