/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/timing.h"

#include <stdlib.h>
#include <time.h>

#include "core/fail.h"

#define PASSES 3

static double now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return 1e3 * (double)now.tv_sec + 1e-6 * (double)now.tv_nsec;
}

static double median_of_three(const double *v)
{
    const double low = v[0] < v[1] ? v[0] : v[1], high = v[0] < v[1] ? v[1] : v[0];

    return v[2] < low ? low : v[2] > high ? high : v[2];
}

static tspk_status run_batches(tspk_session *session, uint32_t batch, const float *images,
                               size_t elems, size_t n, float *logits, tspk_error *err)
{
    for (size_t at = 0; at < n; at += batch) {
        const size_t here = n - at < batch ? n - at : batch;

        TSPK_TRY(tspk_session_run(session, here, images + at * elems, logits, NULL, err));
    }
    return TSPK_OK;
}

tspk_status tspk_time_session(const tspk_spike *spike, const tspk_session_settings *settings,
                              const float *images, size_t n, uint32_t classes, double *ms_out,
                              tspk_error *err)
{
    tspk_session *session = NULL;
    tspk_spike_info info;
    double ms[PASSES];
    float *logits;
    size_t elems;
    tspk_status status;

    tspk_spike_info_get(spike, &info);
    elems = (size_t)info.image_dim[0] * info.image_dim[1] * info.image_dim[2];
    TSPK_TRY(tspk_session_open(spike, settings, &session, err));
    logits = calloc((size_t)settings->batch * settings->steps, classes * sizeof *logits);
    status = logits ? run_batches(session, settings->batch, images, elems, n, logits, err)
                    : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u logits", classes);
    for (int i = 0; i < PASSES && status == TSPK_OK; i++) {
        const double start = now_ms();

        status = run_batches(session, settings->batch, images, elems, n, logits, err);
        ms[i] = (now_ms() - start) / (double)n;
    }
    free(logits);
    tspk_session_close(session);
    if (status == TSPK_OK)
        *ms_out = median_of_three(ms);
    return status;
}

tspk_status tspk_time_ann(tspk_ann *ann, size_t n_runs, const void *const *in, void *const *out,
                          size_t n_images, double *ms_out, tspk_error *err)
{
    double ms[PASSES];

    TSPK_TRY(tspk_ann_run(ann, n_runs, in, out, err));
    for (int i = 0; i < PASSES; i++) {
        const double start = now_ms();

        TSPK_TRY(tspk_ann_run(ann, n_runs, in, out, err));
        ms[i] = (now_ms() - start) / (double)n_images;
    }
    *ms_out = median_of_three(ms);
    return TSPK_OK;
}
