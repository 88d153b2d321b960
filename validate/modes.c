/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/modes.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/spike_handle.h"

static bool is_wanted(const char *only, const char *name)
{
    return !only || !strcmp(only, "all") || !strcmp(only, name);
}

static tspk_status open_mode(tspk_modes *modes, const tspk_spike *spike, const char *name,
                             const tspk_session_settings *settings, tspk_error *err)
{
    tspk_session_settings own = *settings;
    tspk_mode_run *run = &modes->run[modes->n];

    if (modes->n == TSPK_MAX_MODES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %d modes", TSPK_MAX_MODES);
    *run = (tspk_mode_run){.name = name, .ms = -1};
    TSPK_TRY(tspk_spike_mode_steps(spike, name, &run->steps, err));
    own.mode = name;
    own.steps = 0;
    TSPK_TRY(tspk_session_open(spike, &own, &run->session, err));
    modes->n++;
    return TSPK_OK;
}

tspk_status tspk_modes_open(tspk_modes *modes, const tspk_spike *spike, const char *only,
                            const tspk_session_settings *settings, size_t chunk, uint32_t classes,
                            tspk_error *err)
{
    const tspk_spikegraph *graph = spike->graph;
    uint32_t most = 1, index;

    if (only && strcmp(only, "all"))
        TSPK_TRY(tspk_find_point(graph, only, &index, err));
    for (uint32_t i = 1; i < graph->n_points; i++) {
        if (is_wanted(only, graph->point[i].name))
            TSPK_TRY(open_mode(modes, spike, graph->point[i].name, settings, err));
        most = graph->point[i].n_steps > most ? graph->point[i].n_steps : most;
    }
    modes->logits = malloc(chunk * most * classes * sizeof *modes->logits);
    modes->work = malloc(chunk * most * sizeof *modes->work);
    return modes->logits && modes->work
               ? TSPK_OK
               : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", chunk);
}

void tspk_modes_close(tspk_modes *modes)
{
    for (uint32_t i = 0; i < modes->n; i++)
        tspk_session_close(modes->run[i].session);
    free(modes->logits);
    free(modes->work);
    *modes = (tspk_modes){0};
}

tspk_status tspk_modes_add(tspk_modes *modes, size_t n, const float *images, const float *source,
                           const int64_t *labels, uint32_t classes, tspk_error *err)
{
    for (uint32_t m = 0; m < modes->n; m++) {
        tspk_mode_run *run = &modes->run[m];

        TSPK_TRY(tspk_session_run(run->session, n, images, modes->logits, modes->work, err));
        for (size_t i = 0; i < n; i++) {
            const size_t last = i * run->steps + run->steps - 1;
            const float *logits = modes->logits + last * classes;

            tspk_tally_label(&run->tally, logits, classes, labels[i]);
            tspk_tally_compare(&run->tally, source + i * classes, logits, classes);
            run->tally.synaptic += modes->work[last].energy_synaptic;
            run->tally.full += modes->work[last].energy_full;
        }
    }
    return TSPK_OK;
}

static bool add_share(cJSON *json, const char *name, bool is_known, double value)
{
    return is_known ? cJSON_AddNumberToObject(json, name, value) != NULL
                    : cJSON_AddNullToObject(json, name) != NULL;
}

static bool add_histogram(cJSON *json, const tspk_mode_run *run)
{
    cJSON *histogram = cJSON_AddArrayToObject(json, "steps_histogram");
    bool is_whole = histogram != NULL;

    for (uint32_t t = 1; t <= run->steps && is_whole; t++)
        is_whole = cJSON_AddItemToArray(
            histogram, cJSON_CreateNumber(t == run->steps ? (double)run->tally.images : 0));
    return is_whole;
}

static bool add_mode(cJSON *modes, const tspk_mode_run *run, bool is_labelled)
{
    const tspk_tally *tally = &run->tally;
    const double images = (double)tally->images;
    cJSON *json = cJSON_CreateObject();

    return json && cJSON_AddItemToArray(modes, json) &&
           cJSON_AddStringToObject(json, "mode", run->name) &&
           add_share(json, "top1", is_labelled, (double)tally->top1 / images) &&
           add_share(json, "top5", is_labelled, (double)tally->top5 / images) &&
           cJSON_AddNumberToObject(json, "agreement", (double)tally->agreed / images) &&
           cJSON_AddNumberToObject(json, "kl", tally->kl / images) &&
           cJSON_AddNumberToObject(json, "mean_steps", run->steps) &&
           cJSON_AddNumberToObject(json, "mean_tokens", 1) &&
           cJSON_AddNumberToObject(json, "energy_synaptic", tally->synaptic / images) &&
           cJSON_AddNumberToObject(json, "energy_full", tally->full / images) &&
           add_share(json, "ms_per_image", run->ms >= 0, run->ms) && add_histogram(json, run) &&
           cJSON_AddArrayToObject(json, "tokens_per_layer");
}

bool tspk_modes_json(const tspk_modes *modes, bool is_labelled, cJSON *snn)
{
    cJSON *array = cJSON_AddArrayToObject(snn, "adaptive");
    bool is_whole = array != NULL;

    for (uint32_t m = 0; m < modes->n && is_whole; m++)
        is_whole = add_mode(array, &modes->run[m], is_labelled);
    return is_whole;
}
