/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/output.h"
#include "cli/refuse.h"

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

/* "a, b" of the strings of an array, or of the names whose value is true. */
static void print_names(const char *title, const cJSON *items)
{
    const cJSON *item;
    size_t n = 0;

    printf("  %-11s ", title);
    cJSON_ArrayForEach(item, items)
    {
        const char *name = cJSON_IsString(item) ? item->valuestring : item->string;

        if (!cJSON_IsFalse(item))
            printf("%s%s", n++ ? ", " : "", name);
    }
    printf("%s\n", n ? "" : "none");
}

static void print_build(const cJSON *json)
{
    const cJSON *build = member(json, "build");

    printf("transpike %s\n", tspk_cli_json_text(json, "version", ""));
    printf("  %-11s %s, %s, for %s\n", "build", tspk_cli_json_text(build, "compiler", ""),
           tspk_cli_json_text(build, "type", ""), tspk_cli_json_text(build, "machine", ""));
    printf("  %-11s OpenMP %s, vector kernels %s%s\n", "",
           cJSON_IsTrue(member(build, "openmp")) ? "on" : "off",
           cJSON_IsTrue(member(build, "simd")) ? "on" : "off",
           cJSON_IsTrue(member(build, "sanitizers")) ? ", sanitizers on" : "");
}

static void print_machine(const cJSON *json)
{
    const cJSON *cpu = member(json, "cpu"), *kernels = member(json, "kernels");
    const cJSON *threads = member(json, "threads"), *memory = member(json, "memory");
    const cJSON *variable;
    char total[32], available[32];

    printf("\nMachine\n  %-11s %s, %.0f online\n", "processor",
           tspk_cli_json_text(cpu, "name", "unknown"),
           tspk_cli_json_number(cpu, "cores_online", 0));
    print_names("has", member(cpu, "features"));
    printf("  %-11s %s\n", "kernels", tspk_cli_json_text(kernels, "chosen", ""));
    print_names("could use", member(kernels, "supported"));
    printf("  %-11s %.0f by default\n", "threads", tspk_cli_json_number(threads, "default", 0));
    cJSON_ArrayForEach(variable, member(threads, "environment")) if (cJSON_IsString(variable))
        printf("  %-11s %s=%s\n", "", variable->string, variable->valuestring);
    tspk_cli_bytes_text(tspk_cli_json_number(memory, "total", 0), total, sizeof total);
    tspk_cli_bytes_text(tspk_cli_json_number(memory, "available", 0), available, sizeof available);
    printf("  %-11s %s, %s free\n", "memory", total, available);
}

static void print_libraries(const cJSON *libraries)
{
    const cJSON *library;

    printf("\nLibraries\n");
    cJSON_ArrayForEach(library, libraries)
    {
        if (cJSON_IsObject(library))
            printf("  %-11s %s, core %s\n", library->string,
                   tspk_cli_json_text(library, "config", ""),
                   tspk_cli_json_text(library, "core", ""));
        else
            printf("  %-11s %s\n", library->string, library->valuestring);
    }
}

static void print_all(const cJSON *json)
{
    const cJSON *advice = member(json, "advice"), *line;

    print_build(json);
    print_machine(json);
    print_libraries(member(json, "libraries"));
    printf("\nAdvice%s\n", cJSON_GetArraySize(advice) ? "" : "\n  none");
    cJSON_ArrayForEach(line, advice) printf("  %s\n", line->valuestring);
}

tspk_status tspk_cli_doctor(const tspk_cli_args *args, tspk_error *err)
{
    tspk_status status = TSPK_OK;
    char *text = NULL;
    cJSON *json;

    TSPK_CLI_TRY(tspk_system_describe(&text, err));
    json = cJSON_Parse(text);
    if (!json)
        status = tspk_cli_fail(err, TSPK_NOMEM, "no memory for the description of the system");
    else if (!tspk_cli_is_stdout(args->json))
        print_all(json);
    if (status == TSPK_OK && args->json)
        status = tspk_cli_write_json_text(args->json, text, err);
    cJSON_Delete(json);
    tspk_text_free(text);
    return status == TSPK_OK ? tspk_cli_flush(err) : status;
}
