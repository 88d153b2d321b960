/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/made_network.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/cpu.h"
#include "core/rng.h"

enum {
    TOKENS = 197, /* 14 * 14 patches of 16 * 16 pixels, and a class token */
    CLASSES = TSPK_MADE_CLASSES,
    GROUP = 64
};

typedef struct maker {
    tspk_graph *graph;
    tspk_spikegraph *spikes;
    tspk_rng rng;
    tspk_made_size size;
    uint32_t steps;
    uint8_t *row_class;
} maker;

static void must(bool is_good)
{
    if (is_good)
        return;
    fprintf(stderr, "made_network: no memory, or a broken graph\n");
    exit(1);
}

static float normal(maker *m)
{
    float sum = -6.0f;

    for (int i = 0; i < 12; i++)
        sum += (float)(tspk_rng_next(&m->rng) >> 40) / 16777216.0f;
    return sum;
}

static tspk_value_id add_value(maker *m, int rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    const tspk_shape shape = {(uint8_t)rank, {a, b, c, d}};
    tspk_value_id id;

    must(tspk_graph_add_value(m->graph, "", TSPK_DTYPE_F32, &shape, &id, NULL) == TSPK_OK);
    return id;
}

static tspk_value_id add_constant(maker *m, int rank, int64_t a, int64_t b, int64_t c, int64_t d,
                                  float scale, float mean)
{
    tspk_tensor tensor = {TSPK_DTYPE_F32, {(uint8_t)rank, {a, b, c, d}}, NULL};
    const size_t n = tspk_shape_elems(&tensor.shape);
    float *const data = tspk_arena_array(m->graph->arena, n, sizeof *data);
    tspk_value_id id;

    must(data);
    for (size_t i = 0; i < n; i++)
        data[i] = mean + scale * normal(m);
    tensor.data = data;
    must(tspk_graph_add_constant(m->graph, "", &tensor, &id, NULL) == TSPK_OK);
    return id;
}

static tspk_node_id add_node(maker *m, tspk_op op, tspk_value_id a, tspk_value_id b,
                             tspk_value_id c, tspk_value_id out, const tspk_attr *attr)
{
    const tspk_value_id in[3] = {a, b, c};
    const uint32_t n_in = 1 + (b != TSPK_ID_NONE) + (c != TSPK_ID_NONE);
    tspk_node_id id;

    must(tspk_graph_insert_node(m->graph, m->graph->n_nodes, op, "", "", in, n_in, &out, 1, attr,
                                &id, NULL) == TSPK_OK);
    return id;
}

static tspk_value_id add_binary(maker *m, tspk_value_id a, tspk_value_id b)
{
    const tspk_value_id out = add_value(m, 3, 1, TOKENS, m->size.width, 0);

    add_node(m, TSPK_OP_ADD, a, b, TSPK_ID_NONE, out, NULL);
    return out;
}

static tspk_value_id add_norm(maker *m, tspk_value_id x, int64_t rows)
{
    const tspk_attr attr = {.axis = 2, .epsilon = 1e-6f};
    const tspk_value_id out = add_value(m, 3, 1, rows, m->size.width, 0);

    add_node(m, TSPK_OP_LAYER_NORM, x, add_constant(m, 1, m->size.width, 0, 0, 0, 0.1f, 1.0f),
             add_constant(m, 1, m->size.width, 0, 0, 0, 0.1f, 0.0f), out, &attr);
    return out;
}

static uint32_t add_site(maker *m, tspk_site_kind kind, tspk_value_id input, tspk_node_id node,
                         uint32_t rows, uint32_t channels)
{
    tspk_arena *const arena = m->spikes->arena;
    const uint32_t id = m->spikes->n_sites++;
    tspk_site *const site = &m->spikes->site[id];
    tspk_site_params *const params = &m->spikes->point[0].site[id];
    char name[32];
    const bool is_numerator = kind == TSPK_SITE_NUMERATOR;

    snprintf(name, sizeof name, "site%u", id);
    *site = (tspk_site){.name = tspk_arena_text(arena, name),
                        .kind = kind,
                        .input = input,
                        .node = node,
                        .rows = rows,
                        .channels = channels,
                        .keys = is_numerator ? TOKENS : 0,
                        .row_class = m->row_class};
    site->unit = tspk_arena_array(arena, channels, sizeof *site->unit);
    for (uint32_t c = 0; c < channels; c++)
        site->unit[c] = (is_numerator ? 1.0f : 3.0f) / 127.0f;
    if (kind == TSPK_SITE_LINEAR) {
        site->group_size = GROUP;
        site->n_groups = (channels + GROUP - 1) / GROUP;
        site->order = tspk_arena_array(arena, site->n_groups * GROUP, sizeof *site->order);
        for (uint32_t p = 0; p < site->n_groups * GROUP; p++)
            site->order[p] = p < channels ? (p * 7919u) % channels : UINT32_MAX;
    }
    params->step = tspk_arena_array(arena, m->steps, sizeof *params->step);
    for (uint32_t t = 0; t < m->steps; t++) {
        tspk_site_step *const step = &params->step[t];

        step->shift = kind == TSPK_SITE_LINEAR ? 0 : (int32_t)(3 * t);
        step->gain = tspk_arena_array(arena, 2 * (size_t)channels, sizeof *step->gain);
        for (uint32_t c = 0; c < 2 * channels; c++)
            step->gain[c] = 1.0f;
        for (int k = 0; k < 2; k++) {
            tspk_ladder *const ladder = &step->ladder[k];

            step->scale[k] = ldexpf(1.0f, -3 * (int)t);
            ladder->kind = TSPK_LADDER_FITTED;
            ladder->n_values = 16;
            ladder->value = tspk_arena_array(arena, 16, sizeof *ladder->value);
            for (int i = 0; i < 16; i++)
                ladder->value[i] = is_numerator && t == 0 ? 127.0f * powf(0.72f, (float)(15 - i))
                                                          : (float)(i < 8 ? i - 8 : i - 7) * 15.8f;
        }
    }
    return id;
}

