/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum as Transpose, Reshape and MatMul, two operands at a time from the left:
 *   labels in both that are needed later: batch; in both only: contracted; in one and needed: rows
 *   of a or columns of b; in one and not needed: summed first.
 * A label twice in one operand takes the diagonal. The axes of an ellipsis are the labels 1 to 8,
 * counted from the right; where they have one element they broadcast.
 */
#include <ctype.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

#define MAX_EQUATION 256
#define MAX_OPERANDS 16
#define ELLIPSIS     '.'
#define N_LABELS     128

typedef struct labels {
    char at[2 * TSPK_MAX_RANK];
    size_t n;
} labels;

typedef struct equation {
    const char *text;
    labels in[MAX_OPERANDS], out;
    size_t n_in;
    bool has_arrow;
    int64_t dim[N_LABELS]; /* of each label that an operand has */
    bool is_bound[N_LABELS];
} equation;

static bool has(const labels *l, char c)
{
    return memchr(l->at, c, l->n) != NULL;
}

static tspk_status push(const equation *e, labels *l, char c, tspk_error *err)
{
    if (l->n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "equation \"%.60s\": more than %d labels", e->text,
                         TSPK_MAX_RANK);
    l->at[l->n++] = c;
    return TSPK_OK;
}

static tspk_status parse(equation *e, tspk_error *err)
{
    labels *l = &e->in[0];

    e->n_in = 1;
    for (const char *p = e->text; *p; p++) {
        if (*p == ' ')
            continue;
        if (isalpha((unsigned char)*p)) {
            if (l == &e->out && has(l, *p))
                return TSPK_FAIL(err, TSPK_FORMAT,
                                 "equation \"%.60s\": label %c twice in the result", e->text, *p);
            TSPK_TRY(push(e, l, *p, err));
        } else if (!strncmp(p, "...", 3) && !has(l, ELLIPSIS)) {
            TSPK_TRY(push(e, l, ELLIPSIS, err));
            p += 2;
        } else if (*p == ',' && !e->has_arrow && e->n_in < MAX_OPERANDS) {
            l = &e->in[e->n_in++];
        } else if (*p == '-' && p[1] == '>' && !e->has_arrow) {
            e->has_arrow = true;
            l = &e->out;
            p++;
        } else {
            return TSPK_FAIL(err, TSPK_FORMAT, "equation \"%.60s\" cannot be read at \"%.10s\"",
                             e->text, p);
        }
    }
    return TSPK_OK;
}

/* An ellipsis of n axes becomes the labels n, … 2, 1. */
static tspk_status expand(const equation *e, labels *l, size_t n, tspk_error *err)
{
    labels wide = {0};

    for (size_t i = 0; i < l->n; i++)
        if (l->at[i] != ELLIPSIS)
            TSPK_TRY(push(e, &wide, l->at[i], err));
        else
            for (size_t k = n; k > 0; k--)
                TSPK_TRY(push(e, &wide, (char)k, err));
    *l = wide;
    return TSPK_OK;
}

static tspk_status expand_operands(const tspk_onnx_call *call, equation *e, size_t *most_out,
                                   tspk_error *err)
{
    for (size_t i = 0; i < e->n_in; i++) {
        const size_t rank = tspk_onnx_in(call, i)->shape.rank, n = e->in[i].n;
        const bool is_open = has(&e->in[i], ELLIPSIS);

        if (is_open ? rank + 1 < n : rank != n)
            return TSPK_FAIL(err, TSPK_SHAPE, "operand %zu has rank %zu, the equation %zu labels",
                             i, rank, n - is_open);
        if (!is_open)
            continue;
        *most_out = rank + 1 - n > *most_out ? rank + 1 - n : *most_out;
        TSPK_TRY(expand(e, &e->in[i], rank + 1 - n, err));
    }
    return TSPK_OK;
}

/* Without "->": the ellipsis, then the labels that stand once in all, in alphabetical order. */
static tspk_status infer_output(equation *e, size_t n_ellipsis, tspk_error *err)
{
    unsigned count[N_LABELS] = {0};

    for (size_t i = 0; i < e->n_in; i++)
        for (size_t k = 0; k < e->in[i].n; k++)
            count[(unsigned char)e->in[i].at[k]]++;
    for (size_t k = n_ellipsis; k > 0; k--)
        TSPK_TRY(push(e, &e->out, (char)k, err));
    for (int c = 'A'; c <= 'z'; c++)
        if (count[c] == 1)
            TSPK_TRY(push(e, &e->out, (char)c, err));
    return TSPK_OK;
}

static tspk_status check_output(const equation *e, tspk_error *err)
{
    for (size_t k = 0; k < e->out.n; k++) {
        bool is_known = false;

        for (size_t i = 0; i < e->n_in; i++)
            is_known = is_known || has(&e->in[i], e->out.at[k]);
        if (!is_known)
            return TSPK_FAIL(err, TSPK_FORMAT, "equation \"%.60s\": label %c is in no operand",
                             e->text, e->out.at[k]);
    }
    return TSPK_OK;
}

