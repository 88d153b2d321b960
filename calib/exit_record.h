/* SPDX-License-Identifier: Apache-2.0 */
/* What a fitted network answers after every step, beside its source: all that candidates are judged
 * by and exit policies are fitted on. */
#ifndef TSPK_CALIB_EXIT_RECORD_H
#define TSPK_CALIB_EXIT_RECORD_H

#include "calib/frame.h"

/* Images, and where they are few changed copies of them; view v of image i stands at v * n_images +
 * i. */
typedef struct tspk_views {
    size_t n, n_images;
    float *image;  /* [n, elements of the graph's input] */
    float *source; /* [n, classes] the source network's logits */
    size_t elems, classes;
    int64_t *label; /* [n_images] -1: unknown */
} tspk_views;

/**
 * Few images are copied: mirrored, and moved by up to a sixteenth of their side in every direction
 * with reflected edges. Of few images as they are a handful change their answers, and what is fitted
 * to these knows them by heart.
 * @param images      [n_images, elements of the graph's input]
 * @param labels      [n_images], or NULL
 * @param is_copied   false: the images alone
 * @param is_mirrored copies may be mirror images
 * @param seed        of the copies
 * @errors NOMEM, those of the source network's executor
 */
tspk_status tspk_views_make(tspk_views *views_out, const tspk_frame *frame, const float *images,
                            const int64_t *labels, size_t n_images, bool is_copied,
                            bool is_mirrored, uint64_t seed, int threads, tspk_error *err);
void tspk_views_done(tspk_views *views);

typedef struct tspk_exit_record {
    size_t n, n_images; /* answers; images that they are of */
    size_t classes;
    uint32_t n_steps;
    uint32_t *image;  /* [n] < n_images */
    float *logits;    /* [n, n_steps, classes] */
    uint8_t *agrees;  /* [n, n_steps] the source network's winner wins */
    int8_t *lost;     /* [n, n_steps] 1: the source network is right and it is not; -1: the reverse;
                         0 without a label */
    bool is_labelled; /* all images have labels */
    double *kl;       /* [n, n_steps] KL(source || spiking) [nats] */
    double *energy;   /* [n, n_steps] synaptic, cumulative, ratio to the source network's */
} tspk_exit_record;

/**
 * Runs all steps of an operating point over views and appends what it answers.
 * @param mode       operating point
 * @param record_out zeros, or what an earlier call filled in with a point of as many steps
 * @errors NOMEM, those of sessions
 */
tspk_status tspk_exit_record_add(tspk_exit_record *record_out, const tspk_spikegraph *spikes,
                                 const char *mode, const tspk_views *views, int threads,
                                 tspk_error *err);
void tspk_exit_record_done(tspk_exit_record *record);

#endif
