/* SPDX-License-Identifier: Apache-2.0 */
/* The commands, each with its table in a file of its own. */
#ifndef TSPK_CLI_COMMANDS_H
#define TSPK_CLI_COMMANDS_H

#include "cli/options.h"

const tspk_cli_command *tspk_cli_command_convert(void);
const tspk_cli_command *tspk_cli_command_run(void);
const tspk_cli_command *tspk_cli_command_validate(void);
const tspk_cli_command *tspk_cli_command_inspect(void);

/** `run` of a spiking network, and of a source network. */
tspk_status tspk_cli_run_spike(const tspk_cli_args *args, const char *mode, tspk_error *err);
tspk_status tspk_cli_run_onnx(const tspk_cli_args *args, tspk_error *err);

/** True for a .spike: by its name's end, else by its first bytes. @errors IO */
tspk_status tspk_cli_is_spike(const char *path, bool *is_spike_out, tspk_error *err);

/** The kernels that were asked for. */
tspk_isa tspk_cli_isa(const tspk_cli_args *args);

/** The exit policy that was asked for. */
tspk_policy tspk_cli_policy(const tspk_cli_args *args);

/** Choices of options that several commands have; end with NULL. */
extern const char *const tspk_cli_isa_choices[];
extern const char *const tspk_cli_interpolation_choices[];
extern const char *const tspk_cli_policy_choices[];

/* Rows of option tables that several commands have. */
#define TSPK_CLI_ARG(field) offsetof(tspk_cli_args, field)
#define TSPK_CLI_PREPROCESS_OPTIONS                                                                \
    {"resize",                                                                                     \
     0,                                                                                            \
     TSPK_CLI_WHOLE,                                                                               \
     TSPK_CLI_ARG(resize),                                                                         \
     0,                                                                                            \
     16384,                                                                                        \
     NULL,                                                                                         \
     "PIXELS",                                                                                     \
     "resize the short side of an image; 0: not"},                                                 \
        {"crop",                                                                                   \
         0,                                                                                        \
         TSPK_CLI_WHOLE,                                                                           \
         TSPK_CLI_ARG(crop),                                                                       \
         0,                                                                                        \
         16384,                                                                                    \
         NULL,                                                                                     \
         "PIXELS",                                                                                 \
         "cut a square of this side out of the centre; 0: not"},                                   \
        {"mean",                                                                                   \
         0,                                                                                        \
         TSPK_CLI_NUMBERS,                                                                         \
         TSPK_CLI_ARG(mean),                                                                       \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         "M,M,M",                                                                                  \
         "subtracted from pixels in [0, 1], one number or one a channel"},                         \
        {"std", 0, TSPK_CLI_NUMBERS, TSPK_CLI_ARG(std), 0, 0, NULL, "S,S,S", "divides after it"},  \
    {                                                                                              \
        "interpolation", 0, TSPK_CLI_CHOICE, TSPK_CLI_ARG(interpolation), 0, 0,                    \
            tspk_cli_interpolation_choices, "HOW",                                                 \
            "of resizing: nearest, bilinear (default) or bicubic"                                  \
    }
#define TSPK_CLI_COMMON_OPTIONS                                                                    \
    {"json",                                                                                       \
     0,                                                                                            \
     TSPK_CLI_TEXT,                                                                                \
     TSPK_CLI_ARG(json),                                                                           \
     0,                                                                                            \
     0,                                                                                            \
     NULL,                                                                                         \
     "FILE|-",                                                                                     \
     "write the result as JSON; -: to standard output, and nothing else there"},                   \
        {"verbose",                                                                                \
         'v',                                                                                      \
         TSPK_CLI_FLAG,                                                                            \
         TSPK_CLI_ARG(is_verbose),                                                                 \
         0,                                                                                        \
         0,                                                                                        \
         NULL,                                                                                     \
         NULL,                                                                                     \
         "say on standard error what is assumed"},                                                 \
    {                                                                                              \
        "help", 'h', TSPK_CLI_FLAG, TSPK_CLI_ARG(is_help), 0, 0, NULL, NULL, "this text"           \
    }
#define TSPK_CLI_THREADS_OPTION                                                                    \
    {                                                                                              \
        "threads", 0, TSPK_CLI_WHOLE, TSPK_CLI_ARG(threads), 1, 1024, NULL, "N",                   \
            "threads (default: all cores); the results do not depend on it"                        \
    }
#define TSPK_CLI_BATCH_OPTION                                                                      \
    {                                                                                              \
        "batch", 0, TSPK_CLI_WHOLE, TSPK_CLI_ARG(batch), 1, 4096, NULL, "N",                       \
            "images side by side (default 16); the results do not depend on it"                    \
    }
#define TSPK_CLI_ISA_OPTION                                                                        \
    {                                                                                              \
        "isa", 0, TSPK_CLI_CHOICE, TSPK_CLI_ARG(isa), 0, 0, tspk_cli_isa_choices, "ISA",           \
            "kernels: scalar, avx2, avx512vnni or neon (default: the best here); the results do "  \
            "not depend on it"                                                                     \
    }
#define TSPK_CLI_EXIT_OPTIONS                                                                      \
    {"policy",                                                                                     \
     0,                                                                                            \
     TSPK_CLI_CHOICE,                                                                              \
     TSPK_CLI_ARG(policy),                                                                         \
     0,                                                                                            \
     0,                                                                                            \
     tspk_cli_policy_choices,                                                                      \
     "POLICY",                                                                                     \
     "when an image stops: none, confidence, entropy, margin or net (default: as the mode says)"}, \
    {                                                                                              \
        "exit", 0, TSPK_CLI_REAL, TSPK_CLI_ARG(exit), 0, 1, NULL, "P",                             \
            "threshold of the policy after every step (default: those that were fitted)"           \
    }
#define TSPK_CLI_LATER_OPTION(name)                                                                \
    {                                                                                              \
        name, 0, TSPK_CLI_LATER, 0, 0, 0, NULL, NULL, NULL                                         \
    }
#define TSPK_CLI_LATER_SWITCH(name)                                                                \
    {                                                                                              \
        name, 0, TSPK_CLI_LATER_FLAG, 0, 0, 0, NULL, NULL, NULL                                    \
    }

#define TSPK_CLI_COUNT_OF(a) (sizeof(a) / sizeof((a)[0]))

#endif
