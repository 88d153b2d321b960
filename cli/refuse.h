/* SPDX-License-Identifier: Apache-2.0 */
/* How the command reports: it fills the library's error object, and main() prints it as one line.
 */
#ifndef TSPK_CLI_REFUSE_H
#define TSPK_CLI_REFUSE_H

#include "cli/args.h"
#include "transpike/error.h"

/** Sets status and message and returns status. */
tspk_status tspk_cli_fail(tspk_error *err, tspk_status status, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/** Puts `path` in front of a message that names neither it nor a node or tensor. Returns status. */
tspk_status tspk_cli_name_file(tspk_error *err, tspk_status status, const char *path);

/** Prints `transpike COMMAND: … [STATUS]` on standard error and returns the exit code. */
int tspk_cli_refuse(const char *command, const tspk_error *err);

/** Prints `transpike COMMAND: warning: …` on standard error, unless --quiet was given. */
void tspk_cli_warn(const tspk_cli_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/** Prints `transpike COMMAND: …` so: what was assumed, or what to do next. */
void tspk_cli_note(const tspk_cli_args *args, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

#define TSPK_CLI_TRY(call)                                                                         \
    do {                                                                                           \
        const tspk_status cli_status_ = (call);                                                    \
        if (cli_status_ != TSPK_OK)                                                                \
            return cli_status_;                                                                    \
    } while (0)

#endif
