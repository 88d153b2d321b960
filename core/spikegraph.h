/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The spike graph: what calibration makes, `spikefile/` stores and `runtime/spike/` executes.
 *
 * It holds the graph that is evaluated at every timestep on decoded values, and beside it
 *   - sites: neuron layers, one before every spike-driven operand;
 *   - linears: Linear nodes whose weights are touched by spikes only (a Linear node without a
 * record here, such as the patch embedding, is analog and keeps float weights as graph constants; a
 *     Linear with a record has one input, x, and neither weight nor bias inputs);
 *   - attentions: Attention nodes, each with a query, key, numerator and value site;
 *   - operating points: ladders, gains, priors and biases; weights and units are shared by all.
 * The arithmetic, bit for bit, is in docs/spikefile.md; design notes in docs/architecture.md.
 */
#ifndef TSPK_CORE_SPIKEGRAPH_H
#define TSPK_CORE_SPIKEGRAPH_H

#include "core/exit_policy.h"
#include "core/graph.h"
#include "core/merge_tokens.h"

typedef enum tspk_coding {
    TSPK_CODING_DIFFERENTIAL = 0, /* potential x_t - o_{t-1} */
    TSPK_CODING_RATE = 1          /* potential t x_t - Σ spikes (ECMT) */
} tspk_coding;

typedef enum tspk_site_kind {
    TSPK_SITE_LINEAR = 0, /* input of one or more Linear nodes */
    TSPK_SITE_QUERY = 1,
    TSPK_SITE_KEY = 2,
    TSPK_SITE_VALUE = 3,
    TSPK_SITE_NUMERATOR = 4 /* exp(logit - maximum), or the softmax quotient */
} tspk_site_kind;
#define TSPK_SITE_KINDS 5

typedef enum tspk_ladder_kind {
    TSPK_LADDER_POW2 = 0,
    TSPK_LADDER_GEOMETRIC = 1,
    TSPK_LADDER_UNIFORM = 2,
    TSPK_LADDER_FITTED = 3,
    TSPK_LADDER_SIGNED = 4
} tspk_ladder_kind;

typedef enum tspk_fire_rule {
    TSPK_FIRE_NEAREST = 0, /* the level nearest to the potential */
    TSPK_FIRE_ECMT = 1     /* the largest level ≤ potential + half the smallest */
} tspk_fire_rule;

/* How an int8 code names an integer level. */
typedef enum tspk_code_form {
    TSPK_CODE_LEVEL = 0,   /* code = level, |level| ≤ 127 */
    TSPK_CODE_EXPONENT = 1 /* code = ±(e + 1) stands for ±2^e, e = 0 … 7 */
} tspk_code_form;

/* Levels before gains: ascending, without zero, 2n at most in all. Channel c's integer levels are
 * rint(gain[c] * value[i]), zeros and duplicates left out, clipped to ±127 (exponent form: ±128).
 */
typedef struct tspk_ladder {
    tspk_ladder_kind kind;
    uint32_t n_values;
    float *value; /* [n_values], multiples of unit * scale / gain [.] */
} tspk_ladder;

/* A site at one step of one operating point. Arrays over classes are class-major. */
typedef struct tspk_site_step {
    float scale[TSPK_MAX_TOKEN_CLASSES];     /* ρ per token class [.]; at a product site
                                                κ_class * 2^-shift, exactly representable */
    int32_t shift;                           /* product sites: k_t; linear: 0 */
    float dead_zone[TSPK_MAX_TOKEN_CLASSES]; /* δ ≥ 0: the first level of each sign has its
                                                threshold near (1 + δ)/2 of itself */
    tspk_ladder ladder[TSPK_MAX_TOKEN_CLASSES];
    float *gain;   /* [n_classes, channels] [.]; 0: the channel never fires in that class */
    float *offset; /* [n_classes, channels] query, key, value: o_0 - mean error [activation units];
                      NULL: zeros; linear sites: NULL, folded into the biases */
} tspk_site_step;

typedef struct tspk_site_params {
    tspk_fire_rule fire_rule;
    tspk_code_form code_form;
    float *prior;         /* [n_classes, channels] o_0 [activation units]; NULL: zeros */
    tspk_site_step *step; /* [steps of the point] */
} tspk_site_params;

