/* SPDX-License-Identifier: Apache-2.0 */
/* Structure of a spike graph: sites, linears and attentions against the graph. What belongs to an
 * operating point is in spikegraph_verify_point.c. */
#include "core/spikegraph_verify.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/point_graph.h"

/* Tables of one check, all zero at first. */
typedef struct verifier {
    const tspk_spikegraph *spikes;
    uint32_t *site_uses;  /* [n_sites] linears and attentions that name the site */
    bool *has_record;     /* [n_nodes] */
    uint32_t *first_node; /* [n_sites] earliest node that executes the site */
} verifier;

static bool is_float_value(const tspk_graph *graph, tspk_value_id id)
{
    return id < graph->n_values && graph->value[id].dtype == TSPK_DTYPE_F32 &&
           graph->value[id].shape.rank >= 1;
}

/* The value that carries x_t must have the rows and channels of the site. */
static tspk_status verify_site_input(const tspk_spikegraph *spikes, const tspk_site *site,
                                     tspk_error *err)
{
    const tspk_value *value;

    if (!is_float_value(spikes->graph, site->input))
        return TSPK_FAIL(err, TSPK_FORMAT, "input value %u is not a float32 value of the graph",
                         site->input);
    value = &spikes->graph->value[site->input];
    if (tspk_shape_last(&value->shape) != site->channels ||
        tspk_shape_rows(&value->shape) != site->rows)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "%u rows of %u channels, but its input \"%.64s\" has %zu rows of %zu",
                         site->rows, site->channels, value->name, tspk_shape_rows(&value->shape),
                         tspk_shape_last(&value->shape));
    return TSPK_OK;
}

/* Every channel stands at one sorted position; the rest is padding. */
static tspk_status verify_order(const tspk_site *site, tspk_error *err)
{
    const uint64_t positions = (uint64_t)site->group_size * site->n_groups;
    uint8_t *seen;

    if (!site->order || !site->group_size || !site->n_groups || positions < site->channels ||
        positions > 2 * (uint64_t)site->channels + site->group_size)
        return TSPK_FAIL(err, TSPK_SHAPE, "%u groups of %u positions do not fit %u channels",
                         site->n_groups, site->group_size, site->channels);
    seen = calloc(site->channels, 1);
    if (!seen)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to check the order of channels");
    for (uint64_t p = 0; p < positions; p++) {
        const uint32_t c = site->order[p];

        if (c == UINT32_MAX)
            continue;
        if (c >= site->channels || seen[c]) {
            free(seen);
            return TSPK_FAIL(err, TSPK_RANGE, "position %llu of the order holds channel %u, %s",
                             (unsigned long long)p, c,
                             c >= site->channels ? "which does not exist" : "a second time");
        }
        seen[c] = 1;
    }
    for (uint32_t c = 0; c < site->channels; c++)
        if (!seen[c]) {
            free(seen);
            return TSPK_FAIL(err, TSPK_RANGE, "channel %u has no position in the order", c);
        }
    free(seen);
    return TSPK_OK;
}

static tspk_status verify_linear_site(const tspk_spikegraph *spikes, const tspk_site *site,
                                      tspk_error *err)
{
    if (site->node != TSPK_ID_NONE || site->keys)
        return TSPK_FAIL(err, TSPK_FORMAT, "a linear site has neither a node nor keys");
    TSPK_TRY(verify_site_input(spikes, site, err));
    return verify_order(site, err);
}

