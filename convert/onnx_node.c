/* SPDX-License-Identifier: Apache-2.0 */
/* One node after the other: find the operator, resolve inputs and attributes, bind the results. */
#include <stdio.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

/* "layer/MatMul"; a node without a name is called after its first output. */
static const char *name_node(tspk_onnx_importer *importer, const tspk_onnx_scope *scope,
                             const onnx_node *node)
{
    const char *own = node->name && node->name[0]         ? node->name
                      : node->n_output && node->output[0] ? node->output[0]
                                                          : node->op_type;
    const size_t n_prefix = strlen(scope->prefix), n_own = own ? strlen(own) : 0;
    char *name;

    if (!own)
        return "";
    if (n_prefix == 0)
        return own;
    if (n_prefix + n_own > TSPK_MAX_NAME_BYTES)
        return own;
    name = tspk_arena_alloc(importer->scratch, n_prefix + n_own + 1);
    if (!name)
        return own;
    memcpy(name, scope->prefix, n_prefix);
    memcpy(name + n_prefix, own, n_own);
    return name;
}

/* The attributes with references to a function's attributes followed; those that the caller did not
 * give are left out. */
static tspk_status resolve_attrs(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_node *const node = call->proto;
    tspk_arena *const scratch = call->importer->scratch;

    call->attr = tspk_arena_array(scratch, node->n_attribute, sizeof *call->attr);
    call->is_attr_read = tspk_arena_array(scratch, node->n_attribute, sizeof *call->is_attr_read);
    if (!call->attr || !call->is_attr_read)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for attributes");
    if (node->n_attribute > 256)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu attributes", node->n_attribute);
    for (size_t i = 0; i < node->n_attribute; i++) {
        const onnx_attribute *attr = node->attribute[i];

        if (!attr->name || !attr->name[0])
            return TSPK_FAIL(err, TSPK_FORMAT, "attribute %zu has no name", i);
        for (size_t k = 0; k < i; k++)
            if (!strcmp(node->attribute[k]->name, attr->name))
                return TSPK_FAIL(err, TSPK_FORMAT, "attribute %.60s stands twice", attr->name);
        if (!attr->ref_attr_name || !attr->ref_attr_name[0]) {
            call->attr[call->n_attrs++] = attr;
            continue;
        }
        if (!call->scope->function)
            return TSPK_FAIL(
                err, TSPK_FORMAT,
                "attribute %.60s refers to attribute %.60s of a function, but the node "
                "is in none",
                attr->name, attr->ref_attr_name);
        for (size_t k = 0; k < call->scope->n_attrs; k++)
            if (!strcmp(call->scope->attr[k]->name, attr->ref_attr_name)) {
                onnx_attribute *const renamed =
                    tspk_arena_copy(scratch, call->scope->attr[k], sizeof *renamed);

                if (!renamed)
                    return TSPK_FAIL(err, TSPK_NOMEM, "no memory for attributes");
                renamed->name = attr->name;
                call->attr[call->n_attrs++] = renamed;
                break;
            }
    }
    return TSPK_OK;
}

static tspk_status resolve_inputs(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_node *const node = call->proto;

    call->n_in = node->n_input;
    call->in = tspk_arena_array(call->importer->scratch, node->n_input, sizeof *call->in);
    call->in_type = tspk_arena_array(call->importer->scratch, node->n_input, sizeof *call->in_type);
    if (!call->in || !call->in_type)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for inputs");
    for (size_t i = 0; i < node->n_input; i++) {
        call->in[i] = TSPK_ID_NONE;
        if (node->input[i][0])
            TSPK_TRY(tspk_onnx_scope_read(call->importer, call->scope, node->input[i], &call->in[i],
                                          &call->in_type[i], err));
    }
    return TSPK_OK;
}

static tspk_status bind_results(tspk_onnx_call *call, tspk_error *err)
{
    tspk_graph *const graph = call->importer->graph;
    const onnx_node *const node = call->proto;

    for (size_t i = 0; i < node->n_output; i++) {
        const tspk_value_id id = call->results[i];
        tspk_onnx_name *slot;

        if (!node->output[i][0])
            continue;
        slot = tspk_onnx_scope_at(call->scope, node->output[i]);
        if (!slot)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
        slot->state = id == TSPK_ID_NONE ? TSPK_ONNX_NAME_ABSENT : TSPK_ONNX_NAME_READY;
        slot->id = id;
        slot->type = call->result_type[i];
        if (id != TSPK_ID_NONE && !graph->value[id].name[0] && !call->scope->function) {
            const char *const kept = tspk_arena_text(graph->arena, node->output[i]);

            if (!kept)
                return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
            graph->value[id].name = kept;
        }
    }
    return TSPK_OK;
}