typedef struct tspk_site {
    const char *name; /* "blocks.0.attn.qkv.input", "blocks.0.attn.query" … */
    tspk_site_kind kind;
    tspk_value_id input; /* value that carries x_t; numerators: the logits live inside `node`,
                            TSPK_ID_NONE */
    tspk_node_id node;   /* product sites: their Attention node; linear: TSPK_ID_NONE */
    uint32_t rows; /* tokens: elements of the input before its last axis; numerators: queries */
    const uint32_t *source_row; /* [rows] which row of the unreduced network each is, ascending;
                                   NULL: no rows were left out */
    uint32_t source_rows;       /* rows in the unreduced network, > rows; 0 without source_row */
    uint32_t channels;          /* last axis of the input; numerators: heads */
    uint32_t keys;              /* numerators: keys; else 0 */
    bool is_head;               /* feeds the classifier alone: counted in full energy only */
    const uint8_t *row_class;   /* [rows] token class, < n_classes; 0 = patches */
    float *unit;     /* [channels] υ [activation units]; equal within a head at query and key */
    uint32_t *order; /* linear: [n_groups * group_size] channel at each sorted position,
                        UINT32_MAX = padding; else NULL */
    uint32_t group_size, n_groups; /* linear; else 0 */
} tspk_site;

/* A site that was kept from spiking: its Linears have float weights, or its Attention, which has no
 * record, is computed in float as a whole. It says what stands where the neurons would; nothing of
 * it is executed. */
typedef struct tspk_analog_site {
    const char *name;
    tspk_site_kind kind;
    tspk_value_id input; /* as in tspk_site */
    tspk_node_id node;
    uint32_t rows, channels, keys;
} tspk_analog_site;

/* A spike-driven Linear. weight[o, p] * scale[g, o] ≈ W[o, c] υ[c] with c = order[p], g = p /
 * group. */
typedef struct tspk_spike_linear {
    tspk_node_id node;
    uint32_t site;
    uint32_t n_out;
    uint32_t weight_bits; /* 8: int8; 16: int16 */
    void *weight;         /* [n_out, n_groups * group_size], padding 0, |w| ≤ 127 or 32767 */
    float *scale;         /* [n_groups, n_out] */
} tspk_spike_linear;

typedef struct tspk_spike_attention {
    tspk_node_id node;
    uint32_t query, key, value, numerator; /* sites */
    bool is_quotient;  /* the numerator site stands on exp(l - m) / S instead of exp(l - m) */
    bool is_max_fixed; /* m is taken at step 1 and moves only when the row's maximum exceeds it by
                          more than ln 4; else m is the row's maximum at every step */
} tspk_spike_attention;

typedef struct tspk_point {
    const char *name; /* "exact" */
    tspk_coding coding;
    uint32_t n_steps;
    uint32_t n_levels;      /* n of 2n thresholds as asked for */
    tspk_site_params *site; /* [n_sites] */
    float **bias; /* [n_linears] -> [n_steps, n_classes, n_out]: b + W (o_0 - mean error) */
    uint32_t n_exits;
    tspk_exit_policy *exit;   /* [n_exits] one a kind */
    tspk_exit_kind exit_kind; /* the one that is taken unless another is asked for */
    tspk_merging merging; /* tokens that merge: core/point_graph.h; n_attentions 0: none */
    float refine_share; /* of the patches that are computed from step 2 on, in (0, 1); 0: all */
} tspk_point;

/* Multiply-accumulates of one image in the source network, before anything was left out. */
typedef struct tspk_ann_cost {
    uint64_t linear;  /* the blocks' weight products */
    uint64_t product; /* the products of two activations */
    uint64_t stem;    /* weight products of the image itself */
    uint64_t head;    /* weight products that feed the output alone */
} tspk_ann_cost;

/* Image preprocessing: resize the short side, crop the centre, normalise. */
typedef struct tspk_preprocess {
    uint32_t resize;      /* [pixels], 0: no resize */
    uint32_t crop_height; /* [pixels], 0: no crop */
    uint32_t crop_width;
    uint32_t interpolation; /* 0 nearest, 1 bilinear, 2 bicubic */
    uint32_t channels;      /* 1 grey, 3 RGB */
    float mean[4], std[4];  /* per channel, pixels in [0, 1] */
} tspk_preprocess;

typedef struct tspk_provenance {
    const char *tool;                /* "transpike 0.1.0" */
    const char *settings;            /* JSON text of the settings of `convert` */
    uint64_t seed;                   /* of the shuffle of the calibration data */
    uint32_t n_calibration;          /* images */
    uint8_t (*calibration_hash)[32]; /* [n_calibration] SHA-256 of each image's content */
} tspk_provenance;

