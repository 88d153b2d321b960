/* SPDX-License-Identifier: Apache-2.0 */
/* The order of work: scan, parse, header, ports, nodes, outputs, sweep, verify. */
#include "convert/onnx_import.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "convert/onnx_importer.h"
#include "convert/onnx_scan.h"
#include "core/fail.h"

#define FILE_FACTOR     8 /* default cap: so many times the files … */
#define MAX_IMAGE_SIZES 16
#define BASE_BYTES      ((size_t)256 * 1024 * 1024) /* … plus this [bytes] */

static void *arena_alloc(void *data, size_t bytes)
{
    return tspk_arena_alloc(data, bytes);
}

static void arena_free(void *data, void *pointer)
{
    (void)data;
    (void)pointer;
}

static size_t cap_for(const tspk_import_settings *settings, const tspk_onnx_files *files)
{
    const size_t bytes = tspk_onnx_files_bytes(files);

    if (settings && settings->memory_cap_bytes)
        return settings->memory_cap_bytes;
    return bytes > (SIZE_MAX - BASE_BYTES) / FILE_FACTOR ? SIZE_MAX
                                                         : FILE_FACTOR * bytes + BASE_BYTES;
}

static tspk_status parse(tspk_onnx_importer *importer, tspk_error *err)
{
    const tspk_mapped_file *const file = tspk_onnx_files_model(importer->files);
    ProtobufCAllocator allocator = {arena_alloc, arena_free, importer->scratch};

    TSPK_TRY(tspk_onnx_scan(file->bytes, file->n_bytes, err));
    TSPK_TRY(tspk_onnx_lean(file->bytes, file->n_bytes, importer->scratch, &importer->lean, err));
    importer->model =
        tspk__onnx__model_proto__unpack(&allocator, importer->lean.n_bytes, importer->lean.bytes);
    if (!importer->model)
        return TSPK_FAIL(err, TSPK_NOMEM,
                         "the model of %zu bytes cannot be parsed within the memory "
                         "cap",
                         file->n_bytes);
    return TSPK_OK;
}

/* --- header --- */

static tspk_status check_opset(const onnx_opset *opset, tspk_error *err)
{
    const long long version = (long long)opset->version;

    if (tspk_onnx_domain(opset->domain)[0])
        return TSPK_OK;
    if (version >= TSPK_ONNX_OPSET_LEAST && version <= TSPK_ONNX_OPSET_MOST)
        return TSPK_OK;
    if (version < 1 || version > 1000)
        return TSPK_FAIL(err, TSPK_FORMAT, "opset %lld does not exist (read are %d to %d)", version,
                         TSPK_ONNX_OPSET_LEAST, TSPK_ONNX_OPSET_MOST);
    return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                     "opset %lld is not supported (%d to %d are): export with opset_version=17",
                     version, TSPK_ONNX_OPSET_LEAST, TSPK_ONNX_OPSET_MOST);
}

static tspk_status check_header(const onnx_model *model, tspk_error *err)
{
    if (!model->has_ir_version || model->ir_version < 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX model: ir_version is missing");
    if (model->ir_version > 1000)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX model: ir_version is %" PRId64,
                         model->ir_version);
    if (!model->graph)
        return TSPK_FAIL(err, TSPK_FORMAT, "the model has no graph");
    if (model->n_opset_import == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "the model imports no operator set");
    if (model->n_opset_import > 1000)
        return TSPK_FAIL(err, TSPK_LIMIT, "the model imports %zu operator sets",
                         model->n_opset_import);
    for (size_t i = 0; i < model->n_opset_import; i++) {
        const char *const domain = tspk_onnx_domain(model->opset_import[i]->domain);

        for (size_t k = 0; k < i; k++)
            if (!strcmp(tspk_onnx_domain(model->opset_import[k]->domain), domain))
                return TSPK_FAIL(err, TSPK_FORMAT, "the domain \"%.60s\" is imported twice",
                                 domain[0] ? domain : "ai.onnx");
        TSPK_TRY(check_opset(model->opset_import[i], err));
    }
    return TSPK_OK;
}