static tspk_status verify_product_site(const tspk_spikegraph *spikes, const tspk_site *site,
                                       tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;
    const tspk_node *node;
    uint32_t width;

    if (site->node >= graph->n_nodes || graph->node[site->node].op != TSPK_OP_ATTENTION)
        return TSPK_FAIL(err, TSPK_FORMAT, "node %u is not an Attention node", site->node);
    if (site->order || site->group_size || site->n_groups)
        return TSPK_FAIL(err, TSPK_FORMAT, "only a linear site has an order of channels");
    node = &graph->node[site->node];
    if (site->kind == TSPK_SITE_NUMERATOR) {
        const tspk_shape *const q = &graph->value[node->in[0]].shape;
        const tspk_shape *const k = &graph->value[node->in[1]].shape;

        if (site->input != TSPK_ID_NONE)
            return TSPK_FAIL(err, TSPK_FORMAT, "a numerator site has no input value");
        if (site->channels != node->attr.heads || site->rows != tspk_shape_rows(q) ||
            site->keys != tspk_shape_rows(k))
            return TSPK_FAIL(err, TSPK_SHAPE,
                             "%u heads, %u queries, %u keys, but the node has %u, %zu and %zu",
                             site->channels, site->rows, site->keys, node->attr.heads,
                             tspk_shape_rows(q), tspk_shape_rows(k));
        return TSPK_OK;
    }
    if (site->keys)
        return TSPK_FAIL(err, TSPK_FORMAT, "only a numerator site has keys");
    if (site->input != node->in[site->kind - TSPK_SITE_QUERY])
        return TSPK_FAIL(err, TSPK_FORMAT, "its input is not the %s of its node",
                         tspk_site_kind_name(site->kind));
    TSPK_TRY(verify_site_input(spikes, site, err));
    if (!node->attr.heads || site->channels % node->attr.heads)
        return TSPK_FAIL(err, TSPK_SHAPE, "%u channels in %u heads", site->channels,
                         node->attr.heads);
    width = site->channels / node->attr.heads;
    if (site->kind == TSPK_SITE_VALUE)
        return TSPK_OK;
    for (uint32_t c = 0; c < site->channels; c++)
        if (site->unit[c] != site->unit[c - c % width])
            return TSPK_FAIL(err, TSPK_RANGE, "channel %u has another unit than its head", c);
    return TSPK_OK;
}

static tspk_status verify_source_rows(const tspk_site *site, tspk_error *err)
{
    const size_t width = (size_t)site->channels * (site->keys ? site->keys : 1);

    if (!site->source_row)
        return site->source_rows
                   ? TSPK_FAIL(err, TSPK_FORMAT, "%u source rows without a list", site->source_rows)
                   : TSPK_OK;
    if (site->source_rows <= site->rows || site->source_rows > TSPK_MAX_TENSOR_ELEMS / width)
        return TSPK_FAIL(err, TSPK_RANGE, "%u rows of %u source rows of %zu neurons", site->rows,
                         site->source_rows, width);
    for (uint32_t r = 0; r < site->rows; r++)
        if (site->source_row[r] >= site->source_rows ||
            (r && site->source_row[r] <= site->source_row[r - 1]))
            return TSPK_FAIL(err, TSPK_RANGE, "row %u is source row %u of %u, not rising", r,
                             site->source_row[r], site->source_rows);
    return TSPK_OK;
}

