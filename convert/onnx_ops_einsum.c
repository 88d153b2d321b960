/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Einsum of one or two operands, as Transpose, Reshape and MatMul:
 *   labels in both and in the result: batch; in both only: contracted; in one and in the result:
 * rows of a or columns of b; in one only: summed first. Not read: an ellipsis, a label twice in one
 * operand.
 */
#include <ctype.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

#define MAX_EQUATION 256

typedef struct labels {
    char at[TSPK_MAX_RANK + 1]; /* terminated */
    size_t n;
} labels;

typedef struct equation {
    labels in[2], out;
    size_t n_in;
    int64_t dim[128]; /* of each label, 0 before it is met */
} equation;

static bool has(const labels *l, char c)
{
    return memchr(l->at, c, l->n) != NULL;
}

static tspk_status push(labels *l, char c, const char *text, tspk_error *err)
{
    if (has(l, c))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "equation \"%.60s\": label %c twice in one operand",
                         text, c);
    if (l->n == TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "equation \"%.60s\": more than %d labels", text,
                         TSPK_MAX_RANK);
    l->at[l->n++] = c;
    return TSPK_OK;
}

/* Without "->": the labels that stand in one operand alone, in alphabetical order. */
static tspk_status infer_output(equation *e, const char *text, tspk_error *err)
{
    for (int c = 'A'; c <= 'z'; c++) {
        const bool is_first = has(&e->in[0], (char)c), is_second = has(&e->in[1], (char)c);

        if (is_first != is_second)
            TSPK_TRY(push(&e->out, (char)c, text, err));
    }
    return TSPK_OK;
}

static tspk_status parse(const char *text, equation *e, tspk_error *err)
{
    labels *l = &e->in[0];
    bool has_arrow = false;

    e->n_in = 1;
    for (const char *p = text; *p; p++) {
        if (*p == ' ')
            continue;
        if (*p == '.')
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "equation \"%.60s\": an ellipsis is not supported", text);
        if (isalpha((unsigned char)*p)) {
            TSPK_TRY(push(l, *p, text, err));
        } else if (*p == ',' && !has_arrow && e->n_in == 1) {
            l = &e->in[e->n_in++];
        } else if (*p == '-' && p[1] == '>' && !has_arrow) {
            has_arrow = true;
            l = &e->out;
            p++;
        } else {
            const bool is_third = *p == ',' && !has_arrow && l->n > 0;

            return TSPK_FAIL(err, is_third ? TSPK_UNSUPPORTED : TSPK_FORMAT,
                             is_third ? "equation \"%.60s\" has more than two operands"
                                      : "equation \"%.60s\" cannot be read",
                             text);
        }
    }
    if (!has_arrow)
        return infer_output(e, text, err);
    for (size_t i = 0; i < e->out.n; i++)
        if (!has(&e->in[0], e->out.at[i]) && !has(&e->in[1], e->out.at[i]))
            return TSPK_FAIL(err, TSPK_FORMAT, "equation \"%.60s\": label %c is in no operand",
                             text, e->out.at[i]);
    return TSPK_OK;
}

static tspk_status bind_dims(const tspk_onnx_call *call, equation *e, tspk_error *err)
{
    for (size_t i = 0; i < e->n_in; i++) {
        const tspk_shape *const shape = &tspk_onnx_in(call, i)->shape;

        TSPK_TRY(tspk_onnx_need_dtype(call, call->in[i], TSPK_DTYPE_F32, err));
        if (shape->rank != e->in[i].n)
            return TSPK_FAIL(err, TSPK_SHAPE, "operand %zu has rank %d, the equation %zu labels", i,
                             shape->rank, e->in[i].n);
        for (size_t k = 0; k < e->in[i].n; k++) {
            int64_t *const dim = &e->dim[(unsigned char)e->in[i].at[k]];

            if (*dim != 0 && *dim != shape->dim[k])
                return TSPK_FAIL(err, TSPK_SHAPE, "label %c has %lld and %lld elements",
                                 e->in[i].at[k], (long long)*dim, (long long)shape->dim[k]);
            *dim = shape->dim[k];
        }
    }
    return TSPK_OK;
}

