/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/lower.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/site_names.h"
#include "core/fail.h"

#define GROUP_SIZE 64u

typedef struct lowering {
    const tspk_graph *from;
    const tspk_structure *structure;
    const bool *is_analog; /* [from->n_nodes] Linears and Attentions kept in float; NULL: none */
    tspk_value_id *map;    /* [from->n_values] id in the copy, TSPK_ID_NONE */
    tspk_graph *to;
    tspk_spikegraph *spikes;
} lowering;

/* Stands a site before this Linear? */
static bool has_site(const lowering *l, tspk_node_id id)
{
    return l->from->node[id].op == TSPK_OP_LINEAR && !l->structure->is_stem[id];
}

static bool is_kept_analog(const lowering *l, tspk_node_id id)
{
    return l->is_analog && l->is_analog[id];
}

static bool is_spike_driven(const lowering *l, tspk_node_id id)
{
    return has_site(l, id) && !is_kept_analog(l, id);
}

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the spike graph");
}

static tspk_status copy_value(lowering *l, tspk_value_id id, tspk_value_id *id_out, tspk_error *err)
{
    const tspk_value *value = &l->from->value[id];
    tspk_tensor tensor = tspk_value_tensor(value);

    if (l->map[id] == TSPK_ID_NONE) {
        if (value->data) {
            tensor.data =
                tspk_arena_copy(l->to->arena, value->data,
                                tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype));
            if (!tensor.data)
                return no_memory(err);
            TSPK_TRY(tspk_graph_add_constant(l->to, value->name, &tensor, &l->map[id], err));
        } else {
            TSPK_TRY(tspk_graph_add_value(l->to, value->name, value->dtype, &value->shape,
                                          &l->map[id], err));
        }
    }
    *id_out = l->map[id];
    return TSPK_OK;
}

static tspk_status copy_ids(lowering *l, const tspk_value_id *from, uint32_t n, tspk_value_id *to,
                            tspk_error *err)
{
    for (uint32_t i = 0; i < n; i++) {
        to[i] = TSPK_ID_NONE;
        if (from[i] != TSPK_ID_NONE)
            TSPK_TRY(copy_value(l, from[i], &to[i], err));
    }
    return TSPK_OK;
}

static tspk_status copy_node(lowering *l, tspk_node_id id, tspk_error *err)
{
    const tspk_node *node = &l->from->node[id];
    const uint32_t n_in = is_spike_driven(l, id) ? 1 : node->n_in;
    tspk_value_id in[TSPK_MAX_NODE_INPUTS], out[TSPK_MAX_NODE_OUTPUTS];
    tspk_attr attr = node->attr;

    TSPK_TRY(copy_ids(l, node->in, n_in, in, err));
    TSPK_TRY(copy_ids(l, node->out, node->n_out, out, err));
    if (attr.n_rows) {
        attr.rows = tspk_arena_copy(l->to->arena, node->attr.rows, attr.n_rows * sizeof *attr.rows);
        if (!attr.rows)
            return no_memory(err);
    }
    return tspk_graph_insert_node(l->to, l->to->n_nodes, node->op, node->name, node->onnx_op, in,
                                  n_in, out, node->n_out, &attr, NULL, err);
}

static tspk_status copy_graph(lowering *l, tspk_error *err)
{
    const tspk_graph *from = l->from;
    tspk_graph *to = l->to;
    const uint32_t output = tspk_find_class_output(from);

    to->batch = from->batch;
    to->is_batch_fixed = from->is_batch_fixed;
    to->opset = from->opset;
    memcpy(to->source_sha256, from->source_sha256, sizeof to->source_sha256);
    to->producer = tspk_arena_text(to->arena, from->producer);
    to->input = tspk_arena_array(to->arena, from->n_inputs, sizeof *to->input);
    to->output = tspk_arena_array(to->arena, 1, sizeof *to->output);
    if (!to->producer || !to->input || !to->output)
        return no_memory(err);
    TSPK_TRY(copy_ids(l, from->input, from->n_inputs, to->input, err));
    to->n_inputs = from->n_inputs;
    for (tspk_node_id i = 0; i < from->n_nodes; i++)
        TSPK_TRY(copy_node(l, i, err));
    if (output == UINT32_MAX)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "no output is float32 [1, classes]");
    to->output[0] = l->map[from->output[output]];
    to->n_outputs = 1;
    return TSPK_OK;
}

