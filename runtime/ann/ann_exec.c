/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/ann/ann_exec.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/ann_plan.h"
#include "runtime/ann/blas.h"
#include "runtime/ann/op_eval.h"

/* What one thread works in. */
typedef struct worker {
    tspk_tensor *view;    /* [n_values] where each value lies; graph inputs change with every run */
    tspk_tensor *operand; /* [most inputs of a node + most outputs] */
    char *scratch;        /* from here on [threads, scratch_bytes] of the node that runs */
    int threads;          /* that share a node: one, or all of them on worker 0 */
    tspk_status status;   /* of the earliest run that failed here */
    size_t failed_run;
    tspk_error err;
} worker;

struct tspk_ann_exec {
    const tspk_graph *graph;
    tspk_arena *arena; /* owns everything below */
    tspk_ann_plan plan;
    uint32_t most_inputs;
    int threads;
    size_t scratch_bytes;        /* a worker */
    worker *worker;              /* [threads] */
    const tspk_ann_trace *trace; /* NULL: none */
};

/* Arguments of one call of tspk_ann_exec_run(). */
typedef struct job {
    tspk_ann_exec *exec;
    const void *const *inputs;
    void *const *outputs;
} job;

static size_t value_bytes(const tspk_value *value)
{
    return tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype);
}

static tspk_status eval_node(const tspk_ann_exec *exec, worker *w, const tspk_node *node,
                             tspk_error *err)
{
    tspk_tensor *const in = w->operand, *const out = w->operand + exec->most_inputs;
    const tspk_ann_trace *const trace = w == exec->worker ? exec->trace : NULL;
    tspk_status status;

    for (uint32_t i = 0; i < node->n_in; i++)
        in[i] = node->in[i] == TSPK_ID_NONE ? (tspk_tensor){0} : w->view[node->in[i]];
    for (uint32_t i = 0; i < node->n_out; i++)
        out[i] = w->view[node->out[i]];
    if (trace)
        trace->enter(trace->context, tspk_op_name(node->op));
    status = tspk_op_eval_threaded(w->threads, node, in, out, w->scratch, exec->scratch_bytes, err);
    if (trace)
        trace->leave(trace->context);
    return status;
}

static tspk_status run_once(const job *j, size_t run, worker *w, tspk_error *err)
{
    const tspk_graph *const graph = j->exec->graph;

    for (uint32_t i = 0; i < graph->n_inputs; i++) {
        const tspk_value_id id = graph->input[i];
        const char *const data = j->inputs[i];

        w->view[id].data = (void *)(uintptr_t)(data + run * value_bytes(&graph->value[id]));
    }
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        if (node->is_dead)
            continue;
        if (j->exec->plan.root[node->out[0]] != node->out[0])
            w->view[node->out[0]].data = w->view[node->in[0]].data;
        else
            TSPK_TRY(eval_node(j->exec, w, node, err));
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        const tspk_value_id id = graph->output[i];
        const size_t bytes = value_bytes(&graph->value[id]);

        if (j->outputs[i] && bytes)
            memcpy((char *)j->outputs[i] + run * bytes, w->view[id].data, bytes);
    }
    return TSPK_OK;
}

static void run_item(void *context, size_t run, int worker_index)
{
    const job *const j = context;
    worker *const w = &j->exec->worker[worker_index];
    tspk_error err;
    tspk_status status;

    tspk_error_init(&err);
    status = run_once(j, run, w, &err);
    if (status != TSPK_OK && (w->status == TSPK_OK || run < w->failed_run)) {
        w->status = status;
        w->failed_run = run;
        w->err = err;
    }
}

tspk_status tspk_ann_exec_run(tspk_ann_exec *exec, size_t n_runs, const void *const *inputs,
                              void *const *outputs, tspk_error *err)
{
    job j = {exec, inputs, outputs};
    const worker *failed = NULL;

    const bool is_side_by_side = n_runs >= (size_t)exec->threads;

    for (int i = 0; i < exec->threads; i++)
        exec->worker[i].status = TSPK_OK;
    exec->worker[0].threads = is_side_by_side ? 1 : exec->threads;
    tspk_parallel_for(is_side_by_side ? exec->threads : 1, n_runs, run_item, &j);
    for (int i = 0; i < exec->threads; i++) {
        const worker *const w = &exec->worker[i];

        if (w->status != TSPK_OK && (!failed || w->failed_run < failed->failed_run))
            failed = w;
    }
    if (!failed)
        return TSPK_OK;
    if (err)
        *err = failed->err;
    return tspk_in_stage(err, failed->status, "ann_run");
}

