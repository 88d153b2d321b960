/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Softmax between two products of activations becomes Attention on packed operands.
 *
 *   x ─▶ Linear ─▶ (moves) ─▶ q ─┐
 *   x ─▶ Linear ─▶ (moves) ─▶ kᵀ ┴▶ MatMul ─▶ · scale + bias ─▶ Softmax ─┐
 *   x ─▶ Linear ─▶ (moves) ─▶ v ─────────────────────────────────────────┴▶ MatMul ─▶ (moves) ─▶ y
 *                                            ↓
 *   x ─┬▶ Linear ─▶ q ┐
 *      ├▶ Linear ─▶ k ┼▶ Attention(heads, scale, bias) ─▶ (moves) ─▶ y
 *      └▶ Linear ─▶ v ┘
 *
 * Scalars on q, on k, after the product, and any mix of them are multiplied up. The movement is
 * traced on positions (trace.h). A constant additive bias is kept unless it is zero; a Where with a
 * constant mask becomes one; a guard against rows that are masked whole (IsNaN, Where) is passed
 * over, since a softmax of finite numbers is never NaN. Attention nodes that the importer made get
 * their operands from the Linears in the same way. One image a run only; windows that attend to
 * themselves stay.
 *
 * Numeric claim: exact but for rounding, ≤ 1e-6 of the largest output.
 */
#include <math.h>
#include <string.h>

#include "convert/packed.h"
#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

#define MAX_BIASES      8
#define MAX_LOGIT_STEPS 32
#define MAX_BIAS_ELEMS  ((size_t)1 << 26)

/* A constant added to the logits, or a mask that replaces them. */
typedef struct bias_term {
    tspk_value_id id;
    double factor;
    bool is_mask; /* id is bool; where it equals is_masked_at the logit becomes `fill` */
    bool is_masked_at;
    double fill;
    tspk_shape shape; /* of the logits there */
} bias_term;

typedef struct attention {
    tspk_value_id q, k, v; /* operands of the products */
    int64_t heads, queries, keys, width, value_width;
    double scale;
    size_t n_biases;
    bias_term bias[MAX_BIASES];
} attention;

static int64_t dim_from_end(const tspk_shape *shape, int i)
{
    return shape->rank >= i ? shape->dim[shape->rank - i] : 1;
}

/* A Reshape that leaves the last two axes alone. */
static bool keeps_matrices(const tspk_graph *graph, const tspk_node *node)
{
    const tspk_shape *from = &graph->value[node->in[0]].shape;
    const tspk_shape *to = &graph->value[node->out[0]].shape;

    return node->op == TSPK_OP_RESHAPE && from->rank >= 2 && to->rank >= 2 &&
           dim_from_end(from, 1) == dim_from_end(to, 1) &&
           dim_from_end(from, 2) == dim_from_end(to, 2);
}

/* Back from the probabilities to the Softmax, over reshapes and the guard against NaN. */
static const tspk_node *find_softmax(const tspk_graph *graph, tspk_value_id id)
{
    for (int i = 0; i < MAX_LOGIT_STEPS; i++) {
        const tspk_node *node = tspk_producer(graph, id);
        const tspk_node *guard;
        double fill;

        if (!node)
            return NULL;
        if (node->op == TSPK_OP_SOFTMAX)
            return node->attr.axis == graph->value[id].shape.rank - 1 ? node : NULL;
        if (keeps_matrices(graph, node)) {
            id = node->in[0];
        } else if (node->op == TSPK_OP_WHERE) {
            guard = tspk_producer_is(graph, node->in[0], TSPK_OP_IS_NAN);
            if (!guard || guard->in[0] != node->in[2] ||
                !tspk_is_uniform(graph, node->in[1], &fill))
                return NULL;
            id = node->in[2];
        } else {
            return NULL;
        }
    }
    return NULL;
}

/* Where(constant mask, logits, very negative constant), either way round. */
static bool match_mask(const tspk_graph *graph, const tspk_node *node, bias_term *term,
                       tspk_value_id *logits)
{
    for (int i = 0; node->op == TSPK_OP_WHERE && i < 2; i++)
        if (graph->value[node->in[0]].data &&
            tspk_is_uniform(graph, node->in[2 - i], &term->fill) && term->fill <= -1e4 &&
            tspk_shape_equal(&graph->value[node->in[1 + i]].shape,
                             &graph->value[node->out[0]].shape)) {
            term->id = node->in[0];
            term->is_mask = true;
            term->is_masked_at = i == 1;
            *logits = node->in[1 + i];
            return true;
        }
    return false;
}

