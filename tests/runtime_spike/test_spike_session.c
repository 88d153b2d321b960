/* SPDX-License-Identifier: Apache-2.0 */
/* Sessions on the toy network: same bytes over threads, batches and instruction sets; decoded
 * logits approach those of the float network; a run allocates nothing and computes with the chosen
 * instruction set alone; priors at products and sites kept analog are counted. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "bench/made_network.h"
#include "core/cpu.h"
#include "core/spike_handle.h"
#include "runtime/ann/ann_exec.h"
#include "runtime/spike/spike_session.h"
#include "tests/spikefile/tiny_spikegraph.h"

enum { IMAGES = 19, MOST_STEPS = 4 };

/* The linker sends the library's calls here. */
static size_t n_allocations;
void *__real_malloc(size_t bytes);
void *__real_calloc(size_t n, size_t bytes);
void *__real_realloc(void *old, size_t bytes);
void *__real_aligned_alloc(size_t align, size_t bytes);
int __real_posix_memalign(void **out, size_t align, size_t bytes);
void *__wrap_malloc(size_t bytes);
void *__wrap_calloc(size_t n, size_t bytes);
void *__wrap_realloc(void *old, size_t bytes);
void *__wrap_aligned_alloc(size_t align, size_t bytes);
int __wrap_posix_memalign(void **out, size_t align, size_t bytes);

void *__wrap_malloc(size_t bytes)
{
    n_allocations++;
    return __real_malloc(bytes);
}

void *__wrap_calloc(size_t n, size_t bytes)
{
    n_allocations++;
    return __real_calloc(n, bytes);
}

void *__wrap_realloc(void *old, size_t bytes)
{
    n_allocations++;
    return __real_realloc(old, bytes);
}

void *__wrap_aligned_alloc(size_t align, size_t bytes)
{
    n_allocations++;
    return __real_aligned_alloc(align, bytes);
}

int __wrap_posix_memalign(void **out, size_t align, size_t bytes)
{
    n_allocations++;
    return __real_posix_memalign(out, align, bytes);
}

/* Here too: bit i is set when the functions of instruction set i were asked for. */
static unsigned asked_isas;
const tspk_vecmath *__real_tspk_vecmath_for(tspk_isa isa);
const tspk_vecmath *__wrap_tspk_vecmath_for(tspk_isa isa);

const tspk_vecmath *__wrap_tspk_vecmath_for(tspk_isa isa)
{
    asked_isas |= 1u << isa;
    return __real_tspk_vecmath_for(isa);
}

static float images[IMAGES][TINY_IMAGE_ELEMS];

static int make_images(void **state)
{
    (void)state;
    for (int i = 0; i < IMAGES; i++)
        tiny_image((uint64_t)i + 1, images[i]);
    return 0;
}

/* Logits and work of all images with these settings. */
static void run_with(const tspk_spikegraph *graph, const tspk_session_settings *settings,
                     size_t a_call, float *logits, tspk_step_work *work)
{
    const tspk_spike spike = {.graph = (tspk_spikegraph *)(uintptr_t)graph};
    const uint32_t kept = settings->steps ? settings->steps : graph->point[0].n_steps;
    tspk_session *session;
    tspk_error err;

    tspk_error_init(&err);
    asked_isas = 0;
    if (tspk_session_open(&spike, settings, &session, &err) != TSPK_OK)
        fail_msg("%s", err.message);
    assert_true(n_allocations > 0);
    n_allocations = 0;
    for (size_t i = 0; i < IMAGES; i += a_call) {
        const size_t n = IMAGES - i < a_call ? IMAGES - i : a_call;

        if (tspk_session_run(session, n, images[i], logits + i * kept * TINY_CLASSES,
                             work ? work + i * kept : NULL, &err) != TSPK_OK)
            fail_msg("%s", err.message);
    }
    assert_int_equal(n_allocations, 0);
    assert_int_equal(asked_isas, 1u << tspk_isa_resolve(settings->isa));
    tspk_session_close(session);
}

