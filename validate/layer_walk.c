/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/layer_walk.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_eval.h"
#include "validate/metrics.h"

tspk_status tspk_walk_no_memory(tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the diagnosis of layers");
}

void *tspk_walk_take(tspk_walk *walk, size_t bytes)
{
    tspk_walk_block *blocks;
    void *memory;

    for (size_t i = 0; i < walk->n_blocks; i++)
        if (!walk->block[i].is_taken && walk->block[i].bytes == bytes) {
            walk->block[i].is_taken = true;
            return walk->block[i].memory;
        }
    blocks = realloc(walk->block, (walk->n_blocks + 1) * sizeof *blocks);
    if (!blocks)
        return NULL;
    walk->block = blocks;
    memory = aligned_alloc(64, (bytes + 64) / 64 * 64);
    if (memory)
        walk->block[walk->n_blocks++] = (tspk_walk_block){memory, bytes, true};
    return memory;
}

void tspk_walk_give(tspk_walk *walk, void *memory)
{
    for (size_t i = 0; memory && i < walk->n_blocks; i++)
        if (walk->block[i].memory == memory)
            walk->block[i].is_taken = false;
}

static size_t value_bytes(const tspk_walk *walk, tspk_value_id id)
{
    const tspk_value *const value = &walk->plan->graph->value[id];

    return tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype);
}

static void **slot_of(const tspk_walk *walk, tspk_value_id id, uint32_t version)
{
    if (walk->plan->is_static[id])
        version = 0;
    return &walk->value[(size_t)version * walk->plan->graph->n_values + id];
}

void *tspk_walk_find(const tspk_walk *walk, tspk_value_id id, uint32_t version)
{
    const tspk_graph *const graph = walk->plan->graph;

    if (graph->value[id].data)
        return (void *)(uintptr_t)graph->value[id].data;
    if (id == graph->input[0])
        return (void *)(uintptr_t)walk->image;
    return walk->overlay[id] ? walk->overlay[id] : *slot_of(walk, id, version);
}

tspk_status tspk_walk_make(tspk_walk *walk, tspk_value_id id, void **slot, tspk_error *err)
{
    *slot = tspk_walk_take(walk, value_bytes(walk, id));
    return *slot ? TSPK_OK : tspk_walk_no_memory(err);
}

tspk_status tspk_walk_eval(const tspk_walk *walk, const tspk_node *node, void *const *in,
                           void *const *out, tspk_error *err)
{
    tspk_tensor inputs[TSPK_MAX_NODE_INPUTS] = {{0}}, outputs[TSPK_MAX_NODE_OUTPUTS];

    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE) {
            inputs[i] = tspk_value_tensor(&walk->plan->graph->value[node->in[i]]);
            inputs[i].data = in[i];
        }
    for (uint32_t i = 0; i < node->n_out; i++) {
        outputs[i] = tspk_value_tensor(&walk->plan->graph->value[node->out[i]]);
        outputs[i].data = out[i];
    }
    return tspk_at_node(err, tspk_op_eval(node, inputs, outputs, walk->scratch, err), node->name,
                        tspk_op_name(node->op));
}

/* Evaluates a node on a version; its outputs go where `slot` says for each. */
static tspk_status eval_version(tspk_walk *walk, const tspk_node *node, uint32_t version,
                                bool is_overlaid, tspk_error *err)
{
    void *in[TSPK_MAX_NODE_INPUTS] = {NULL}, *out[TSPK_MAX_NODE_OUTPUTS];

    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE)
            in[i] = tspk_walk_find(walk, node->in[i], version);
    for (uint32_t i = 0; i < node->n_out; i++) {
        void **const slot =
            is_overlaid ? &walk->overlay[node->out[i]] : slot_of(walk, node->out[i], version);

        TSPK_TRY(tspk_walk_make(walk, node->out[i], slot, err));
        out[i] = *slot;
    }
    return tspk_walk_eval(walk, node, in, out, err);
}

static void drop_overlay(tspk_walk *walk, tspk_value_id id)
{
    tspk_walk_give(walk, walk->overlay[id]);
    walk->overlay[id] = NULL;
}

static tspk_status run_rest(tspk_walk *walk, tspk_node_id first, uint32_t version, tspk_error *err)
{
    const tspk_graph *const graph = walk->plan->graph;

    for (tspk_node_id n = first; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        if (!tspk_walk_find(walk, node->out[0], version))
            TSPK_TRY(eval_version(walk, node, version, true, err));
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE && walk->plan->last_use[node->in[i]] == n)
                drop_overlay(walk, node->in[i]);
    }
    return TSPK_OK;
}