static tspk_value_id add_linear(maker *m, uint32_t site, uint32_t n_out, int64_t rows, int rank)
{
    const tspk_site *const at = &m->spikes->site[site];
    tspk_arena *const arena = m->spikes->arena;
    const uint32_t id = m->spikes->n_linears++;
    tspk_spike_linear *const linear = &m->spikes->linear[id];
    const size_t n = (size_t)n_out * at->n_groups * GROUP;
    const tspk_value_id out =
        rank == 2 ? add_value(m, 2, 1, n_out, 0, 0) : add_value(m, 3, 1, rows, n_out, 0);
    int8_t *const weight = tspk_arena_array(arena, n, 1);

    linear->node = add_node(m, TSPK_OP_LINEAR, at->input, TSPK_ID_NONE, TSPK_ID_NONE, out, NULL);
    linear->site = site;
    linear->n_out = n_out;
    linear->weight_bits = 8;
    linear->weight = weight;
    linear->scale = tspk_arena_array(arena, (size_t)at->n_groups * n_out, sizeof *linear->scale);
    m->spikes->point[0].bias[id] =
        tspk_arena_array(arena, 2 * (size_t)m->steps * n_out, sizeof(float));
    must(weight && linear->scale && m->spikes->point[0].bias[id]);
    for (size_t i = 0; i < n; i++)
        weight[i] = at->order[i % (at->n_groups * GROUP)] == UINT32_MAX
                        ? 0
                        : (int8_t)((int)tspk_rng_below(&m->rng, 255) - 127);
    for (size_t i = 0; i < (size_t)at->n_groups * n_out; i++)
        linear->scale[i] = 1.0f / (42.0f * 73.0f * sqrtf((float)at->channels));
    return out;
}

static tspk_value_id add_block(maker *m, tspk_value_id x)
{
    const tspk_attr attr = {.heads = m->size.heads, .scale = 0.125f};
    const tspk_value_id norm = add_norm(m, x, TOKENS);
    const uint32_t qkv = add_site(m, TSPK_SITE_LINEAR, norm, TSPK_ID_NONE, TOKENS, m->size.width);
    const tspk_value_id q = add_linear(m, qkv, m->size.width, TOKENS, 3);
    const tspk_value_id k = add_linear(m, qkv, m->size.width, TOKENS, 3);
    const tspk_value_id v = add_linear(m, qkv, m->size.width, TOKENS, 3);
    const tspk_value_id mixed = add_value(m, 3, 1, TOKENS, m->size.width, 0);
    const tspk_node_id node = add_node(m, TSPK_OP_ATTENTION, q, k, v, mixed, &attr);
    tspk_spike_attention *const at = &m->spikes->attention[m->spikes->n_attentions++];
    tspk_value_id sum, hidden;
    uint32_t site;

    *at = (tspk_spike_attention){.node = node};
    at->query = add_site(m, TSPK_SITE_QUERY, q, node, TOKENS, m->size.width);
    at->key = add_site(m, TSPK_SITE_KEY, k, node, TOKENS, m->size.width);
    at->value = add_site(m, TSPK_SITE_VALUE, v, node, TOKENS, m->size.width);
    at->numerator = add_site(m, TSPK_SITE_NUMERATOR, TSPK_ID_NONE, node, TOKENS, m->size.heads);
    site = add_site(m, TSPK_SITE_LINEAR, mixed, TSPK_ID_NONE, TOKENS, m->size.width);
    sum = add_binary(m, x, add_linear(m, site, m->size.width, TOKENS, 3));
    site = add_site(m, TSPK_SITE_LINEAR, add_norm(m, sum, TOKENS), TSPK_ID_NONE, TOKENS, m->size.width);
    hidden = add_value(m, 3, 1, TOKENS, 4 * m->size.width, 0);
    add_node(m, TSPK_OP_GELU, add_linear(m, site, 4 * m->size.width, TOKENS, 3), TSPK_ID_NONE, TSPK_ID_NONE,
             hidden, NULL);
    site = add_site(m, TSPK_SITE_LINEAR, hidden, TSPK_ID_NONE, TOKENS, 4 * m->size.width);
    return add_binary(m, sum, add_linear(m, site, m->size.width, TOKENS, 3));
}

