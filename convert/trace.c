/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/trace.h"

#include "convert/pattern.h"
#include "core/fail.h"
#include "runtime/ann/op_eval.h"

/* A chain is cut here: what lies further back counts as the source. */
#define MAX_CHAIN        64
#define MAX_TRACED_ELEMS ((size_t)1 << 24)

bool tspk_is_mover(const tspk_graph *graph, const tspk_node *node)
{
    switch (node->op) {
    case TSPK_OP_IDENTITY:
    case TSPK_OP_RESHAPE:
    case TSPK_OP_TRANSPOSE:
    case TSPK_OP_SLICE:
    case TSPK_OP_EXPAND:
    case TSPK_OP_TILE:
        return true;
    case TSPK_OP_GATHER:
        return graph->value[node->in[1]].data != NULL;
    default:
        return false;
    }
}

/* One step back; false when the chain starts at *id. */
static bool step_back(const tspk_graph *graph, bool with_scalars, tspk_value_id *id, double *factor)
{
    const tspk_node *node = tspk_producer(graph, *id);
    tspk_value_id x;
    double scalar;

    if (!node)
        return false;
    if (tspk_is_mover(graph, node)) {
        if (tspk_shape_elems(&graph->value[*id].shape) > MAX_TRACED_ELEMS ||
            tspk_shape_elems(&graph->value[node->in[0]].shape) > MAX_TRACED_ELEMS)
            return false;
        *id = node->in[0];
        return true;
    }
    if (with_scalars && tspk_match_factor(graph, node, &x, &scalar)) {
        *factor *= scalar;
        *id = x;
        return true;
    }
    return false;
}

tspk_status tspk_move_labels(const tspk_graph *graph, const tspk_node *node, const int64_t *from,
                             int64_t *buffer, tspk_arena *scratch, const int64_t **to_out,
                             tspk_error *err)
{
    tspk_tensor in[2] = {
        {TSPK_DTYPE_I64, graph->value[node->in[0]].shape, (void *)(uintptr_t)from}};
    tspk_tensor out = {TSPK_DTYPE_I64, graph->value[node->out[0]].shape, buffer};
    void *work;

    if (node->op == TSPK_OP_RESHAPE || node->op == TSPK_OP_IDENTITY) {
        *to_out = from;
        return TSPK_OK;
    }
    if (node->n_in == 2)
        in[1] = tspk_value_tensor(&graph->value[node->in[1]]);
    work = tspk_arena_alloc(scratch, tspk_op_scratch_bytes(graph, node));
    if (!work)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to trace movement");
    TSPK_TRY(tspk_at_node(err, tspk_op_eval(node, in, &out, work, err), node->name,
                          tspk_op_name(node->op)));
    *to_out = buffer;
    return TSPK_OK;
}

tspk_status tspk_trace_back(const tspk_graph *graph, tspk_value_id id, bool with_scalars,
                            tspk_arena *scratch, tspk_trace *trace_out, tspk_error *err)
{
    tspk_trace trace = {.root = id, .factor = 1.0};
    tspk_value_id chain[MAX_CHAIN];
    tspk_value_id at = id;
    size_t most = tspk_shape_elems(&graph->value[id].shape), elems;
    int64_t *buffer[2];
    int next = 1;

    while (trace.n_steps < MAX_CHAIN) {
        chain[trace.n_steps] = at;
        if (!step_back(graph, with_scalars, &at, &trace.factor))
            break;
        trace.n_steps++;
        elems = tspk_shape_elems(&graph->value[at].shape);
        most = elems > most ? elems : most;
    }
    trace.root = at;
    if (most > TSPK_MAX_TRACED_ELEMS)
        return tspk_at_tensor(err,
                              TSPK_FAIL(err, TSPK_LIMIT, "%zu elements are moved, at most %zu",
                                        most, TSPK_MAX_TRACED_ELEMS),
                              graph->value[id].name);
    for (int i = 0; i < 2; i++) {
        buffer[i] = tspk_arena_array(scratch, most + 1, sizeof *buffer[i]);
        if (!buffer[i])
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory to trace %zu elements", most);
    }
    elems = tspk_shape_elems(&graph->value[at].shape);
    for (size_t i = 0; i < elems; i++)
        buffer[0][i] = (int64_t)i;
    trace.index = buffer[0];
    for (uint32_t i = trace.n_steps; i-- > 0;) {
        const tspk_node *node = tspk_producer(graph, chain[i]);
        const int64_t *before = trace.index;

        if (!tspk_is_mover(graph, node))
            continue;
        TSPK_TRY(tspk_move_labels(graph, node, before, buffer[next], scratch, &trace.index, err));
        next = trace.index == before ? next : 1 - next;
    }
    *trace_out = trace;
    return TSPK_OK;
}
