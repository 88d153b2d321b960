/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What it takes to begin: milliseconds to open a file and a session (medians), and the most memory
 * that a process held that opened both and ran one image.
 *
 *   bench_open MODEL.spike [--steps T] [--threads N] [--rounds N] [--source BYTES] [--csv]
 *
 * --source: size of the float network's file, to which memory and file are compared. --csv prints
 * rows for bench/record.py.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include "bench/command.h"
#include "bench/profile.h"
#include "transpike/transpike.h"

enum { MOST_ROUNDS = 1000 };

typedef struct options {
    const char *path;
    uint32_t steps;
    int threads, rounds;
    double source_bytes;
    bool is_csv;
} options;

/* [rounds] milliseconds */
typedef struct opening {
    double file[MOST_ROUNDS], file_cpu[MOST_ROUNDS];
    double session[MOST_ROUNDS], session_cpu[MOST_ROUNDS];
} opening;

static options parse(int argc, char **argv)
{
    options o = {.path = argc > 1 ? argv[1] : NULL, .threads = 1, .rounds = 11};

    for (int i = 2; i < argc; i++) {
        const char *const flag = argv[i], *const value = i + 1 < argc ? argv[i + 1] : "";

        if (!strcmp(flag, "--csv")) {
            o.is_csv = true;
            continue;
        }
        i++;
        if (!strcmp(flag, "--steps"))
            o.steps = (uint32_t)atoi(value);
        else if (!strcmp(flag, "--threads"))
            o.threads = atoi(value);
        else if (!strcmp(flag, "--rounds"))
            o.rounds = atoi(value);
        else if (!strcmp(flag, "--source"))
            o.source_bytes = atof(value);
        else
            o.path = NULL;
    }
    if (!o.path || o.threads < 1 || o.rounds < 1 || o.rounds > MOST_ROUNDS)
        tspk_bench_fail("`bench_open --help` tells how to call it");
    return o;
}

static double wall_ms(void)
{
    return 1e3 * tspk_clock_seconds(CLOCK_MONOTONIC);
}

static double cpu_ms(void)
{
    return 1e3 * tspk_clock_seconds(CLOCK_PROCESS_CPUTIME_ID);
}

static int by_value(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return x < y ? -1 : x > y;
}

static double median(double *value, int n)
{
    qsort(value, (size_t)n, sizeof *value, by_value);
    return value[n / 2];
}

/* A grey image, as the first that a process runs. */
static void run_one(tspk_session *session, const tspk_spike *spike, tspk_error *err)
{
    tspk_spike_info info;
    float *image, *logits;

    tspk_spike_info_get(spike, &info);
    image =
        calloc((size_t)info.image_dim[0] * info.image_dim[1] * info.image_dim[2], sizeof *image);
    logits = calloc((size_t)info.steps * info.classes, sizeof *logits);
    if (!image || !logits)
        tspk_bench_fail("no memory");
    tspk_bench_must(tspk_session_run(session, 1, image, logits, NULL, err), err);
    free(image);
    free(logits);
}

static double open_and_close(const options *o, opening *found, int round)
{
    tspk_session_settings settings;
    tspk_session *session;
    tspk_spike *spike;
    tspk_error err;
    struct rusage usage;
    double wall = wall_ms(), cpu = cpu_ms();

    tspk_error_init(&err);
    tspk_bench_must(tspk_spike_open(o->path, &spike, &err), &err);
    found->file[round] = wall_ms() - wall;
    found->file_cpu[round] = cpu_ms() - cpu;
    tspk_session_default_settings(&settings);
    settings.threads = o->threads;
    settings.batch = 1;
    settings.steps = o->steps;
    wall = wall_ms();
    cpu = cpu_ms();
    tspk_bench_must(tspk_session_open(spike, &settings, &session, &err), &err);
    found->session[round] = wall_ms() - wall;
    found->session_cpu[round] = cpu_ms() - cpu;
    if (!round)
        run_one(session, spike, &err);
    if (getrusage(RUSAGE_SELF, &usage) != 0)
        tspk_bench_fail("getrusage() failed");
    tspk_session_close(session);
    tspk_spike_close(spike);
    return 1024.0 * (double)usage.ru_maxrss;
}

static void print_row(const options *o, const char *what, double value, const char *unit)
{
    if (o->is_csv)
        printf("bench_open,%u steps,%s,%.4g,%s\n", o->steps, what, value, unit);
    else
        printf("%-34s %8.2f %s\n", what, value, unit);
}

static const char usage[] =
    "What it takes to begin: milliseconds to open a file and a session (medians), and the most memory\n"
    "that a process held that opened both and ran one image.\n"
    "\n"
    "  bench_open MODEL.spike [--steps T] [--threads N] [--rounds N] [--source BYTES] [--csv]\n"
    "\n"
    "--source: size of the float network's file, to which memory and file are compared. --csv prints\n"
    "rows for bench/record.py.\n";

int main(int argc, char **argv)
{
    tspk_bench_help(argc, argv, usage);

    const options o = parse(argc, argv);
    opening *const found = calloc(1, sizeof *found);
    struct stat file;
    double peak_bytes;

    if (!found || stat(o.path, &file) != 0)
        tspk_bench_fail("no memory, or no such file");
    peak_bytes = open_and_close(&o, found, 0);
    for (int round = 1; round < o.rounds; round++)
        (void)open_and_close(&o, found, round);
    print_row(&o, "file", median(found->file, o.rounds), "ms wall");
    print_row(&o, "file", median(found->file_cpu, o.rounds), "ms processor");
    print_row(&o, "session", median(found->session, o.rounds), "ms wall");
    print_row(&o, "session", median(found->session_cpu, o.rounds), "ms processor");
    print_row(&o, "peak memory", peak_bytes / 1048576.0, "MiB");
    if (o.source_bytes > 0.0) {
        print_row(&o, "peak memory", peak_bytes / o.source_bytes, "of the source's file");
        print_row(&o, "file", (double)file.st_size / o.source_bytes, "of the source's file");
    }
    free(found);
    return 0;
}
