/* SPDX-License-Identifier: Apache-2.0 */
/* Shapes, element types and attributes of one node against its operator. */
#include "core/graph_verify_op.h"

#include <inttypes.h>

#include "core/fail.h"

/* One node under check. */
typedef struct check {
    const tspk_graph *graph;
    const tspk_node *node;
    tspk_error *err;
} check;

static const tspk_value *input(const check *c, uint32_t i)
{
    if (i >= c->node->n_in || c->node->in[i] == TSPK_ID_NONE)
        return NULL;
    return &c->graph->value[c->node->in[i]];
}

static const tspk_shape *in_shape(const check *c, uint32_t i)
{
    return &input(c, i)->shape;
}

static const tspk_value *output(const check *c)
{
    return &c->graph->value[c->node->out[0]];
}

static tspk_status wrong_shape(const check *c, const char *expected)
{
    char found[128], first[128];

    return TSPK_FAIL(c->err, TSPK_SHAPE, "output %s of input %s, expected %s",
                     tspk_shape_text(&output(c)->shape, found, sizeof found),
                     tspk_shape_text(in_shape(c, 0), first, sizeof first), expected);
}

static tspk_status need_shape(const check *c, const tspk_shape *expected)
{
    char text[128];

    if (tspk_shape_equal(&output(c)->shape, expected))
        return TSPK_OK;
    return wrong_shape(c, tspk_shape_text(expected, text, sizeof text));
}

static tspk_status need_dtype(const check *c, const tspk_value *value, tspk_dtype dtype)
{
    if (value->dtype == dtype)
        return TSPK_OK;
    return TSPK_FAIL(c->err, TSPK_FORMAT, "element type %s, expected %s",
                     tspk_dtype_name(value->dtype), tspk_dtype_name(dtype));
}

/* Every present input and the output have this element type. */
static tspk_status need_dtypes(const check *c, tspk_dtype dtype)
{
    for (uint32_t i = 0; i < c->node->n_in; i++)
        if (input(c, i))
            TSPK_TRY(need_dtype(c, input(c, i), dtype));
    return need_dtype(c, output(c), dtype);
}

static tspk_status need_axis(const check *c, int64_t axis, const tspk_shape *shape)
{
    if (axis >= 0 && axis < shape->rank)
        return TSPK_OK;
    return TSPK_FAIL(c->err, TSPK_SHAPE, "axis %" PRId64 " of a tensor of rank %d", axis,
                     shape->rank);
}

static tspk_status need_elems(const check *c, const tspk_value *value, size_t elems,
                              const char *what)
{
    if (tspk_shape_elems(&value->shape) == elems)
        return TSPK_OK;
    return TSPK_FAIL(c->err, TSPK_SHAPE, "%s has %zu elements, expected %zu", what,
                     tspk_shape_elems(&value->shape), elems);
}

/* --- elementwise --- */

static bool broadcast_into(tspk_shape *sum, const tspk_shape *shape)
{
    tspk_shape out = {.rank = sum->rank > shape->rank ? sum->rank : shape->rank};

    for (int i = 0; i < out.rank; i++) {
        const int a_axis = i - (out.rank - sum->rank), b_axis = i - (out.rank - shape->rank);
        const int64_t a = a_axis < 0 ? 1 : sum->dim[a_axis];
        const int64_t b = b_axis < 0 ? 1 : shape->dim[b_axis];

        if (a != b && a != 1 && b != 1)
            return false;
        out.dim[i] = a == 1 ? b : a;
    }
    *sum = out;
    return true;
}