static tspk_status keep_header(tspk_onnx_importer *importer, const tspk_onnx_scope *scope,
                               tspk_error *err)
{
    const onnx_model *const model = importer->model;
    const char *const name = model->producer_name ? model->producer_name : "";
    const char *const version = model->producer_version ? model->producer_version : "";
    char text[256];

    snprintf(text, sizeof text, "%.120s%s%.120s", name, name[0] && version[0] ? " " : "", version);
    importer->graph->producer = tspk_arena_text(importer->graph->arena, text);
    if (!importer->graph->producer)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph");
    importer->graph->opset = tspk_onnx_scope_opset(scope, "");
    return TSPK_OK;
}

/* --- ports --- */

typedef struct batch_axis {
    const char *symbol; /* name of the dynamic batch dimension, NULL when none was met */
    int64_t size;
} batch_axis;

static tspk_status bind_dim(const Tspk__Onnx__TensorShapeProto__Dimension *dim, size_t axis,
                            batch_axis *batch, int64_t image_size, int64_t *size_out,
                            tspk_error *err)
{
    const char *const symbol = dim->dim_param ? dim->dim_param : "";

    if (dim->has_dim_value) {
        if (dim->dim_value < 1 || dim->dim_value > (int64_t)TSPK_MAX_TENSOR_ELEMS)
            return TSPK_FAIL(err, dim->dim_value < 1 ? TSPK_SHAPE : TSPK_LIMIT,
                             "axis %zu has %" PRId64 " elements", axis, dim->dim_value);
        *size_out = dim->dim_value;
        return TSPK_OK;
    }
    if (axis == 0 && !batch->symbol)
        batch->symbol = symbol;
    if (batch->symbol && !strcmp(batch->symbol, symbol) && (symbol[0] || axis == 0)) {
        *size_out = batch->size;
        return TSPK_OK;
    }
    if (image_size && (axis == 2 || axis == 3)) {
        *size_out = image_size;
        return TSPK_OK;
    }
    return TSPK_FAIL(
        err, TSPK_SHAPE,
        "axis %zu (\"%.60s\") has no fixed size: only the batch may be dynamic, height and "
        "width must be fixed when the model is exported",
        axis, symbol);
}

static tspk_status read_port(const onnx_value_info *port, batch_axis *batch, int64_t image_size,
                             tspk_dtype *dtype_out, tspk_shape *shape_out, tspk_error *err)
{
    const Tspk__Onnx__TypeProto *const type = port->type;
    const Tspk__Onnx__TensorShapeProto *shape;
    int elem;

    if (type && (type->has_sequence_type || type->has_map_type || type->has_optional_type ||
                 type->has_sparse_tensor_type))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "the input is a sequence, map, optional or sparse "
                         "tensor: only dense tensors are supported");
    if (!type || !type->tensor_type)
        return TSPK_FAIL(err, TSPK_FORMAT, "the input has no type");
    elem = type->tensor_type->elem_type;
    if (!tspk_onnx_dtype(elem, dtype_out))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "input type %s is not supported: FLOAT [N, C, H, W] is "
                         "expected",
                         tspk_onnx_type_name(elem));
    shape = type->tensor_type->shape;
    if (!shape)
        return TSPK_FAIL(err, TSPK_SHAPE, "the input has no shape: export with fixed sizes");
    if (shape->n_dim > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "the input has rank %zu, at most %d is supported",
                         shape->n_dim, TSPK_MAX_RANK);
    shape_out->rank = (uint8_t)shape->n_dim;
    for (size_t i = 0; i < shape->n_dim; i++)
        TSPK_TRY(bind_dim(shape->dim[i], i, batch, image_size, &shape_out->dim[i], err));
    return TSPK_OK;
}

