/* SPDX-License-Identifier: Apache-2.0 */
/* Everything that a command line can say. */
#ifndef TSPK_CLI_ARGS_H
#define TSPK_CLI_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Up to four numbers separated by commas. */
typedef struct tspk_cli_numbers {
    int n; /* 0: not given */
    float value[4];
} tspk_cli_numbers;

/* Whole numbers, choices and real numbers are −1, texts NULL, when they are not given: a command
 * decides what that means. Texts are borrowed from argv. */
typedef struct tspk_cli_args {
    const char *command; /* its name; static */
    bool is_help, is_verbose, is_quiet, is_forced, with_products, has_layers, has_ablation,
        is_strict;
    const char *data, *output, *json, *onnx, *classes, *dump_spikes, *keep_analog, *merge_pairs,
        *refine_shares, *explain, *report;
    int64_t calib_images, calib_cache, steps, levels, threads, batch, top, skip, limit, resize,
        crop;
    int64_t coding, preset, isa, interpolation, mode, mirror, policy,
        merge, refine; /* index into the option's choices */
    uint64_t seed;
    double max_loss, min_agreement, max_energy, time_budget, exit;
    tspk_cli_numbers mean, std;
    int n_inputs, n_words;
    char **inputs;
    char **words; /* the command and what follows it, options first */
} tspk_cli_args;

/* Places in the choices of every option that is on|off. */
enum { TSPK_CLI_ON, TSPK_CLI_OFF };

#endif