static tspk_status verify_site(const tspk_spikegraph *spikes, const tspk_site *site,
                               tspk_error *err)
{
    if (!site->name || !site->name[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "a site has no name");
    if (site->kind > TSPK_SITE_NUMERATOR)
        return TSPK_FAIL(err, TSPK_FORMAT, "kind %u is unknown", (unsigned)site->kind);
    if (!site->rows || !site->channels || !site->unit || !site->row_class)
        return TSPK_FAIL(err, TSPK_SHAPE, "%u rows of %u channels; units %s, token classes %s",
                         site->rows, site->channels, site->unit ? "present" : "missing",
                         site->row_class ? "present" : "missing");
    for (uint32_t r = 0; r < site->rows; r++)
        if (site->row_class[r] >= spikes->n_classes)
            return TSPK_FAIL(err, TSPK_RANGE, "row %u is of token class %u of %u", r,
                             site->row_class[r], spikes->n_classes);
    TSPK_TRY(verify_source_rows(site, err));
    for (uint32_t c = 0; c < site->channels; c++)
        if (!tspk_is_positive(site->unit[c]))
            return TSPK_FAIL(err, TSPK_RANGE, "unit %g of channel %u is not positive and finite",
                             (double)site->unit[c], c);
    return site->kind == TSPK_SITE_LINEAR ? verify_linear_site(spikes, site, err)
                                          : verify_product_site(spikes, site, err);
}

/* Magnitude of the largest level that any operating point gives the site. */
static int64_t most_level(const tspk_spikegraph *spikes, uint32_t site)
{
    for (uint32_t p = 0; p < spikes->n_points; p++)
        if (spikes->point[p].site[site].code_form == TSPK_CODE_EXPONENT)
            return TSPK_MAX_CODE + 1;
    return TSPK_MAX_CODE;
}

/* Whether a weight is the one number that has no counterpart of the other sign. The flags are as
 * wide as the weights, so that the loops become vector code. */
static bool has_lowest(const tspk_spike_linear *linear, size_t n)
{
    uint8_t found8 = 0;
    uint16_t found16 = 0;

    if (linear->weight_bits == 8) {
        const int8_t *const w = linear->weight;

        for (size_t i = 0; i < n; i++)
            found8 |= (uint8_t)(w[i] == INT8_MIN);
    } else {
        const int16_t *const w = linear->weight;

        for (size_t i = 0; i < n; i++)
            found16 |= (uint16_t)(w[i] == INT16_MIN);
    }
    return found8 || found16;
}

static int64_t sum_magnitudes(const tspk_spike_linear *linear, size_t from, uint32_t n)
{
    int64_t sum = 0;

    for (size_t i = from; i < from + n; i++)
        sum += linear->weight_bits == 8 ? abs(((const int8_t *)linear->weight)[i])
                                        : abs(((const int16_t *)linear->weight)[i]);
    return sum;
}

static tspk_status verify_padding(const tspk_spike_linear *linear, const tspk_site *site,
                                  tspk_error *err)
{
    const size_t positions = (size_t)site->group_size * site->n_groups;

    for (size_t p = 0; p < positions; p++) {
        if (site->order[p] != UINT32_MAX)
            continue;
        for (uint32_t o = 0; o < linear->n_out; o++)
            if (sum_magnitudes(linear, o * positions + p, 1))
                return TSPK_FAIL(err, TSPK_RANGE, "padding at position %zu has a weight", p);
    }
    return TSPK_OK;
}

static tspk_status verify_weights(const tspk_spikegraph *spikes, const tspk_spike_linear *linear,
                                  tspk_error *err)
{
    const tspk_site *const site = &spikes->site[linear->site];
    const size_t positions = (size_t)site->group_size * site->n_groups;
    const int most_weight = linear->weight_bits == 8 ? TSPK_MAX_CODE : INT16_MAX;
    const int64_t most_sum = INT32_MAX / most_level(spikes, linear->site);

    if (has_lowest(linear, positions * linear->n_out))
        return TSPK_FAIL(err, TSPK_RANGE, "a weight below -%d", most_weight);
    if (site->group_size <= most_sum / most_weight)
        return verify_padding(linear, site, err);
    for (uint32_t o = 0; o < linear->n_out; o++)
        for (uint32_t g = 0; g < site->n_groups; g++) {
            const int64_t sum = sum_magnitudes(linear, o * positions + (size_t)g * site->group_size,
                                               site->group_size);

            if (sum > most_sum)
                return TSPK_FAIL(err, TSPK_RANGE,
                                 "row %u, group %u: sum of |weight| %lld, at most %lld for int32",
                                 o, g, (long long)sum, (long long)most_sum);
        }
    return verify_padding(linear, site, err);
}

static tspk_status verify_linear(verifier *v, uint32_t index, tspk_error *err)
{
    const tspk_spikegraph *const spikes = v->spikes;
    const tspk_spike_linear *const linear = &spikes->linear[index];
    const tspk_graph *const graph = spikes->graph;
    const tspk_site *site;
    const tspk_node *node;
    size_t n_scales;

    if (linear->node >= graph->n_nodes || graph->node[linear->node].op != TSPK_OP_LINEAR)
        return TSPK_FAIL(err, TSPK_FORMAT, "linear %u: node %u is not a Linear node", index,
                         linear->node);
    if (linear->site >= spikes->n_sites || spikes->site[linear->site].kind != TSPK_SITE_LINEAR)
        return TSPK_FAIL(err, TSPK_FORMAT, "its site %u is not a linear site", linear->site);
    if (v->has_record[linear->node])
        return TSPK_FAIL(err, TSPK_FORMAT, "two records for one node");
    node = &graph->node[linear->node];
    site = &spikes->site[linear->site];
    if (node->in[0] != site->input)
        return TSPK_FAIL(err, TSPK_FORMAT, "its site \"%.64s\" stands on another value",
                         site->name);
    if (!linear->n_out || linear->n_out != tspk_shape_last(&graph->value[node->out[0]].shape))
        return TSPK_FAIL(err, TSPK_SHAPE, "%u outputs, but the node has %zu", linear->n_out,
                         tspk_shape_last(&graph->value[node->out[0]].shape));
    for (uint32_t i = 0; i < node->attr.n_rows; i++)
        if (node->attr.rows[i] >= site->rows)
            return TSPK_FAIL(err, TSPK_SHAPE, "row %u of %u", node->attr.rows[i], site->rows);
    if (linear->weight_bits != 8 && linear->weight_bits != 16)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "weights of %u bits, expected 8 or 16",
                         linear->weight_bits);
    if (!linear->weight || !linear->scale)
        return TSPK_FAIL(err, TSPK_FORMAT, "weights or scales are missing");
    n_scales = (size_t)site->n_groups * linear->n_out;
    for (size_t i = 0; i < n_scales; i++)
        if (!(linear->scale[i] >= 0.0f) || !tspk_is_finite(linear->scale[i]))
            return TSPK_FAIL(err, TSPK_RANGE, "scale %zu is %g, expected finite and not negative",
                             i, (double)linear->scale[i]);
    v->has_record[linear->node] = true;
    v->site_uses[linear->site]++;
    if (linear->node < v->first_node[linear->site])
        v->first_node[linear->site] = linear->node;
    return verify_weights(spikes, linear, err);
}

