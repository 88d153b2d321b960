/* SPDX-License-Identifier: Apache-2.0 */
/* A network ready to be fitted, as often as one likes. */
#ifndef TSPK_CALIB_FRAME_H
#define TSPK_CALIB_FRAME_H

#include "calib/calibrate.h"
#include "convert/model.h"
#include "convert/passes.h"

typedef struct tspk_frame {
    tspk_graph *source; /* of the class output alone; owned */
    tspk_arena *scratch;
    tspk_structure structure;
    const char *const *keep_analog; /* [n_keep_analog] borrowed */
    size_t n_keep_analog;
    tspk_ann_cost cost;
    size_t image_elems, classes;
} tspk_frame;

/** @param model borrowed for the call @errors those of tspk_find_structure(), NOMEM */
tspk_status tspk_frame_init(tspk_frame *frame, const tspk_model *model,
                            const char *const *keep_analog, size_t n_keep_analog, tspk_error *err);
void tspk_frame_done(tspk_frame *frame);

/* What a fit has made, and what more points of it need. */
typedef struct tspk_fit {
    tspk_spikegraph *spikes; /* owned by who fitted it */
    float **balance;         /* of tspk_calibrate(); in the arena of `spikes` */
    size_t n_images;         /* that were fitted on: the cache may have left some out */
    bool is_mirrored;        /* and their mirror images */
} tspk_fit;

/**
 * Lowers and calibrates: a verified spike graph with the point "exact".
 * Mirror images, then images, are left out where settings->cache_bytes asks for it; the provenance
 * says how many images were fitted on.
 * @param images [n_images, image_elems]
 * @errors those of tspk_lower() and tspk_calibrate(), LIMIT (the cache holds no image)
 */
tspk_status tspk_frame_fit(const tspk_frame *frame, const float *images, size_t n_images,
                           const tspk_calib_settings *settings, tspk_fit *fit_out, tspk_error *err);

/**
 * Adds a point in which tokens merge. After a failure the fit is as it was.
 * @param images, settings as they were in tspk_frame_fit()
 * @errors those of tspk_calibrate_merged()
 */
tspk_status tspk_frame_fit_merged(const tspk_frame *frame, const float *images,
                                  const tspk_calib_settings *settings,
                                  const tspk_merged_point *point, tspk_fit *fit, tspk_error *err);

#endif
