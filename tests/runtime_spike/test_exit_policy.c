/* SPDX-License-Identifier: Apache-2.0 */
/* Exit policies: scores and policy nets against double precision; sessions whose images stop give
 * what a session without a policy gives after that step, over threads, batches and instruction
 * sets. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/cpu.h"
#include "core/rng.h"
#include "core/spike_handle.h"
#include "runtime/spike/exit_policy.h"
#include "tests/spikefile/tiny_spikegraph.h"

enum { MOST_LOGITS = 1000, ROUNDS = 200, IMAGES = 23, STEPS = 4 };

static double uniform(tspk_rng *rng, double least, double most)
{
    return least + (most - least) * (double)(tspk_rng_next(rng) >> 11) * 0x1p-53;
}

static int compare_falling(const void *a, const void *b)
{
    const double x = *(const double *)a, y = *(const double *)b;

    return (x < y) - (x > y);
}

/* log p, falling. */
static void log_probabilities(const float *logits, size_t n, double temperature, double *out)
{
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        out[i] = (double)logits[i] / temperature;
    qsort(out, n, sizeof *out, compare_falling);
    for (size_t i = n; i-- > 0;)
        sum += exp(out[i] - out[0]);
    for (size_t i = n; i-- > 0;)
        out[i] -= out[0] + log(sum);
}

static double expected_score(tspk_exit_kind kind, const double *log_p, size_t n)
{
    double entropy = 0;

    if (kind == TSPK_EXIT_CONFIDENCE)
        return exp(log_p[0]);
    if (kind == TSPK_EXIT_MARGIN)
        return exp(log_p[0]) - exp(log_p[1]);
    for (size_t i = 0; i < n; i++)
        entropy -= exp(log_p[i]) * log_p[i];
    return 1 - entropy / log((double)n);
}

static void scores_are_those_of_the_definition(void **state)
{
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    static float logits[MOST_LOGITS], scratch[MOST_LOGITS], in[MOST_LOGITS];
    static double log_p[MOST_LOGITS];
    tspk_rng rng = {11};

    (void)state;
    for (int round = 0; round < ROUNDS; round++) {
        const size_t n = 2 + tspk_rng_below(&rng, MOST_LOGITS - 1);
        const float temperature = (float)uniform(&rng, 0.3, 3);
        const double spread = uniform(&rng, 0.1, 20);
        const uint32_t n_in = 1 + (uint32_t)tspk_rng_below(&rng, n < 40 ? n : 40);

        for (size_t i = 0; i < n; i++)
            logits[i] = (float)uniform(&rng, -spread, spread);
        log_probabilities(logits, n, (double)temperature, log_p);
        for (tspk_exit_kind kind = TSPK_EXIT_CONFIDENCE; kind <= TSPK_EXIT_MARGIN; kind++) {
            const double score =
                (double)tspk_exit_score(math, kind, temperature, logits, n, scratch);

            assert_true(fabs(score - expected_score(kind, log_p, n)) < 1e-5);
        }
        tspk_exit_net_inputs(math, temperature, logits, n, n_in, scratch, in);
        for (uint32_t i = 0; i < n_in; i++)
            assert_true(fabs((double)in[i] - log_p[i]) < 2e-5 * (1 + fabs(log_p[i])));
    }
}

static void equal_logits_have_no_margin(void **state)
{
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    const float logits[4] = {1.0f, 3.0f, 3.0f, -2.0f}, broken[2] = {NAN, 1.0f};
    const float one[1] = {-5.0f};
    float scratch[4];

    (void)state;
    assert_true(tspk_exit_score(math, TSPK_EXIT_MARGIN, 1.0f, logits, 4, scratch) == 0.0f);
    assert_true(isnan(tspk_exit_score(math, TSPK_EXIT_MARGIN, 1.0f, broken, 2, scratch)));
    assert_true(tspk_exit_score(math, TSPK_EXIT_ENTROPY, 1.0f, one, 1, scratch) == 1.0f);
}

