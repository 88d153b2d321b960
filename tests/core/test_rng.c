/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/rng.h"

/* The published test vector of SplitMix64 for the seed 1234567. */
static void splitmix64_matches_reference(void **state)
{
    static const uint64_t expected[] = {
        UINT64_C(6457827717110365317), UINT64_C(3203168211198807973), UINT64_C(9817491932198370423),
        UINT64_C(4593380528125082431), UINT64_C(16408922859458223821)};
    tspk_rng rng = {1234567};

    (void)state;
    for (size_t i = 0; i < 5; i++)
        assert_true(tspk_rng_next(&rng) == expected[i]);
}

static void shuffle_is_a_permutation(void **state)
{
    size_t order[257];
    uint8_t seen[257] = {0};

    (void)state;
    tspk_rng_shuffle(7, order, 257);
    for (size_t i = 0; i < 257; i++) {
        assert_true(order[i] < 257);
        assert_int_equal(seen[order[i]], 0);
        seen[order[i]] = 1;
    }
}

/* Worked out with arbitrary-precision integers from the contract's words, for the seed 0. */
static void shuffle_follows_the_contract(void **state)
{
    static const size_t expected[10] = {4, 9, 2, 5, 1, 7, 6, 0, 3, 8};
    size_t order[10];

    (void)state;
    tspk_rng_shuffle(0, order, 10);
    for (size_t i = 0; i < 10; i++)
        assert_int_equal(order[i], expected[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(splitmix64_matches_reference),
        cmocka_unit_test(shuffle_is_a_permutation),
        cmocka_unit_test(shuffle_follows_the_contract),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
