/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/fail.h"

static tspk_status fail_deep(tspk_error *err)
{
    const tspk_status status = TSPK_FAIL(err, TSPK_SHAPE, "rank %d", 3);

    tspk_at_tensor(err, status, "weight");
    tspk_at_node(err, status, "/fc1", "Gemm");
    return tspk_in_stage(err, status, "import");
}

static void outer_calls_fill_what_is_empty(void **state)
{
    tspk_error err;
    char line[256];

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_in_stage(&err, fail_deep(&err), "outer"), TSPK_SHAPE);
    assert_int_equal(tspk_in_file(&err, TSPK_SHAPE, "m.onnx"), TSPK_SHAPE);
    tspk_in_file(&err, TSPK_SHAPE, "m.onnx");
    tspk_error_format(&err, line, sizeof line);
    assert_string_equal(line,
                        "import: node \"/fc1\" (Gemm): tensor \"weight\": m.onnx: rank 3 [SHAPE]");
}

static void a_new_failure_keeps_nothing_of_the_last(void **state)
{
    tspk_error err;
    char line[256];

    (void)state;
    tspk_error_init(&err);
    fail_deep(&err);
    assert_int_equal(TSPK_FAIL(&err, TSPK_IO, "gone"), TSPK_IO);
    tspk_error_format(&err, line, sizeof line);
    assert_string_equal(line, "gone [IO]");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(outer_calls_fill_what_is_empty),
        cmocka_unit_test(a_new_failure_keeps_nothing_of_the_last),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