void tspk_ann_exec_trace(tspk_ann_exec *exec, const tspk_ann_trace *trace)
{
    exec->trace = trace;
}

static size_t most_scratch(const tspk_graph *graph)
{
    size_t most = 0;

    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const size_t bytes =
            graph->node[n].is_dead ? 0 : tspk_op_scratch_bytes(graph, &graph->node[n]);

        most = bytes > most ? bytes : most;
    }
    return most;
}

static bool open_worker(tspk_ann_exec *exec, worker *w, char *scratch, uint32_t n_operands)
{
    const tspk_graph *const graph = exec->graph;
    char *const block = tspk_arena_array(exec->arena, 1, exec->plan.bytes);

    w->view = tspk_arena_array(exec->arena, graph->n_values, sizeof *w->view);
    w->operand = tspk_arena_array(exec->arena, n_operands, sizeof *w->operand);
    if (!block || !w->view || !w->operand)
        return false;
    w->scratch = scratch;
    w->threads = 1;
    for (uint32_t v = 0; v < graph->n_values; v++) {
        w->view[v] = tspk_value_tensor(&graph->value[v]);
        if (exec->plan.offset[v] != SIZE_MAX)
            w->view[v].data = block + exec->plan.offset[v];
    }
    return true;
}

static tspk_status open_workers(tspk_ann_exec *exec, tspk_error *err)
{
    const tspk_graph *const graph = exec->graph;
    uint32_t most_outputs = 0;
    char *scratch;

    exec->scratch_bytes = most_scratch(graph);
    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        const tspk_node *const node = &graph->node[n];

        exec->most_inputs = node->n_in > exec->most_inputs ? node->n_in : exec->most_inputs;
        most_outputs = node->n_out > most_outputs ? node->n_out : most_outputs;
    }
    exec->worker = tspk_arena_array(exec->arena, (size_t)exec->threads, sizeof *exec->worker);
    scratch = tspk_arena_array(exec->arena, (size_t)exec->threads, exec->scratch_bytes);
    for (int i = 0; i < exec->threads; i++)
        if (!exec->worker || !scratch ||
            !open_worker(exec, &exec->worker[i], scratch + (size_t)i * exec->scratch_bytes,
                         exec->most_inputs + most_outputs))
            return TSPK_FAIL(err, TSPK_NOMEM,
                             "no memory for %d threads of %zu bytes of values and %zu of scratch",
                             exec->threads, exec->plan.bytes, exec->scratch_bytes);
    return TSPK_OK;
}

tspk_status tspk_ann_exec_new(const tspk_graph *graph, int threads, tspk_ann_exec **exec_out,
                              tspk_error *err)
{
    tspk_ann_exec *exec;
    tspk_status status;

    if (threads < 1)
        return TSPK_FAIL(err, TSPK_USAGE, "%d threads, expected at least 1", threads);
    exec = calloc(1, sizeof *exec);
    if (!exec)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for an executor");
    exec->graph = graph;
    exec->threads = threads;
    exec->arena = tspk_arena_new(0);
    status = exec->arena ? tspk_ann_plan_make(graph, exec->arena, &exec->plan, err)
                         : TSPK_FAIL(err, TSPK_NOMEM, "no memory for an executor");
    if (status == TSPK_OK)
        status = open_workers(exec, err);
    if (status != TSPK_OK) {
        tspk_ann_exec_free(exec);
        return tspk_in_stage(err, status, "ann_open");
    }
    tspk_blas_be_serial();
    *exec_out = exec;
    return TSPK_OK;
}

void tspk_ann_exec_free(tspk_ann_exec *exec)
{
    if (!exec)
        return;
    tspk_arena_free(exec->arena);
    free(exec);
}
