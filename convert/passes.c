/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/passes.h"

#include <string.h>

#include "convert/flow.h"
#include "core/compiler.h"
#include "core/fail.h"

/* A pass that still changes the graph after so many rounds goes round in circles. */
#define MAX_ROUNDS 64

static const tspk_pass passes[] = {
    {"drop_neutral", "nodes that change nothing", tspk_pass_drop_neutral},
    {"fold_constants", "constant expressions", tspk_pass_fold_constants},
    {"simplify_movement", "movement that cancels out", tspk_pass_simplify_movement},
    {"fuse_linear", "products with a constant matrix", tspk_pass_fuse_linear},
    {"fuse_layer_norm", "decomposed norms", tspk_pass_fuse_layer_norm},
    {"fuse_activation", "decomposed GELU and SiLU", tspk_pass_fuse_activation},
    {"fuse_softmax", "softmax written out", tspk_pass_fuse_softmax},
    {"split_linear", "Linears that are taken apart", tspk_pass_split_linear},
    {"fuse_attention", "softmax between two products", tspk_pass_fuse_attention},
    {"fold_constants", "constants left by fusion", tspk_pass_fold_constants},
    {"simplify_movement", "movement left by fusion", tspk_pass_simplify_movement},
    {"drop_neutral", "neutral nodes left by fusion", tspk_pass_drop_neutral},
    {"fuse_linear", "products between reshapes left by fusion", tspk_pass_fuse_linear},
    {"slice_tokens", "tokens that reach no output", tspk_pass_slice_tokens},
    {"fold_constants", "constants of fewer tokens", tspk_pass_fold_constants},
    {"simplify_movement", "movement of fewer tokens", tspk_pass_simplify_movement},
    {"drop_neutral", "neutral nodes of fewer tokens", tspk_pass_drop_neutral},
    {"name_layers", "layers named by their path", tspk_pass_name_layers},
};

_Static_assert(TSPK_COUNT_OF(passes) <= TSPK_MAX_PASSES, "tspk_pass_report holds every pass");

const tspk_pass *tspk_passes(size_t *n_out)
{
    *n_out = TSPK_COUNT_OF(passes);
    return passes;
}

static tspk_status run_pass(tspk_graph *graph, const tspk_pass *pass, tspk_arena *scratch,
                            size_t *total, tspk_error *err)
{
    size_t changes = 1;

    for (int round = 0; changes && round < MAX_ROUNDS; round++) {
        const tspk_arena_mark mark = tspk_arena_mark_now(scratch);
        size_t dead = 0;

        changes = 0;
        TSPK_TRY(pass->run(graph, scratch, &changes, err));
        TSPK_TRY(tspk_pass_remove_dead(graph, scratch, &dead, err));
        tspk_arena_reset(scratch, mark);
        TSPK_TRY(tspk_graph_verify(graph, err));
        *total += changes;
        if (pass->run == tspk_pass_name_layers)
            break; /* it reads the file's names, which are gone afterwards */
    }
    return TSPK_OK;
}

static tspk_status run_all(tspk_graph *graph, tspk_arena *scratch, tspk_pass_report *report,
                           tspk_error *err)
{
    for (size_t i = 0; i < TSPK_COUNT_OF(passes); i++) {
        char stage[sizeof err->stage] = "pass_";

        strncat(stage, passes[i].name, sizeof stage - strlen(stage) - 1);
        if (passes[i].run == tspk_pass_slice_tokens)
            TSPK_TRY(tspk_count_cost(graph, scratch, &report->source_cost, err));
        TSPK_TRY(tspk_in_stage(err, run_pass(graph, &passes[i], scratch, &report->changes[i], err),
                               stage));
    }
    return TSPK_OK;
}

tspk_status tspk_run_passes(tspk_graph *graph, tspk_pass_report *report_out, tspk_error *err)
{
    tspk_arena *const scratch = tspk_arena_new(graph->cap_bytes);
    tspk_pass_report report = {0};
    tspk_status status;

    if (!scratch)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the passes");
    status = run_all(graph, scratch, &report, err);
    if (status == TSPK_OK && report_out)
        *report_out = report;
    tspk_arena_free(scratch);
    return status;
}
