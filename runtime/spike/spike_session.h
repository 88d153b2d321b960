/* SPDX-License-Identifier: Apache-2.0 */
/* Inside of a session: the plan and its memory. */
#ifndef TSPK_RUNTIME_SPIKE_SESSION_H
#define TSPK_RUNTIME_SPIKE_SESSION_H

#include "runtime/spike/exit_policy.h"
#include "runtime/spike/spike_exec.h"

struct tspk_session {
    tspk_spike_plan plan;
    tspk_spikegraph *merged; /* owned: what is executed where tokens merge, else NULL */
    int threads;
    int n_slots; /* images side by side */
    size_t image_elems, logit_elems;
    uint8_t *block;              /* owned; `memory` is its aligned part */
    uint8_t *memory;             /* slots, then scratch */
    uint8_t *scratch;            /* [threads, plan.scratch_bytes] */
    tspk_spike_counter *counter; /* [threads, steps] */
    tspk_error *error;           /* [n_slots] first failure of the slot's images */
    size_t *failed;              /* [n_slots] its image, SIZE_MAX: none */
    size_t arena_bytes;
    const tspk_exit_policy *exit; /* NULL: every image takes all steps */
    float exit_threshold;         /* negative: the policy's own */
    size_t exit_elems;
    float *exit_scratch;           /* [n_slots, exit_elems] */
    const tspk_spike_trace *trace; /* NULL; measurements set it */
};

/** Runs one image in a slot; `record` as in tspk_spike_run. */
tspk_status tspk_session_run_image(tspk_session *session, int slot, int threads, const float *image,
                                   float *logits, tspk_step_work *work, tspk_site_record *record,
                                   tspk_error *err);

#endif
