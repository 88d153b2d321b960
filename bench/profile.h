/* SPDX-License-Identifier: Apache-2.0 */
/* Processor time by phase, from the traces of the executors; and the clocks of the benches. */
#ifndef TSPK_BENCH_PROFILE_H
#define TSPK_BENCH_PROFILE_H

#include <stddef.h>
#include <time.h>

#define TSPK_PROFILE_KINDS 64
#define TSPK_PROFILE_DEPTH 8

/* Time of each phase without that of the phases inside it; starts as zeros. */
typedef struct tspk_profile {
    const char *name[TSPK_PROFILE_KINDS]; /* borrowed */
    double seconds[TSPK_PROFILE_KINDS];
    size_t n, open[TSPK_PROFILE_DEPTH], depth;
    double last;
} tspk_profile;

/** The functions of a trace; context is the profile. One thread. */
void tspk_profile_enter(void *context, const char *phase);
void tspk_profile_leave(void *context);

/** One line a phase, in milliseconds a run. */
void tspk_profile_print(const tspk_profile *profile, double runs);

/** Seconds of a clock. */
double tspk_clock_seconds(clockid_t clock);

#endif
