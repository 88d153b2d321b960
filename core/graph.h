/* SPDX-License-Identifier: Apache-2.0 */
/* The imported network: values and nodes in arrays, shapes static, batch bound. Values carry the
 * batch as a leading axis of size `batch` (1 unless the file fixes another); a run feeds that many
 * images at a time. */
#ifndef TSPK_CORE_GRAPH_H
#define TSPK_CORE_GRAPH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "core/op.h"
#include "core/tensor.h"
#include "transpike/error.h"

typedef uint32_t tspk_value_id;
typedef uint32_t tspk_node_id;
#define TSPK_ID_NONE UINT32_MAX

typedef struct tspk_value {
    const char *name; /* ONNX name, "" where it has none */
    tspk_dtype dtype;
    tspk_shape shape;
    const void *data;      /* constants: elements, 64-byte aligned; else NULL */
    tspk_node_id producer; /* TSPK_ID_NONE for constants and graph inputs */
    /* Set by the liveness pass on a value of which it left out rows, and not kept in files: how
     * many rows the value had, and which of them each row is. NULL, 0: nothing was left out. */
    const uint32_t *source_row; /* [rows of the shape], ascending, < source_rows */
    uint32_t source_rows;
} tspk_value;

typedef struct tspk_node {
    tspk_op op;
    const char *name;    /* ONNX node name, or the layer path it stands for; never NULL */
    const char *onnx_op; /* ONNX operator that it came from */
    bool is_dead;        /* left out of every walk; swept by tspk_graph_sweep() */
    uint32_t n_in;
    uint32_t n_out;
    tspk_value_id *in; /* [n_in], TSPK_ID_NONE for an absent optional input */
    tspk_value_id *out;
    tspk_attr attr;
} tspk_node;

typedef struct tspk_graph {
    tspk_arena *arena; /* owns everything below */
    tspk_value *value;
    uint32_t n_values, cap_values;
    tspk_node *node; /* in execution order: a node stands after the producers of its inputs */
    uint32_t n_nodes, cap_nodes;
    tspk_value_id *input; /* graph inputs that have no constant */
    uint32_t n_inputs;
    tspk_value_id *output;
    uint32_t n_outputs;
    int64_t batch;          /* images a run; 1 unless the file fixes another */
    bool is_batch_fixed;    /* the file fixes it (a dynamic or unit batch: false) */
    int64_t opset;          /* of the default ONNX domain, as the file says */
    char source_sha256[65]; /* hex digest of the .onnx and of its external data, in order of use */
    const char *producer;   /* exporter, "" when not given */
    size_t cap_bytes;       /* most that the arena, and a pass beside it, may take; 0: no cap */
    bool is_clone;          /* constants belong to another graph: their elements must stay */
} tspk_graph;

/** An empty graph with an arena of its own; cap_bytes caps the arena (0: none). @errors NOMEM */
tspk_status tspk_graph_new(size_t cap_bytes, tspk_graph **graph_out, tspk_error *err);
void tspk_graph_free(tspk_graph *graph);

/** A copy to rewrite. Names, constants and rows are shared: borrowed until `graph` is freed.
 * @errors NOMEM */
tspk_status tspk_graph_clone(const tspk_graph *graph, tspk_graph **clone_out, tspk_error *err);

/** Adds a value without data; name is copied (NULL means ""). @errors LIMIT, NOMEM */
tspk_status tspk_graph_add_value(tspk_graph *graph, const char *name, tspk_dtype dtype,
                                 const tspk_shape *shape, tspk_value_id *id_out, tspk_error *err);

/** Adds a constant; `data` must live as long as the graph (allocate it from graph->arena).
 * @errors LIMIT, NOMEM */
tspk_status tspk_graph_add_constant(tspk_graph *graph, const char *name, const tspk_tensor *tensor,
                                    tspk_value_id *id_out, tspk_error *err);

/**
 * Inserts a node at position `at` (≤ n_nodes; n_nodes appends); ids in `in` and `out` are copied,
 * the names too. Node ids at and after `at` move up by one, producers are kept right. `attr` NULL:
 * zeros.
 * @errors LIMIT, NOMEM
 */
tspk_status tspk_graph_insert_node(tspk_graph *graph, uint32_t at, tspk_op op, const char *name,
                                   const char *onnx_op, const tspk_value_id *in, uint32_t n_in,
                                   const tspk_value_id *out, uint32_t n_out, const tspk_attr *attr,
                                   tspk_node_id *id_out, tspk_error *err);

/** Readers of a value: node inputs and graph outputs together. */
size_t tspk_graph_count_uses(const tspk_graph *graph, tspk_value_id id);

/** Marks a node dead; its outputs lose their producer. */
void tspk_graph_kill_node(tspk_graph *graph, tspk_node_id id);

/** Removes dead nodes and renumbers (values stay). Node ids held outside become invalid. */
void tspk_graph_sweep(tspk_graph *graph);

/**
 * Checks the invariants: ids in range, execution order, one producer a value, dimensions within
 * limits, input counts, shapes of outputs against the operator where they follow from it,
 * attributes within the rank, Gather indices, Linear and Attention operands. TSPK_SHAPE or
 * TSPK_FORMAT, with the node's name, when broken. Run after import, after every pass, and on every
 * graph read from a file.
 */
tspk_status tspk_graph_verify(const tspk_graph *graph, tspk_error *err);

static inline tspk_tensor tspk_value_tensor(const tspk_value *value)
{
    return (tspk_tensor){value->dtype, value->shape, (void *)(uintptr_t)value->data};
}

#endif
