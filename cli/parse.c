/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/parse.h"

#include <ctype.h>
#include <errno.h>
#include <getopt.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

#define MAX_OPTIONS 48
#define FIRST_LONG  1000 /* what getopt_long() returns for option i is FIRST_LONG + i */

static size_t edit_distance(const char *a, const char *b)
{
    size_t row[65];
    const size_t n_b = strlen(b);

    if (n_b > 64 || strlen(a) > 64)
        return SIZE_MAX;
    for (size_t j = 0; j <= n_b; j++)
        row[j] = j;
    for (size_t i = 1; a[i - 1]; i++) {
        size_t diagonal = row[0];

        row[0] = i;
        for (size_t j = 1; j <= n_b; j++) {
            const size_t above = row[j];
            size_t best = diagonal + (a[i - 1] != b[j - 1]);

            if (above + 1 < best)
                best = above + 1;
            if (row[j - 1] + 1 < best)
                best = row[j - 1] + 1;
            diagonal = above;
            row[j] = best;
        }
    }
    return row[n_b];
}

const char *tspk_cli_nearest(const char *word, const char *const *candidates, size_t n)
{
    const size_t length = strlen(word);
    const char *best = NULL;
    size_t best_distance = length / 3 + 2; /* one more than a typing error */

    for (size_t i = 0; i < n; i++) {
        const bool is_prefix = length >= 3 && strncmp(candidates[i], word, length) == 0;
        const size_t distance = is_prefix ? 1 : edit_distance(word, candidates[i]);

        if (distance < best_distance) {
            best = candidates[i];
            best_distance = distance;
        }
    }
    return best;
}

/* The options of one command. */
typedef struct command_options {
    const tspk_cli_command *command;
    const tspk_cli_option *option[MAX_OPTIONS];
    size_t n;
} command_options;

static void find_options(const tspk_cli_command *command, command_options *found)
{
    found->command = command;
    found->n = 0;
    for (size_t i = 0; i < tspk_cli_n_options; i++)
        if ((tspk_cli_options[i].commands & command->bit) && found->n < MAX_OPTIONS)
            found->option[found->n++] = &tspk_cli_options[i];
}

static tspk_status unknown_option(const command_options *known, const char *text, tspk_error *err)
{
    const char *names[MAX_OPTIONS];
    size_t n = 0;
    const bool is_long = text[0] == '-' && text[1] == '-';
    char word[64];
    const char *nearest = NULL;

    for (size_t i = 0; i < known->n; i++)
        if (tspk_cli_is_shown(known->option[i], known->command))
            names[n++] = known->option[i]->name;
    if (is_long) {
        snprintf(word, sizeof word, "%.*s", (int)strcspn(text + 2, "="), text + 2);
        nearest = tspk_cli_nearest(word, names, n);
    }
    if (nearest)
        return tspk_cli_fail(err, TSPK_USAGE, "unknown option %s; did you mean --%s?", text,
                             nearest);
    return tspk_cli_fail(err, TSPK_USAGE, "unknown option %s; `transpike %s --help` lists them",
                         text, known->command->name);
}

static tspk_status parse_whole(const tspk_cli_option *option, const char *text, int64_t *out,
                               tspk_error *err)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (!isdigit((unsigned char)text[text[0] == '-' || text[0] == '+']) || *end != '\0')
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: not a whole number", option->name, text);
    if (errno == ERANGE || value < option->least || value > option->most)
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: outside %lld to %lld", option->name, text,
                             (long long)option->least, (long long)option->most);
    *out = value;
    return TSPK_OK;
}

static tspk_status parse_seed(const tspk_cli_option *option, const char *text, uint64_t *out,
                              tspk_error *err)
{
    char *end;
    unsigned long long value;

    errno = 0;
    value = strtoull(text, &end, 10);
    if (!isdigit((unsigned char)text[0]) || *end != '\0' || errno == ERANGE)
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: not a whole number from 0 to 2^64-1",
                             option->name, text);
    *out = value;
    return TSPK_OK;
}

static tspk_status parse_real(const tspk_cli_option *option, const char *text, double *out,
                              tspk_error *err)
{
    char *end;
    const double value = strtod(text, &end);

    if (end == text || *end != '\0' || isspace((unsigned char)text[0]) || !isfinite(value))
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: not a number", option->name, text);
    if (value < (double)option->least || value > (double)option->most)
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: outside %lld to %lld", option->name, text,
                             (long long)option->least, (long long)option->most);
    *out = value;
    return TSPK_OK;
}