static tspk_status check_elementwise(const check *c)
{
    const tspk_op op = c->node->op;
    tspk_shape shape = {0};

    for (uint32_t i = 0; i < c->node->n_in; i++)
        if (!broadcast_into(&shape, in_shape(c, i)))
            return wrong_shape(c, "inputs that broadcast");
    TSPK_TRY(need_shape(c, &shape));
    if (op == TSPK_OP_CAST)
        return TSPK_OK;
    if (op == TSPK_OP_IS_NAN || (op >= TSPK_OP_EQUAL && op <= TSPK_OP_XOR) || op == TSPK_OP_NOT) {
        TSPK_TRY(need_dtype(c, output(c), TSPK_DTYPE_BOOL));
        if (op == TSPK_OP_NOT || (op >= TSPK_OP_AND && op <= TSPK_OP_XOR))
            return need_dtypes(c, TSPK_DTYPE_BOOL);
        if (op == TSPK_OP_IS_NAN)
            return need_dtype(c, input(c, 0), TSPK_DTYPE_F32);
        return need_dtype(c, input(c, 1), input(c, 0)->dtype);
    }
    if (op == TSPK_OP_WHERE) {
        TSPK_TRY(need_dtype(c, input(c, 0), TSPK_DTYPE_BOOL));
        TSPK_TRY(need_dtype(c, input(c, 1), output(c)->dtype));
        return need_dtype(c, input(c, 2), output(c)->dtype);
    }
    if (op == TSPK_OP_GELU && c->node->attr.mode != TSPK_GELU_ERF &&
        c->node->attr.mode != TSPK_GELU_TANH)
        return TSPK_FAIL(c->err, TSPK_RANGE, "mode %" PRId64 ", expected 0 or 1",
                         c->node->attr.mode);
    return need_dtypes(c, output(c)->dtype);
}

/* --- movement --- */

static tspk_status check_transpose(const check *c)
{
    const tspk_shape *x = in_shape(c, 0);
    tspk_shape shape = {.rank = x->rank};
    unsigned seen = 0;

    if (c->node->attr.n_axes != x->rank)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "permutation of %d axes for rank %d",
                         c->node->attr.n_axes, x->rank);
    for (int i = 0; i < x->rank; i++) {
        const int64_t axis = c->node->attr.axes[i];

        TSPK_TRY(need_axis(c, axis, x));
        if (seen & (1u << axis))
            return TSPK_FAIL(c->err, TSPK_SHAPE, "axis %" PRId64 " twice in the permutation", axis);
        seen |= 1u << axis;
        shape.dim[i] = x->dim[axis];
    }
    return need_shape(c, &shape);
}

static tspk_status check_slice(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape;

    if (x->rank != y->rank)
        return wrong_shape(c, "the same rank");
    for (int i = 0; i < x->rank; i++) {
        const int64_t start = c->node->attr.starts[i], step = c->node->attr.steps[i];
        const int64_t limit = (int64_t)TSPK_MAX_TENSOR_ELEMS;

        if (step == 0 || step < -limit || step > limit)
            return TSPK_FAIL(c->err, TSPK_RANGE, "step %" PRId64 " on axis %d", step, i);
        if (y->dim[i] == 0)
            continue;
        const int64_t last = (y->dim[i] - 1) * step;

        if (start < 0 || start >= x->dim[i] || last > limit || last < -limit || start + last < 0 ||
            start + last >= x->dim[i])
            return TSPK_FAIL(c->err, TSPK_RANGE,
                             "%" PRId64 " elements from %" PRId64 " by %" PRId64
                             " on axis %d of %" PRId64,
                             y->dim[i], start, step, i, x->dim[i]);
    }
    return TSPK_OK;
}

static tspk_status check_concat(const check *c)
{
    tspk_shape shape = *in_shape(c, 0);
    const int64_t axis = c->node->attr.axis;

    TSPK_TRY(need_axis(c, axis, &shape));
    for (uint32_t i = 1; i < c->node->n_in; i++) {
        const tspk_shape *x = in_shape(c, i);

        if (x->rank != shape.rank)
            return TSPK_FAIL(c->err, TSPK_SHAPE, "input %u has rank %d, the first %d", i, x->rank,
                             shape.rank);
        for (int a = 0; a < shape.rank; a++)
            if (a != axis && x->dim[a] != shape.dim[a])
                return TSPK_FAIL(c->err, TSPK_SHAPE,
                                 "input %u has %" PRId64 " on axis %d, the first %" PRId64, i,
                                 x->dim[a], a, shape.dim[a]);
        shape.dim[axis] += x->dim[axis];
        if (shape.dim[axis] > (int64_t)TSPK_MAX_TENSOR_ELEMS)
            return wrong_shape(c, "fewer elements");
    }
    return need_shape(c, &shape);
}