static void run_all(const tspk_spikegraph *graph, int threads, uint32_t batch, uint32_t steps,
                    tspk_isa isa, size_t a_call, float *logits, tspk_step_work *work)
{
    tspk_session_settings settings;

    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.batch = batch;
    settings.steps = steps;
    settings.isa = isa;
    run_with(graph, &settings, a_call, logits, work);
}

/* From MERGED_VARIANTS on the same again with merged tokens; then those of differential coding with
 * refinement, whole and merged. */
enum { MERGED_VARIANTS = 34, REFINED_VARIANTS = 44, VARIANTS = 52 };

static tiny_settings variant(int which)
{
    tiny_settings settings = tiny_default_settings(11);

    settings.n_steps = MOST_STEPS;
    if (which >= REFINED_VARIANTS) {
        settings.refine_share = which % 4 ? 0.5f : 0.26f;
        settings.n_pairs = (uint32_t)which % 3;
        which = 2 * (which - REFINED_VARIANTS);
    } else {
        settings.n_pairs = which >= MERGED_VARIANTS ? 1 + (uint32_t)which % 2 : 0;
    }
    which %= MERGED_VARIANTS;
    settings.coding = which & 1 ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL;
    settings.is_exponent = (which & 2) != 0;
    settings.is_quotient = (which & 4) != 0;
    settings.is_max_fixed = (which & 8) != 0;
    settings.weight_bits = which & 16 ? 16 : 8;
    settings.has_analog = (which & 32) != 0;
    return settings;
}

static void test_same_bytes(void **state)
{
    static float first[IMAGES * MOST_STEPS * TINY_CLASSES],
        other[IMAGES * MOST_STEPS * TINY_CLASSES];
    static tspk_step_work first_work[IMAGES * MOST_STEPS], other_work[IMAGES * MOST_STEPS];
    const int threads[] = {1, 2, 3, 7};
    const uint32_t batches[] = {1, 16};

    (void)state;
    for (int which = 0; which < VARIANTS; which++) {
        const tiny_settings settings = variant(which);
        tspk_spikegraph *const graph = tiny_spikegraph_new(&settings, NULL);

        run_all(graph, 1, 1, 0, TSPK_ISA_SCALAR, 1, first, first_work);
        for (size_t i = 0; i < IMAGES * MOST_STEPS * TINY_CLASSES; i++)
            assert_true(isfinite(first[i]));
        for (int isa = 1; isa <= TSPK_ISA_NEON; isa++)
            for (size_t a = 0; a < 4 && tspk_isa_is_supported((tspk_isa)isa); a++)
                for (size_t b = 0; b < 2; b++) {
                    memset(other, 0, sizeof other);
                    memset(other_work, 0, sizeof other_work);
                    run_all(graph, threads[a], batches[b], 0, (tspk_isa)isa, b ? IMAGES : 1, other,
                            other_work);
                    assert_memory_equal(first, other, sizeof first);
                    for (size_t i = 0; i < IMAGES * MOST_STEPS; i++) {
                        assert_int_equal(first_work[i].spikes, other_work[i].spikes);
                        assert_int_equal(first_work[i].neurons, other_work[i].neurons);
                        assert_true(first_work[i].energy_synaptic == other_work[i].energy_synaptic);
                        assert_true(first_work[i].energy_full == other_work[i].energy_full);
                    }
                }
        tspk_spikegraph_free(graph);
    }
}

