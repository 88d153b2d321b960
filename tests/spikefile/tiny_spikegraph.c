/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/spikefile/tiny_spikegraph.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/rng.h"

#define GROUP 8u

/* A Linear node as the float network has it. */
#define ANALOG_LINEAR 4 /* fc1 of block 0 */

typedef struct dense {
    tspk_node_id node;
    tspk_value_id input;
    uint32_t n_in, n_out;
    const float *weight, *bias;
} dense;

typedef struct builder {
    const tiny_settings *settings;
    tspk_graph *graph;
    tspk_rng rng;
    bool is_spiking;
    dense linear[TINY_LINEARS];
    uint32_t n_linears;
    tspk_node_id attention[TINY_ATTENTIONS];
    uint32_t n_attentions;
} builder;

static void must(bool is_fine, const char *what)
{
    if (is_fine)
        return;
    fprintf(stderr, "tiny_spikegraph: %s failed\n", what);
    exit(1);
}

static float uniform(tspk_rng *rng, float least, float most)
{
    return least + (most - least) * (float)(tspk_rng_next(rng) >> 40) * 0x1p-24f;
}

/* Nearly normal, deviation 1. */
static float normal(tspk_rng *rng)
{
    float sum = 0.0f;

    for (int i = 0; i < 12; i++)
        sum += uniform(rng, -0.5f, 0.5f);
    return sum;
}

static void *take(tspk_arena *arena, size_t count, size_t size)
{
    void *const p = tspk_arena_array(arena, count, size);

    must(p, "tspk_arena_array");
    return p;
}

static float *take_random(tspk_arena *arena, tspk_rng *rng, size_t n, float mean, float deviation)
{
    float *const x = take(arena, n, sizeof *x);

    for (size_t i = 0; i < n; i++)
        x[i] = mean + deviation * normal(rng);
    return x;
}

/* --- the network --- */

static tspk_shape shape_of(uint8_t rank, int64_t a, int64_t b, int64_t c, int64_t d)
{
    return (tspk_shape){rank, {a, b, c, d}};
}

static tspk_value_id add_value(builder *b, const char *name, tspk_shape shape)
{
    tspk_value_id id;

    must(!tspk_graph_add_value(b->graph, name, TSPK_DTYPE_F32, &shape, &id, NULL), name);
    return id;
}

static tspk_value_id add_constant(builder *b, const char *name, tspk_shape shape, const float *data)
{
    const tspk_tensor tensor = {TSPK_DTYPE_F32, shape, (void *)(uintptr_t)data};
    tspk_value_id id;

    must(!tspk_graph_add_constant(b->graph, name, &tensor, &id, NULL), name);
    return id;
}

static tspk_value_id add_random(builder *b, const char *name, tspk_shape shape, float mean,
                                float deviation)
{
    return add_constant(
        b, name, shape,
        take_random(b->graph->arena, &b->rng, tspk_shape_elems(&shape), mean, deviation));
}

static tspk_value_id add_node(builder *b, tspk_op op, const char *name, const tspk_value_id *in,
                              uint32_t n_in, tspk_shape shape, const tspk_attr *attr)
{
    const tspk_value_id out = add_value(b, name, shape);

    must(!tspk_graph_insert_node(b->graph, b->graph->n_nodes, op, name, tspk_op_name(op), in, n_in,
                                 &out, 1, attr, NULL, NULL),
         name);
    return out;
}

static tspk_value_id add_layer_norm(builder *b, const char *name, tspk_value_id x)
{
    const tspk_shape shape = b->graph->value[x].shape;
    const tspk_shape last = shape_of(1, TINY_WIDTH, 0, 0, 0);
    const tspk_attr attr = {.axis = shape.rank - 1, .epsilon = 1e-5f};
    const tspk_value_id in[3] = {x, add_random(b, "norm.weight", last, 1.0f, 0.1f),
                                 add_random(b, "norm.bias", last, 0.0f, 0.1f)};

    return add_node(b, TSPK_OP_LAYER_NORM, name, in, 3, shape, &attr);
}

static bool is_analog(const tiny_settings *settings, uint32_t linear)
{
    return settings->has_analog && linear == ANALOG_LINEAR;
}

