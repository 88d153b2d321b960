/* SPDX-License-Identifier: Apache-2.0 */
/* Writing and reading back; reading what is damaged. Files lie in the current folder. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/rng.h"
#include "spikefile/spikefile.h"
#include "tests/spikefile/compare_spikegraphs.h"
#include "tests/spikefile/tiny_spikegraph.h"

/* A file of its own for each test program that runs beside this one. */
static char *path_of(const char *name)
{
    static char path[128];

    snprintf(path, sizeof path, "spikefile_%ld_%s.spike", (long)getpid(), name);
    return path;
}

static uint8_t *load(const char *path, size_t *n_out)
{
    FILE *file = fopen(path, "rb");
    uint8_t *bytes;
    long n;

    assert_non_null(file);
    assert_int_equal(fseek(file, 0, SEEK_END), 0);
    n = ftell(file);
    assert_true(n > 0);
    rewind(file);
    bytes = malloc((size_t)n);
    assert_non_null(bytes);
    assert_int_equal(fread(bytes, 1, (size_t)n, file), (size_t)n);
    fclose(file);
    *n_out = (size_t)n;
    return bytes;
}

static void store(const char *path, const uint8_t *bytes, size_t n)
{
    FILE *file = fopen(path, "wb");

    assert_non_null(file);
    assert_int_equal(fwrite(bytes, 1, n, file), n);
    assert_int_equal(fclose(file), 0);
}

static void must(tspk_status status, const tspk_error *err)
{
    char line[800];

    if (status == TSPK_OK)
        return;
    tspk_error_format(err, line, sizeof line);
    fail_msg("%s", line);
}

static tspk_spikegraph *make(uint64_t seed)
{
    tiny_settings settings = tiny_default_settings(seed);

    settings.n_points = 2;
    settings.has_exits = true;
    return tiny_spikegraph_new(&settings, NULL);
}

static void check_round_trip(const tiny_settings *settings)
{
    tspk_spikegraph *const made = tiny_spikegraph_new(settings, NULL);
    tspk_spikegraph *found = NULL;
    const char *const path = path_of("round"), *difference;
    uint8_t *first, *second;
    size_t n_first, n_second;
    tspk_error err;

    tspk_error_init(&err);
    must(tspk_spikefile_write(made, path, &err), &err);
    first = load(path, &n_first);
    must(tspk_spikefile_read(path, &found, &err), &err);
    difference = compare_spikegraphs(made, found);
    if (difference)
        fail_msg("seed %llu: differs: %s", (unsigned long long)settings->seed, difference);
    must(tspk_spikefile_write(found, path, &err), &err);
    second = load(path, &n_second);
    assert_int_equal(n_first, n_second);
    assert_memory_equal(first, second, n_first);
    free(first);
    free(second);
    tspk_spikegraph_free(made);
    tspk_spikegraph_free(found);
    unlink(path);
}

static void reads_back_what_it_wrote(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 8; seed++) {
        tiny_settings settings = tiny_default_settings(seed);

        settings.coding = seed & 1 ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL;
        settings.n_points = seed & 2 ? 2 : 1;
        settings.n_pairs = seed % 3;
        settings.weight_bits = seed & 4 ? 16 : 8;
        settings.is_exponent = seed & 1;
        settings.is_quotient = seed & 2;
        settings.is_max_fixed = seed & 4;
        settings.has_analog = seed > 6;
        settings.has_exits = seed & 2;
        settings.n_steps = seed < 8 ? (uint32_t)seed : TSPK_MAX_STEPS;
        check_round_trip(&settings);
    }
}

/* Reads damaged bytes; anything but a refusal with a text, or the very same network, fails. */
static bool survives(const uint8_t *bytes, size_t n, const tspk_spikegraph *made, const char *what,
                     size_t at)
{
    const char *const path = path_of("damaged");
    tspk_spikegraph *found = NULL;
    const char *difference;
    tspk_error err;

    tspk_error_init(&err);
    store(path, bytes, n);
    if (tspk_spikefile_read(path, &found, &err) != TSPK_OK) {
        if (found || !err.message[0] || strcmp(err.stage, "spikefile_read") != 0)
            fail_msg("%s at %zu: refused without a reason, or with a result", what, at);
        return false;
    }
    difference = compare_spikegraphs(made, found);
    if (difference)
        fail_msg("%s at %zu went unnoticed: %s", what, at, difference);
    tspk_spikegraph_free(found);
    return true;
}

