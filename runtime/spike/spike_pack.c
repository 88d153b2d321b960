/* SPDX-License-Identifier: Apache-2.0 */
/* Weights as the kernels read them. */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/spike/spike_plan.h"

#define NO_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the session's weights")

static void *take(tspk_spike_plan *plan, size_t count, size_t size)
{
    plan->weight_bytes += count * size;
    return tspk_arena_array(plan->arena, count, size);
}

/* Biases in the order of columns. */
static tspk_status order_bias(tspk_spike_plan *plan, tspk_linear_plan *at, tspk_error *err)
{
    const size_t n = at->linear->n_out, rows = (size_t)plan->steps * plan->n_classes;
    float *const bias = take(plan, rows * n, sizeof *bias);

    if (!bias)
        return NO_MEMORY(err);
    for (size_t r = 0; r < rows; r++)
        for (size_t j = 0; j < n; j++)
            bias[r * n + j] = at->bias[r * n + at->column[j]];
    at->bias = bias;
    return TSPK_OK;
}

static tspk_status plan_linear(tspk_spike_plan *plan, uint32_t id, tspk_error *err)
{
    tspk_linear_plan *const at = &plan->linear[id];
    const tspk_spike_linear *const linear = &plan->spikes->linear[id];
    const tspk_site *const site = &plan->spikes->site[linear->site];
    tspk_site_plan *const site_plan = &plan->site[linear->site];
    const tspk_node *const node = &plan->graph->node[linear->node];

    at->linear = linear;
    at->site = site_plan;
    at->site_id = linear->site;
    at->y_at = TSPK_NOWHERE;
    at->most_rows = TSPK_CHAIN_ROWS;
    at->bias = plan->point->bias[id];
    at->rows = node->attr.n_rows ? node->attr.n_rows : site->rows;
    at->width = linear->weight_bits == 8 && !site_plan->is_wide ? TSPK_WIDTH_BYTE : TSPK_WIDTH_WORD;
    at->tiles = tspk_pad_lanes(linear->n_out) / TSPK_LANES;
    at->tile_bytes = tspk_packed_bytes(at->width, site->n_groups, site->group_size, TSPK_LANES);
    at->weight = take(plan, at->tiles, at->tile_bytes);
    at->scale = take(plan, at->tiles * site->n_groups * TSPK_LANES, sizeof *at->scale);
    if (!at->weight || !at->scale)
        return NO_MEMORY(err);
    if (linear->weight_bits > site_plan->weight_bits)
        site_plan->weight_bits = linear->weight_bits;
    plan->node[linear->node].kind = TSPK_NODE_SPIKE_LINEAR;
    plan->node[linear->node].record = at;
    return at->column ? order_bias(plan, at, err) : TSPK_OK;
}

static void pack_linear(void *context, size_t i, int worker)
{
    const tspk_spike_plan *const plan = context;
    const tspk_linear_plan *const at = &plan->linear[i];
    const tspk_spike_linear *const linear = at->linear;

    (void)worker;
    tspk_pack_weights(plan->kernels, at->width, linear->n_out, at->column, at->site->site->n_groups,
                      at->site->site->group_size, linear->weight, linear->weight_bits,
                      linear->scale, at->weight, at->scale);
}

/* b(κ) - b(0) per step; *out stays NULL when a site has no offsets. */
static tspk_status offset_differences(tspk_spike_plan *plan, const tspk_site_plan *site,
                                      float **out, tspk_error *err)
{
    const size_t channels = site->site->channels, a_step = plan->n_classes * channels;
    bool is_any = false;

    for (uint32_t t = 0; t < plan->steps; t++)
        is_any |= site->params->step[t].offset != NULL;
    if (!is_any || plan->n_classes < 2)
        return TSPK_OK;
    *out = tspk_arena_array(plan->arena, plan->steps * a_step, sizeof **out);
    if (!*out)
        return NO_MEMORY(err);
    for (uint32_t t = 0; t < plan->steps; t++) {
        const float *const offset = site->params->step[t].offset;

        for (size_t i = 0; offset && i < a_step; i++)
            (*out)[t * a_step + i] = offset[i] - offset[i % channels];
    }
    return TSPK_OK;
}

