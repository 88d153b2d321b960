/* SPDX-License-Identifier: Apache-2.0 */
#include "bench/profile.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

double tspk_clock_seconds(clockid_t clock)
{
    struct timespec at;

    clock_gettime(clock, &at);
    return (double)at.tv_sec + 1e-9 * (double)at.tv_nsec;
}

static void add_time(tspk_profile *p)
{
    const double at = tspk_clock_seconds(CLOCK_THREAD_CPUTIME_ID);

    if (p->depth)
        p->seconds[p->open[p->depth - 1]] += at - p->last;
    p->last = at;
}

void tspk_profile_enter(void *context, const char *phase)
{
    tspk_profile *const p = context;
    size_t i = 0;

    add_time(p);
    while (i < p->n && strcmp(p->name[i], phase) != 0)
        i++;
    if (i == TSPK_PROFILE_KINDS || p->depth == TSPK_PROFILE_DEPTH) {
        fprintf(stderr, "profile: more phases than were foreseen\n");
        exit(1);
    }
    if (i == p->n)
        p->name[p->n++] = phase;
    p->open[p->depth++] = i;
}

void tspk_profile_leave(void *context)
{
    tspk_profile *const p = context;

    add_time(p);
    p->depth--;
}

void tspk_profile_print(const tspk_profile *profile, double runs)
{
    for (size_t i = 0; i < profile->n; i++)
        printf("  %-24s %8.2f ms an image\n", profile->name[i], 1e3 * profile->seconds[i] / runs);
}
