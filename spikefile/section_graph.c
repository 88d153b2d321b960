/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "core/checked.h"
#include "core/fail.h"
#include "spikefile/sections.h"

static tspk_npy_type npy_type(tspk_dtype dtype)
{
    switch (dtype) {
    case TSPK_DTYPE_I64:
        return TSPK_NPY_I8;
    case TSPK_DTYPE_BOOL:
        return TSPK_NPY_B1;
    case TSPK_DTYPE_F32:
        break;
    }
    return TSPK_NPY_F4;
}

static void constant_name(uint32_t value, char name[TSPK_MAX_MEMBER_NAME])
{
    snprintf(name, TSPK_MAX_MEMBER_NAME, "constant/%u.npy", value);
}

/* --- writing --- */

/* Elements up to the last that is not zero. */
static size_t trim(const int64_t *x, size_t n)
{
    while (n && !x[n - 1])
        n--;
    return n;
}

static Spike__Attr *describe_attr(const tspk_attr *attr, tspk_arena *arena)
{
    Spike__Attr *const to = tspk_arena_alloc(arena, sizeof *to);

    if (!to)
        return NULL;
    spike__attr__init(to);
    to->axis = attr->axis;
    to->n_axes = attr->n_axes;
    to->axes = tspk_unconst(attr->axes);
    to->n_starts = trim(attr->starts, TSPK_MAX_RANK);
    to->starts = tspk_unconst(attr->starts);
    to->n_steps = trim(attr->steps, TSPK_MAX_RANK);
    to->steps = tspk_unconst(attr->steps);
    to->n_pads = trim(attr->pads, 4);
    to->pads = tspk_unconst(attr->pads);
    to->n_strides = trim(attr->strides, 2);
    to->strides = tspk_unconst(attr->strides);
    to->n_dilations = trim(attr->dilations, 2);
    to->dilations = tspk_unconst(attr->dilations);
    to->groups = attr->groups;
    to->mode = attr->mode;
    to->epsilon = attr->epsilon;
    to->alpha = attr->alpha;
    to->beta = attr->beta;
    to->scale = attr->scale;
    to->heads = attr->heads;
    to->n_rows = attr->n_rows;
    to->rows = tspk_unconst(attr->rows);
    to->n_factor = TSPK_MAX_RANK;
    while (to->n_factor && attr->factor[to->n_factor - 1] == 0.0f)
        to->n_factor--;
    to->factor = tspk_unconst(attr->factor);
    return to;
}

static tspk_status write_nodes(const tspk_graph *graph, tspk_arena *arena, Spike__Graph *to,
                               tspk_error *err)
{
    Spike__Node *const nodes = tspk_arena_array(arena, graph->n_nodes, sizeof *nodes);

    to->nodes = tspk_arena_array(arena, graph->n_nodes, sizeof *to->nodes);
    if (!nodes || !to->nodes)
        return TSPK_NO_SECTION_MEMORY(err);
    to->n_nodes = graph->n_nodes;
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        const tspk_node *const node = &graph->node[i];

        spike__node__init(&nodes[i]);
        nodes[i].op = tspk_unconst(tspk_op_name(node->op));
        nodes[i].name = tspk_unconst(node->name);
        nodes[i].onnx_op = tspk_unconst(node->onnx_op);
        nodes[i].n_inputs = node->n_in;
        nodes[i].inputs = node->in;
        nodes[i].n_outputs = node->n_out;
        nodes[i].outputs = node->out;
        nodes[i].attr = describe_attr(&node->attr, arena);
        if (!nodes[i].attr)
            return TSPK_NO_SECTION_MEMORY(err);
        to->nodes[i] = &nodes[i];
    }
    return TSPK_OK;
}

