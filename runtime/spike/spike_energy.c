/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Energy, design section 7: ratios to the source network, synaptic (the papers' figure) and full.
 *
 * Full counts on both sides what the synaptic figure leaves out: stem, head, the functions between
 * the contractions and every weight read once from a large memory (once an image for the source
 * network in float32, once a step for the spikes in integers). The spiking side alone pays for
 * membranes, thresholds, priors at products, state carried from step to step and for levels that
 * are no powers of two.
 */
#include "runtime/spike/spike_energy.h"

#include <math.h>
#include <stdlib.h>

#include "core/fail.h"
#include "runtime/spike/token_rows.h"

/* M. Horowitz, "Computing's energy problem (and what we can do about it)", ISSCC 2014,
 * figure 1.1.9: 45 nm, 0.9 V [pJ]. */
static const double FLOAT_ADD = 0.9;      /* fp32 addition; the papers' accumulate */
static const double FLOAT_MULTIPLY = 3.7; /* fp32 multiplication */
static const double FLOAT_MAC = 4.6;      /* both; the papers' multiply-accumulate */
static const double INT8_MULTIPLY = 0.2;  /* 8 x 8 bits; fewer bits in proportion */
static const double INT32_ADD = 0.1;
static const double MEMORY_BYTE = 100.0 / 8; /* 1 MB cache, 64 bits: 100 pJ */

/* Operations an element of functions that have no instruction of their own. */
static const double EXP_MACS = 8;   /* polynomial of core/mathfun.h and range reduction */
static const double GELU_MACS = 16; /* erf or tanh, and the product */

static double elems_of(const tspk_graph *graph, tspk_value_id id)
{
    return (double)tspk_shape_elems(&graph->value[id].shape);
}

/* Multiply-accumulates of an analog contraction. */
static double macs_of(const tspk_spike_plan *plan, uint32_t n)
{
    const tspk_node *const node = &plan->graph->node[n];
    const tspk_gemm_plan *const gemm = plan->node[n].record;
    const double out = elems_of(plan->graph, node->out[0]);

    switch (plan->node[n].kind) {
    case TSPK_NODE_LINEAR:
    case TSPK_NODE_CONV:
        return out * (double)gemm->inner;
    case TSPK_NODE_MATMUL:
        return out * (double)tspk_shape_last(&plan->graph->value[node->in[0]].shape);
    case TSPK_NODE_ATTENTION:
        return (out + elems_of(plan->graph, node->in[0])) *
               (double)tspk_shape_rows(&plan->graph->value[node->in[1]].shape);
    case TSPK_NODE_EVAL:
    case TSPK_NODE_ALIAS:
    case TSPK_NODE_SPIKE_LINEAR:
    case TSPK_NODE_SPIKE_ATTENTION:
        break;
    }
    return 0.0;
}

/* Weights of a Linear behind a site that was kept from spiking. */
static double kept_weights(const tspk_spike_plan *plan, uint32_t n)
{
    const tspk_gemm_plan *const gemm = plan->node[n].record;

    if (plan->node[n].kind != TSPK_NODE_LINEAR || !tspk_find_analog_site(plan->spikes, n))
        return 0.0;
    return (double)gemm->n * (double)gemm->inner;
}

/* Softmax of `elems` logits: maximum, difference, exponential, sum, quotient. */
static double softmax_energy(double elems)
{
    return elems * (3 * FLOAT_ADD + EXP_MACS * FLOAT_MAC + FLOAT_MULTIPLY);
}

/* Matching of even patches with odd ones: unit vectors, all cosines. */
static double matching_energy(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_shape *const metric = &graph->value[node->in[0]].shape;
    const double patches = (double)tspk_shape_rows(metric) - (double)node->attr.starts[0];
    const double width = (double)tspk_shape_last(metric);

    return patches * width * (FLOAT_MAC + FLOAT_MULTIPLY) +
           patches * patches / 4 * (width * FLOAT_MAC + FLOAT_ADD);
}

/* One evaluation of a function between contractions [pJ]. */
static double function_energy(const tspk_graph *graph, const tspk_node *node)
{
    const double elems = elems_of(graph, node->out[0]);

    if (tspk_op_is_movement(node->op))
        return 0.0;
    switch (node->op) {
    case TSPK_OP_LINEAR:
    case TSPK_OP_CONV:
    case TSPK_OP_MATMUL:
        return 0.0;
    case TSPK_OP_ATTENTION:
        return softmax_energy((double)node->attr.heads *
                              (double)tspk_shape_rows(&graph->value[node->in[0]].shape) *
                              (double)tspk_shape_rows(&graph->value[node->in[1]].shape));
    case TSPK_OP_MERGE_MAP:
        return matching_energy(graph, node);
    case TSPK_OP_MERGE:
        return elems_of(graph, node->in[0]) * FLOAT_MAC + elems * FLOAT_MULTIPLY;
    case TSPK_OP_LAYER_NORM: /* mean, variance, quotient, scale and bias */
    case TSPK_OP_RMS_NORM:
        return elems * (2 * FLOAT_ADD + 2 * FLOAT_MAC + FLOAT_MULTIPLY);
    case TSPK_OP_SOFTMAX:
        return softmax_energy(elems);
    case TSPK_OP_GELU:
    case TSPK_OP_ERF:
    case TSPK_OP_TANH:
    case TSPK_OP_SIGMOID:
    case TSPK_OP_SILU:
    case TSPK_OP_EXP:
        return elems * GELU_MACS * FLOAT_MAC;
    case TSPK_OP_MUL:
    case TSPK_OP_DIV:
    case TSPK_OP_POW:
        return elems * FLOAT_MULTIPLY;
    default:
        return elems * FLOAT_ADD;
    }
}

/* Does a contraction stand behind this node? A Linear with none behind it is the classifier. */
static void mark_heads(const tspk_spike_plan *plan, bool *feeds, bool *is_head)
{
    const tspk_graph *const graph = plan->graph;

    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tspk_node *const node = &graph->node[n];
        bool feeds_one = false;

        for (uint32_t i = 0; i < node->n_out; i++)
            feeds_one |= feeds[node->out[i]];
        is_head[n] = !feeds_one;
        feeds_one |= plan->node[n].kind >= TSPK_NODE_SPIKE_LINEAR;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                feeds[node->in[i]] |= feeds_one;
    }
}

