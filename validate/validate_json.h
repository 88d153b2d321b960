/* SPDX-License-Identifier: Apache-2.0 */
/* The result of a validation and its JSON, schema "transpike.validate/1". */
#ifndef TSPK_VALIDATE_VALIDATE_JSON_H
#define TSPK_VALIDATE_VALIDATE_JSON_H

#include "core/limits.h"
#include "transpike/error.h"
#include "validate/layers.h"
#include "validate/metrics.h"
#include "validate/modes.h"
#include "validate/outcomes.h"

typedef struct tspk_validation {
    tspk_tally ann, step[TSPK_MAX_STEPS];
    uint32_t n_steps, batch;
    int threads;
    size_t overlap;                         /* images that were used for calibration too */
    bool is_labelled;                       /* without labels top1 and top5 are null */
    bool is_ann_timed;                      /* false when the images do not fill one fixed batch */
    bool is_timed;                          /* without times they are null */
    double ann_ms, step_ms[TSPK_MAX_STEPS]; /* [ms an image] */
    tspk_modes modes;                       /* beside exact */
    tspk_layers layers;                     /* zeros when not asked for */
    tspk_outcomes outcomes;
    size_t *broken; /* [n_broken] samples that were left out; owned */
    size_t n_broken;
    const tspk_spike *spike;                /* borrowed */
    const tspk_dataset *data;               /* borrowed */
    const tspk_validate_settings *settings; /* borrowed */
    const char *network_sha256;             /* of the source network; borrowed */
} tspk_validation;

/** @param json_out malloc'd text, owned by the caller @errors NOMEM */
tspk_status tspk_validation_json(const tspk_validation *result, char **json_out, tspk_error *err);

#endif
