/* SPDX-License-Identifier: Apache-2.0 */
/* What a fitted network answers after every step, beside its source: all that exit policies are
 * fitted on. */
#ifndef TSPK_CALIB_EXIT_RECORD_H
#define TSPK_CALIB_EXIT_RECORD_H

#include "calib/frame.h"

typedef struct tspk_exit_record {
    size_t n, n_images; /* answers; images that they are of */
    size_t classes;
    uint32_t n_steps; /* of the network's "exact" */
    float *logits;    /* [n, n_steps, classes] */
    uint8_t *agrees;  /* [n, n_steps] the source network's winner wins */
    double *kl;       /* [n, n_steps] KL(source || spiking) [nats] */
    double *energy;   /* [n, n_steps] synaptic, cumulative, ratio to the source network's */
} tspk_exit_record;

/**
 * Runs the network and its source over images and, where there are few, over changed copies of
 * them: mirrored, and moved by up to a sixteenth of their side in every direction with reflected
 * edges. Of images that a network was fitted on the unchanged ones alone would promise too much.
 * @param images      [n_images, elements of the graph's input]
 * @param is_copied   few images are copied
 * @param is_mirrored copies may be mirror images
 * @param seed        of the copies
 * @param record_out  zeros, or what an earlier call filled in: appended to
 * @errors NOMEM, those of sessions and of the source network's executor
 */
tspk_status tspk_exit_record_add(tspk_exit_record *record_out, const tspk_frame *frame,
                                 const tspk_spikegraph *spikes, const float *images,
                                 size_t n_images, bool is_copied, bool is_mirrored, uint64_t seed,
                                 int threads, tspk_error *err);
void tspk_exit_record_done(tspk_exit_record *record);

#endif
