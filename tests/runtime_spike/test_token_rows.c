/* SPDX-License-Identifier: Apache-2.0 */
/* Tokens that are refined: what is computed, what it costs, what is refused. Which ones they are,
 * and their codes, is the oracle's (tests/oracle). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/spike_handle.h"
#include "runtime/spike/spike_session.h"
#include "tests/spikefile/tiny_spikegraph.h"

enum { STEPS = 4, PATCHES = TINY_TOKENS - 1 };

typedef struct outcome {
    float logits[STEPS * TINY_CLASSES];
    tspk_step_work work[STEPS];
} outcome;

static tspk_spikegraph *make(float share, uint32_t pairs)
{
    tiny_settings settings = tiny_default_settings(21);

    settings.n_steps = STEPS;
    settings.n_pairs = pairs;
    settings.refine_share = share;
    return tiny_spikegraph_new(&settings, NULL);
}

static outcome run(float share, uint32_t pairs, bool is_off)
{
    tspk_spikegraph *const graph = make(share, pairs);
    const tspk_spike spike = {.graph = graph};
    float image[TINY_IMAGE_ELEMS];
    tspk_session_settings settings;
    tspk_session *session;
    tspk_error err;
    outcome out;

    tspk_error_init(&err);
    tiny_image(3, image);
    tspk_session_default_settings(&settings);
    settings.threads = 1;
    settings.is_refining_off = is_off;
    if (tspk_session_open(&spike, &settings, &session, &err) != TSPK_OK ||
        tspk_session_run(session, 1, image, out.logits, out.work, &err) != TSPK_OK)
        fail_msg("%s", err.message);
    tspk_session_close(session);
    tspk_spikegraph_free(graph);
    return out;
}

/* A share that rounds to all patches, and one that is switched off, change nothing. */
static void test_all_patches(void **state)
{
    (void)state;
    for (uint32_t pairs = 0; pairs < 3; pairs++) {
        const outcome whole = run(0.0f, pairs, false), all = run(0.9f, pairs, false);
        const outcome off = run(0.3f, pairs, true);

        assert_memory_equal(whole.logits, all.logits, sizeof whole.logits);
        assert_memory_equal(whole.logits, off.logits, sizeof whole.logits);
        for (int t = 0; t < STEPS; t++) {
            assert_int_equal(whole.work[t].spikes, all.work[t].spikes);
            assert_int_equal(whole.work[t].neurons, all.work[t].neurons);
            assert_true(whole.work[t].energy_synaptic == all.work[t].energy_synaptic);
            assert_float_equal(whole.work[t].energy_full, all.work[t].energy_full, 1e-9);
            assert_float_equal(whole.work[t].tokens, all.work[t].tokens, 1e-9);
        }
    }
}

/* Step 1 is that of all tokens; later steps compute the class token and one patch of four. */
static void test_fewer_rows(void **state)
{
    const outcome whole = run(0.0f, 0, false), some = run(0.25f, 0, false);
    /* rows of linear sites: block 0 has four with all tokens, block 1 its first, three of one row
     */
    const double all = 5 * TINY_TOKENS + 3, few = 5 * 2 + 3;

    (void)state;
    assert_memory_equal(whole.logits, some.logits, TINY_CLASSES * sizeof(float));
    assert_int_equal(whole.work[0].neurons, some.work[0].neurons);
    assert_float_equal(whole.work[0].tokens, some.work[0].tokens, 1e-9);
    assert_memory_not_equal(whole.logits, some.logits, sizeof whole.logits);
    for (int t = 1; t < STEPS; t++) {
        assert_true(some.work[t].neurons < whole.work[t].neurons);
        assert_float_equal((some.work[t].tokens - some.work[t - 1].tokens) /
                               (whole.work[t].tokens - whole.work[t - 1].tokens),
                           few / all, 1e-9);
        assert_true(some.work[t].energy_synaptic < whole.work[t].energy_synaptic);
        assert_true(some.work[t].energy_full < whole.work[t].energy_full);
    }
}

static void assert_refused(tspk_spikegraph *graph, const char *text)
{
    const tspk_spike spike = {.graph = graph};
    tspk_session *session = NULL;
    tspk_error err;

    tspk_error_init(&err);
    assert_int_equal(tspk_session_open(&spike, NULL, &session, &err), TSPK_UNSUPPORTED);
    assert_null(session);
    assert_non_null(strstr(err.message, text));
    tspk_spikegraph_free(graph);
}

static void test_refusals(void **state)
{
    tiny_settings settings = tiny_default_settings(5);
    tspk_spikegraph *graph;

    (void)state;
    settings.refine_share = 0.5f;
    settings.has_analog = true;
    assert_refused(tiny_spikegraph_new(&settings, NULL), "kept analog");
    settings.has_analog = false;
    settings.coding = TSPK_CODING_RATE;
    assert_refused(tiny_spikegraph_new(&settings, NULL), "rate coding");
    /* a special token behind patches */
    settings.coding = TSPK_CODING_DIFFERENTIAL;
    graph = tiny_spikegraph_new(&settings, NULL);
    for (uint32_t s = 0; s < graph->n_sites; s++)
        if (graph->site[s].kind == TSPK_SITE_LINEAR && graph->site[s].rows == TINY_TOKENS)
            ((uint8_t *)(uintptr_t)graph->site[s].row_class)[PATCHES] = 1;
    assert_refused(graph, "special token");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_all_patches),
        cmocka_unit_test(test_fewer_rows),
        cmocka_unit_test(test_refusals),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