static tspk_status refuse_op(const tspk_onnx_call *call, const char *domain,
                             const tspk_onnx_op *nearest, tspk_error *err)
{
    const char *const op = call->proto->op_type;
    const char *const shown = domain[0] ? domain : "ai.onnx";

    if (nearest && call->opset < nearest->since)
        return TSPK_FAIL(
            err, TSPK_UNSUPPORTED,
            "operator %.40s of %.60s exists since opset %d, the file imports opset %lld; "
            "export with a newer opset",
            op, shown, (int)nearest->since, (long long)call->opset);
    if (nearest)
        return TSPK_FAIL(
            err, TSPK_UNSUPPORTED,
            "operator %.40s of %.60s is read up to opset %d, the file imports opset %lld", op,
            shown, (int)nearest->until, (long long)call->opset);
    return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                     "operator %.40s of %.60s opset %lld is not supported; %s", op, shown,
                     (long long)call->opset, tspk_onnx_op_advice(domain, op));
}

static tspk_status check_arity(const tspk_onnx_call *call, tspk_error *err)
{
    size_t n = call->proto->n_input;

    if (n > call->op->n_most)
        return TSPK_FAIL(err, TSPK_FORMAT, "%.40s has %zu inputs, at most %u are expected",
                         call->op->name, n, call->op->n_most);
    while (n > 0 && !call->proto->input[n - 1][0])
        n--;
    if (n < call->op->n_least)
        return TSPK_FAIL(err, TSPK_FORMAT, "%.40s has %zu inputs, at least %u are expected",
                         call->op->name, n, call->op->n_least);
    return TSPK_OK;
}

static tspk_status check_attrs_read(const tspk_onnx_call *call, tspk_error *err)
{
    for (size_t i = 0; i < call->n_attrs; i++)
        if (!call->is_attr_read[i])
            return TSPK_FAIL(err, TSPK_UNSUPPORTED,
                             "attribute %.60s is not known for %.40s at opset "
                             "%lld",
                             call->attr[i]->name, call->op->name, (long long)call->opset);
    return TSPK_OK;
}

static tspk_status run_op(tspk_onnx_call *call, const char *domain, tspk_error *err)
{
    const tspk_onnx_op *nearest;

    call->opset = tspk_onnx_scope_opset(call->scope, domain);
    if (call->opset == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "the domain \"%.60s\" is not imported by the file",
                         domain[0] ? domain : "ai.onnx");
    call->op = tspk_onnx_find_op(domain, call->proto->op_type, call->opset, &nearest);
    if (!call->op)
        return refuse_op(call, domain, nearest, err);
    TSPK_TRY(check_arity(call, err));
    TSPK_TRY(resolve_inputs(call, err));
    TSPK_TRY(tspk_onnx_check_types(call, err));
    TSPK_TRY(call->op->import(call, err));
    TSPK_TRY(check_attrs_read(call, err));
    return tspk_onnx_type_results(call, err);
}

static tspk_status import_node(tspk_onnx_call *call, tspk_error *err)
{
    const onnx_node *const node = call->proto;
    const char *const domain = tspk_onnx_domain(node->domain);
    const onnx_function *function;

    if (!node->op_type || !node->op_type[0])
        return TSPK_FAIL(err, TSPK_FORMAT, "the node has no op_type");
    if (node->n_output == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "the node has no output");
    if (node->n_output > TSPK_MAX_NODE_OUTPUTS || node->n_input > 65536)
        return TSPK_FAIL(err, TSPK_LIMIT, "%zu inputs and %zu outputs", node->n_input,
                         node->n_output);
    call->results =
        tspk_arena_array(call->importer->scratch, node->n_output, sizeof *call->results);
    call->result_type =
        tspk_arena_array(call->importer->scratch, node->n_output, sizeof *call->result_type);
    if (!call->results || !call->result_type)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for outputs");
    for (size_t i = 0; i < node->n_output; i++)
        call->results[i] = TSPK_ID_NONE;
    TSPK_TRY(resolve_attrs(call, err));
    function = tspk_onnx_find_function(call->importer, domain, node->op_type, node->overload);
    if (function) {
        TSPK_TRY(resolve_inputs(call, err));
        if (node->n_output > function->n_output)
            return TSPK_FAIL(err, TSPK_FORMAT, "the call has %zu outputs, the function %zu",
                             node->n_output, function->n_output);
        TSPK_TRY(tspk_onnx_call_function(call->importer, call->scope, function, node, call->name,
                                         call->attr, call->n_attrs, call->in, call->in_type,
                                         call->n_in, call->results, call->result_type, err));
    } else {
        if (!node->output[0][0])
            return TSPK_FAIL(err, TSPK_FORMAT, "output 0 has an empty name");
        TSPK_TRY(run_op(call, domain, err));
    }
    return bind_results(call, err);
}

tspk_status tspk_onnx_import_nodes(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                   onnx_node *const *nodes, size_t n, tspk_error *err)
{
    for (size_t i = 0; i < n; i++) {
        const tspk_arena_mark mark = tspk_arena_mark_now(importer->scratch);
        tspk_onnx_call call = {.importer = importer, .scope = scope, .proto = nodes[i]};

        if (++importer->n_visited > TSPK_MAX_NODES)
            return TSPK_FAIL(err, TSPK_LIMIT, "more than %u nodes, functions inlined",
                             TSPK_MAX_NODES);
        call.name = name_node(importer, scope, nodes[i]);
        TSPK_TRY(tspk_at_node(err, import_node(&call, err), call.name, nodes[i]->op_type));
        tspk_arena_reset(importer->scratch, mark);
    }
    return TSPK_OK;
}
