/* SPDX-License-Identifier: Apache-2.0 */
/* The one table of commands and options. Parsing, --help, the manual pages and the completion of
 * the shell all come from it. */
#ifndef TSPK_CLI_OPTIONS_H
#define TSPK_CLI_OPTIONS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Commands, as bits of tspk_cli_option.commands. */
enum {
    TSPK_CLI_CONVERT = 1,
    TSPK_CLI_RUN = 2,
    TSPK_CLI_VALIDATE = 4,
    TSPK_CLI_INSPECT = 8,
    TSPK_CLI_DOCTOR = 16
};

typedef enum tspk_cli_kind {
    TSPK_CLI_FLAG,     /* bool */
    TSPK_CLI_WHOLE,    /* int64_t within [least, most] */
    TSPK_CLI_SEED,     /* uint64_t */
    TSPK_CLI_REAL,     /* double within [least, most] */
    TSPK_CLI_DURATION, /* double [s]; "90", "90s", "10m", "1h" */
    TSPK_CLI_BYTES,    /* int64_t; "4096", "512MiB", "2GiB" */
    TSPK_CLI_TEXT,     /* const char * */
    TSPK_CLI_PATH,     /* const char *: a file or folder */
    TSPK_CLI_CHOICE,   /* int64_t, index into choices */
    TSPK_CLI_NUMBERS,  /* tspk_cli_numbers */
    TSPK_CLI_RESERVED  /* a name for later: refused, not shown */
} tspk_cli_kind;

/* Headings under which options stand in --help and the manual. */
typedef enum tspk_cli_group {
    TSPK_CLI_MAIN,
    TSPK_CLI_SEARCH,
    TSPK_CLI_ADAPTIVE,
    TSPK_CLI_IMAGES,
    TSPK_CLI_MACHINE,
    TSPK_CLI_OUTPUT,
    TSPK_CLI_N_GROUPS
} tspk_cli_group;

typedef struct tspk_cli_option {
    unsigned commands; /* that take it */
    tspk_cli_group group;
    const char *name; /* without the dashes */
    char letter;      /* short form, or 0 */
    tspk_cli_kind kind;
    size_t offset; /* of the field in tspk_cli_args */
    int64_t least, most;
    const char *const *choices; /* ends with NULL */
    const char *value;          /* what --help calls the value; NULL: it takes none */
    const char *help;           /* a line or two */
} tspk_cli_option;

typedef struct tspk_cli_example {
    const char *what;
    const char *line; /* without the leading "transpike " */
} tspk_cli_example;

typedef struct tspk_cli_command {
    unsigned bit;
    const char *name;
    const char *summary;
    const char *usage; /* operands and options, without "transpike NAME" */
    int least_inputs, most_inputs;
    const char *inputs_what;          /* "one MODEL.onnx": what is missing when there are too few */
    const char *const *notes;         /* paragraphs; end with NULL */
    const tspk_cli_example *examples; /* end with {NULL, NULL} */
} tspk_cli_command;

/* What a program that starts the command can rely on: the codes of include/transpike/error.h. */
typedef struct tspk_cli_exit_code {
    int code;
    const char *name; /* as in the brackets of a refusal */
    const char *what;
} tspk_cli_exit_code;

extern const tspk_cli_option tspk_cli_options[];
extern const size_t tspk_cli_n_options;
extern const tspk_cli_command tspk_cli_commands[];
extern const size_t tspk_cli_n_commands;
/* Operating points by the index of --mode. */
extern const char *const tspk_cli_run_modes[];
extern const char *const tspk_cli_validate_modes[];
extern const tspk_cli_exit_code tspk_cli_exit_codes[]; /* the refusals; end with code 0 */

/* The heading of a group, as in "Options of the search". */
const char *tspk_cli_group_title(tspk_cli_group group);

/* Is the option in the command's help? */
bool tspk_cli_is_shown(const tspk_cli_option *option, const tspk_cli_command *command);

#endif
