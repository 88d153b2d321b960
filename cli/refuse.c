/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/refuse.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

tspk_status tspk_cli_fail(tspk_error *err, tspk_status status, const char *format, ...)
{
    va_list args;

    tspk_error_init(err);
    err->status = status;
    va_start(args, format);
    vsnprintf(err->message, sizeof err->message, format, args);
    va_end(args);
    return status;
}

tspk_status tspk_cli_name_file(tspk_error *err, tspk_status status, const char *path)
{
    char message[sizeof err->message];

    if (status == TSPK_OK || err->node[0] || err->tensor[0] || strstr(err->message, path))
        return status;
    memcpy(message, err->message, sizeof message);
    snprintf(err->message, sizeof err->message, "%.120s: %.*s", path, 190, message);
    return status;
}

int tspk_cli_refuse(const char *command, const tspk_error *err)
{
    char line[2 * sizeof *err];

    tspk_error_format(err, line, sizeof line);
    fprintf(stderr, "transpike%s%s: %s\n", command[0] ? " " : "", command, line);
    return (int)err->status;
}

static void say(const tspk_cli_args *args, const char *kind, const char *format, va_list values)
{
    if (args->is_quiet)
        return;
    fprintf(stderr, "transpike %s: %s", args->command, kind);
    vfprintf(stderr, format, values);
    fputc('\n', stderr);
}

void tspk_cli_warn(const tspk_cli_args *args, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    say(args, "warning: ", format, values);
    va_end(values);
}

void tspk_cli_note(const tspk_cli_args *args, const char *format, ...)
{
    va_list values;

    va_start(values, format);
    say(args, "", format, values);
    va_end(values);
}
