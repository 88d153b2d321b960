/* SPDX-License-Identifier: Apache-2.0 */
/* A spike graph as the JSON text of `inspect`. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/spike_handle.h"

/* Operators of which every evaluation at every step is an expectation-compensated current. */
static bool is_compensated(tspk_op op)
{
    switch (op) {
    case TSPK_OP_LAYER_NORM:
    case TSPK_OP_RMS_NORM:
    case TSPK_OP_GELU:
    case TSPK_OP_SILU:
    case TSPK_OP_RELU:
    case TSPK_OP_SIGMOID:
    case TSPK_OP_TANH:
    case TSPK_OP_SOFTMAX:
    case TSPK_OP_HARD_SWISH:
        return true;
    default:
        return false;
    }
}

/* The token class of most of a site's rows; the lower one of equals. */
static uint32_t find_main_class(const tspk_site *site)
{
    uint32_t count[TSPK_MAX_TOKEN_CLASSES] = {0};
    uint32_t best = 0;

    for (uint32_t row = 0; row < site->rows; row++)
        count[site->row_class[row]]++;
    for (uint32_t c = 1; c < TSPK_MAX_TOKEN_CLASSES; c++)
        if (count[c] > count[best])
            best = c;
    return best;
}

static bool add_levels(cJSON *json, const tspk_spikegraph *spikes, uint32_t site)
{
    const tspk_point *point = &spikes->point[0];
    const uint32_t class = find_main_class(&spikes->site[site]);
    cJSON *levels = cJSON_AddArrayToObject(json, "levels");
    cJSON *ladders = cJSON_AddArrayToObject(json, "ladder");

    for (uint32_t t = 0; levels && ladders && t < point->n_steps; t++) {
        const tspk_ladder *ladder = &point->site[site].step[t].ladder[class];

        if (!cJSON_AddItemToArray(levels, cJSON_CreateNumber((ladder->n_values + 1) / 2)) ||
            !cJSON_AddItemToArray(ladders, cJSON_CreateString(tspk_ladder_kind_name(ladder->kind))))
            return false;
    }
    return levels && ladders;
}

static bool add_site(cJSON *sites, const tspk_spikegraph *spikes, uint32_t i)
{
    const tspk_site *site = &spikes->site[i];
    cJSON *json = cJSON_CreateObject();
    uint32_t fan_out = 0, bits = 0;

    for (uint32_t row = 0; row < site->rows; row++) {
        const uint32_t here = tspk_site_fan_out(spikes, i, row);

        fan_out = here > fan_out ? here : fan_out;
    }
    for (uint32_t k = 0; k < spikes->n_linears; k++)
        if (spikes->linear[k].site == i && spikes->linear[k].weight_bits > bits)
            bits = spikes->linear[k].weight_bits;
    return json && cJSON_AddItemToArray(sites, json) &&
           cJSON_AddStringToObject(json, "name", site->name) &&
           cJSON_AddStringToObject(json, "kind", tspk_site_kind_name(site->kind)) &&
           cJSON_AddNumberToObject(json, "tokens", site->rows) &&
           cJSON_AddNumberToObject(json, "channels", site->channels) &&
           (site->kind != TSPK_SITE_NUMERATOR ||
            cJSON_AddNumberToObject(json, "keys", site->keys)) &&
           cJSON_AddNumberToObject(json, "fan_out", fan_out) && add_levels(json, spikes, i) &&
           (bits ? cJSON_AddNumberToObject(json, "weight_bits", bits)
                 : cJSON_AddNullToObject(json, "weight_bits")) &&
           cJSON_AddBoolToObject(json, "is_head", site->is_head) &&
           cJSON_AddTrueToObject(json, "spiking");
}

static bool add_analog_site(cJSON *sites, const tspk_spikegraph *spikes, uint32_t i)
{
    const tspk_analog_site *site = &spikes->analog_site[i];
    cJSON *json = cJSON_CreateObject();

    return json && cJSON_AddItemToArray(sites, json) &&
           cJSON_AddStringToObject(json, "name", site->name) &&
           cJSON_AddStringToObject(json, "kind", tspk_site_kind_name(site->kind)) &&
           cJSON_AddNumberToObject(json, "tokens", site->rows) &&
           cJSON_AddNumberToObject(json, "channels", site->channels) &&
           (site->kind != TSPK_SITE_NUMERATOR ||
            cJSON_AddNumberToObject(json, "keys", site->keys)) &&
           cJSON_AddNumberToObject(json, "fan_out", tspk_analog_site_fan_out(spikes, site)) &&
           cJSON_AddArrayToObject(json, "levels") && cJSON_AddArrayToObject(json, "ladder") &&
           cJSON_AddNullToObject(json, "weight_bits") && cJSON_AddFalseToObject(json, "spiking");
}

