/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What check_spikefile.py runs:
 *   spike_tool write SEED FILE   writes a toy spike graph
 *   spike_tool read FILE         reads it; a refusal is one line and the status as exit code
 *   spike_tool dump FILE         prints everything, arrays as CRC-32, one thing a line
 */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <zlib.h>

#include "spikefile/spikefile.h"
#include "tests/spikefile/tiny_spikegraph.h"

static unsigned long crc(const void *bytes, size_t n)
{
    return crc32(0, n ? bytes : (const void *)"", (unsigned)n);
}

static void print_array(const char *what, const void *bytes, size_t n)
{
    printf(" %s %08lx", what, crc(bytes, n));
}

static void dump_graph(const tspk_graph *graph)
{
    printf("graph %" PRId64 " %d %" PRId64 " %s %s", graph->batch, graph->is_batch_fixed,
           graph->opset, graph->source_sha256, graph->producer);
    print_array("in", graph->input, graph->n_inputs * sizeof *graph->input);
    print_array("out", graph->output, graph->n_outputs * sizeof *graph->output);
    printf("\n");
    for (uint32_t i = 0; i < graph->n_values; i++) {
        const tspk_value *const value = &graph->value[i];

        printf("value %s %s", value->name, tspk_dtype_name(value->dtype));
        print_array("shape", value->shape.dim, value->shape.rank * sizeof *value->shape.dim);
        if (value->data)
            print_array("data", value->data,
                        tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype));
        printf("\n");
    }
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *const node = &graph->node[i];
        const tspk_attr *const a = &node->attr;

        printf("node %s %s %s", tspk_op_name(node->op), node->name, node->onnx_op);
        print_array("in", node->in, node->n_in * sizeof *node->in);
        print_array("out", node->out, node->n_out * sizeof *node->out);
        print_array("axes", a->axes, a->n_axes * sizeof *a->axes);
        print_array("starts", a->starts, sizeof a->starts);
        print_array("steps", a->steps, sizeof a->steps);
        print_array("pads", a->pads, sizeof a->pads);
        print_array("strides", a->strides, sizeof a->strides);
        print_array("dilations", a->dilations, sizeof a->dilations);
        print_array("rows", a->rows, a->n_rows * sizeof *a->rows);
        print_array("factor", a->factor, sizeof a->factor);
        printf(" %" PRId64 " %" PRId64 " %" PRId64 " %.9g %.9g %.9g %.9g %u\n", a->axis, a->groups,
               a->mode, (double)a->epsilon, (double)a->alpha, (double)a->beta, (double)a->scale,
               a->heads);
    }
}

static void dump_sites(const tspk_spikegraph *spikes)
{
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site *const s = &spikes->site[i];

        printf("site %s %s %u %u %u %u %u %d %u %u", s->name, tspk_site_kind_name(s->kind),
               s->input, s->node, s->rows, s->channels, s->keys, s->is_head, s->n_groups,
               s->group_size);
        print_array("row_class", s->row_class, s->rows);
        print_array("unit", s->unit, s->channels * sizeof *s->unit);
        print_array("order", s->order, (size_t)s->n_groups * s->group_size * sizeof *s->order);
        print_array("source", s->source_row, s->source_row ? s->rows * sizeof *s->source_row : 0);
        printf(" %u\n", s->source_rows);
    }
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        const tspk_spike_linear *const l = &spikes->linear[i];
        const tspk_site *const s = &spikes->site[l->site];

        printf("linear %u %u %u %u", l->node, l->site, l->n_out, l->weight_bits);
        print_array("weight", l->weight,
                    (size_t)l->n_out * s->n_groups * s->group_size * l->weight_bits / 8);
        print_array("scale", l->scale, (size_t)l->n_out * s->n_groups * sizeof *l->scale);
        printf("\n");
    }
    for (uint32_t i = 0; i < spikes->n_attentions; i++) {
        const tspk_spike_attention *const a = &spikes->attention[i];

        printf("attention %u %u %u %u %u %d %d\n", a->node, a->query, a->key, a->value,
               a->numerator, a->is_quotient, a->is_max_fixed);
    }
    for (uint32_t i = 0; i < spikes->n_analog_sites; i++) {
        const tspk_analog_site *const s = &spikes->analog_site[i];

        printf("analog %s %s %u %u %u %u %u\n", s->name, tspk_site_kind_name(s->kind), s->input,
               s->node, s->rows, s->channels, s->keys);
    }
}

static void dump_zeros(const char *what, const float *x, size_t n)
{
    void *const zeros = calloc(n, sizeof *x);

    print_array(what, x ? (const void *)x : zeros, n * sizeof *x);
    free(zeros);
}

