/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/spikefile/compare_spikegraphs.h"

#include <string.h>

#define SAME(condition)                                                                            \
    do {                                                                                           \
        if (!(condition))                                                                          \
            return #condition;                                                                     \
    } while (0)

static bool same_bytes(const void *a, const void *b, size_t n)
{
    return n == 0 || (a && b && !memcmp(a, b, n));
}

/* NULL stands for zeros. */
static bool same_floats(const float *a, const float *b, size_t n)
{
    if (a && b)
        return same_bytes(a, b, n * sizeof *a);
    for (size_t i = 0; i < n; i++)
        if ((a && a[i] != 0.0f) || (b && b[i] != 0.0f))
            return false;
    return true;
}

static bool is_constant_read(const tspk_graph *graph, tspk_value_id id)
{
    return graph->value[id].data && tspk_graph_count_uses(graph, id);
}

static const char *compare_attrs(const tspk_attr *a, const tspk_attr *b)
{
    SAME(a->axis == b->axis);
    SAME(a->n_axes == b->n_axes && same_bytes(a->axes, b->axes, a->n_axes * sizeof *a->axes));
    SAME(same_bytes(a->starts, b->starts, sizeof a->starts));
    SAME(same_bytes(a->steps, b->steps, sizeof a->steps));
    SAME(same_bytes(a->pads, b->pads, sizeof a->pads));
    SAME(same_bytes(a->strides, b->strides, sizeof a->strides));
    SAME(same_bytes(a->dilations, b->dilations, sizeof a->dilations));
    SAME(a->groups == b->groups && a->mode == b->mode && a->heads == b->heads);
    SAME(a->epsilon == b->epsilon && a->alpha == b->alpha && a->beta == b->beta);
    SAME(a->scale == b->scale);
    SAME(a->n_rows == b->n_rows && same_bytes(a->rows, b->rows, a->n_rows * sizeof *a->rows));
    SAME(same_bytes(a->factor, b->factor, sizeof a->factor));
    return NULL;
}

static const char *compare_graphs(const tspk_graph *a, const tspk_graph *b)
{
    SAME(a->n_values == b->n_values && a->n_nodes == b->n_nodes);
    SAME(a->n_inputs == b->n_inputs && same_bytes(a->input, b->input, a->n_inputs * 4));
    SAME(a->n_outputs == b->n_outputs && same_bytes(a->output, b->output, a->n_outputs * 4));
    SAME(a->batch == b->batch && a->is_batch_fixed == b->is_batch_fixed && a->opset == b->opset);
    SAME(!strcmp(a->source_sha256, b->source_sha256) && !strcmp(a->producer, b->producer));
    for (uint32_t i = 0; i < a->n_values; i++) {
        const tspk_value *const x = &a->value[i], *const y = &b->value[i];

        SAME(!strcmp(x->name, y->name) && x->dtype == y->dtype && x->producer == y->producer);
        SAME(tspk_shape_equal(&x->shape, &y->shape));
        SAME(is_constant_read(a, i) == is_constant_read(b, i));
        if (is_constant_read(a, i))
            SAME(same_bytes(x->data, y->data,
                            tspk_shape_elems(&x->shape) * tspk_dtype_bytes(x->dtype)));
    }
    for (uint32_t i = 0; i < a->n_nodes; i++) {
        const tspk_node *const x = &a->node[i], *const y = &b->node[i];
        const char *difference;

        SAME(x->op == y->op && !strcmp(x->name, y->name) && !strcmp(x->onnx_op, y->onnx_op));
        SAME(x->n_in == y->n_in && same_bytes(x->in, y->in, x->n_in * sizeof *x->in));
        SAME(x->n_out == y->n_out && same_bytes(x->out, y->out, x->n_out * sizeof *x->out));
        difference = compare_attrs(&x->attr, &y->attr);
        if (difference)
            return difference;
    }
    return NULL;
}

static const char *compare_sites(const tspk_site *a, const tspk_site *b)
{
    SAME(!strcmp(a->name, b->name) && a->kind == b->kind && a->input == b->input);
    SAME(a->node == b->node && a->rows == b->rows && a->channels == b->channels);
    SAME(a->keys == b->keys && a->is_head == b->is_head);
    SAME(same_bytes(a->row_class, b->row_class, a->rows));
    SAME(a->source_rows == b->source_rows && !a->source_row == !b->source_row);
    SAME(!a->source_row ||
         same_bytes(a->source_row, b->source_row, a->rows * sizeof *a->source_row));
    SAME(same_bytes(a->unit, b->unit, a->channels * sizeof *a->unit));
    SAME(a->n_groups == b->n_groups && a->group_size == b->group_size && !a->order == !b->order);
    SAME(same_bytes(a->order, b->order, (size_t)a->n_groups * a->group_size * sizeof *a->order));
    return NULL;
}

static const char *compare_linears(const tspk_spikegraph *spikes, const tspk_spike_linear *a,
                                   const tspk_spike_linear *b)
{
    const tspk_site *const site = &spikes->site[a->site];

    SAME(a->node == b->node && a->site == b->site && a->n_out == b->n_out);
    SAME(a->weight_bits == b->weight_bits);
    SAME(same_bytes(a->weight, b->weight,
                    (size_t)a->n_out * site->n_groups * site->group_size * a->weight_bits / 8));
    SAME(same_bytes(a->scale, b->scale, (size_t)a->n_out * site->n_groups * sizeof *a->scale));
    return NULL;
}

