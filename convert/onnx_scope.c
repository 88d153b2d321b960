/* SPDX-License-Identifier: Apache-2.0 */
#include <string.h>

#include "convert/onnx_importer.h"
#include "core/fail.h"

const char *tspk_onnx_domain(const char *domain)
{
    return domain && strcmp(domain, "ai.onnx") != 0 ? domain : "";
}

int64_t tspk_onnx_scope_opset(const tspk_onnx_scope *scope, const char *domain)
{
    for (size_t i = 0; i < scope->n_opsets; i++)
        if (!strcmp(tspk_onnx_domain(scope->opset[i]->domain), domain))
            return scope->opset[i]->version;
    return 0;
}

tspk_status tspk_onnx_scope_init(tspk_onnx_scope *scope, tspk_arena *arena, size_t n_names,
                                 tspk_error *err)
{
    size_t size = 16;

    while (size < 2 * n_names && size <= SIZE_MAX / 4)
        size *= 2;
    scope->table = tspk_arena_array(arena, size, sizeof *scope->table);
    if (!scope->table)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu names", n_names);
    scope->mask = size - 1;
    return TSPK_OK;
}

/* FNV-1a, 64 bits (http://www.isthe.com/chongo/tech/comp/fnv/). */
static size_t hash_text(const char *text)
{
    uint64_t hash = UINT64_C(14695981039346656037);

    for (; *text; text++)
        hash = (hash ^ (uint8_t)*text) * UINT64_C(1099511628211);
    return (size_t)(hash ^ hash >> 32);
}

/* The slot that holds `name`, or the empty one where it would go; NULL when the table is full. */
static tspk_onnx_name *find_slot(const tspk_onnx_scope *scope, const char *name)
{
    const size_t start = hash_text(name);

    for (size_t i = 0; i <= scope->mask; i++) {
        tspk_onnx_name *const slot = &scope->table[(start + i) & scope->mask];

        if (!slot->name || !strcmp(slot->name, name))
            return slot;
    }
    return NULL;
}

tspk_onnx_name *tspk_onnx_scope_at(tspk_onnx_scope *scope, const char *name)
{
    tspk_onnx_name *const slot = find_slot(scope, name);

    if (slot && !slot->name)
        slot->name = name;
    return slot;
}

tspk_onnx_name *tspk_onnx_scope_find(tspk_onnx_scope *scope, const char *name)
{
    for (; scope; scope = scope->parent) {
        tspk_onnx_name *const slot = find_slot(scope, name);

        if (slot && slot->name && slot->state != TSPK_ONNX_NAME_EMPTY)
            return slot;
    }
    return NULL;
}

static const char *describe_writer(const onnx_node *writer)
{
    if (writer && writer->name && writer->name[0])
        return writer->name;
    return writer && writer->op_type ? writer->op_type : "";
}

tspk_status tspk_onnx_scope_add_nodes(tspk_onnx_scope *scope, onnx_node *const *nodes, size_t n,
                                      tspk_error *err)
{
    for (size_t i = 0; i < n; i++)
        for (size_t k = 0; k < nodes[i]->n_output; k++) {
            const char *const name = nodes[i]->output[k];
            tspk_onnx_name *slot;

            if (!name[0])
                continue;
            slot = tspk_onnx_scope_at(scope, name);
            if (!slot)
                return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
            if (slot->state == TSPK_ONNX_NAME_PENDING)
                return TSPK_FAIL(err, TSPK_FORMAT,
                                 "value \"%.80s\" is written by node \"%.80s\" and again by node "
                                 "\"%.80s\"%s",
                                 name, describe_writer(slot->writer), describe_writer(nodes[i]),
                                 slot->writer == nodes[i] ? " (the same one)" : "");
            if (slot->state != TSPK_ONNX_NAME_EMPTY)
                return TSPK_FAIL(err, TSPK_FORMAT,
                                 "value \"%.80s\" is defined by an %s and by node \"%.80s\"", name,
                                 slot->state == TSPK_ONNX_NAME_TENSOR ? "initializer" : "input",
                                 describe_writer(nodes[i]));
            slot->state = TSPK_ONNX_NAME_PENDING;
            slot->writer = nodes[i];
        }
    return TSPK_OK;
}

tspk_status tspk_onnx_scope_add_tensors(tspk_onnx_scope *scope, onnx_tensor *const *tensors,
                                        size_t n, tspk_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const char *const name = tensors[i]->name;
        tspk_onnx_name *slot;

        if (!name || !name[0])
            continue;
        slot = tspk_onnx_scope_at(scope, name);
        if (!slot)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
        if (slot->state != TSPK_ONNX_NAME_EMPTY)
            return TSPK_FAIL(err, TSPK_FORMAT, "initializer \"%.80s\" is defined twice", name);
        slot->state = TSPK_ONNX_NAME_TENSOR;
        slot->tensor = tensors[i];
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_scope_read(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                 const char *name, tspk_value_id *id_out, int *type_out,
                                 tspk_error *err)
{
    tspk_onnx_name *const slot = tspk_onnx_scope_find(scope, name);

    if (!slot)
        return TSPK_FAIL(err, TSPK_FORMAT, "value \"%.100s\" is never defined", name);
    switch (slot->state) {
    case TSPK_ONNX_NAME_READY:
        break;
    case TSPK_ONNX_NAME_TENSOR: {
        tspk_tensor tensor;

        TSPK_TRY(
            tspk_at_tensor(err, tspk_onnx_tensor_read(importer, slot->tensor, &tensor, err), name));
        TSPK_TRY(tspk_graph_add_constant(importer->graph, name, &tensor, &slot->id, err));
        slot->state = TSPK_ONNX_NAME_READY;
        slot->type = slot->tensor->data_type;
        break;
    }
    case TSPK_ONNX_NAME_ABSENT:
        return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                         "value \"%.100s\" is an output of node \"%.80s\" (%.30s) that is not "
                         "computed here",
                         name, describe_writer(slot->writer),
                         slot->writer ? slot->writer->op_type : "");
    default:
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "value \"%.100s\" is read before node \"%.80s\" writes it: the nodes are "
                         "out of order or form a cycle",
                         name, describe_writer(slot->writer));
    }
    *id_out = slot->id;
    if (type_out)
        *type_out = slot->type;
    return TSPK_OK;
}