/* ADD or SUB of a constant that keeps the shape of the logits. */
static bool match_bias(const tspk_graph *graph, const tspk_node *node, bias_term *term,
                       tspk_value_id *logits)
{
    for (int i = 0; i < 2; i++) {
        const tspk_value_id constant = node->in[1 - i];

        if ((node->op != TSPK_OP_ADD && (node->op != TSPK_OP_SUB || i != 0)) ||
            !graph->value[constant].data || graph->value[node->in[i]].data ||
            !tspk_shape_equal(&graph->value[node->in[i]].shape, &graph->value[node->out[0]].shape))
            continue;
        term->id = constant;
        term->factor *= node->op == TSPK_OP_SUB ? -1.0 : 1.0;
        *logits = node->in[i];
        return true;
    }
    return false;
}

/* Back from the Softmax to the product of q and k. */
static const tspk_node *find_product(const tspk_graph *graph, tspk_value_id id, attention *found)
{
    for (int i = 0; i < MAX_LOGIT_STEPS; i++) {
        const tspk_node *node = tspk_producer(graph, id);
        bias_term term = {.factor = found->scale, .shape = graph->value[id].shape};
        tspk_value_id x;
        double scalar;

        if (!node || node->op == TSPK_OP_MATMUL)
            return node;
        if (tspk_match_factor(graph, node, &x, &scalar)) {
            found->scale *= scalar;
            id = x;
        } else if (keeps_matrices(graph, node)) {
            id = node->in[0];
        } else if (found->n_biases < MAX_BIASES &&
                   (match_bias(graph, node, &term, &x) || match_mask(graph, node, &term, &x))) {
            found->bias[found->n_biases++] = term;
            id = x;
        } else {
            return NULL;
        }
    }
    return NULL;
}

static int64_t leading(const tspk_shape *shape)
{
    int64_t n = 1;

    for (int i = 0; i + 2 < shape->rank; i++)
        n *= shape->dim[i];
    return n;
}

static bool match(const tspk_graph *graph, const tspk_node *node, attention *found)
{
    const tspk_node *softmax, *product;

    if (node->op != TSPK_OP_MATMUL)
        return false;
    *found = (attention){.scale = 1.0, .v = node->in[1]};
    softmax = find_softmax(graph, node->in[0]);
    product = softmax ? find_product(graph, softmax->in[0], found) : NULL;
    if (!product)
        return false;
    const tspk_shape *q = &graph->value[product->in[0]].shape;
    const tspk_shape *k = &graph->value[product->in[1]].shape;
    const tspk_shape *v = &graph->value[found->v].shape;
    const tspk_shape *o = &graph->value[node->out[0]].shape;

    found->q = product->in[0];
    found->k = product->in[1];
    if (q->rank < 2 || k->rank < 2 || v->rank < 2 || o->rank < 2)
        return false;
    found->heads = leading(o);
    found->queries = dim_from_end(q, 2);
    found->width = dim_from_end(q, 1);
    found->keys = dim_from_end(k, 1);
    found->value_width = dim_from_end(v, 1);
    if (graph->value[found->q].data && graph->value[found->k].data)
        return false;
    return found->heads >= 1 && found->queries >= 1 && found->keys >= 1 && found->width >= 1 &&
           found->value_width >= 1 && dim_from_end(v, 2) == found->keys &&
           dim_from_end(o, 2) == found->queries &&
           (leading(q) == found->heads || leading(q) == 1) &&
           (leading(k) == found->heads || leading(k) == 1) &&
           (leading(v) == found->heads || leading(v) == 1) &&
           leading(&graph->value[product->out[0]].shape) == found->heads;
}

/* --- bias --- */

