/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The calibration images on their way through the graph, all of them side by side, node by node.
 *
 * What a site receives at step t depends on its upstream at steps 1 … t alone, and on nothing
 * downstream. So the graph is walked once: every live value is held in T + 1 versions, version 0
 * the source network's, version t that of step t, for all images, and a site is fitted for all of
 * its steps before anything behind it is computed. A value is freed after its last reader.
 */
#ifndef TSPK_CALIB_STAGE_H
#define TSPK_CALIB_STAGE_H

#include "core/spikegraph.h"

typedef struct tspk_stage tspk_stage;

/**
 * @param spikes  lowered; borrowed
 * @param images  [n_images, elements of the graph's input]; borrowed
 */
tspk_status tspk_stage_new(const tspk_spikegraph *spikes, const float *images, size_t n_images,
                           uint32_t n_steps, int threads, tspk_stage **stage_out, tspk_error *err);
void tspk_stage_free(tspk_stage *stage);

/** Memory for one image at the widest point of the walk, with what fitting a site adds [bytes].
 * @errors NOMEM */
tspk_status tspk_stage_image_bytes(const tspk_spikegraph *spikes, uint32_t n_steps,
                                   size_t *bytes_out, tspk_error *err);

size_t tspk_stage_images(const tspk_stage *stage);

/** Elements of a live value for one image in one version (0 … n_steps); constants have one image.
 */
float *tspk_stage_at(const tspk_stage *stage, tspk_value_id id, size_t image, uint32_t version);

/** Memory for the versions of a value that a spike-driven node writes. @errors NOMEM */
tspk_status tspk_stage_make(tspk_stage *stage, tspk_value_id id, tspk_error *err);

/** Evaluates an analog node in every version and image. */
tspk_status tspk_stage_eval(tspk_stage *stage, tspk_node_id id, tspk_error *err);

/** One reader of the value is done; after the last the memory goes. */
void tspk_stage_release(tspk_stage *stage, tspk_value_id id);

#endif