static tspk_status bind_dims(const tspk_onnx_call *call, equation *e, tspk_error *err)
{
    for (size_t i = 0; i < e->n_in; i++) {
        const tspk_shape *const shape = &tspk_onnx_in(call, i)->shape;

        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_F32, err));
        for (size_t k = 0; k < e->in[i].n; k++) {
            const char c = e->in[i].at[k];
            int64_t *const dim = &e->dim[(unsigned char)c];
            bool *const is_bound = &e->is_bound[(unsigned char)c];
            const bool is_ellipsis = c <= TSPK_MAX_RANK;

            if (!*is_bound || (is_ellipsis && *dim == 1))
                *dim = shape->dim[k];
            else if (*dim != shape->dim[k] && !(is_ellipsis && shape->dim[k] == 1))
                return TSPK_FAIL(err, TSPK_SHAPE, "equation \"%.60s\": %lld and %lld elements",
                                 e->text, (long long)*dim, (long long)shape->dim[k]);
            *is_bound = true;
        }
    }
    return TSPK_OK;
}

/* Axes of x, labelled `from`, into the order `to`. */
static tspk_status reorder(tspk_onnx_call *call, tspk_value_id x, const labels *from,
                           const labels *to, tspk_value_id *out, tspk_error *err)
{
    int64_t perm[TSPK_MAX_RANK] = {0};

    for (size_t i = 0; i < to->n; i++)
        perm[i] = (const char *)memchr(from->at, to->at[i], from->n) - from->at;
    return tspk_onnx_emit_transpose(call, x, perm, out, err);
}

/* The two axes a and b > a of x, of n elements each, become one, the diagonal, at the end. */
static tspk_status take_diagonal(tspk_onnx_call *call, labels *l, size_t a, size_t b,
                                 tspk_value_id *x, tspk_error *err)
{
    const tspk_value value = *tspk_onnx_value(call, *x);
    const int64_t n = value.shape.dim[a];
    const int rank = value.shape.rank;
    tspk_shape shape = {0};
    tspk_attr attr = {0};
    int64_t perm[TSPK_MAX_RANK] = {0};
    labels left = {0};

    for (size_t i = 0; i < l->n; i++)
        if (i != a && i != b) {
            perm[left.n] = (int64_t)i;
            shape.dim[left.n] = value.shape.dim[i];
            attr.steps[left.n] = 1;
            left.at[left.n++] = l->at[i];
        }
    perm[rank - 2] = (int64_t)a;
    perm[rank - 1] = (int64_t)b;
    TSPK_TRY(tspk_onnx_emit_transpose(call, *x, perm, x, err));
    shape.rank = (uint8_t)(rank - 1);
    shape.dim[rank - 2] = n * n;
    TSPK_TRY(tspk_onnx_emit_reshape(call, *x, &shape, x, err));
    attr.steps[rank - 2] = n + 1;
    shape.dim[rank - 2] = n;
    left.at[left.n++] = l->at[a];
    *l = left;
    return tspk_onnx_emit(call, TSPK_OP_SLICE, x, 1, TSPK_DTYPE_F32, &shape, &attr, x, err);
}

/* Diagonals taken, axes of one element that broadcast dropped: every label stands once. */
static tspk_status tidy(tspk_onnx_call *call, const equation *e, labels *l, tspk_value_id *x,
                        tspk_error *err)
{
    tspk_shape shape, kept = {0};
    labels left = {0};

    for (size_t b = 1; b < l->n; b++)
        for (size_t a = 0; a < b && b < l->n; a++)
            if (l->at[a] == l->at[b]) {
                TSPK_TRY(take_diagonal(call, l, a, b, x, err));
                b = 1;
                a = SIZE_MAX;
            }
    shape = tspk_onnx_value(call, *x)->shape;
    for (size_t i = 0; i < l->n; i++)
        if (shape.dim[i] == e->dim[(unsigned char)l->at[i]]) {
            kept.dim[kept.rank++] = shape.dim[i];
            left.at[left.n++] = l->at[i];
        }
    *l = left;
    return tspk_onnx_emit_reshape(call, *x, &kept, x, err);
}

/* Whether the result, an operand from `from` on, or `other` has the label. */
static bool is_needed(const equation *e, size_t from, const labels *other, char c)
{
    bool is_found = has(&e->out, c) || (other && has(other, c));

    for (size_t i = from; i < e->n_in; i++)
        is_found = is_found || has(&e->in[i], c);
    return is_found;
}

/* Sums over the labels that nothing else has. */
static tspk_status sum_lonely(tspk_onnx_call *call, const equation *e, size_t from,
                              const labels *other, labels *l, tspk_value_id *x, tspk_error *err)
{
    labels kept = {0};
    tspk_attr attr = {0};
    tspk_shape shape = {0};

    for (size_t k = 0; k < l->n; k++)
        if (is_needed(e, from, other, l->at[k])) {
            kept.at[kept.n++] = l->at[k];
            shape.dim[shape.rank++] = e->dim[(unsigned char)l->at[k]];
        } else {
            attr.axes[attr.n_axes++] = (int64_t)k;
        }
    if (attr.n_axes == 0)
        return TSPK_OK;
    *l = kept;
    return tspk_onnx_emit(call, TSPK_OP_REDUCE_SUM, x, 1, TSPK_DTYPE_F32, &shape, &attr, x, err);
}

