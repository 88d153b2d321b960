/* SPDX-License-Identifier: Apache-2.0 */
/* A source network as the JSON text of `inspect`. */
#include <cjson/cJSON.h>
#include <stdlib.h>
#include <string.h>

#include "convert/lower.h"
#include "convert/model.h"
#include "convert/passes.h"
#include "core/fail.h"

static bool add_port(cJSON *ports, const tspk_value *value)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *shape;

    if (!json || !cJSON_AddItemToArray(ports, json) ||
        !cJSON_AddStringToObject(json, "name", value->name) ||
        !cJSON_AddStringToObject(json, "dtype", tspk_dtype_name(value->dtype)) ||
        !(shape = cJSON_AddArrayToObject(json, "shape")))
        return false;
    for (int i = 0; i < value->shape.rank; i++)
        if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)value->shape.dim[i])))
            return false;
    return true;
}

static bool add_ports(cJSON *json, const char *name, const tspk_graph *graph,
                      const tspk_value_id *id, uint32_t n)
{
    cJSON *ports = cJSON_AddArrayToObject(json, name);

    for (uint32_t i = 0; ports && i < n; i++)
        if (!add_port(ports, &graph->value[id[i]]))
            return false;
    return ports != NULL;
}

static bool add_blocks(cJSON *json, const tspk_graph *graph)
{
    cJSON *blocks = cJSON_AddArrayToObject(json, "blocks");

    for (uint32_t i = 0; blocks && i < graph->n_nodes; i++) {
        const tspk_node *node = &graph->node[i];
        const tspk_shape *keys;
        cJSON *block;

        if (node->is_dead || node->op != TSPK_OP_ATTENTION)
            continue;
        keys = &graph->value[node->in[1]].shape;
        block = cJSON_CreateObject();
        if (!block || !cJSON_AddItemToArray(blocks, block) ||
            !cJSON_AddStringToObject(block, "name", node->name) ||
            !cJSON_AddNumberToObject(block, "heads", node->attr.heads) ||
            !cJSON_AddNumberToObject(block, "width", (double)tspk_shape_last(keys)) ||
            !cJSON_AddNumberToObject(block, "tokens", (double)tspk_shape_rows(keys)))
            return false;
    }
    return blocks != NULL;
}

static bool add_operators(cJSON *json, const tspk_graph *graph)
{
    cJSON *operators = cJSON_AddArrayToObject(json, "operators");
    size_t count[TSPK_OP_COUNT] = {0};

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (!graph->node[i].is_dead)
            count[graph->node[i].op]++;
    for (int op = 0; operators && op < TSPK_OP_COUNT; op++) {
        cJSON *entry;

        if (count[op] == 0)
            continue;
        entry = cJSON_CreateObject();
        if (!entry || !cJSON_AddItemToArray(operators, entry) ||
            !cJSON_AddStringToObject(entry, "op", tspk_op_name((tspk_op)op)) ||
            !cJSON_AddNumberToObject(entry, "count", (double)count[op]))
            return false;
    }
    return operators != NULL;
}

static bool add_passes(cJSON *json, const tspk_pass_report *report)
{
    cJSON *passes = cJSON_AddArrayToObject(json, "passes");
    const tspk_pass *pass;
    size_t n = 0;

    pass = tspk_passes(&n);
    for (size_t i = 0; passes && i < n; i++) {
        cJSON *entry = cJSON_CreateObject();

        if (!entry || !cJSON_AddItemToArray(passes, entry) ||
            !cJSON_AddStringToObject(entry, "name", pass[i].name) ||
            !cJSON_AddNumberToObject(entry, "changes", (double)report->changes[i]) ||
            !cJSON_AddStringToObject(entry, "what", pass[i].what))
            return false;
    }
    return passes != NULL;
}

