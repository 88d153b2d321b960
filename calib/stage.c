/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/stage.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/op_eval.h"

struct tspk_stage {
    const tspk_spikegraph *spikes;
    const tspk_graph *graph;
    const float *images;
    size_t n_images;
    uint32_t n_steps;
    int threads;
    void **live;     /* [n_values] [images, versions, elements], NULL when not live */
    bool *is_static; /* [n_values] */
    uint32_t *uses;  /* [n_values] readers left */
};

static tspk_status no_memory(tspk_error *err, size_t bytes)
{
    return TSPK_FAIL(err, TSPK_NOMEM,
                     "no memory for %zu MiB of activations: fewer images need less", bytes >> 20);
}

static bool is_site_driven(const tspk_spikegraph *spikes, tspk_node_id id)
{
    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        if (spikes->attention[i].node == id)
            return true;
    return spikes->graph->node[id].op == TSPK_OP_LINEAR && spikes->graph->node[id].n_in == 1;
}

static void find_static(tspk_stage *stage)
{
    const tspk_graph *graph = stage->graph;

    for (uint32_t i = 0; i < graph->n_values; i++)
        stage->is_static[i] = true;
    for (tspk_node_id n = 0; n < graph->n_nodes; n++) {
        const tspk_node *node = &graph->node[n];
        bool is_static = !is_site_driven(stage->spikes, n);

        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE) {
                is_static = is_static && stage->is_static[node->in[i]];
                stage->uses[node->in[i]]++;
            }
        is_static |= node->op == TSPK_OP_MERGE_MAP;
        for (uint32_t i = 0; i < node->n_out; i++)
            stage->is_static[node->out[i]] = is_static;
    }
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        stage->uses[graph->output[i]]++;
}

tspk_status tspk_stage_new(const tspk_spikegraph *spikes, const float *images, size_t n_images,
                           uint32_t n_steps, int threads, tspk_stage **stage_out, tspk_error *err)
{
    const uint32_t n_values = spikes->graph->n_values;
    tspk_stage *stage = calloc(1, sizeof *stage);

    if (!stage)
        return no_memory(err, 0);
    *stage = (tspk_stage){.spikes = spikes,
                          .graph = spikes->graph,
                          .images = images,
                          .n_images = n_images,
                          .n_steps = n_steps,
                          .threads = threads};
    stage->live = calloc(n_values, sizeof *stage->live);
    stage->is_static = calloc(n_values, sizeof *stage->is_static);
    stage->uses = calloc(n_values, sizeof *stage->uses);
    if (!stage->live || !stage->is_static || !stage->uses) {
        tspk_stage_free(stage);
        return no_memory(err, 0);
    }
    find_static(stage);
    *stage_out = stage;
    return TSPK_OK;
}

void tspk_stage_free(tspk_stage *stage)
{
    if (!stage)
        return;
    for (uint32_t i = 0; stage->live && i < stage->graph->n_values; i++)
        free(stage->live[i]);
    free(stage->live);
    free(stage->is_static);
    free(stage->uses);
    free(stage);
}

static size_t value_bytes(const tspk_stage *stage, tspk_value_id id)
{
    const tspk_value *value = &stage->graph->value[id];

    return tspk_shape_elems(&value->shape) * tspk_dtype_bytes(value->dtype);
}

static size_t versions_of(const tspk_stage *stage, tspk_value_id id)
{
    return stage->is_static[id] ? 1 : (size_t)stage->n_steps + 1;
}

/* What a site-driven node holds of one image beside its values: membranes, decoded operands, and of
 * an Attention its numerators twice. */
static size_t fitting_bytes(const tspk_stage *stage, const tspk_node *node)
{
    const tspk_graph *graph = stage->graph;
    const size_t rows = tspk_shape_rows(&graph->value[node->in[0]].shape);
    size_t elems = tspk_shape_elems(&graph->value[node->in[0]].shape);

    if (node->op == TSPK_OP_ATTENTION) {
        const size_t keys = tspk_shape_rows(&graph->value[node->in[1]].shape);

        for (int i = 1; i < 3; i++)
            elems += tspk_shape_elems(&graph->value[node->in[i]].shape);
        elems = elems * stage->n_steps + 2 * node->attr.heads * rows * keys;
    }
    return elems * sizeof(float);
}

tspk_status tspk_stage_image_bytes(const tspk_spikegraph *spikes, uint32_t n_steps,
                                   size_t *bytes_out, tspk_error *err)
{
    const tspk_graph *graph = spikes->graph;
    tspk_stage *stage = NULL;
    size_t live = 0, peak = 0;

    TSPK_TRY(tspk_stage_new(spikes, NULL, 1, n_steps, 1, &stage, err));
    for (tspk_node_id id = 0; id < graph->n_nodes; id++) {
        const tspk_node *node = &graph->node[id];
        size_t here;

        for (uint32_t i = 0; i < node->n_out; i++)
            live += versions_of(stage, node->out[i]) * value_bytes(stage, node->out[i]);
        here = live + (is_site_driven(spikes, id) ? fitting_bytes(stage, node) : 0);
        peak = here > peak ? here : peak;
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE && !graph->value[node->in[i]].data &&
                node->in[i] != graph->input[0] && --stage->uses[node->in[i]] == 0)
                live -= versions_of(stage, node->in[i]) * value_bytes(stage, node->in[i]);
    }
    peak += value_bytes(stage, graph->input[0]);
    tspk_stage_free(stage);
    *bytes_out = peak;
    return TSPK_OK;
}

