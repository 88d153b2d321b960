/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/layer_plan.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "calib/quantise.h"
#include "convert/model.h"
#include "convert/passes.h"
#include "core/fail.h"
#include "runtime/ann/op_eval.h"

static tspk_status no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the diagnosis of layers");
}

/* The network that was converted: the class output alone. */
static tspk_status take_source(const tspk_model *model, tspk_layer_plan *plan, tspk_error *err)
{
    const tspk_graph *const graph = plan->spikes->graph;

    TSPK_TRY(tspk_graph_clone(model->graph, &plan->graph, err));
    TSPK_TRY(tspk_keep_class_output(plan->graph, err));
    if (plan->graph->n_nodes != graph->n_nodes)
        return TSPK_FAIL(err, TSPK_MISMATCH,
                         "the source network has %u nodes, the spike graph %u: --layers needs the "
                         "very network that was converted",
                         plan->graph->n_nodes, graph->n_nodes);
    for (tspk_node_id n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const a = &plan->graph->node[n], *const b = &graph->node[n];

        if (a->op != b->op || a->n_out != b->n_out ||
            !tspk_shape_equal(&plan->graph->value[a->out[0]].shape, &graph->value[b->out[0]].shape))
            return TSPK_FAIL(
                err, TSPK_MISMATCH,
                "node %u is a %s in the source network and a %s in the spike graph, or "
                "has another shape: --layers needs the very network that was converted",
                n, tspk_op_name(a->op), tspk_op_name(b->op));
    }
    return TSPK_OK;
}

static tspk_status allocate(tspk_layer_plan *plan, tspk_error *err)
{
    const tspk_spikegraph *const spikes = plan->spikes;
    const size_t banks = (size_t)spikes->n_sites * plan->steps * spikes->n_classes;

    plan->arena = tspk_arena_new(0);
    if (!plan->arena)
        return no_memory(err);
    plan->bank = tspk_arena_array(plan->arena, banks, sizeof *plan->bank);
    plan->weight = tspk_arena_array(plan->arena, spikes->n_linears, sizeof *plan->weight);
    plan->row_scale = tspk_arena_array(plan->arena, spikes->n_linears, sizeof *plan->row_scale);
    plan->is_computed = tspk_arena_array(plan->arena, spikes->n_sites, sizeof *plan->is_computed);
    plan->linear_of = tspk_arena_array(plan->arena, plan->graph->n_nodes, sizeof(uint32_t));
    plan->attention_of = tspk_arena_array(plan->arena, plan->graph->n_nodes, sizeof(uint32_t));
    plan->last_use = tspk_arena_array(plan->arena, plan->graph->n_values, sizeof(uint32_t));
    plan->is_static = tspk_arena_array(plan->arena, plan->graph->n_values, sizeof(bool));
    if (!plan->bank || !plan->weight || !plan->row_scale || !plan->is_computed ||
        !plan->linear_of || !plan->attention_of || !plan->last_use || !plan->is_static)
        return no_memory(err);
    return TSPK_OK;
}

static void find_records(tspk_layer_plan *plan)
{
    const tspk_spikegraph *const spikes = plan->spikes;

    memset(plan->linear_of, 0xff, plan->graph->n_nodes * sizeof *plan->linear_of);
    memset(plan->attention_of, 0xff, plan->graph->n_nodes * sizeof *plan->attention_of);
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        plan->linear_of[spikes->linear[i].node] = i;
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        plan->attention_of[spikes->attention[i].node] = i;
}

static void find_uses(tspk_layer_plan *plan)
{
    const tspk_graph *const graph = plan->graph;

    for (uint32_t i = 0; i < graph->n_values; i++)
        plan->is_static[i] = true;
    for (tspk_node_id n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];
        const size_t bytes = tspk_op_scratch_bytes(graph, node);
        bool is_static = plan->linear_of[n] == UINT32_MAX && plan->attention_of[n] == UINT32_MAX;

        plan->scratch_bytes = bytes > plan->scratch_bytes ? bytes : plan->scratch_bytes;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE) {
                plan->last_use[node->in[i]] = n;
                is_static = is_static && plan->is_static[node->in[i]];
            }
        for (uint32_t i = 0; i < node->n_out; i++)
            plan->is_static[node->out[i]] = is_static;
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        plan->last_use[graph->output[i]] = graph->n_nodes;
}

