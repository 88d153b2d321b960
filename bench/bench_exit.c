/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Steps against answers: fits every exit policy on some images for a row of targets and plays it on
 * others, beside fixed numbers of steps. The .spike's preprocessing and seed are used; the answers
 * of all steps are recorded once, and policies decide on them as a session would.
 *
 *   bench_exit MODEL.onnx MODEL.spike FIT_DATA FIT_IMAGES JUDGE_DATA SKIP [STEPS [JUDGED [MODE]]]
 *
 * STEPS: most steps of an image; 0: all. JUDGED: images at most; 0: all. MODE: exact by default.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/command.h"
#include "calib/policy_net.h"
#include "core/logits.h"
#include "core/parallel.h"
#include "core/spike_handle.h"
#include "runtime/spike/exit_policy.h"
#include "transpike/transpike.h"

static const double targets[] = {0.94, 0.95, 0.955, 0.96, 0.965, 0.97, 0.975, 0.98, 0.985, 0.99};

typedef struct samples {
    size_t n;
    float *images, *source; /* [n, elements], [n, classes] */
    int64_t *labels;
    tspk_exit_record record;
} samples;

static tspk_error error;

static void must(tspk_status status)
{
    tspk_bench_must(status, &error);
}

static size_t count_of(const char *text, const char *name)
{
    char *end;
    const long count = strtol(text, &end, 10);

    if (end == text || *end || count < 0) {
        fprintf(stderr, "bench_exit: %s is %s, expected a number\n", name, text);
        exit(2);
    }
    return (size_t)count;
}

static void read_samples(samples *s, const tspk_frame *frame, const tspk_spike *spike,
                         const char *path, const char *mode, size_t skip, size_t most,
                         bool is_fitted, int threads)
{
    const int64_t *const dim = frame->source->value[frame->source->input[0]].shape.dim + 1;
    tspk_dataset_settings settings;
    tspk_dataset *data = NULL;
    tspk_spike_info info;
    tspk_views views;
    size_t count;

    tspk_spike_info_get(spike, &info);
    tspk_dataset_default_settings(&settings);
    settings.preprocess = info.preprocess;
    settings.seed = info.seed;
    must(tspk_dataset_open(path, &settings, &data, &error));
    count = tspk_dataset_count(data);
    s->n = count > skip ? count - skip : 0;
    if (most && s->n > most)
        s->n = most;
    if (!s->n) {
        fprintf(stderr, "bench_exit: %s: no samples behind the first %zu\n", path, skip);
        exit(1);
    }
    s->images = tspk_bench_memory(malloc(s->n * frame->image_elems * sizeof *s->images));
    s->source = tspk_bench_memory(malloc(s->n * frame->classes * sizeof *s->source));
    s->labels = tspk_bench_memory(malloc(s->n * sizeof *s->labels));
    for (size_t i = 0; i < s->n; i++) {
        must(tspk_dataset_read(data, skip + i, dim, s->images + i * frame->image_elems, NULL,
                               &error));
        s->labels[i] = tspk_dataset_label(data, skip + i);
    }
    tspk_dataset_close(data);
    must(tspk_views_make(&views, frame, s->images, s->labels, s->n, is_fitted, true, info.seed,
                         threads, &error));
    memcpy(s->source, views.source, s->n * frame->classes * sizeof *s->source);
    must(tspk_exit_record_add(&s->record, spike->graph, mode, &views, threads, &error));
    tspk_views_done(&views);
}

static void samples_done(samples *s)
{
    free(s->images);
    free(s->source);
    free(s->labels);
    tspk_exit_record_done(&s->record);
}

static uint32_t stop_of(const samples *s, size_t i, const tspk_exit_policy *policy,
                        uint32_t n_steps, float *scratch)
{
    const tspk_exit_record *const record = &s->record;
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    uint32_t last = n_steps;

    for (uint32_t t = 1; policy && t < last; t++) {
        const uint32_t found =
            tspk_exit_after(math, policy, t, n_steps, -1,
                            record->logits + (i * record->n_steps + t - 1) * record->classes,
                            record->classes, scratch);

        last = found < last ? found : last;
    }
    return last;
}