static void add_network(maker *m)
{
    const tspk_attr conv = {.strides = {16, 16}, .dilations = {1, 1}, .groups = 1};
    const tspk_attr turn = {.n_axes = 3, .axes = {0, 2, 1}};
    const tspk_attr join = {.axis = 1};
    const tspk_attr first = {.n_axes = 3, .starts = {0, 0, 0}, .steps = {1, 1, 1}};
    const tspk_value_id image = add_value(m, 4, 1, 3, 224, 224);
    const tspk_value_id patches = add_value(m, 4, 1, m->size.width, 14, 14);
    const tspk_value_id flat = add_value(m, 3, 1, m->size.width, 196, 0);
    const tspk_value_id turned = add_value(m, 3, 1, 196, m->size.width, 0);
    const tspk_value_id joined = add_value(m, 3, 1, TOKENS, m->size.width, 0);
    const tspk_value_id picked = add_value(m, 3, 1, 1, m->size.width, 0);
    const tspk_value_id row = add_value(m, 2, 1, m->size.width, 0, 0);
    tspk_value_id x;
    uint32_t head;

    m->graph->input = tspk_arena_copy(m->graph->arena, &image, sizeof image);
    m->graph->n_inputs = 1;
    add_node(m, TSPK_OP_CONV, image, add_constant(m, 4, m->size.width, 3, 16, 16, 0.036f, 0.0f),
             add_constant(m, 1, m->size.width, 0, 0, 0, 0.1f, 0.0f), patches, &conv);
    add_node(m, TSPK_OP_RESHAPE, patches, TSPK_ID_NONE, TSPK_ID_NONE, flat, NULL);
    add_node(m, TSPK_OP_TRANSPOSE, flat, TSPK_ID_NONE, TSPK_ID_NONE, turned, &turn);
    add_node(m, TSPK_OP_CONCAT, add_constant(m, 3, 1, 1, m->size.width, 0, 1.0f, 0.0f), turned,
             TSPK_ID_NONE, joined, &join);
    x = add_binary(m, joined, add_constant(m, 3, 1, TOKENS, m->size.width, 0, 0.1f, 0.0f));
    for (uint32_t i = 0; i < m->size.blocks; i++)
        x = add_block(m, x);
    x = add_norm(m, x, TOKENS);
    add_node(m, TSPK_OP_SLICE, x, TSPK_ID_NONE, TSPK_ID_NONE, picked, &first);
    add_node(m, TSPK_OP_RESHAPE, picked, TSPK_ID_NONE, TSPK_ID_NONE, row, NULL);
    head = add_site(m, TSPK_SITE_LINEAR, row, TSPK_ID_NONE, 1, m->size.width);
    m->spikes->site[head].is_head = true;
    x = add_linear(m, head, CLASSES, 1, 2);
    m->graph->output = tspk_arena_copy(m->graph->arena, &x, sizeof x);
    m->graph->n_outputs = 1;
}

tspk_spikegraph *tspk_made_network(tspk_made_size size, uint32_t steps)
{
    maker m = {.size = size, .steps = steps, .rng = {1}};
    tspk_arena *arena;
    tspk_error err;
    char line[512];

    tspk_error_init(&err);
    must(tspk_graph_new(0, &m.graph, NULL) == TSPK_OK);
    must(tspk_spikegraph_new(m.graph, &m.spikes, NULL) == TSPK_OK);
    arena = m.spikes->arena;
    m.spikes->n_classes = 2;
    m.spikes->site = tspk_arena_array(arena, 8 * m.size.blocks + 1, sizeof(tspk_site));
    m.spikes->linear = tspk_arena_array(arena, 6 * m.size.blocks + 1, sizeof(tspk_spike_linear));
    m.spikes->attention = tspk_arena_array(arena, m.size.blocks, sizeof(tspk_spike_attention));
    m.spikes->point = tspk_arena_array(arena, 1, sizeof(tspk_point));
    m.spikes->n_points = 1;
    m.spikes->point[0].name = "exact";
    m.spikes->point[0].n_steps = steps;
    m.spikes->point[0].n_levels = 8;
    m.spikes->point[0].site = tspk_arena_array(arena, 8 * m.size.blocks + 1, sizeof(tspk_site_params));
    m.spikes->point[0].bias = tspk_arena_array(arena, 6 * m.size.blocks + 1, sizeof(float *));
    m.spikes->ann_cost = (tspk_ann_cost){
        .linear = (uint64_t)TOKENS * size.blocks * 12 * size.width * size.width,
        .product = (uint64_t)TOKENS * TOKENS * size.blocks * 2 * size.width,
        .stem = (uint64_t)(TOKENS - 1) * 768 * size.width,
        .head = (uint64_t)CLASSES * size.width};
    m.row_class = tspk_arena_array(arena, TOKENS, 1);
    m.row_class[0] = 1;
    add_network(&m);
    if (tspk_spikegraph_verify(m.spikes, &err) != TSPK_OK) {
        tspk_error_format(&err, line, sizeof line);
        fprintf(stderr, "made_network: %s\n", line);
        exit(1);
    }
    return m.spikes;
}
