/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times sessions: milliseconds an image, of wall and of processor, and where they go.
 *
 *   bench_session [--network tiny|base|FILE.spike] [--steps T] [--threads N] [--images N] [--isa I]
 *                 [--rounds N] [--pass STEPS] [--by-kind]
 *
 * tiny and base are networks of random weights with the sizes of ViT-Tiny/16 and ViT-B/16. Images
 * run side by side when there are as many as threads, else their layers are split. --pass: steps that
 * a layer executes before the next layer (default: all). --by-kind adds the processor time of every
 * kind of operator (one thread).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/made_network.h"
#include "bench/profile.h"
#include "core/cpu.h"
#include "core/rng.h"
#include "core/spike_handle.h"
#include "runtime/spike/spike_session.h"

typedef struct options {
    const char *network;
    uint32_t steps, pass;
    int threads, rounds;
    size_t images;
    tspk_isa isa;
    bool by_kind;
} options;

static void fail(const char *what)
{
    fprintf(stderr, "bench_session: %s\n", what);
    exit(1);
}

static void must(tspk_status status, const tspk_error *err)
{
    char line[512];

    if (status == TSPK_OK)
        return;
    tspk_error_format(err, line, sizeof line);
    fail(line);
}

static options parse(int argc, char **argv)
{
    options o = {.network = "tiny", .steps = 4, .threads = 1, .rounds = 3, .images = 4};

    for (int i = 1; i < argc; i++) {
        const char *const flag = argv[i], *const value = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(flag, "--by-kind")) {
            o.by_kind = true;
            continue;
        }
        i++;
        if (!strcmp(flag, "--network"))
            o.network = value;
        else if (!strcmp(flag, "--steps"))
            o.steps = (uint32_t)atoi(value);
        else if (!strcmp(flag, "--pass"))
            o.pass = (uint32_t)atoi(value);
        else if (!strcmp(flag, "--threads"))
            o.threads = atoi(value);
        else if (!strcmp(flag, "--rounds"))
            o.rounds = atoi(value);
        else if (!strcmp(flag, "--images"))
            o.images = (size_t)atoi(value);
        else if (!strcmp(flag, "--isa"))
            for (o.isa = TSPK_ISA_AUTO; strcmp(value, tspk_isa_name(o.isa)) != 0; o.isa++) {
                if (o.isa == TSPK_ISA_NEON)
                    fail("--isa: expected auto, scalar, avx2, avx512vnni or neon");
            }
        else
            fail("unknown option; the head of bench_session.c lists them");
    }
    if (!o.steps || !o.images || o.rounds < 1 || o.threads < 1)
        fail("--steps, --images, --rounds and --threads are at least 1");
    return o;
}

static tspk_spike *load(const options *o, tspk_spike *made)
{
    const tspk_made_size tiny = {192, 3, 12}, base = {768, 12, 12};
    tspk_spike *spike;
    tspk_error err;
    double start;

    tspk_error_init(&err);
    if (!strcmp(o->network, "tiny") || !strcmp(o->network, "base")) {
        made->graph = tspk_made_network(!strcmp(o->network, "tiny") ? tiny : base, o->steps);
        return made;
    }
    start = tspk_clock_seconds(CLOCK_MONOTONIC);
    must(tspk_spike_open(o->network, &spike, &err), &err);
    printf("file opened in %.1f ms\n", 1e3 * (tspk_clock_seconds(CLOCK_MONOTONIC) - start));
    return spike;
}

static void measure(const options *o, const tspk_spike *spike)
{
    const tspk_graph *const graph = spike->graph->graph;
    const size_t elems = tspk_shape_elems(&graph->value[graph->input[0]].shape);
    const size_t classes = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    float *const images = malloc(o->images * elems * sizeof *images);
    float *const logits = malloc(o->images * o->steps * classes * sizeof *logits);
    tspk_session_settings settings;
    tspk_session *session;
    tspk_session_memory memory;
    tspk_error err;
    tspk_profile kinds = {.n = 0};
    const tspk_spike_trace trace = {tspk_profile_enter, tspk_profile_leave, &kinds};
    tspk_rng rng = {7};
    double wall = INFINITY, cpu = INFINITY, start;

    if (!images || !logits)
        fail("no memory");
    for (size_t i = 0; i < o->images * elems; i++)
        images[i] = (float)(tspk_rng_next(&rng) >> 40) / 8388608.0f - 1.0f;
    tspk_error_init(&err);
    tspk_session_default_settings(&settings);
    settings.threads = o->threads;
    settings.steps = o->steps;
    settings.steps_per_pass = o->pass;
    settings.isa = o->isa;
    start = tspk_clock_seconds(CLOCK_MONOTONIC);
    must(tspk_session_open(spike, &settings, &session, &err), &err);
    printf("session opened in %.1f ms\n", 1e3 * (tspk_clock_seconds(CLOCK_MONOTONIC) - start));
    for (int round = 0; round <= o->rounds; round++) {
        const double at = tspk_clock_seconds(CLOCK_MONOTONIC), cpu_at = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);

        must(tspk_session_run(session, o->images, images, logits, NULL, &err), &err);
        if (!round) /* warm-up */
            continue;
        wall = fmin(wall, tspk_clock_seconds(CLOCK_MONOTONIC) - at);
        cpu = fmin(cpu, tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_at);
    }
    tspk_session_memory_get(session, &memory);
    printf("%s %s, %u steps, %d threads, %zu images: %.2f ms an image, %.2f of processor; MiB: "
           "weights %.1f, state %.1f, arena %.1f\n",
           o->network, session->plan.kernels->name, o->steps, o->threads, o->images,
           1e3 * wall / (double)o->images, 1e3 * cpu / (double)o->images,
           (double)memory.weights / 1048576.0, (double)memory.state / 1048576.0,
           (double)memory.arena / 1048576.0);
    if (o->by_kind && o->threads == 1) {
        session->trace = &trace;
        must(tspk_session_run(session, o->images, images, logits, NULL, &err), &err);
        tspk_profile_print(&kinds, (double)o->images);
    }
    tspk_session_close(session);
    free(images);
    free(logits);
}

int main(int argc, char **argv)
{
    const options o = parse(argc, argv);
    tspk_spike made = {NULL};
    tspk_spike *const spike = load(&o, &made);

    measure(&o, spike);
    if (spike == &made)
        tspk_spikegraph_free(made.graph);
    else
        tspk_spike_close(spike);
    return 0;
}
