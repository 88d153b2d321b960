/* SPDX-License-Identifier: Apache-2.0 */
/* What a report tells, as one JSON object: report/page/report.js lays it out. */
#include "transpike/report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/sha256.h"
#include "core/spike_handle.h"
#include "data/file_bytes.h"
#include "report/document.h"
#include "report/gallery.h"
#include "transpike/transpike.h"

#define DEFAULT_IMAGES  12
#define MOST_FILE_BYTES ((size_t)1 << 33)

void tspk_report_default_settings(tspk_report_settings *settings)
{
    *settings =
        (tspk_report_settings){.gallery_images = DEFAULT_IMAGES, .worst_images = DEFAULT_IMAGES};
}

tspk_status tspk_report_check(tspk_error *err)
{
    return tspk_in_stage(err, tspk_report_document_check(err), "report");
}

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a report");
}

static tspk_status add_hash(const char *path, cJSON *json, tspk_error *err)
{
    uint8_t digest[TSPK_SHA256_BYTES], *bytes = NULL;
    char hex[2 * TSPK_SHA256_BYTES + 1];
    tspk_sha256 sha;
    size_t n = 0;

    TSPK_TRY(tspk_file_read(path, MOST_FILE_BYTES, &bytes, &n, err));
    tspk_sha256_begin(&sha);
    tspk_sha256_add(&sha, bytes, n);
    tspk_sha256_end(&sha, digest);
    free(bytes);
    for (size_t i = 0; i < sizeof digest; i++)
        snprintf(hex + 2 * i, 3, "%02x", digest[i]);
    return cJSON_AddStringToObject(json, "spike_sha256", hex) ? TSPK_OK : no_memory(err);
}

static tspk_status add_files(cJSON *json, const tspk_report_settings *settings, tspk_error *err)
{
    if ((settings->spike_path &&
         !cJSON_AddStringToObject(json, "spike_path", settings->spike_path)) ||
        (settings->source_path &&
         !cJSON_AddStringToObject(json, "source_path", settings->source_path)))
        return no_memory(err);
    return settings->spike_path ? add_hash(settings->spike_path, json, err) : TSPK_OK;
}

static bool add_commands(cJSON *json, const tspk_report_settings *settings)
{
    cJSON *const commands = cJSON_AddArrayToObject(json, "commands");

    for (size_t i = 0; commands && i < settings->n_commands; i++)
        if (!cJSON_AddItemToArray(commands, cJSON_CreateString(settings->commands[i])))
            return false;
    return commands != NULL;
}

/* Names of all classes, null where one has none. */
static bool add_class_names(cJSON *json, const tspk_spike *spike, const tspk_dataset *data)
{
    cJSON *const names = cJSON_AddArrayToObject(json, "class_names");
    tspk_spike_info info;

    tspk_spike_info_get(spike, &info);
    for (uint32_t i = 0; names && i < info.classes; i++) {
        const char *const own = tspk_spike_class_name(spike, i);
        const char *const name = own ? own : tspk_dataset_class_name(data, i);

        if (!cJSON_AddItemToArray(names, name ? cJSON_CreateString(name) : cJSON_CreateNull()))
            return false;
    }
    return names != NULL;
}

/* What `convert` wrote down about its settings. */
static bool add_conversion(cJSON *json, const tspk_spike *spike)
{
    const char *const settings = spike->graph->provenance.settings;
    cJSON *const parsed = settings ? cJSON_Parse(settings) : NULL;

    return cJSON_AddItemToObject(json, "conversion", parsed ? parsed : cJSON_CreateNull());
}

static tspk_status add_network(cJSON *json, const tspk_spike *spike, tspk_error *err)
{
    char *text = NULL;
    cJSON *network;

    TSPK_TRY(tspk_spike_describe(spike, &text, err));
    network = cJSON_Parse(text);
    tspk_text_free(text);
    return network && cJSON_AddItemToObject(json, "network", network) ? TSPK_OK : no_memory(err);
}

static tspk_status add_all(cJSON *json, const tspk_spike *spike, const tspk_dataset *data,
                           const char *validate_json, const tspk_report_settings *settings,
                           tspk_error *err)
{
    cJSON *const validate = cJSON_Parse(validate_json);
    const cJSON *schema;

    if (!validate || !cJSON_AddItemToObject(json, "validate", validate))
        return TSPK_FAIL(err, TSPK_FORMAT, "the result of the validation is not JSON");
    schema = cJSON_GetObjectItemCaseSensitive(validate, "schema");
    if (!cJSON_IsString(schema) || strcmp(schema->valuestring, "transpike.validate/1") != 0)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "the result of the validation has not the schema transpike.validate/1");
    TSPK_TRY(tspk_report_add_pictures(validate, spike, data, settings, err));
    TSPK_TRY(add_network(json, spike, err));
    TSPK_TRY(add_files(json, settings, err));
    return cJSON_AddStringToObject(json, "title",
                                   settings->title ? settings->title : "Transpike report") &&
                   cJSON_AddStringToObject(json, "version", tspk_version()) &&
                   add_commands(json, settings) && add_conversion(json, spike) &&
                   add_class_names(json, spike, data)
               ? TSPK_OK
               : no_memory(err);
}

tspk_status tspk_report_write(const char *path, const tspk_spike *spike, const tspk_dataset *data,
                              const char *validate_json, const tspk_report_settings *settings,
                              tspk_error *err)
{
    tspk_report_settings defaults;
    cJSON *const json = cJSON_CreateObject();
    char *text = NULL;
    tspk_status status = tspk_report_check(err);

    tspk_report_default_settings(&defaults);
    if (status == TSPK_OK)
        status =
            json ? add_all(json, spike, data, validate_json, settings ? settings : &defaults, err)
                 : no_memory(err);
    if (status == TSPK_OK)
        text = cJSON_PrintUnformatted(json);
    if (status == TSPK_OK)
        status = text ? tspk_report_document_write(path, text, err) : no_memory(err);
    free(text);
    cJSON_Delete(json);
    return tspk_in_stage(err, status, "report");
}
