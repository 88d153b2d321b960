/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/options.h"
#include "cli/output.h"

#define ARG(field) offsetof(tspk_cli_args, field)

static const char *const isas[] = {"scalar", "avx2", NULL};

static const tspk_cli_option options[] = {
    {"steps", 0, TSPK_CLI_WHOLE, ARG(steps), 1, 16, NULL, "N", "steps"},
    {"skip", 0, TSPK_CLI_WHOLE, ARG(skip), 0, INT64_MAX, NULL, "N", "skip"},
    {"output", 'o', TSPK_CLI_TEXT, ARG(output), 0, 0, NULL, "FILE", "output"},
    {"isa", 0, TSPK_CLI_CHOICE, ARG(isa), 0, 0, isas, "ISA", "kernels"},
    {"mean", 0, TSPK_CLI_NUMBERS, ARG(mean), 0, 0, NULL, "M", "mean"},
    {"seed", 0, TSPK_CLI_SEED, ARG(seed), 0, 0, NULL, "N", "seed"},
    {"force", 'f', TSPK_CLI_FLAG, ARG(is_forced), 0, 0, NULL, NULL, "force"},
    {"help", 'h', TSPK_CLI_FLAG, ARG(is_help), 0, 0, NULL, NULL, "help"},
    {"max-loss", 0, TSPK_CLI_LATER, 0, 0, 0, NULL, NULL, NULL},
    {"layers", 0, TSPK_CLI_LATER_FLAG, 0, 0, 0, NULL, NULL, NULL},
};

static const tspk_cli_command command = {.name = "test",
                                         .options = options,
                                         .n_options = sizeof options / sizeof options[0],
                                         .least_inputs = 1,
                                         .most_inputs = 2,
                                         .inputs_what = "one FILE"};

/* Parses up to MOST_WORDS words; what they came to is left in args and err. */
enum { MOST_WORDS = 15 };