static tspk_status set_row_classes(lowering *l, tspk_value_id from_id, tspk_site *site,
                                   tspk_error *err)
{
    uint8_t *row_class = tspk_arena_array(l->spikes->arena, site->rows, 1);
    const uint8_t *found = from_id != TSPK_ID_NONE ? l->structure->row_class[from_id] : NULL;

    if (!row_class)
        return no_memory(err);
    if (found)
        memcpy(row_class, found, site->rows);
    site->row_class = row_class;
    return TSPK_OK;
}

/* Which rows of the source network the site's rows are, where others were left out. */
static tspk_status set_source_rows(lowering *l, const tspk_value *value, tspk_site *site,
                                   tspk_error *err)
{
    if (!value->source_row || value->source_rows == site->rows)
        return TSPK_OK;
    site->source_rows = value->source_rows;
    site->source_row =
        tspk_arena_copy(l->spikes->arena, value->source_row, site->rows * sizeof *site->source_row);
    return site->source_row ? TSPK_OK : no_memory(err);
}

static bool has_site_named(const tspk_spikegraph *spikes, const char *name)
{
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        if (!strcmp(spikes->site[i].name, name))
            return true;
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++)
        if (!strcmp(spikes->analog_site[i].name, name))
            return true;
    return false;
}

/* "layer.operand"; a second one of that name gets a number. */
static const char *name_site(tspk_spikegraph *spikes, const char *layer, tspk_site_kind kind)
{
    static const char *const operands[] = {"input", "query", "key", "value", "numerator"};
    const char *operand = operands[kind];
    char name[TSPK_MAX_NAME_BYTES];

    snprintf(name, sizeof name, "%.4000s.%s", layer, operand);
    for (unsigned i = 2; has_site_named(spikes, name); i++)
        snprintf(name, sizeof name, "%.4000s.%u.%s", layer, i, operand);
    return tspk_arena_text(spikes->arena, name);
}

static tspk_status add_site(lowering *l, tspk_site_kind kind, tspk_value_id from_id,
                            const char *layer, tspk_site **site_out, tspk_error *err)
{
    tspk_spikegraph *spikes = l->spikes;
    tspk_site *site = &spikes->site[spikes->n_sites];
    const tspk_shape *shape = &l->from->value[from_id].shape;

    site->name = name_site(spikes, layer, kind);
    if (!site->name)
        return no_memory(err);
    site->kind = kind;
    site->input = kind == TSPK_SITE_NUMERATOR ? TSPK_ID_NONE : l->map[from_id];
    site->node = TSPK_ID_NONE;
    site->rows = (uint32_t)tspk_shape_rows(shape);
    site->channels = (uint32_t)tspk_shape_last(shape);
    TSPK_TRY(set_row_classes(l, from_id, site, err));
    TSPK_TRY(set_source_rows(l, &l->from->value[from_id], site, err));
    spikes->n_sites++;
    *site_out = site;
    return TSPK_OK;
}

static tspk_status lower_linear(lowering *l, tspk_node_id id, tspk_error *err)
{
    const tspk_node *node = &l->from->node[id];
    tspk_spikegraph *spikes = l->spikes;
    tspk_site *site = NULL;
    tspk_spike_linear *linear = &spikes->linear[spikes->n_linears];

    for (uint32_t i = 0; i < spikes->n_sites && !site; i++)
        if (spikes->site[i].kind == TSPK_SITE_LINEAR &&
            spikes->site[i].input == l->map[node->in[0]])
            site = &spikes->site[i];
    if (!site) {
        TSPK_TRY(add_site(l, TSPK_SITE_LINEAR, node->in[0], node->name, &site, err));
        site->group_size = GROUP_SIZE;
        site->n_groups = (site->channels + GROUP_SIZE - 1) / GROUP_SIZE;
        site->is_head = true;
    }
    site->is_head = site->is_head && l->structure->is_head[id];
    linear->node = id;
    linear->site = (uint32_t)(site - spikes->site);
    linear->n_out = (uint32_t)tspk_shape_last(&l->from->value[node->out[0]].shape);
    linear->weight_bits = 8;
    spikes->n_linears++;
    return TSPK_OK;
}