static tspk_status plan_attention(tspk_spike_plan *plan, uint32_t id, tspk_error *err)
{
    tspk_attention_plan *const at = &plan->attention[id];
    const tspk_spike_attention *const attention = &plan->spikes->attention[id];
    const tspk_site *key;
    const tspk_site_step *key_step;

    *at =
        (tspk_attention_plan){.attention = attention, .node = &plan->graph->node[attention->node]};
    at->query_id = attention->query;
    at->key_id = attention->key;
    at->value_id = attention->value;
    at->numerator_id = attention->numerator;
    at->query = &plan->site[attention->query];
    at->key = &plan->site[attention->key];
    at->value = &plan->site[attention->value];
    at->numerator = &plan->site[attention->numerator];
    key = at->key->site;
    key_step = &at->key->params->step[0];
    at->heads = at->node->attr.heads;
    at->depth = key->channels / at->heads;
    at->width = at->value->site->channels / at->heads;
    at->queries = at->query->site->rows;
    at->keys = key->rows;
    at->keys_padded = tspk_pad_lanes(at->keys);
    at->width_padded = tspk_pad_lanes(at->width);
    at->logit_width = at->query->is_wide || at->key->is_wide ? TSPK_WIDTH_WORD : TSPK_WIDTH_BYTE;
    at->value_width =
        at->numerator->is_wide || at->value->is_wide ? TSPK_WIDTH_WORD : TSPK_WIDTH_BYTE;
    at->key_plane = at->heads * tspk_packed_bytes(at->logit_width, 1, at->depth, at->keys);
    at->value_plane = at->heads * tspk_packed_bytes(at->value_width, 1, at->keys, at->width);
    at->key_factor = tspk_arena_array(plan->arena, at->keys_padded, sizeof *at->key_factor);
    at->special = tspk_arena_array(plan->arena, at->keys, sizeof *at->special);
    if (!at->key_factor || !at->special)
        return NO_MEMORY(err);
    for (uint32_t j = 0; j < at->keys; j++) {
        at->key_factor[j] = ldexpf(key_step->scale[key->row_class[j]], key_step->shift);
        if (key->row_class[j] || at->value->site->row_class[j])
            at->special[at->n_special++] = j;
    }
    TSPK_TRY(offset_differences(plan, at->key, &at->key_offset, err));
    TSPK_TRY(offset_differences(plan, at->value, &at->value_offset, err));
    plan->node[attention->node].kind = TSPK_NODE_SPIKE_ATTENTION;
    plan->node[attention->node].record = at;
    return TSPK_OK;
}

/* weight [groups * n, inner] row-major, as a Linear and a Conv have it. */
static tspk_status pack_gemm(tspk_spike_plan *plan, uint32_t id, size_t groups, tspk_error *err)
{
    const tspk_node *const node = &plan->graph->node[id];
    const tspk_value *const weight = &plan->graph->value[node->in[1]];
    tspk_gemm_plan *const at = tspk_arena_alloc(plan->arena, sizeof *at);
    const float *from = weight->data;

    if (!at)
        return NO_MEMORY(err);
    if (!from ||
        (node->n_in > 2 && node->in[2] != TSPK_ID_NONE && !plan->graph->value[node->in[2]].data))
        return tspk_at_node(
            err, TSPK_FAIL(err, TSPK_UNSUPPORTED, "weight or bias is not a constant of the graph"),
            node->name, tspk_op_name(node->op));
    at->groups = groups;
    at->n = (size_t)weight->shape.dim[0] / groups;
    at->inner = tspk_shape_elems(&weight->shape) / (size_t)weight->shape.dim[0];
    at->tiles = tspk_pad_lanes(at->n) / TSPK_LANES;
    at->weight = take(plan, groups * at->tiles * at->inner * TSPK_LANES, sizeof *at->weight);
    if (!at->weight)
        return NO_MEMORY(err);
    for (size_t g = 0; g < groups; g++)
        for (size_t o = 0; o < at->n; o++, from += at->inner) {
            float *const to = at->weight +
                              (g * at->tiles + o / TSPK_LANES) * at->inner * TSPK_LANES +
                              o % TSPK_LANES;

            for (size_t k = 0; k < at->inner; k++)
                to[k * TSPK_LANES] = from[k];
        }
    if (node->n_in > 2 && node->in[2] != TSPK_ID_NONE)
        at->bias = plan->graph->value[node->in[2]].data;
    plan->node[id].record = at;
    return TSPK_OK;
}

tspk_status tspk_plan_weights(tspk_spike_plan *plan, tspk_error *err)
{
    const tspk_spikegraph *const spikes = plan->spikes;

    for (uint32_t i = 0; i < spikes->n_linears; i++)
        TSPK_TRY(plan_linear(plan, i, err));
    tspk_parallel_for(tspk_opening_threads(), spikes->n_linears, pack_linear, plan);
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        TSPK_TRY(plan_attention(plan, i, err));
    for (uint32_t i = 0; i < plan->graph->n_nodes; i++) {
        const tspk_node *const node = &plan->graph->node[i];
        tspk_node_plan *const at = &plan->node[i];

        if (at->kind != TSPK_NODE_EVAL)
            continue;
        if (node->op == TSPK_OP_LINEAR) {
            at->kind = TSPK_NODE_LINEAR;
            TSPK_TRY(pack_gemm(plan, i, 1, err));
        } else if (node->op == TSPK_OP_CONV) {
            at->kind = TSPK_NODE_CONV;
            TSPK_TRY(pack_gemm(plan, i, (size_t)node->attr.groups, err));
        } else if (node->op == TSPK_OP_MATMUL) {
            at->kind = TSPK_NODE_MATMUL;
        } else if (node->op == TSPK_OP_ATTENTION) {
            at->kind = TSPK_NODE_ATTENTION;
        }
    }
    return TSPK_OK;
}
