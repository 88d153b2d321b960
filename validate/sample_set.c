/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/sample_set.h"

#include <stdlib.h>

#include "core/fail.h"
#include "core/parallel.h"

static tspk_status check_label(const tspk_sample_set *set, size_t sample, tspk_error *err)
{
    const int64_t label = tspk_dataset_label(set->data, sample);

    if (label >= (int64_t)set->classes)
        return TSPK_FAIL(err, TSPK_RANGE, "%s: %s: label %lld, the network has %u classes",
                         tspk_dataset_path(set->data), tspk_dataset_name(set->data, sample),
                         (long long)label, set->classes);
    return TSPK_OK;
}

tspk_status tspk_sample_set_init(tspk_sample_set *set, const tspk_dataset *data, size_t skip,
                                 size_t limit, uint32_t classes, const uint32_t dim[3], int threads,
                                 tspk_error *err)
{
    const size_t count = tspk_dataset_count(data);
    tspk_sample_set made = {
        .data = data, .threads = threads, .is_labelled = true, .classes = classes};

    if (skip >= count)
        return TSPK_FAIL(err, TSPK_RANGE, "%s: no samples left: %zu in all, %zu left out",
                         tspk_dataset_path(data), count, skip);
    made.most = count - skip;
    if (limit > 0 && limit < made.most)
        made.most = limit;
    for (int i = 0; i < 3; i++)
        made.dim[i] = dim[i];
    for (size_t i = 0; i < made.most; i++)
        TSPK_TRY(check_label(&made, skip + i, err));
    made.sample = malloc(made.most * sizeof *made.sample);
    if (!made.sample)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu samples", made.most);
    *set = made;
    return TSPK_OK;
}

void tspk_sample_set_done(tspk_sample_set *set)
{
    free(set->sample);
    set->sample = NULL;
}

tspk_status tspk_sample_set_next(tspk_sample_set *set, tspk_reader *reader, size_t most,
                                 float *images, uint8_t (*hashes)[32], size_t *n_out,
                                 tspk_error *err)
{
    const size_t left = set->most - set->n, wanted = most < left ? most : left;
    size_t *const samples = set->sample + set->n, n = 0;

    TSPK_TRY(tspk_reader_next(reader, wanted, images, hashes, samples, &n, err));
    for (size_t i = 0; i < n; i++) {
        TSPK_TRY(check_label(set, samples[i], err));
        set->is_labelled &= tspk_dataset_label(set->data, samples[i]) >= 0;
    }
    set->n += n;
    *n_out = n;
    return TSPK_OK;
}

typedef struct read_job {
    const tspk_sample_set *set;
    size_t at, elems;
    float *images;
    tspk_status *status; /* [n] */
} read_job;

static void read_one(void *context, size_t i, int worker)
{
    const read_job *job = context;

    (void)worker;
    job->status[i] = tspk_dataset_read(job->set->data, job->set->sample[job->at + i], job->set->dim,
                                       job->images + i * job->elems, NULL, NULL);
}

tspk_status tspk_sample_set_read(const tspk_sample_set *set, size_t at, size_t n, float *images,
                                 tspk_error *err)
{
    read_job job = {set, at, tspk_sample_set_elems(set), images, NULL};
    tspk_status status = TSPK_OK;

    job.status = calloc(n ? n : 1, sizeof *job.status);
    if (!job.status)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to read %zu samples", n);
    tspk_parallel_for(set->threads, n, read_one, &job);
    for (size_t i = 0; i < n && status == TSPK_OK; i++)
        if (job.status[i] != TSPK_OK) /* once more, for what there is to say about it */
            status = tspk_dataset_read(set->data, set->sample[at + i], set->dim,
                                       images + i * job.elems, NULL, err);
    free(job.status);
    return status;
}