/* State kept between passes changes nothing. */
static void test_passes(void **state)
{
    static float first[IMAGES * MOST_STEPS * TINY_CLASSES],
        other[IMAGES * MOST_STEPS * TINY_CLASSES];
    static tspk_step_work first_work[IMAGES * MOST_STEPS], other_work[IMAGES * MOST_STEPS];

    (void)state;
    for (int which = 0; which < VARIANTS; which++) {
        const tiny_settings tiny = variant(which);
        tspk_spikegraph *const graph = tiny_spikegraph_new(&tiny, NULL);
        tspk_session_settings settings;

        run_all(graph, 1, 16, 0, TSPK_ISA_AUTO, IMAGES, first, first_work);
        tspk_session_default_settings(&settings);
        for (settings.threads = 1; settings.threads < 3; settings.threads++)
            for (uint32_t pass = 1; pass <= MOST_STEPS + 1; pass++) {
                settings.steps_per_pass = pass;
                memset(other, 0, sizeof other);
                memset(other_work, 0, sizeof other_work);
                run_with(graph, &settings, IMAGES, other, other_work);
                assert_memory_equal(first, other, sizeof first);
                for (size_t i = 0; i < IMAGES * MOST_STEPS; i++) {
                    assert_int_equal(first_work[i].spikes, other_work[i].spikes);
                    assert_true(first_work[i].energy_full == other_work[i].energy_full);
                }
            }
        tspk_spikegraph_free(graph);
    }
}

/* A network of 197 tokens: chains of several blocks, several blocks of queries, a Linear that
 * computes its columns in sorted order, groups of 64. */
static void test_many_tokens(void **state)
{
    enum { MADE_IMAGES = 3, MADE_STEPS = 2, PIXELS = 3 * 224 * 224 };
    const size_t a_run = (size_t)MADE_IMAGES * MADE_STEPS * TSPK_MADE_CLASSES;
    tspk_spikegraph *const graph = tspk_made_network((tspk_made_size){64, 2, 1}, MADE_STEPS);
    const tspk_spike spike = {.graph = graph};
    float *const image = malloc((size_t)MADE_IMAGES * PIXELS * sizeof *image);
    float *const first = malloc(a_run * sizeof *first), *const other = malloc(a_run * sizeof *other);
    tspk_session_settings settings;
    bool is_first = true;

    (void)state;
    assert_true(image && first && other);
    for (size_t i = 0; i < (size_t)MADE_IMAGES * PIXELS; i++)
        image[i] = (float)(i * 2654435761u % 2001) / 1000.0f - 1.0f;
    tspk_session_default_settings(&settings);
    for (int isa = TSPK_ISA_SCALAR; isa <= TSPK_ISA_NEON; isa++)
        for (settings.threads = 1; settings.threads < 4; settings.threads += 2)
            for (settings.steps_per_pass = 0; settings.steps_per_pass < 2;
                 settings.steps_per_pass++) {
                tspk_session *session;

                settings.isa = (tspk_isa)isa;
                if (!tspk_isa_is_supported(settings.isa))
                    continue;
                settings.batch = settings.steps_per_pass ? 1 : 3;
                assert_int_equal(tspk_session_open(&spike, &settings, &session, NULL), TSPK_OK);
                assert_int_equal(tspk_session_run(session, MADE_IMAGES, image,
                                                  is_first ? first : other, NULL, NULL),
                                 TSPK_OK);
                tspk_session_close(session);
                if (!is_first)
                    assert_memory_equal(first, other, a_run * sizeof *first);
                is_first = false;
            }
    for (size_t i = 0; i < a_run; i++)
        assert_true(isfinite(first[i]));
    free(other);
    free(first);
    free(image);
    tspk_spikegraph_free(graph);
}

