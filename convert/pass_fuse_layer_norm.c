/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decomposed normalisations over the last axes become LayerNorm or RmsNorm.
 *
 *   x ─┬▶ Mean ─▶ Sub ─┬──────────────────────────▶ Div ─▶ Mul w ─▶ Add b  →  x ─▶ LayerNorm
 *      └──────────▶┘   └▶ Square ─▶ Mean ─▶ Add e ─▶ Sqrt ─▶┘
 *
 * Any order of operands; squares as Pow 2 or Mul(d, d); the variance as a mean of squares, a mean
 * of squares less the squared mean, or a sum of squares times a constant; the root as Sqrt, Pow
 * 0.5, or its inverse as Pow -0.5, Reciprocal or 1 / Sqrt; w and b optional. A variance that is f
 * times the mean of squares (unbiased: N / (N - 1)) gives LayerNorm with eps / f and w / root(f).
 * An eps outside the root is left alone, and so is a norm that divides x itself by its deviation.
 *
 * Exact but for rounding: ≤ 2e-6 of the largest output.
 */
#include <math.h>

#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

/* What was found behind a normalised value. */
typedef struct norm {
    tspk_value_id x;
    int64_t axis;    /* first normalised axis */
    bool is_centred; /* LayerNorm; else RmsNorm */
    double epsilon;
    double factor; /* the variance is this times the mean of squares */
    double gain;   /* scalars applied on the way */
} norm;

/* `id` = mean of some value over its last axes; the axes are dropped or kept. */
static bool match_mean(const tspk_graph *graph, tspk_value_id id, tspk_value_id *of, int64_t *axis,
                       double *factor)
{
    const tspk_node *node = tspk_producer(graph, id);
    tspk_value_id x;
    double scalar = 1.0, more;

    while (node && tspk_match_factor(graph, node, &x, &more)) {
        scalar *= more;
        node = tspk_producer(graph, x);
    }
    if (!node || (node->op != TSPK_OP_REDUCE_MEAN && node->op != TSPK_OP_REDUCE_SUM) ||
        node->attr.n_axes == 0)
        return false;
    const tspk_shape *shape = &graph->value[node->in[0]].shape;
    const int n_axes = node->attr.n_axes;
    double width = 1.0;

    if (graph->value[node->out[0]].shape.rank != shape->rank)
        return false;
    for (int i = 0; i < n_axes; i++) {
        if (node->attr.axes[i] != shape->rank - n_axes + i)
            return false;
        width *= (double)shape->dim[node->attr.axes[i]];
    }
    *of = node->in[0];
    *axis = shape->rank - n_axes;
    *factor = node->op == TSPK_OP_REDUCE_SUM ? scalar * width : scalar;
    return true;
}

/* `id` = x - mean(x), with x's mean taken over the last axes. */
static bool match_centred(const tspk_graph *graph, tspk_value_id id, tspk_value_id *x,
                          int64_t *axis)
{
    const tspk_node *node = tspk_producer_is(graph, id, TSPK_OP_SUB);
    tspk_value_id of;
    double factor;

    if (!node || !match_mean(graph, node->in[1], &of, axis, &factor) || of != node->in[0] ||
        !tspk_is_near(factor, 1.0))
        return false;
    *x = of;
    return true;
}

/* `id` = d * d or d ^ 2. */
static bool match_square(const tspk_graph *graph, tspk_value_id id, tspk_value_id *d)
{
    const tspk_node *node = tspk_producer(graph, id);
    double exponent;

    if (!node)
        return false;
    *d = node->in[0];
    if (node->op == TSPK_OP_MUL)
        return node->in[0] == node->in[1];
    return node->op == TSPK_OP_POW && tspk_is_uniform(graph, node->in[1], &exponent) &&
           exponent == 2.0;
}

