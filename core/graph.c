/* SPDX-License-Identifier: Apache-2.0 */
#include "core/graph.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"

#define NO_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the graph")

tspk_status tspk_graph_new(size_t cap_bytes, tspk_graph **graph_out, tspk_error *err)
{
    tspk_graph *graph = calloc(1, sizeof *graph);

    if (!graph)
        return NO_MEMORY(err);
    graph->arena = tspk_arena_new(cap_bytes);
    if (!graph->arena) {
        free(graph);
        return NO_MEMORY(err);
    }
    graph->cap_bytes = cap_bytes;
    graph->batch = 1;
    graph->producer = "";
    *graph_out = graph;
    return TSPK_OK;
}

void tspk_graph_free(tspk_graph *graph)
{
    if (!graph)
        return;
    tspk_arena_free(graph->arena);
    free(graph);
}

tspk_status tspk_graph_clone(const tspk_graph *graph, tspk_graph **clone_out, tspk_error *err)
{
    tspk_graph *clone = NULL;
    tspk_arena *arena;

    TSPK_TRY(tspk_graph_new(0, &clone, err));
    arena = clone->arena;
    *clone = *graph;
    clone->arena = arena;
    clone->is_clone = true;
    clone->cap_values = graph->n_values;
    clone->cap_nodes = graph->n_nodes;
    clone->value = tspk_arena_copy(arena, graph->value, graph->n_values * sizeof *graph->value);
    clone->node = tspk_arena_copy(arena, graph->node, graph->n_nodes * sizeof *graph->node);
    clone->input = tspk_arena_copy(arena, graph->input, graph->n_inputs * sizeof *graph->input);
    clone->output = tspk_arena_copy(arena, graph->output, graph->n_outputs * sizeof *graph->output);
    if (!clone->value || !clone->node || !clone->input || !clone->output)
        goto no_memory;
    for (uint32_t i = 0; i < clone->n_nodes; i++) {
        tspk_node *node = &clone->node[i];

        node->in = tspk_arena_copy(arena, node->in, node->n_in * sizeof *node->in);
        node->out = tspk_arena_copy(arena, node->out, node->n_out * sizeof *node->out);
        if (!node->in || !node->out)
            goto no_memory;
    }
    *clone_out = clone;
    return TSPK_OK;

no_memory:
    tspk_graph_free(clone);
    return NO_MEMORY(err);
}

/* Doubles an arena array; what it leaves behind is freed with the arena. */
static void *grow(tspk_arena *arena, void *old, uint32_t n, uint32_t *cap, size_t size)
{
    const uint32_t more = *cap ? *cap * 2 : 64;
    void *const array = tspk_arena_array(arena, more, size);

    if (!array)
        return NULL;
    if (n)
        memcpy(array, old, n * size);
    *cap = more;
    return array;
}

static const char *keep_text(tspk_graph *graph, const char *text)
{
    return text && text[0] ? tspk_arena_text(graph->arena, text) : "";
}

tspk_status tspk_graph_add_value(tspk_graph *graph, const char *name, tspk_dtype dtype,
                                 const tspk_shape *shape, tspk_value_id *id_out, tspk_error *err)
{
    const char *kept = keep_text(graph, name);

    if (!kept)
        return NO_MEMORY(err);
    if (graph->n_values >= TSPK_MAX_VALUES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u values", TSPK_MAX_VALUES);
    if (graph->n_values == graph->cap_values) {
        tspk_value *more =
            grow(graph->arena, graph->value, graph->n_values, &graph->cap_values, sizeof *more);

        if (!more)
            return NO_MEMORY(err);
        graph->value = more;
    }
    graph->value[graph->n_values] =
        (tspk_value){.name = kept, .dtype = dtype, .shape = *shape, .producer = TSPK_ID_NONE};
    *id_out = graph->n_values++;
    return TSPK_OK;
}

tspk_status tspk_graph_add_constant(tspk_graph *graph, const char *name, const tspk_tensor *tensor,
                                    tspk_value_id *id_out, tspk_error *err)
{
    TSPK_TRY(tspk_graph_add_value(graph, name, tensor->dtype, &tensor->shape, id_out, err));
    graph->value[*id_out].data = tensor->data;
    return TSPK_OK;
}

static tspk_value_id *keep_ids(tspk_graph *graph, const tspk_value_id *ids, uint32_t n)
{
    return tspk_arena_copy(graph->arena, ids, n * sizeof *ids);
}

tspk_status tspk_graph_insert_node(tspk_graph *graph, uint32_t at, tspk_op op, const char *name,
                                   const char *onnx_op, const tspk_value_id *in, uint32_t n_in,
                                   const tspk_value_id *out, uint32_t n_out, const tspk_attr *attr,
                                   tspk_node_id *id_out, tspk_error *err)
{
    tspk_node node = {.op = op, .n_in = n_in, .n_out = n_out};

    node.name = keep_text(graph, name);
    node.onnx_op = keep_text(graph, onnx_op);
    node.in = keep_ids(graph, in, n_in);
    node.out = keep_ids(graph, out, n_out);
    if (!node.name || !node.onnx_op || !node.in || !node.out)
        return NO_MEMORY(err);
    if (attr)
        node.attr = *attr;
    if (graph->n_nodes >= TSPK_MAX_NODES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u nodes", TSPK_MAX_NODES);
    if (graph->n_nodes == graph->cap_nodes) {
        tspk_node *more =
            grow(graph->arena, graph->node, graph->n_nodes, &graph->cap_nodes, sizeof *more);

        if (!more)
            return NO_MEMORY(err);
        graph->node = more;
    }
    if (at < graph->n_nodes) {
        memmove(graph->node + at + 1, graph->node + at,
                (graph->n_nodes - at) * sizeof *graph->node);
        for (uint32_t i = 0; i < graph->n_values; i++)
            if (graph->value[i].producer != TSPK_ID_NONE && graph->value[i].producer >= at)
                graph->value[i].producer++;
    }
    graph->node[at] = node;
    graph->n_nodes++;
    for (uint32_t i = 0; i < n_out; i++)
        graph->value[out[i]].producer = at;
    if (id_out)
        *id_out = at;
    return TSPK_OK;
}

size_t tspk_graph_count_uses(const tspk_graph *graph, tspk_value_id id)
{
    size_t uses = 0;

    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; !graph->node[n].is_dead && i < graph->node[n].n_in; i++)
            uses += graph->node[n].in[i] == id;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        uses += graph->output[i] == id;
    return uses;
}

void tspk_graph_kill_node(tspk_graph *graph, tspk_node_id id)
{
    tspk_node *const node = &graph->node[id];

    node->is_dead = true;
    for (uint32_t i = 0; i < node->n_out; i++)
        if (graph->value[node->out[i]].producer == id)
            graph->value[node->out[i]].producer = TSPK_ID_NONE;
}

void tspk_graph_sweep(tspk_graph *graph)
{
    uint32_t kept = 0;

    for (uint32_t n = 0; n < graph->n_nodes; n++) {
        if (graph->node[n].is_dead)
            continue;
        if (kept != n)
            graph->node[kept] = graph->node[n];
        for (uint32_t i = 0; i < graph->node[kept].n_out; i++)
            graph->value[graph->node[kept].out[i]].producer = kept;
        kept++;
    }
    graph->n_nodes = kept;
}
