/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Imports an ONNX file, runs the passes, executes the canonical graph and compares it with a stored
 * output, or, where there is none, with the graph before the passes on random input (fixed seed);
 * prints one line. Used by test_pass_corpus.py; --dump prints the canonical graph too.
 *
 *   pass_corpus MODEL.onnx [--inputs INPUTS.npy --output OUTPUT.npy] [--dump]
 */
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/onnx_import.h"
#include "convert/passes.h"
#include "core/rng.h"
#include "data/npy.h"
#include "runtime/ann/ann_exec.h"

typedef struct options {
    const char *model, *inputs, *output;
    bool is_dump;
} options;

static bool parse(int argc, char **argv, options *o)
{
    *o = (options){0};
    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--dump"))
            o->is_dump = true;
        else if (!strcmp(argv[i], "--inputs") && i + 1 < argc)
            o->inputs = argv[++i];
        else if (!strcmp(argv[i], "--output") && i + 1 < argc)
            o->output = argv[++i];
        else
            o->model = argv[i];
    }
    return o->model != NULL;
}

static void dump(const tspk_graph *graph, const tspk_structure *structure)
{
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];
        char text[128];

        printf("%4u %-10s %-28s ->%u", n, tspk_op_name(node->op), node->name, node->out[0]);
        for (uint32_t i = 0; i < node->n_in; i++) {
            const tspk_value *value;

            if (node->in[i] == TSPK_ID_NONE) {
                printf(" -");
                continue;
            }
            value = &graph->value[node->in[i]];
            printf(" %s%u%s", value->data ? "c" : "", node->in[i],
                   tspk_shape_text(&value->shape, text, sizeof text));
        }
        printf(" = %s", tspk_shape_text(&graph->value[node->out[0]].shape, text, sizeof text));
        if (node->op == TSPK_OP_ATTENTION)
            printf(" heads %u scale %g", node->attr.heads, (double)node->attr.scale);
        if (node->attr.n_rows)
            printf(" rows %u: %u ..", node->attr.n_rows, node->attr.rows[0]);
        if (structure) {
            const uint8_t *classes = structure->row_class[node->out[0]];

            printf("%s%s", structure->is_stem[n] ? " stem" : "",
                   structure->is_head[n] ? " head" : "");
            for (size_t r = 0;
                 classes && r < 4 && r < tspk_shape_rows(&graph->value[node->out[0]].shape); r++)
                printf("%s%u", r ? "," : " classes ", classes[r]);
        }
        printf("\n");
    }
}

/* Largest difference relative to the largest |expected|; negative on failure. */
static double compare(const tspk_graph *graph, const options *o, tspk_error *err)
{
    tspk_shape in_shape, out_shape;
    void *input = NULL, *expected = NULL;
    float *found = NULL;
    const void *inputs[1];
    void **outputs = NULL;
    tspk_ann_exec *exec = NULL;
    double worst = -1.0, largest = 0.0;
    size_t batch = (size_t)graph->batch, n_runs, out_elems, n;
    const tspk_value *port = &graph->value[graph->input[0]];
    const tspk_npy_type want = port->dtype == TSPK_DTYPE_F32 ? TSPK_NPY_F4 : TSPK_NPY_I8;

    outputs = calloc(graph->n_outputs, sizeof *outputs);
    if (!outputs || tspk_npy_read_file(o->inputs, want, &in_shape, &input, NULL, err) != TSPK_OK ||
        tspk_npy_read_file(o->output, TSPK_NPY_F4, &out_shape, &expected, NULL, err) != TSPK_OK ||
        tspk_ann_exec_new(graph, 1, &exec, err) != TSPK_OK)
        goto done;
    n_runs = (size_t)in_shape.dim[0] / batch;
    out_elems = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    found = malloc(n_runs * out_elems * sizeof *found);
    n = tspk_shape_elems(&out_shape);
    if (!found || n != n_runs * out_elems) {
        snprintf(err->message, sizeof err->message, "%zu outputs, expected %zu", n_runs * out_elems,
                 n);
        goto done;
    }
    inputs[0] = input;
    outputs[0] = found;
    if (tspk_ann_exec_run(exec, n_runs, inputs, outputs, err) != TSPK_OK)
        goto done;
    worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double e = (double)((const float *)expected)[i];

        largest = fabs(e) > largest ? fabs(e) : largest;
        if (!(fabs((double)found[i] - e) <= worst))
            worst = isnan(found[i]) ? INFINITY : fabs((double)found[i] - e);
    }
    worst /= largest > 0.0 ? largest : 1.0;
done:
    tspk_ann_exec_free(exec);
    free(found);
    free(expected);
    free(input);
    free(outputs);
    return worst;
}