static tspk_status parse_duration(const tspk_cli_option *option, const char *text, double *out,
                                  tspk_error *err)
{
    static const char units[] = "smh";
    char *end;
    double value = strtod(text, &end);
    const char *unit = *end ? strchr(units, *end) : units;

    if (end == text || !unit || (*end && end[1]) || !(value > 0) || !isfinite(value))
        return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: expected a time such as 90s, 10m or 1h",
                             option->name, text);
    for (; unit > units; unit--)
        value *= 60;
    *out = value;
    return TSPK_OK;
}

static tspk_status parse_bytes(const tspk_cli_option *option, const char *text, int64_t *out,
                               tspk_error *err)
{
    static const char *const units[] = {"", "KiB", "MiB", "GiB", "TiB"};
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    for (int i = 0; i < 5 && isdigit((unsigned char)text[0]) && errno != ERANGE; i++)
        if (!strcmp(end, units[i]) && value <= INT64_MAX >> (10 * i)) {
            *out = (int64_t)value << (10 * i);
            return TSPK_OK;
        }
    return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: expected a size such as 512MiB or 2GiB",
                         option->name, text);
}

static tspk_status parse_numbers(const tspk_cli_option *option, const char *text,
                                 tspk_cli_numbers *out, tspk_error *err)
{
    tspk_cli_numbers numbers = {0};
    const char *at = text;

    for (;;) {
        char *end;
        const float value = strtof(at, &end);

        if (end == at || isspace((unsigned char)*at) || !isfinite(value) ||
            (*end != ',' && *end != '\0'))
            return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: expected numbers separated by commas",
                                 option->name, text);
        if (numbers.n == 4)
            return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: more than 4 numbers", option->name,
                                 text);
        numbers.value[numbers.n++] = value;
        if (*end == '\0')
            break;
        at = end + 1;
    }
    *out = numbers;
    return TSPK_OK;
}

static tspk_status parse_choice(const tspk_cli_option *option, const char *text, int64_t *out,
                                tspk_error *err)
{
    char all[160] = "";
    const char *nearest;
    size_t n = 0;

    for (int64_t i = 0; option->choices[i]; i++, n++) {
        const size_t used = strlen(all);

        if (strcmp(option->choices[i], text) == 0) {
            *out = i;
            return TSPK_OK;
        }
        snprintf(all + used, sizeof all - used, "%s%s", used ? ", " : "", option->choices[i]);
    }
    nearest = tspk_cli_nearest(text, option->choices, n);
    return tspk_cli_fail(err, TSPK_USAGE, "--%s %s: expected one of %s%s%s%s", option->name, text,
                         all, nearest ? "; did you mean " : "", nearest ? nearest : "",
                         nearest ? "?" : "");
}

static tspk_status take_value(const tspk_cli_option *option, const char *text, tspk_cli_args *args,
                              tspk_error *err)
{
    void *field = (char *)args + option->offset;

    switch (option->kind) {
    case TSPK_CLI_FLAG:
        *(bool *)field = true;
        return TSPK_OK;
    case TSPK_CLI_WHOLE:
        return parse_whole(option, text, field, err);
    case TSPK_CLI_SEED:
        return parse_seed(option, text, field, err);
    case TSPK_CLI_REAL:
        return parse_real(option, text, field, err);
    case TSPK_CLI_DURATION:
        return parse_duration(option, text, field, err);
    case TSPK_CLI_BYTES:
        return parse_bytes(option, text, field, err);
    case TSPK_CLI_TEXT:
    case TSPK_CLI_PATH:
        if (text[0] == '\0')
            return tspk_cli_fail(err, TSPK_USAGE, "--%s: empty value", option->name);
        *(const char **)field = text;
        return TSPK_OK;
    case TSPK_CLI_CHOICE:
        return parse_choice(option, text, field, err);
    case TSPK_CLI_NUMBERS:
        return parse_numbers(option, text, field, err);
    case TSPK_CLI_RESERVED:
        return tspk_cli_fail(err, TSPK_USAGE, "--%s is not in this version", option->name);
    }
    return TSPK_OK;
}