/* is_class_only: of several rows, only the class token's is computed. */
static tspk_value_id add_linear(builder *b, const char *name, tspk_value_id x, uint32_t n_out,
                                bool is_class_only)
{
    static const uint32_t class_row[1] = {0};
    tspk_shape shape = b->graph->value[x].shape;
    const uint32_t n_in = (uint32_t)tspk_shape_last(&shape);
    const float *const weight = take_random(b->graph->arena, &b->rng, (size_t)n_in * n_out, 0.0f,
                                            1.0f / sqrtf((float)n_in));
    const float *const bias = take_random(b->graph->arena, &b->rng, n_out, 0.0f, 0.2f);
    tspk_value_id in[3] = {x, TSPK_ID_NONE, TSPK_ID_NONE};
    tspk_attr attr = {0};
    const bool is_spiking = b->is_spiking && !is_analog(b->settings, b->n_linears);

    b->linear[b->n_linears++] = (dense){b->graph->n_nodes, x, n_in, n_out, weight, bias};
    if (!is_spiking) {
        in[1] = add_constant(b, "weight", shape_of(2, n_out, n_in, 0, 0), weight);
        in[2] = add_constant(b, "bias", shape_of(1, n_out, 0, 0, 0), bias);
    }
    if (is_class_only) {
        attr.n_rows = 1;
        attr.rows = tspk_arena_copy(b->graph->arena, class_row, sizeof class_row);
        must(attr.rows, "tspk_arena_copy");
        shape.dim[shape.rank - 2] = 1;
    }
    shape.dim[shape.rank - 1] = n_out;
    return add_node(b, TSPK_OP_LINEAR, name, in, is_spiking ? 1 : 3, shape, &attr);
}

static tspk_value_id add_sum(builder *b, const char *name, tspk_value_id x, tspk_value_id y)
{
    const tspk_value_id in[2] = {x, y};

    return add_node(b, TSPK_OP_ADD, name, in, 2, b->graph->value[x].shape, NULL);
}

static tspk_value_id add_block(builder *b, tspk_value_id x, bool is_last)
{
    const tspk_attr slice = {.steps = {1, 1, 1}};
    const tspk_attr heads = {.heads = TINY_HEADS,
                             .scale = 1.0f / sqrtf((float)TINY_WIDTH / TINY_HEADS)};
    const tspk_attr gelu = {.mode = TSPK_GELU_ERF};
    const tspk_value_id normal_x = add_layer_norm(b, "norm1", x);
    tspk_value_id qkv[3], y;

    qkv[0] = add_linear(b, "q", normal_x, TINY_WIDTH, is_last);
    qkv[1] = add_linear(b, "k", normal_x, TINY_WIDTH, false);
    qkv[2] = add_linear(b, "v", normal_x, TINY_WIDTH, false);
    b->attention[b->n_attentions++] = b->graph->n_nodes;
    y = add_node(b, TSPK_OP_ATTENTION, "attention", qkv, 3, b->graph->value[qkv[0]].shape, &heads);
    y = add_linear(b, "proj", y, TINY_WIDTH, false);
    if (is_last)
        x = add_node(b, TSPK_OP_SLICE, "class_token", &x, 1, b->graph->value[y].shape, &slice);
    x = add_sum(b, "residual1", x, y);
    y = add_layer_norm(b, "norm2", x);
    y = add_linear(b, "fc1", y, TINY_HIDDEN, false);
    y = add_node(b, TSPK_OP_GELU, "gelu", &y, 1, b->graph->value[y].shape, &gelu);
    y = add_linear(b, "fc2", y, TINY_WIDTH, false);
    return add_sum(b, "residual2", x, y);
}

