/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Attention taken apart: softmax(softcap(scale Q Kᵀ) + mask) V. Heads come as [B, H, N, D], or
 * packed as [B, N, H D] with the number of heads as an attribute. Fewer key heads than query heads
 * are repeated, past keys and values stand before the new ones, a boolean mask becomes 0 and -Inf,
 * a row that is masked whole gives zeros. As the reference of the ONNX standard does it:
 * https://github.com/onnx/onnx, onnx/reference/ops/op_attention.py.
 */
#include <math.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

tspk_status tspk_onnx_split_heads(tspk_onnx_call *call, tspk_value_id x, int64_t heads,
                                  const char *what, tspk_value_id *out, tspk_error *err)
{
    static const int64_t perm[4] = {0, 2, 1, 3};
    const tspk_shape from = tspk_onnx_value(call, x)->shape;
    tspk_shape shape = {.rank = 4};

    TSPK_TRY(tspk_onnx_need_dtype(call, x, TSPK_DTYPE_F32, err));
    *out = x;
    if (from.rank == 4)
        return TSPK_OK;
    if (from.rank != 3 || heads < 1 || from.dim[2] % heads)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: %s of rank %d and width %lld for %lld heads",
                         call->op->name, what, from.rank,
                         (long long)(from.rank ? from.dim[from.rank - 1] : 0), (long long)heads);
    shape.dim[0] = from.dim[0];
    shape.dim[1] = from.dim[1];
    shape.dim[2] = heads;
    shape.dim[3] = from.dim[2] / heads;
    TSPK_TRY(tspk_onnx_emit_reshape(call, x, &shape, &x, err));
    return tspk_onnx_emit_transpose(call, x, perm, out, err);
}

tspk_status tspk_onnx_join_heads(tspk_onnx_call *call, tspk_value_id y, tspk_value_id *out,
                                 tspk_error *err)
{
    static const int64_t perm[4] = {0, 2, 1, 3};
    const tspk_shape from = tspk_onnx_value(call, y)->shape;
    const tspk_shape shape = {.rank = 3,
                              .dim = {from.dim[0], from.dim[2], from.dim[1] * from.dim[3]}};

    TSPK_TRY(tspk_onnx_emit_transpose(call, y, perm, &y, err));
    return tspk_onnx_emit_reshape(call, y, &shape, out, err);
}

static tspk_status emit_where(tspk_onnx_call *call, tspk_value_id condition, tspk_value_id yes,
                              tspk_value_id no, const tspk_shape *shape, tspk_value_id *out,
                              tspk_error *err)
{
    const tspk_value_id in[3] = {condition, yes, no};

    return tspk_onnx_emit(call, TSPK_OP_WHERE, in, 3, TSPK_DTYPE_F32, shape, NULL, out, err);
}

tspk_status tspk_onnx_additive_mask(tspk_onnx_call *call, tspk_value_id mask, float fill,
                                    tspk_value_id *out, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, mask);
    tspk_value_id zero, low;

    *out = mask;
    if (value.dtype == TSPK_DTYPE_F32)
        return TSPK_OK;
    TSPK_TRY(tspk_onnx_need_dtype(call, mask, TSPK_DTYPE_BOOL, err));
    TSPK_TRY(tspk_onnx_scalar(call, 0.0f, &zero, err));
    TSPK_TRY(tspk_onnx_scalar(call, fill, &low, err));
    return emit_where(call, mask, zero, low, &value.shape, out, err);
}

tspk_status tspk_onnx_causal_mask(tspk_onnx_call *call, int64_t queries, int64_t keys,
                                  int64_t n_before, tspk_value_id *out, tspk_error *err)
{
    const tspk_shape shape = {.rank = 2, .dim = {queries, keys}};
    void *data = NULL;

    TSPK_TRY(tspk_onnx_new_constant(call, TSPK_DTYPE_F32, &shape, &data, out, err));
    for (int64_t q = 0; q < queries; q++)
        for (int64_t k = q + n_before + 1; k < keys; k++)
            ((float *)data)[q * keys + k] = -INFINITY;
    return TSPK_OK;
}