/* Marks the values that a node reads or that leave the graph: other constants are left behind. */
static bool *find_read(const tspk_graph *graph, tspk_arena *arena)
{
    bool *const is_read = tspk_arena_array(arena, graph->n_values, sizeof *is_read);

    if (!is_read)
        return NULL;
    for (uint32_t n = 0; n < graph->n_nodes; n++)
        for (uint32_t i = 0; i < graph->node[n].n_in; i++)
            if (graph->node[n].in[i] != TSPK_ID_NONE)
                is_read[graph->node[n].in[i]] = true;
    for (uint32_t i = 0; i < graph->n_outputs; i++)
        is_read[graph->output[i]] = true;
    return is_read;
}

static tspk_status write_values(const tspk_graph *graph, tspk_members *members, Spike__Graph *to,
                                tspk_error *err)
{
    const bool *const is_read = find_read(graph, members->arena);
    Spike__Value *const values = tspk_arena_array(members->arena, graph->n_values, sizeof *values);

    to->values = tspk_arena_array(members->arena, graph->n_values, sizeof *to->values);
    if (!is_read || !values || !to->values)
        return TSPK_NO_SECTION_MEMORY(err);
    to->n_values = graph->n_values;
    for (uint32_t i = 0; i < graph->n_values; i++) {
        const tspk_value *const value = &graph->value[i];
        char name[TSPK_MAX_MEMBER_NAME];

        spike__value__init(&values[i]);
        values[i].name = tspk_unconst(value->name);
        values[i].dtype = (Spike__DataType)value->dtype;
        values[i].n_shape = value->shape.rank;
        values[i].shape = tspk_unconst(value->shape.dim);
        to->values[i] = &values[i];
        if (!value->data || !is_read[i])
            continue;
        constant_name(i, name);
        TSPK_TRY(tspk_members_add(members, name, npy_type(value->dtype), &value->shape, value->data,
                                  &values[i].constant, err));
    }
    return TSPK_OK;
}

tspk_status tspk_section_graph_write(const tspk_graph *graph, tspk_members *members,
                                     Spike__File *file, tspk_error *err)
{
    Spike__Graph *const to = tspk_arena_alloc(members->arena, sizeof *to);

    if (!to)
        return TSPK_NO_SECTION_MEMORY(err);
    spike__graph__init(to);
    to->n_inputs = graph->n_inputs;
    to->inputs = graph->input;
    to->n_outputs = graph->n_outputs;
    to->outputs = graph->output;
    to->batch = graph->batch;
    to->batch_fixed = graph->is_batch_fixed;
    to->opset = graph->opset;
    to->source_sha256 = tspk_unconst(graph->source_sha256);
    to->producer = tspk_unconst(graph->producer ? graph->producer : "");
    file->graph = to;
    TSPK_TRY(write_nodes(graph, members->arena, to, err));
    return write_values(graph, members, to, err);
}

/* --- reading --- */

static tspk_status copy_dims(const int64_t *from, size_t n, size_t most, const char *what,
                             int64_t *to, tspk_error *err)
{
    if (n > most)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu entries of %s, at most %zu", n, what, most);
    if (n)
        memcpy(to, from, n * sizeof *to);
    return TSPK_OK;
}