static void dump_point(const tspk_spikegraph *spikes, const tspk_point *point)
{
    printf("point %s %d %u %u\n", point->name, point->coding, point->n_steps, point->n_levels);
    if (point->merging.n_attentions) {
        printf("merging %u", point->merging.n_special);
        for (uint32_t i = 0; i < point->merging.n_attentions; i++)
            printf(" %u", point->merging.n_pairs[i]);
        printf("\n");
    }
    if (point->refine_share > 0.0f)
        printf("refining %.9g\n", (double)point->refine_share);
    for (uint32_t i = 0; i < spikes->n_sites; i++) {
        const tspk_site_params *const params = &point->site[i];
        const size_t n = (size_t)spikes->n_classes * spikes->site[i].channels;

        printf("params %d %d", params->fire_rule, params->code_form);
        dump_zeros("prior", params->prior, n);
        printf("\n");
        for (uint32_t t = 0; t < point->n_steps; t++) {
            const tspk_site_step *const step = &params->step[t];

            printf("step %d", step->shift);
            print_array("scale", step->scale, spikes->n_classes * sizeof *step->scale);
            print_array("gain", step->gain, n * sizeof *step->gain);
            dump_zeros("offset", step->offset, n);
            for (uint32_t k = 0; k < spikes->n_classes; k++)
                print_array(tspk_ladder_kind_name(step->ladder[k].kind), step->ladder[k].value,
                            step->ladder[k].n_values * sizeof(float));
            printf("\n");
        }
    }
    for (uint32_t i = 0; i < spikes->n_linears; i++) {
        print_array("bias", point->bias[i],
                    (size_t)point->n_steps * spikes->n_classes * spikes->linear[i].n_out *
                        sizeof(float));
        printf("\n");
    }
}

static void dump_exits(const tspk_point *point)
{
    printf("exit %s\n", tspk_exit_kind_name(point->exit_kind));
    for (uint32_t i = 0; i < point->n_exits; i++) {
        const tspk_exit_policy *const policy = &point->exit[i];
        const tspk_exit_net *const net = &policy->net;
        const size_t n = tspk_exit_decisions(policy->kind, point->n_steps) * sizeof(float);

        printf("policy %s %u %u", tspk_exit_kind_name(policy->kind), net->n_in, net->n_hidden);
        print_array("temperature", policy->temperature, n);
        print_array("threshold", policy->threshold, n);
        if (policy->kind == TSPK_EXIT_NET) {
            print_array("weight_in", net->weight_in,
                        (size_t)net->n_in * net->n_hidden * sizeof(float));
            print_array("bias_in", net->bias_in, net->n_hidden * sizeof(float));
            print_array("weight_out", net->weight_out,
                        (size_t)net->n_hidden * point->n_steps * sizeof(float));
            print_array("bias_out", net->bias_out, point->n_steps * sizeof(float));
        }
        printf("\n");
    }
}

static void dump(const tspk_spikegraph *spikes)
{
    const tspk_ann_cost *const cost = &spikes->ann_cost;
    const tspk_preprocess *const p = &spikes->preprocess;
    const tspk_provenance *const from = &spikes->provenance;

    dump_graph(spikes->graph);
    printf("classes %u\n", spikes->n_classes);
    dump_sites(spikes);
    for (uint32_t i = 0; i < spikes->n_points; i++) {
        dump_point(spikes, &spikes->point[i]);
        dump_exits(&spikes->point[i]);
    }
    printf("cost %" PRIu64 " %" PRIu64 " %" PRIu64 " %" PRIu64 "\n", cost->linear, cost->product,
           cost->stem, cost->head);
    printf("preprocess %u %u %u %u %u", p->resize, p->crop_height, p->crop_width, p->interpolation,
           p->channels);
    print_array("mean", p->mean, sizeof p->mean);
    print_array("std", p->std, sizeof p->std);
    printf("\n");
    for (uint32_t i = 0; i < spikes->n_class_names; i++)
        printf("class %s\n", spikes->class_name[i]);
    printf("provenance %s %s %" PRIu64, from->tool, from->settings, from->seed);
    print_array("calibration", from->calibration_hash, (size_t)from->n_calibration * 32);
    printf("\n");
}

static int report(tspk_status status, const tspk_error *err)
{
    char line[800];

    if (status == TSPK_OK)
        return 0;
    tspk_error_format(err, line, sizeof line);
    fprintf(stderr, "%s\n", line);
    return (int)status;
}

static int write_toy(const char *seed, const char *path)
{
    tiny_settings settings = tiny_default_settings(strtoull(seed, NULL, 10));
    tspk_spikegraph *spikes;
    tspk_error err;
    int answer;

    settings.n_points = 2;
    settings.n_pairs = (uint32_t)(settings.seed % 3);
    if (settings.seed >= 70) /* differential coding, two, one or no pairs */
        settings.refine_share = 0.5f;
    settings.coding = settings.seed & 1 && settings.seed < 70 ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL;
    settings.weight_bits = settings.seed & 2 ? 16 : 8;
    settings.is_exponent = settings.seed & 4;
    settings.is_quotient = settings.seed & 8;
    settings.is_max_fixed = settings.seed & 16;
    settings.has_analog = settings.seed & 32;
    settings.has_exits = settings.seed & 64;
    tspk_error_init(&err);
    spikes = tiny_spikegraph_new(&settings, NULL);
    answer = report(tspk_spikefile_write(spikes, path, &err), &err);
    tspk_spikegraph_free(spikes);
    return answer;
}

static int read_toy(const char *path, bool is_dumped)
{
    tspk_spikegraph *spikes = NULL;
    tspk_error err;
    int answer;

    tspk_error_init(&err);
    answer = report(tspk_spikefile_read(path, &spikes, &err), &err);
    if (!answer && is_dumped)
        dump(spikes);
    tspk_spikegraph_free(spikes);
    return answer;
}

int main(int argc, char **argv)
{
    if (argc == 4 && !strcmp(argv[1], "write"))
        return write_toy(argv[2], argv[3]);
    if (argc == 3 && !strcmp(argv[1], "read"))
        return read_toy(argv[2], false);
    if (argc == 3 && !strcmp(argv[1], "dump"))
        return read_toy(argv[2], true);
    fprintf(stderr, "usage: spike_tool write SEED FILE | read FILE | dump FILE\n");
    return 2;
}