/* Adds what is due to the rows of a space, or to none. */
static void add_part(uint32_t space, double amount, double *of_space, double *rest)
{
    if (space == TSPK_NO_SPACE)
        *rest += amount;
    else
        of_space[space] += amount;
}

/* Membrane updates and threshold comparisons of a step; a channel's thresholds are searched by
 * halving. */
static void add_membranes(tspk_spike_plan *plan)
{
    const double searched = ceil(log2(2.0 * plan->point->n_levels + 1));

    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        add_part(plan->site[i].space,
                 (double)plan->site[i].n_neurons *
                     (2 * FLOAT_ADD + 2 * FLOAT_MULTIPLY + searched * FLOAT_ADD),
                 plan->energy.space_step, &plan->energy.step_full);
}

/* Numbers that a step leaves to the next: the state of every neuron (of an operand of a product, its
 * running sum), and the accumulators of Linears, logits and value products. */
static void add_states(tspk_spike_plan *plan)
{
    const double number = 2.0 * sizeof(float) * MEMORY_BYTE; /* read and written */
    double *const of_space = plan->energy.space_state, *const rest = &plan->energy.state_full;

    for (uint32_t i = 0; i < plan->spikes->n_sites; i++)
        add_part(plan->site[i].space, number * (double)plan->site[i].n_neurons, of_space, rest);
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        add_part(plan->linear[i].space,
                 number * (double)plan->linear[i].rows * plan->linear[i].linear->n_out, of_space,
                 rest);
    for (uint32_t i = 0; i < plan->spikes->n_attentions; i++) {
        const tspk_attention_plan *const at = &plan->attention[i];

        add_part(at->query->space,
                 number * (double)(at->heads * at->queries) * (double)(at->keys + at->width),
                 of_space, rest);
    }
}

/* What the priors of q, k and v add to an attention at step t, as spike_attention.c computes it. A
 * key's own prior is constant along a row: only the differences between token classes cost. */
