/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of a step from its counters, design section 7. */
#ifndef TSPK_RUNTIME_SPIKE_ENERGY_H
#define TSPK_RUNTIME_SPIKE_ENERGY_H

#include "runtime/spike/spike_exec.h"

/* What the steps of an image have cost so far; zeroed before step 1. */
typedef struct tspk_energy_sum {
    tspk_spike_counter counter;
    double spaces; /* of rows of tokens, at the steps at which they were computed [pJ] */
    double tokens;
} tspk_energy_sum;

/**
 * Fills in the work of step t, the last of run's pass.
 * @param counter   of this step alone, summed over workers
 * @param total     sums of the steps before; updated
 * @param policy_macs multiply-accumulates of a policy net up to and with this step
 * @param work_out  spikes and neurons of the step, energies up to it
 */
void tspk_step_energy(const tspk_spike_run *run, uint32_t t, const tspk_spike_counter *counter,
                      tspk_energy_sum *total, double policy_macs, tspk_step_work *work_out);

#endif