/* Repeats each of the heads of k or v: h0 h0 h1 h1 … */
static tspk_status repeat_heads(tspk_onnx_call *call, tspk_value_id x, int64_t heads,
                                tspk_value_id *out, tspk_error *err)
{
    const tspk_shape from = tspk_onnx_value(call, x)->shape;
    const int64_t have = from.dim[1];
    tspk_shape wide = {.rank = 5, .dim = {from.dim[0], have, 1, from.dim[2], from.dim[3]}};
    tspk_shape shape = from;

    *out = x;
    if (have == heads)
        return TSPK_OK;
    if (have < 1 || heads % have)
        return TSPK_FAIL(err, TSPK_SHAPE, "%s with %lld query heads and %lld key or value heads",
                         call->op->name, (long long)heads, (long long)have);
    TSPK_TRY(tspk_onnx_emit_reshape(call, x, &wide, &x, err));
    wide.dim[2] = heads / have;
    shape.dim[1] = heads;
    TSPK_TRY(tspk_onnx_emit(call, TSPK_OP_EXPAND, &x, 1, TSPK_DTYPE_F32, &wide, NULL, &x, err));
    return tspk_onnx_emit_reshape(call, x, &shape, out, err);
}

static tspk_status emit_softcap(tspk_onnx_call *call, float cap, tspk_value_id *x, tspk_error *err)
{
    tspk_value_id scalar;

    TSPK_TRY(tspk_onnx_scalar(call, cap, &scalar, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_DIV, *x, scalar, x, err));
    TSPK_TRY(tspk_onnx_emit_unary(call, TSPK_OP_TANH, *x, NULL, x, err));
    return tspk_onnx_emit_binary(call, TSPK_OP_MUL, *x, scalar, x, err);
}

/* Whether a row of a mask may be -Inf throughout; sure only of constants. */
static bool may_mask_rows(const tspk_onnx_call *call, tspk_value_id mask)
{
    const tspk_value *const value = tspk_onnx_value(call, mask);
    const size_t rows = tspk_shape_rows(&value->shape), n = tspk_shape_last(&value->shape);
    const float *x = value->data;

    for (size_t r = 0; x && r < rows; r++, x += n) {
        size_t k = 0;

        while (k < n && x[k] == -INFINITY)
            k++;
        if (n && k == n)
            return true;
    }
    return !value->data;
}

/* Zeros where the mask leaves a row no key: 0 / 0 otherwise. */
static tspk_status guard_rows(tspk_onnx_call *call, tspk_value_id mask, tspk_value_id *x,
                              tspk_error *err)
{
    const tspk_shape of = tspk_onnx_value(call, mask)->shape;
    const tspk_shape shape = tspk_onnx_value(call, *x)->shape;
    tspk_attr attr = {.n_axes = 1, .axes = {of.rank - 1}};
    tspk_shape rows = of;
    tspk_value_id most, low, zero;

    if (of.rank < 1 || !may_mask_rows(call, mask))
        return TSPK_OK;
    rows.dim[of.rank - 1] = 1;
    TSPK_TRY(tspk_onnx_emit(call, TSPK_OP_REDUCE_MAX, &mask, 1, TSPK_DTYPE_F32, &rows, &attr, &most,
                            err));
    TSPK_TRY(tspk_onnx_scalar(call, -INFINITY, &low, err));
    TSPK_TRY(tspk_onnx_scalar(call, 0.0f, &zero, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_EQUAL, most, low, &most, err));
    return emit_where(call, most, zero, *x, &shape, x, err);
}

static tspk_status check_operands(const tspk_onnx_call *call, const tspk_onnx_heads *h,
                                  tspk_error *err)
{
    const tspk_shape *const q = &tspk_onnx_value(call, h->q)->shape;
    const tspk_shape *const k = &tspk_onnx_value(call, h->k)->shape;
    const tspk_shape *const v = &tspk_onnx_value(call, h->v)->shape;
    char tq[96], tk[96], tv[96];

    if (q->dim[0] == k->dim[0] && k->dim[0] == v->dim[0] && k->dim[2] == v->dim[2] &&
        q->dim[3] == k->dim[3])
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_SHAPE, "%s of query %s, key %s and value %s", call->op->name,
                     tspk_shape_text(q, tq, sizeof tq), tspk_shape_text(k, tk, sizeof tk),
                     tspk_shape_text(v, tv, sizeof tv));
}

