/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/modes.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/spike_handle.h"
#include "runtime/spike/spike_session.h"

static bool is_wanted(const char *only, const char *name)
{
    return !only || !strcmp(only, "all") || !strcmp(only, name);
}

static tspk_status open_mode(tspk_modes *modes, const tspk_spike *spike,
                             const tspk_session_settings *shared, tspk_mode_run what,
                             tspk_error *err)
{
    tspk_session_settings own = *shared;
    tspk_mode_run *const run = &modes->run[modes->n];

    if (modes->n == TSPK_MAX_MODES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %d modes", TSPK_MAX_MODES);
    *run = what;
    run->ms = -1;
    TSPK_TRY(tspk_spike_mode_steps(spike, run->name, &run->steps, err));
    own.mode = run->name;
    own.policy = run->policy;
    own.exit = run->exit;
    own.is_merging_off |= run->is_merging_off;
    own.is_refining_off |= run->is_refining_off;
    own.steps = 0;
    TSPK_TRY(tspk_session_open(spike, &own, &run->session, err));
    modes->n++;
    return TSPK_OK;
}

/* The policy on a score that is asked for, else the one that the point would take, else its first
 * one. */
static tspk_policy find_score(const tspk_point *point, const tspk_validate_settings *settings)
{
    if (settings->policy >= TSPK_POLICY_CONFIDENCE && settings->policy <= TSPK_POLICY_MARGIN)
        return settings->policy;
    if (point->exit_kind != TSPK_EXIT_NONE && point->exit_kind != TSPK_EXIT_NET)
        return (tspk_policy)(TSPK_POLICY_NONE + point->exit_kind);
    for (uint32_t i = 0; i < point->n_exits; i++)
        if (point->exit[i].kind != TSPK_EXIT_NET)
            return (tspk_policy)(TSPK_POLICY_NONE + point->exit[i].kind);
    return TSPK_POLICY_NONE;
}

static tspk_status open_ablation(tspk_modes *modes, const tspk_spike *spike,
                                 const tspk_validate_settings *settings,
                                 const tspk_session_settings *shared, tspk_error *err)
{
    const tspk_point *point;
    uint32_t index;
    tspk_policy score;
    tspk_mode_run run;

    TSPK_TRY(tspk_find_point(spike->graph, "balanced", &index, err));
    point = &spike->graph->point[index];
    score = find_score(point, settings);
    run = (tspk_mode_run){.name = point->name, .is_merging_off = true, .is_refining_off = true};
    if (score != TSPK_POLICY_NONE) {
        run.label = "exit";
        run.policy = score;
        run.exit = settings->exit;
        TSPK_TRY(open_mode(modes, spike, shared, run, err));
    }
    run.exit = -1;
    if (tspk_find_exit(point, TSPK_EXIT_NET)) {
        run.label = "net";
        run.policy = TSPK_POLICY_NET;
        TSPK_TRY(open_mode(modes, spike, shared, run, err));
    }
    run.policy = TSPK_POLICY_NONE;
    if (point->merging.n_attentions) {
        run.label = "merge";
        run.is_merging_off = false;
        TSPK_TRY(open_mode(modes, spike, shared, run, err));
    }
    if (point->refine_share > 0.0f) {
        run.label = "refine";
        run.is_merging_off = true;
        run.is_refining_off = false;
        TSPK_TRY(open_mode(modes, spike, shared, run, err));
    }
    if (!point->merging.n_attentions && !(point->refine_share > 0.0f))
        return TSPK_OK;
    run.label = "all";
    run.is_merging_off = run.is_refining_off = false;
    run.policy = settings->policy;
    run.exit = settings->exit;
    return open_mode(modes, spike, shared, run, err);
}

tspk_status tspk_modes_open(tspk_modes *modes, const tspk_spike *spike,
                            const tspk_validate_settings *settings,
                            const tspk_session_settings *session, size_t chunk, uint32_t classes,
                            tspk_error *err)
{
    const tspk_spikegraph *const graph = spike->graph;
    const char *const only = settings->mode;
    uint32_t most = 1, index;

    if (only && strcmp(only, "all"))
        TSPK_TRY(tspk_find_point(graph, only, &index, err));
    for (uint32_t i = settings->policy == TSPK_POLICY_OF_MODE; i < graph->n_points; i++)
        if (is_wanted(only, graph->point[i].name))
            TSPK_TRY(open_mode(modes, spike, session,
                               (tspk_mode_run){.label = graph->point[i].name,
                                               .name = graph->point[i].name,
                                               .policy = settings->policy,
                                               .exit = settings->exit},
                               err));
    if (settings->has_ablation)
        TSPK_TRY(open_ablation(modes, spike, settings, session, err));
    for (uint32_t m = 0; m < modes->n; m++)
        most = modes->run[m].steps > most ? modes->run[m].steps : most;
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
            run->histogram[modes->work[last].steps - 1]++;
            run->tally.tokens += modes->work[last].tokens;
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

    for (uint32_t t = 0; t < run->steps && is_whole; t++)
        is_whole = cJSON_AddItemToArray(histogram, cJSON_CreateNumber(run->histogram[t]));
    return is_whole;
}

static double mean_steps(const tspk_mode_run *run)
{
    double sum = 0;

    for (uint32_t t = 0; t < run->steps; t++)
        sum += (t + 1.0) * run->histogram[t];
    return sum / (double)run->tally.images;
}

/* The policy's name; "none": every image takes all steps. */
static const char *policy_name(const tspk_mode_run *run)
{
    const tspk_exit_policy *const policy = run->session->exit;

    return tspk_exit_kind_name(policy ? policy->kind : TSPK_EXIT_NONE);
}

/* Keys of every Attention, as a share of those before any tokens merged. */
static bool add_tokens(cJSON *json, const tspk_mode_run *run)
{
    const tspk_spikegraph *const spikes = run->session->plan.spikes;
    const tspk_graph *const graph = spikes->graph;
    const tspk_graph *const whole = spikes->whole ? spikes->whole->graph : graph;
    cJSON *const tokens = cJSON_AddArrayToObject(json, "tokens_per_layer");
    bool is_whole = tokens != NULL;

    for (uint32_t n = 0; n < graph->n_nodes && is_whole; n++) {
        const tspk_node *const node = &graph->node[n];

        if (node->op != TSPK_OP_ATTENTION)
            continue;
        /* values keep their ids when tokens merge */
        is_whole = cJSON_AddItemToArray(
            tokens, cJSON_CreateNumber((double)tspk_shape_rows(&graph->value[node->in[1]].shape) /
                                       (double)tspk_shape_rows(&whole->value[node->in[1]].shape)));
    }
    return is_whole;
}

static bool add_mode(cJSON *modes, const tspk_mode_run *run, bool is_labelled)
{
    const tspk_tally *tally = &run->tally;
    const double images = (double)tally->images;
    cJSON *json = cJSON_CreateObject();

    return json && cJSON_AddItemToArray(modes, json) &&
           cJSON_AddStringToObject(json, "mode", run->label) &&
           cJSON_AddStringToObject(json, "policy", policy_name(run)) &&
           add_share(json, "top1", is_labelled, (double)tally->top1 / images) &&
           add_share(json, "top5", is_labelled, (double)tally->top5 / images) &&
           cJSON_AddNumberToObject(json, "agreement", (double)tally->agreed / images) &&
           cJSON_AddNumberToObject(json, "kl", tally->kl / images) &&
           cJSON_AddNumberToObject(json, "mean_steps", mean_steps(run)) &&
           cJSON_AddNumberToObject(json, "mean_tokens", tally->tokens / images / mean_steps(run)) &&
           cJSON_AddNumberToObject(json, "energy_synaptic", tally->synaptic / images) &&
           cJSON_AddNumberToObject(json, "energy_full", tally->full / images) &&
           add_share(json, "ms_per_image", run->ms >= 0, run->ms) && add_histogram(json, run) &&
           add_tokens(json, run);
}

bool tspk_modes_json(const tspk_modes *modes, bool is_labelled, cJSON *snn)
{
    cJSON *array = cJSON_AddArrayToObject(snn, "adaptive");
    bool is_whole = array != NULL;

    for (uint32_t m = 0; m < modes->n && is_whole; m++)
        is_whole = add_mode(array, &modes->run[m], is_labelled);
    return is_whole;
}
