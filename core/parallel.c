/* SPDX-License-Identifier: Apache-2.0 */
#include "core/parallel.h"

#ifdef _OPENMP
#include <omp.h>
#include <pthread.h>

#include "core/compiler.h"

/* A child of fork() has none of its parent's threads, and GNU's OpenMP would wait for them forever:
 * the forking thread's team goes before it forks, and either side makes a new one when it needs
 * one. */
static void leave_team(void)
{
    (void)omp_pause_resource_all(omp_pause_soft);
}

TSPK_AT_LOAD static void watch_forks(void)
{
    (void)pthread_atfork(leave_team, NULL, NULL);
}
#endif

#define MOST_OPENING_THREADS 4

void tspk_parallel_for(int threads, size_t n, tspk_parallel_fn fn, void *context)
{
#ifdef _OPENMP
    if (threads > 1 && n > 1 && !omp_in_parallel()) {
        const int team = (size_t)threads < n ? threads : (int)n;

#pragma omp parallel for num_threads(team) schedule(dynamic, 1)
        for (size_t i = 0; i < n; i++)
            fn(context, i, omp_get_thread_num());
        return;
    }
#endif
    (void)threads;
    for (size_t i = 0; i < n; i++)
        fn(context, i, 0);
}

int tspk_parallel_max_threads(void)
{
#ifdef _OPENMP
    const int procs = omp_get_num_procs();

    return procs > 0 ? procs : 1;
#else
    return 1;
#endif
}

int tspk_opening_threads(void)
{
    const int threads = tspk_parallel_max_threads();

    return threads < MOST_OPENING_THREADS ? threads : MOST_OPENING_THREADS;
}
