/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Times the integer products: every instruction set on the block shapes of ViT-Tiny/16 and ViT-B/16
 * (197 tokens), in multiply-accumulates a second and as a share of a peak that a loop over
 * registers reaches between two measurements; then events against dense over firing rates.
 *
 *   bench_kernels [--csv] [--isa NAME] [--rounds N]
 *
 * Time is processor time, the best of the rounds. A Linear is cut into jobs as a session cuts it;
 * a product of planes includes packing its right operand. The crossover is the rate at which events
 * take as long as dense products; the event rates of each instruction set's table are not above it.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/command.h"
#include "bench/int_peak.h"
#include "core/compiler.h"
#include "core/cpu.h"
#include "core/rng.h"
#include "runtime/spike/spike_plan.h"

enum { TOKENS = 197, GROUP = 64, CLASSES = 2 };

typedef struct shape {
    const char *name;
    size_t n_in, n_out; /* heads: n_in channels a head */
    size_t heads;       /* 0: a Linear; else a product of planes of tokens */
    bool is_logit;      /* [tokens, n_in] [n_in, tokens]; else [tokens, tokens] [tokens, n_in] */
} shape;

static const shape shapes[] = {
    {"tiny qkv 192x576", 192, 576, 0, false},    {"tiny proj 192x192", 192, 192, 0, false},
    {"tiny fc1 192x768", 192, 768, 0, false},    {"tiny fc2 768x192", 768, 192, 0, false},
    {"tiny q.k 3x197x64x197", 64, 0, 3, true},   {"tiny p.v 3x197x197x64", 64, 0, 3, false},
    {"base qkv 768x2304", 768, 2304, 0, false},  {"base fc1 768x3072", 768, 3072, 0, false},
    {"base fc2 3072x768", 3072, 768, 0, false},  {"base q.k 12x197x64x197", 64, 0, 12, true},
    {"base p.v 12x197x197x64", 64, 0, 12, false},
};

static const double rates[] = {0.0, 0.01, 0.02, 0.05, 0.1, 0.15, 0.2, 0.3, 0.4, 0.6, 0.8};

typedef struct settings {
    bool is_csv;
    const char *isa;
    int rounds;
} settings;

/* Operands of one shape for one table. */
typedef struct work {
    const shape *shape;
    const tspk_kernels *kernels;
    tspk_width width;
    int16_t *level;
    size_t ldl;
    uint8_t *weight, *row_class;
    float *scale, *rho, *bias, *out;
    void *scratch;
} work;

static void *take(size_t bytes)
{
    void *const memory = aligned_alloc(64, (bytes + 127) / 64 * 64);

    if (!memory) {
        fprintf(stderr, "bench_kernels: no memory\n");
        exit(1);
    }
    memset(memory, 0, bytes);
    return memory;
}