static void build_network(builder *b)
{
    const tspk_attr stem = {.strides = {4, 4}, .dilations = {1, 1}, .groups = 1};
    const tspk_attr swap = {.n_axes = 3, .axes = {0, 2, 1}};
    const tspk_attr concat = {.axis = 1};
    tspk_value_id in[3], x;

    must(!tspk_graph_new(0, &b->graph, NULL), "tspk_graph_new");
    x = add_value(b, "image", shape_of(4, 1, 1, 8, 8));
    b->graph->input = take(b->graph->arena, 1, sizeof *b->graph->input);
    b->graph->input[0] = x;
    b->graph->n_inputs = 1;
    in[0] = x;
    in[1] = add_random(b, "stem.weight", shape_of(4, TINY_WIDTH, 1, 4, 4), 0.0f, 0.25f);
    in[2] = add_random(b, "stem.bias", shape_of(1, TINY_WIDTH, 0, 0, 0), 0.0f, 0.1f);
    x = add_node(b, TSPK_OP_CONV, "stem", in, 3, shape_of(4, 1, TINY_WIDTH, 2, 2), &stem);
    x = add_node(b, TSPK_OP_RESHAPE, "flat", &x, 1, shape_of(3, 1, TINY_WIDTH, 4, 0), NULL);
    x = add_node(b, TSPK_OP_TRANSPOSE, "patches", &x, 1, shape_of(3, 1, 4, TINY_WIDTH, 0), &swap);
    in[0] = add_random(b, "class", shape_of(3, 1, 1, TINY_WIDTH, 0), 0.0f, 1.0f);
    in[1] = x;
    x = add_node(b, TSPK_OP_CONCAT, "tokens", in, 2, shape_of(3, 1, TINY_TOKENS, TINY_WIDTH, 0),
                 &concat);
    x = add_sum(b, "embedded", x,
                add_random(b, "positions", shape_of(3, 1, TINY_TOKENS, TINY_WIDTH, 0), 0.0f, 0.5f));
    x = add_block(b, x, false);
    x = add_block(b, x, true);
    x = add_layer_norm(b, "norm", x);
    x = add_linear(b, "head", x, TINY_CLASSES, false);
    x = add_node(b, TSPK_OP_RESHAPE, "logits", &x, 1, shape_of(2, 1, TINY_CLASSES, 0, 0), NULL);
    b->graph->output = take(b->graph->arena, 1, sizeof *b->graph->output);
    b->graph->output[0] = x;
    b->graph->n_outputs = 1;
    b->graph->opset = 17;
    memset(b->graph->source_sha256, 'a', 64);
    b->graph->producer = "toy";
}

/* --- sites --- */

static void set_name(tspk_spikegraph *spikes, tspk_site *site, uint32_t block, const char *what)
{
    char text[64];

    if (block < TINY_ATTENTIONS)
        snprintf(text, sizeof text, "blocks.%u.%s", block, what);
    else
        snprintf(text, sizeof text, "%s", what);
    site->name = tspk_arena_text(spikes->arena, text);
    must(site->name, "tspk_arena_text");
}

/* Rows of the class token are those of values with one row, and row 0 of all others. */
static void set_rows(tspk_spikegraph *spikes, tspk_site *site, uint32_t rows)
{
    uint8_t *const classes = take(spikes->arena, rows, 1);

    classes[0] = 1;
    site->rows = rows;
    site->row_class = classes;
}

static void set_units(const builder *b, tspk_spikegraph *spikes, tspk_site *site, tspk_rng *rng)
{
    const float top = site->kind == TSPK_SITE_NUMERATOR ? 1.0f : 3.0f;
    const bool is_per_head = site->kind == TSPK_SITE_QUERY || site->kind == TSPK_SITE_KEY;

    site->unit = take(spikes->arena, site->channels, sizeof *site->unit);
    for (uint32_t c = 0; c < site->channels; c++) {
        const float unit = top / (b->settings->is_exponent ? 128.0f : 127.0f);

        site->unit[c] = is_per_head && c % (TINY_WIDTH / TINY_HEADS)
                            ? site->unit[c - 1]
                            : unit * uniform(rng, 0.9f, 1.3f);
    }
}

/* Channels in random order, padding at the end of the last group. */
static void set_order(tspk_spikegraph *spikes, tspk_site *site, uint64_t seed)
{
    size_t order[TINY_HIDDEN];
    const uint32_t positions = (site->channels + GROUP - 1) / GROUP * GROUP;

    site->group_size = GROUP;
    site->n_groups = positions / GROUP;
    site->order = take(spikes->arena, positions, sizeof *site->order);
    tspk_rng_shuffle(seed, order, site->channels);
    for (uint32_t p = 0; p < positions; p++)
        site->order[p] = p < site->channels ? (uint32_t)order[p] : UINT32_MAX;
}