/* Element of a broadcast constant at flat position i of a tensor of this shape. */
static size_t broadcast_index(const tspk_shape *shape, const tspk_shape *constant, size_t i)
{
    size_t index = 0, stride = 1;

    for (int a = 1; a <= shape->rank; a++) {
        const size_t at = i % (size_t)shape->dim[shape->rank - a];

        i /= (size_t)shape->dim[shape->rank - a];
        if (a <= constant->rank && constant->dim[constant->rank - a] != 1)
            index += at * stride;
        stride *= a <= constant->rank ? (size_t)constant->dim[constant->rank - a] : 1;
    }
    return index;
}

static void add_term(const tspk_graph *graph, const bias_term *term, float *sum, size_t n)
{
    const tspk_value *value = &graph->value[term->id];

    for (size_t i = 0; i < n; i++) {
        const size_t at = broadcast_index(&term->shape, &value->shape, i);

        if (!term->is_mask)
            sum[i] =
                (float)((double)sum[i] + (double)((const float *)value->data)[at] * term->factor);
        else if ((((const uint8_t *)value->data)[at] != 0) == term->is_masked_at)
            sum[i] = (float)(term->fill * term->factor);
    }
}

/* Whether all `n` blocks of `block` floats equal the first. */
static bool are_blocks_equal(const float *x, size_t n, size_t block)
{
    for (size_t i = 1; i < n; i++)
        if (memcmp(x, x + i * block, block * sizeof *x) != 0)
            return false;
    return true;
}

/* The sum of all biases as [heads or 1, queries or 1, keys]; NONE when it is zero. */
static tspk_status emit_bias(tspk_graph *graph, const attention *found, tspk_arena *scratch,
                             tspk_value_id *id_out, tspk_error *err)
{
    const size_t keys = (size_t)found->keys, rows = (size_t)(found->heads * found->queries);
    tspk_shape shape = {.rank = 3, .dim = {found->heads, found->queries, found->keys}};
    const char *name = "";
    bool is_zero = true, is_row_free = true;
    float *sum, *data;

    *id_out = TSPK_ID_NONE;
    if (!found->n_biases)
        return TSPK_OK;
    sum = tspk_arena_array(scratch, rows * keys, sizeof *sum);
    if (!sum)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a bias of %zu", rows * keys);
    /* They were found from the last to the first; a mask replaces what came before it. */
    for (size_t i = found->n_biases; i-- > 0;) {
        add_term(graph, &found->bias[i], sum, rows * keys);
        name = graph->value[found->bias[i].id].name;
    }
    for (size_t i = 0; i < rows * keys && is_zero; i++)
        is_zero = sum[i] == 0.0f;
    if (is_zero)
        return TSPK_OK;
    if (are_blocks_equal(sum, (size_t)found->heads, (size_t)found->queries * keys))
        shape.dim[0] = 1;
    for (int64_t h = 0; h < shape.dim[0] && is_row_free; h++)
        is_row_free = are_blocks_equal(sum + (size_t)(h * found->queries) * keys,
                                       (size_t)found->queries, keys);
    if (is_row_free)
        shape.dim[1] = 1;
    TSPK_TRY(tspk_new_floats(graph, name, &shape, id_out, &data, err));
    for (int64_t h = 0; h < shape.dim[0]; h++)
        memcpy(data + (size_t)(h * shape.dim[1]) * keys, sum + (size_t)(h * found->queries) * keys,
               (size_t)shape.dim[1] * keys * sizeof *data);
    return TSPK_OK;
}

/* --- rewriting --- */

static tspk_head_layout layout_of(const tspk_graph *graph, tspk_value_id id, int64_t heads,
                                  bool is_key)
{
    const tspk_shape *shape = &graph->value[id].shape;
    const int64_t rows = dim_from_end(shape, 2), columns = dim_from_end(shape, 1);
    const int64_t matrix = leading(shape) == 1 && heads > 1 ? 0 : rows * columns;

    if (is_key)
        return (tspk_head_layout){heads, columns, rows, matrix, 1, columns};
    return (tspk_head_layout){heads, rows, columns, matrix, columns, 1};
}