static tspk_status add_input(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                             const onnx_value_info *port, batch_axis *batch, tspk_error *err)
{
    tspk_graph *const graph = importer->graph;
    tspk_onnx_name *const slot = tspk_onnx_scope_at(scope, port->name);
    tspk_shape shape = {0};
    tspk_dtype dtype;
    size_t elems = 1;

    if (!slot)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
    if (slot->state == TSPK_ONNX_NAME_TENSOR)
        return TSPK_OK;
    if (slot->state != TSPK_ONNX_NAME_EMPTY)
        return TSPK_FAIL(err, TSPK_FORMAT, "the input is listed twice");
    TSPK_TRY(read_port(port, batch, importer->image_size, &dtype, &shape, err));
    for (int i = 0; i < shape.rank; i++) {
        elems *= (size_t)shape.dim[i];
        if (elems > TSPK_MAX_TENSOR_ELEMS)
            return TSPK_FAIL(err, TSPK_LIMIT, "the input has more than %zu elements",
                             TSPK_MAX_TENSOR_ELEMS);
    }
    if (graph->n_inputs == 0 && shape.rank > 0 && !batch->symbol && shape.dim[0] > 1) {
        graph->batch = shape.dim[0];
        graph->is_batch_fixed = true;
    } else if (graph->n_inputs == 0 && batch->symbol) {
        importer->is_batch_dynamic = true;
        graph->batch = batch->size;
    }
    TSPK_TRY(tspk_graph_add_value(graph, port->name, dtype, &shape, &slot->id, err));
    slot->state = TSPK_ONNX_NAME_READY;
    slot->type = port->type->tensor_type->elem_type;
    graph->input[graph->n_inputs++] = slot->id;
    return TSPK_OK;
}

static tspk_status add_inputs(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                              int64_t batch_size, tspk_error *err)
{
    const onnx_graph *const source = importer->model->graph;
    tspk_graph *const graph = importer->graph;
    batch_axis batch = {NULL, batch_size};

    graph->input = tspk_arena_array(graph->arena, source->n_input, sizeof *graph->input);
    if (!graph->input)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu inputs", source->n_input);
    for (size_t i = 0; i < source->n_input; i++) {
        if (!source->input[i]->name || !source->input[i]->name[0])
            return TSPK_FAIL(err, TSPK_FORMAT, "graph input %zu has no name", i);
        TSPK_TRY(tspk_at_tensor(err, add_input(importer, scope, source->input[i], &batch, err),
                                source->input[i]->name));
    }
    return TSPK_OK;
}

/* An output is computed, and by that name: constants, inputs and second names get an Identity. */
static tspk_status add_output(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                              const char *name, tspk_error *err)
{
    tspk_graph *const graph = importer->graph;
    tspk_value_id id, made;
    const char *kept;
    bool is_taken = false;

    TSPK_TRY(tspk_onnx_scope_read(importer, scope, name, &id, NULL, err));
    for (uint32_t i = 0; i < graph->n_outputs; i++) {
        if (!strcmp(graph->value[graph->output[i]].name, name))
            return TSPK_FAIL(err, TSPK_FORMAT, "the output is listed twice");
        is_taken = is_taken || graph->output[i] == id;
    }
    if (is_taken || graph->value[id].producer == TSPK_ID_NONE) {
        const tspk_value value = graph->value[id];

        TSPK_TRY(tspk_graph_add_value(graph, name, value.dtype, &value.shape, &made, err));
        TSPK_TRY(tspk_graph_insert_node(graph, graph->n_nodes, TSPK_OP_IDENTITY, name, "Identity",
                                        &id, 1, &made, 1, NULL, NULL, err));
        id = made;
    } else {
        kept = tspk_arena_text(graph->arena, name);
        if (!kept)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the graph");
        graph->value[id].name = kept;
    }
    graph->output[graph->n_outputs++] = id;
    return TSPK_OK;
}

static tspk_status add_outputs(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                               tspk_error *err)
{
    const onnx_graph *const source = importer->model->graph;
    tspk_graph *const graph = importer->graph;

    if (source->n_output == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "the graph has no output");
    if (source->n_output > TSPK_MAX_NODE_OUTPUTS)
        return TSPK_FAIL(err, TSPK_LIMIT, "the graph has %zu outputs, at most %u are supported",
                         source->n_output, TSPK_MAX_NODE_OUTPUTS);
    graph->output = tspk_arena_array(graph->arena, source->n_output, sizeof *graph->output);
    if (!graph->output)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu outputs", source->n_output);
    for (size_t i = 0; i < source->n_output; i++) {
        const char *const name = source->output[i]->name ? source->output[i]->name : "";

        TSPK_TRY(tspk_at_tensor(err, add_output(importer, scope, name, err), name));
    }
    return TSPK_OK;
}