static uint32_t add_site(builder *b, tspk_spikegraph *spikes, uint32_t block, const char *what,
                         tspk_site_kind kind, tspk_value_id input, tspk_node_id node)
{
    tspk_site *const site = &spikes->site[spikes->n_sites];
    const tspk_graph *const graph = b->graph;

    *site = (tspk_site){.kind = kind, .input = input, .node = node};
    set_name(spikes, site, block, what);
    if (kind == TSPK_SITE_NUMERATOR) {
        site->channels = TINY_HEADS;
        site->keys = TINY_TOKENS;
        set_rows(spikes, site,
                 (uint32_t)tspk_shape_rows(&graph->value[graph->node[node].in[0]].shape));
    } else {
        site->channels = (uint32_t)tspk_shape_last(&graph->value[input].shape);
        set_rows(spikes, site, (uint32_t)tspk_shape_rows(&graph->value[input].shape));
    }
    if (site->rows == 1 && block < TINY_ATTENTIONS) {
        site->source_row = take(spikes->arena, 1, sizeof *site->source_row);
        site->source_rows = TINY_TOKENS;
    }
    set_units(b, spikes, site, &b->rng);
    if (kind == TSPK_SITE_LINEAR)
        set_order(spikes, site, b->settings->seed + spikes->n_sites);
    return spikes->n_sites++;
}

static void add_analog_site(const builder *b, tspk_spikegraph *spikes, const char *name,
                            tspk_site_kind kind, tspk_value_id input, tspk_node_id node)
{
    tspk_analog_site *const site = &spikes->analog_site[spikes->n_analog_sites++];
    const bool is_numerator = kind == TSPK_SITE_NUMERATOR;

    *site = (tspk_analog_site){.name = name,
                               .kind = kind,
                               .input = input,
                               .node = node,
                               .rows = TINY_TOKENS,
                               .channels = TINY_HEADS,
                               .keys = is_numerator ? TINY_TOKENS : 0};
    if (!is_numerator)
        site->channels = (uint32_t)tspk_shape_last(&b->graph->value[input].shape);
}

/* weight[o, p] * scale[g, o] ≈ W[o, c] unit[c] */
static void add_record(builder *b, tspk_spikegraph *spikes, uint32_t index, uint32_t site_id)
{
    const dense *const from = &b->linear[index];
    const tspk_site *const site = &spikes->site[site_id];
    const float most = b->settings->weight_bits == 8 ? 127.0f : 32767.0f;
    const uint32_t positions = site->group_size * site->n_groups;
    tspk_spike_linear *const to = &spikes->linear[spikes->n_linears++];

    *to = (tspk_spike_linear){.node = from->node,
                              .site = site_id,
                              .n_out = from->n_out,
                              .weight_bits = b->settings->weight_bits};
    to->weight = take(spikes->arena, (size_t)from->n_out * positions, to->weight_bits / 8);
    to->scale = take(spikes->arena, (size_t)site->n_groups * from->n_out, sizeof *to->scale);
    for (uint32_t o = 0; o < from->n_out; o++)
        for (uint32_t g = 0; g < site->n_groups; g++) {
            float *const scale = &to->scale[g * from->n_out + o];

            for (uint32_t p = g * GROUP; p < (g + 1) * GROUP; p++) {
                const uint32_t c = site->order[p];

                if (c != UINT32_MAX)
                    *scale = fmaxf(*scale,
                                   fabsf(from->weight[o * from->n_in + c] * site->unit[c]) / most);
            }
            for (uint32_t p = g * GROUP; p < (g + 1) * GROUP; p++) {
                const uint32_t c = site->order[p];
                const float w =
                    c == UINT32_MAX || *scale == 0.0f
                        ? 0.0f
                        : rintf(from->weight[o * from->n_in + c] * site->unit[c] / *scale);
                const float limited = fminf(fmaxf(w, -most), most);

                if (to->weight_bits == 8)
                    ((int8_t *)to->weight)[o * positions + p] = (int8_t)limited;
                else
                    ((int16_t *)to->weight)[o * positions + p] = (int16_t)limited;
            }
        }
}