/* Sums over the labels of operand i that nothing else has. */
static tspk_status sum_lonely(tspk_onnx_call *call, equation *e, size_t i, tspk_value_id *x,
                              tspk_error *err)
{
    labels kept = {0};
    tspk_attr attr = {0};
    tspk_shape shape = {0};

    for (size_t k = 0; k < e->in[i].n; k++) {
        const char c = e->in[i].at[k];

        if (has(&e->out, c) || (e->n_in == 2 && has(&e->in[1 - i], c))) {
            kept.at[kept.n++] = c;
            shape.dim[shape.rank++] = e->dim[(unsigned char)c];
        } else {
            attr.axes[attr.n_axes++] = (int64_t)k;
        }
    }
    if (attr.n_axes == 0)
        return TSPK_OK;
    e->in[i] = kept;
    return tspk_onnx_emit(call, TSPK_OP_REDUCE_SUM, x, 1, TSPK_DTYPE_F32, &shape, &attr, x, err);
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
    for (size_t i = 0; i < batch->n; i++)
        shape.dim[shape.rank++] = e->dim[(unsigned char)batch->at[i]];
    if (shape.rank + 2 > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Einsum with %zu batch axes", batch->n);
    shape.dim[shape.rank++] = product_of(e, first);
    shape.dim[shape.rank++] = product_of(e, second);
    return tspk_onnx_emit_reshape(call, x, &shape, out, err);
}

static tspk_status emit_pair(tspk_onnx_call *call, const equation *e, tspk_value_id a,
                             tspk_value_id b, tspk_error *err)
{
    labels batch = {0}, rows = {0}, columns = {0}, inner = {0}, order;
    tspk_shape shape = {0};
    tspk_value_id y;

    for (size_t i = 0; i < e->in[0].n; i++) {
        const char c = e->in[0].at[i];
        labels *const group = !has(&e->in[1], c) ? &rows : has(&e->out, c) ? &batch : &inner;

        group->at[group->n++] = c;
    }
    for (size_t i = 0; i < e->in[1].n; i++)
        if (!has(&e->in[0], e->in[1].at[i]))
            columns.at[columns.n++] = e->in[1].at[i];
    TSPK_TRY(emit_operand(call, e, a, &e->in[0], &batch, &rows, &inner, &a, err));
    TSPK_TRY(emit_operand(call, e, b, &e->in[1], &batch, &inner, &columns, &b, err));
    TSPK_TRY(tspk_onnx_emit_matmul(call, a, b, &y, err));
    order = batch;
    if (batch.n + rows.n + columns.n > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "Einsum with a result of rank %zu",
                         batch.n + rows.n + columns.n);
    append(&order, &rows);
    append(&order, &columns);
    for (size_t i = 0; i < order.n; i++)
        shape.dim[shape.rank++] = e->dim[(unsigned char)order.at[i]];
    TSPK_TRY(tspk_onnx_emit_reshape(call, y, &shape, &y, err));
    return reorder(call, y, &order, &e->out, &call->results[0], err);
}

tspk_status tspk_onnx_einsum(tspk_onnx_call *call, tspk_error *err)
{
    char text[MAX_EQUATION];
    equation e = {0};
    tspk_value_id x[2];

    TSPK_TRY(tspk_onnx_attr_text(call, "equation", text, sizeof text, err));
    if (!text[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "Einsum needs the attribute equation");
    TSPK_TRY(parse(text, &e, err));
    TSPK_TRY(tspk_onnx_need_in(call, e.n_in, err));
    if (call->n_in != e.n_in)
        return TSPK_FAIL(err, TSPK_FORMAT, "equation \"%.60s\" has %zu operands, the node %zu",
                         text, e.n_in, call->n_in);
    TSPK_TRY(bind_dims(call, &e, err));
    for (size_t i = 0; i < e.n_in; i++) {
        x[i] = call->in[i];
        TSPK_TRY(sum_lonely(call, &e, i, &x[i], err));
    }
    if (e.n_in == 1)
        return reorder(call, x[0], &e.in[0], &e.out, &call->results[0], err);
    return emit_pair(call, &e, x[0], x[1], err);
}
