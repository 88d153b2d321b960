/* SPDX-License-Identifier: Apache-2.0 */
/* What the diagnosis of single sites derives from a spike graph and its source network, once for
 * all images: thresholds, weights as real numbers, and which values still have readers. */
#ifndef TSPK_VALIDATE_LAYER_PLAN_H
#define TSPK_VALIDATE_LAYER_PLAN_H

#include "calib/neuron_bank.h"
#include "core/spikegraph.h"
#include "transpike/model.h"

typedef struct tspk_layer_plan {
    const tspk_spikegraph *spikes; /* borrowed */
    const tspk_point *point;
    tspk_graph *graph; /* owned: the source network; nodes have the ids of the spike graph's */
    uint32_t steps;
    bool has_outputs;       /* divergences at the output are wanted */
    tspk_neuron_bank *bank; /* [n_sites, steps, n_classes] */
    float **weight;         /* [n_linears] -> [n_out, channels] what the integers stand for */
    float **row_scale;      /* [n_linears] -> [n_out] factor on the source's rows that balances a
                               query with its key; NULL: 1 */
    uint8_t **is_computed;  /* [n_sites] -> [rows] */
    uint32_t *linear_of, *attention_of; /* [n_nodes] record, or UINT32_MAX */
    uint32_t *last_use;                 /* [n_values] last node that reads it; n_nodes: an output */
    bool *is_static;                    /* [n_values] depends on no site */
    size_t scratch_bytes;               /* of any node's evaluation */
    tspk_arena *arena;                  /* owns the arrays */
} tspk_layer_plan;

/**
 * @param plan  zeroed by the caller; tspk_layer_plan_done() frees it, after a failure too
 * @errors MISMATCH (the source network has other nodes than the spike graph), NOMEM
 */
tspk_status tspk_layer_plan_init(const tspk_spikegraph *spikes, const tspk_model *model,
                                 uint32_t steps, tspk_layer_plan *plan, tspk_error *err);
void tspk_layer_plan_done(tspk_layer_plan *plan);

static inline const tspk_neuron_bank *tspk_layer_bank(const tspk_layer_plan *plan, uint32_t site,
                                                      uint32_t t, uint32_t row_class)
{
    return &plan->bank[((size_t)site * plan->steps + t - 1) * plan->spikes->n_classes + row_class];
}

#endif