/* One line: what the judged images do. NULL: all n_steps steps. */
static void play(const samples *s, const char *name, const char *target,
                 const tspk_exit_policy *policy, uint32_t n_steps)
{
    const tspk_exit_record *const record = &s->record;
    float *const scratch = tspk_bench_memory(
        malloc((record->classes + TSPK_MAX_EXIT_INPUTS + TSPK_MAX_EXIT_HIDDEN) * sizeof *scratch));
    double steps = 0, agreed = 0, correct = 0, expected = 0, energy = 0;
    const double n = (double)s->n;

    for (size_t i = 0; i < s->n; i++) {
        const uint32_t last = stop_of(s, i, policy, n_steps, scratch);
        const size_t at = i * record->n_steps + last - 1;

        steps += last;
        agreed += record->agrees[at];
        energy += record->energy[at];
        correct += (int64_t)tspk_find_largest(record->logits + at * record->classes,
                                              record->classes) == s->labels[i];
        expected += (int64_t)tspk_find_largest(s->source + i * record->classes, record->classes) ==
                    s->labels[i];
    }
    printf("| %s | %s | %.3f | %.2f %% | %.2f | %.4f |\n", name, target, steps / n,
           100 * agreed / n, 100 * (expected - correct) / n, energy / n);
    fflush(stdout);
    free(scratch);
}

static void play_policies(const samples *fitted, const samples *judged, uint32_t n_steps,
                          uint64_t seed)
{
    tspk_exit_chances chances;

    must(tspk_exit_chances_new(&fitted->record, &chances, &error));
    for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_NET; kind++)
        for (size_t i = 0; i < sizeof targets / sizeof *targets; i++) {
            const tspk_exit_target target = {.agreement = targets[i]};
            tspk_arena *const arena = tspk_bench_memory(tspk_arena_new(0));
            tspk_exit_policy policy;
            tspk_exit_outcome outcome;
            char text[16];

            if (kind == TSPK_EXIT_NET)
                must(tspk_policy_net_fit(&chances, n_steps, &target, seed, arena, &policy, &outcome,
                                         &error));
            else
                must(tspk_exit_fit(&chances, kind, n_steps, &target, arena, &policy, &outcome,
                                   &error));
            snprintf(text, sizeof text, "%g %%", 100 * targets[i]);
            if (outcome.is_met)
                play(judged, tspk_exit_kind_name(kind), text, &policy, n_steps);
            tspk_arena_free(arena);
        }
    tspk_exit_chances_done(&chances);
}

static const char usage[] =
    "Steps against answers: fits every exit policy on some images for a row of targets and plays it on\n"
    "others, beside fixed numbers of steps. The .spike's preprocessing and seed are used; the answers\n"
    "of all steps are recorded once, and policies decide on them as a session would.\n"
    "\n"
    "  bench_exit MODEL.onnx MODEL.spike FIT_DATA FIT_IMAGES JUDGE_DATA SKIP [STEPS [JUDGED [MODE]]]\n"
    "\n"
    "STEPS: most steps of an image; 0: all. JUDGED: images at most; 0: all. MODE: exact by default.\n";

int main(int argc, char **argv)
{
    const int threads = tspk_parallel_max_threads();
    samples fitted = {0}, judged = {0};
    tspk_model *model = NULL;
    tspk_spike *spike = NULL;
    tspk_frame frame;
    const char *const mode = argc > 9 ? argv[9] : "exact";
    uint32_t n_steps = 0, most;

    tspk_bench_help(argc, argv, usage);
    if (argc < 7) {
        fprintf(stderr, "bench_exit MODEL.onnx MODEL.spike FIT_DATA FIT_IMAGES JUDGE_DATA SKIP "
                        "[STEPS [JUDGED [MODE]]]\n");
        return 2;
    }
    tspk_error_init(&error);
    must(tspk_model_open(argv[1], NULL, &model, &error));
    must(tspk_spike_open(argv[2], &spike, &error));
    must(tspk_frame_init(&frame, model, NULL, 0, &error));
    if (argc > 7)
        n_steps = (uint32_t)count_of(argv[7], "STEPS");
    must(tspk_spike_mode_steps(spike, mode, &most, &error));
    if (!n_steps || n_steps > most)
        n_steps = most;
    read_samples(&fitted, &frame, spike, argv[3], mode, 0, count_of(argv[4], "FIT_IMAGES"), true,
                 threads);
    read_samples(&judged, &frame, spike, argv[5], mode, count_of(argv[6], "SKIP"),
                 argc > 8 ? count_of(argv[8], "JUDGED") : 0, false, threads);
    printf("| policy | fitted for | mean steps | agreement | loss, points | synaptic energy |\n"
           "|---|---|---|---|---|---|\n");
    for (uint32_t t = 1; t <= n_steps; t++)
        play(&judged, "fixed", "-", NULL, t);
    if (n_steps > 1)
        play_policies(&fitted, &judged, n_steps, spike->graph->provenance.seed);
    samples_done(&fitted);
    samples_done(&judged);
    tspk_frame_done(&frame);
    tspk_spike_close(spike);
    tspk_model_close(model);
    return 0;
}