static tspk_status verify_attention(verifier *v, uint32_t index, tspk_error *err)
{
    const tspk_spikegraph *const spikes = v->spikes;
    const tspk_spike_attention *const attention = &spikes->attention[index];
    const uint32_t ids[4] = {attention->query, attention->key, attention->value,
                             attention->numerator};
    const tspk_site *sites[4];
    int64_t width, most_logit, most_value;

    if (attention->node >= spikes->graph->n_nodes ||
        spikes->graph->node[attention->node].op != TSPK_OP_ATTENTION)
        return TSPK_FAIL(err, TSPK_FORMAT, "attention %u: node %u is not an Attention node", index,
                         attention->node);
    if (v->has_record[attention->node])
        return TSPK_FAIL(err, TSPK_FORMAT, "two records for one node");
    v->has_record[attention->node] = true;
    for (int i = 0; i < 4; i++) {
        const tspk_site_kind kind = (tspk_site_kind)(TSPK_SITE_QUERY + i);

        if (ids[i] >= spikes->n_sites || spikes->site[ids[i]].kind != kind ||
            spikes->site[ids[i]].node != attention->node)
            return TSPK_FAIL(err, TSPK_FORMAT, "site %u is not its %s site", ids[i],
                             tspk_site_kind_name(kind));
        sites[i] = &spikes->site[ids[i]];
        v->site_uses[ids[i]]++;
        v->first_node[ids[i]] = attention->node;
    }
    if (sites[0]->channels != sites[1]->channels || sites[1]->rows != sites[2]->rows)
        return TSPK_FAIL(err, TSPK_SHAPE, "query [%u, %u], key [%u, %u], value [%u, %u]",
                         sites[0]->rows, sites[0]->channels, sites[1]->rows, sites[1]->channels,
                         sites[2]->rows, sites[2]->channels);
    width = sites[0]->channels / sites[3]->channels;
    most_logit = most_level(spikes, ids[0]) * most_level(spikes, ids[1]);
    most_value = most_level(spikes, ids[2]) * most_level(spikes, ids[3]);
    if (width > INT32_MAX / most_logit || (int64_t)sites[2]->rows > INT32_MAX / most_value)
        return TSPK_FAIL(err, TSPK_RANGE,
                         "products of codes over %lld channels or %u keys exceed int32",
                         (long long)width, sites[2]->rows);
    return TSPK_OK;
}

