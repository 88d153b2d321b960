/* SPDX-License-Identifier: Apache-2.0 */
/* The public float executor over the internal one. */
#include <stdlib.h>

#include "convert/model.h"
#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/ann_exec.h"

struct tspk_ann {
    tspk_ann_exec *exec;
};

tspk_status tspk_ann_open(const tspk_model *model, int threads, tspk_ann **ann_out, tspk_error *err)
{
    tspk_ann *ann;
    tspk_status status;

    tspk_error_init(err);
    if (threads < 0)
        return TSPK_FAIL(err, TSPK_RANGE, "%d threads", threads);
    ann = calloc(1, sizeof *ann);
    if (!ann)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for an executor");
    status = tspk_ann_exec_new(model->graph, threads ? threads : tspk_parallel_max_threads(),
                               &ann->exec, err);
    if (status != TSPK_OK) {
        free(ann);
        return tspk_in_stage(err, status, "ann");
    }
    *ann_out = ann;
    return TSPK_OK;
}

void tspk_ann_close(tspk_ann *ann)
{
    if (!ann)
        return;
    tspk_ann_exec_free(ann->exec);
    free(ann);
}

tspk_status tspk_ann_run(tspk_ann *ann, size_t n_runs, const void *const *inputs,
                         void *const *outputs, tspk_error *err)
{
    return tspk_in_stage(err, tspk_ann_exec_run(ann->exec, n_runs, inputs, outputs, err), "ann");
}
