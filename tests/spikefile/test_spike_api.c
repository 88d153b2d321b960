/* SPDX-License-Identifier: Apache-2.0 */
/* The public handle: what is saved is what is opened. Files lie in the current folder. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/spike_handle.h"
#include "tests/spikefile/tiny_spikegraph.h"

static void saved_handle_opens_alike(void **state)
{
    static const char *const names[] = {"ant", "bee", "cat", "dog", "eel"};
    const tiny_settings tiny = tiny_default_settings(3);
    tspk_spike made = {tiny_spikegraph_new(&tiny, NULL)};
    tspk_spike *opened = NULL;
    tspk_spike_info a, b;
    char path[64];
    uint8_t hash[32];
    tspk_error err;

    (void)state;
    snprintf(path, sizeof path, "spike_api_%ld.spike", (long)getpid());
    assert_int_equal(tspk_spike_set_class_names(&made, names, 4, &err), TSPK_RANGE);
    assert_string_equal(err.message, "4 class names for 5 classes");
    assert_int_equal(tspk_spike_set_class_names(&made, names, 5, &err), TSPK_OK);
    assert_int_equal(tspk_spike_save(&made, path, &err), TSPK_OK);
    assert_int_equal(tspk_spike_open(path, &opened, &err), TSPK_OK);
    tspk_spike_info_get(&made, &a);
    tspk_spike_info_get(opened, &b);
    assert_int_equal(b.steps, 4);
    assert_int_equal(b.classes, TINY_CLASSES);
    assert_int_equal(b.image_dim[0], 1);
    assert_int_equal(b.image_dim[1], 8);
    assert_int_equal(b.image_dim[2], 8);
    assert_int_equal(a.levels, b.levels);
    assert_true(a.seed == b.seed);
    assert_string_equal(a.source_sha256, b.source_sha256);
    assert_int_equal(a.calibration_images, b.calibration_images);
    assert_memory_equal(&a.preprocess, &b.preprocess, sizeof a.preprocess);
    assert_string_equal(tspk_spike_class_name(opened, 4), "eel");
    assert_null(tspk_spike_class_name(opened, 5));
    for (size_t i = 0; i < b.calibration_images; i++)
        assert_true(
            tspk_spike_has_calibrated_on(opened, made.graph->provenance.calibration_hash[i]));
    memset(hash, 0xa5, sizeof hash);
    assert_false(tspk_spike_has_calibrated_on(opened, hash));
    tspk_spike_close(opened);
    tspk_spikegraph_free(made.graph);
    unlink(path);
}

static void description_lists_what_stays_analog(void **state)
{
    const tiny_settings tiny = tiny_default_settings(3);
    tspk_spike spike = {tiny_spikegraph_new(&tiny, NULL)};
    char *text;

    (void)state;
    assert_int_equal(tspk_spike_describe(&spike, &text, NULL), TSPK_OK);
    assert_non_null(strstr(text, "\"prior at products\",\n\t\t\t\"count\":\t2"));
    tspk_text_free(text);
    for (uint32_t s = 0; s < spike.graph->n_sites; s++)
        for (uint32_t t = 0; t < tiny.n_steps; t++)
            spike.graph->point[0].site[s].step[t].offset = NULL;
    assert_int_equal(tspk_spike_describe(&spike, &text, NULL), TSPK_OK);
    assert_null(strstr(text, "prior at products"));
    tspk_text_free(text);
    tspk_spikegraph_free(spike.graph);
}

static size_t count(const char *text, const char *what)
{
    size_t n = 0;

    for (const char *at = strstr(text, what); at; at = strstr(at + 1, what))
        n++;
    return n;
}

/* They stand among the sites, in order, and what is computed in their place among the analog. */
static void description_lists_sites_kept_analog(void **state)
{
    tiny_settings tiny = tiny_default_settings(3);
    tspk_spike spike;
    char *text;

    (void)state;
    tiny.has_analog = true;
    spike.graph = tiny_spikegraph_new(&tiny, NULL);
    assert_int_equal(tspk_spike_describe(&spike, &text, NULL), TSPK_OK);
    assert_int_equal(count(text, "\"spiking\":\tfalse"), TINY_ANALOG_SITES);
    assert_int_equal(count(text, "\"spiking\":\ttrue"), TINY_SITES - TINY_ANALOG_SITES);
    assert_int_equal(count(text, "kept from spiking"), 2);
    assert_true(strstr(text, "\"blocks.0.attn.qkv.input\"") <
                strstr(text, "\"blocks.0.attn.query\""));
    assert_true(strstr(text, "\"blocks.0.attn.numerator\"") <
                strstr(text, "\"blocks.0.attn.proj.input\""));
    assert_true(strstr(text, "\"blocks.0.mlp.fc1.input\"") <
                strstr(text, "\"blocks.0.mlp.fc2.input\""));
    tspk_text_free(text);
    tspk_spikegraph_free(spike.graph);
}

static void missing_file_is_named(void **state)
{
    tspk_spike *spike = NULL;
    tspk_error err;
    char line[1024];

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_spike_open("no/such.spike", &spike, &err), TSPK_IO);
    tspk_error_format(&err, line, sizeof line);
    assert_non_null(strstr(line, "no/such.spike"));
    assert_null(spike);
    tspk_spike_close(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(saved_handle_opens_alike),
        cmocka_unit_test(description_lists_what_stays_analog),
        cmocka_unit_test(description_lists_sites_kept_analog),
        cmocka_unit_test(missing_file_is_named),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
