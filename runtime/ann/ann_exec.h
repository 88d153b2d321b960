/* SPDX-License-Identifier: Apache-2.0 */
/* Float execution of a whole graph: a memory plan from lifetimes, one arena slot a worker. */
#ifndef TSPK_RUNTIME_ANN_EXEC_H
#define TSPK_RUNTIME_ANN_EXEC_H

#include "core/graph.h"

typedef struct tspk_ann_exec tspk_ann_exec;

/**
 * graph is verified, and borrowed until the executor is freed; `threads` ≥ 1 slots are allocated. The
 * BLAS of the process becomes single-threaded (runtime/ann/blas.h).
 * @errors NOMEM, USAGE
 */
tspk_status tspk_ann_exec_new(const tspk_graph *graph, int threads, tspk_ann_exec **exec_out,
                              tspk_error *err);
void tspk_ann_exec_free(tspk_ann_exec *exec);

/**
 * n_runs passes: side by side when there are as many as threads, else their nodes are shared out;
 * pointers as tspk_ann_run() in transpike/model.h. Allocates
 * nothing; the bytes of a run depend on its inputs alone.
 * @errors of tspk_op_eval(), with the node's name, from the earliest run that failed
 */
tspk_status tspk_ann_exec_run(tspk_ann_exec *exec, size_t n_runs, const void *const *inputs,
                              void *const *outputs, tspk_error *err);

/** Called around every node, with its operator's name, on the thread of worker 0; for measurements. */
typedef struct tspk_ann_trace {
    void (*enter)(void *context, const char *phase);
    void (*leave)(void *context);
    void *context;
} tspk_ann_trace;

/** trace is borrowed until the executor is freed or another one is set; NULL: none. */
void tspk_ann_exec_trace(tspk_ann_exec *exec, const tspk_ann_trace *trace);

#endif