static void every_truncation_is_refused(void **state)
{
    tspk_spikegraph *const made = make(11);
    const char *const path = path_of("damaged");
    uint8_t *bytes;
    size_t n;
    tspk_rng rng = {11};

    (void)state;
    must(tspk_spikefile_write(made, path, NULL), NULL);
    bytes = load(path, &n);
    for (size_t i = 0; i < 400; i++) {
        const size_t at = i < 64 ? i : i < 128 ? n - (i - 63) : (size_t)tspk_rng_below(&rng, n);

        if (survives(bytes, at, made, "truncation", at))
            fail_msg("truncation at %zu of %zu went unnoticed", at, n);
    }
    free(bytes);
    tspk_spikegraph_free(made);
    unlink(path);
}

/* A flipped bit is found, or it lies where nothing is read from (times, ids in the zip's headers).
 */
static void no_flipped_bit_changes_the_network(void **state)
{
    tspk_spikegraph *const made = make(12);
    const char *const path = path_of("damaged");
    size_t n, n_harmless = 0, n_flips = 0;
    uint8_t *bytes;
    tspk_rng rng = {12};

    (void)state;
    must(tspk_spikefile_write(made, path, NULL), NULL);
    bytes = load(path, &n);
    for (size_t i = 0; i < 1500; i++) {
        /* all over, and densely where headers, description and directory begin */
        const size_t at = i < 500    ? (size_t)tspk_rng_below(&rng, n)
                          : i < 800  ? i - 500
                          : i < 1100 ? n - 1 - (i - 800)
                                     : (size_t)tspk_rng_below(&rng, n / 4);
        const uint8_t bit = (uint8_t)(1u << tspk_rng_below(&rng, 8));

        bytes[at] ^= bit;
        n_harmless += survives(bytes, n, made, "flipped bit", at);
        bytes[at] ^= bit;
        n_flips++;
    }
    print_message("%zu flips, %zu harmless, in %zu bytes\n", n_flips, n_harmless, n);
    free(bytes);
    tspk_spikegraph_free(made);
    unlink(path);
}

static void other_files_are_refused(void **state)
{
    static const char text[] = "not a spike graph at all, but long enough to be looked at";
    const char *const path = path_of("other");
    tspk_spikegraph *found = NULL;
    tspk_error err;

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_spikefile_read("no/such/file.spike", &found, &err), TSPK_IO);
    assert_non_null(strstr(err.message, "no/such/file.spike"));
    assert_int_equal(tspk_spikefile_read(".", &found, &err), TSPK_IO);
    store(path, (const uint8_t *)text, sizeof text);
    assert_int_equal(tspk_spikefile_read(path, &found, &err), TSPK_FORMAT);
    store(path, (const uint8_t *)text, 0);
    assert_int_equal(tspk_spikefile_read(path, &found, &err), TSPK_FORMAT);
    assert_null(found);
    unlink(path);
}

static void nothing_is_left_when_writing_fails(void **state)
{
    tspk_spikegraph *const made = make(13);
    const char *const path = path_of("full");
    struct rlimit before, small = {4096, 4096};
    tspk_error err;

    (void)state;
    tspk_error_init(&err);
    assert_int_equal(tspk_spikefile_write(made, "no/such/folder.spike", &err), TSPK_IO);
    assert_int_equal(tspk_spikefile_write(made, "/dev/full", &err), TSPK_IO);
    assert_non_null(strstr(err.message, "/dev/full"));
    assert_int_equal(getrlimit(RLIMIT_FSIZE, &before), 0);
    small.rlim_max = before.rlim_max;
    signal(SIGXFSZ, SIG_IGN);
    store(path, (const uint8_t *)"old", 3);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &small), 0);
    assert_int_equal(tspk_spikefile_write(made, path, &err), TSPK_IO);
    assert_int_equal(setrlimit(RLIMIT_FSIZE, &before), 0);
    assert_non_null(strstr(err.message, path));
    {
        size_t n;
        uint8_t *const bytes = load(path, &n);

        assert_int_equal(n, 3); /* what stood there before still does */
        free(bytes);
    }
    made->site[0].unit[0] = -1.0f;
    assert_int_equal(tspk_spikefile_write(made, path, &err), TSPK_RANGE);
    tspk_spikegraph_free(made);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(reads_back_what_it_wrote),
        cmocka_unit_test(every_truncation_is_refused),
        cmocka_unit_test(no_flipped_bit_changes_the_network),
        cmocka_unit_test(other_files_are_refused),
        cmocka_unit_test(nothing_is_left_when_writing_fails),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