/* No node is dead, and a Linear has either a record or weights. */
static tspk_status verify_nodes(const verifier *v, tspk_error *err)
{
    const tspk_graph *const graph = v->spikes->graph;

    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        tspk_status status = TSPK_OK;

        if (node->is_dead)
            status = TSPK_FAIL(err, TSPK_FORMAT, "the node is dead");
        else if (node->op == TSPK_OP_LINEAR && v->has_record[n] != (node->n_in == 1))
            status = TSPK_FAIL(err, TSPK_FORMAT, "%u inputs, %s spike-driven weights", node->n_in,
                               v->has_record[n] ? "but" : "and no");
        TSPK_TRY(tspk_at_node(err, status, node->name, tspk_op_name(node->op)));
    }
    return TSPK_OK;
}

static int compare_names(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names are unique; sites stand in the order in which they are executed; each is used. */
static tspk_status verify_site_table(const verifier *v, tspk_error *err)
{
    const tspk_spikegraph *const spikes = v->spikes;
    const char **names = malloc((spikes->n_sites + 1u) * sizeof *names);

    if (!names)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to check the names of sites");
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        names[i] = spikes->site[i].name;
    qsort(names, spikes->n_sites, sizeof *names, compare_names);
    for (uint32_t i = 1; i < spikes->n_sites; i++)
        if (!strcmp(names[i - 1], names[i])) {
            const tspk_status status = tspk_at_tensor(
                err, TSPK_FAIL(err, TSPK_FORMAT, "two sites have this name"), names[i]);

            free(names);
            return status;
        }
    free(names);
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site *const site = &spikes->site[i];

        if (!v->site_uses[i] || (site->kind != TSPK_SITE_LINEAR && v->site_uses[i] != 1))
            return tspk_at_tensor(
                err, TSPK_FAIL(err, TSPK_FORMAT, "%u records use the site", v->site_uses[i]),
                site->name);
        if (i && v->first_node[i] < v->first_node[i - 1])
            return tspk_at_tensor(
                err,
                TSPK_FAIL(err, TSPK_FORMAT, "the site stands after one that is executed later"),
                site->name);
    }
    return TSPK_OK;
}

static tspk_status verify_counts(const tspk_spikegraph *spikes, tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;

    if (!graph)
        return TSPK_FAIL(err, TSPK_FORMAT, "no graph");
    if (graph->batch != 1 || graph->n_inputs != 1)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "batch %lld and %u inputs; a spike graph takes one image",
                         (long long)graph->batch, graph->n_inputs);
    if (!spikes->n_classes || spikes->n_classes > TSPK_MAX_TOKEN_CLASSES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u token classes, expected 1 to %u", spikes->n_classes,
                         TSPK_MAX_TOKEN_CLASSES);
    if (spikes->n_sites > TSPK_MAX_SITES || spikes->n_analog_sites > TSPK_MAX_SITES)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u sites and %u analog ones, at most %u",
                         spikes->n_sites, spikes->n_analog_sites, TSPK_MAX_SITES);
    if (!spikes->n_points || spikes->n_points > TSPK_MAX_POINTS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u operating points, expected 1 to %u", spikes->n_points,
                         TSPK_MAX_POINTS);
    if (spikes->n_linears > graph->n_nodes || spikes->n_attentions > graph->n_nodes)
        return TSPK_FAIL(err, TSPK_LIMIT, "%u linears and %u attentions in %u nodes",
                         spikes->n_linears, spikes->n_attentions, graph->n_nodes);
    return TSPK_OK;
}

