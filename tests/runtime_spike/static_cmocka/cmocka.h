/* SPDX-License-Identifier: Apache-2.0 */
/* As much of cmocka as test_spike_kernels.c uses, for a static program of another machine: the first
 * assertion that fails ends it. */
#ifndef TSPK_TESTS_STATIC_CMOCKA_H
#define TSPK_TESTS_STATIC_CMOCKA_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define assert_true(condition)                                                                     \
    do {                                                                                           \
        if (!(condition)) {                                                                        \
            printf("%s:%d: %s\n", __FILE__, __LINE__, #condition);                                 \
            exit(1);                                                                               \
        }                                                                                          \
    } while (0)
#define assert_int_equal(a, b)           assert_true((long long)(a) == (long long)(b))
#define assert_ptr_equal(a, b)           assert_true((a) == (b))
#define assert_non_null(a)               assert_true((a) != NULL)
#define assert_string_equal(a, b)        assert_true(!strcmp(a, b))
#define assert_memory_equal(a, b, bytes) assert_true(!memcmp(a, b, bytes))

struct CMUnitTest {
    const char *name;
    void (*run)(void **state);
};

#define cmocka_unit_test(function) {#function, function}

#define cmocka_run_group_tests(tests, set_up, tear_down)                                           \
    run_tests(tests, sizeof(tests) / sizeof(tests)[0], set_up)

static inline int run_tests(const struct CMUnitTest *tests, size_t n, int (*set_up)(void **state))
{
    if (set_up(NULL))
        return 1;
    for (size_t i = 0; i < n; i++) {
        tests[i].run(NULL);
        printf("%s: OK\n", tests[i].name);
    }
    return 0;
}

#endif
