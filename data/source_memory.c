/* SPDX-License-Identifier: Apache-2.0 */
/* Samples in memory that the caller keeps. */
#include "data/source.h"

#include <stdlib.h>
#include <string.h>

#include "core/checked.h"
#include "core/fail.h"

/* The bytes of all images must be countable: the caller's array is as large. */
static tspk_status check_size(const tspk_sample_arrays *arrays, tspk_error *err)
{
    size_t elems, all;

    if (!arrays->images)
        return TSPK_FAIL(err, TSPK_USAGE, "no images");
    if (!tspk_checked_elems(arrays->dim, 3, TSPK_MAX_TENSOR_ELEMS, &elems) ||
        arrays->n > INT64_MAX || !tspk_checked_mul(arrays->n, elems, &all) ||
        !tspk_checked_mul(all, sizeof(float), &all))
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu images of %lld x %lld x %lld elements", arrays->n,
                         (long long)arrays->dim[0], (long long)arrays->dim[1],
                         (long long)arrays->dim[2]);
    return TSPK_OK;
}

tspk_status tspk_source_open_memory(const tspk_sample_arrays *arrays, tspk_source **source_out,
                                    tspk_error *err)
{
    tspk_array_layout layout = {
        .type = arrays->are_floats ? TSPK_NPY_F4 : TSPK_NPY_U1,
        .shape = {.rank = 4,
                  .dim = {(int64_t)arrays->n, arrays->dim[0], arrays->dim[1], arrays->dim[2]}},
        .memory = (uint8_t *)(uintptr_t)arrays->images,
        .is_borrowed = true,
        .descriptor = -1};

    TSPK_TRY(check_size(arrays, err));
    if (arrays->labels) {
        layout.labels = malloc(arrays->n ? arrays->n * sizeof *layout.labels : 1);
        if (!layout.labels)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu labels", arrays->n);
        memcpy(layout.labels, arrays->labels, arrays->n * sizeof *layout.labels);
    }
    return tspk_source_open_array(&layout, source_out, err);
}
