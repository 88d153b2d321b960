/* SPDX-License-Identifier: Apache-2.0 */
/* Neurons of one class at one step, as tables over channels: the same arithmetic as the runtime's
 * (docs/spikefile.md, "Neuron"), on activations that calibration holds. */
#ifndef TSPK_CALIB_NEURON_BANK_H
#define TSPK_CALIB_NEURON_BANK_H

#include "calib/ladder_fit.h"
#include "core/spikegraph.h"

typedef struct tspk_neuron_bank {
    uint32_t channels;
    uint32_t n_positive, n_negative;            /* most levels of any channel */
    float *positive_threshold, *positive_level; /* [n_positive, channels], padded with +inf */
    float *negative_threshold, *negative_level; /* [n_negative, channels], padded with -inf */
    float *step, *reciprocal;                   /* [channels] */
    float *memory;                              /* owns all of the above */
} tspk_neuron_bank;

/** Real-valued levels scale[c] * ladder, before units are known. @errors NOMEM */
tspk_status tspk_neuron_bank_real(tspk_neuron_bank *bank, uint32_t channels,
                                  const tspk_ladder_values *ladder, const double *scale,
                                  tspk_fire_rule rule, tspk_error *err);

/** Integer levels of class `row_class` of a site at a step (0-based). @errors NOMEM */
tspk_status tspk_neuron_bank_integer(tspk_neuron_bank *bank, const tspk_site *site,
                                     const tspk_site_params *params, uint32_t step,
                                     uint32_t row_class, tspk_error *err);
void tspk_neuron_bank_done(tspk_neuron_bank *bank);

/** One neuron a channel: x and o are [channels]; o is advanced by what fires. t is 1-based and
 * counts in rate coding only. */
void tspk_neuron_bank_fire_row(const tspk_neuron_bank *bank, tspk_coding coding, uint32_t t,
                               const float *x, float *o);

/** n neurons of one channel. */
void tspk_neuron_bank_fire_channel(const tspk_neuron_bank *bank, tspk_coding coding, uint32_t t,
                                   uint32_t channel, const float *x, float *o, size_t n);

#endif
