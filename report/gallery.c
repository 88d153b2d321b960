/* SPDX-License-Identifier: Apache-2.0 */
#include "report/gallery.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/exit_policy.h"
#include "core/fail.h"
#include "core/limits.h"
#include "core/logits.h"
#include "report/picture.h"
#include "runtime/spike/spike_explain.h"

#define MOST_MODES 8

/* An operating point as it was validated; the first is exact with all its steps. */
typedef struct mode_run {
    const char *name; /* borrowed from the result */
    tspk_session *session;
    uint32_t steps;
    bool is_drawn; /* it merges tokens */
} mode_run;

typedef struct gallery {
    const tspk_spike *spike;
    const tspk_dataset *data;
    tspk_spike_info info;
    mode_run run[MOST_MODES];
    uint32_t n_runs;
    float *image;         /* [channels, height, width] */
    float *logits;        /* [TSPK_MAX_STEPS, classes] */
    tspk_step_work *work; /* [TSPK_MAX_STEPS] */
} gallery;

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the pictures of a report");
}

static const cJSON *member(const cJSON *object, const char *name)
{
    return cJSON_GetObjectItemCaseSensitive(object, name);
}

static const char *text_of(const cJSON *object, const char *name, const char *fallback)
{
    const cJSON *const item = member(object, name);

    return cJSON_IsString(item) ? item->valuestring : fallback;
}

static double number_of(const cJSON *object, const char *name, double fallback)
{
    const cJSON *const item = member(object, name);

    return cJSON_IsNumber(item) ? item->valuedouble : fallback;
}

static tspk_policy policy_of(const char *name)
{
    for (tspk_exit_kind kind = TSPK_EXIT_NONE; kind <= TSPK_EXIT_NET; kind++)
        if (!strcmp(name, tspk_exit_kind_name(kind)))
            return (tspk_policy)(TSPK_POLICY_NONE + kind);
    return TSPK_POLICY_OF_MODE;
}

static tspk_status open_run(gallery *g, const char *name, const tspk_session_settings *settings,
                            tspk_error *err)
{
    mode_run *const run = &g->run[g->n_runs];

    run->name = name;
    TSPK_TRY(tspk_spike_mode_steps(g->spike, name, &run->steps, err));
    if (settings->steps)
        run->steps = settings->steps;
    run->is_drawn = !settings->is_merging_off && tspk_spike_merges_tokens(g->spike, name);
    TSPK_TRY(tspk_session_open(g->spike, settings, &run->session, err));
    g->n_runs++;
    return TSPK_OK;
}

/* The modes that the file has, not the parts of an ablation. */
static tspk_status open_runs(gallery *g, const cJSON *validate, int threads, tspk_error *err)
{
    const cJSON *const asked = member(validate, "settings");
    const cJSON *mode;
    tspk_session_settings settings;
    uint32_t steps;

    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.batch = 1;
    settings.steps = (uint32_t)number_of(asked, "steps", 0);
    TSPK_TRY(open_run(g, "exact", &settings, err));
    settings.steps = 0;
    settings.policy = policy_of(text_of(asked, "policy", ""));
    settings.exit = number_of(asked, "exit", -1);
    settings.is_merging_off = cJSON_IsFalse(member(asked, "merging"));
    settings.is_refining_off = cJSON_IsFalse(member(asked, "refining"));
    cJSON_ArrayForEach(mode, member(member(validate, "snn"), "adaptive"))
    {
        settings.mode = text_of(mode, "mode", "");
        if (g->n_runs < MOST_MODES &&
            tspk_spike_mode_steps(g->spike, settings.mode, &steps, NULL) == TSPK_OK)
            TSPK_TRY(open_run(g, settings.mode, &settings, err));
    }
    return TSPK_OK;
}

static tspk_status gallery_open(gallery *g, const cJSON *validate, int threads, tspk_error *err)
{
    tspk_spike_info_get(g->spike, &g->info);
    g->image = malloc((size_t)g->info.image_dim[0] * g->info.image_dim[1] * g->info.image_dim[2] *
                      sizeof *g->image);
    g->logits = malloc((size_t)TSPK_MAX_STEPS * g->info.classes * sizeof *g->logits);
    g->work = malloc(TSPK_MAX_STEPS * sizeof *g->work);
    if (!g->image || !g->logits || !g->work)
        return no_memory(err);
    return open_runs(g, validate, threads, err);
}

static void gallery_close(gallery *g)
{
    for (uint32_t i = 0; i < g->n_runs; i++)
        tspk_session_close(g->run[i].session);
    free(g->work);
    free(g->logits);
    free(g->image);
}

static bool add_answer(const gallery *g, uint32_t step, cJSON *json)
{
    const float *const logits = g->logits + (size_t)step * g->info.classes;
    const size_t top = tspk_find_largest(logits, g->info.classes);
    double sum = 0;

    for (uint32_t i = 0; i < g->info.classes; i++)
        sum += exp((double)logits[i] - (double)logits[top]);
    return cJSON_AddNumberToObject(json, "class", (double)top) &&
           cJSON_AddNumberToObject(json, "p", 1 / sum);
}