static tspk_status make_banks(tspk_layer_plan *plan, tspk_error *err)
{
    const tspk_spikegraph *const spikes = plan->spikes;
    tspk_neuron_bank *bank = plan->bank;

    for (uint32_t s = 0; s < spikes->n_sites; s++)
        for (uint32_t t = 0; t < plan->steps; t++)
            for (uint32_t k = 0; k < spikes->n_classes; k++)
                TSPK_TRY(tspk_neuron_bank_integer(bank++, &spikes->site[s], &plan->point->site[s],
                                                  t, k, err));
    for (uint32_t s = 0; s < spikes->n_sites; s++) {
        plan->is_computed[s] = tspk_arena_array(plan->arena, spikes->site[s].rows, 1);
        if (!plan->is_computed[s])
            return no_memory(err);
        for (uint32_t r = 0; r < spikes->site[s].rows; r++)
            plan->is_computed[s][r] = tspk_site_fan_out(spikes, s, r) > 0;
    }
    return TSPK_OK;
}

static tspk_status make_weights(tspk_layer_plan *plan, tspk_error *err)
{
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++) {
        const tspk_spike_linear *const linear = &plan->spikes->linear[i];
        const tspk_site *const site = &plan->spikes->site[linear->site];

        plan->weight[i] =
            tspk_arena_array(plan->arena, (size_t)linear->n_out * site->channels, sizeof(float));
        if (!plan->weight[i])
            return no_memory(err);
        tspk_dequantise_weights(site, linear, plan->weight[i]);
    }
    return TSPK_OK;
}

/* The factor by which the integers' row o is larger than the source's, least squares. */
static double row_ratio(const tspk_layer_plan *plan, uint32_t linear, size_t o)
{
    const tspk_node *const node = &plan->graph->node[plan->spikes->linear[linear].node];
    const size_t n = plan->spikes->site[plan->spikes->linear[linear].site].channels;
    const float *const source = (const float *)plan->graph->value[node->in[1]].data + o * n;
    const float *const integer = plan->weight[linear] + o * n;
    double product = 0, square = 0;

    for (size_t c = 0; c < n; c++) {
        product += (double)source[c] * (double)integer[c];
        square += (double)source[c] * (double)source[c];
    }
    return square > 0 && product > 0 ? product / square : 1;
}

/* The spike-driven Linear that produces a value, or UINT32_MAX. */
static uint32_t producer_of(const tspk_layer_plan *plan, tspk_value_id id)
{
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        if (plan->graph->node[plan->spikes->linear[i].node].out[0] == id)
            return i;
    return UINT32_MAX;
}

/* Calibration moves a factor a channel from the weights of a key to those of its query, so that the
 * neurons of both stand on balanced values. The source's own rows get the same factors; they cancel
 * exactly in the product. */
static tspk_status find_balance(tspk_layer_plan *plan, tspk_error *err)
{
    for (uint32_t i = 0; i < plan->spikes->n_attentions; i++) {
        const tspk_node *const node = &plan->graph->node[plan->spikes->attention[i].node];
        const uint32_t query = producer_of(plan, node->in[0]);
        const uint32_t key = producer_of(plan, node->in[1]);
        uint32_t n_out;

        if (query == UINT32_MAX || key == UINT32_MAX || query == key || plan->row_scale[query] ||
            plan->row_scale[key] ||
            plan->spikes->linear[query].n_out != plan->spikes->linear[key].n_out)
            continue;
        n_out = plan->spikes->linear[query].n_out;
        plan->row_scale[query] = tspk_arena_array(plan->arena, n_out, sizeof(float));
        plan->row_scale[key] = tspk_arena_array(plan->arena, n_out, sizeof(float));
        if (!plan->row_scale[query] || !plan->row_scale[key])
            return no_memory(err);
        for (uint32_t o = 0; o < n_out; o++) {
            const double factor = sqrt(row_ratio(plan, query, o) / row_ratio(plan, key, o));

            plan->row_scale[query][o] = (float)factor;
            plan->row_scale[key][o] = (float)(1 / factor);
        }
    }
    return TSPK_OK;
}

tspk_status tspk_layer_plan_init(const tspk_spikegraph *spikes, const tspk_model *model,
                                 uint32_t steps, tspk_layer_plan *plan, tspk_error *err)
{
    plan->spikes = spikes;
    plan->point = &spikes->point[0];
    plan->steps = steps;
    TSPK_TRY(take_source(model, plan, err));
    TSPK_TRY(allocate(plan, err));
    find_records(plan);
    find_uses(plan);
    TSPK_TRY(make_banks(plan, err));
    TSPK_TRY(make_weights(plan, err));
    return find_balance(plan, err);
}

void tspk_layer_plan_done(tspk_layer_plan *plan)
{
    if (plan->bank)
        for (size_t i = 0;
             i < (size_t)plan->spikes->n_sites * plan->steps * plan->spikes->n_classes; i++)
            tspk_neuron_bank_done(&plan->bank[i]);
    tspk_arena_free(plan->arena);
    tspk_graph_free(plan->graph);
}
