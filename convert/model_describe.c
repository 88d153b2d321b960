/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The structure of a model as JSON, schema "transpike.inspect/1":
 *   source_sha256, producer, opset, batch, is_batch_fixed, inputs and outputs (name, type, shape),
 *   blocks (one an Attention node: name, heads, width, tokens), macs (multiply-accumulates of one
 *   image), sites (neuron layers: name, kind, tokens, channels, fan_out), operators, passes.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cjson/cJSON.h>

#include "convert/lower.h"
#include "convert/model.h"
#include "core/fail.h"

/* cJSON takes NULL for what could not be allocated: each step says whether it worked. */
static bool add_text(cJSON *to, const char *key, const char *text)
{
    return cJSON_AddStringToObject(to, key, text) != NULL;
}

static bool add_number(cJSON *to, const char *key, double number)
{
    return cJSON_AddNumberToObject(to, key, number) != NULL;
}

/* A new object at the end of `list`; NULL when memory is short. */
static cJSON *append(cJSON *list)
{
    cJSON *const entry = cJSON_CreateObject();

    if (entry && !cJSON_AddItemToArray(list, entry)) {
        cJSON_Delete(entry);
        return NULL;
    }
    return entry;
}

static bool add_ports(cJSON *json, const char *key, const tspk_graph *graph,
                      const tspk_value_id *ids, uint32_t n)
{
    cJSON *const list = cJSON_AddArrayToObject(json, key);

    for (uint32_t i = 0; list && i < n; i++) {
        const tspk_value *const value = &graph->value[ids[i]];
        cJSON *const entry = append(list);
        cJSON *shape;

        if (!entry || !add_text(entry, "name", value->name) ||
            !add_text(entry, "type", tspk_dtype_name(value->dtype)) ||
            !(shape = cJSON_AddArrayToObject(entry, "shape")))
            return false;
        for (int k = 0; k < value->shape.rank; k++)
            if (!cJSON_AddItemToArray(shape, cJSON_CreateNumber((double)value->shape.dim[k])))
                return false;
    }
    return list != NULL;
}

static const tspk_shape *in_shape(const tspk_graph *graph, const tspk_node *node, uint32_t i)
{
    return &graph->value[node->in[i]].shape;
}

static bool add_blocks(cJSON *json, const tspk_graph *graph)
{
    cJSON *const list = cJSON_AddArrayToObject(json, "blocks");

    for (uint32_t i = 0; list && i < graph->n_nodes; i++) {
        const tspk_node *const node = &graph->node[i];
        cJSON *entry;

        if (node->op != TSPK_OP_ATTENTION)
            continue;
        entry = append(list);
        if (!entry || !add_text(entry, "name", node->name) ||
            !add_number(entry, "heads", node->attr.heads) ||
            !add_number(entry, "width", (double)tspk_shape_last(in_shape(graph, node, 0))) ||
            !add_number(entry, "tokens", (double)tspk_shape_rows(in_shape(graph, node, 1))) ||
            !add_number(entry, "queries", (double)tspk_shape_rows(in_shape(graph, node, 0))))
            return false;
    }
    return list != NULL;
}

static bool add_macs(cJSON *json, const tspk_ann_cost *cost)
{
    cJSON *const macs = cJSON_AddObjectToObject(json, "macs");

    return macs && add_number(macs, "stem", (double)cost->stem) &&
           add_number(macs, "linear", (double)cost->linear) &&
           add_number(macs, "product", (double)cost->product) &&
           add_number(macs, "head", (double)cost->head);
}

static bool add_site(cJSON *list, const tspk_spikegraph *spikes, uint32_t i)
{
    const tspk_site *const site = &spikes->site[i];
    cJSON *const entry = append(list);
    uint32_t fan_out = 0;

    for (uint32_t row = 0; row < site->rows; row++) {
        const uint32_t here = tspk_site_fan_out(spikes, i, row);

        fan_out = here > fan_out ? here : fan_out;
    }
    return entry && add_text(entry, "name", site->name) &&
           add_text(entry, "kind", tspk_site_kind_name(site->kind)) &&
           add_number(entry, "tokens", site->rows) &&
           add_number(entry, "channels", site->channels) && add_number(entry, "fan_out", fan_out);
}

static bool add_sites(cJSON *json, const tspk_spikegraph *spikes)
{
    cJSON *const list = cJSON_AddArrayToObject(json, "sites");

    for (uint32_t i = 0; list && i < spikes->n_sites; i++)
        if (!add_site(list, spikes, i))
            return false;
    return list != NULL;
}

static bool add_operators(cJSON *json, const tspk_graph *graph)
{
    cJSON *const list = cJSON_AddArrayToObject(json, "operators");
    uint32_t count[TSPK_OP_COUNT] = {0};

    for (uint32_t i = 0; i < graph->n_nodes; i++)
        count[graph->node[i].op]++;
    for (int op = 0; list && op < TSPK_OP_COUNT; op++) {
        cJSON *entry;

        if (count[op] == 0)
            continue;
        entry = append(list);
        if (!entry || !add_text(entry, "op", tspk_op_name((tspk_op)op)) ||
            !add_number(entry, "count", count[op]))
            return false;
    }
    return list != NULL;
}

static bool add_passes(cJSON *json, const tspk_pass_report *report)
{
    cJSON *const list = cJSON_AddArrayToObject(json, "passes");
    const tspk_pass *passes;
    size_t n;

    passes = tspk_passes(&n);
    for (size_t i = 0; list && i < n && i < TSPK_MAX_PASSES; i++) {
        cJSON *const entry = append(list);

        if (!entry || !add_text(entry, "name", passes[i].name) ||
            !add_text(entry, "what", passes[i].what) ||
            !add_number(entry, "changes", (double)report->changes[i]))
            return false;
    }
    return list != NULL;
}

/* spikes NULL: the network cannot be converted */
static bool fill(cJSON *json, const tspk_model *model, const tspk_spikegraph *spikes)
{
    const tspk_graph *const graph = model->graph;

    return add_text(json, "schema", "transpike.inspect/1") &&
           add_text(json, "source_sha256", graph->source_sha256) &&
           add_text(json, "producer", graph->producer) &&
           add_number(json, "opset", (double)graph->opset) &&
           add_number(json, "batch", (double)graph->batch) &&
           cJSON_AddBoolToObject(json, "is_batch_fixed", graph->is_batch_fixed) &&
           add_ports(json, "inputs", graph, graph->input, graph->n_inputs) &&
           add_ports(json, "outputs", graph, graph->output, graph->n_outputs) &&
           add_blocks(json, graph) && add_macs(json, &model->report.source_cost) &&
           (!spikes || add_sites(json, spikes)) && add_operators(json, graph) &&
           (model->is_raw || add_passes(json, &model->report));
}

tspk_status tspk_model_describe(const tspk_model *model, char **json_out, tspk_error *err)
{
    cJSON *const json = cJSON_CreateObject();
    tspk_spikegraph *spikes = NULL;
    tspk_graph *source = NULL;
    tspk_status status = TSPK_OK;
    char *text = NULL;

    if (!json)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to describe the model");
    if (!model->is_raw && tspk_check_convertible(model->graph, NULL) == TSPK_OK)
        status = tspk_lower_class_output(model->graph, &source, &spikes, err);
    if (status == TSPK_OK) {
        if (fill(json, model, spikes))
            text = cJSON_PrintUnformatted(json);
        if (text)
            *json_out = text;
        else
            status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to describe the model");
    }
    cJSON_Delete(json);
    tspk_spikegraph_free(spikes);
    tspk_graph_free(source);
    return tspk_in_stage(err, status, "describe");
}
