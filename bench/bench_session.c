/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times sessions: milliseconds an image, of wall and of processor, and where they go.
 *
 *   bench_session [--network tiny|base|FILE.spike] [--steps T] [--threads N] [--images N] [--isa I]
 *                 [--rounds N] [--pass STEPS] [--by-kind] [--csv] [--save FILE.spike]
 *
 * tiny and base are networks of random weights with the sizes of ViT-Tiny/16 and ViT-B/16. Images
 * run side by side when there are as many as threads, else their layers are split. --pass: steps
 * that a layer executes before the next layer (default: all). --by-kind adds the processor time of
 * every kind of operator (one thread).
 *
 * With several threads a session of one thread and the register-only loop of int_peak.h, by one
 * thread and by all, take turns with it: what threads gain is compared with what they gain there,
 * and the processor time of one thread with that of all, which says more where others work too.
 * --csv prints rows for bench/record.py.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/command.h"
#include "bench/int_peak.h"
#include "bench/made_network.h"
#include "bench/profile.h"
#include "core/cpu.h"
#include "core/parallel.h"
#include "core/rng.h"
#include "core/spike_handle.h"
#include "runtime/spike/spike_session.h"

typedef struct options {
    const char *network, *save;
    uint32_t steps, pass;
    int threads, rounds;
    size_t images;
    tspk_isa isa;
    bool by_kind, is_csv;
} options;

static options parse(int argc, char **argv)
{
    options o = {.network = "tiny", .steps = 4, .threads = 1, .rounds = 3, .images = 4};

    for (int i = 1; i < argc; i++) {
        const char *const flag = argv[i], *const value = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(flag, "--by-kind")) {
            o.by_kind = true;
            continue;
        }
        if (!strcmp(flag, "--csv")) {
            o.is_csv = true;
            continue;
        }
        i++;
        if (!strcmp(flag, "--network"))
            o.network = value;
        else if (!strcmp(flag, "--save"))
            o.save = value;
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
                    tspk_bench_fail("--isa: expected auto, scalar, avx2, avx512vnni or neon");
            }
        else
            tspk_bench_fail("unknown option; `bench_session --help` lists them");
    }
    if (!o.steps || !o.images || o.rounds < 1 || o.threads < 1)
        tspk_bench_fail("--steps, --images, --rounds and --threads are at least 1");
    return o;
}

static tspk_spike *load(const options *o, tspk_spike *made)
{
    const tspk_made_size tiny = {192, 3, 12}, base = {768, 12, 12};
    tspk_spike *spike;
    tspk_error err;

    tspk_error_init(&err);
    if (!strcmp(o->network, "tiny") || !strcmp(o->network, "base")) {
        made->graph = tspk_made_network(!strcmp(o->network, "tiny") ? tiny : base, o->steps);
        return made;
    }
    tspk_bench_must(tspk_spike_open(o->network, &spike, &err), &err);
    return spike;
}

typedef struct input {
    float *images, *logits;
} input;

static input make_input(const options *o, const tspk_graph *graph)
{
    const size_t elems = o->images * tspk_shape_elems(&graph->value[graph->input[0]].shape);
    const size_t classes = tspk_shape_elems(&graph->value[graph->output[0]].shape);
    const input in = {malloc(elems * sizeof(float)),
                      malloc(o->images * o->steps * classes * sizeof(float))};
    tspk_rng rng = {7};

    if (!in.images || !in.logits)
        tspk_bench_fail("no memory");
    for (size_t i = 0; i < elems; i++)
        in.images[i] = (float)(tspk_rng_next(&rng) >> 40) / 8388608.0f - 1.0f;
    return in;
}

static tspk_session *open_session(const options *o, const tspk_spike *spike, int threads)
{
    tspk_session_settings settings;
    tspk_session *session;
    tspk_error err;

    tspk_error_init(&err);
    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.steps = o->steps;
    settings.steps_per_pass = o->pass;
    settings.isa = o->isa;
    tspk_bench_must(tspk_session_open(spike, &settings, &session, &err), &err);
    return session;
}

static void run(const options *o, tspk_session *session, const input *in)
{
    tspk_error err;

    tspk_error_init(&err);
    tspk_bench_must(tspk_session_run(session, o->images, in->images, in->logits, NULL, &err), &err);
}

/* The register-only loop, the same work on each of `threads` threads. */
typedef struct peak_job {
    tspk_isa isa;
    double products; /* a thread */
} peak_job;

static void do_peak_work(void *context, size_t i, int worker)
{
    const peak_job *const job = context;

    (void)i;
    (void)worker;
    if (!tspk_int_peak_work(job->isa, TSPK_WIDTH_BYTE, job->products))
        tspk_bench_fail("no register-only loop for this instruction set");
}

/* Seconds of wall for the same work a thread. */
static double time_peak(const peak_job *job, int threads)
{
    const double at = tspk_clock_seconds(CLOCK_MONOTONIC);

    tspk_parallel_for(threads, (size_t)threads, do_peak_work, (void *)(uintptr_t)job);
    return tspk_clock_seconds(CLOCK_MONOTONIC) - at;
}

typedef struct times {
    double wall, cpu; /* seconds of all images, least of the rounds */
    /* all threads over one, 0: not measured; throughput, of the loop over registers, and processor
     * time the other way round */
    double gain, peak_gain, cpu_ratio;
} times;

static double least(double a, double b)
{
    return b < a ? b : a;
}

