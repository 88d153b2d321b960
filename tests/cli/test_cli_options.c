/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "cli/commands.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/parse.h"

/* Parses up to MOST_WORDS words behind a command; what they came to is left in args and err. */
enum { MOST_WORDS = 15 };

static tspk_status parse(const char *const *words, tspk_cli_args *args, tspk_error *err)
{
    const tspk_cli_command *command = NULL;
    static char text[MOST_WORDS + 1][80];
    static char *argv[MOST_WORDS + 2]; /* args points into it */
    int argc = 1;

    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        if (strcmp(tspk_cli_commands[i].name, words[0]) == 0)
            command = &tspk_cli_commands[i];
    assert_non_null(command);
    argv[0] = text[0];
    strcpy(text[0], words[0]);
    for (words++; *words; words++) {
        assert_true(argc <= MOST_WORDS && strlen(*words) < sizeof text[argc]);
        strcpy(text[argc], *words);
        argv[argc] = text[argc];
        argc++;
    }
    argv[argc] = NULL;
    tspk_error_init(err);
    return tspk_cli_parse(command, argc, argv, args, err);
}

#define WORDS(...) ((const char *const[]){__VA_ARGS__, NULL})

static void values_reach_their_fields(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(parse(WORDS("run", "in", "--steps", "3", "-o", "x.npy", "--isa=avx2", "-q",
                                 "--mean=0.5,-1,2e-1", "b"),
                           &args, &err),
                     TSPK_OK);
    assert_int_equal(args.steps, 3);
    assert_int_equal(args.top, -1);
    assert_int_equal(args.mode, -1);
    assert_true(args.exit == -1);
    assert_null(args.json);
    assert_string_equal(args.command, "run");
    assert_string_equal(args.output, "x.npy");
    assert_int_equal(tspk_cli_isa(&args), TSPK_ISA_AVX2);
    assert_int_equal(tspk_cli_policy(&args), TSPK_POLICY_OF_MODE);
    assert_true(args.is_quiet && !args.is_verbose);
    assert_int_equal(args.mean.n, 3);
    assert_true(args.mean.value[1] == -1.0f && args.mean.value[2] == 0.2f);
    assert_int_equal(args.n_inputs, 2);
    assert_string_equal(args.inputs[0], "in");
    assert_string_equal(args.inputs[1], "b");
}

static void whole_range_of_seeds_and_dashes_is_taken(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(
        parse(WORDS("convert", "--seed", "18446744073709551615", "--", "--in"), &args, &err),
        TSPK_OK);
    assert_true(args.seed == UINT64_MAX);
    assert_string_equal(args.inputs[0], "--in");
    assert_int_equal(parse(WORDS("validate", "--skip", "9223372036854775807", "a"), &args, &err),
                     TSPK_OK);
    assert_true(args.skip == INT64_MAX);
}

static void help_needs_no_operands(void **state)
{
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    assert_int_equal(parse(WORDS("run", "-h"), &args, &err), TSPK_OK);
    assert_true(args.is_help);
}

