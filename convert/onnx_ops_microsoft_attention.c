/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention and MultiHeadAttention of onnxruntime's transformer optimiser (domain com.microsoft).
 *
 *   Attention           x, W [I, q + k + v], bias, mask, past, attention bias
 *   MultiHeadAttention  q, k, v (or q, k, v and k, v packed), bias, mask, attention bias, past
 *
 * https://github.com/microsoft/onnxruntime, docs/ContribOperators.md
 */
#include <math.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

typedef struct settings {
    int64_t heads, is_causal;
    float mask_fill;
} settings;

static tspk_status read_attrs(tspk_onnx_call *call, settings *s, tspk_onnx_heads *h,
                              tspk_error *err)
{
    TSPK_TRY(tspk_onnx_attr_int(call, "num_heads", 0, &s->heads, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "unidirectional", 0, &s->is_causal, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "mask_filter_value", -10000.0f, &s->mask_fill, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "scale", 0.0f, &h->scale, err));
    if (s->heads < 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "%s with num_heads %lld", call->op->name,
                         (long long)s->heads);
    return TSPK_OK;
}

/* n columns of x [.., width] from `start` on. */
static tspk_status columns(tspk_onnx_call *call, tspk_value_id x, int64_t start, int64_t n,
                           tspk_value_id *out, tspk_error *err)
{
    const tspk_shape shape = tspk_onnx_value(call, x)->shape;

    if (shape.rank < 1 || start + n > shape.dim[shape.rank - 1])
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: %lld columns from %lld on, of rank %d and width %zu",
                         call->op->name, (long long)n, (long long)start, shape.rank,
                         tspk_shape_last(&shape));
    return tspk_onnx_emit_slice(call, x, (size_t)shape.rank - 1, start, n, out, err);
}

/* Keys that count, as an additive mask that broadcasts to [B, H, queries, keys]. */
static tspk_status read_mask(tspk_onnx_call *call, size_t i, int64_t batch, int64_t keys,
                             float fill, tspk_value_id *out, tspk_error *err)
{
    const tspk_shape of = tspk_onnx_in(call, i)->shape;
    tspk_shape shape = {.rank = 4, .dim = {batch, 1, 1, keys}};
    tspk_value_id mask = call->in[i];
    char text[96];

    TSPK_TRY(tspk_onnx_need_dtype(call, mask, TSPK_DTYPE_I64, err));
    if (of.rank == 1 && of.dim[0] == batch) { /* how many keys each image has */
        const tspk_shape column = {.rank = 4, .dim = {batch, 1, 1, 1}};
        const tspk_shape row = {.rank = 1, .dim = {keys}};
        tspk_value_id position;
        void *data = NULL;

        TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_I64, &row, &data, &position, err));
        for (int64_t k = 0; k < keys; k++)
            ((int64_t *)data)[k] = k;
        TSPK_TRY(tspk_onnx_emit_reshape(call, mask, &column, &mask, err));
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_LESS, position, mask, &mask, err));
        return tspk_onnx_additive_mask(call, mask, fill, out, err);
    }
    if (of.rank == 3)
        shape.dim[2] = of.dim[1];
    if ((of.rank != 2 && of.rank != 3) || of.dim[0] != batch || of.dim[of.rank - 1] != keys)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s: a mask %s for %lld images and %lld keys",
                         call->op->name, tspk_shape_text(&of, text, sizeof text), (long long)batch,
                         (long long)keys);
    TSPK_TRY(tspk_onnx_emit_reshape(call, mask, &shape, &mask, err));
    TSPK_TRY(tspk_onnx_emit_cast(call, mask, ONNX_BOOL, &mask, err));
    return tspk_onnx_additive_mask(call, mask, fill, out, err);
}

static tspk_status finish(tspk_onnx_call *call, const settings *s, tspk_onnx_heads *h,
                          size_t at_mask, size_t at_bias, int64_t n_past, tspk_error *err)
{
    const tspk_shape q = tspk_onnx_value(call, h->q)->shape;
    const int64_t keys = tspk_onnx_value(call, h->k)->shape.dim[2];
    tspk_value_id y, logits;

    if (!tspk_onnx_attr(call, "scale") || h->scale == 0.0f)
        h->scale = (float)(1.0 / sqrt((double)q.dim[3]));
    if (s->is_causal)
        TSPK_TRY(tspk_onnx_causal_mask(call, q.dim[2], keys, n_past, &h->mask[h->n_masks++], err));
    if (tspk_onnx_has_in(call, at_mask))
        TSPK_TRY(
            read_mask(call, at_mask, q.dim[0], keys, s->mask_fill, &h->mask[h->n_masks++], err));
    if (tspk_onnx_has_in(call, at_bias)) {
        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[at_bias], TSPK_DTYPE_F32, err));
        h->mask[h->n_masks++] = call->in[at_bias];
    }
    TSPK_TRY(tspk_onnx_emit_attention(call, h, &y, &logits, err));
    return tspk_onnx_join_heads(call, y, &call->results[0], err);
}

