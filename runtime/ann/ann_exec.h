/* SPDX-License-Identifier: Apache-2.0 */
/* Float execution of a whole graph: a memory plan from lifetimes, one arena slot a worker. */
#ifndef TSPK_RUNTIME_ANN_EXEC_H
#define TSPK_RUNTIME_ANN_EXEC_H

#include "core/graph.h"

typedef struct tspk_ann_exec tspk_ann_exec;

/** graph is borrowed until freed; `threads` ≥ 1 slots are allocated. */
tspk_status tspk_ann_exec_new(const tspk_graph *graph, int threads, tspk_ann_exec **exec_out,
                              tspk_error *err);
void tspk_ann_exec_free(tspk_ann_exec *exec);

/** n_runs passes, spread over the threads; pointers as tspk_ann_run() in transpike/model.h. */
tspk_status tspk_ann_exec_run(tspk_ann_exec *exec, size_t n_runs, const void *const *inputs,
                              void *const *outputs, tspk_error *err);

#endif
