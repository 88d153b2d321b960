/* SPDX-License-Identifier: Apache-2.0 */
/* Names and prefixes of sites, and what is said of one that is no site's. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "convert/site_names.h"

static void prefixes_end_at_dots(void **state)
{
    (void)state;
    assert_true(tspk_is_under("blocks.1.attn.query", "blocks.1.attn.query"));
    assert_true(tspk_is_under("blocks.1.attn.query", "blocks.1.attn"));
    assert_true(tspk_is_under("blocks.1.attn.query", "blocks"));
    assert_false(tspk_is_under("blocks.10.attn.query", "blocks.1"));
    assert_false(tspk_is_under("blocks.1.attn.query", "blocks.1.attn.q"));
    assert_false(tspk_is_under("blocks.1", "blocks.1.attn"));
    assert_false(tspk_is_under("blocks.1.attn.query", "blocks."));
    assert_false(tspk_is_under("blocks.1.attn.query", ""));
}

static void unknown_names_get_the_nearest(void **state)
{
    tspk_site site[] = {{.name = "blocks.0.attn.qkv.input"},
                        {.name = "blocks.0.attn.query"},
                        {.name = "blocks.0.mlp.fc1.input"},
                        {.name = "blocks.1.mlp.fc1.input"},
                        {.name = "head.input"}};
    const tspk_spikegraph spikes = {.n_sites = 5, .site = site};
    tspk_error err;

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_fail_unknown_site(&spikes, "blocks.0.mpl.fc1.input", &err), TSPK_RANGE);
    assert_string_equal(err.message, "no site is called \"blocks.0.mpl.fc1.input\"; nearest: "
                                     "blocks.0.mlp.fc1.input");
    assert_int_equal(tspk_fail_unknown_site(&spikes, "blocks.0.attn.q", &err), TSPK_RANGE);
    assert_non_null(strstr(err.message, "nearest: blocks.0.attn.qkv.input, blocks.0.attn.query"));
    assert_int_equal(tspk_fail_unknown_site(&spikes, "heads", &err), TSPK_RANGE);
    assert_non_null(strstr(err.message, "nearest: head.input"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prefixes_end_at_dots),
        cmocka_unit_test(unknown_names_get_the_nearest),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