/* Fewer steps are a prefix of more. */
static void test_prefix(void **state)
{
    static float all[IMAGES * MOST_STEPS * TINY_CLASSES], few[IMAGES * MOST_STEPS * TINY_CLASSES];

    (void)state;
    for (int which = 0; which < 2; which++) {
        const tiny_settings settings = variant(which);
        tspk_spikegraph *const graph = tiny_spikegraph_new(&settings, NULL);

        run_all(graph, 1, 1, 0, TSPK_ISA_AUTO, IMAGES, all, NULL);
        for (uint32_t steps = 1; steps < MOST_STEPS; steps++) {
            run_all(graph, 2, 4, steps, TSPK_ISA_AUTO, IMAGES, few, NULL);
            for (size_t i = 0; i < IMAGES; i++)
                assert_memory_equal(all + i * MOST_STEPS * TINY_CLASSES,
                                    few + i * steps * TINY_CLASSES,
                                    steps * TINY_CLASSES * sizeof(float));
        }
        tspk_spikegraph_free(graph);
    }
}

static void test_approaches_float(void **state)
{
    static float logits[IMAGES * 16 * TINY_CLASSES], wanted[IMAGES * TINY_CLASSES];

    (void)state;
    for (int which = 0; which < MERGED_VARIANTS; which++) {
        tiny_settings settings = variant(which);
        tspk_graph *ann;
        tspk_spikegraph *graph;
        tspk_ann_exec *exec;
        const void *in = images;
        void *out = wanted;
        double error[16] = {0}, size = 0.0;

        settings.n_steps = 8;
        settings.weight_bits = 16;
        graph = tiny_spikegraph_new(&settings, &ann);
        assert_int_equal(tspk_ann_exec_new(ann, 1, &exec, NULL), TSPK_OK);
        assert_int_equal(tspk_ann_exec_run(exec, IMAGES, &in, &out, NULL), TSPK_OK);
        tspk_ann_exec_free(exec);
        run_all(graph, 2, 16, 0, TSPK_ISA_AUTO, IMAGES, logits, NULL);
        for (size_t i = 0; i < IMAGES * TINY_CLASSES; i++)
            size += fabs((double)wanted[i]);
        for (size_t t = 0; t < settings.n_steps; t++)
            for (size_t i = 0; i < IMAGES; i++)
                for (size_t c = 0; c < TINY_CLASSES; c++)
                    error[t] += fabs((double)logits[(i * settings.n_steps + t) * TINY_CLASSES + c] -
                                     (double)wanted[i * TINY_CLASSES + c]);
        printf("variant %2d: relative error", which);
        for (size_t t = 0; t < settings.n_steps; t++)
            printf(" %.3g", error[t] / size);
        printf("\n");
        /* ECMT's rule with powers of two clips here, whatever the number of steps */
        assert_true(error[settings.n_steps - 1] < (which & 2   ? 0.4
                                                   : which & 1 ? 0.25
                                                               : 0.01) *
                                                      size);
        assert_true(error[settings.n_steps - 1] < error[0]);
        tspk_spikegraph_free(graph);
        tspk_graph_free(ann);
    }
}

/* Sites of block 0 that do not spike: 4.6 pJ a multiply-accumulate of its attention and fc1. */
static void test_counts_analog_sites(void **state)
{
    const double attention = 2.0 * TINY_TOKENS * TINY_TOKENS * TINY_WIDTH;
    const double linear = (double)TINY_TOKENS * TINY_WIDTH * TINY_HIDDEN;

    (void)state;
    for (int has_analog = 0; has_analog < 2; has_analog++) {
        const tiny_settings tiny = variant(has_analog ? 32 : 0);
        const tspk_spike spike = {.graph = tiny_spikegraph_new(&tiny, NULL)};
        tspk_session_settings settings;
        tspk_session *session;

        tspk_session_default_settings(&settings);
        settings.threads = 1;
        assert_int_equal(tspk_session_open(&spike, &settings, &session, NULL), TSPK_OK);
        assert_true(session->plan.energy.once_synaptic == 0.0);
        assert_true(fabs(session->plan.energy.analog_synaptic -
                         4.6 * has_analog * (attention + linear)) < 1e-6);
        tspk_session_close(session);
        tspk_spikegraph_free(spike.graph);
    }
}

