/* SPDX-License-Identifier: Apache-2.0 */
/* What every bench does with its command line and with failures: one line, and out. */
#ifndef TSPK_BENCH_COMMAND_H
#define TSPK_BENCH_COMMAND_H

#include "transpike/error.h"

/** When a word of the command line is --help or -h: prints `usage` and exits with 0. */
void tspk_bench_help(int argc, char **argv, const char *usage);

/** Prints "BENCH: WHAT" on standard error, where BENCH is the name of the program; exits with 1. */
_Noreturn void tspk_bench_fail(const char *what);

/** Fails with the error's line unless the status is OK. */
void tspk_bench_must(tspk_status status, const tspk_error *err);

/** The memory; fails when it is NULL. */
void *tspk_bench_memory(void *memory);

#endif
