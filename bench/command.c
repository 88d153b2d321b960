/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/command.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>

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
