/* SPDX-License-Identifier: Apache-2.0 */
/* What both networks said of every image, and what can be told of it by image and by class. */
#ifndef TSPK_VALIDATE_OUTCOMES_H
#define TSPK_VALIDATE_OUTCOMES_H

#include <cjson/cJSON.h>
#include <stdbool.h>

#include "transpike/spike.h"

/** One image: the most probable class of each network, the spiking one's after its last step. */
typedef struct tspk_outcome {
    size_t sample; /* index in the data set */
    int64_t label; /* −1: none */
    uint32_t source, spiking;
    float p_source, p_spiking; /* of these classes */
    double kl;                 /* [nats] */
} tspk_outcome;

typedef struct tspk_outcomes {
    tspk_outcome *image; /* [n], in the order of the images; owned */
    size_t n, room;
} tspk_outcomes;

/** Appends an image. @param source, spiking [classes] logits; borrowed @errors NOMEM */
tspk_status tspk_outcomes_add(tspk_outcomes *outcomes, size_t sample, int64_t label,
                              const float *source, const float *spiking, size_t classes,
                              tspk_error *err);
void tspk_outcomes_done(tspk_outcomes *outcomes);

/** Adds "confusion", "classes" (null where there are too many), "disagreements" and "examples".
 * @param spike, data  where names of classes and samples come from
 * @return false when memory is short */
bool tspk_outcomes_json(const tspk_outcomes *outcomes, const tspk_spike *spike,
                        const tspk_dataset *data, bool is_labelled, cJSON *json);

#endif
