/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

void tspk_bench_help(int argc, char **argv, const char *usage)
{
    for (int i = 1; i < argc; i++)
        if (strcmp(argv[i], "--help") == 0 || strcmp(argv[i], "-h") == 0) {
            fputs(usage, stdout);
            exit(0);
        }
}

_Noreturn void tspk_bench_fail(const char *what)
{
    fprintf(stderr, "%s: %s\n", program_invocation_short_name, what);
    exit(1);
}

void tspk_bench_must(tspk_status status, const tspk_error *err)
{
    char line[1024];

    if (status == TSPK_OK)
        return;
    tspk_error_format(err, line, sizeof line);
    tspk_bench_fail(line);
}

void *tspk_bench_memory(void *memory)
{
    if (!memory)
        tspk_bench_fail("no memory");
    return memory;
}