/* The first node that a site, or else an analog site, stands at. */
static tspk_node_id first_node(const tspk_spikegraph *spikes, uint32_t site, uint32_t analog)
{
    tspk_node_id n = 0;

    if (site == UINT32_MAX) {
        while (n < spikes->graph->n_nodes &&
               tspk_find_analog_site(spikes, n) != &spikes->analog_site[analog] &&
               spikes->analog_site[analog].node != n)
            n++;
        return n;
    }
    if (spikes->site[site].kind != TSPK_SITE_LINEAR)
        return spikes->site[site].node;
    n = spikes->graph->n_nodes;
    for (uint32_t k = 0; k < spikes->n_linears; k++)
        if (spikes->linear[k].site == site && spikes->linear[k].node < n)
            n = spikes->linear[k].node;
    return n;
}

/* Spiking and analog ones, in order of evaluation. */
static bool add_sites(cJSON *sites, const tspk_spikegraph *spikes)
{
    uint32_t site = 0, analog = 0;

    while (site < spikes->n_sites || analog < spikes->n_analog_sites) {
        const bool is_analog =
            analog < spikes->n_analog_sites &&
            (site == spikes->n_sites ||
             first_node(spikes, UINT32_MAX, analog) < first_node(spikes, site, UINT32_MAX));

        if (!(is_analog ? add_analog_site(sites, spikes, analog++)
                        : add_site(sites, spikes, site++)))
            return false;
    }
    return true;
}

static bool add_analog_entry(cJSON *analog, const char *op, size_t count, const char *why)
{
    cJSON *json = cJSON_CreateObject();

    return json && cJSON_AddItemToArray(analog, json) && cJSON_AddStringToObject(json, "op", op) &&
           cJSON_AddNumberToObject(json, "count", (double)count) &&
           cJSON_AddStringToObject(json, "why", why);
}

/* is_moving[v]: value v depends on a site and is computed anew at every step. */
static void find_moving(const tspk_spikegraph *spikes, bool *is_spiking, bool *is_moving)
{
    const tspk_graph *graph = spikes->graph;

    for (uint32_t k = 0; k < spikes->n_linears; k++)
        is_spiking[spikes->linear[k].node] = true;
    for (uint32_t k = 0; k < spikes->n_attentions; k++)
        is_spiking[spikes->attention[k].node] = true;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *node = &graph->node[i];
        bool is_fed = is_spiking[i];

        for (uint32_t k = 0; k < node->n_in; k++)
            is_fed = is_fed || (node->in[k] != TSPK_ID_NONE && is_moving[node->in[k]]);
        for (uint32_t k = 0; k < node->n_out; k++)
            is_moving[node->out[k]] = is_fed;
    }
}

static bool has_offset(const tspk_spikegraph *spikes, uint32_t site)
{
    const tspk_point *point = &spikes->point[0];
    bool is_any = false;

    for (uint32_t t = 0; t < point->n_steps; t++)
        is_any = is_any || point->site[site].step[t].offset;
    return is_any;
}

/* Attentions whose products a prior enters as an analog number. A key's is constant along a row of
 * the softmax and drops out, but for its differences between token classes. */
static size_t count_priors(const tspk_spikegraph *spikes)
{
    size_t n = 0;

    for (uint32_t i = 0; i < spikes->n_attentions; i++) {
        const tspk_spike_attention *attention = &spikes->attention[i];

        n += has_offset(spikes, attention->query) || has_offset(spikes, attention->value) ||
             (spikes->n_classes > 1 && has_offset(spikes, attention->key));
    }
    return n;
}

static bool add_analog(cJSON *analog, const tspk_spikegraph *spikes, bool *is_spiking,
                       bool *is_moving)
{
    const tspk_graph *graph = spikes->graph;
    size_t every_step[TSPK_OP_COUNT] = {0}, once[TSPK_OP_COUNT] = {0};
    size_t kept[TSPK_OP_COUNT] = {0};
    const size_t n_priors = count_priors(spikes);

    find_moving(spikes, is_spiking, is_moving);
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *node = &graph->node[i];

        if (node->is_dead || is_spiking[i] || tspk_op_is_movement(node->op) || node->n_out == 0)
            continue;
        if (tspk_find_analog_site(spikes, i))
            kept[node->op]++;
        else if (is_moving[node->out[0]])
            every_step[node->op]++;
        else
            once[node->op]++;
    }
    for (int op = 0; op < TSPK_OP_COUNT; op++) {
        const char *name = tspk_op_name((tspk_op)op);
        const char *why = is_compensated((tspk_op)op) ? "expectation compensation"
                          : op == TSPK_OP_ADD         ? "residual stream and biases"
                          : op == TSPK_OP_LINEAR || op == TSPK_OP_CONV
                              ? "weights without a site before them"
                              : "elementwise, on decoded values";

        if (kept[op] && !add_analog_entry(analog, name, kept[op], "kept from spiking"))
            return false;
        if (every_step[op] && !add_analog_entry(analog, name, every_step[op], why))
            return false;
        if (once[op] && !add_analog_entry(analog, name, once[op], "direct coding: once an image"))
            return false;
    }
    if (n_priors &&
        !add_analog_entry(analog, "prior at products", n_priors, "b_q.k, q.b_k and P.b_v"))
        return false;
    return spikes->n_attentions == 0 ||
           add_analog_entry(analog, "Softmax", spikes->n_attentions, "expectation compensation");
}