/* --- Attention --- */

/* Widths of q, k and v: of the attribute, or a third each. */
static tspk_status read_widths(tspk_onnx_call *call, int64_t heads, int64_t total, int64_t *width,
                               tspk_error *err)
{
    const int64_t *given;
    size_t n = 0;

    TSPK_TRY(tspk_onnx_attr_ints(call, "qkv_hidden_sizes", &given, &n, err));
    if (given && n != 3)
        return TSPK_FAIL(err, TSPK_FORMAT, "qkv_hidden_sizes has %zu entries, expected 3", n);
    for (size_t i = 0; i < 3; i++) {
        width[i] = given ? given[i] : total / 3;
        if (width[i] < 1 || width[i] % heads || width[i] > total)
            return TSPK_FAIL(err, TSPK_SHAPE, "Attention: a width of %lld for %lld heads",
                             (long long)width[i], (long long)heads);
    }
    if (width[0] + width[1] + width[2] != total)
        return TSPK_FAIL(err, TSPK_SHAPE, "Attention: widths %lld, %lld, %lld, weights for %lld",
                         (long long)width[0], (long long)width[1], (long long)width[2],
                         (long long)total);
    return TSPK_OK;
}

/* past [2, B, H, P, D] before k and v; both together are the second output. */
static tspk_status join_past(tspk_onnx_call *call, tspk_onnx_heads *h, int64_t *n_past_out,
                             tspk_error *err)
{
    tspk_value_id *const now[2] = {&h->k, &h->v};
    const tspk_attr attr = {.axis = 0};
    tspk_value_id both[2], part;
    tspk_shape shape;

    if (tspk_onnx_has_in(call, 4)) {
        shape = tspk_onnx_in(call, 4)->shape;
        if (shape.rank != 5 || shape.dim[0] != 2)
            return TSPK_FAIL(err, TSPK_SHAPE, "Attention: past of rank %d, expected [2, ..] of 5",
                             shape.rank);
        *n_past_out = shape.dim[3];
        for (int64_t i = 0; i < 2; i++) {
            const tspk_shape one = {
                .rank = 4, .dim = {shape.dim[1], shape.dim[2], shape.dim[3], shape.dim[4]}};

            TSPK_TRY(tspk_onnx_emit_slice(call, call->in[4], 0, i, 1, &part, err));
            TSPK_TRY(tspk_onnx_emit_reshape(call, part, &one, &part, err));
            TSPK_TRY(tspk_onnx_append_past(call, part, *now[i], now[i], err));
        }
    }
    if (call->proto->n_output < 2 || !call->proto->output[1][0])
        return TSPK_OK;
    for (size_t i = 0; i < 2; i++) {
        const tspk_shape one = tspk_onnx_value(call, *now[i])->shape;

        shape = (tspk_shape){.rank = 5, .dim = {1, one.dim[0], one.dim[1], one.dim[2], one.dim[3]}};
        TSPK_TRY(tspk_onnx_emit_reshape(call, *now[i], &shape, &both[i], err));
    }
    shape.dim[0] = 2;
    return tspk_onnx_emit(call, TSPK_OP_CONCAT, both, 2, TSPK_DTYPE_F32, &shape, &attr,
                          &call->results[1], err);
}

tspk_status tspk_onnx_ms_attention(tspk_onnx_call *call, tspk_error *err)
{
    static const char *const what[3] = {"query", "key", "value"};
    int64_t width[3], start = 0, rotary, shared, rotary_dim, n_past = 0;
    tspk_onnx_heads h = {0};
    tspk_value_id *const to[3] = {&h.q, &h.k, &h.v};
    tspk_value_id all;
    settings s;

    TSPK_TRY(tspk_onnx_need_in(call, 2, err));
    TSPK_TRY(read_attrs(call, &s, &h, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "do_rotary", 0, &rotary, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "rotary_embedding_dim", 0, &rotary_dim, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "past_present_share_buffer", 0, &shared, err));
    if (rotary || shared)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "Attention with do_rotary or past_present_share_buffer is not supported");
    TSPK_TRY(tspk_onnx_emit_matmul(call, call->in[0], call->in[1], &all, err));
    if (tspk_onnx_has_in(call, 2))
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, all, call->in[2], &all, err));
    TSPK_TRY(read_widths(call, s.heads,
                         (int64_t)tspk_shape_last(&tspk_onnx_value(call, all)->shape), width, err));
    for (size_t i = 0; i < 3; start += width[i++]) {
        TSPK_TRY(columns(call, all, start, width[i], to[i], err));
        TSPK_TRY(tspk_onnx_split_heads(call, *to[i], s.heads, what[i], to[i], err));
    }
    TSPK_TRY(join_past(call, &h, &n_past, err));
    return finish(call, &s, &h, 3, 5, n_past, err);
}

/* --- MultiHeadAttention --- */

