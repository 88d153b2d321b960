/* SPDX-License-Identifier: Apache-2.0 */
/* Two networks' logits compared, image by image, and summed in the order of the images. */
#ifndef TSPK_VALIDATE_METRICS_H
#define TSPK_VALIDATE_METRICS_H

#include <stddef.h>
#include <stdint.h>

#include "core/logits.h"

/** Sums over images of one network, or of one step of it. */
typedef struct tspk_tally {
    size_t images, top1, top5, agreed;
    double kl;                            /* [nats] */
    double synaptic, full, quantised_ann; /* ratios to the source network's energy */
    double tokens; /* cumulative: tspk_step_work */
    double spikes, neurons;
} tspk_tally;

/** Counts top-1 and top-5; label −1 counts as wrong. */
void tspk_tally_label(tspk_tally *tally, const float *logits, size_t n, int64_t label);

/** Counts agreement and divergence of `logits` from the source network's. */
void tspk_tally_compare(tspk_tally *tally, const float *source, const float *logits, size_t n);

#endif
