/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decomposed activations become Gelu or Silu.
 *
 *   x ─┬▶ Div √2 ─▶ Erf ─▶ Add 1 ─▶ Mul ─▶ Mul 0.5 ─▶ A      →      x ─▶ Gelu ─▶ A
 *      └─────────────────────────────▶┘
 *
 * Recognised by value, not by spelling: the scalar expression around an Erf, Tanh or Sigmoid that
 * depends on one value x alone is computed at a grid of points and compared with GELU (erf and tanh
 * form) and x sigmoid(alpha x).
 * Numeric claim: ≤ 3e-4 absolute, which is what constants rounded to half precision cost; with
 * float32 constants the difference is rounding.
 */
#include <math.h>
#include <string.h>

#include "convert/passes.h"
#include "convert/pattern.h"
#include "core/fail.h"

#define N_POINTS  33
#define MAX_TERMS 24
#define TOLERANCE 3e-4

/* An expression in x: nodes in order with their values at the grid. */
typedef struct expression {
    tspk_value_id x;
    size_t n;
    tspk_value_id value[MAX_TERMS];
    double at[MAX_TERMS][N_POINTS];
} expression;

static double grid_point(int i)
{
    return -6.0 + 12.0 * (i + 0.37) / N_POINTS;
}

static bool find_term(const expression *e, tspk_value_id id, size_t *place)
{
    for (size_t i = 0; i < e->n; i++)
        if (e->value[i] == id) {
            *place = i;
            return true;
        }
    return false;
}

static bool operand_at(const tspk_graph *graph, const expression *e, tspk_value_id id,
                       double out[N_POINTS])
{
    size_t place;
    double scalar;

    if (find_term(e, id, &place)) {
        memcpy(out, e->at[place], sizeof e->at[place]);
        return true;
    }
    if (!tspk_is_uniform(graph, id, &scalar))
        return false;
    for (int i = 0; i < N_POINTS; i++)
        out[i] = scalar;
    return true;
}

static bool apply(tspk_op op, double a, double b, double *out)
{
    switch (op) {
    case TSPK_OP_NEG:
        *out = -a;
        return true;
    case TSPK_OP_EXP:
        *out = exp(a);
        return true;
    case TSPK_OP_RECIPROCAL:
        *out = 1.0 / a;
        return true;
    case TSPK_OP_ERF:
        *out = erf(a);
        return true;
    case TSPK_OP_TANH:
        *out = tanh(a);
        return true;
    case TSPK_OP_SIGMOID:
        *out = 1.0 / (1.0 + exp(-a));
        return true;
    case TSPK_OP_ADD:
        *out = a + b;
        return true;
    case TSPK_OP_SUB:
        *out = a - b;
        return true;
    case TSPK_OP_MUL:
        *out = a * b;
        return true;
    case TSPK_OP_DIV:
        *out = a / b;
        return true;
    case TSPK_OP_POW:
        *out = pow(a, b);
        return true;
    default:
        return false;
    }
}

/* Adds the node's value to the expression; false when it depends on something else. */
static bool add_term(const tspk_graph *graph, expression *e, const tspk_node *node)
{
    double a[N_POINTS], b[N_POINTS] = {0};

    if (e->n == MAX_TERMS || node->n_in < 1 || node->n_in > 2 ||
        !operand_at(graph, e, node->in[0], a) ||
        (node->n_in == 2 && !operand_at(graph, e, node->in[1], b)) ||
        !tspk_shape_equal(&graph->value[node->out[0]].shape, &graph->value[e->x].shape))
        return false;
    for (int i = 0; i < N_POINTS; i++)
        if (!apply(node->op, a[i], b[i], &e->at[e->n][i]))
            return false;
    e->value[e->n++] = node->out[0];
    return true;
}

/* Starts an expression in x and adds what is computed from it alone, up to node `until`. */
static void expand(const tspk_graph *graph, tspk_value_id x, tspk_node_id from, tspk_node_id until,
                   expression *e)
{
    e->x = x;
    e->n = 1;
    e->value[0] = x;
    for (int i = 0; i < N_POINTS; i++)
        e->at[0][i] = grid_point(i);
    for (tspk_node_id n = from; n <= until && n < graph->n_nodes; n++)
        if (!graph->node[n].is_dead)
            add_term(graph, e, &graph->node[n]);
}

typedef struct activation {
    tspk_op op;
    tspk_attr attr;
} activation;

