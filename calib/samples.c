/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/samples.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"

typedef struct reading {
    const tspk_dataset *data;
    tspk_samples *samples;
    size_t elems;
    tspk_error *error; /* [n] */
} reading;

static void read_sample(void *context, size_t i, int worker)
{
    reading *r = context;

    (void)worker;
    tspk_error_init(&r->error[i]);
    (void)tspk_dataset_read(r->data, i, r->samples->dim, r->samples->image + i * r->elems,
                            r->samples->hash[i], &r->error[i]);
    r->samples->label[i] = tspk_dataset_label(r->data, i);
}

tspk_status tspk_samples_read(tspk_samples *samples, const tspk_dataset *data, const int64_t dim[3],
                              size_t most, int threads, tspk_error *err)
{
    const size_t available = tspk_dataset_count(data);
    const size_t n = most < available ? most : available;
    reading r = {.data = data, .samples = samples, .elems = (size_t)(dim[0] * dim[1] * dim[2])};
    tspk_status status = TSPK_OK;

    *samples = (tspk_samples){.n = n, .dim = {dim[0], dim[1], dim[2]}};
    samples->image = calloc(n, r.elems * sizeof *samples->image);
    samples->hash = calloc(n, sizeof *samples->hash);
    samples->label = calloc(n, sizeof *samples->label);
    r.error = calloc(n, sizeof *r.error);
    if (samples->image && samples->hash && samples->label && r.error)
        tspk_parallel_for(threads, n, read_sample, &r);
    else
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu calibration images", n);
    for (size_t i = 0; i < n && status == TSPK_OK; i++)
        if (r.error[i].status != TSPK_OK) {
            status = r.error[i].status;
            if (err)
                *err = r.error[i];
        }
    free(r.error);
    if (status != TSPK_OK)
        tspk_samples_done(samples);
    return status;
}

void tspk_samples_done(tspk_samples *samples)
{
    free(samples->image);
    free(samples->hash);
    free(samples->label);
    *samples = (tspk_samples){0};
}
