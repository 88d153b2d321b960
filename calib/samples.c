/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/samples.h"

#include <stdlib.h>

#include "core/fail.h"

static tspk_status read_all(tspk_samples *samples, tspk_reader *reader, size_t most, size_t *index,
                            const tspk_dataset *data, tspk_error *err)
{
    TSPK_TRY(
        tspk_reader_next(reader, most, samples->image, samples->hash, index, &samples->n, err));
    for (size_t i = 0; i < samples->n; i++)
        samples->label[i] = tspk_dataset_label(data, index[i]);
    return TSPK_OK;
}

tspk_status tspk_samples_read(tspk_samples *samples, const tspk_dataset *data, const int64_t dim[3],
                              size_t most, const tspk_reader_settings *how, tspk_error *err)
{
    const size_t available = tspk_dataset_count(data);
    const size_t n = most < available ? most : available;
    const size_t elems = (size_t)(dim[0] * dim[1] * dim[2]);
    tspk_reader_settings settings = *how;
    tspk_reader *reader = NULL;
    size_t *const index = calloc(n, sizeof *index);
    tspk_status status = TSPK_OK;

    settings.limit = n;
    *samples = (tspk_samples){.dim = {dim[0], dim[1], dim[2]}};
    samples->image = calloc(n, elems * sizeof *samples->image);
    samples->hash = calloc(n, sizeof *samples->hash);
    samples->label = calloc(n, sizeof *samples->label);
    if (!samples->image || !samples->hash || !samples->label || !index)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu calibration images", n);
    if (status == TSPK_OK)
        status = tspk_reader_open(data, dim, &settings, &reader, err);
    if (status == TSPK_OK)
        status = read_all(samples, reader, n, index, data, err);
    tspk_reader_close(reader);
    free(index);
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
