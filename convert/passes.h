/* SPDX-License-Identifier: Apache-2.0 */
/* Rewrites of the graph, each in its own file, each counting what it changed. */
#ifndef TSPK_CONVERT_PASSES_H
#define TSPK_CONVERT_PASSES_H

#include "core/graph.h"
#include "core/spikegraph.h"

/** graph: rewritten in place; scratch: reset by the caller afterwards; changes: incremented. */
typedef tspk_status (*tspk_pass_fn)(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                    tspk_error *err);

typedef struct tspk_pass {
    const char *name; /* "fuse_layer_norm" */
    const char *what; /* one line for `inspect` */
    tspk_pass_fn run;
} tspk_pass;

/* In the order in which they first run; what each does, its file says. */
tspk_status tspk_pass_drop_neutral(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err);
tspk_status tspk_pass_fold_constants(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                     tspk_error *err);
tspk_status tspk_pass_simplify_movement(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                        tspk_error *err);
tspk_status tspk_pass_fuse_linear(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err);
tspk_status tspk_pass_fuse_layer_norm(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                      tspk_error *err);
tspk_status tspk_pass_fuse_activation(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                      tspk_error *err);
tspk_status tspk_pass_fuse_softmax(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err);
tspk_status tspk_pass_split_linear(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err);
tspk_status tspk_pass_fuse_attention(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                     tspk_error *err);
tspk_status tspk_pass_slice_tokens(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                   tspk_error *err);
tspk_status tspk_pass_name_layers(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err);

/** Runs after every pass; sweeps the graph, so that node ids change. */
tspk_status tspk_pass_remove_dead(tspk_graph *graph, tspk_arena *scratch, size_t *changes,
                                  tspk_error *err);

/** All passes in the order in which they run; *n_out of them. Static table. */
const tspk_pass *tspk_passes(size_t *n_out);

/** Changes that each pass of tspk_passes() made. */
#define TSPK_MAX_PASSES 24
typedef struct tspk_pass_report {
    size_t changes[TSPK_MAX_PASSES];
    tspk_ann_cost source_cost; /* of the whole network, counted before the liveness pass */
} tspk_pass_report;

/** Runs every pass to its fixpoint, verifying the graph after each, with at most the graph's cap of
 * memory beside it. @errors LIMIT, NOMEM, and what verification finds */
tspk_status tspk_run_passes(tspk_graph *graph, tspk_pass_report *report_out, tspk_error *err);

/** Structure of a canonical graph: what each token is and what each product is for. */
typedef struct tspk_structure {
    uint32_t n_classes;        /* token classes found: 1 + special tokens' kinds */
    const uint8_t **row_class; /* [n_values] -> [rows of the value] class per row, or NULL when the
                                  value has no token axis or is upstream of every site (then 0) */
    bool *is_stem;             /* [n_nodes] depends on no product's result that is spike-driven: a
                                  function of the raw image alone (patch embedding, stem) */
    bool *is_head;             /* [n_nodes] Linear that feeds the output with no other Linear,
                                  Attention between */
} tspk_structure;

/** Analyses a canonical graph; arrays come from `arena`. @errors LIMIT, NOMEM */
tspk_status tspk_find_structure(const tspk_graph *graph, tspk_arena *arena,
                                tspk_structure *structure_out, tspk_error *err);

/** The first output that is float32 [batch, classes]: the one that is converted; UINT32_MAX: none.
 */
uint32_t tspk_find_class_output(const tspk_graph *graph);

/** Drops every other output, and runs the passes again when there were others.
 * @errors UNSUPPORTED (no such output), and those of the passes */
tspk_status tspk_keep_class_output(tspk_graph *graph, tspk_error *err);

/** TSPK_OK when the canonical graph can become a spike graph, else the refusal naming the node.
 * @errors UNSUPPORTED, SHAPE, NOMEM */
tspk_status tspk_check_convertible(const tspk_graph *graph, tspk_error *err);

#endif
