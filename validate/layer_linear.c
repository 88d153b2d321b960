/* SPDX-License-Identifier: Apache-2.0 */
/* Neurons of a site on one image, and the Linears behind a linear site. */
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"
#include "validate/layer_walk.h"

static size_t elems_of(const tspk_site *site)
{
    return (size_t)site->rows * site->channels;
}

float *tspk_walk_start(tspk_walk *walk, uint32_t site_id)
{
    const tspk_site *const site = &walk->plan->spikes->site[site_id];
    const float *const prior = walk->plan->point->site[site_id].prior;
    float *const state = tspk_walk_take(walk, elems_of(site) * sizeof *state);

    if (state) {
        memset(state, 0, elems_of(site) * sizeof *state);
        tspk_walk_add(walk, site_id, 1.0f, prior, state);
    }
    return state;
}

tspk_status tspk_walk_fire(tspk_walk *walk, uint32_t site_id, uint32_t t, const float *x,
                           float *state, bool is_counted, tspk_error *err)
{
    const tspk_site *const site = &walk->plan->spikes->site[site_id];
    tspk_layer_sums *const sums = tspk_walk_sums(walk, site_id, t);
    float *const before = tspk_walk_take(walk, elems_of(site) * sizeof *before);

    if (!before)
        return tspk_walk_no_memory(err);
    memcpy(before, state, elems_of(site) * sizeof *before);
    for (size_t r = 0; r < site->rows; r++) {
        float *const o = state + r * site->channels;

        tspk_neuron_bank_fire_row(tspk_layer_bank(walk->plan, site_id, t, site->row_class[r]),
                                  walk->plan->point->coding, t, x + r * site->channels, o);
        if (!is_counted || !walk->plan->is_computed[site_id][r])
            continue;
        sums->neurons += site->channels;
        for (size_t c = 0; c < site->channels; c++)
            sums->fired += o[c] != before[r * site->channels + c];
    }
    tspk_walk_give(walk, before);
    return TSPK_OK;
}

void tspk_walk_decode(const tspk_walk *walk, uint32_t site_id, uint32_t t, const float *state,
                      float *spikes_out)
{
    const tspk_site *const site = &walk->plan->spikes->site[site_id];
    const bool is_rate = walk->plan->point->coding == TSPK_CODING_RATE;
    const float decode = is_rate ? 1.0f / (float)t : 1.0f;

    memcpy(spikes_out, state, elems_of(site) * sizeof *state);
    tspk_walk_add(walk, site_id, -1.0f, walk->plan->point->site[site_id].prior, spikes_out);
    for (size_t i = 0; is_rate && i < elems_of(site); i++)
        spikes_out[i] *= decode;
}

void tspk_walk_add(const tspk_walk *walk, uint32_t site_id, float sign, const float *constant,
                   float *x)
{
    const tspk_site *const site = &walk->plan->spikes->site[site_id];

    for (size_t r = 0; constant && r < site->rows; r++) {
        const float *const from = constant + (size_t)site->row_class[r] * site->channels;

        for (size_t c = 0; c < site->channels; c++)
            x[r * site->channels + c] += sign * from[c];
    }
}

void tspk_walk_measure(const tspk_walk *walk, uint32_t site_id, uint32_t t, const float *source,
                       const float *decoded)
{
    const tspk_site *const site = &walk->plan->spikes->site[site_id];
    tspk_layer_sums *const sums = tspk_walk_sums(walk, site_id, t);

    for (size_t r = 0; r < site->rows; r++)
        for (size_t i = r * site->channels;
             walk->plan->is_computed[site_id][r] && i < (r + 1) * site->channels; i++) {
            const double error = (double)decoded[i] - (double)source[i];

            sums->signal += (double)source[i] * (double)source[i];
            sums->noise += error * error;
        }
}

/* The source's own Linear, on version 0; query and key as their neurons will see them. */
static tspk_status run_source(tspk_walk *walk, uint32_t linear, tspk_error *err)
{
    const tspk_layer_plan *const plan = walk->plan;
    const tspk_node *const node = &plan->graph->node[plan->spikes->linear[linear].node];
    const uint32_t n_out = plan->spikes->linear[linear].n_out;
    const float *const factor = plan->row_scale[linear];
    void *in[3] = {NULL}, **const slot = &walk->value[node->out[0]];
    const size_t elems = tspk_shape_elems(&plan->graph->value[node->out[0]].shape);

    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE)
            in[i] = tspk_walk_find(walk, node->in[i], 0);
    TSPK_TRY(tspk_walk_make(walk, node->out[0], slot, err));
    TSPK_TRY(tspk_walk_eval(walk, node, in, slot, err));
    for (size_t i = 0; factor && i < elems; i++)
        ((float *)*slot)[i] *= factor[i % n_out];
    return TSPK_OK;
}

