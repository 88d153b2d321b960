/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the float executor: milliseconds an image, of wall and of processor.
 *
 *   bench_ann MODEL.onnx [--threads N] [--images N] [--rounds N] [--by-kind]
 *
 * Inputs are random. --by-kind adds the processor time of every kind of operator (one thread).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/command.h"
#include "bench/profile.h"
#include "convert/model.h"
#include "core/rng.h"
#include "runtime/ann/ann_exec.h"

typedef struct options {
    const char *model;
    int threads, rounds;
    size_t images;
    bool by_kind;
} options;

static options parse(int argc, char **argv)
{
    options o = {argc > 1 ? argv[1] : NULL, 1, 3, 4, false};

    for (int i = 2; i < argc; i++) {
        const char *const flag = argv[i];
        const int value = i + 1 < argc ? atoi(argv[i + 1]) : 0;

        if (!strcmp(flag, "--by-kind")) {
            o.by_kind = true;
            continue;
        }
        i++;
        if (!strcmp(flag, "--threads"))
            o.threads = value;
        else if (!strcmp(flag, "--rounds"))
            o.rounds = value;
        else if (!strcmp(flag, "--images"))
            o.images = value > 0 ? (size_t)value : 0;
        else
            o.model = NULL;
    }
    if (!o.model || !o.images || o.rounds < 1 || o.threads < 1)
        tspk_bench_fail("`bench_ann --help` tells how to call it");
    return o;
}

static const char usage[] =
    "Times the float executor: milliseconds an image, of wall and of processor.\n"
    "\n"
    "  bench_ann MODEL.onnx [--threads N] [--images N] [--rounds N] [--by-kind]\n"
    "\n"
    "Inputs are random. --by-kind adds the processor time of every kind of operator (one thread).\n";

int main(int argc, char **argv)
{
    tspk_bench_help(argc, argv, usage);

    const options o = parse(argc, argv);
    tspk_profile kinds = {.n = 0};
    const tspk_ann_trace trace = {tspk_profile_enter, tspk_profile_leave, &kinds};
    tspk_rng rng = {7};
    double wall = INFINITY, cpu = INFINITY;
    tspk_model *model;
    const tspk_graph *graph;
    tspk_ann_exec *exec;
    tspk_error err;
    size_t in_elems, out_elems;
    float *in, *out;

    tspk_error_init(&err);
    tspk_bench_must(tspk_model_open(o.model, NULL, &model, &err), &err);
    graph = model->graph;
    if (graph->n_inputs != 1 || graph->n_outputs != 1 || tspk_model_batch(model) != 1)
        tspk_bench_fail("expected a network with one input, one output and one image a run");
    in_elems = tspk_shape_elems(&graph->value[graph->input[0]].shape);
    out_elems = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    in = malloc(o.images * in_elems * sizeof *in);
    out = malloc(o.images * out_elems * sizeof *out);
    if (!in || !out)
        tspk_bench_fail("no memory");
    for (size_t i = 0; i < o.images * in_elems; i++)
        in[i] = (float)(tspk_rng_next(&rng) >> 40) / 8388608.0f - 1.0f;
    tspk_bench_must(tspk_ann_exec_new(graph, o.threads, &exec, &err), &err);
    for (int round = 0; round <= o.rounds; round++) {
        const double at = tspk_clock_seconds(CLOCK_MONOTONIC);
        const double cpu_at = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);

        tspk_bench_must(tspk_ann_exec_run(exec, o.images, (const void *const[]){in}, (void *const[]){out},
                               &err),
             &err);
        if (!round) /* warm-up */
            continue;
        wall = fmin(wall, tspk_clock_seconds(CLOCK_MONOTONIC) - at);
        cpu = fmin(cpu, tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_at);
    }
    printf("%d threads, %zu images: %.2f ms an image, %.2f of processor\n", o.threads, o.images,
           1e3 * wall / (double)o.images, 1e3 * cpu / (double)o.images);
    if (o.by_kind && o.threads == 1) {
        tspk_ann_exec_trace(exec, &trace);
        tspk_bench_must(tspk_ann_exec_run(exec, o.images, (const void *const[]){in}, (void *const[]){out},
                               &err),
             &err);
        tspk_profile_print(&kinds, (double)o.images);
    }
    tspk_ann_exec_free(exec);
    tspk_model_close(model);
    free(in);
    free(out);
    return 0;
}
