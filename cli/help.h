/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_CLI_HELP_H
#define TSPK_CLI_HELP_H

#include <stdio.h>

#include "cli/options.h"

/** Prints `transpike --help`. */
void tspk_cli_print_usage(FILE *out);

/** Prints `transpike COMMAND --help`. */
void tspk_cli_print_help(const tspk_cli_command *command, FILE *out);

#endif