static tspk_status check_gather(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *index = in_shape(c, 1);
    const int64_t axis = c->node->attr.axis;
    tspk_shape shape = {0};

    TSPK_TRY(need_axis(c, axis, x));
    TSPK_TRY(need_dtype(c, input(c, 1), TSPK_DTYPE_I64));
    if (x->rank - 1 + index->rank > TSPK_MAX_RANK)
        return TSPK_FAIL(c->err, TSPK_LIMIT, "result of rank %d", x->rank - 1 + index->rank);
    for (int i = 0; i < axis; i++)
        shape.dim[shape.rank++] = x->dim[i];
    for (int i = 0; i < index->rank; i++)
        shape.dim[shape.rank++] = index->dim[i];
    for (int i = (int)axis + 1; i < x->rank; i++)
        shape.dim[shape.rank++] = x->dim[i];
    TSPK_TRY(need_shape(c, &shape));
    if (input(c, 1)->data) {
        const int64_t *at = input(c, 1)->data;

        for (size_t i = 0; i < tspk_shape_elems(index); i++)
            if (at[i] < 0 || at[i] >= x->dim[axis])
                return TSPK_FAIL(c->err, TSPK_RANGE, "index %" PRId64 " on an axis of %" PRId64,
                                 at[i], x->dim[axis]);
    }
    return TSPK_OK;
}

static tspk_status check_spread(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape;

    if (x->rank > y->rank || (c->node->op == TSPK_OP_TILE && x->rank != y->rank))
        return wrong_shape(c, "a rank that is not lower");
    for (int i = 0; i < x->rank; i++) {
        const int64_t from = x->dim[i], to = y->dim[i + y->rank - x->rank];
        const bool fits = c->node->op == TSPK_OP_TILE ? (from ? to % from == 0 : to == 0)
                                                      : (from == to || from == 1);

        if (!fits)
            return wrong_shape(c, c->node->op == TSPK_OP_TILE ? "multiples" : "a broadcast");
    }
    return TSPK_OK;
}

static tspk_status check_pad(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape;

    if (x->rank != y->rank)
        return wrong_shape(c, "the same rank");
    for (int i = 0; i < x->rank; i++)
        if (c->node->attr.starts[i] < 0 || c->node->attr.starts[i] > y->dim[i] ||
            x->dim[i] > y->dim[i] - c->node->attr.starts[i])
            return wrong_shape(c, "room for the input and its padding");
    if (c->node->attr.mode != 0)
        return TSPK_FAIL(c->err, TSPK_RANGE, "mode %" PRId64 ", expected 0", c->node->attr.mode);
    return TSPK_OK;
}

static tspk_status check_movement(const check *c)
{
    size_t elems = tspk_shape_elems(in_shape(c, 0));

    if (c->node->op == TSPK_OP_CONCAT) {
        TSPK_TRY(need_dtypes(c, output(c)->dtype));
        return check_concat(c);
    }
    TSPK_TRY(need_dtype(c, output(c), input(c, 0)->dtype));
    switch (c->node->op) {
    case TSPK_OP_RESHAPE:
        return tspk_shape_elems(&output(c)->shape) == elems ? TSPK_OK
                                                            : wrong_shape(c, "as many elements");
    case TSPK_OP_TRANSPOSE:
        return check_transpose(c);
    case TSPK_OP_SLICE:
        return check_slice(c);
    case TSPK_OP_GATHER:
        return check_gather(c);
    case TSPK_OP_PAD:
        return check_pad(c);
    default:
        return check_spread(c);
    }
}