/* [B, L, H, n, D], n operands side by side: operand i as [B, H, L, D]. */
static tspk_status unpack(tspk_onnx_call *call, tspk_value_id x, int64_t heads, int64_t i,
                          tspk_value_id *out, tspk_error *err)
{
    static const int64_t perm[4] = {0, 2, 1, 3};
    const tspk_shape of = tspk_onnx_value(call, x)->shape;
    const tspk_shape shape = {.rank = 4, .dim = {of.dim[0], of.dim[1], of.dim[2], of.dim[4]}};

    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    if (tspk_onnx_has_in(call, 3))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "MultiHeadAttention with a bias and packed operands is not supported");
    if (of.dim[2] != heads)
        return TSPK_FAIL(err, TSPK_SHAPE, "MultiHeadAttention: %lld packed heads, num_heads %lld",
                         (long long)of.dim[2], (long long)heads);
    TSPK_TRY(tspk_onnx_emit_slice(call, x, 3, i, 1, &x, err));
    TSPK_TRY(tspk_onnx_emit_reshape(call, x, &shape, &x, err));
    return tspk_onnx_emit_transpose(call, x, perm, out, err);
}

/* An operand of its own, with its part of the bias; [B, H, L, D] has its bias already. */
static tspk_status read_operand(tspk_onnx_call *call, size_t i, int64_t heads, int64_t *start,
                                const char *what, tspk_value_id *out, tspk_error *err)
{
    const tspk_shape of = tspk_onnx_in(call, i)->shape;
    const int64_t width = of.rank == 4 ? of.dim[1] * of.dim[3] : (int64_t)tspk_shape_last(&of);
    tspk_value_id x = call->in[i], part;

    if (of.rank == 4 && of.dim[1] != heads)
        return TSPK_FAIL(err, TSPK_SHAPE, "MultiHeadAttention: %s of %lld heads, num_heads %lld",
                         what, (long long)of.dim[1], (long long)heads);
    if (tspk_onnx_has_in(call, 3) && of.rank != 4) {
        TSPK_TRY(columns(call, call->in[3], *start, width, &part, err));
        TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, x, part, &x, err));
    }
    *start += width;
    return tspk_onnx_split_heads(call, x, heads, what, out, err);
}

static tspk_status read_operands(tspk_onnx_call *call, int64_t heads, tspk_onnx_heads *h,
                                 tspk_error *err)
{
    const tspk_shape q = tspk_onnx_in(call, 0)->shape;
    const bool has_key = tspk_onnx_has_in(call, 1), has_value = tspk_onnx_has_in(call, 2);
    int64_t start = 0;

    if (!has_key && q.rank == 5 && q.dim[3] == 3) {
        TSPK_TRY(unpack(call, call->in[0], heads, 0, &h->q, err));
        TSPK_TRY(unpack(call, call->in[0], heads, 1, &h->k, err));
        return unpack(call, call->in[0], heads, 2, &h->v, err);
    }
    if (!has_key || q.rank != 3)
        return TSPK_FAIL(err, TSPK_SHAPE, "MultiHeadAttention: a query of rank %d %s a key", q.rank,
                         has_key ? "with" : "without");
    TSPK_TRY(read_operand(call, 0, heads, &start, "query", &h->q, err));
    if (!has_value) {
        const tspk_shape kv = tspk_onnx_in(call, 1)->shape;

        if (kv.rank != 5 || kv.dim[3] != 2)
            return TSPK_FAIL(err, TSPK_SHAPE, "MultiHeadAttention: a key of rank %d and no value",
                             kv.rank);
        TSPK_TRY(unpack(call, call->in[1], heads, 0, &h->k, err));
        return unpack(call, call->in[1], heads, 1, &h->v, err);
    }
    TSPK_TRY(read_operand(call, 1, heads, &start, "key", &h->k, err));
    return read_operand(call, 2, heads, &start, "value", &h->v, err);
}

tspk_status tspk_onnx_ms_multi_head_attention(tspk_onnx_call *call, tspk_error *err)
{
    tspk_onnx_heads h = {0};
    int64_t n_past = 0;
    settings s;

    TSPK_TRY(tspk_onnx_need_in(call, 1, err));
    TSPK_TRY(read_attrs(call, &s, &h, err));
    TSPK_TRY(read_operands(call, s.heads, &h, err));
    if (tspk_onnx_has_in(call, 6) != tspk_onnx_has_in(call, 7))
        return TSPK_FAIL(err, TSPK_FORMAT, "past_key and past_value belong together");
    if (tspk_onnx_has_in(call, 6)) {
        n_past = tspk_onnx_in(call, 6)->shape.rank == 4 ? tspk_onnx_in(call, 6)->shape.dim[2] : 0;
        TSPK_TRY(tspk_onnx_append_past(call, call->in[6], h.k, &h.k, err));
        TSPK_TRY(tspk_onnx_append_past(call, call->in[7], h.v, &h.v, err));
    }
    if (call->proto->n_output > 1)
        call->results[1] = h.k;
    if (call->proto->n_output > 2)
        call->results[2] = h.v;
    return finish(call, &s, &h, 4, 5, n_past, err);
}