/* -1 wherever nothing may be given as a number; 0, NULL and false elsewhere. */
static void set_defaults(const tspk_cli_command *command, tspk_cli_args *args)
{
    memset(args, 0, sizeof *args);
    args->command = command->name;
    for (size_t i = 0; i < tspk_cli_n_options; i++) {
        const tspk_cli_option *option = &tspk_cli_options[i];
        void *field = (char *)args + option->offset;

        switch (option->kind) {
        case TSPK_CLI_WHOLE:
        case TSPK_CLI_BYTES:
        case TSPK_CLI_CHOICE:
            *(int64_t *)field = -1;
            break;
        case TSPK_CLI_REAL:
        case TSPK_CLI_DURATION:
            *(double *)field = -1;
            break;
        default:
            break;
        }
    }
}

static tspk_status check_inputs(const tspk_cli_command *command, const tspk_cli_args *args,
                                tspk_error *err)
{
    if (args->n_inputs < command->least_inputs)
        return tspk_cli_fail(err, TSPK_USAGE, "expected %s; see `transpike %s --help`",
                             command->inputs_what, command->name);
    if (args->n_inputs > command->most_inputs)
        return tspk_cli_fail(err, TSPK_USAGE, "too many operands at \"%s\": expected %s",
                             args->inputs[command->most_inputs], command->inputs_what);
    return TSPK_OK;
}

/* What getopt_long() has to know. shorts has room for 2 * MAX_OPTIONS + 2 characters. */
static void describe_options(const command_options *known, struct option *longs, char *shorts)
{
    *shorts++ = ':';
    for (size_t i = 0; i < known->n; i++) {
        const tspk_cli_option *option = known->option[i];

        longs[i].name = option->name;
        longs[i].has_arg = option->value ? required_argument : no_argument;
        longs[i].val = FIRST_LONG + (int)i;
        if (option->letter) {
            *shorts++ = option->letter;
            if (option->value)
                *shorts++ = ':';
        }
    }
    *shorts = '\0';
}

/* The option that getopt_long() answered with, NULL for one of its complaints. */
static const tspk_cli_option *find_option(const command_options *known, int found)
{
    if (found >= FIRST_LONG)
        return known->option[found - FIRST_LONG];
    for (size_t i = 0; i < known->n; i++)
        if (known->option[i]->letter && found == known->option[i]->letter)
            return known->option[i];
    return NULL;
}

tspk_status tspk_cli_parse(const tspk_cli_command *command, int argc, char **argv,
                           tspk_cli_args *args_out, tspk_error *err)
{
    struct option longs[MAX_OPTIONS + 1] = {{0}};
    char shorts[2 * MAX_OPTIONS + 2];
    command_options known;
    tspk_cli_args args;

    find_options(command, &known);
    set_defaults(command, &args);
    describe_options(&known, longs, shorts);
    optind = 0; /* glibc: start afresh */
    opterr = 0;
    for (;;) {
        const int at = optind ? optind : 1;
        const int found = getopt_long(argc, argv, shorts, longs, NULL);
        const tspk_cli_option *option;
        const char *text;

        if (found < 0)
            break;
        /* getopt_long() may have skipped operands: the option that it read ends before optind. */
        text = argv[optind > at ? optind - 1 : at];
        option = find_option(&known, found);
        if (found == ':')
            return tspk_cli_fail(err, TSPK_USAGE, "option %s needs a value", text);
        if (!option && optopt >= FIRST_LONG)
            return tspk_cli_fail(err, TSPK_USAGE, "option %.*s takes no value",
                                 (int)strcspn(text, "="), text);
        if (!option) {
            const char letter[3] = {'-', (char)optopt, '\0'};

            return unknown_option(&known, optopt ? letter : text, err);
        }
        if (found >= FIRST_LONG) {
            /* An abbreviation would change its meaning when options are added. */
            const char *name = text;

            if (optarg && optarg == text)
                name = argv[optind - 2];
            if (strncmp(name, "--", 2) != 0 || strcspn(name + 2, "=") != strlen(option->name))
                return unknown_option(&known, name, err);
        }
        TSPK_CLI_TRY(take_value(option, optarg ? optarg : "", &args, err));
    }
    args.n_words = argc;
    args.words = argv;
    args.n_inputs = argc - optind;
    args.inputs = argv + optind;
    if (!args.is_help)
        TSPK_CLI_TRY(check_inputs(command, &args, err));
    *args_out = args;
    return TSPK_OK;
}