static double distance(const double at[N_POINTS], const activation *f)
{
    double worst = 0.0;

    for (int i = 0; i < N_POINTS; i++) {
        const double x = grid_point(i), root = 0.79788456080286541;
        double y;

        if (f->op == TSPK_OP_SILU)
            y = x / (1.0 + exp(-(double)f->attr.alpha * x));
        else if (f->attr.mode == TSPK_GELU_TANH)
            y = 0.5 * x * (1.0 + tanh(root * (x + 0.044715 * x * x * x)));
        else
            y = 0.5 * x * (1.0 + erf(x * 0.70710678118654752));
        if (!(fabs(at[i] - y) <= worst))
            worst = isnan(at[i]) ? INFINITY : fabs(at[i] - y);
    }
    return worst;
}

/* Which activation the values are, if any: x sigmoid(alpha x) tells its alpha at one point. */
static bool recognise(const double at[N_POINTS], activation *found)
{
    const double x = grid_point(N_POINTS / 2 + 3), share = at[N_POINTS / 2 + 3] / x;
    activation candidates[3] = {{.op = TSPK_OP_GELU, .attr.mode = TSPK_GELU_ERF},
                                {.op = TSPK_OP_GELU, .attr.mode = TSPK_GELU_TANH},
                                {.op = TSPK_OP_SILU}};
    double least = TOLERANCE;
    bool is_found = false;

    if (share > 0.0 && share < 1.0) {
        const double alpha = log(share / (1.0 - share)) / x;

        /* alphas that are written with few digits: 1, 1.702 */
        candidates[2].attr.alpha = (float)(round(alpha * 1e4) / 1e4);
        if (fabs(alpha - round(alpha * 1e4) / 1e4) > 2e-6)
            candidates[2].attr.alpha = (float)alpha;
    }
    for (int i = 0; i < 3; i++)
        if (distance(at, &candidates[i]) < least) {
            least = distance(at, &candidates[i]);
            *found = candidates[i];
            is_found = true;
        }
    return is_found;
}

/* The last value of an expression in x that is an activation. `anchor` must be part of it. */
static bool find_activation(const tspk_graph *graph, tspk_value_id x, tspk_node_id anchor,
                            tspk_node_id *last, activation *found)
{
    const tspk_node_id start = graph->value[x].producer;
    const tspk_node_id from = start == TSPK_ID_NONE ? 0 : start + 1;
    expression e;
    size_t place;

    expand(graph, x, from > anchor || anchor - from > 64 ? anchor : from, anchor + 16, &e);
    if (!find_term(&e, graph->node[anchor].out[0], &place))
        return false;
    for (size_t i = e.n; i-- > place + 1;)
        if (recognise(e.at[i], found)) {
            *last = graph->value[e.value[i]].producer;
            return true;
        }
    return false;
}

/* Values that the argument of the anchor is made of, nearest first. */
static size_t find_arguments(const tspk_graph *graph, const tspk_node *anchor,
                             tspk_value_id args[MAX_TERMS])
{
    size_t n = 0;

    args[n++] = anchor->in[0];
    for (size_t i = 0; i < n && n < MAX_TERMS; i++) {
        const tspk_node *node = tspk_producer(graph, args[i]);

        if (!node || node->op > TSPK_OP_POW || !tspk_op_is_elementwise(node->op))
            continue;
        for (uint32_t k = 0; k < node->n_in && n < MAX_TERMS; k++) {
            bool is_known = graph->value[node->in[k]].data != NULL;

            for (size_t j = 0; j < n; j++)
                is_known = is_known || args[j] == node->in[k];
            if (!is_known)
                args[n++] = node->in[k];
        }
    }
    return n;
}

static bool is_anchor(tspk_op op)
{
    return op == TSPK_OP_ERF || op == TSPK_OP_TANH || op == TSPK_OP_SIGMOID || op == TSPK_OP_EXP;
}

tspk_status tspk_pass_fuse_activation(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                      tspk_error *err)
{
    (void)scratch;
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        tspk_value_id args[MAX_TERMS];
        activation found = {0};
        tspk_node_id last;

        if (graph->node[n].is_dead || !is_anchor(graph->node[n].op) ||
            graph->value[graph->node[n].in[0]].data)
            continue;
        const size_t n_args = find_arguments(graph, &graph->node[n], args);

        for (size_t i = 0; i < n_args; i++)
            if (find_activation(graph, args[i], n, &last, &found)) {
                TSPK_TRY(tspk_rewrite_node(graph, last, found.op, &args[i], 1, &found.attr, err));
                (*changes)++;
                break;
            }
    }
    return TSPK_OK;
}
