/* SPDX-License-Identifier: Apache-2.0 */
/* Sites that were kept from spiking, against the graph. */
#include <string.h>

#include "core/fail.h"
#include "core/spikegraph_verify.h"

static tspk_status verify_input(const tspk_spikegraph *spikes, const tspk_analog_site *site,
                                tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;
    const tspk_shape *shape;

    if (site->input >= graph->n_values || graph->value[site->input].dtype != TSPK_DTYPE_F32)
        return TSPK_FAIL(err, TSPK_FORMAT, "input value %u is not a float32 value of the graph",
                         site->input);
    shape = &graph->value[site->input].shape;
    if (shape->rank < 1 || tspk_shape_rows(shape) != site->rows ||
        tspk_shape_last(shape) != site->channels)
        return TSPK_FAIL(err, TSPK_SHAPE, "%u rows of %u channels, but its input has %zu of %zu",
                         site->rows, site->channels, tspk_shape_rows(shape),
                         shape->rank < 1 ? (size_t)0 : tspk_shape_last(shape));
    return TSPK_OK;
}

static tspk_status verify_linear(const tspk_spikegraph *spikes, const tspk_analog_site *site,
                                 tspk_error *err)
{
    if (site->node != TSPK_ID_NONE || site->keys)
        return TSPK_FAIL(err, TSPK_FORMAT, "a linear site has neither a node nor keys");
    TSPK_TRY(verify_input(spikes, site, err));
    if (!tspk_analog_site_fan_out(spikes, site))
        return TSPK_FAIL(err, TSPK_FORMAT, "no Linear with float weights reads it");
    return TSPK_OK;
}

static tspk_status verify_product(const tspk_spikegraph *spikes, const tspk_analog_site *site,
                                  const bool *has_record, tspk_error *err)
{
    const tspk_graph *const graph = spikes->graph;
    const tspk_node *node;
    size_t rows, keys;

    if (site->node >= graph->n_nodes || graph->node[site->node].op != TSPK_OP_ATTENTION ||
        has_record[site->node])
        return TSPK_FAIL(err, TSPK_FORMAT, "node %u is not an Attention without a record",
                         site->node);
    node = &graph->node[site->node];
    if (site->kind != TSPK_SITE_NUMERATOR) {
        if (site->keys || site->input != node->in[site->kind - TSPK_SITE_QUERY])
            return TSPK_FAIL(err, TSPK_FORMAT, "its input is not the %s of its node",
                             tspk_site_kind_name(site->kind));
        return verify_input(spikes, site, err);
    }
    rows = tspk_shape_rows(&graph->value[node->in[0]].shape);
    keys = tspk_shape_rows(&graph->value[node->in[1]].shape);
    if (site->input != TSPK_ID_NONE || site->channels != node->attr.heads || site->rows != rows ||
        site->keys != keys)
        return TSPK_FAIL(err, TSPK_SHAPE,
                         "%u heads, %u queries, %u keys, but the node has %u, %zu and %zu",
                         site->channels, site->rows, site->keys, node->attr.heads, rows, keys);
    return TSPK_OK;
}

static tspk_status verify_site(const tspk_spikegraph *spikes, const tspk_analog_site *site,
                               const bool *has_record, tspk_error *err)
{
    if (!site->name || !site->name[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "an analog site has no name");
    if (site->kind > TSPK_SITE_NUMERATOR)
        return TSPK_FAIL(err, TSPK_FORMAT, "kind %u is unknown", (unsigned)site->kind);
    for (uint32_t i = 0; i < spikes->n_sites; i++)
        if (!strcmp(spikes->site[i].name, site->name))
            return TSPK_FAIL(err, TSPK_FORMAT, "spikes and is kept analog");
    for (const tspk_analog_site *other = spikes->analog_site; other < site; other++)
        if (!strcmp(other->name, site->name) ||
            (other->kind == site->kind && other->node == site->node && other->input == site->input))
            return TSPK_FAIL(err, TSPK_FORMAT, "is kept analog twice");
    return site->kind == TSPK_SITE_LINEAR ? verify_linear(spikes, site, err)
                                          : verify_product(spikes, site, has_record, err);
}

tspk_status tspk_verify_analog_sites(const tspk_spikegraph *spikes, const bool *has_record,
                                     tspk_error *err)
{
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++)
        TSPK_TRY(tspk_at_tensor(err, verify_site(spikes, &spikes->analog_site[i], has_record, err),
                                spikes->analog_site[i].name));
    return TSPK_OK;
}