static bool add_costs(cJSON *json, const tspk_ann_cost *cost)
{
    cJSON *macs = cJSON_AddObjectToObject(json, "macs");

    return macs && cJSON_AddNumberToObject(macs, "linear", (double)cost->linear) &&
           cJSON_AddNumberToObject(macs, "product", (double)cost->product) &&
           cJSON_AddNumberToObject(macs, "stem", (double)cost->stem) &&
           cJSON_AddNumberToObject(macs, "head", (double)cost->head);
}

static bool add_site(cJSON *sites, const tspk_spikegraph *spikes, uint32_t i)
{
    const tspk_site *site = &spikes->site[i];
    cJSON *json = cJSON_CreateObject();
    uint32_t fan_out = 0;

    for (uint32_t row = 0; row < site->rows; row++) {
        const uint32_t here = tspk_site_fan_out(spikes, i, row);

        fan_out = here > fan_out ? here : fan_out;
    }
    return json && cJSON_AddItemToArray(sites, json) &&
           cJSON_AddStringToObject(json, "name", site->name) &&
           cJSON_AddStringToObject(json, "kind", tspk_site_kind_name(site->kind)) &&
           cJSON_AddNumberToObject(json, "tokens", site->rows) &&
           cJSON_AddNumberToObject(json, "channels", site->channels) &&
           cJSON_AddNumberToObject(json, "fan_out", fan_out);
}

/* The sites that a conversion would make; none of a network that cannot be converted. */
static tspk_status add_sites(cJSON *json, const tspk_graph *graph, tspk_error *err)
{
    cJSON *sites = cJSON_AddArrayToObject(json, "sites");
    tspk_arena *arena = tspk_arena_new(0);
    tspk_spikegraph *spikes = NULL;
    tspk_structure structure;
    tspk_status status = TSPK_OK;

    if (!sites || !arena)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    if (status == TSPK_OK)
        status = tspk_find_structure(graph, arena, &structure, err);
    if (status == TSPK_OK)
        status = tspk_lower(graph, &structure, &spikes, err);
    for (uint32_t i = 0; status == TSPK_OK && i < spikes->n_sites; i++)
        if (!add_site(sites, spikes, i))
            status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    tspk_spikegraph_free(spikes);
    tspk_arena_free(arena);
    return status;
}

static bool add_head(cJSON *json, const tspk_graph *graph, bool is_convertible)
{
    return cJSON_AddStringToObject(json, "schema", "transpike.inspect/1") &&
           cJSON_AddBoolToObject(json, "is_convertible", is_convertible) &&
           cJSON_AddStringToObject(json, "producer", graph->producer ? graph->producer : "") &&
           cJSON_AddNumberToObject(json, "opset", (double)graph->opset) &&
           cJSON_AddStringToObject(json, "source_sha256", graph->source_sha256) &&
           cJSON_AddNumberToObject(json, "batch", (double)graph->batch) &&
           cJSON_AddBoolToObject(json, "is_batch_fixed", graph->is_batch_fixed) &&
           add_ports(json, "inputs", graph, graph->input, graph->n_inputs) &&
           add_ports(json, "outputs", graph, graph->output, graph->n_outputs);
}

tspk_status tspk_model_describe(const tspk_model *model, char **json_out, tspk_error *err)
{
    const tspk_graph *graph = model->graph;
    const bool is_convertible = tspk_model_check_convertible(model, NULL) == TSPK_OK;
    cJSON *json = cJSON_CreateObject();
    char *text = NULL;
    tspk_status status = TSPK_OK;

    if (!json || !add_head(json, graph, is_convertible) || !add_blocks(json, graph) ||
        !add_costs(json, &model->report.source_cost) || !add_operators(json, graph) ||
        !add_passes(json, &model->report))
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    if (status == TSPK_OK && is_convertible)
        status = add_sites(json, graph, err);
    if (status == TSPK_OK && !(text = cJSON_Print(json)))
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for the description");
    cJSON_Delete(json);
    if (status == TSPK_OK)
        *json_out = text;
    return status;
}