static void add_sites(builder *b, tspk_spikegraph *spikes)
{
    static const char *const product[4] = {"attn.query", "attn.key", "attn.value",
                                           "attn.numerator"};
    static const char *const analog[4] = {"blocks.0.attn.query", "blocks.0.attn.key",
                                          "blocks.0.attn.value", "blocks.0.attn.numerator"};
    static const char *const inner[3] = {"attn.proj.input", "mlp.fc1.input", "mlp.fc2.input"};
    uint32_t linear = 0;

    spikes->site = take(spikes->arena, TINY_SITES, sizeof *spikes->site);
    spikes->linear = take(spikes->arena, TINY_LINEARS, sizeof *spikes->linear);
    spikes->attention = take(spikes->arena, TINY_ATTENTIONS, sizeof *spikes->attention);
    spikes->analog_site = take(spikes->arena, TINY_ANALOG_SITES, sizeof *spikes->analog_site);
    for (uint32_t block = 0; block < TINY_ATTENTIONS; block++) {
        const tspk_node_id node = b->attention[block];
        const uint32_t qkv = add_site(b, spikes, block, "attn.qkv.input", TSPK_SITE_LINEAR,
                                      b->linear[linear].input, TSPK_ID_NONE);
        uint32_t ids[4] = {0};

        for (int i = 0; i < 3; i++)
            add_record(b, spikes, linear++, qkv);
        for (uint32_t i = 0; i < 4; i++) {
            const tspk_site_kind kind = (tspk_site_kind)(TSPK_SITE_QUERY + i);
            const tspk_value_id input = i < 3 ? b->graph->node[node].in[i] : TSPK_ID_NONE;

            if (b->settings->has_analog && block == 0)
                add_analog_site(b, spikes, analog[i], kind, input, node);
            else
                ids[i] = add_site(b, spikes, block, product[i], kind, input, node);
        }
        if (!b->settings->has_analog || block > 0)
            spikes->attention[spikes->n_attentions++] =
                (tspk_spike_attention){.node = node,
                                       .query = ids[0],
                                       .key = ids[1],
                                       .value = ids[2],
                                       .numerator = ids[3],
                                       .is_quotient = b->settings->is_quotient,
                                       .is_max_fixed = b->settings->is_max_fixed};
        for (uint32_t i = 0; i < 3; i++, linear++)
            if (is_analog(b->settings, linear))
                add_analog_site(b, spikes, "blocks.0.mlp.fc1.input", TSPK_SITE_LINEAR,
                                b->linear[linear].input, TSPK_ID_NONE);
            else
                add_record(b, spikes, linear,
                           add_site(b, spikes, block, inner[i], TSPK_SITE_LINEAR,
                                    b->linear[linear].input, TSPK_ID_NONE));
    }
    add_record(b, spikes, linear,
               add_site(b, spikes, TINY_ATTENTIONS, "head.input", TSPK_SITE_LINEAR,
                        b->linear[linear].input, TSPK_ID_NONE));
    spikes->site[spikes->n_sites - 1].is_head = true;
}

/* --- operating points --- */

static void set_ladder(builder *b, tspk_spikegraph *spikes, const tspk_site *site, uint32_t t,
                       tspk_ladder *ladder)
{
    const bool is_positive = site->kind == TSPK_SITE_NUMERATOR && t == 0;

    ladder->n_values = 16;
    ladder->value = take(spikes->arena, 16, sizeof *ladder->value);
    if (b->settings->is_exponent) {
        ladder->kind = TSPK_LADDER_POW2;
        for (int i = 0; i < 8; i++) {
            ladder->value[8 + i] = ldexpf(1.0f, i);
            ladder->value[7 - i] = -ldexpf(1.0f, i);
        }
        return;
    }
    ladder->kind = is_positive ? TSPK_LADDER_GEOMETRIC : TSPK_LADDER_FITTED;
    for (int i = 0; i < 16; i++) {
        const float jitter = uniform(&b->rng, 0.95f, 1.0f);

        if (is_positive)
            ladder->value[i] = 127.0f * powf(0.8f, (float)(15 - i)) * jitter;
        else
            ladder->value[i] = 127.0f / 8.0f * (float)(i < 8 ? i - 8 : i - 7) * jitter;
    }
}