static void add_priors(const tspk_spike_plan *plan, const tspk_attention_plan *at, uint32_t t,
                       double *of_space, double *rest)
{
    const double others = plan->n_classes - 1.0;
    const double queries = (double)at->queries, keys = (double)at->keys;
    const double rows = queries * (double)at->heads;
    const double depth = (double)at->key->site->channels; /* of all heads */
    const double width = (double)at->value->site->channels;
    const bool has_query = at->query->params->step[t - 1].offset != NULL;
    double macs = 0.0, adds = 0.0;

    if (has_query) { /* scale * b_q · k, a number a key, head and class; added to every logit */
        *rest += plan->n_classes * keys * depth * FLOAT_MAC;
        adds += rows * keys;
    }
    if (at->key_offset && at->n_special) { /* scale * q · Δb_k, a number a query, head and class */
        macs += queries * others * depth;
        adds += rows * at->n_special + (has_query ? queries * depth : 0.0);
    }
    if (at->value->params->step[t - 1].offset) /* b_v, behind shares that add up to 1 */
        adds += queries * width;
    if (at->value_offset) { /* Δb_v times a class's share of the numerators */
        macs += queries * others * width;
        adds += rows * at->n_special;
    }
    add_part(at->query->space, macs * FLOAT_MAC + adds * FLOAT_ADD, of_space, rest);
}

static tspk_status plan_priors(tspk_spike_plan *plan, tspk_error *err)
{
    const size_t spaces = plan->tokens.n_spaces;
    double *const full = tspk_arena_array(plan->arena, plan->steps, sizeof *full);
    double *const of_space = tspk_arena_array(plan->arena, plan->steps * spaces, sizeof *of_space);

    if (!full || !of_space)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
    for (uint32_t t = 1; t <= plan->steps; t++) {
        full[t - 1] = t > 1 ? full[t - 2] : 0.0;
        for (uint32_t i = 0; i < plan->spikes->n_attentions; i++)
            add_priors(plan, &plan->attention[i], t, of_space + (t - 1) * spaces, &full[t - 1]);
    }
    plan->energy.prior_full = full;
    plan->energy.space_prior = of_space;
    return TSPK_OK;
}

/* Rows of the blocks' linear sites. */
static double token_rows(const tspk_spikegraph *spikes)
{
    double rows = 0.0;

    for (uint32_t i = 0; i < spikes->n_sites; i++)
        if (spikes->site[i].kind == TSPK_SITE_LINEAR && !spikes->site[i].is_head)
            rows += spikes->site[i].rows;
    return rows;
}

static void add_tokens(tspk_spike_plan *plan, double all)
{
    tspk_energy_plan *const energy = &plan->energy;

    for (uint32_t i = 0; i < plan->spikes->n_sites && all > 0.0; i++) {
        const tspk_site *const site = plan->site[i].site;

        if (site->kind == TSPK_SITE_LINEAR && !site->is_head)
            add_part(plan->site[i].space, site->rows / all, energy->space_tokens,
                     &energy->token_share);
    }
    if (!(all > 0.0))
        energy->token_share = 1.0;
}

static tspk_status take_spaces(tspk_spike_plan *plan, tspk_error *err)
{
    const size_t n = plan->tokens.n_spaces;
    tspk_energy_plan *const energy = &plan->energy;

    energy->space_step = tspk_arena_array(plan->arena, n, sizeof *energy->space_step);
    energy->space_state = tspk_arena_array(plan->arena, n, sizeof *energy->space_state);
    energy->space_tokens = tspk_arena_array(plan->arena, n, sizeof *energy->space_tokens);
    return energy->space_step && energy->space_state && energy->space_tokens
               ? TSPK_OK
               : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
}

/* Whose rows a node computes. */
static uint32_t space_of_node(const tspk_spike_plan *plan, const tspk_node *node)
{
    return plan->tokens.n_spaces ? plan->tokens.space[plan->root[node->out[0]]] : TSPK_NO_SPACE;
}

