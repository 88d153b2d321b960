/* SPDX-License-Identifier: Apache-2.0 */
/* Diagnosis of single sites: the damage that each does alone and with those before it. */
#ifndef TSPK_VALIDATE_LAYERS_H
#define TSPK_VALIDATE_LAYERS_H

#include <cjson/cJSON.h>

#include "validate/layer_walk.h"
#include "validate/sample_set.h"

/* Images that are looked at unless a limit is given: one costs about as much as 100 T runs of the
 * source network in a Vision Transformer of 12 blocks. */
#define TSPK_LAYER_IMAGES 16u

/* The spiking network leaves its source where the decoded values' error first exceeds a tenth of
 * their power, at the last step. */
#define TSPK_LEAVING_DB 10.0

typedef struct tspk_layers {
    const tspk_spikegraph *spikes; /* borrowed */
    uint32_t steps;
    size_t images;
    bool has_outputs;      /* the divergences were measured */
    tspk_layer_sums *sums; /* [n_sites, steps] over all images */
} tspk_layers;

/**
 * Walks the first images of a set. Memory is bounded by the threads, not by the images.
 * @param limit        images at most
 * @param has_outputs  measure what each site does to the output too: nearly all of the time
 * @param progress  or NULL
 * @param layers    zeroed by the caller; tspk_layers_done() frees it, after a failure too
 * @errors those of tspk_layer_plan_init() and tspk_layer_walk(), of the first image that fails;
 * INTERRUPTED
 */
tspk_status tspk_layers_run(const tspk_spikegraph *spikes, const tspk_model *model,
                            const tspk_sample_set *set, size_t limit, uint32_t steps,
                            bool has_outputs, int threads, tspk_progress_fn progress,
                            void *progress_context, tspk_layers *layers, tspk_error *err);
void tspk_layers_done(tspk_layers *layers);

/** Adds "layers", "layer_images" and "leaves_at" (null where it does not leave); without the
 * divergences "layers" is empty and "site_rates" has the rest. false: no memory. */
bool tspk_layers_json(const tspk_layers *layers, cJSON *json);

#endif