/* `id` = factor times the mean of the squares of x, centred or not. */
static bool match_variance(const tspk_graph *graph, tspk_value_id id, norm *found)
{
    const tspk_node *node = tspk_producer_is(graph, id, TSPK_OP_SUB);
    tspk_value_id squares, d, mean, of;
    int64_t axis;
    double factor;

    if (match_mean(graph, id, &squares, &found->axis, &found->factor) &&
        match_square(graph, squares, &d)) {
        found->is_centred = match_centred(graph, d, &found->x, &axis);
        if (!found->is_centred)
            found->x = d;
        return !found->is_centred || axis == found->axis;
    }
    /* E[x^2] - E[x]^2 */
    if (!node || !match_mean(graph, node->in[0], &squares, &found->axis, &found->factor) ||
        !tspk_is_near(found->factor, 1.0) || !match_square(graph, squares, &found->x) ||
        !match_square(graph, node->in[1], &mean) || !match_mean(graph, mean, &of, &axis, &factor) ||
        !tspk_is_near(factor, 1.0))
        return false;
    found->is_centred = true;
    return of == found->x && axis == found->axis;
}

/* `id` = the root of variance + epsilon. */
static bool match_sum_root(const tspk_graph *graph, tspk_value_id id, norm *found)
{
    const tspk_node *sum = tspk_producer_is(graph, id, TSPK_OP_ADD);
    tspk_value_id variance = id;

    found->epsilon = 0.0;
    if (sum && !tspk_match_scalar(graph, sum, &variance, &found->epsilon))
        return false;
    return found->epsilon >= 0.0 && match_variance(graph, variance, found);
}

/* `id` = root of (variance + epsilon), or with `is_inverse` one over it. */
static bool match_root(const tspk_graph *graph, tspk_value_id id, bool is_inverse, norm *found)
{
    const tspk_node *node = tspk_producer(graph, id);
    double scalar;

    if (!node)
        return false;
    switch (node->op) {
    case TSPK_OP_SQRT:
        return !is_inverse && match_sum_root(graph, node->in[0], found);
    case TSPK_OP_POW:
        return tspk_is_uniform(graph, node->in[1], &scalar) &&
               scalar == (is_inverse ? -0.5 : 0.5) && match_sum_root(graph, node->in[0], found);
    case TSPK_OP_RECIPROCAL:
        return is_inverse && match_root(graph, node->in[0], false, found);
    case TSPK_OP_DIV:
        if (!is_inverse || !tspk_is_uniform(graph, node->in[0], &scalar) || scalar == 0.0)
            return false;
        found->gain *= scalar;
        return match_root(graph, node->in[1], false, found);
    default:
        return false;
    }
}

/* Whether `id` is what the deviation was taken of: x itself, or x - mean(x). */
static bool is_numerator(const tspk_graph *graph, tspk_value_id id, const norm *found)
{
    tspk_value_id x;
    int64_t axis;

    if (!found->is_centred)
        return id == found->x;
    return match_centred(graph, id, &x, &axis) && x == found->x && axis == found->axis;
}

static bool match_norm(const tspk_graph *graph, const tspk_node *node, norm *found)
{
    if (node->op == TSPK_OP_DIV) {
        *found = (norm){.gain = 1.0};
        return match_root(graph, node->in[1], false, found) &&
               is_numerator(graph, node->in[0], found);
    }
    for (int i = 0; node->op == TSPK_OP_MUL && i < 2; i++) {
        *found = (norm){.gain = 1.0};
        if (match_root(graph, node->in[i], true, found) &&
            is_numerator(graph, node->in[1 - i], found))
            return true;
    }
    return false;
}

/* --- affine part --- */

/* A constant that is the same for every row: as many elements as the normalised axes, or one. */
static bool is_per_channel(const tspk_graph *graph, tspk_value_id id, const tspk_shape *shape,
                           int64_t axis)
{
    const tspk_value *value = &graph->value[id];
    size_t width = 1;

    if (!value->data || value->dtype != TSPK_DTYPE_F32 || value->shape.rank > shape->rank)
        return false;
    for (int i = (int)axis; i < shape->rank; i++)
        width *= (size_t)shape->dim[i];
    if (tspk_shape_elems(&value->shape) == 1)
        return true;
    if (tspk_shape_elems(&value->shape) != width)
        return false;
    for (int i = 1; i <= value->shape.rank && i <= shape->rank - axis; i++)
        if (value->shape.dim[value->shape.rank - i] != shape->dim[shape->rank - i])
            return false;
    return true;
}