static tspk_status read_attr(const Spike__Attr *from, tspk_arena *arena, tspk_attr *attr,
                             tspk_error *err)
{
    TSPK_TRY(copy_dims(from->axes, from->n_axes, TSPK_MAX_RANK, "axes", attr->axes, err));
    TSPK_TRY(copy_dims(from->starts, from->n_starts, TSPK_MAX_RANK, "starts", attr->starts, err));
    TSPK_TRY(copy_dims(from->steps, from->n_steps, TSPK_MAX_RANK, "steps", attr->steps, err));
    TSPK_TRY(copy_dims(from->pads, from->n_pads, 4, "pads", attr->pads, err));
    TSPK_TRY(copy_dims(from->strides, from->n_strides, 2, "strides", attr->strides, err));
    TSPK_TRY(copy_dims(from->dilations, from->n_dilations, 2, "dilations", attr->dilations, err));
    if (from->n_factor > TSPK_MAX_RANK || from->n_rows > TSPK_MAX_TENSOR_ELEMS)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu factors and %zu rows", from->n_factor, from->n_rows);
    for (size_t i = 0; i < from->n_factor; i++)
        attr->factor[i] = from->factor[i];
    attr->axis = from->axis;
    attr->n_axes = (uint8_t)from->n_axes;
    attr->groups = from->groups;
    attr->mode = from->mode;
    attr->epsilon = from->epsilon;
    attr->alpha = from->alpha;
    attr->beta = from->beta;
    attr->scale = from->scale;
    attr->heads = from->heads;
    attr->n_rows = (uint32_t)from->n_rows;
    if (from->n_rows) {
        attr->rows = tspk_arena_copy(arena, from->rows, from->n_rows * sizeof *from->rows);
        if (!attr->rows)
            return TSPK_NO_SECTION_MEMORY(err);
    }
    return TSPK_OK;
}

static tspk_status check_ids(const uint32_t *ids, size_t n, size_t most, bool may_be_absent,
                             const tspk_graph *graph, const char *what, tspk_error *err)
{
    if (n > most)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu %ss, at most %zu", n, what, most);
    for (size_t i = 0; i < n; i++)
        if (ids[i] >= graph->n_values && !(may_be_absent && ids[i] == TSPK_ID_NONE))
            return TSPK_FAIL(err, TSPK_FORMAT, "%s %zu is value %u of %u", what, i, ids[i],
                             graph->n_values);
    return TSPK_OK;
}

static tspk_status read_node(const Spike__Node *from, tspk_graph *graph, tspk_error *err)
{
    const tspk_op op = tspk_op_from_name(from->op);
    tspk_attr attr = {0};

    if (op >= TSPK_OP_COUNT)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "operator \"%.64s\" is unknown", from->op);
    if (strlen(from->name) > TSPK_MAX_NAME_BYTES || strlen(from->onnx_op) > TSPK_MAX_NAME_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "a name of more than %u bytes", TSPK_MAX_NAME_BYTES);
    TSPK_TRY(
        check_ids(from->inputs, from->n_inputs, TSPK_MAX_NODE_INPUTS, true, graph, "input", err));
    TSPK_TRY(check_ids(from->outputs, from->n_outputs, TSPK_MAX_NODE_OUTPUTS, false, graph,
                       "output", err));
    for (size_t i = 0; i < from->n_outputs; i++)
        if (graph->value[from->outputs[i]].producer != TSPK_ID_NONE)
            return TSPK_FAIL(err, TSPK_FORMAT, "output %zu has a producer already", i);
    if (from->attr)
        TSPK_TRY(read_attr(from->attr, graph->arena, &attr, err));
    return tspk_graph_insert_node(graph, graph->n_nodes, op, from->name, from->onnx_op,
                                  from->inputs, (uint32_t)from->n_inputs, from->outputs,
                                  (uint32_t)from->n_outputs, &attr, NULL, err);
}

static tspk_status read_constant(const Spike__Value *from, tspk_container *container,
                                 tspk_graph *graph, tspk_value_id id, tspk_error *err)
{
    tspk_value *const value = &graph->value[id];
    void *data;

    TSPK_TRY(tspk_container_take(container, from->constant, "constant", npy_type(value->dtype),
                                 &value->shape, graph->arena, &data, err));
    if (value->dtype == TSPK_DTYPE_BOOL)
        for (size_t i = 0; i < tspk_shape_elems(&value->shape); i++)
            if (((const uint8_t *)data)[i] > 1)
                return tspk_at_tensor(err,
                                      TSPK_FAIL(err, TSPK_RANGE, "element %zu is not 0 or 1", i),
                                      from->constant->member);
    value->data = data;
    return TSPK_OK;
}