static tspk_status fuse(tspk_graph *graph, tspk_node_id id, attention *found, tspk_arena *scratch,
                        size_t *changes, tspk_error *err)
{
    const tspk_head_layout q = layout_of(graph, found->q, found->heads, false);
    const tspk_head_layout k = layout_of(graph, found->k, found->heads, true);
    const tspk_head_layout v = layout_of(graph, found->v, found->heads, false);
    bool is_windowed[2];
    const tspk_shape packed = {.rank = 3,
                               .dim = {1, found->queries, found->heads * found->value_width}};
    const tspk_shape split = {.rank = 3, .dim = {found->queries, found->heads, found->value_width}};
    const tspk_shape turned = {.rank = 3,
                               .dim = {found->heads, found->queries, found->value_width}};
    const tspk_attr turn = {.n_axes = 3, .axes = {1, 0, 2}};
    tspk_attr attr = {.heads = (uint32_t)found->heads};
    const char *name = graph->node[id].name;
    tspk_value_id in[4], out;
    tspk_node_id at = id;
    double unused = 1.0;

    TSPK_TRY(tspk_is_windowed(graph, found->k, &k, scratch, &is_windowed[0], err));
    TSPK_TRY(tspk_is_windowed(graph, found->v, &v, scratch, &is_windowed[1], err));
    if (is_windowed[0] || is_windowed[1])
        return TSPK_OK;
    (*changes)++;
    TSPK_TRY(tspk_pack_operand(graph, &at, found->q, &q, true, false, scratch, &in[0],
                               &found->scale, err));
    TSPK_TRY(tspk_pack_operand(graph, &at, found->k, &k, true, false, scratch, &in[1],
                               &found->scale, err));
    TSPK_TRY(
        tspk_pack_operand(graph, &at, found->v, &v, false, false, scratch, &in[2], &unused, err));
    TSPK_TRY(emit_bias(graph, found, scratch, &in[3], err));
    attr.scale = (float)found->scale;
    TSPK_TRY(tspk_emit_node(graph, &at, TSPK_OP_ATTENTION, name, in, in[3] == TSPK_ID_NONE ? 3 : 4,
                            &packed, &attr, &out, err));
    TSPK_TRY(tspk_emit_node(graph, &at, TSPK_OP_RESHAPE, name, &out, 1, &split, NULL, &out, err));
    TSPK_TRY(
        tspk_emit_node(graph, &at, TSPK_OP_TRANSPOSE, name, &out, 1, &turned, &turn, &out, err));
    return tspk_rewrite_node(graph, at, TSPK_OP_RESHAPE, &out, 1, NULL, err);
}

/* Lets an Attention node that exists already read Linears directly. */
static tspk_status repack(tspk_graph *graph, tspk_node_id *id, tspk_arena *scratch, size_t *changes,
                          tspk_error *err)
{
    double scale = (double)graph->node[*id].attr.scale;
    const int64_t heads = graph->node[*id].attr.heads;

    for (int i = 0; i < 3; i++) {
        const tspk_value_id old = graph->node[*id].in[i];
        const tspk_shape *shape = &graph->value[old].shape;
        const int64_t width = dim_from_end(shape, 1);
        const tspk_head_layout layout = {
            heads, dim_from_end(shape, 2), width / heads, width / heads, width, 1};
        tspk_value_id new;

        TSPK_TRY(
            tspk_pack_operand(graph, id, old, &layout, i < 2, true, scratch, &new, &scale, err));
        if (new == old)
            continue;
        graph->node[*id].in[i] = new;
        (*changes)++;
    }
    graph->node[*id].attr.scale = (float)scale;
    return TSPK_OK;
}

tspk_status tspk_pass_fuse_attention(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                     tspk_error *err)
{
    if (graph->batch != 1)
        return TSPK_OK;
    for (tspk_node_id n = 0; n < graph->n_nodes; n++) {
        const uint32_t before = graph->n_nodes;
        attention found;

        if (graph->node[n].is_dead)
            continue;
        if (graph->node[n].op == TSPK_OP_ATTENTION) {
            TSPK_TRY(repack(graph, &n, scratch, changes, err));
            continue;
        }
        if (!match(graph, &graph->node[n], &found) ||
            (found.n_biases && (size_t)(found.heads * found.queries * found.keys) > MAX_BIAS_ELEMS))
            continue;
        TSPK_TRY(fuse(graph, n, &found, scratch, changes, err));
        n += graph->n_nodes - before;
    }
    return TSPK_OK;
}