size_t tspk_stage_images(const tspk_stage *stage)
{
    return stage->n_images;
}

float *tspk_stage_at(const tspk_stage *stage, tspk_value_id id, size_t image, uint32_t version)
{
    const size_t bytes = value_bytes(stage, id);
    const size_t versions = versions_of(stage, id);

    if (stage->graph->value[id].data)
        return (float *)(uintptr_t)stage->graph->value[id].data;
    if (id == stage->graph->input[0])
        return (float *)(uintptr_t)(stage->images + image * bytes / sizeof(float));
    if (stage->is_static[id])
        version = 0;
    return (float *)(void *)((char *)stage->live[id] + (image * versions + version) * bytes);
}

tspk_status tspk_stage_make(tspk_stage *stage, tspk_value_id id, tspk_error *err)
{
    const size_t versions = versions_of(stage, id);
    const size_t bytes = stage->n_images * versions * value_bytes(stage, id);

    stage->live[id] = malloc(bytes ? bytes : 1);
    return stage->live[id] ? TSPK_OK : no_memory(err, bytes);
}

void tspk_stage_release(tspk_stage *stage, tspk_value_id id)
{
    if (id == TSPK_ID_NONE || stage->uses[id] == 0 || --stage->uses[id] > 0)
        return;
    free(stage->live[id]);
    stage->live[id] = NULL;
}

typedef struct evaluation {
    tspk_stage *stage;
    const tspk_node *node;
    uint32_t n_versions;
    size_t scratch_bytes;
    char *scratch; /* [threads, scratch_bytes] */
    char *failed;  /* [images] */
} evaluation;

static tspk_tensor view(const tspk_stage *stage, tspk_value_id id, size_t image, uint32_t version)
{
    tspk_tensor tensor = {.dtype = TSPK_DTYPE_F32};

    if (id != TSPK_ID_NONE) {
        tensor.dtype = stage->graph->value[id].dtype;
        tensor.shape = stage->graph->value[id].shape;
        tensor.data = tspk_stage_at(stage, id, image, version);
    }
    return tensor;
}

static void eval_image(void *context, size_t image, int worker)
{
    const evaluation *e = context;
    tspk_tensor in[TSPK_MAX_NODE_INPUTS], out[TSPK_MAX_NODE_OUTPUTS];
    void *const scratch = e->scratch + (size_t)worker * e->scratch_bytes;

    for (uint32_t v = 0; v < e->n_versions; v++) {
        /* every version merges by the map of step 1 */
        const uint32_t from = e->node->op == TSPK_OP_MERGE_MAP ? 1 : v;

        for (uint32_t i = 0; i < e->node->n_in; i++)
            in[i] = view(e->stage, e->node->in[i], image, from);
        for (uint32_t i = 0; i < e->node->n_out; i++)
            out[i] = view(e->stage, e->node->out[i], image, v);
        if (tspk_op_eval(e->node, in, out, scratch, NULL) != TSPK_OK)
            e->failed[image] = 1;
    }
}

tspk_status tspk_stage_eval(tspk_stage *stage, tspk_node_id id, tspk_error *err)
{
    const tspk_node *node = &stage->graph->node[id];
    const bool is_static = stage->is_static[node->out[0]];
    evaluation e = {.stage = stage, .node = node, .n_versions = is_static ? 1 : stage->n_steps + 1};
    tspk_status status = TSPK_OK;

    for (uint32_t i = 0; i < node->n_out && status == TSPK_OK; i++)
        status = tspk_stage_make(stage, node->out[i], err);
    e.scratch_bytes = (tspk_op_scratch_bytes(stage->graph, node) + 63) / 64 * 64;
    e.scratch = aligned_alloc(64, (size_t)stage->threads * e.scratch_bytes + 64);
    e.failed = calloc(stage->n_images, 1);
    if (status == TSPK_OK && (!e.scratch || !e.failed))
        status = no_memory(err, e.scratch_bytes * (size_t)stage->threads);
    if (status == TSPK_OK) {
        tspk_parallel_for(stage->threads, stage->n_images, eval_image, &e);
        if (memchr(e.failed, 1, stage->n_images))
            status = TSPK_FAIL(err, TSPK_UNSUPPORTED, "cannot be evaluated during calibration");
    }
    free(e.scratch);
    free(e.failed);
    for (uint32_t i = 0; i < node->n_in && status == TSPK_OK; i++)
        tspk_stage_release(stage, node->in[i]);
    return tspk_at_node(err, status, node->name, tspk_op_name(node->op));
}