/* What this build or machine has no kernels for is refused by name. */
static void test_refuses_missing_kernels(void **state)
{
    const tiny_settings tiny = tiny_default_settings(11);
    tspk_spike spike = {.graph = tiny_spikegraph_new(&tiny, NULL)};
    size_t n_refused = 0;

    (void)state;
    for (int isa = TSPK_ISA_SCALAR; isa <= TSPK_ISA_NEON; isa++) {
        tspk_session_settings settings;
        tspk_session *session = NULL;
        tspk_error err;

        if (tspk_isa_is_supported((tspk_isa)isa))
            continue;
        tspk_error_init(&err);
        tspk_session_default_settings(&settings);
        settings.isa = (tspk_isa)isa;
        assert_int_equal(tspk_session_open(&spike, &settings, &session, &err), TSPK_UNSUPPORTED);
        assert_non_null(strstr(err.message, tspk_isa_name((tspk_isa)isa)));
        assert_null(session);
        n_refused++;
    }
    assert_true(n_refused > 0); /* no machine has both AVX-512 and NEON */
    tspk_spikegraph_free(spike.graph);
}

/* Priors at products up to step t [pJ]. */
static double prior_energy(const tspk_spike *spike, uint32_t t)
{
    tspk_session_settings settings;
    tspk_session *session;
    double energy;

    tspk_session_default_settings(&settings);
    settings.threads = 1;
    assert_int_equal(tspk_session_open(spike, &settings, &session, NULL), TSPK_OK);
    energy = session->plan.energy.prior_full[t - 1];
    tspk_session_close(session);
    return energy;
}

/* The same offset for every query, key and value. */
static void set_offsets(tspk_spikegraph *graph, float *offset)
{
    for (uint32_t s = 0; s < graph->n_sites; s++)
        for (uint32_t t = 0; t < graph->point[0].n_steps; t++)
            if (graph->site[s].kind != TSPK_SITE_LINEAR &&
                graph->site[s].kind != TSPK_SITE_NUMERATOR)
                graph->point[0].site[s].step[t].offset = offset;
}

/* Two token classes, one class token among the keys; five queries in one block, one in the other.
 */
static void test_counts_priors(void **state)
{
    const tiny_settings tiny = tiny_default_settings(11);
    tspk_spike spike = {.graph = tiny_spikegraph_new(&tiny, NULL)};
    float offset[2 * TINY_WIDTH] = {0};
    const double n_queries = TINY_TOKENS + 1;
    const double query = 2 * TINY_ATTENTIONS * TINY_TOKENS * TINY_WIDTH; /* b_q · k */
    const double key = n_queries * TINY_WIDTH, value = n_queries * TINY_WIDTH;
    const double logits = n_queries * TINY_HEADS * TINY_TOKENS; /* + b_q · k */
    const double rows = n_queries * TINY_HEADS; /* the class token's logit, its numerator */
    const double step = 4.6 * (query + key + value) +
                        0.9 * (logits + 2 * rows + 2 * n_queries * TINY_WIDTH); /* q + b_q, + b_v */

    (void)state;
    set_offsets(spike.graph, offset);
    assert_true(fabs(prior_energy(&spike, 1) - step) < 1e-9 * step);
    assert_true(fabs(prior_energy(&spike, 4) - 4 * step) < 1e-9 * step);
    set_offsets(spike.graph, NULL);
    assert_true(prior_energy(&spike, 4) == 0.0);
    tspk_spikegraph_free(spike.graph);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_same_bytes),
        cmocka_unit_test(test_passes),
        cmocka_unit_test(test_many_tokens),
        cmocka_unit_test(test_prefix),
        cmocka_unit_test(test_approaches_float),
        cmocka_unit_test(test_counts_analog_sites),
        cmocka_unit_test(test_refuses_missing_kernels),
        cmocka_unit_test(test_counts_priors),
    };

    return cmocka_run_group_tests(tests, make_images, NULL);
}
