/* SPDX-License-Identifier: Apache-2.0 */
/* The operating points of a file other than "exact", each run as its users would run it, and its
 * means one at a time. */
#ifndef TSPK_VALIDATE_MODES_H
#define TSPK_VALIDATE_MODES_H

#include <cjson/cJSON.h>

#include "core/limits.h"
#include "transpike/spike.h"
#include "validate/metrics.h"

#define TSPK_MAX_MODES 16

typedef struct tspk_mode_run {
    const char *label; /* the mode's name, or that of a means in an ablation; static or borrowed */
    const char *name;  /* of the operating point, borrowed from the spike graph */
    tspk_policy policy;
    double exit; /* as in tspk_session_settings */
    bool is_merging_off, is_refining_off;
    uint32_t steps;
    uint32_t histogram[TSPK_MAX_STEPS]; /* images by the number of steps that they took */
    tspk_session *session;
    tspk_tally tally;
    double ms; /* an image; negative: not timed */
} tspk_mode_run;

typedef struct tspk_modes {
    uint32_t n;
    tspk_mode_run run[TSPK_MAX_MODES];
    float *logits;        /* [chunk, most steps, classes] */
    tspk_step_work *work; /* [chunk, most steps] */
} tspk_modes;

/**
 * Opens a session for each operating point behind "exact", or for the one that the settings name;
 * with a policy in the settings for "exact" too; with an ablation the entries "exit" (the policy
 * on a score that the settings name, else the point's) and "net" as far as "balanced" has such
 * policies, on all tokens, where it merges tokens "merge" and where it refines some "refine", which
 * take all steps, and "all".
 * @param settings mode: NULL or "all": every one
 * @param session  what the sessions share
 * @param chunk    images of a call of tspk_modes_add(), at most
 * @errors UNSUPPORTED (no such mode), LIMIT, NOMEM, those of tspk_session_open()
 */
tspk_status tspk_modes_open(tspk_modes *modes, const tspk_spike *spike,
                            const tspk_validate_settings *settings,
                            const tspk_session_settings *session, size_t chunk, uint32_t classes,
                            tspk_error *err);
void tspk_modes_close(tspk_modes *modes);

/** Runs n images in every mode and counts their last logits. Labels: −1 unknown. */
tspk_status tspk_modes_add(tspk_modes *modes, size_t n, const float *images, const float *source,
                           const int64_t *labels, uint32_t classes, tspk_error *err);

/** The array "adaptive" of the JSON. False when memory is short. */
bool tspk_modes_json(const tspk_modes *modes, bool is_labelled, cJSON *snn);

#endif