/* The integers' weights on what was decoded from spikes, and the bias of the step. */
static tspk_status run_spikes(tspk_walk *walk, uint32_t linear, uint32_t t, float *spikes,
                              void **slot, tspk_error *err)
{
    const tspk_layer_plan *const plan = walk->plan;
    const tspk_spike_linear *const record = &plan->spikes->linear[linear];
    const tspk_site *const site = &plan->spikes->site[record->site];
    tspk_node node = plan->graph->node[record->node];
    const tspk_value_id out = node.out[0];
    const size_t rows = tspk_shape_rows(&plan->graph->value[out].shape);
    void *const in[2] = {spikes, plan->weight[linear]};

    node.n_in = 2;
    TSPK_TRY(tspk_walk_make(walk, out, slot, err));
    TSPK_TRY(tspk_walk_eval(walk, &node, in, slot, err));
    for (size_t r = 0; r < rows; r++) {
        const size_t row = node.attr.n_rows ? node.attr.rows[r] : r;
        const float *const bias =
            plan->point->bias[linear] +
            ((size_t)(t - 1) * plan->spikes->n_classes + site->row_class[row]) * record->n_out;
        float *const y = (float *)*slot + r * record->n_out;

        for (uint32_t o = 0; o < record->n_out; o++)
            y[o] += bias[o];
    }
    return TSPK_OK;
}

/* Step t of the site on `x`: its Linears' outputs, in version t or in the overlay. */
static tspk_status run_step(tspk_walk *walk, uint32_t site, uint32_t t, const float *x,
                            float *state, float *spikes, bool is_alone, tspk_error *err)
{
    const tspk_layer_plan *const plan = walk->plan;

    TSPK_TRY(tspk_walk_fire(walk, site, t, x, state, !is_alone, err));
    tspk_walk_decode(walk, site, t, state, spikes);
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++) {
        const tspk_spike_linear *const record = &plan->spikes->linear[i];
        const tspk_value_id out = plan->graph->node[record->node].out[0];

        if (record->site == site)
            TSPK_TRY(run_spikes(walk, i, t, spikes,
                                is_alone ? &walk->overlay[out]
                                         : &walk->value[(size_t)t * plan->graph->n_values + out],
                                err));
    }
    return TSPK_OK;
}

static tspk_status run_steps(tspk_walk *walk, uint32_t site, tspk_node_id first,
                             tspk_value_id input, bool is_alone, tspk_error *err)
{
    const size_t bytes = elems_of(&walk->plan->spikes->site[site]) * sizeof(float);
    const float *const source = tspk_walk_find(walk, input, 0);
    float *const spikes = tspk_walk_take(walk, bytes), *const state = tspk_walk_start(walk, site);

    if (!spikes || !state)
        return tspk_walk_no_memory(err);
    for (uint32_t t = 1; t <= walk->plan->steps; t++) {
        tspk_layer_sums *const sums = tspk_walk_sums(walk, site, t);
        const float *const x = is_alone ? source : tspk_walk_find(walk, input, t);

        TSPK_TRY(run_step(walk, site, t, x, state, spikes, is_alone, err));
        if (!is_alone) {
            tspk_walk_add(walk, site, 1.0f, walk->plan->point->site[site].prior, spikes);
            tspk_walk_measure(walk, site, t, source, spikes);
        }
        TSPK_TRY(tspk_walk_rest(walk, first, is_alone ? 0 : t,
                                is_alone ? &sums->kl_alone : &sums->kl_cumulative, err));
    }
    tspk_walk_give(walk, spikes);
    tspk_walk_give(walk, state);
    return TSPK_OK;
}

tspk_status tspk_walk_linear(tspk_walk *walk, uint32_t site, tspk_error *err)
{
    const tspk_layer_plan *const plan = walk->plan;
    tspk_node_id first = plan->graph->n_nodes;

    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        if (plan->spikes->linear[i].site == site) {
            if (plan->spikes->linear[i].node < first)
                first = plan->spikes->linear[i].node;
            TSPK_TRY(run_source(walk, i, err));
        }
    TSPK_TRY(run_steps(walk, site, first, plan->graph->node[first].in[0], true, err));
    return run_steps(walk, site, first, plan->graph->node[first].in[0], false, err);
}