static tspk_status parse(const char *const *words, tspk_cli_args *args, tspk_error *err)
{
    static char text[MOST_WORDS + 1][80];
    static char *argv[MOST_WORDS + 2]; /* args points into it */
    int argc = 1;

    argv[0] = text[0];
    strcpy(text[0], "test");
    for (; *words; words++) {
        assert_true(argc <= MOST_WORDS && strlen(*words) < sizeof text[argc]);
        strcpy(text[argc], *words);
        argv[argc] = text[argc];
        argc++;
    }
    argv[argc] = NULL;
    tspk_error_init(err);
    return tspk_cli_parse(&command, argc, argv, args, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void values_reach_their_fields(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(
        parse(WORDS("in", "--steps", "3", "-o", "x.npy", "--isa=avx2", "-f", "--mean=0.5,-1,2e-1"),
              &args, &err),
        TSPK_OK);
    assert_int_equal(args.steps, 3);
    assert_int_equal(args.skip, -1);
    assert_string_equal(args.output, "x.npy");
    assert_int_equal(args.isa, 1);
    assert_true(args.is_forced);
    assert_int_equal(args.mean.n, 3);
    assert_true(args.mean.value[1] == -1.0f && args.mean.value[2] == 0.2f);
    assert_int_equal(args.n_inputs, 1);
    assert_string_equal(args.inputs[0], "in");
}

static void whole_range_of_seeds_and_dashes_is_taken(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(parse(WORDS("--seed", "18446744073709551615", "--", "--in"), &args, &err),
                     TSPK_OK);
    assert_true(args.seed == UINT64_MAX);
    assert_string_equal(args.inputs[0], "--in");
    assert_int_equal(parse(WORDS("--skip", "9223372036854775807", "a"), &args, &err), TSPK_OK);
    assert_true(args.skip == INT64_MAX);
}

static void help_needs_no_operands(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(parse(WORDS("-h"), &args, &err), TSPK_OK);
    assert_true(args.is_help);
}

static void wrong_lines_are_refused_in_words(void **state)
{
    static const struct {
        const char *words[8];
        const char *expected;
    } cases[] = {
        {{"a", "--stpes", "3"}, "unknown option --stpes; did you mean --steps?"},
        {{"a", "--ste", "3"}, "unknown option --ste; did you mean --steps?"},
        {{"a", "--st=3"}, "unknown option --st=3; `transpike test --help` lists them"},
        {{"a", "--frobnicate"}, "unknown option --frobnicate; `transpike test --help` lists them"},
        {{"a", "-x"}, "unknown option -x; `transpike test --help` lists them"},
        {{"a", "-fx"}, "unknown option -x; `transpike test --help` lists them"},
        {{"a", "--steps"}, "option --steps needs a value"},
        {{"a", "-o"}, "option -o needs a value"},
        {{"a", "--force=1"}, "option --force takes no value"},
        {{"a", "--steps", "0"}, "--steps 0: outside 1 to 16"},
        {{"a", "--steps", "17"}, "--steps 17: outside 1 to 16"},
        {{"a", "--steps", "99999999999999999999"}, "--steps 99999999999999999999: outside 1 to 16"},
        {{"a", "--steps", "3x"}, "--steps 3x: not a whole number"},
        {{"a", "--steps", ""}, "--steps : not a whole number"},
        {{"a", "--steps", " 3"}, "--steps  3: not a whole number"},
        {{"a", "--seed", "-1"}, "--seed -1: not a whole number from 0 to 2^64-1"},
        {{"a", "--isa", "neon"}, "--isa neon: expected one of scalar, avx2"},
        {{"a", "--mean", "1,2,"}, "--mean 1,2,: expected numbers separated by commas"},
        {{"a", "--mean", "nan"}, "--mean nan: expected numbers separated by commas"},
        {{"a", "--mean", "1,2,3,4,5"}, "--mean 1,2,3,4,5: more than 4 numbers"},
        {{"a", "--output", ""}, "--output: empty value"},
        {{"a", "--max-loss", "1"}, "--max-loss is not in this version"},
        {{"a", "--layers"}, "--layers is not in this version"},
        {{"--force"}, "expected one FILE; see `transpike test --help`"},
        {{"a", "b", "c"}, "too many operands at \"c\": expected one FILE"},
    };

    (void)state;
    for (size_t i = 0; i < sizeof cases / sizeof cases[0]; i++) {
        tspk_cli_args args;
        tspk_error err;

        assert_int_equal(parse(cases[i].words, &args, &err), TSPK_USAGE);
        assert_int_equal(err.status, TSPK_USAGE);
        assert_string_equal(err.message, cases[i].expected);
    }
}

static void nearest_is_a_typing_error_away(void **state)
{
    static const char *const names[] = {"convert", "run", "validate", "inspect"};

    (void)state;
    assert_string_equal(tspk_cli_nearest("valdiate", names, 4), "validate");
    assert_string_equal(tspk_cli_nearest("conv", names, 4), "convert");
    assert_string_equal(tspk_cli_nearest("rum", names, 4), "run");
    assert_null(tspk_cli_nearest("train", names, 4));
    assert_null(tspk_cli_nearest("", names, 4));
}

static void top_classes_are_ordered(void **state)
{
    const float logits[] = {1.0f, 3.0f, 3.0f, -2.0f};
    const float shares[] = {0.25f, 0.0f, 0.75f, 0.0f};
    const float broken[] = {1.0f, __builtin_nanf(""), 0.0f, 0.0f};
    tspk_cli_top top[8];

    (void)state;
    assert_int_equal(tspk_cli_find_top(logits, 4, 3, top), 3);
    assert_int_equal(top[0].index, 1);
    assert_int_equal(top[1].index, 2);
    assert_int_equal(top[2].index, 0);
    assert_true(top[0].p > 0.46683 && top[0].p < 0.46685); /* e^3 / (e + 2 e^3 + e^-2) = 0.46684 */
    assert_int_equal(tspk_cli_find_top(logits, 4, 8, top), 4);
    assert_int_equal(top[3].index, 3);
    assert_int_equal(tspk_cli_find_top(shares, 4, 2, top), 2);
    assert_int_equal(top[0].index, 2);
    assert_true(top[0].p == 0.75);
    assert_int_equal(tspk_cli_find_top(broken, 4, 2, top), 0);
    assert_int_equal(tspk_cli_find_top(logits, 4, 0, top), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_reach_their_fields),
        cmocka_unit_test(whole_range_of_seeds_and_dashes_is_taken),
        cmocka_unit_test(help_needs_no_operands),
        cmocka_unit_test(wrong_lines_are_refused_in_words),
        cmocka_unit_test(nearest_is_a_typing_error_away),
        cmocka_unit_test(top_classes_are_ordered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
