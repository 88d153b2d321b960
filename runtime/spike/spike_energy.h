/* SPDX-License-Identifier: Apache-2.0 */
/* Energy of a step from its counters, design section 7. */
#ifndef TSPK_RUNTIME_SPIKE_ENERGY_H
#define TSPK_RUNTIME_SPIKE_ENERGY_H

#include "runtime/spike/spike_exec.h"

/**
 * Fills in the work of step t.
 * @param counter   of this step alone, summed over workers
 * @param total     sums of the steps before; updated
 * @param policy_macs multiply-accumulates of a policy net up to and with this step
 * @param work_out  spikes and neurons of the step, energies up to it
 */
void tspk_step_energy(const tspk_spike_plan *plan, uint32_t t, const tspk_spike_counter *counter,
                      tspk_spike_counter *total, double policy_macs, tspk_step_work *work_out);

#endif