static void wrong_lines_are_refused_in_words(void **state)
{
    static const struct {
        const char *words[8];
        const char *expected;
    } cases[] = {
        {{"run", "a", "b", "--stpes", "3"}, "unknown option --stpes; did you mean --steps?"},
        {{"run", "a", "b", "--ste", "3"}, "unknown option --ste; did you mean --steps?"},
        {{"run", "a", "b", "--zz=3"}, "unknown option --zz=3; `transpike run --help` lists them"},
        {{"run", "a", "--skip", "3"}, "unknown option --skip; `transpike run --help` lists them"},
        {{"run", "a", "b", "-x"}, "unknown option -x; `transpike run --help` lists them"},
        {{"run", "a", "b", "-qx"}, "unknown option -x; `transpike run --help` lists them"},
        {{"run", "a", "b", "--steps"}, "option --steps needs a value"},
        {{"run", "a", "b", "-o"}, "option -o needs a value"},
        {{"run", "a", "b", "--quiet=1"}, "option --quiet takes no value"},
        {{"run", "a", "b", "--steps", "0"}, "--steps 0: outside 1 to 16"},
        {{"run", "a", "b", "--steps", "17"}, "--steps 17: outside 1 to 16"},
        {{"run", "a", "--steps", "99999999999999999999"},
         "--steps 99999999999999999999: outside 1 to 16"},
        {{"run", "a", "b", "--steps", "3x"}, "--steps 3x: not a whole number"},
        {{"run", "a", "b", "--steps", ""}, "--steps : not a whole number"},
        {{"run", "a", "b", "--steps", " 3"}, "--steps  3: not a whole number"},
        {{"convert", "a", "--seed", "-1"}, "--seed -1: not a whole number from 0 to 2^64-1"},
        {{"run", "a", "b", "--isa", "sse"},
         "--isa sse: expected one of scalar, avx2, avx512vnni, neon"},
        {{"run", "a", "b", "--mode", "balnced"},
         "--mode balnced: expected one of exact, balanced, fast; did you mean balanced?"},
        {{"run", "a", "b", "--policy", "entrop"},
         "--policy entrop: expected one of none, confidence, entropy, margin, net; did you mean "
         "entropy?"},
        {{"run", "a", "b", "--mean", "1,2,"}, "--mean 1,2,: expected numbers separated by commas"},
        {{"run", "a", "b", "--mean", "nan"}, "--mean nan: expected numbers separated by commas"},
        {{"run", "a", "b", "--mean", "1,2,3,4,5"}, "--mean 1,2,3,4,5: more than 4 numbers"},
        {{"run", "a", "b", "--output", ""}, "--output: empty value"},
        {{"convert", "a", "--deterministic"}, "--deterministic is not in this version"},
        {{"convert"}, "expected one MODEL.onnx; see `transpike convert --help`"},
        {{"inspect", "a", "b"},
         "too many operands at \"b\": expected one MODEL.onnx or MODEL.spike"},
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

static void table_is_whole(void **state)
{
    (void)state;
    for (size_t i = 0; i < tspk_cli_n_options; i++) {
        const tspk_cli_option *option = &tspk_cli_options[i];

        assert_true(option->commands != 0);
        assert_true(option->kind == TSPK_CLI_RESERVED || option->help);
        assert_int_equal(option->kind == TSPK_CLI_CHOICE, option->choices != NULL);
        assert_true(option->kind == TSPK_CLI_RESERVED ||
                    (option->kind == TSPK_CLI_FLAG) == (option->value == NULL));
        for (size_t k = 0; k < i; k++) /* one meaning a name and command */
            assert_false((tspk_cli_options[k].commands & option->commands) &&
                         (strcmp(tspk_cli_options[k].name, option->name) == 0 ||
                          (option->letter && tspk_cli_options[k].letter == option->letter)));
    }
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        assert_non_null(tspk_cli_commands[i].examples[0].line);
}

static void exit_codes_are_those_of_the_library(void **state)
{
    size_t n = 0;

    (void)state;
    for (; tspk_cli_exit_codes[n].code; n++)
        assert_string_equal(tspk_cli_exit_codes[n].name,
                            tspk_status_name((tspk_status)tspk_cli_exit_codes[n].code));
    assert_int_equal(n, 10);
}

static void choices_stand_in_the_order_of_the_library(void **state)
{
    static const char *const policies[] = {"none", "confidence", "entropy", "margin", "net"};
    static const char *const isas[] = {"scalar", "avx2", "avx512vnni", "neon"};
    tspk_cli_args args;
    tspk_error err;

    (void)state;
    for (int i = 0; i < 5; i++) {
        assert_int_equal(parse(WORDS("run", "a", "b", "--policy", policies[i]), &args, &err),
                         TSPK_OK);
        assert_int_equal(tspk_cli_policy(&args), TSPK_POLICY_NONE + i);
    }
    for (int i = 0; i < 4; i++) {
        assert_int_equal(parse(WORDS("run", "a", "b", "--isa", isas[i]), &args, &err), TSPK_OK);
        assert_int_equal(tspk_cli_isa(&args), TSPK_ISA_SCALAR + i);
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
        cmocka_unit_test(table_is_whole),
        cmocka_unit_test(exit_codes_are_those_of_the_library),
        cmocka_unit_test(choices_stand_in_the_order_of_the_library),
        cmocka_unit_test(nearest_is_a_typing_error_away),
        cmocka_unit_test(top_classes_are_ordered),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
