/* SPDX-License-Identifier: Apache-2.0 */
/* The public source network: import, passes, ports. */
#include "convert/model.h"

#include <stdlib.h>

#include "convert/onnx_import.h"
#include "core/fail.h"

void tspk_model_default_settings(tspk_model_settings *settings)
{
    *settings = (tspk_model_settings){0};
}

static tspk_status open_model(tspk_model *model, const char *path,
                              const tspk_model_settings *settings, tspk_error *err)
{
    const tspk_import_settings import = {.memory_cap_bytes = settings->memory_cap_bytes,
                                         .batch = 1};

    model->is_raw = settings->is_raw;
    TSPK_TRY(tspk_onnx_import(path, &import, &model->graph, err));
    if (model->is_raw)
        return TSPK_OK;
    return tspk_in_stage(err, tspk_run_passes(model->graph, &model->report, err), "passes");
}

tspk_status tspk_model_open(const char *path, const tspk_model_settings *settings,
                            tspk_model **model_out, tspk_error *err)
{
    tspk_model_settings defaults;
    tspk_model *model;
    tspk_status status;

    tspk_error_init(err);
    tspk_model_default_settings(&defaults);
    if (!path)
        return TSPK_FAIL(err, TSPK_USAGE, "no path was given");
    model = calloc(1, sizeof *model);
    if (!model)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a model");
    status = open_model(model, path, settings ? settings : &defaults, err);
    if (status != TSPK_OK) {
        tspk_model_close(model);
        return status;
    }
    *model_out = model;
    return TSPK_OK;
}

void tspk_model_close(tspk_model *model)
{
    if (!model)
        return;
    tspk_graph_free(model->graph);
    free(model);
}

size_t tspk_model_count_inputs(const tspk_model *model)
{
    return model->graph->n_inputs;
}

size_t tspk_model_count_outputs(const tspk_model *model)
{
    return model->graph->n_outputs;
}

static tspk_status port(const tspk_graph *graph, const tspk_value_id *ids, uint32_t n, size_t i,
                        tspk_port *port_out)
{
    tspk_port p = {0};

    if (i >= n)
        return TSPK_RANGE;
    p.name = graph->value[ids[i]].name;
    p.rank = graph->value[ids[i]].shape.rank;
    for (int k = 0; k < p.rank; k++)
        p.dim[k] = graph->value[ids[i]].shape.dim[k];
    p.dtype = (int)graph->value[ids[i]].dtype;
    *port_out = p;
    return TSPK_OK;
}

tspk_status tspk_model_input(const tspk_model *model, size_t i, tspk_port *port_out)
{
    return port(model->graph, model->graph->input, model->graph->n_inputs, i, port_out);
}

tspk_status tspk_model_output(const tspk_model *model, size_t i, tspk_port *port_out)
{
    return port(model->graph, model->graph->output, model->graph->n_outputs, i, port_out);
}

int64_t tspk_model_batch(const tspk_model *model)
{
    return model->graph->batch;
}

const char *tspk_model_sha256(const tspk_model *model)
{
    return model->graph->source_sha256;
}

tspk_status tspk_model_check_convertible(const tspk_model *model, tspk_error *err)
{
    if (model->is_raw)
        return TSPK_FAIL(err, TSPK_USAGE, "the model was opened without recognition passes");
    return tspk_in_stage(err, tspk_check_convertible(model->graph, err), "convertible");
}

void tspk_text_free(char *text)
{
    free(text);
}
