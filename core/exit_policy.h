/* SPDX-License-Identifier: Apache-2.0 */
/*
 * When an image stops: the policies of an operating point. docs/spikefile.md, "Exit", defines them
 * bit for bit; docs/adaptive.md says where they come from.
 */
#ifndef TSPK_CORE_EXIT_POLICY_H
#define TSPK_CORE_EXIT_POLICY_H

#include <stdint.h>

typedef enum tspk_exit_kind {
    TSPK_EXIT_NONE = 0,       /* every image takes all steps */
    TSPK_EXIT_CONFIDENCE = 1, /* p of the most probable class */
    TSPK_EXIT_ENTROPY = 2,    /* 1 - entropy / log(classes) */
    TSPK_EXIT_MARGIN = 3,     /* p of the most probable class - p of the second */
    TSPK_EXIT_NET = 4         /* a net picks the number of steps from the logits of step 1 */
} tspk_exit_kind;
#define TSPK_EXIT_KINDS 5

/* A perceptron of one hidden layer: log p of the most probable classes, falling, to one output a
 * number of steps. */
typedef struct tspk_exit_net {
    uint32_t n_in, n_hidden;
    float *weight_in;  /* [n_hidden, n_in] [1 / nat] */
    float *bias_in;    /* [n_hidden] */
    float *weight_out; /* [steps of the point, n_hidden] */
    float *bias_out;   /* [steps of the point] */
} tspk_exit_net;

typedef struct tspk_exit_policy {
    tspk_exit_kind kind; /* not NONE */
    /* After step t an image stops where its score reaches threshold[t - 1]; after the last step it
     * stops anyway. [steps of the point - 1]; NET: [1] */
    float *temperature; /* > 0: p = softmax(logits / temperature) [.] */
    float *threshold;   /* 0 … 1, or beyond: never [.] */
    tspk_exit_net net;  /* zeros but for NET */
} tspk_exit_policy;

/** "none", "confidence" … */
const char *tspk_exit_kind_name(tspk_exit_kind kind);

/** Steps after which a policy of this kind decides, of a point with n_steps steps. */
static inline uint32_t tspk_exit_decisions(tspk_exit_kind kind, uint32_t n_steps)
{
    return kind == TSPK_EXIT_NET && n_steps > 1 ? 1 : n_steps - 1;
}

#endif