static tspk_status read_value(const Spike__Value *from, tspk_container *container,
                              tspk_graph *graph, tspk_error *err)
{
    tspk_shape shape = {0};
    tspk_value_id id;
    size_t elems;

    if (from->dtype < SPIKE__DATA_TYPE__FLOAT32 || from->dtype > SPIKE__DATA_TYPE__BOOL)
        return TSPK_FAIL(err, TSPK_FORMAT, "data type %d is unknown", (int)from->dtype);
    if (strlen(from->name) > TSPK_MAX_NAME_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT, "a name of more than %u bytes", TSPK_MAX_NAME_BYTES);
    TSPK_TRY(copy_dims(from->shape, from->n_shape, TSPK_MAX_RANK, "shape", shape.dim, err));
    shape.rank = (uint8_t)from->n_shape;
    if (!tspk_checked_elems(shape.dim, shape.rank, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "a shape with more than %zu elements",
                         TSPK_MAX_TENSOR_ELEMS);
    TSPK_TRY(tspk_graph_add_value(graph, from->name, (tspk_dtype)from->dtype, &shape, &id, err));
    return from->constant ? read_constant(from, container, graph, id, err) : TSPK_OK;
}

static tspk_status read_ports(const uint32_t *ids, size_t n, tspk_graph *graph, const char *what,
                              tspk_value_id **ids_out, uint32_t *n_out, tspk_error *err)
{
    TSPK_TRY(check_ids(ids, n, TSPK_MAX_NODE_INPUTS, false, graph, what, err));
    *ids_out = tspk_arena_copy(graph->arena, ids, n * sizeof *ids);
    if (!*ids_out)
        return TSPK_NO_SECTION_MEMORY(err);
    *n_out = (uint32_t)n;
    return TSPK_OK;
}

static tspk_status read_header(const Spike__Graph *from, tspk_graph *graph, tspk_error *err)
{
    if (from->batch < 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "batch %lld", (long long)from->batch);
    if (strlen(from->source_sha256) >= sizeof graph->source_sha256)
        return TSPK_FAIL(err, TSPK_LIMIT, "the digest of the source has %zu digits",
                         strlen(from->source_sha256));
    memcpy(graph->source_sha256, from->source_sha256, strlen(from->source_sha256) + 1);
    graph->batch = from->batch;
    graph->is_batch_fixed = from->batch_fixed;
    graph->opset = from->opset;
    TSPK_TRY(tspk_section_text(graph->arena, from->producer, TSPK_MAX_NAME_BYTES, "the producer",
                               &graph->producer, err));
    TSPK_TRY(read_ports(from->inputs, from->n_inputs, graph, "graph input", &graph->input,
                        &graph->n_inputs, err));
    return read_ports(from->outputs, from->n_outputs, graph, "graph output", &graph->output,
                      &graph->n_outputs, err);
}

static tspk_status read_graph(const Spike__Graph *from, tspk_container *container,
                              tspk_graph *graph, tspk_error *err)
{
    for (size_t i = 0; i < from->n_values; i++)
        TSPK_TRY(tspk_at_tensor(err, read_value(from->values[i], container, graph, err),
                                from->values[i]->name));
    for (size_t i = 0; i < from->n_nodes; i++)
        TSPK_TRY(tspk_at_node(err, read_node(from->nodes[i], graph, err), from->nodes[i]->name,
                              from->nodes[i]->op));
    return read_header(from, graph, err);
}

tspk_status tspk_section_graph_read(const Spike__File *file, tspk_container *container,
                                    tspk_graph **graph_out, tspk_error *err)
{
    tspk_graph *graph;
    tspk_status status;

    if (!file->graph)
        return TSPK_FAIL(err, TSPK_FORMAT, "the description has no graph");
    TSPK_TRY(tspk_graph_new(0, &graph, err));
    status = tspk_container_blame(container, read_graph(file->graph, container, graph, err), err);
    if (status != TSPK_OK) {
        tspk_graph_free(graph);
        return status;
    }
    *graph_out = graph;
    return TSPK_OK;
}