/* A mask broadcasts to the logits, never the logits to a mask. */
static tspk_status add_mask(tspk_onnx_call *call, tspk_value_id mask, tspk_value_id *x,
                            tspk_error *err)
{
    const tspk_shape logits = tspk_onnx_value(call, *x)->shape;
    const tspk_shape of = tspk_onnx_value(call, mask)->shape;
    tspk_shape both;
    char tm[96], tl[96];

    TSPK_TRY(tspk_onnx_broadcast(&logits, &of, &both, err));
    if (!tspk_shape_equal(&both, &logits))
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: a mask %s for logits %s", call->op->name,
                         tspk_shape_text(&of, tm, sizeof tm),
                         tspk_shape_text(&logits, tl, sizeof tl));
    return tspk_onnx_emit_binary(call, TSPK_OP_ADD, *x, mask, x, err);
}

tspk_status tspk_onnx_emit_attention(tspk_onnx_call *call, const tspk_onnx_heads *h,
                                     tspk_value_id *y_out, tspk_value_id *logits_out,
                                     tspk_error *err)
{
    const tspk_attr softmax = {.axis = 3};
    tspk_value_id k = h->k, v = h->v, x, factor;
    int64_t heads;

    TSPK_TRY(check_operands(call, h, err));
    heads = tspk_onnx_value(call, h->q)->shape.dim[1];
    TSPK_TRY(repeat_heads(call, k, heads, &k, err));
    TSPK_TRY(repeat_heads(call, v, heads, &v, err));
    TSPK_TRY(tspk_onnx_emit_swap(call, k, &k, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, h->q, k, &x, err));
    TSPK_TRY(tspk_onnx_scalar(call, h->scale, &factor, err));
    TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_MUL, x, factor, &x, err));
    if (h->softcap > 0.0f)
        TSPK_TRY(emit_softcap(call, h->softcap, &x, err));
    *logits_out = x;
    for (size_t i = 0; i < h->n_masks; i++)
        TSPK_TRY(add_mask(call, h->mask[i], &x, err));
    if (h->logits_mode >= 2)
        *logits_out = x;
    TSPK_TRY(tspk_onnx_emit_unary(call, TSPK_OP_SOFTMAX, x, &softmax, &x, err));
    if (h->n_masks) {
        tspk_value_id mask = h->mask[0];

        for (size_t i = 1; i < h->n_masks; i++)
            TSPK_TRY(tspk_onnx_emit_binary(call, TSPK_OP_ADD, mask, h->mask[i], &mask, err));
        TSPK_TRY(guard_rows(call, mask, &x, err));
    }
    if (h->logits_mode == 3)
        *logits_out = x;
    return tspk_onnx_emit_matmul(call, x, v, y_out, err);
}

tspk_status tspk_onnx_append_past(tspk_onnx_call *call, tspk_value_id past, tspk_value_id now,
                                  tspk_value_id *out, tspk_error *err)
{
    const tspk_value_id in[2] = {past, now};
    const tspk_attr attr = {.axis = 2};
    const tspk_shape before = tspk_onnx_value(call, past)->shape;
    tspk_shape shape = tspk_onnx_value(call, now)->shape;
    char ta[96], tb[96];

    TSPK_TRY(tspk_onnx_need_dtype(call, past, TSPK_DTYPE_F32, err));
    if (before.rank != 4 || before.dim[0] != shape.dim[0] || before.dim[1] != shape.dim[1] ||
        before.dim[3] != shape.dim[3])
        return TSPK_FAIL(err, TSPK_SHAPE, "%s: past %s before %s", call->op->name,
                         tspk_shape_text(&before, ta, sizeof ta),
                         tspk_shape_text(&shape, tb, sizeof tb));
    shape.dim[2] += before.dim[2];
    return tspk_onnx_emit(call, TSPK_OP_CONCAT, in, 2, TSPK_DTYPE_F32, &shape, &attr, out, err);
}

/* --- Attention of opset 23 --- */

typedef struct settings {
    int64_t q_heads, kv_heads, is_causal;
} settings;