static void nets_are_perceptrons(void **state)
{
    float weight_in[6] = {1, -2, 0.5f, 3, 1, 1}, bias_in[2] = {0.25f, -10};
    float weight_out[6] = {2, 1, -1, 1, 0.5f, 1}, bias_out[3] = {0, 0.5f, -1};
    const tspk_exit_net net = {3, 2, weight_in, bias_in, weight_out, bias_out};
    const float in[3] = {-0.5f, -1, -2}; /* hidden: 0.75, 0 */
    const double z[3] = {1.5, -0.25, -0.625};
    float scratch[2], cumulative[3];
    double sum = 0, running = 0;

    (void)state;
    tspk_exit_net_forward(&net, in, 3, scratch, cumulative);
    for (int t = 0; t < 3; t++)
        sum += exp(z[t]);
    for (int t = 0; t < 3; t++) {
        running += exp(z[t]) / sum;
        assert_true(fabs((double)cumulative[t] - running) < 1e-6);
    }
}

static float images[IMAGES][TINY_IMAGE_ELEMS];

static int make_images(void **state)
{
    (void)state;
    for (int i = 0; i < IMAGES; i++)
        tiny_image((uint64_t)i + 40, images[i]);
    return 0;
}

typedef struct outcome {
    float logits[IMAGES][STEPS][TINY_CLASSES];
    tspk_step_work work[IMAGES][STEPS];
} outcome;

static void run(const tspk_spikegraph *spikes, const tspk_session_settings *settings, outcome *out)
{
    const tspk_spike spike = {.graph = (tspk_spikegraph *)(uintptr_t)spikes};
    tspk_session *session;

    memset(out, 0, sizeof *out);
    assert_int_equal(tspk_session_open(&spike, settings, &session, NULL), TSPK_OK);
    assert_int_equal(
        tspk_session_run(session, IMAGES, images[0], out->logits[0][0], out->work[0], NULL),
        TSPK_OK);
    tspk_session_close(session);
}

/* Which step the policy itself would stop at, from the logits of all steps. */
static uint32_t expected_stop(const tspk_exit_policy *policy, float threshold,
                              const float logits[STEPS][TINY_CLASSES])
{
    const tspk_vecmath *const math = tspk_vecmath_for(TSPK_ISA_SCALAR);
    float scratch[64];

    assert_true(tspk_exit_scratch(policy, TINY_CLASSES) <= 64);
    if (policy->kind == TSPK_EXIT_NET)
        return tspk_exit_after(math, policy, 1, STEPS, threshold, logits[0], TINY_CLASSES, scratch);
    for (uint32_t t = 1; t < STEPS; t++)
        if (tspk_exit_after(math, policy, t, STEPS, threshold, logits[t - 1], TINY_CLASSES,
                            scratch) == t)
            return t;
    return STEPS;
}

static void images_stop_as_the_policy_says(void **state)
{
    static outcome whole, stopped;
    tiny_settings tiny = tiny_default_settings(9);
    tspk_spikegraph *spikes;
    tspk_session_settings settings;
    unsigned stops_seen = 0;

    (void)state;
    tiny.has_exits = true;
    spikes = tiny_spikegraph_new(&tiny, NULL);
    tspk_session_default_settings(&settings);
    run(spikes, &settings, &whole);
    for (uint32_t p = 0; p < spikes->point[0].n_exits; p++)
        for (int i = 0; i < 5; i++) {
            const tspk_exit_policy *const policy = &spikes->point[0].exit[p];

            settings.policy = (tspk_policy)(TSPK_POLICY_NONE + policy->kind);
            settings.exit = i ? 0.25 * (i - 1) : -1;
            run(spikes, &settings, &stopped);
            for (int image = 0; image < IMAGES; image++) {
                const uint32_t stop =
                    expected_stop(policy, (float)settings.exit, whole.logits[image]);

                stops_seen |= 1u << stop;
                for (uint32_t t = 1; t <= STEPS; t++) {
                    const uint32_t at = t < stop ? t : stop;
                    const tspk_step_work *const work = &stopped.work[image][t - 1];
                    const double net =
                        work->energy_synaptic - whole.work[image][at - 1].energy_synaptic;

                    assert_memory_equal(stopped.logits[image][t - 1], whole.logits[image][at - 1],
                                        sizeof whole.logits[0][0]);
                    assert_int_equal(work->steps, at);
                    assert_int_equal(work->spikes, t <= stop ? whole.work[image][t - 1].spikes : 0);
                    assert_true(policy->kind == TSPK_EXIT_NET ? net > 0 : net == 0);
                }
            }
        }
    assert_int_equal(stops_seen, 2 | 4 | 8 | 16);
    tspk_spikegraph_free(spikes);
}