static void append(labels *to, const labels *more)
{
    memcpy(to->at + to->n, more->at, more->n);
    to->n += more->n;
}

static int64_t product_of(const equation *e, const labels *l)
{
    int64_t product = 1;

    for (size_t i = 0; i < l->n; i++)
        product *= e->dim[(unsigned char)l->at[i]];
    return product;
}

/* [batch …, first, second], the two groups each as one axis. */
static tspk_status emit_operand(tspk_onnx_call *call, const equation *e, tspk_value_id x,
                                const labels *from, const labels *batch, const labels *first,
                                const labels *second, tspk_value_id *out, tspk_error *err)
{
    tspk_shape shape = {0};
    labels order = *batch;

    append(&order, first);
    append(&order, second);
    TSPK_TRY(reorder(call, x, from, &order, &x, err));
    if (batch->n + 2 > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Einsum with %zu batch axes", batch->n);
    for (size_t i = 0; i < batch->n; i++)
        shape.dim[shape.rank++] = e->dim[(unsigned char)batch->at[i]];
    shape.dim[shape.rank++] = product_of(e, first);
    shape.dim[shape.rank++] = product_of(e, second);
    return tspk_onnx_emit_reshape(call, x, &shape, out, err);
}

/* a, labelled `la`, times b, labelled `lb`; `la` becomes the labels of the result. */
static tspk_status emit_pair(tspk_onnx_call *call, const equation *e, size_t from, labels *la,
                             tspk_value_id a, const labels *lb, tspk_value_id b, tspk_value_id *out,
                             tspk_error *err)
{
    labels batch = {0}, rows = {0}, columns = {0}, inner = {0};
    tspk_shape shape = {0};
    tspk_value_id y;

    for (size_t i = 0; i < la->n; i++) {
        const char c = la->at[i];
        labels *const group = !has(lb, c) ? &rows : is_needed(e, from, NULL, c) ? &batch : &inner;

        group->at[group->n++] = c;
    }
    for (size_t i = 0; i < lb->n; i++)
        if (!has(la, lb->at[i]))
            columns.at[columns.n++] = lb->at[i];
    if (batch.n + rows.n + columns.n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Einsum with a result of rank %zu",
                         batch.n + rows.n + columns.n);
    TSPK_TRY(emit_operand(call, e, a, la, &batch, &rows, &inner, &a, err));
    TSPK_TRY(emit_operand(call, e, b, lb, &batch, &inner, &columns, &b, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, a, b, &y, err));
    *la = batch;
    append(la, &rows);
    append(la, &columns);
    for (size_t i = 0; i < la->n; i++)
        shape.dim[shape.rank++] = e->dim[(unsigned char)la->at[i]];
    return tspk_onnx_emit_reshape(call, y, &shape, out, err);
}

static tspk_status evaluate(tspk_onnx_call *call, equation *e, tspk_error *err)
{
    tspk_value_id x = call->in[0];
    labels l = e->in[0];

    TSPK_TRY(tidy(call, e, &l, &x, err));
    for (size_t i = 1; i < e->n_in; i++) {
        tspk_value_id y = call->in[i];
        labels right = e->in[i];

        TSPK_TRY(tidy(call, e, &right, &y, err));
        TSPK_TRY(sum_lonely(call, e, i + 1, &right, &l, &x, err));
        TSPK_TRY(sum_lonely(call, e, i + 1, &l, &right, &y, err));
        TSPK_TRY(emit_pair(call, e, i + 1, &l, x, &right, y, &x, err));
    }
    TSPK_TRY(sum_lonely(call, e, e->n_in, NULL, &l, &x, err));
    return reorder(call, x, &l, &e->out, &call->results[0], err);
}

tspk_status tspk_onnx_einsum(tspk_onnx_call *call, tspk_error *err)
{
    char text[MAX_EQUATION];
    equation e = {.text = text};
    size_t n_ellipsis = 0;

    TSPK_TRY(tspk_onnx_attr_text(call, "equation", text, sizeof text, err));
    if (!text[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "Einsum needs the attribute equation");
    TSPK_TRY(parse(&e, err));
    TSPK_TRY(tspk_onnx_need_in(call, e.n_in, err));
    if (call->n_in != e.n_in)
        return TSPK_FAIL(err, TSPK_FORMAT, "equation \"%.60s\" has %zu operands, the node %zu",
                         text, e.n_in, call->n_in);
    TSPK_TRY(expand_operands(call, &e, &n_ellipsis, err));
    if (e.has_arrow)
        TSPK_TRY(expand(&e, &e.out, n_ellipsis, err));
    else
        TSPK_TRY(infer_output(&e, n_ellipsis, err));
    if (e.out.n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "equation \"%.60s\": a result of rank %zu", text,
                         e.out.n);
    TSPK_TRY(check_output(&e, err));
    TSPK_TRY(bind_dims(call, &e, err));
    return evaluate(call, &e, err);
}