static times measure(const options *o, tspk_session *session, tspk_session *alone, const input *in)
{
    const tspk_isa isa = tspk_isa_resolve(o->isa);
    const bool has_peak = alone && tspk_int_peak_work(isa, TSPK_WIDTH_BYTE, 0.0);
    const peak_job job = {isa, 2e10};
    double wall_alone = INFINITY, cpu_alone = INFINITY, peak_alone = INFINITY, peak_all = INFINITY;
    times t = {.wall = INFINITY, .cpu = INFINITY};

    for (int round = 0; round <= o->rounds; round++) {
        const double at = tspk_clock_seconds(CLOCK_MONOTONIC);
        const double cpu_at = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
        double wall, cpu, wall_one = INFINITY, cpu_one = INFINITY, peak_one = INFINITY,
                          peak = INFINITY;

        run(o, session, in);
        wall = tspk_clock_seconds(CLOCK_MONOTONIC) - at;
        cpu = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - cpu_at;
        if (alone) {
            const double one_at = tspk_clock_seconds(CLOCK_MONOTONIC);
            const double one_cpu_at = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);

            run(o, alone, in);
            wall_one = tspk_clock_seconds(CLOCK_MONOTONIC) - one_at;
            cpu_one = tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID) - one_cpu_at;
        }
        if (has_peak) {
            peak_one = time_peak(&job, 1);
            peak = time_peak(&job, o->threads);
        }
        if (!round) /* warm-up */
            continue;
        t.wall = least(t.wall, wall);
        t.cpu = least(t.cpu, cpu);
        wall_alone = least(wall_alone, wall_one);
        cpu_alone = least(cpu_alone, cpu_one);
        peak_alone = least(peak_alone, peak_one);
        peak_all = least(peak_all, peak);
    }
    if (alone) {
        t.gain = wall_alone / t.wall;
        t.cpu_ratio = cpu_alone / t.cpu;
    }
    if (has_peak)
        t.peak_gain = o->threads * peak_alone / peak_all;
    return t;
}

static void print_row(const options *o, const tspk_session *session, double value, const char *unit)
{
    const char *const name = strrchr(o->network, '/') ? strrchr(o->network, '/') + 1 : o->network;

    if (o->is_csv)
        printf("bench_session,%s batch %zu threads %d,T=%u %s,%.4g,%s\n", name, o->images,
               o->threads, o->steps, session->plan.kernels->name, value, unit);
    else
        printf("  %-34s %9.2f\n", unit, value);
}

static void report(const options *o, const tspk_session *session, const times *t)
{
    tspk_session_memory memory;

    tspk_session_memory_get(session, &memory);
    if (!o->is_csv)
        printf("%s %s, %u steps, %d threads, %zu images\n", o->network, session->plan.kernels->name,
               o->steps, o->threads, o->images);
    print_row(o, session, 1e3 * t->wall / (double)o->images, "ms wall an image");
    print_row(o, session, 1e3 * t->cpu / (double)o->images, "ms processor an image");
    print_row(o, session, (double)memory.weights / 1048576.0, "MiB weights");
    print_row(o, session, (double)memory.state / 1048576.0, "MiB state");
    print_row(o, session, (double)memory.arena / 1048576.0, "MiB arena");
    if (t->gain > 0.0) {
        print_row(o, session, t->gain, "times one thread");
        print_row(o, session, t->cpu_ratio, "processor of one thread over all");
    }
    if (t->peak_gain > 0.0) {
        print_row(o, session, t->peak_gain, "times one thread in registers");
        print_row(o, session, t->gain / t->peak_gain, "of the registers' gain");
    }
}

static void print_kinds(const options *o, tspk_session *session, const input *in)
{
    tspk_profile kinds = {.n = 0};
    const tspk_spike_trace trace = {tspk_profile_enter, tspk_profile_leave, &kinds};

    session->trace = &trace;
    run(o, session, in);
    session->trace = NULL;
    tspk_profile_print(&kinds, (double)o->images);
}

static const char usage[] =
    "Times sessions: milliseconds an image, of wall and of processor, and where they go.\n"
    "\n"
    "  bench_session [--network tiny|base|FILE.spike] [--steps T] [--threads N] [--images N] [--isa I]\n"
    "                [--rounds N] [--pass STEPS] [--by-kind] [--csv] [--save FILE.spike]\n"
    "\n"
    "tiny and base are networks of random weights with the sizes of ViT-Tiny/16 and ViT-B/16. Images\n"
    "run side by side when there are as many as threads, else their layers are split. --pass: steps\n"
    "that a layer executes before the next layer (default: all). --by-kind adds the processor time of\n"
    "every kind of operator (one thread).\n"
    "\n"
    "With several threads a session of one thread and the register-only loop of int_peak.h, by one\n"
    "thread and by all, take turns with it: what threads gain is compared with what they gain there,\n"
    "and the processor time of one thread with that of all, which says more where others work too.\n"
    "--csv prints rows for bench/record.py.\n";

int main(int argc, char **argv)
{
    tspk_bench_help(argc, argv, usage);

    const options o = parse(argc, argv);
    tspk_spike made = {NULL};
    tspk_spike *const spike = load(&o, &made);
    tspk_error err;
    tspk_session *session, *alone;
    input in;
    times t;

    tspk_error_init(&err);
    if (o.save)
        tspk_bench_must(tspk_spike_save(spike, o.save, &err), &err);
    session = open_session(&o, spike, o.threads);
    alone = o.threads > 1 ? open_session(&o, spike, 1) : NULL;
    in = make_input(&o, spike->graph->graph);
    t = measure(&o, session, alone, &in);
    report(&o, session, &t);
    if (o.by_kind && o.threads == 1 && !o.is_csv)
        print_kinds(&o, session, &in);
    tspk_session_close(session);
    tspk_session_close(alone);
    free(in.images);
    free(in.logits);
    if (spike == &made)
        tspk_spikegraph_free(made.graph);
    else
        tspk_spike_close(spike);
    return 0;
}