static tspk_status read_attrs(tspk_onnx_call *call, settings *s, tspk_onnx_heads *h,
                              tspk_error *err)
{
    int64_t precision;

    TSPK_TRY(tspk_onnx_attr_int(call, "q_num_heads", 0, &s->q_heads, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "kv_num_heads", 0, &s->kv_heads, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "is_causal", 0, &s->is_causal, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "scale", 0.0f, &h->scale, err));
    TSPK_TRY(tspk_onnx_attr_float(call, "softcap", 0.0f, &h->softcap, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "softmax_precision", 0, &precision, err));
    TSPK_TRY(tspk_onnx_attr_int(call, "qk_matmul_output_mode", 0, &h->logits_mode, err));
    if (h->logits_mode < 0 || h->logits_mode > 3)
        return TSPK_FAIL(err, TSPK_RANGE, "qk_matmul_output_mode %lld, expected 0 to 3",
                         (long long)h->logits_mode);
    if (tspk_onnx_has_in(call, 4) != tspk_onnx_has_in(call, 5))
        return TSPK_FAIL(err, TSPK_FORMAT, "past_key and past_value belong together");
    return TSPK_OK;
}

/* A mask for fewer keys than there are says nothing about the last ones: they are left out. */
static tspk_status widen_mask(tspk_onnx_call *call, int64_t keys, tspk_value_id *mask,
                              tspk_error *err)
{
    tspk_shape shape = tspk_onnx_value(call, *mask)->shape;
    tspk_attr attr = {.alpha = -INFINITY};

    if (shape.rank < 1 || shape.dim[shape.rank - 1] >= keys || shape.dim[shape.rank - 1] == 1)
        return TSPK_OK;
    shape.dim[shape.rank - 1] = keys;
    return tspk_onnx_emit(call, TSPK_OP_PAD, mask, 1, TSPK_DTYPE_F32, &shape, &attr, mask, err);
}

static tspk_status collect_masks(tspk_onnx_call *call, const settings *s, tspk_onnx_heads *h,
                                 tspk_error *err)
{
    const int64_t queries = tspk_onnx_value(call, h->q)->shape.dim[2];
    const int64_t keys = tspk_onnx_value(call, h->k)->shape.dim[2];
    const int64_t n_past =
        tspk_onnx_has_in(call, 4) ? tspk_onnx_value(call, call->in[4])->shape.dim[2] : 0;

    if (s->is_causal)
        TSPK_TRY(tspk_onnx_causal_mask(call, queries, keys, n_past, &h->mask[h->n_masks++], err));
    if (tspk_onnx_has_in(call, 3)) {
        tspk_value_id *const mask = &h->mask[h->n_masks++];

        TSPK_TRY(tspk_onnx_additive_mask(call, call->in[3], -INFINITY, mask, err));
        TSPK_TRY(widen_mask(call, keys, mask, err));
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_attention(tspk_onnx_call *call, tspk_error *err)
{
    tspk_value_id y, logits;
    tspk_onnx_heads h = {0};
    bool is_packed;
    settings s;

    TSPK_TRY(tspk_onnx_need_in(call, 3, err));
    TSPK_TRY(read_attrs(call, &s, &h, err));
    is_packed = tspk_onnx_in(call, 0)->shape.rank == 3;
    TSPK_TRY(tspk_onnx_split_heads(call, call->in[0], s.q_heads, "query", &h.q, err));
    TSPK_TRY(tspk_onnx_split_heads(call, call->in[1], s.kv_heads, "key", &h.k, err));
    TSPK_TRY(tspk_onnx_split_heads(call, call->in[2], s.kv_heads, "value", &h.v, err));
    if (tspk_onnx_has_in(call, 4)) {
        TSPK_TRY(tspk_onnx_append_past(call, call->in[4], h.k, &h.k, err));
        TSPK_TRY(tspk_onnx_append_past(call, call->in[5], h.v, &h.v, err));
    }
    if (!tspk_onnx_attr(call, "scale"))
        h.scale = (float)(1.0 / sqrt((double)tspk_onnx_value(call, h.q)->shape.dim[3]));
    TSPK_TRY(collect_masks(call, &s, &h, err));
    TSPK_TRY(tspk_onnx_emit_attention(call, &h, &y, &logits, err));
    if (is_packed)
        TSPK_TRY(tspk_onnx_join_heads(call, y, &y, err));
    call->results[0] = y;
    if (call->proto->n_output > 1)
        call->results[1] = h.k;
    if (call->proto->n_output > 2)
        call->results[2] = h.v;
    if (call->proto->n_output > 3)
        call->results[3] = logits;
    return TSPK_OK;
}