/* --- reductions and normalisation --- */

static tspk_status check_reduce(const check *c)
{
    const tspk_shape *x = in_shape(c, 0);
    const tspk_attr *attr = &c->node->attr;
    const uint8_t n_axes = c->node->op == TSPK_OP_ARG_MAX ? 1 : attr->n_axes;
    tspk_shape kept = *x, dropped = {0};
    unsigned reduced = 0;

    if (n_axes > TSPK_MAX_RANK)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "%d axes", n_axes);
    for (int i = 0; i < n_axes; i++) {
        const int64_t axis = c->node->op == TSPK_OP_ARG_MAX ? attr->axis : attr->axes[i];

        TSPK_TRY(need_axis(c, axis, x));
        if (i && axis <= attr->axes[i - 1])
            return TSPK_FAIL(c->err, TSPK_SHAPE, "axes not ascending");
        kept.dim[axis] = 1;
        reduced |= 1u << axis;
    }
    for (int i = 0; i < x->rank; i++)
        if (!(reduced & (1u << i)))
            dropped.dim[dropped.rank++] = x->dim[i];
    TSPK_TRY(need_dtype(c, output(c),
                        c->node->op == TSPK_OP_ARG_MAX ? TSPK_DTYPE_I64 : input(c, 0)->dtype));
    if (tspk_shape_equal(&output(c)->shape, &kept))
        return TSPK_OK;
    return need_shape(c, &dropped);
}

static tspk_status check_norm(const check *c)
{
    const tspk_shape *x = in_shape(c, 0);
    const char *const what[] = {"input", "scale", "bias"};
    size_t width = 1;

    TSPK_TRY(need_dtypes(c, TSPK_DTYPE_F32));
    TSPK_TRY(need_axis(c, c->node->attr.axis, x));
    TSPK_TRY(need_shape(c, x));
    for (int i = (int)c->node->attr.axis; i < x->rank; i++)
        width *= (size_t)x->dim[i];
    for (uint32_t i = 1; i < c->node->n_in; i++)
        if (input(c, i))
            TSPK_TRY(need_elems(c, input(c, i), width, what[i]));
    return TSPK_OK;
}

static tspk_status check_resize(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape;

    TSPK_TRY(need_dtypes(c, TSPK_DTYPE_F32));
    if (x->rank != y->rank)
        return wrong_shape(c, "the same rank");
    for (int i = 0; i < x->rank; i++)
        if (x->dim[i] == 0 && y->dim[i] != 0)
            return wrong_shape(c, "an input that is not empty");
    if (c->node->attr.mode < 0 || c->node->attr.mode > 2)
        return TSPK_FAIL(c->err, TSPK_RANGE, "mode %" PRId64 ", expected 0 to 2",
                         c->node->attr.mode);
    return TSPK_OK;
}

/* --- contractions --- */

static tspk_status check_matmul(const check *c)
{
    const tspk_shape *a = in_shape(c, 0), *b = in_shape(c, 1);
    tspk_shape lead_a = *a, lead_b = *b;

    if (a->rank < 1 || b->rank < 1)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "operand of rank 0");
    const int64_t inner = b->dim[b->rank > 1 ? b->rank - 2 : 0];

    if (a->dim[a->rank - 1] != inner)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "inner sizes %" PRId64 " and %" PRId64,
                         a->dim[a->rank - 1], inner);
    lead_a.rank = (uint8_t)(a->rank > 1 ? a->rank - 2 : 0);
    lead_b.rank = (uint8_t)(b->rank > 1 ? b->rank - 2 : 0);
    if (!broadcast_into(&lead_a, &lead_b))
        return wrong_shape(c, "leading axes that broadcast");
    if (a->rank > 1)
        lead_a.dim[lead_a.rank++] = a->dim[a->rank - 2];
    if (b->rank > 1)
        lead_a.dim[lead_a.rank++] = b->dim[b->rank - 1];
    TSPK_TRY(need_dtypes(c, output(c)->dtype));
    return need_shape(c, &lead_a);
}