typedef struct tspk_spikegraph {
    tspk_arena *arena;  /* owns everything below but `graph` */
    tspk_graph *graph;  /* owned, swept, batch 1, one input; spike-driven Linears have one input */
    uint32_t n_classes; /* token classes, 1 … TSPK_MAX_TOKEN_CLASSES; 0 = patches */
    uint32_t n_sites, n_analog_sites, n_linears, n_attentions, n_points;
    tspk_site *site;               /* in order of evaluation */
    tspk_analog_site *analog_site; /* in order of evaluation */
    tspk_spike_linear *linear;
    tspk_spike_attention *attention;
    tspk_point *point; /* point[0] is "exact" */
    tspk_ann_cost ann_cost;
    tspk_preprocess preprocess;
    uint32_t n_class_names;
    const char **class_name; /* [n_class_names] */
    tspk_provenance provenance;
    const struct tspk_spikegraph *whole; /* of which tokens were merged here, core/point_graph.h;
                                            NULL: none were */
} tspk_spikegraph;

/** An empty spike graph that takes ownership of `graph` (on success only). */
tspk_status tspk_spikegraph_new(tspk_graph *graph, tspk_spikegraph **out, tspk_error *err);
void tspk_spikegraph_free(tspk_spikegraph *spikes);

/**
 * Checks what an executor relies on beyond tspk_graph_verify(), which comes first: batch 1 and one
 * input; ids, shapes and classes of sites, linears and attentions against their nodes; source rows
 * rising and within their number; sites in order of evaluation, each used; ladders ascending and
 * finite, units and scales positive and finite, shifts within 0 … 40, dead zones within 0 … 4; at
 * product sites scale = κ * 2^-shift with one κ a class over all steps (1 at value sites), no
 * offset or prior at numerators; weights within their bounds and 0 at padding; int32 accumulation
 * (127 Σ|w| per row and group; 127² * inner at products; 128 with exponent codes); one record a
 * node, and one for every Linear with one input; analog sites against the nodes that they stand at;
 * exit policies one a kind, temperatures positive, thresholds and weights of the net finite; tokens
 * that can merge as each operating point says.
 * Names the site or node that breaks a rule.
 * @errors FORMAT, SHAPE, RANGE, LIMIT, UNSUPPORTED, NOMEM
 */
tspk_status tspk_spikegraph_verify(const tspk_spikegraph *spikes, tspk_error *err);

/** Index of an operating point. @errors UNSUPPORTED: none of that name; names those there are */
tspk_status tspk_find_point(const tspk_spikegraph *spikes, const char *name, uint32_t *index_out,
                            tspk_error *err);

/** The point's policy of a kind; NULL: none. */
const tspk_exit_policy *tspk_find_exit(const tspk_point *point, tspk_exit_kind kind);

/** Rows of the site in the unreduced network. */
static inline uint32_t tspk_site_source_rows(const tspk_site *site)
{
    return site->source_row ? site->source_rows : site->rows;
}

/** Spikes of the neuron (row, *) of `site` touch this many synapses: outputs of the Linears that
 * read the row; keys, queries or head channels on the other side at a product. Design section 7. */
uint32_t tspk_site_fan_out(const tspk_spikegraph *spikes, uint32_t site, uint32_t row);

/** The analog site whose Linear or Attention the node is; NULL: of none. At an Attention the
 * query's. */
const tspk_analog_site *tspk_find_analog_site(const tspk_spikegraph *spikes, tspk_node_id node);

/** What the fan-out of the analog site's neurons would be. */
uint32_t tspk_analog_site_fan_out(const tspk_spikegraph *spikes, const tspk_analog_site *site);

/* --- neuron parameters derived from a point, as docs/spikefile.md section "Neuron" defines them
 * --- */

/** Thresholds and levels of one channel in one class at one step. */
typedef struct tspk_channel_levels {
    float step;       /* fl(unit * scale) [activation units] */
    float reciprocal; /* fl(1 / step), 0 for a channel that never fires [1 / activation units] */
    uint32_t n_positive, n_negative; /* what stands behind so many levels is undefined */
    /* by rising magnitude; a potential p fires level i when p > positive_threshold[i] (or
     * p < negative_threshold[i]); the last one passed wins */
    int16_t positive[2 * TSPK_MAX_LEVELS], negative[2 * TSPK_MAX_LEVELS];
    float positive_threshold[2 * TSPK_MAX_LEVELS], negative_threshold[2 * TSPK_MAX_LEVELS];
} tspk_channel_levels;

/** Derives the levels; the one place where ladders and gains become integers. */
void tspk_derive_channel_levels(float unit, float gain, const tspk_site_params *params,
                                uint32_t step, uint32_t row_class, tspk_channel_levels *levels_out);

const char *tspk_site_kind_name(tspk_site_kind kind);     /* "linear", "query" … */
const char *tspk_ladder_kind_name(tspk_ladder_kind kind); /* "pow2" … */

#endif
