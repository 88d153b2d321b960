/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One image on its way through the network, site by site, to see what each site does to the output.
 *
 * The graph is walked once. Every live value is held in T + 1 versions: version 0 is the source
 * network's, version t that of step t with every site upstream spiking. At a site the walk stops
 * and evaluates the rest of the network in float, with the source's weights, from two states: with
 * this site alone spiking, on version 0, and with all sites up to this one spiking, on version t. A
 * site that spikes has its neurons, its integer weights and its biases; one that does not is not
 * there.
 */
#ifndef TSPK_VALIDATE_LAYER_WALK_H
#define TSPK_VALIDATE_LAYER_WALK_H

#include "validate/layer_plan.h"

/* What was seen of a site at a step, over the images so far. */
typedef struct tspk_layer_sums {
    double signal, noise;           /* squares of the source's values; of the decoded ones' error */
    double fired, neurons;          /* with everything upstream spiking */
    double kl_alone, kl_cumulative; /* [nats] */
} tspk_layer_sums;

/**
 * @param image  elements of the graph's input; borrowed
 * @param sums   [n_sites, steps] added to
 * @errors NOMEM, UNSUPPORTED (an operator that cannot be evaluated)
 */
tspk_status tspk_layer_walk(const tspk_layer_plan *plan, const float *image, tspk_layer_sums *sums,
                            tspk_error *err);

/* --- shared by the files of the walk --- */

/* Memory that is used again by values of the same size. */
typedef struct tspk_walk_block {
    void *memory;
    size_t bytes;
    bool is_taken;
} tspk_walk_block;

typedef struct tspk_walk {
    const tspk_layer_plan *plan;
    const float *image;
    void **value;   /* [steps + 1, n_values] NULL when not live */
    void **overlay; /* [n_values] what stands before them while the rest is evaluated */
    tspk_walk_block *block;
    size_t n_blocks;
    void *scratch;
    float *logits;         /* [classes] the source network's */
    tspk_layer_sums *sums; /* [n_sites, steps] */
} tspk_walk;

/** NULL when memory is short. */
void *tspk_walk_take(tspk_walk *walk, size_t bytes);
void tspk_walk_give(tspk_walk *walk, void *memory);
tspk_status tspk_walk_no_memory(tspk_error *err);

/** A value as it stands in a version, behind the overlay; NULL when it is not computed. */
void *tspk_walk_find(const tspk_walk *walk, tspk_value_id id, uint32_t version);

/** Memory for an output of the walk. @errors NOMEM */
tspk_status tspk_walk_make(tspk_walk *walk, tspk_value_id id, void **slot, tspk_error *err);

/** Evaluates a node of the source network on `in` [n_in]; NULL: an absent input. */
tspk_status tspk_walk_eval(const tspk_walk *walk, const tspk_node *node, void *const *in,
                           void *const *out, tspk_error *err);

/**
 * Evaluates what is not computed yet from node `first` on, in float, behind the overlay, and
 * empties the overlay; nothing but the latter where the plan does not want it. @param kl_out added to: KL(source ‖ this)
 */
tspk_status tspk_walk_rest(tspk_walk *walk, tspk_node_id first, uint32_t version, double *kl_out,
                           tspk_error *err);

static inline tspk_layer_sums *tspk_walk_sums(const tspk_walk *walk, uint32_t site, uint32_t t)
{
    return &walk->sums[(size_t)site * walk->plan->steps + t - 1];
}

/** layer_linear.c: a linear site and the outputs of its Linears in every version. */
tspk_status tspk_walk_linear(tspk_walk *walk, uint32_t site, tspk_error *err);

/** layer_attention.c: the four sites of an Attention and its output in every version. */
tspk_status tspk_walk_attention(tspk_walk *walk, uint32_t attention, tspk_error *err);

/* --- layer_linear.c: neurons of a site on a value --- */

/** State before step 1: the prior in every row. NULL when memory is short. */
float *tspk_walk_start(tspk_walk *walk, uint32_t site);

/** Fires step t on x [rows, channels] and advances the state; counts when `is_counted`.
 * @errors NOMEM */
tspk_status tspk_walk_fire(tspk_walk *walk, uint32_t site, uint32_t t, const float *x, float *state,
                           bool is_counted, tspk_error *err);

/** What the spikes up to step t decode to, without the prior: [rows, channels]. */
void tspk_walk_decode(const tspk_walk *walk, uint32_t site, uint32_t t, const float *state,
                      float *spikes_out);

/** Adds a constant a class and channel, or takes it away with sign −1; NULL: nothing. */
void tspk_walk_add(const tspk_walk *walk, uint32_t site, float sign, const float *constant,
                   float *x);

/** Adds signal and noise of a decoded value. @param source, decoded [rows, channels] */
void tspk_walk_measure(const tspk_walk *walk, uint32_t site, uint32_t t, const float *source,
                       const float *decoded);

#endif