/* The graphs that merge tokens can be made, and are not in the file already. */
static tspk_status verify_merging(const tspk_spikegraph *spikes, tspk_error *err)
{
    for (uint32_t n = 0; n < spikes->graph->n_nodes; n++) {
        const tspk_node *const node = &spikes->graph->node[n];

        if (node->op == TSPK_OP_MERGE_MAP || node->op == TSPK_OP_MERGE_SIZES ||
            node->op == TSPK_OP_MERGE)
            return tspk_at_node(err,
                                TSPK_FAIL(err, TSPK_FORMAT,
                                          "tokens merge in the graph itself, expected in operating "
                                          "points alone"),
                                node->name, tspk_op_name(node->op));
    }
    for (uint32_t i = 0; i < spikes->n_points; i++) {
        tspk_spikegraph *merged = NULL;

        if (!spikes->point[i].merging.n_attentions)
            continue;
        TSPK_TRY(tspk_point_graph(spikes, &spikes->point[i].merging, &merged, err));
        tspk_spikegraph_free(merged);
    }
    return TSPK_OK;
}

static tspk_status verify_with(verifier *v, tspk_error *err)
{
    const tspk_spikegraph *const spikes = v->spikes;

    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        v->first_node[i] = UINT32_MAX;
        TSPK_TRY(
            tspk_at_tensor(err, verify_site(spikes, &spikes->site[i], err), spikes->site[i].name));
    }
    for (uint32_t i = 0; i < spikes->n_points; i++)
        TSPK_TRY(tspk_verify_point(spikes, i, err));
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        const tspk_node_id id = spikes->linear[i].node;

        TSPK_TRY(tspk_at_node(err, verify_linear(v, i, err),
                              id < spikes->graph->n_nodes ? spikes->graph->node[id].name : "",
                              "Linear"));
    }
    for (uint32_t i = 0; i < spikes->n_attentions; i++) {
        const tspk_node_id id = spikes->attention[i].node;

        TSPK_TRY(tspk_at_node(err, verify_attention(v, i, err),
                              id < spikes->graph->n_nodes ? spikes->graph->node[id].name : "",
                              "Attention"));
    }
    TSPK_TRY(verify_site_table(v, err));
    TSPK_TRY(verify_nodes(v, err));
    TSPK_TRY(tspk_verify_analog_sites(spikes, v->has_record, err));
    return verify_merging(spikes, err);
}

tspk_status tspk_spikegraph_verify(const tspk_spikegraph *spikes, tspk_error *err)
{
    verifier v = {.spikes = spikes};
    tspk_status status = verify_counts(spikes, err);
    tspk_arena *scratch;

    if (status == TSPK_OK)
        status = tspk_verify_meta(spikes, err);
    if (status != TSPK_OK)
        return tspk_in_stage(err, status, "spikegraph");
    scratch = tspk_arena_new(0);
    if (scratch) {
        v.site_uses = tspk_arena_array(scratch, spikes->n_sites, sizeof *v.site_uses);
        v.first_node = tspk_arena_array(scratch, spikes->n_sites, sizeof *v.first_node);
        v.has_record = tspk_arena_array(scratch, spikes->graph->n_nodes, sizeof *v.has_record);
    }
    if (!v.site_uses || !v.first_node || !v.has_record)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory to check the spike graph");
    else
        status = verify_with(&v, err);
    tspk_arena_free(scratch);
    return tspk_in_stage(err, status, "spikegraph");
}