static double now(void)
{
    struct timespec at;

    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

static double products_of(const shape *s)
{
    if (s->heads)
        return (double)TOKENS * TOKENS * (double)(s->n_in * s->heads);
    return (double)TOKENS * (double)(s->n_in * s->n_out);
}

/* A level as a calibrated site fires it: the ladder of 8 levels that suits normally distributed
 * potentials (here a sum of uniform ones) with a deviation of 38 units. */
static int16_t draw_level(tspk_rng *rng)
{
    static const int16_t ladder[] = {9, 19, 30, 43, 57, 74, 95, 127};
    int p = -228;
    size_t i = 0;

    for (int k = 0; k < 12; k++)
        p += (int)tspk_rng_below(rng, 39);
    while (i + 1 < TSPK_COUNT_OF(ladder) && 2 * abs(p) > ladder[i] + ladder[i + 1])
        i++;
    return p < 0 ? (int16_t)-ladder[i] : ladder[i];
}

static void fill_levels(int16_t *level, size_t n, double rate, tspk_rng *rng)
{
    for (size_t i = 0; i < n; i++) {
        const double at = (double)(tspk_rng_next(rng) >> 11) / 9007199254740992.0;

        level[i] = at < rate ? draw_level(rng) : 0;
    }
}

static void fill_rates(work *w, double rate)
{
    tspk_rng rng = {3};

    fill_levels(w->level, TOKENS * w->ldl, rate, &rng);
}

static void make_linear(work *w, tspk_rng *rng)
{
    const shape *const s = w->shape;
    const size_t n_groups = s->n_in / GROUP, n = s->n_in * s->n_out;
    int8_t *const weight = take(n);
    float *const scale = take(n_groups * s->n_out * sizeof *scale);

    for (size_t i = 0; i < n; i++)
        weight[i] = (int8_t)((int)tspk_rng_below(rng, 255) - 127);
    for (size_t i = 0; i < n_groups * s->n_out; i++)
        scale[i] = 1e-4f;
    w->ldl = s->n_in;
    w->weight = take(tspk_packed_bytes(w->width, n_groups, GROUP, s->n_out));
    w->scale = take(tspk_pad_lanes(s->n_out) * n_groups * sizeof *w->scale);
    tspk_pack_weights(w->kernels, w->width, s->n_out, NULL, n_groups, GROUP, weight, 8, scale, w->weight,
                      w->scale);
    w->bias = take(CLASSES * s->n_out * sizeof *w->bias);
    w->out = take(TOKENS * s->n_out * sizeof *w->out);
    w->scratch = take(w->kernels->scratch_bytes(n_groups, GROUP));
    free(weight);
    free(scale);
}

static work make_work(const shape *s, const tspk_kernels *kernels, tspk_width width)
{
    const size_t keys = tspk_pad_lanes(TOKENS);
    tspk_rng rng = {1};
    work w = {.shape = s, .kernels = kernels, .width = width};

    w.row_class = take(TOKENS);
    w.rho = take(CLASSES * sizeof *w.rho);
    w.row_class[0] = 1;
    if (s->heads) {
        const size_t bytes = kernels->scratch_bytes(1, keys);

        /* one row of levels serves as q, k, p and v; only its first columns are read */
        w.ldl = s->n_in * s->heads > keys ? s->n_in * s->heads : keys;
        w.weight = take(tspk_packed_bytes(width, 1, keys, keys));
        w.out = take(TOKENS * keys * sizeof *w.out);
        w.scratch = take(bytes);
    } else {
        make_linear(&w, &rng);
    }
    w.level = take(TOKENS * w.ldl * sizeof *w.level);
    fill_rates(&w, 0.9);
    return w;
}

static void free_work(work *w)
{
    free(w->level);
    free(w->weight);
    free(w->row_class);
    free(w->scale);
    free(w->rho);
    free(w->bias);
    free(w->out);
    free(w->scratch);
}

/* As runtime/spike/spike_linear.c cuts it. */
static void run_linear(const work *w, bool is_sparse)
{
    const shape *const s = w->shape;
    const size_t n_groups = s->n_in / GROUP, tiles = tspk_pad_lanes(s->n_out) / TSPK_LANES;
    const size_t tile_bytes = tspk_packed_bytes(w->width, n_groups, GROUP, TSPK_LANES);
    const size_t most = tile_bytes < TSPK_LINEAR_BYTES ? TSPK_LINEAR_BYTES / tile_bytes : 1;

    for (size_t tile = 0; tile < tiles; tile += most)
        for (size_t r = 0; r < TOKENS; r += TSPK_CHAIN_ROWS) {
            const size_t column = tile * TSPK_LANES, left = s->n_out - column;
            const tspk_linear_args args = {
                .width = w->width,
                .rows = TOKENS - r < TSPK_CHAIN_ROWS ? TOKENS - r : TSPK_CHAIN_ROWS,
                .n = left < most * TSPK_LANES ? left : most * TSPK_LANES,
                .n_groups = n_groups,
                .group = GROUP,
                .level = w->level + r * w->ldl,
                .ldl = w->ldl,
                .weight = w->weight + tile * tile_bytes,
                .scale = w->scale + tile * n_groups * TSPK_LANES,
                .row_class = w->row_class + r,
                .rho = w->rho,
                .bias = w->bias + column,
                .ldbias = s->n_out,
                .is_first = true,
                .out = w->out + r * s->n_out + column,
                .ldo = s->n_out,
                .scratch = w->scratch};

            (is_sparse ? w->kernels->linear_events : w->kernels->linear)(&args);
        }
}

/* As runtime/spike/spike_attention.c does it: every block of rows into the same memory. */
static void run_product(const work *w, bool is_sparse)
{
    const shape *const s = w->shape;
    const size_t keys = tspk_pad_lanes(TOKENS), n = s->is_logit ? TOKENS : s->n_in;

    for (size_t head = 0; head < s->heads; head++) {
        const int16_t *const from = w->level + head * s->n_in;

        if (s->is_logit)
            w->kernels->pack_rows(w->width, s->n_in, n, from, w->ldl, w->weight);
        else
            w->kernels->pack_columns(w->width, TOKENS, n, from, w->ldl, w->weight);
        for (size_t r = 0; r < TOKENS; r += TSPK_ATTENTION_ROWS) {
            const size_t left = TOKENS - r;
            const tspk_product_term term = {
                w->level + r * w->ldl + (s->is_logit ? head * s->n_in : 0), w->weight, 1.0f};
            const tspk_product_args args = {
                .width = w->width,
                .rows = left < TSPK_ATTENTION_ROWS ? left : TSPK_ATTENTION_ROWS,
                .inner = s->is_logit ? s->n_in : TOKENS,
                .columns = tspk_pad_lanes(n),
                .lda = w->ldl,
                .term = &term,
                .n_terms = 1,
                .is_first = true,
                .out = w->out,
                .ldo = keys,
                .scratch = w->scratch};

            (is_sparse ? w->kernels->product_events : w->kernels->product)(&args);
        }
    }
}

static double time_once(const work *w, bool is_sparse, double seconds_wanted)
{
    double start = now(), spent;
    size_t n = 0;

    do {
        if (w->shape->heads)
            run_product(w, is_sparse);
        else
            run_linear(w, is_sparse);
        n++;
        spent = now() - start;
    } while (spent < seconds_wanted);
    return spent / (double)n;
}

static void print_row(const settings *use, const char *name, const char *variant, double value,
                      const char *unit)
{
    if (use->is_csv)
        printf("bench_kernels,%s,%s,%.4g,%s\n", name, variant, value, unit);
}

static void measure_dense(const settings *use, const tspk_kernels *kernels, tspk_isa isa,
                          tspk_width width)
{
    const char *const kind = width == TSPK_WIDTH_BYTE ? "int8" : "int16";
    char variant[48];

    snprintf(variant, sizeof variant, "%s %s", kernels->name, kind);
    for (size_t i = 0; i < TSPK_COUNT_OF(shapes); i++) {
        work w = make_work(&shapes[i], kernels, width);
        double peak = 0.0, best = INFINITY, rate;

        for (int round = 0; round < use->rounds; round++) {
            const double top = tspk_int_peak(isa, width, 0.01), spent = time_once(&w, false, 0.01);

            peak = top > peak ? top : peak;
            best = spent < best ? spent : best;
        }
        rate = products_of(&shapes[i]) / best;
        if (!use->is_csv)
            printf("%-24s %-16s %8.1f GMAC/s  of peak %8.1f  %5.3f\n", shapes[i].name, variant,
                   1e-9 * rate, 1e-9 * peak, rate / peak);
        print_row(use, shapes[i].name, variant, 1e-9 * rate, "GMAC/s");
        if (peak > 0.0)
            print_row(use, shapes[i].name, variant, rate / peak, "of peak");
        free_work(&w);
    }
}

static void measure_events(const settings *use, const tspk_kernels *kernels)
{
    char variant[48];

    snprintf(variant, sizeof variant, "%s int8", kernels->name);
    for (size_t i = 0; i < TSPK_COUNT_OF(shapes); i++) {
        work w = make_work(&shapes[i], kernels, TSPK_WIDTH_BYTE);
        double before = 0.0, crossover = 1.0;

        if (!use->is_csv)
            printf("%-24s %-16s events/dense at", shapes[i].name, variant);
        for (size_t k = 0; k < TSPK_COUNT_OF(rates); k++) {
            double dense = INFINITY, events = INFINITY, ratio;
            char name[64];

            fill_rates(&w, rates[k]);
            for (int round = 0; round < use->rounds; round++) {
                dense = fmin(dense, time_once(&w, false, 0.004));
                events = fmin(events, time_once(&w, true, 0.004));
            }
            ratio = events / dense;
            if (crossover > 0.99 && ratio > 1.0 && k > 0)
                crossover = rates[k - 1] +
                            (rates[k] - rates[k - 1]) * (1.0 - before) / (ratio - before);
            before = ratio;
            snprintf(name, sizeof name, "%s rate %.2f", shapes[i].name, rates[k]);
            if (!use->is_csv)
                printf(" %g: %.2f,", rates[k], ratio);
            print_row(use, name, variant, ratio, "events/dense");
        }
        if (!use->is_csv)
            printf(" crossover %.3f\n", crossover);
        print_row(use, shapes[i].name, variant, crossover, "crossover rate");
        free_work(&w);
    }
}

static settings read_arguments(int argc, char **argv)
{
    settings use = {false, NULL, 7};

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--csv"))
            use.is_csv = true;
        else if (!strcmp(argv[i], "--isa") && i + 1 < argc)
            use.isa = argv[++i];
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            use.rounds = atoi(argv[++i]);
        else {
            fprintf(stderr, "usage: bench_kernels [--csv] [--isa NAME] [--rounds N]\n");
            exit(2);
        }
    }
    return use;
}