static tspk_status lower_attention(lowering *l, tspk_node_id id, tspk_error *err)
{
    static const tspk_site_kind kinds[] = {TSPK_SITE_QUERY, TSPK_SITE_KEY, TSPK_SITE_VALUE,
                                           TSPK_SITE_NUMERATOR};
    const tspk_node *node = &l->from->node[id];
    tspk_spikegraph *spikes = l->spikes;
    tspk_spike_attention *attention = &spikes->attention[spikes->n_attentions];
    uint32_t *const sites[] = {&attention->query, &attention->key, &attention->value,
                               &attention->numerator};

    attention->node = id;
    for (int i = 0; i < 4; i++) {
        tspk_site *site;

        *sites[i] = spikes->n_sites;
        TSPK_TRY(add_site(l, kinds[i], node->in[i < 3 ? i : 0], node->name, &site, err));
        site->node = id;
        if (kinds[i] == TSPK_SITE_NUMERATOR) {
            site->channels = node->attr.heads;
            site->keys = (uint32_t)tspk_shape_rows(&l->from->value[node->in[1]].shape);
        }
    }
    spikes->n_attentions++;
    return TSPK_OK;
}

static tspk_status add_analog_site(lowering *l, tspk_site_kind kind, tspk_value_id from_id,
                                   tspk_node_id id, tspk_error *err)
{
    tspk_spikegraph *spikes = l->spikes;
    tspk_analog_site *site = &spikes->analog_site[spikes->n_analog_sites];
    const tspk_shape *shape = &l->from->value[from_id].shape;

    *site = (tspk_analog_site){.kind = kind,
                               .input = l->map[from_id],
                               .node = kind == TSPK_SITE_LINEAR ? TSPK_ID_NONE : id,
                               .rows = (uint32_t)tspk_shape_rows(shape),
                               .channels = (uint32_t)tspk_shape_last(shape)};
    site->name = name_site(spikes, l->from->node[id].name, kind);
    if (!site->name)
        return no_memory(err);
    if (kind == TSPK_SITE_NUMERATOR) {
        const tspk_node *node = &l->from->node[id];

        site->input = TSPK_ID_NONE;
        site->channels = node->attr.heads;
        site->keys = (uint32_t)tspk_shape_rows(&l->from->value[node->in[1]].shape);
    }
    spikes->n_analog_sites++;
    return TSPK_OK;
}

static tspk_status keep_linear(lowering *l, tspk_node_id id, tspk_error *err)
{
    const tspk_value_id input = l->from->node[id].in[0];

    for (uint32_t i = 0; i < l->spikes->n_analog_sites; i++)
        if (l->spikes->analog_site[i].kind == TSPK_SITE_LINEAR &&
            l->spikes->analog_site[i].input == l->map[input])
            return TSPK_OK;
    return add_analog_site(l, TSPK_SITE_LINEAR, input, id, err);
}

static tspk_status keep_attention(lowering *l, tspk_node_id id, tspk_error *err)
{
    static const tspk_site_kind kinds[] = {TSPK_SITE_QUERY, TSPK_SITE_KEY, TSPK_SITE_VALUE,
                                           TSPK_SITE_NUMERATOR};

    for (int i = 0; i < 4; i++)
        TSPK_TRY(add_analog_site(l, kinds[i], l->from->node[id].in[i < 3 ? i : 0], id, err));
    return TSPK_OK;
}

static tspk_status find_sites(lowering *l, tspk_error *err)
{
    tspk_spikegraph *spikes = l->spikes;
    size_t linears = 0, attentions = 0;

    for (tspk_node_id i = 0; i < l->from->n_nodes; i++) {
        linears += has_site(l, i);
        attentions += l->from->node[i].op == TSPK_OP_ATTENTION;
    }
    spikes->n_classes = l->structure->n_classes;
    spikes->linear = tspk_arena_array(spikes->arena, linears, sizeof *spikes->linear);
    spikes->attention = tspk_arena_array(spikes->arena, attentions, sizeof *spikes->attention);
    spikes->site = tspk_arena_array(spikes->arena, linears + 4 * attentions, sizeof *spikes->site);
    spikes->analog_site =
        tspk_arena_array(spikes->arena, linears + 4 * attentions, sizeof *spikes->analog_site);
    if (!spikes->linear || !spikes->attention || !spikes->site || !spikes->analog_site)
        return no_memory(err);
    for (tspk_node_id i = 0; i < l->from->n_nodes; i++) {
        const tspk_node *node = &l->from->node[i];
        tspk_status status = TSPK_OK;

        if (has_site(l, i))
            status = is_kept_analog(l, i) ? keep_linear(l, i, err) : lower_linear(l, i, err);
        else if (node->op == TSPK_OP_ATTENTION)
            status = is_kept_analog(l, i) ? keep_attention(l, i, err) : lower_attention(l, i, err);
        TSPK_TRY(tspk_at_node(err, status, node->name, tspk_op_name(node->op)));
    }
    return TSPK_OK;
}