static void nothing_else_decides(void **state)
{
    static const tspk_isa isas[] = {TSPK_ISA_SCALAR, TSPK_ISA_AVX2, TSPK_ISA_AVX512VNNI,
                                    TSPK_ISA_NEON};
    static outcome first, other;
    tiny_settings tiny = tiny_default_settings(12);
    tspk_spikegraph *spikes;
    tspk_session_settings settings;

    (void)state;
    tiny.has_exits = true;
    spikes = tiny_spikegraph_new(&tiny, NULL);
    tspk_session_default_settings(&settings);
    for (int policy = TSPK_POLICY_CONFIDENCE; policy <= TSPK_POLICY_NET; policy++) {
        settings = (tspk_session_settings){.threads = 1,
                                           .batch = 1,
                                           .isa = TSPK_ISA_SCALAR,
                                           .policy = (tspk_policy)policy,
                                           .exit = -1};
        run(spikes, &settings, &first);
        for (size_t i = 0; i < sizeof isas / sizeof *isas; i++)
            for (int threads = 1; threads <= 3; threads++) {
                settings.isa = isas[i];
                settings.threads = threads;
                settings.batch = threads == 2 ? 1 : 7; /* nodes over threads; side by side */
                if (!tspk_isa_is_supported(isas[i]))
                    continue;
                run(spikes, &settings, &other);
                assert_memory_equal(&first, &other, sizeof first);
            }
    }
    tspk_spikegraph_free(spikes);
}

static void expect_refusal(const tspk_spike *spike, const tspk_session_settings *settings,
                           tspk_status expected)
{
    tspk_session *session = NULL;
    tspk_error err;

    tspk_error_init(&err);
    assert_int_equal(tspk_session_open(spike, settings, &session, &err), expected);
    assert_null(session);
    assert_true(err.message[0] != '\0');
}

static void what_is_missing_is_refused(void **state)
{
    const tiny_settings tiny = tiny_default_settings(3);
    tspk_spikegraph *const spikes = tiny_spikegraph_new(&tiny, NULL);
    const tspk_spike spike = {.graph = spikes};
    tspk_session_settings settings;
    tspk_session *session;

    (void)state;
    tspk_session_default_settings(&settings);
    settings.policy = TSPK_POLICY_NET;
    expect_refusal(&spike, &settings, TSPK_UNSUPPORTED);
    settings.policy = TSPK_POLICY_MARGIN;
    expect_refusal(&spike, &settings, TSPK_UNSUPPORTED);
    settings.exit = 0.5;
    assert_int_equal(tspk_session_open(&spike, &settings, &session, NULL), TSPK_OK);
    tspk_session_close(session);
    settings.exit = 1.5;
    expect_refusal(&spike, &settings, TSPK_USAGE);
    settings.exit = 0.5;
    settings.policy = TSPK_POLICY_OF_MODE;
    expect_refusal(&spike, &settings, TSPK_USAGE);
    tspk_spikegraph_free(spikes);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scores_are_those_of_the_definition),
        cmocka_unit_test(equal_logits_have_no_margin),
        cmocka_unit_test(nets_are_perceptrons),
        cmocka_unit_test(images_stop_as_the_policy_says),
        cmocka_unit_test(nothing_else_decides),
        cmocka_unit_test(what_is_missing_is_refused),
    };

    return cmocka_run_group_tests(tests, make_images, NULL);
}