static const char usage[] =
    "Times the integer products: every instruction set on the block shapes of ViT-Tiny/16 and ViT-B/16\n"
    "(197 tokens), in multiply-accumulates a second and as a share of a peak that a loop over\n"
    "registers reaches between two measurements; then events against dense over firing rates.\n"
    "\n"
    "  bench_kernels [--csv] [--isa NAME] [--rounds N]\n"
    "\n"
    "Time is processor time, the best of the rounds. A Linear is cut into jobs as a session cuts it;\n"
    "a product of planes includes packing its right operand. The crossover is the rate at which events\n"
    "take as long as dense products; the event rates of each instruction set's table are not above it.\n";

int main(int argc, char **argv)
{
    tspk_bench_help(argc, argv, usage);

    const settings use = read_arguments(argc, argv);

    for (int isa = TSPK_ISA_SCALAR; isa <= TSPK_ISA_NEON; isa++) {
        const tspk_kernels *kernels;

        if (tspk_kernels_select((tspk_isa)isa, &kernels, NULL) != TSPK_OK ||
            (use.isa && strcmp(use.isa, kernels->name)))
            continue;
        measure_dense(&use, kernels, (tspk_isa)isa, TSPK_WIDTH_BYTE);
        measure_dense(&use, kernels, (tspk_isa)isa, TSPK_WIDTH_WORD);
        if (kernels->linear_events != kernels->linear)
            measure_events(&use, kernels);
    }
    return 0;
}
