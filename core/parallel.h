/* SPDX-License-Identifier: Apache-2.0 */
/* The only door to OpenMP: everything else asks for a parallel loop here. */
#ifndef TSPK_CORE_PARALLEL_H
#define TSPK_CORE_PARALLEL_H

#include <stddef.h>

/** Body of a parallel loop: item `i` of `n`, on worker `worker` of [0, threads). */
typedef void (*tspk_parallel_fn)(void *context, size_t i, int worker);

/**
 * Runs fn(context, i, worker) for i in [0, n) on up to `threads` threads. Items are handed out in any
 * order, so they must be independent; what they compute must not depend on `worker` (a scratch slot).
 * A call made from inside a body runs serially with the worker 0 of its own.
 */
void tspk_parallel_for(int threads, size_t n, tspk_parallel_fn fn, void *context);

/** Cores that this process may use, at least 1; 1 in a build without OpenMP. */
int tspk_parallel_max_threads(void);

/** Threads for the short work of opening a file or a session: a few, whatever the machine has. */
int tspk_opening_threads(void);

#endif