/* The constant times `factor`, spread over the normalised axes; NONE for `id` gives `factor`. */
static tspk_status emit_affine(tspk_graph *graph, tspk_value_id id, double factor,
                               const tspk_shape *shape, int64_t axis, tspk_value_id *out,
                               tspk_error *err)
{
    tspk_shape part = {0};
    float *data;

    for (int i = (int)axis; i < shape->rank; i++)
        part.dim[part.rank++] = shape->dim[i];
    const size_t width = tspk_shape_elems(&part);

    if (id != TSPK_ID_NONE && factor == 1.0 && tspk_shape_equal(&graph->value[id].shape, &part)) {
        *out = id;
        return TSPK_OK;
    }
    TSPK_TRY(tspk_new_floats(graph, id == TSPK_ID_NONE ? "" : graph->value[id].name, &part, out,
                             &data, err));
    const float *from = id == TSPK_ID_NONE ? NULL : graph->value[id].data;
    const bool is_single = id == TSPK_ID_NONE || tspk_shape_elems(&graph->value[id].shape) == 1;

    for (size_t i = 0; i < width; i++)
        data[i] = (float)(from ? (double)from[is_single ? 0 : i] * factor : factor);
    return TSPK_OK;
}

/* The node that alone reads `id` and combines it with a constant a channel by `op`. */
static tspk_node_id affine_user(const tspk_graph *graph, const tspk_uses *uses, tspk_value_id id,
                                tspk_op op, int64_t axis, tspk_value_id *constant)
{
    const tspk_node_id user = tspk_only_user(graph, uses, id);

    if (user == TSPK_ID_NONE || graph->node[user].op != op)
        return TSPK_ID_NONE;
    *constant = tspk_other_operand(&graph->node[user], id);
    if (*constant == TSPK_ID_NONE ||
        !is_per_channel(graph, *constant, &graph->value[id].shape, axis) ||
        !tspk_shape_equal(&graph->value[id].shape, &graph->value[graph->node[user].out[0]].shape))
        return TSPK_ID_NONE;
    return user;
}

static tspk_status fuse(tspk_graph *graph, tspk_node_id id, const tspk_uses *uses, bool *is_fused,
                        tspk_error *err)
{
    tspk_value_id weight = TSPK_ID_NONE, bias = TSPK_ID_NONE, in[3] = {0};
    tspk_node_id last = id, next;
    norm found;

    *is_fused =
        match_norm(graph, &graph->node[id], &found) && found.factor > 0.0 &&
        tspk_shape_equal(&graph->value[found.x].shape, &graph->value[graph->node[id].out[0]].shape);
    if (!*is_fused)
        return TSPK_OK;
    const tspk_shape shape = graph->value[found.x].shape;
    const double gain = found.gain / sqrt(found.factor);
    const tspk_attr attr = {.axis = found.axis, .epsilon = (float)(found.epsilon / found.factor)};
    uint32_t n_in = 1;

    next = affine_user(graph, uses, graph->node[id].out[0], TSPK_OP_MUL, found.axis, &weight);
    if (next != TSPK_ID_NONE)
        last = next;
    else
        weight = TSPK_ID_NONE;
    if (found.is_centred) {
        next = affine_user(graph, uses, graph->node[last].out[0], TSPK_OP_ADD, found.axis, &bias);
        if (next != TSPK_ID_NONE)
            last = next;
        else
            bias = TSPK_ID_NONE;
    }
    in[0] = found.x;
    in[1] = in[2] = TSPK_ID_NONE;
    if (weight != TSPK_ID_NONE || fabs(gain - 1.0) > 1e-7) {
        TSPK_TRY(emit_affine(graph, weight, fabs(gain - 1.0) > 1e-7 ? gain : 1.0, &shape,
                             found.axis, &in[1], err));
        n_in = 2;
    }
    if (bias != TSPK_ID_NONE) {
        TSPK_TRY(emit_affine(graph, bias, 1.0, &shape, found.axis, &in[2], err));
        n_in = 3;
    }
    return tspk_rewrite_node(graph, last, found.is_centred ? TSPK_OP_LAYER_NORM : TSPK_OP_RMS_NORM,
                             in, n_in, &attr, err);
}

tspk_status tspk_pass_fuse_layer_norm(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                      tspk_error *err)
{
    tspk_uses uses;

    TSPK_TRY(tspk_uses_find(graph, scratch, &uses, err));
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        bool is_fused;

        if (graph->node[n].is_dead)
            continue;
        TSPK_TRY(fuse(graph, n, &uses, &is_fused, err));
        *changes += is_fused;
    }
    return TSPK_OK;
}
