/* SPDX-License-Identifier: Apache-2.0 */
/* What a calibration is worth on images that it was not fitted on, from the calibration images
 * alone: they are split, and a network that was fitted on one part is judged on the other. */
#ifndef TSPK_CALIB_CROSS_VALIDATE_H
#define TSPK_CALIB_CROSS_VALIDATE_H

#include "calib/exit_record.h"

typedef struct tspk_split {
    float *image; /* [n, image_elems] to fit on */
    size_t n;
    tspk_views held_out; /* to judge by */
} tspk_split;

/**
 * Holds out the images with i % n_folds == fold.
 * @param images    [n_images, image_elems]
 * @param labels    [n_images], −1 unknown; or NULL
 * @param is_copied the images held out are copied where they are few: tspk_views_make()
 * @param settings  is_mirrored, seed and threads count
 * @errors those of tspk_views_make(), RANGE (fewer than n_folds images)
 */
tspk_status tspk_split_make(tspk_split *split_out, const tspk_frame *frame, const float *images,
                            const int64_t *labels, size_t n_images, uint32_t n_folds, uint32_t fold,
                            bool is_copied, const tspk_calib_settings *settings, tspk_error *err);
void tspk_split_done(tspk_split *split);

#endif
