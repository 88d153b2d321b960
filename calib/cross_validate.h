/* SPDX-License-Identifier: Apache-2.0 */
/* What a calibration is worth on images that it was not fitted on, from the calibration images
 * alone: each fold of them is judged by a network that was fitted on the others. */
#ifndef TSPK_CALIB_CROSS_VALIDATE_H
#define TSPK_CALIB_CROSS_VALIDATE_H

#include "calib/exit_record.h"

/* Sums over judged images after one step. */
typedef struct tspk_judgement {
    double kl;              /* KL(source || spiking) [nats] */
    double agreed;          /* images with the source network's winner */
    double correct;         /* images whose winner is their label */
    double energy_synaptic; /* ratio to the source network's */
    double firing_rate;     /* spikes over neurons, of the step alone */
} tspk_judgement;

/**
 * Fits on all images but those with i % n_folds == fold, and adds the sums of these to `sums`.
 * @param images [n_images, image_elems]
 * @param labels [n_images], −1 unknown; or NULL
 * @param source [n_images, classes] the source network's logits
 * @param sums   [settings->n_steps] added to
 * @param n_judged_out the number of images judged
 * @param record what the network answers on the images that are judged is appended; or NULL
 * @param spikes_out the network fitted on the others, owned by the caller; or NULL
 * @errors those of tspk_frame_fit(), RANGE (fewer than n_folds images)
 */
tspk_status tspk_judge_fold(const tspk_frame *frame, const float *images, const int64_t *labels,
                            const float *source, size_t n_images, uint32_t n_folds, uint32_t fold,
                            const tspk_calib_settings *settings, tspk_judgement *sums,
                            size_t *n_judged_out, tspk_exit_record *record,
                            tspk_spikegraph **spikes_out, tspk_error *err);

/** Logits of the source network. @param logits_out [n_images, classes] @errors those of
 * tspk_ann_exec_new() and tspk_ann_exec_run() */
tspk_status tspk_source_logits(const tspk_frame *frame, const float *images, size_t n_images,
                               int threads, float *logits_out, tspk_error *err);

/** Adds what a fitted network does on images. Parameters as of tspk_judge_fold(). */
tspk_status tspk_judge(const tspk_spikegraph *spikes, const float *images, const int64_t *labels,
                       const float *source, size_t n_images, size_t classes, int threads,
                       tspk_judgement *sums, tspk_error *err);

#endif