/* A Linear with one input is spike-driven: its weight is checked with the spike graph. */
static tspk_status check_weight(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape, *w;

    if (c->node->n_in < 2)
        return TSPK_OK;
    if (!input(c, 1) || !input(c, 1)->data)
        return TSPK_FAIL(c->err, TSPK_FORMAT, "the weight is not a constant");
    w = in_shape(c, 1);
    if (w->rank != 2 || w->dim[1] != x->dim[x->rank - 1] || w->dim[0] != y->dim[y->rank - 1]) {
        char text[128];

        return TSPK_FAIL(c->err, TSPK_SHAPE, "weight %s between widths %" PRId64 " and %" PRId64,
                         tspk_shape_text(w, text, sizeof text), x->dim[x->rank - 1],
                         y->dim[y->rank - 1]);
    }
    if (input(c, 2))
        return need_elems(c, input(c, 2), (size_t)w->dim[0], "bias");
    return TSPK_OK;
}

static tspk_status check_linear(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *y = &output(c)->shape;
    const tspk_attr *attr = &c->node->attr;
    const size_t rows = tspk_shape_rows(x);

    TSPK_TRY(need_dtypes(c, TSPK_DTYPE_F32));
    if (x->rank < 1 || y->rank < 1)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "operand of rank 0");
    TSPK_TRY(check_weight(c));
    if (attr->n_rows && !attr->rows)
        return TSPK_FAIL(c->err, TSPK_FORMAT, "%u rows without a list", attr->n_rows);
    for (uint32_t i = 0; i < attr->n_rows; i++)
        if (attr->rows[i] >= rows)
            return TSPK_FAIL(c->err, TSPK_RANGE, "row %u of %zu", attr->rows[i], rows);
    if (tspk_shape_rows(y) != (attr->n_rows ? attr->n_rows : rows))
        return wrong_shape(c, "a row for each row of the input that is read");
    return TSPK_OK;
}

static tspk_status check_conv(const check *c)
{
    const tspk_shape *x = in_shape(c, 0), *w = in_shape(c, 1);
    const tspk_attr *attr = &c->node->attr;
    const int64_t limit = 1 << 20;
    tspk_shape shape = {.rank = 4};

    TSPK_TRY(need_dtypes(c, TSPK_DTYPE_F32));
    if (x->rank != 4 || w->rank != 4)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "input of rank %d and weight of rank %d, expected 4",
                         x->rank, w->rank);
    if (attr->groups < 1 || attr->groups > x->dim[1] || x->dim[1] % attr->groups ||
        w->dim[0] % attr->groups || w->dim[1] != x->dim[1] / attr->groups)
        return TSPK_FAIL(c->err, TSPK_SHAPE,
                         "%" PRId64 " channels in %" PRId64 " groups and a weight for %" PRId64,
                         x->dim[1], attr->groups, w->dim[1]);
    shape.dim[0] = x->dim[0];
    shape.dim[1] = w->dim[0];
    for (int i = 0; i < 2; i++) {
        const int64_t before = attr->pads[i], after = attr->pads[i + 2];
        const int64_t stride = attr->strides[i], dilation = attr->dilations[i];
        const int64_t kernel = w->dim[2 + i];

        if (stride < 1 || stride > limit || dilation < 1 || dilation > limit || before < 0 ||
            before > limit || after < 0 || after > limit || kernel < 1 || kernel > limit)
            return TSPK_FAIL(c->err, TSPK_RANGE,
                             "stride %" PRId64 ", dilation %" PRId64 ", pads %" PRId64
                             " and %" PRId64 ", kernel %" PRId64 " on axis %d",
                             stride, dilation, before, after, kernel, i + 2);
        const int64_t room = x->dim[2 + i] + before + after - dilation * (kernel - 1) - 1;

        if (room < 0)
            return TSPK_FAIL(c->err, TSPK_SHAPE, "kernel of %" PRId64 " over an axis of %" PRId64,
                             kernel, x->dim[2 + i]);
        shape.dim[2 + i] = room / stride + 1;
    }
    if (input(c, 2))
        TSPK_TRY(need_elems(c, input(c, 2), (size_t)w->dim[0], "bias"));
    return need_shape(c, &shape);
}