static void set_step(builder *b, tspk_spikegraph *spikes, const tspk_site *site,
                     const tspk_point *point, tspk_site_params *params, uint32_t t)
{
    static const float factor[5][2] = {
        {1.0f, 0.8f}, {1.0f, 0.75f}, {1.0f, 1.25f}, {1.0f, 1.0f}, {1.0f, 1.125f}};
    const uint32_t elems = spikes->n_classes * site->channels;
    tspk_site_step *const step = &params->step[t];
    const bool is_rate = point->coding == TSPK_CODING_RATE;

    step->shift = site->kind == TSPK_SITE_LINEAR || is_rate ? 0 : (int32_t)t;
    step->gain = take(spikes->arena, elems, sizeof *step->gain);
    for (uint32_t k = 0; k < spikes->n_classes; k++) {
        const float shrunk = site->kind == TSPK_SITE_LINEAR && !is_rate ? powf(0.4f, (float)t)
                                                                        : ldexpf(1, -step->shift);

        step->scale[k] = factor[site->kind][k] * shrunk;
        set_ladder(b, spikes, site, t, &step->ladder[k]);
    }
    for (uint32_t i = 0; i < elems; i++)
        step->gain[i] = b->settings->is_exponent ? 1.0f : uniform(&b->rng, 0.7f, 1.0f);
    if (site->kind != TSPK_SITE_LINEAR && site->kind != TSPK_SITE_NUMERATOR && params->prior) {
        step->offset = tspk_arena_copy(spikes->arena, params->prior, elems * sizeof(float));
        must(step->offset, "tspk_arena_copy");
    }
}

/* b + W o_0 for every step and class: there are no mean errors. */
static float *make_bias(builder *b, tspk_spikegraph *spikes, const tspk_point *point,
                        uint32_t index)
{
    const dense *const from =
        &b->linear[index + (b->settings->has_analog && index >= ANALOG_LINEAR)];
    const float *const prior = point->site[spikes->linear[index].site].prior;
    float *const bias =
        take(spikes->arena, (size_t)point->n_steps * spikes->n_classes * from->n_out, sizeof *bias);
    float *to = bias;

    for (uint32_t t = 0; t < point->n_steps; t++)
        for (uint32_t k = 0; k < spikes->n_classes; k++)
            for (uint32_t o = 0; o < from->n_out; o++) {
                float sum = from->bias[o];

                for (uint32_t c = 0; prior && c < from->n_in; c++)
                    sum += from->weight[o * from->n_in + c] * prior[k * from->n_in + c];
                *to++ = sum;
            }
    return bias;
}

static void set_point(builder *b, tspk_spikegraph *spikes, tspk_point *point, const char *name,
                      uint32_t n_steps)
{
    point->name = name;
    point->coding = b->settings->coding;
    point->n_steps = n_steps;
    point->n_levels = 8;
    point->site = take(spikes->arena, spikes->n_sites, sizeof *point->site);
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site *const site = &spikes->site[i];
        tspk_site_params *const params = &point->site[i];

        params->fire_rule = b->settings->is_exponent ? TSPK_FIRE_ECMT : TSPK_FIRE_NEAREST;
        params->code_form = b->settings->is_exponent ? TSPK_CODE_EXPONENT : TSPK_CODE_LEVEL;
        if (point->coding == TSPK_CODING_DIFFERENTIAL && site->kind != TSPK_SITE_NUMERATOR &&
            i % 3 != 2)
            params->prior = take_random(spikes->arena, &b->rng,
                                        (size_t)spikes->n_classes * site->channels, 0.0f, 0.2f);
        params->step = take(spikes->arena, n_steps, sizeof *params->step);
        for (uint32_t t = 0; t < n_steps; t++)
            set_step(b, spikes, site, point, params, t);
    }
    point->bias = take(spikes->arena, spikes->n_linears, sizeof *point->bias);
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        point->bias[i] = make_bias(b, spikes, point, i);
}

static void set_merging(tspk_spikegraph *spikes, uint32_t pairs)
{
    uint32_t *const n_pairs = take(spikes->arena, TINY_ATTENTIONS, sizeof *n_pairs);

    n_pairs[0] = pairs;
    spikes->point[spikes->n_points - 1].merging =
        (tspk_merging){.n_special = 1, .n_attentions = TINY_ATTENTIONS, .n_pairs = n_pairs};
}

static void set_meta(builder *b, tspk_spikegraph *spikes)
{
    static const char *const names[TINY_CLASSES] = {"shirt", "bag", "goldfish", "caf\xc3\xa9", ""};

    spikes->ann_cost = (tspk_ann_cost){123456, 7890, 768, 60};
    spikes->preprocess = (tspk_preprocess){.resize = 10,
                                           .crop_height = 8,
                                           .crop_width = 8,
                                           .interpolation = 2,
                                           .channels = 1,
                                           .mean = {0.25f},
                                           .std = {0.5f}};
    spikes->n_class_names = TINY_CLASSES;
    spikes->class_name = take(spikes->arena, TINY_CLASSES, sizeof *spikes->class_name);
    memcpy(spikes->class_name, names, sizeof names);
    spikes->provenance.tool = "transpike test";
    spikes->provenance.settings = "{\"levels\":8}";
    spikes->provenance.seed = UINT64_C(0xfedcba9876543210);
    spikes->provenance.n_calibration = 3;
    spikes->provenance.calibration_hash = take(spikes->arena, 3, 32);
    for (int i = 0; i < 96; i++)
        spikes->provenance.calibration_hash[i / 32][i % 32] = (uint8_t)tspk_rng_next(&b->rng);
}