static size_t count_classes(const tspk_walk *walk)
{
    return tspk_shape_last(&walk->plan->graph->value[walk->plan->graph->output[0]].shape);
}

tspk_status tspk_walk_rest(tspk_walk *walk, tspk_node_id first, uint32_t version, double *kl_out,
                           tspk_error *err)
{
    const tspk_graph *const graph = walk->plan->graph;
    const bool is_wanted = walk->plan->has_outputs;
    const tspk_status status = is_wanted ? run_rest(walk, first, version, err) : TSPK_OK;

    if (status == TSPK_OK && is_wanted)
        *kl_out += tspk_kl_of_logits(walk->logits, tspk_walk_find(walk, graph->output[0], version),
                                     count_classes(walk));
    for (uint32_t i = 0; i < graph->n_values; i++)
        drop_overlay(walk, i);
    return status;
}

/* The source network's logits, before anything is known. */
static tspk_status run_source(tspk_walk *walk, tspk_error *err)
{
    const tspk_graph *const graph = walk->plan->graph;

    TSPK_TRY(run_rest(walk, 0, 0, err));
    memcpy(walk->logits, tspk_walk_find(walk, graph->output[0], 0),
           count_classes(walk) * sizeof *walk->logits);
    for (uint32_t i = 0; i < graph->n_values; i++)
        drop_overlay(walk, i);
    return TSPK_OK;
}

static tspk_status walk_node(tspk_walk *walk, tspk_node_id n, tspk_error *err)
{
    const tspk_layer_plan *const plan = walk->plan;
    const tspk_node *const node = &plan->graph->node[n];
    const uint32_t linear = plan->linear_of[n], attention = plan->attention_of[n];
    const uint32_t last = plan->is_static[node->out[0]] ? 0 : plan->steps;

    if (attention != UINT32_MAX)
        return tspk_walk_attention(walk, attention, err);
    if (linear != UINT32_MAX)
        return tspk_walk_find(walk, node->out[0], 0)
                   ? TSPK_OK /* with the first Linear of its site */
                   : tspk_walk_linear(walk, plan->spikes->linear[linear].site, err);
    for (uint32_t version = 0; version <= last; version++)
        TSPK_TRY(eval_version(walk, node, version, false, err));
    return TSPK_OK;
}

static void release_inputs(tspk_walk *walk, tspk_node_id n)
{
    const tspk_layer_plan *const plan = walk->plan;
    const tspk_node *const node = &plan->graph->node[n];

    for (uint32_t i = 0; i < node->n_in; i++)
        if (node->in[i] != TSPK_ID_NONE && plan->last_use[node->in[i]] == n)
            for (uint32_t version = 0; version <= plan->steps; version++) {
                void **const slot = slot_of(walk, node->in[i], version);

                tspk_walk_give(walk, *slot);
                *slot = NULL;
            }
}

static tspk_status walk_all(tspk_walk *walk, tspk_error *err)
{
    const tspk_graph *const graph = walk->plan->graph;

    TSPK_TRY(run_source(walk, err));
    for (tspk_node_id n = 0; n < graph->n_nodes; n++) {
        TSPK_TRY(walk_node(walk, n, err));
        release_inputs(walk, n);
    }
    return TSPK_OK;
}

tspk_status tspk_layer_walk(const tspk_layer_plan *plan, const float *image, tspk_layer_sums *sums,
                            tspk_error *err)
{
    const size_t n_values = plan->graph->n_values;
    tspk_walk walk = {.plan = plan, .image = image, .sums = sums};
    tspk_status status;

    walk.value = calloc(n_values * (plan->steps + 1), sizeof *walk.value);
    walk.overlay = calloc(n_values, sizeof *walk.overlay);
    walk.scratch = aligned_alloc(64, (plan->scratch_bytes + 127) / 64 * 64);
    walk.logits = calloc(count_classes(&walk), sizeof *walk.logits);
    status = walk.value && walk.overlay && walk.scratch && walk.logits ? walk_all(&walk, err)
                                                                       : tspk_walk_no_memory(err);
    for (size_t i = 0; i < walk.n_blocks; i++)
        free(walk.block[i].memory);
    free(walk.block);
    free(walk.logits);
    free(walk.scratch);
    free(walk.overlay);
    free(walk.value);
    return status;
}