static tspk_status lower_with(const tspk_graph *graph, const tspk_structure *structure,
                              const bool *is_analog, tspk_spikegraph **spikes_out, tspk_error *err)
{
    lowering l = {.from = graph, .structure = structure, .is_analog = is_analog};
    tspk_status status;

    l.map = malloc(((size_t)graph->n_values + 1) * sizeof *l.map);
    if (!l.map)
        return no_memory(err);
    for (uint32_t i = 0; i < graph->n_values; i++)
        l.map[i] = TSPK_ID_NONE;
    status = tspk_graph_new(0, &l.to, err);
    if (status == TSPK_OK)
        status = copy_graph(&l, err);
    if (status == TSPK_OK)
        status = tspk_spikegraph_new(l.to, &l.spikes, err);
    if (status == TSPK_OK) {
        l.to = NULL;
        status = find_sites(&l, err);
    }
    if (status == TSPK_OK)
        *spikes_out = l.spikes;
    else
        tspk_spikegraph_free(l.spikes);
    tspk_graph_free(l.to);
    free(l.map);
    return status;
}

/* The Linears or the Attention of a site. */
static void mark_nodes(const tspk_spikegraph *spikes, uint32_t site, bool *is_analog)
{
    if (spikes->site[site].kind != TSPK_SITE_LINEAR)
        is_analog[spikes->site[site].node] = true;
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        if (spikes->linear[i].site == site)
            is_analog[spikes->linear[i].node] = true;
}

static tspk_status mark_analog(const tspk_spikegraph *spikes, const char *const *names, size_t n,
                               bool *is_analog, tspk_error *err)
{
    bool is_any_left = false;

    for (size_t i = 0; i < n; i++) {
        bool is_found = false;

        for (uint32_t s = 0; s < spikes->n_sites; s++)
            if (tspk_is_under(spikes->site[s].name, names[i])) {
                mark_nodes(spikes, s, is_analog);
                is_found = true;
            }
        if (!is_found)
            return tspk_fail_unknown_site(spikes, names[i], err);
    }
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        is_any_left |= !is_analog[spikes->linear[i].node];
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        is_any_left |= !is_analog[spikes->attention[i].node];
    return is_any_left ? TSPK_OK
                       : TSPK_FAIL(err, TSPK_RANGE,
                                   "all %u sites are kept analog: nothing is left to spike",
                                   spikes->n_sites);
}

tspk_status tspk_lower(const tspk_graph *graph, const tspk_structure *structure,
                       const char *const *keep_analog, size_t n_keep, tspk_spikegraph **spikes_out,
                       tspk_error *err)
{
    tspk_spikegraph *spikes = NULL;
    tspk_status status = lower_with(graph, structure, NULL, &spikes, err);

    if (status == TSPK_OK && n_keep) {
        bool *const is_analog = calloc((size_t)graph->n_nodes + 1, sizeof *is_analog);

        status =
            is_analog ? mark_analog(spikes, keep_analog, n_keep, is_analog, err) : no_memory(err);
        tspk_spikegraph_free(spikes);
        if (status == TSPK_OK)
            status = lower_with(graph, structure, is_analog, &spikes, err);
        free(is_analog);
    }
    if (status == TSPK_OK)
        *spikes_out = spikes;
    return tspk_in_stage(err, status, "lower");
}

tspk_status tspk_take_class_output(const tspk_graph *graph, tspk_arena *arena,
                                   tspk_graph **source_out, tspk_structure *structure_out,
                                   tspk_error *err)
{
    *source_out = NULL;
    TSPK_TRY(tspk_graph_clone(graph, source_out, err));
    TSPK_TRY(tspk_keep_class_output(*source_out, err));
    return tspk_find_structure(*source_out, arena, structure_out, err);
}

tspk_status tspk_lower_class_output(const tspk_graph *graph, tspk_graph **source_out,
                                    tspk_spikegraph **spikes_out, tspk_error *err)
{
    tspk_arena *const scratch = tspk_arena_new(0);
    tspk_structure structure;
    tspk_status status;

    *source_out = NULL;
    if (!scratch)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to analyse the network");
    status = tspk_take_class_output(graph, scratch, source_out, &structure, err);
    if (status == TSPK_OK)
        status = tspk_lower(*source_out, &structure, NULL, 0, spikes_out, err);
    tspk_arena_free(scratch);
    return status;
}