/* Nodes that no output depends on, walked from the back. */
static tspk_status sweep(tspk_onnx_importer *importer, tspk_error *err)
{
    tspk_graph *const graph = importer->graph;
    bool *const is_read = tspk_arena_array(importer->scratch, graph->n_values, sizeof *is_read);

    if (!is_read)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory to sweep %u values", graph->n_values);
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_read[graph->output[i]] = true;
    for (uint32_t n = graph->n_nodes; n-- > 0;) {
        const tspk_node *const node = &graph->node[n];

        if (!is_read[node->out[0]]) {
            tspk_graph_kill_node(graph, n);
            continue;
        }
        for (uint32_t i = 0; i < node->n_in; i++)
            if (node->in[i] != TSPK_ID_NONE)
                is_read[node->in[i]] = true;
    }
    tspk_graph_sweep(graph);
    return TSPK_OK;
}

/* --- the whole --- */

/* Before the memory caps are set. Those of Constant nodes, functions and branches follow when their
 * node is imported. */
static tspk_status open_external_files(tspk_onnx_importer *importer, tspk_error *err)
{
    const onnx_graph *const source = importer->model->graph;

    for (size_t i = 0; i < source->n_initializer; i++)
        TSPK_TRY(tspk_at_tensor(
            err, tspk_onnx_tensor_open_external(importer, source->initializer[i], err),
            source->initializer[i]->name));
    return TSPK_OK;
}

static tspk_status build(tspk_onnx_importer *importer, const tspk_import_settings *settings,
                         tspk_error *err)
{
    const onnx_model *const model = importer->model;
    const onnx_graph *const source = model->graph;
    tspk_onnx_scope scope = {
        .prefix = "", .opset = model->opset_import, .n_opsets = model->n_opset_import};
    size_t n_names = source->n_input + source->n_initializer;

    if (source->n_sparse_initializer)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "sparse initializers are not supported");
    for (size_t i = 0; i < source->n_node; i++)
        n_names += source->node[i]->n_output;
    TSPK_TRY(keep_header(importer, &scope, err));
    TSPK_TRY(tspk_onnx_index_functions(importer, err));
    TSPK_TRY(tspk_onnx_scope_init(&scope, importer->scratch, n_names, err));
    TSPK_TRY(tspk_onnx_scope_add_tensors(&scope, source->initializer, source->n_initializer, err));
    TSPK_TRY(add_inputs(importer, &scope, settings ? settings->batch : 1, err));
    TSPK_TRY(tspk_onnx_scope_add_nodes(&scope, source->node, source->n_node, err));
    TSPK_TRY(tspk_onnx_import_nodes(importer, &scope, source->node, source->n_node, err));
    TSPK_TRY(add_outputs(importer, &scope, err));
    TSPK_TRY(sweep(importer, err));
    return tspk_graph_verify(importer->graph, err);
}

/* A graph of its own for every attempt. */
static tspk_status attempt(tspk_onnx_importer *importer, const tspk_import_settings *settings,
                           tspk_error *err)
{
    const tspk_arena_mark mark = tspk_arena_mark_now(importer->scratch);
    tspk_status status;

    tspk_graph_free(importer->graph);
    importer->graph = NULL;
    importer->n_visited = importer->depth = 0;
    importer->is_batch_dynamic = false;
    status = tspk_graph_new(cap_for(settings, importer->files), &importer->graph, err);
    if (status == TSPK_OK)
        status = build(importer, settings, err);
    tspk_arena_reset(importer->scratch, mark);
    return status;
}

/* Whether the first image is [batch, C, height, width] with names for the sizes, and the outputs
 * are declared for the same batch: only then a size is guessed. */
