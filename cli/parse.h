/* SPDX-License-Identifier: Apache-2.0 */
/* Command lines, by the table of cli/options.h. */
#ifndef TSPK_CLI_PARSE_H
#define TSPK_CLI_PARSE_H

#include "cli/args.h"
#include "cli/options.h"
#include "transpike/transpike.h"

/**
 * Parses argv[1 …] by the command's options. argv is permuted: operands move to the end.
 * @errors USAGE, with the nearest name when an unknown option or choice looks like it
 */
tspk_status tspk_cli_parse(const tspk_cli_command *command, int argc, char **argv,
                           tspk_cli_args *args_out, tspk_error *err);

/** The candidate nearest to `word`, NULL when none is near enough for a typing error. */
const char *tspk_cli_nearest(const char *word, const char *const *candidates, size_t n);

#endif