/* Leading axes have product 1; writes the last two. */
static tspk_status need_tokens(const check *c, const tspk_shape *shape, const char *what,
                               int64_t *tokens_out, int64_t *width_out)
{
    int64_t lead = 1;

    for (int i = 0; i + 2 < shape->rank; i++)
        lead = shape->dim[i] == 1 ? lead : 0;
    if (shape->rank < 2 || lead != 1)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "%s has rank %d, expected [1, tokens, channels]", what,
                         shape->rank);
    *tokens_out = shape->dim[shape->rank - 2];
    *width_out = shape->dim[shape->rank - 1];
    return TSPK_OK;
}

static tspk_status check_attention(const check *c)
{
    const int64_t heads = c->node->attr.heads;
    int64_t queries = 0, q_width = 0, keys = 0, k_width = 0, values = 0, v_width = 0;
    int64_t rows = 0, width = 0;

    TSPK_TRY(need_dtypes(c, TSPK_DTYPE_F32));
    TSPK_TRY(need_tokens(c, in_shape(c, 0), "query", &queries, &q_width));
    TSPK_TRY(need_tokens(c, in_shape(c, 1), "key", &keys, &k_width));
    TSPK_TRY(need_tokens(c, in_shape(c, 2), "value", &values, &v_width));
    TSPK_TRY(need_tokens(c, &output(c)->shape, "output", &rows, &width));
    if (heads < 1 || q_width != k_width || q_width % heads || v_width % heads || keys != values)
        return TSPK_FAIL(c->err, TSPK_SHAPE,
                         "%" PRId64 " heads, query %" PRId64 " wide, key [%" PRId64 ", %" PRId64
                         "], value [%" PRId64 ", %" PRId64 "]",
                         heads, q_width, keys, k_width, values, v_width);
    if (rows != queries || width != v_width)
        return wrong_shape(c, "a row a query, as wide as the value");
    if (input(c, 3)) {
        const tspk_shape *b = in_shape(c, 3);

        const bool is_computed = input(c, 3)->producer != TSPK_ID_NONE;

        if ((is_computed && (b->dim[0] != 1 || b->dim[1] != 1)) || b->rank != 3 ||
            (b->dim[0] != 1 && b->dim[0] != heads) || (b->dim[1] != 1 && b->dim[1] != queries) ||
            b->dim[2] != keys)
            return TSPK_FAIL(c->err, TSPK_SHAPE,
                             "bias of rank %d, expected [1, 1, keys] or a constant [1 or %" PRId64 ", 1 or %" PRId64
                             ", %" PRId64 "]",
                             b->rank, heads, queries, keys);
    }
    return TSPK_OK;
}

static tspk_status need_sizes(const check *c, const tspk_value *sizes, int64_t tokens)
{
    const tspk_shape expected = {.rank = 3, .dim = {1, tokens, 1}};

    if (sizes && (sizes->dtype != TSPK_DTYPE_F32 || !tspk_shape_equal(&sizes->shape, &expected)))
        return TSPK_FAIL(c->err, TSPK_SHAPE, "sizes of rank %d, expected [1, %" PRId64 ", 1]",
                         sizes->shape.rank, tokens);
    return TSPK_OK;
}