static uint32_t count_merges(const tspk_merging *merging)
{
    uint32_t pairs = 0;

    for (uint32_t i = 0; i < merging->n_attentions; i++)
        pairs += merging->n_pairs[i];
    return pairs;
}

static bool add_modes(cJSON *modes, const tspk_spikegraph *spikes)
{
    for (uint32_t i = 0; i < spikes->n_points; i++) {
        const uint32_t merges = count_merges(&spikes->point[i].merging);
        cJSON *json = cJSON_CreateObject();

        if (!json || !cJSON_AddItemToArray(modes, json) ||
            !cJSON_AddStringToObject(json, "mode", spikes->point[i].name) ||
            !cJSON_AddNumberToObject(json, "steps", spikes->point[i].n_steps) ||
            !cJSON_AddNumberToObject(json, "levels", spikes->point[i].n_levels) ||
            !cJSON_AddStringToObject(json, "policy",
                                     tspk_exit_kind_name(spikes->point[i].exit_kind)) ||
            !cJSON_AddNumberToObject(json, "merged_pairs", merges) ||
            !cJSON_AddNumberToObject(json, "refine_share", (double)spikes->point[i].refine_share))
            return false;
    }
    return true;
}

/* Of a session for one image at a time on one thread. */
static tspk_status add_memory(cJSON *json, const tspk_spike *spike, tspk_error *err)
{
    tspk_session_settings settings;
    tspk_session_memory memory;
    tspk_session *session = NULL;

    tspk_session_default_settings(&settings);
    settings.threads = 1;
    settings.batch = 1;
    TSPK_TRY(tspk_session_open(spike, &settings, &session, err));
    tspk_session_memory_get(session, &memory);
    tspk_session_close(session);
    if (!cJSON_AddNumberToObject(json, "weights", (double)memory.weights) ||
        !cJSON_AddNumberToObject(json, "state", (double)memory.state) ||
        !cJSON_AddNumberToObject(json, "arena", (double)memory.arena))
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    return TSPK_OK;
}

static bool add_all(cJSON *json, const tspk_spikegraph *spikes, bool *is_spiking, bool *is_moving)
{
    const tspk_point *point = &spikes->point[0];
    const bool is_rate = point->coding == TSPK_CODING_RATE;
    const char *tool = spikes->provenance.tool;
    cJSON *sites, *analog, *modes;

    if (!cJSON_AddStringToObject(json, "schema", "transpike.inspect/1") ||
        !cJSON_AddNumberToObject(json, "steps", point->n_steps) ||
        !cJSON_AddStringToObject(json, "coding", is_rate ? "rate" : "differential") ||
        !cJSON_AddStringToObject(json, "tool", tool ? tool : "") ||
        !cJSON_AddStringToObject(json, "source_sha256", spikes->graph->source_sha256) ||
        !(sites = cJSON_AddArrayToObject(json, "sites")))
        return false;
    if (!add_sites(sites, spikes))
        return false;
    return (analog = cJSON_AddArrayToObject(json, "analog")) &&
           add_analog(analog, spikes, is_spiking, is_moving) &&
           (modes = cJSON_AddArrayToObject(json, "modes")) && add_modes(modes, spikes);
}

tspk_status tspk_spike_describe(const tspk_spike *spike, char **json_out, tspk_error *err)
{
    const tspk_spikegraph *spikes = spike->graph;
    bool *is_spiking = calloc(spikes->graph->n_nodes + 1, sizeof *is_spiking);
    bool *is_moving = calloc(spikes->graph->n_values + 1, sizeof *is_moving);
    cJSON *json = cJSON_CreateObject();
    cJSON *memory = NULL;
    char *text = NULL;
    tspk_status status = TSPK_OK;

    if (!is_spiking || !is_moving || !json || !add_all(json, spikes, is_spiking, is_moving) ||
        !(memory = cJSON_AddObjectToObject(json, "memory")))
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    if (status == TSPK_OK)
        status = add_memory(memory, spike, err);
    if (status == TSPK_OK && !(text = cJSON_Print(json)))
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    cJSON_Delete(json);
    free(is_moving);
    free(is_spiking);
    if (status == TSPK_OK)
        *json_out = text;
    return status;
}
