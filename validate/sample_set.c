/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/sample_set.h"

#include <stdlib.h>

#include "core/fail.h"
#include "core/parallel.h"

tspk_status tspk_sample_set_init(tspk_sample_set *set, const tspk_dataset *data, size_t skip,
                                 size_t limit, uint32_t classes, const uint32_t dim[3], int threads,
                                 tspk_error *err)
{
    const size_t count = tspk_dataset_count(data);
    tspk_sample_set made = {.data = data, .first = skip, .threads = threads, .is_labelled = true};

    if (skip >= count)
        return TSPK_FAIL(err, TSPK_RANGE, "%s: no samples left: %zu in all, %zu left out",
                         tspk_dataset_path(data), count, skip);
    made.n = count - skip;
    if (limit > 0 && limit < made.n)
        made.n = limit;
    for (int i = 0; i < 3; i++)
        made.dim[i] = dim[i];
    for (size_t i = 0; i < made.n; i++) {
        const int64_t label = tspk_dataset_label(data, skip + i);

        if (label >= (int64_t)classes)
            return TSPK_FAIL(err, TSPK_RANGE, "%s: %s: label %lld, the network has %u classes",
                             tspk_dataset_path(data), tspk_dataset_name(data, skip + i),
                             (long long)label, classes);
        if (label < 0)
            made.is_labelled = false;
    }
    *set = made;
    return TSPK_OK;
}

typedef struct read_job {
    const tspk_sample_set *set;
    size_t at, elems;
    float *images;
    uint8_t (*hashes)[32];
    tspk_status *status; /* [n] */
} read_job;

static void read_one(void *context, size_t i, int worker)
{
    const read_job *job = context;

    (void)worker;
    job->status[i] =
        tspk_dataset_read(job->set->data, job->set->first + job->at + i, job->set->dim,
                          job->images + i * job->elems, job->hashes ? job->hashes[i] : NULL, NULL);
}

tspk_status tspk_sample_set_read(const tspk_sample_set *set, size_t at, size_t n, float *images,
                                 uint8_t (*hashes)[32], tspk_error *err)
{
    read_job job = {set, at, tspk_sample_set_elems(set), images, hashes, NULL};
    tspk_status status = TSPK_OK;

    job.status = calloc(n ? n : 1, sizeof *job.status);
    if (!job.status)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to read %zu samples", n);
    tspk_parallel_for(set->threads, n, read_one, &job);
    for (size_t i = 0; i < n && status == TSPK_OK; i++)
        if (job.status[i] != TSPK_OK) /* once more, for what there is to say about it */
            status = tspk_dataset_read(set->data, set->first + at + i, set->dim,
                                       images + i * job.elems, hashes ? hashes[i] : NULL, err);
    free(job.status);
    return status;
}