static tspk_status check_merge_map(const check *c)
{
    const tspk_attr *const attr = &c->node->attr;
    const int64_t special = attr->starts[0], pairs = attr->steps[0];
    int64_t tokens = 0, width = 0;

    TSPK_TRY(need_tokens(c, in_shape(c, 0), "metric", &tokens, &width));
    if (input(c, 0)->dtype != TSPK_DTYPE_F32 || special < 0 || special > tokens || pairs < 0 || pairs > (tokens - special) / 2)
        return TSPK_FAIL(c->err, TSPK_RANGE,
                         "%" PRId64 " pairs of %" PRId64 " tokens, %" PRId64 " of them special", pairs,
                         tokens, special);
    if (output(c)->dtype != TSPK_DTYPE_I64)
        return wrong_shape(c, "int64");
    return need_shape(c, &(tspk_shape){.rank = 1, .dim = {tokens}});
}

static tspk_status need_map(const check *c, const tspk_value *map, int64_t tokens)
{
    if (map->dtype != TSPK_DTYPE_I64 || map->shape.rank != 1 || map->shape.dim[0] != tokens)
        return TSPK_FAIL(c->err, TSPK_SHAPE, "map of rank %d, expected %" PRId64 " int64",
                         map->shape.rank, tokens);
    return TSPK_OK;
}

static tspk_status check_merge_sizes(const check *c)
{
    const int64_t tokens = (int64_t)tspk_shape_elems(in_shape(c, 0));
    const int64_t rows = (int64_t)tspk_shape_elems(&output(c)->shape);

    TSPK_TRY(need_map(c, input(c, 0), tokens));
    TSPK_TRY(need_sizes(c, input(c, 1), tokens));
    TSPK_TRY(need_sizes(c, output(c), rows));
    return rows <= tokens ? TSPK_OK : wrong_shape(c, "fewer rows than tokens");
}

static tspk_status check_merge(const check *c)
{
    int64_t tokens = 0, width = 0, rows = 0, out_width = 0;

    TSPK_TRY(need_tokens(c, in_shape(c, 0), "input", &tokens, &width));
    TSPK_TRY(need_tokens(c, &output(c)->shape, "output", &rows, &out_width));
    TSPK_TRY(need_map(c, input(c, 1), tokens));
    TSPK_TRY(need_sizes(c, input(c, 2), tokens));
    if (input(c, 0)->dtype != TSPK_DTYPE_F32 || output(c)->dtype != TSPK_DTYPE_F32 ||
        rows > tokens || width != out_width)
        return wrong_shape(c, "no more tokens, of the same width");
    return TSPK_OK;
}

tspk_status tspk_graph_verify_operator(const tspk_graph *graph, const tspk_node *node,
                                       tspk_error *err)
{
    const check here = {graph, node, err};
    const check *const c = &here;
    const tspk_op op = node->op;

    if (tspk_op_is_elementwise(op))
        return check_elementwise(c);
    if (tspk_op_is_movement(op) || op == TSPK_OP_PAD)
        return check_movement(c);
    if (op >= TSPK_OP_REDUCE_MEAN && op <= TSPK_OP_ARG_MAX)
        return check_reduce(c);
    switch (op) {
    case TSPK_OP_RESIZE:
        return check_resize(c);
    case TSPK_OP_SOFTMAX:
    case TSPK_OP_LAYER_NORM:
    case TSPK_OP_RMS_NORM:
        return check_norm(c);
    case TSPK_OP_MATMUL:
        return check_matmul(c);
    case TSPK_OP_LINEAR:
        return check_linear(c);
    case TSPK_OP_CONV:
        return check_conv(c);
    case TSPK_OP_ATTENTION:
        return check_attention(c);
    case TSPK_OP_MERGE_MAP:
        return check_merge_map(c);
    case TSPK_OP_MERGE_SIZES:
        return check_merge_sizes(c);
    case TSPK_OP_MERGE:
        return check_merge(c);
    default:
        return TSPK_FAIL(c->err, TSPK_FORMAT, "operator %d is not known", (int)op);
    }
}