static tspk_status add_steps(gallery *g, cJSON *json, tspk_error *err)
{
    cJSON *const steps = cJSON_AddArrayToObject(json, "steps");

    TSPK_TRY(tspk_session_run(g->run[0].session, 1, g->image, g->logits, g->work, err));
    for (uint32_t t = 0; t < g->run[0].steps; t++) {
        cJSON *const step = cJSON_CreateObject();

        if (!step || !cJSON_AddItemToArray(steps, step) || !add_answer(g, t, step))
            return no_memory(err);
    }
    return TSPK_OK;
}

static tspk_status add_map(gallery *g, const mode_run *run, cJSON *json, tspk_error *err)
{
    tspk_image picture = {0};
    char *uri = NULL;
    tspk_status status = tspk_session_draw_tokens(run->session, g->image, &picture, err);

    if (status == TSPK_OK)
        status = tspk_picture_uri(&picture, &uri, err);
    if (status == TSPK_OK && !cJSON_AddStringToObject(json, "map", uri))
        status = no_memory(err);
    free(uri);
    tspk_image_done(&picture);
    return status;
}

static tspk_status add_mode(gallery *g, const mode_run *run, bool is_drawn, cJSON *modes,
                            tspk_error *err)
{
    const tspk_step_work *const last = &g->work[run->steps - 1];
    cJSON *const json = cJSON_CreateObject();

    TSPK_TRY(tspk_session_run(run->session, 1, g->image, g->logits, g->work, err));
    if (!json || !cJSON_AddItemToArray(modes, json) ||
        !cJSON_AddStringToObject(json, "mode", run->name) || !add_answer(g, run->steps - 1, json) ||
        !cJSON_AddNumberToObject(json, "steps", last->steps) ||
        !cJSON_AddNumberToObject(json, "tokens", last->tokens / last->steps) ||
        !cJSON_AddNumberToObject(json, "energy_synaptic", last->energy_synaptic))
        return no_memory(err);
    return is_drawn && run->is_drawn ? add_map(g, run, json, err) : TSPK_OK;
}

static tspk_status add_image(gallery *g, bool is_drawn, cJSON *json, tspk_error *err)
{
    const int64_t dim[3] = {g->info.image_dim[0], g->info.image_dim[1], g->info.image_dim[2]};
    const double sample = number_of(json, "sample", -1);
    cJSON *modes;
    char *uri = NULL;
    bool is_added;

    if (sample < 0 || sample >= (double)tspk_dataset_count(g->data))
        return TSPK_FAIL(err, TSPK_FORMAT, "the result names sample %g of %zu", sample,
                         tspk_dataset_count(g->data));
    TSPK_TRY(tspk_dataset_read(g->data, (size_t)sample, dim, g->image, NULL, err));
    TSPK_TRY(tspk_picture_of_tensor(g->image, &g->info, &uri, err));
    is_added = cJSON_AddStringToObject(json, "picture", uri) != NULL;
    free(uri);
    if (!is_added)
        return no_memory(err);
    TSPK_TRY(add_steps(g, json, err));
    modes = cJSON_AddArrayToObject(json, "modes");
    for (uint32_t i = 1; i < g->n_runs; i++)
        TSPK_TRY(add_mode(g, &g->run[i], is_drawn, modes, err));
    return TSPK_OK;
}

/* The first `most` entries of an array; the others are taken away. */
static tspk_status add_images(gallery *g, cJSON *array, size_t most, bool is_drawn, tspk_error *err)
{
    cJSON *image;

    while (cJSON_GetArraySize(array) > (int)most)
        cJSON_DeleteItemFromArray(array, cJSON_GetArraySize(array) - 1);
    cJSON_ArrayForEach(image, array) TSPK_TRY(add_image(g, is_drawn, image, err));
    return TSPK_OK;
}

tspk_status tspk_report_add_pictures(cJSON *validate, const tspk_spike *spike,
                                     const tspk_dataset *data, const tspk_report_settings *settings,
                                     tspk_error *err)
{
    gallery g = {.spike = spike, .data = data};
    cJSON *const examples = cJSON_GetObjectItemCaseSensitive(validate, "examples");
    cJSON *const worst = cJSON_GetObjectItemCaseSensitive(
        cJSON_GetObjectItemCaseSensitive(validate, "disagreements"), "worst");
    tspk_status status;

    if (!cJSON_IsArray(examples) || !cJSON_IsArray(worst))
        return TSPK_FAIL(err, TSPK_FORMAT, "the result has no \"examples\" and \"disagreements\"");
    status = gallery_open(&g, validate, settings->threads, err);
    if (status == TSPK_OK)
        status = add_images(&g, examples, settings->gallery_images, true, err);
    if (status == TSPK_OK)
        status = add_images(&g, worst, settings->worst_images, false, err);
    gallery_close(&g);
    return status;
}