tspk_status tspk_plan_energy(tspk_spike_plan *plan, tspk_error *err)
{
    const tspk_ann_cost *const cost = &plan->spikes->ann_cost;
    const double linear = (double)cost->linear, product = (double)cost->product;
    const double bits = ceil(log2(2.0 * plan->point->n_levels + 1));
    tspk_energy_plan *const energy = &plan->energy;
    tspk_arena *const scratch = tspk_arena_new(0);
    bool *const feeds = scratch ? tspk_arena_array(scratch, plan->graph->n_values, 1) : NULL;
    bool *const is_head = scratch ? tspk_arena_array(scratch, plan->graph->n_nodes, 1) : NULL;
    const tspk_spikegraph *const whole = plan->spikes->whole ? plan->spikes->whole : plan->spikes;
    const tspk_graph *const source = whole->graph;
    double functions = 0.0, weights = 0.0;

    *energy = (tspk_energy_plan){0};
    if (!feeds || !is_head || take_spaces(plan, NULL) != TSPK_OK) {
        tspk_arena_free(scratch);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the session's plan");
    }
    mark_heads(plan, feeds, is_head);
    for (uint32_t n = 0; n < source->n_nodes; n++)
        functions += function_energy(source, &source->node[n]);
    for (uint32_t n = 0; n < plan->graph->n_nodes; n++) {
        const double macs = macs_of(plan, n) * FLOAT_MAC, function = function_energy(plan->graph, &plan->graph->node[n]);
        const double kept = kept_weights(plan, n);
        const double work = macs + function + kept * sizeof(float) * MEMORY_BYTE;
        const bool is_kept = tspk_find_analog_site(plan->spikes, n) != NULL;

        weights += kept;
        if (plan->node[n].is_static) {
            energy->once_full += work;
            if (is_kept && !is_head[n])
                energy->once_synaptic += macs;
        } else {
            add_part(space_of_node(plan, &plan->graph->node[n]), work, energy->space_step,
                     &energy->step_full);
            if (!is_head[n])
                energy->analog_synaptic += macs;
        }
    }
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        weights += (double)plan->linear[i].linear->n_out * plan->linear[i].site->site->channels;
    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        energy->step_full += (double)plan->linear[i].linear->n_out *
                             plan->linear[i].site->site->channels *
                             (plan->linear[i].linear->weight_bits / 8) * MEMORY_BYTE;
    add_tokens(plan, token_rows(whole));
    add_membranes(plan);
    add_states(plan);
    energy->ann_synaptic = FLOAT_MAC * (linear + product);
    energy->ann_full = FLOAT_MAC * (linear + product + (double)cost->stem + (double)cost->head) +
                       functions + weights * sizeof(float) * MEMORY_BYTE;
    if (energy->ann_synaptic > 0.0)
        energy->quantised = (linear * (INT8_MULTIPLY * bits / 8 + INT32_ADD) +
                             product * (INT8_MULTIPLY * bits * bits / 64 + INT32_ADD)) /
                            energy->ann_synaptic;
    tspk_arena_free(scratch);
    return plan_priors(plan, err);
}

/* The rows of spaces that step t has computed. */
static void add_spaces(const tspk_spike_run *run, uint32_t t, tspk_energy_sum *total)
{
    const tspk_energy_plan *const energy = &run->plan->energy;
    const uint32_t n = run->plan->tokens.n_spaces;

    for (uint32_t s = 0; s < n; s++) {
        const double share = (double)tspk_rows_now(run, s, 0) / run->plan->tokens.rows[s];

        total->tokens += share * energy->space_tokens[s];
        total->spaces += share * (energy->space_step[s] + energy->space_prior[(t - 1) * n + s] +
                                  (t > 1 ? energy->space_state[s] : 0.0));
    }
}

void tspk_step_energy(const tspk_spike_run *run, uint32_t t, const tspk_spike_counter *counter,
                      tspk_energy_sum *total, double policy_macs, tspk_step_work *work_out)
{
    const tspk_energy_plan *const energy = &run->plan->energy;
    tspk_spike_counter *const sum = &total->counter;
    double synaptic, full;

    sum->accumulates += counter->accumulates;
    sum->head += counter->head;
    sum->level_bits += counter->level_bits;
    add_spaces(run, t, total);
    synaptic = FLOAT_ADD * (double)sum->accumulates + energy->once_synaptic +
               energy->analog_synaptic * t + FLOAT_MAC * policy_macs;
    full = FLOAT_ADD * ((double)sum->accumulates + (double)sum->head) +
           INT8_MULTIPLY / 8 * (double)sum->level_bits + energy->once_full + total->spaces +
           energy->step_full * t + energy->prior_full[t - 1] + energy->state_full * (t - 1) +
           FLOAT_MAC * policy_macs;
    *work_out =
        (tspk_step_work){.steps = t, .spikes = counter->spikes, .neurons = counter->neurons};
    if (energy->ann_synaptic > 0.0)
        work_out->energy_synaptic = synaptic / energy->ann_synaptic;
    if (energy->ann_full > 0.0)
        work_out->energy_full = full / energy->ann_full;
    work_out->energy_quantised_ann = energy->quantised;
    work_out->tokens = energy->token_share * t + total->tokens;
}
