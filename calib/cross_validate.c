/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/cross_validate.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

tspk_status tspk_split_make(tspk_split *split_out, const tspk_frame *frame, const float *images,
                            const int64_t *labels, size_t n_images, uint32_t n_folds, uint32_t fold,
                            bool is_copied, const tspk_calib_settings *settings, tspk_error *err)
{
    const size_t elems = frame->image_elems;
    const size_t n_held = (n_images + n_folds - 1 - fold) / n_folds;
    tspk_split s = {0};
    float *held;
    int64_t *label;
    size_t n = 0;
    tspk_status status = TSPK_OK;

    if (n_folds < 2 || n_images < n_folds)
        return TSPK_FAIL(err, TSPK_RANGE, "%zu calibration images for %u folds", n_images, n_folds);
    s.image = malloc((n_images - n_held) * elems * sizeof *s.image);
    held = malloc(n_held * elems * sizeof *held);
    label = malloc(n_held * sizeof *label);
    if (!s.image || !held || !label)
        status = TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", n_images);
    for (size_t i = 0; i < n_images && status == TSPK_OK; i++) {
        const bool is_held = i % n_folds == fold;
        float *const to = is_held ? held + n * elems : s.image + s.n * elems;

        memcpy(to, images + i * elems, elems * sizeof *to);
        if (is_held)
            label[n++] = labels ? labels[i] : -1;
        else
            s.n++;
    }
    if (status == TSPK_OK)
        status = tspk_views_make(&s.held_out, frame, held, label, n_held, is_copied,
                                 settings->is_mirrored, settings->seed, settings->threads, err);
    free(held);
    free(label);
    if (status == TSPK_OK)
        *split_out = s;
    else
        tspk_split_done(&s);
    return status;
}

void tspk_split_done(tspk_split *split)
{
    free(split->image);
    tspk_views_done(&split->held_out);
    *split = (tspk_split){0};
}