static bool has_open_size(const onnx_graph *graph)
{
    const Tspk__Onnx__TensorShapeProto *in, *out;

    if (graph->n_input < 1 || graph->n_output < 1 || !graph->input[0]->type ||
        !graph->input[0]->type->tensor_type || !graph->output[0]->type ||
        !graph->output[0]->type->tensor_type || !graph->input[0]->name)
        return false;
    in = graph->input[0]->type->tensor_type->shape;
    out = graph->output[0]->type->tensor_type->shape;
    if (!in || in->n_dim != 4 || !in->dim[1]->has_dim_value ||
        (in->dim[2]->has_dim_value && in->dim[3]->has_dim_value) || !out || out->n_dim < 1)
        return false;
    if (in->dim[0]->has_dim_value)
        return out->dim[0]->has_dim_value && out->dim[0]->dim_value == in->dim[0]->dim_value;
    return in->dim[0]->dim_param && out->dim[0]->dim_param &&
           !strcmp(in->dim[0]->dim_param, out->dim[0]->dim_param);
}

/* Sizes that tables of that rank imply: the one that makes a network, 0 when none does. */
static tspk_status attempt_tables(tspk_onnx_importer *importer,
                                  const tspk_import_settings *settings, size_t rank,
                                  int64_t *size_out, tspk_error *err)
{
    const onnx_graph *const source = importer->model->graph;
    int64_t size[MAX_IMAGE_SIZES];
    const size_t n = tspk_onnx_guess_image_sizes(source, source->input[0]->name, rank, size,
                                                 TSPK_COUNT_OF(size));
    tspk_graph *found = NULL;

    *size_out = 0;
    for (size_t i = 0; i < n; i++) {
        importer->image_size = size[i];
        if (attempt(importer, settings, NULL) != TSPK_OK)
            continue;
        if (found) {
            tspk_graph_free(found);
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "symbolic height and width: %" PRId64 " and %" PRId64
                             " pixels fit equally; export with a fixed size",
                             *size_out, size[i]);
        }
        found = importer->graph;
        importer->graph = NULL;
        *size_out = size[i];
    }
    if (found) {
        tspk_graph_free(importer->graph);
        importer->graph = found;
    }
    return TSPK_OK;
}

/* A position embedding is most often [1, rows, D]; weights have rank 2 as well. */
static tspk_status attempt_sizes(tspk_onnx_importer *importer, const tspk_import_settings *settings,
                                 tspk_error *err)
{
    int64_t size;

    for (size_t rank = 3; rank >= 2; rank--) {
        TSPK_TRY(attempt_tables(importer, settings, rank, &size, err));
        if (size)
            return TSPK_OK;
    }
    importer->image_size = 0;
    return attempt(importer, settings, err);
}

static tspk_status import(tspk_onnx_importer *importer, const char *path,
                          const tspk_import_settings *settings, tspk_error *err)
{
    TSPK_TRY(tspk_onnx_files_open(path, &importer->files, err));
    importer->scratch = tspk_arena_new(cap_for(settings, importer->files));
    if (!importer->scratch)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the import");
    TSPK_TRY(parse(importer, err));
    TSPK_TRY(check_header(importer->model, err));
    TSPK_TRY(open_external_files(importer, err));
    if (has_open_size(importer->model->graph))
        TSPK_TRY(attempt_sizes(importer, settings, err));
    else
        TSPK_TRY(attempt(importer, settings, err));
    tspk_onnx_files_sha256(importer->files, importer->graph->source_sha256);
    return TSPK_OK;
}

tspk_status tspk_onnx_import(const char *path, const tspk_import_settings *settings,
                             tspk_graph **graph_out, tspk_error *err)
{
    tspk_onnx_importer importer = {0};
    tspk_status status;

    if (settings && settings->batch < 1)
        return TSPK_FAIL(err, TSPK_RANGE, "a batch of %" PRId64, settings->batch);
    status = tspk_in_stage(err, import(&importer, path, settings, err), "import");
    tspk_arena_free(importer.scratch);
    tspk_onnx_files_close(importer.files);
    if (status != TSPK_OK) {
        tspk_graph_free(importer.graph);
        return status;
    }
    *graph_out = importer.graph;
    return TSPK_OK;
}
