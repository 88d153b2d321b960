/* SPDX-License-Identifier: Apache-2.0 */
/* One table of options a command: it drives parsing and --help alike. */
#ifndef TSPK_CLI_OPTIONS_H
#define TSPK_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "transpike/transpike.h"

/* Up to four numbers separated by commas. */
typedef struct tspk_cli_numbers {
    int n; /* 0: not given */
    float value[4];
} tspk_cli_numbers;

/* Everything that a command line can say. Whole numbers and choices are −1, texts NULL, when they
 * are not given. Texts are borrowed from argv. */
typedef struct tspk_cli_args {
    bool is_help, is_verbose, is_forced, with_products, has_layers, has_ablation;
    const char *data, *output, *json, *onnx, *classes, *dump_spikes, *keep_analog, *merge_pairs,
        *explain;
    int64_t calib_images, calib_cache, steps, levels, threads, batch, top, skip, limit, resize, crop;
    int64_t coding, preset, isa, interpolation, mode, mirror, policy,
        merge; /* index into the option's choices */
    uint64_t seed;
    double max_loss, min_agreement, max_energy, time_budget, exit; /* −1: not given */
    tspk_cli_numbers mean, std;
    int n_inputs;
    char **inputs;
} tspk_cli_args;

typedef enum tspk_cli_kind {
    TSPK_CLI_FLAG,       /* bool */
    TSPK_CLI_WHOLE,      /* int64_t within [least, most] */
    TSPK_CLI_SEED,       /* uint64_t */
    TSPK_CLI_REAL,       /* double within [least, most] */
    TSPK_CLI_DURATION,   /* double [s]; "90", "90s", "10m", "1h" */
    TSPK_CLI_BYTES,      /* int64_t; "4096", "512MiB", "2GiB" */
    TSPK_CLI_TEXT,       /* const char * */
    TSPK_CLI_CHOICE,     /* int64_t, index into choices */
    TSPK_CLI_NUMBERS,    /* tspk_cli_numbers */
    TSPK_CLI_LATER_FLAG, /* names that are reserved: refused, not shown */
    TSPK_CLI_LATER
} tspk_cli_kind;

typedef struct tspk_cli_option {
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    tspk_cli_kind kind;
    size_t offset; /* of the field in tspk_cli_args */
    int64_t least, most;
    const char *const *choices; /* ends with NULL */
    const char *value;          /* what --help calls the value */
    const char *help;           /* one line or two */
} tspk_cli_option;

typedef struct tspk_cli_command {
    const char *name;
    const char *summary;
    const char *usage; /* operands and options, without "transpike NAME" */
    const tspk_cli_option *options;
    size_t n_options;
    int least_inputs, most_inputs;
    const char *inputs_what;     /* "one MODEL.onnx": what is missing when there are too few */
    const char *const *notes;    /* paragraphs, end with NULL */
    const char *const *examples; /* end with NULL */
    tspk_status (*run)(const tspk_cli_args *args, tspk_error *err);
} tspk_cli_command;

/**
 * Parses argv[1 …] by the command's table. argv is permuted: operands move to the end.
 * @errors USAGE, with the nearest option's name when an unknown one looks like it
 */
tspk_status tspk_cli_parse(const tspk_cli_command *command, int argc, char **argv,
                           tspk_cli_args *args_out, tspk_error *err);

/** Prints the command's --help. */
void tspk_cli_print_help(const tspk_cli_command *command, FILE *out);

/** The candidate nearest to `word`, NULL when none is near enough for a typing error. */
const char *tspk_cli_nearest(const char *word, const char *const *candidates, size_t n);

/** Prints the exit codes as a table of two columns. */
void tspk_cli_print_exit_codes(FILE *out);

#endif