static const char *compare_steps(uint32_t n_classes, size_t n, const tspk_site_step *a,
                                 const tspk_site_step *b)
{
    SAME(a->shift == b->shift && same_bytes(a->scale, b->scale, n_classes * sizeof *a->scale));
    for (uint32_t k = 0; k < n_classes; k++) {
        const tspk_ladder *const x = &a->ladder[k], *const y = &b->ladder[k];

        SAME(x->kind == y->kind && x->n_values == y->n_values);
        SAME(same_bytes(x->value, y->value, x->n_values * sizeof *x->value));
    }
    SAME(same_bytes(a->gain, b->gain, n * sizeof *a->gain));
    SAME(same_floats(a->offset, b->offset, n));
    return NULL;
}

static const char *compare_exits(const tspk_point *a, const tspk_point *b)
{
    SAME(a->n_exits == b->n_exits && a->exit_kind == b->exit_kind);
    for (uint32_t i = 0; i < a->n_exits; i++) {
        const tspk_exit_policy *const x = &a->exit[i], *const y = &b->exit[i];
        const tspk_exit_net *const net = &x->net;
        const size_t n = tspk_exit_decisions(x->kind, a->n_steps) * sizeof(float);
        const size_t row = net->n_hidden * sizeof(float);

        SAME(x->kind == y->kind && same_bytes(x->temperature, y->temperature, n));
        SAME(same_bytes(x->threshold, y->threshold, n));
        SAME(net->n_in == y->net.n_in && net->n_hidden == y->net.n_hidden);
        SAME(same_bytes(net->weight_in, y->net.weight_in, net->n_in * row));
        SAME(same_bytes(net->bias_in, y->net.bias_in, row));
        SAME(same_bytes(net->weight_out, y->net.weight_out, a->n_steps * row));
        SAME(!row || same_bytes(net->bias_out, y->net.bias_out, a->n_steps * sizeof(float)));
    }
    return NULL;
}

static const char *compare_points(const tspk_spikegraph *spikes, const tspk_point *a,
                                  const tspk_point *b)
{
    SAME(!strcmp(a->name, b->name) && a->coding == b->coding);
    SAME(a->n_steps == b->n_steps && a->n_levels == b->n_levels);
    SAME(a->refine_share == b->refine_share);
    SAME(a->merging.n_special == b->merging.n_special &&
         a->merging.n_attentions == b->merging.n_attentions);
    for (uint32_t i = 0; i < a->merging.n_attentions; i++)
        SAME(a->merging.n_pairs[i] == b->merging.n_pairs[i]);
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site_params *const x = &a->site[i], *const y = &b->site[i];
        const size_t n = (size_t)spikes->n_classes * spikes->site[i].channels;

        SAME(x->fire_rule == y->fire_rule && x->code_form == y->code_form);
        SAME(same_floats(x->prior, y->prior, n));
        for (uint32_t t = 0; t < a->n_steps; t++) {
            const char *difference = compare_steps(spikes->n_classes, n, &x->step[t], &y->step[t]);

            if (difference)
                return difference;
        }
    }
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        SAME(same_bytes(a->bias[i], b->bias[i],
                        (size_t)a->n_steps * spikes->n_classes * spikes->linear[i].n_out *
                            sizeof(float)));
    return compare_exits(a, b);
}

static const char *compare_meta(const tspk_spikegraph *a, const tspk_spikegraph *b)
{
    SAME(same_bytes(&a->ann_cost, &b->ann_cost, sizeof a->ann_cost));
    SAME(same_bytes(&a->preprocess, &b->preprocess, sizeof a->preprocess));
    SAME(a->n_class_names == b->n_class_names);
    for (uint32_t i = 0; i < a->n_class_names; i++)
        SAME(!strcmp(a->class_name[i], b->class_name[i]));
    SAME(!strcmp(a->provenance.tool, b->provenance.tool));
    SAME(!strcmp(a->provenance.settings, b->provenance.settings));
    SAME(a->provenance.seed == b->provenance.seed);
    SAME(a->provenance.n_calibration == b->provenance.n_calibration);
    SAME(same_bytes(a->provenance.calibration_hash, b->provenance.calibration_hash,
                    (size_t)a->provenance.n_calibration * 32));
    return NULL;
}

const char *compare_spikegraphs(const tspk_spikegraph *a, const tspk_spikegraph *b)
{
    const char *difference = compare_graphs(a->graph, b->graph);

    SAME(a->n_classes == b->n_classes && a->n_sites == b->n_sites && a->n_points == b->n_points);
    SAME(a->n_linears == b->n_linears && a->n_attentions == b->n_attentions);
    SAME(a->n_analog_sites == b->n_analog_sites);
    for (uint32_t i = 0; !difference && i < a->n_sites; i++)
        difference = compare_sites(&a->site[i], &b->site[i]);
    for (uint32_t i = 0; !difference && i < a->n_linears; i++)
        difference = compare_linears(a, &a->linear[i], &b->linear[i]);
    for (uint32_t i = 0; i < a->n_attentions; i++) {
        const tspk_spike_attention *const x = &a->attention[i], *const y = &b->attention[i];

        SAME(x->node == y->node && x->query == y->query && x->key == y->key);
        SAME(x->value == y->value && x->numerator == y->numerator);
        SAME(x->is_quotient == y->is_quotient && x->is_max_fixed == y->is_max_fixed);
    }
    for (uint32_t i = 0; i < a->n_analog_sites; i++) {
        const tspk_analog_site *const x = &a->analog_site[i], *const y = &b->analog_site[i];

        SAME(!strcmp(x->name, y->name) && x->kind == y->kind && x->input == y->input);
        SAME(x->node == y->node && x->rows == y->rows && x->channels == y->channels);
        SAME(x->keys == y->keys);
    }
    for (uint32_t i = 0; !difference && i < a->n_points; i++)
        difference = compare_points(a, &a->point[i], &b->point[i]);
    return difference ? difference : compare_meta(a, b);
}