tiny_settings tiny_default_settings(uint64_t seed)
{
    return (tiny_settings){.seed = seed,
                           .coding = TSPK_CODING_DIFFERENTIAL,
                           .n_steps = 4,
                           .n_points = 1,
                           .weight_bits = 8};
}

static void add_exits(builder *b, tspk_spikegraph *spikes, tspk_point *point)
{
    tspk_arena *const arena = spikes->arena;

    if (!b->settings->has_exits || point->n_steps < 2)
        return;
    point->n_exits = TSPK_EXIT_KINDS - 1;
    point->exit = take(arena, point->n_exits, sizeof *point->exit);
    for (uint32_t i = 0; i < point->n_exits; i++) {
        tspk_exit_policy *const policy = &point->exit[i];
        const uint32_t n = tspk_exit_decisions((tspk_exit_kind)(i + 1), point->n_steps);

        policy->kind = (tspk_exit_kind)(i + 1);
        policy->temperature = take(arena, n, sizeof(float));
        policy->threshold = take(arena, n, sizeof(float));
        for (uint32_t t = 0; t < n; t++) {
            policy->temperature[t] = uniform(&b->rng, 0.5f, 2.0f);
            policy->threshold[t] = uniform(&b->rng, 0.1f, 0.6f);
        }
        if (policy->kind != TSPK_EXIT_NET)
            continue;
        policy->net = (tspk_exit_net){.n_in = TINY_EXIT_INPUTS, .n_hidden = TINY_EXIT_HIDDEN};
        policy->net.weight_in =
            take_random(arena, &b->rng, (size_t)TINY_EXIT_HIDDEN * TINY_EXIT_INPUTS, 0, 1);
        policy->net.bias_in = take_random(arena, &b->rng, TINY_EXIT_HIDDEN, 0, 1);
        policy->net.weight_out =
            take_random(arena, &b->rng, (size_t)point->n_steps * TINY_EXIT_HIDDEN, 0, 1);
        policy->net.bias_out = take_random(arena, &b->rng, point->n_steps, 0, 1);
    }
    if (strcmp(point->name, "exact") != 0)
        point->exit_kind = TSPK_EXIT_MARGIN;
}

tspk_spikegraph *tiny_spikegraph_new(const tiny_settings *settings, tspk_graph **ann_out)
{
    builder b = {.settings = settings, .rng = {settings->seed}, .is_spiking = true};
    tspk_spikegraph *spikes = NULL;

    build_network(&b);
    must(!tspk_spikegraph_new(b.graph, &spikes, NULL), "tspk_spikegraph_new");
    spikes->n_classes = 2;
    add_sites(&b, spikes);
    spikes->n_points = settings->n_points;
    spikes->point = take(spikes->arena, settings->n_points, sizeof *spikes->point);
    set_point(&b, spikes, &spikes->point[0], "exact", settings->n_steps);
    if (settings->n_points > 1)
        set_point(&b, spikes, &spikes->point[1], "balanced", 2);
    for (uint32_t i = 0; i < settings->n_points; i++)
        add_exits(&b, spikes, &spikes->point[i]);
    if (settings->n_pairs)
        set_merging(spikes, settings->n_pairs);
    spikes->point[spikes->n_points - 1].refine_share = settings->refine_share;
    set_meta(&b, spikes);
    if (ann_out) {
        builder ann = {.settings = settings, .rng = {settings->seed}};

        build_network(&ann);
        *ann_out = ann.graph;
    }
    return spikes;
}

void tiny_image(uint64_t seed, float image_out[TINY_IMAGE_ELEMS])
{
    tspk_rng rng = {seed};

    for (int i = 0; i < TINY_IMAGE_ELEMS; i++)
        image_out[i] = uniform(&rng, -2.0f, 2.0f);
}