static float *run_once(const tspk_graph *graph, const float *image, tspk_error *err)
{
    const size_t n = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    const void *inputs[1] = {image};
    void **outputs = calloc(graph->n_outputs, sizeof *outputs);
    float *logits = malloc(n * sizeof *logits);
    tspk_ann_exec *exec = NULL;
    bool is_done = false;

    if (outputs && logits && tspk_ann_exec_new(graph, 1, &exec, err) == TSPK_OK) {
        outputs[0] = logits;
        is_done = tspk_ann_exec_run(exec, 1, inputs, outputs, err) == TSPK_OK;
    }
    tspk_ann_exec_free(exec);
    free(outputs);
    if (!is_done) {
        free(logits);
        return NULL;
    }
    return logits;
}

/* As compare(), with the graph as imported; images of uniform numbers in [-2, 2). */
static double compare_with_raw(const tspk_graph *graph, const options *o, tspk_error *err)
{
    const tspk_import_settings settings = {.memory_cap_bytes = 0, .batch = 1};
    const size_t n_in = tspk_shape_elems(&graph->value[graph->input[0]].shape);
    const size_t n = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    float *const image = malloc(n_in * sizeof *image);
    float *before = NULL, *after = NULL;
    double worst = -1.0, largest = 0.0;
    tspk_graph *raw = NULL;
    tspk_rng rng = {1};

    if (!image || tspk_onnx_import(o->model, &settings, &raw, err) != TSPK_OK)
        goto done;
    for (size_t i = 0; i < n_in; i++)
        image[i] = (float)((double)(tspk_rng_next(&rng) >> 11) * 0x1p-51 - 2.0);
    before = run_once(raw, image, err);
    after = before ? run_once(graph, image, err) : NULL;
    if (!after)
        goto done;
    worst = 0.0;
    for (size_t i = 0; i < n; i++) {
        const double difference = fabs((double)after[i] - (double)before[i]);

        largest = fabs((double)before[i]) > largest ? fabs((double)before[i]) : largest;
        if (!(difference <= worst))
            worst = difference;
    }
    worst /= largest > 0.0 ? largest : 1.0;
done:
    tspk_graph_free(raw);
    free(image);
    free(before);
    free(after);
    return worst;
}

static void print_counts(const tspk_graph *graph)
{
    size_t count[TSPK_OP_COUNT] = {0};

    for (uint32_t n = 0; n < graph->n_nodes; n++)
        count[graph->node[n].op]++;
    for (int op = 0; op < TSPK_OP_COUNT; op++)
        if (count[op])
            printf(" %s=%zu", tspk_op_name((tspk_op)op), count[op]);
}

static int run(const options *o, tspk_graph *graph, tspk_error *err)
{
    tspk_pass_report report = {{0}, {0}};
    tspk_structure structure;
    tspk_arena *arena;
    double worst;
    tspk_status status = tspk_run_passes(graph, &report, err);

    if (status != TSPK_OK)
        return 1;
    arena = tspk_arena_new(0);
    if (!arena || tspk_find_structure(graph, arena, &structure, err) != TSPK_OK) {
        tspk_arena_free(arena);
        return 1;
    }
    if (o->is_dump)
        dump(graph, &structure);
    worst = o->inputs && o->output ? compare(graph, o, err) : compare_with_raw(graph, o, err);
    printf("difference=%.3g classes=%u convertible=%s", worst, structure.n_classes,
           tspk_status_name(tspk_check_convertible(graph, NULL)));
    printf(" stem=%" PRIu64 " linear=%" PRIu64 " product=%" PRIu64 " head=%" PRIu64,
           report.source_cost.stem, report.source_cost.linear, report.source_cost.product,
           report.source_cost.head);
    print_counts(graph);
    printf("\n");
    tspk_arena_free(arena);
    return worst < 0.0;
}

int main(int argc, char **argv)
{
    const tspk_import_settings settings = {.memory_cap_bytes = 0, .batch = 1};
    options o;
    tspk_graph *graph = NULL;
    tspk_error err;
    int result = 1;

    tspk_error_init(&err);
    if (!parse(argc, argv, &o)) {
        fprintf(stderr, "usage: pass_corpus MODEL.onnx [--inputs F] [--output F] [--dump]\n");
        return 2;
    }
    if (tspk_onnx_import(o.model, &settings, &graph, &err) == TSPK_OK)
        result = run(&o, graph, &err);
    if (result) {
        char text[1024];

        tspk_error_format(&err, text, sizeof text);
        fprintf(stderr, "%s\n", text);
    }
    tspk_graph_free(graph);
    return result;
}
