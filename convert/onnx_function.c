/* SPDX-License-Identifier: Apache-2.0 */
/* Local functions and subgraphs: bodies that are imported in the place of a node. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

static const char *text_of(const char *text)
{
    return text ? text : "";
}

static int compare_key(const onnx_function *f, const char *domain, const char *name,
                       const char *overload)
{
    int order = strcmp(text_of(f->name), name);

    if (order == 0)
        order = strcmp(tspk_onnx_domain(f->domain), domain);
    if (order == 0)
        order = strcmp(text_of(f->overload), text_of(overload));
    return order;
}

static int compare_functions(const void *a, const void *b)
{
    const onnx_function *const fa = *(const onnx_function *const *)a;
    const onnx_function *const fb = *(const onnx_function *const *)b;

    return compare_key(fa, tspk_onnx_domain(fb->domain), text_of(fb->name), fb->overload);
}

tspk_status tspk_onnx_index_functions(tspk_onnx_importer *importer, tspk_error *err)
{
    const size_t n = importer->model->n_functions;

    if (n == 0)
        return TSPK_OK;
    importer->function = tspk_arena_copy(importer->scratch, importer->model->functions,
                                         n * sizeof *importer->function);
    if (!importer->function)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu functions", n);
    importer->n_functions = n;
    qsort(importer->function, n, sizeof *importer->function, compare_functions);
    for (size_t i = 0; i < n; i++) {
        const char *const name = text_of(importer->function[i]->name);
        const tspk_onnx_op *nearest;

        if (!tspk_onnx_domain(importer->function[i]->domain)[0] &&
            (tspk_onnx_find_op("", name, TSPK_ONNX_OPSET_MOST, &nearest) || nearest))
            return TSPK_FAIL(err, TSPK_FORMAT,
                             "function \"%.80s\" has the name of an operator of ai.onnx", name);
    }
    for (size_t i = 1; i < n; i++)
        if (!compare_functions(&importer->function[i - 1], &importer->function[i]))
            return TSPK_FAIL(err, TSPK_FORMAT, "function \"%.80s\" is defined twice",
                             text_of(importer->function[i]->name));
    return TSPK_OK;
}

const onnx_function *tspk_onnx_find_function(const tspk_onnx_importer *importer, const char *domain,
                                             const char *name, const char *overload)
{
    size_t low = 0, high = importer->n_functions;

    while (low < high) {
        const size_t middle = low + (high - low) / 2;
        const int order = compare_key(importer->function[middle], domain, name, overload);

        if (order == 0)
            return importer->function[middle];
        if (order < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return NULL;
}

static size_t count_outputs(onnx_node *const *nodes, size_t n)
{
    size_t total = 0;

    for (size_t i = 0; i < n; i++)
        total += nodes[i]->n_output;
    return total;
}

static const char *make_prefix(tspk_onnx_importer *importer, const char *name)
{
    const size_t n = strlen(name);
    char *const prefix = tspk_arena_alloc(importer->scratch, n + 2);

    if (!prefix)
        return "";
    memcpy(prefix, name, n);
    prefix[n] = '/';
    return prefix;
}

static tspk_status enter(tspk_onnx_importer *importer, tspk_error *err)
{
    if (importer->depth == TSPK_ONNX_MAX_CALL_DEPTH)
        return TSPK_FAIL(err, TSPK_LIMIT, "functions and subgraphs are nested deeper than %u",
                         TSPK_ONNX_MAX_CALL_DEPTH);
    importer->depth++;
    return TSPK_OK;
}

static tspk_status check_recursion(const tspk_onnx_scope *caller, const onnx_function *function,
                                   tspk_error *err)
{
    for (const tspk_onnx_scope *s = caller; s; s = s->caller)
        if (s->function == function)
            return TSPK_FAIL(err, TSPK_FORMAT, "function \"%.80s\" is recursive%s%.80s",
                             text_of(function->name),
                             caller->function != function ? ": it is called again inside " : "",
                             caller->function != function ? text_of(caller->function->name) : "");
    return TSPK_OK;
}

/* Attributes of this call, then the defaults of those that it does not give. */
static tspk_status set_attributes(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                  const onnx_function *function, const onnx_attribute *const *attr,
                                  size_t n_attrs, tspk_error *err)
{
    scope->attr = tspk_arena_array(importer->scratch, n_attrs + function->n_attribute_proto,
                                   sizeof *scope->attr);
    if (!scope->attr)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for attributes");
    for (size_t i = 0; i < n_attrs; i++)
        scope->attr[scope->n_attrs++] = attr[i];
    for (size_t i = 0; i < function->n_attribute_proto; i++)
        if (function->attribute_proto[i]->name)
            scope->attr[scope->n_attrs++] = function->attribute_proto[i];
    return TSPK_OK;
}

static tspk_status bind_inputs(tspk_onnx_scope *scope, const onnx_function *function,
                               const tspk_value_id *in, const int *in_type, size_t n_in,
                               tspk_error *err)
{
    if (n_in > function->n_input)
        return TSPK_FAIL(err, TSPK_FORMAT, "the call has %zu inputs, the function %zu", n_in,
                         function->n_input);
    for (size_t i = 0; i < function->n_input; i++) {
        tspk_onnx_name *slot;

        if (!function->input[i][0])
            continue;
        slot = tspk_onnx_scope_at(scope, function->input[i]);
        if (!slot)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for names");
        if (slot->state != TSPK_ONNX_NAME_EMPTY)
            return TSPK_FAIL(err, TSPK_FORMAT, "function input \"%.80s\" stands twice",
                             function->input[i]);
        slot->state =
            i < n_in && in[i] != TSPK_ID_NONE ? TSPK_ONNX_NAME_READY : TSPK_ONNX_NAME_ABSENT;
        slot->id = i < n_in ? in[i] : TSPK_ID_NONE;
        slot->type = i < n_in ? in_type[i] : 0;
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_call_function(tspk_onnx_importer *importer, tspk_onnx_scope *caller,
                                    const onnx_function *function, const onnx_node *call,
                                    const char *call_name, const onnx_attribute *const *attr,
                                    size_t n_attrs, const tspk_value_id *in, const int *in_type,
                                    size_t n_in, tspk_value_id *out, int *out_type, tspk_error *err)
{
    tspk_onnx_scope scope = {.caller = caller, .function = function};

    TSPK_TRY(check_recursion(caller, function, err));
    TSPK_TRY(enter(importer, err));
    scope.prefix = make_prefix(importer, call_name);
    scope.opset = function->opset_import;
    scope.n_opsets = function->n_opset_import;
    TSPK_TRY(set_attributes(importer, &scope, function, attr, n_attrs, err));
    TSPK_TRY(tspk_onnx_scope_init(
        &scope, importer->scratch,
        function->n_input + count_outputs(function->node, function->n_node) + function->n_output,
        err));
    TSPK_TRY(bind_inputs(&scope, function, in, in_type, n_in, err));
    TSPK_TRY(tspk_onnx_scope_add_nodes(&scope, function->node, function->n_node, err));
    TSPK_TRY(tspk_onnx_import_nodes(importer, &scope, function->node, function->n_node, err));
    for (size_t i = 0; i < call->n_output; i++)
        if (call->output[i][0])
            TSPK_TRY(tspk_onnx_scope_read(importer, &scope, function->output[i], &out[i],
                                          &out_type[i], err));
    importer->depth--;
    return TSPK_OK;
}

tspk_status tspk_onnx_import_subgraph(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                      const onnx_graph *graph, const char *node_name,
                                      tspk_value_id *out, int *out_type, tspk_error *err)
{
    tspk_onnx_scope inner = {.parent = scope,
                             .caller = scope,
                             .function = scope->function,
                             .opset = scope->opset,
                             .n_opsets = scope->n_opsets,
                             .attr = scope->attr,
                             .n_attrs = scope->n_attrs};

    TSPK_TRY(enter(importer, err));
    inner.prefix = make_prefix(importer, node_name);
    if (graph->n_sparse_initializer)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "sparse initializers are not supported");
    TSPK_TRY(tspk_onnx_scope_init(&inner, importer->scratch,
                                  graph->n_initializer + count_outputs(graph->node, graph->n_node),
                                  err));
    TSPK_TRY(tspk_onnx_scope_add_tensors(&inner, graph->initializer, graph->n_initializer, err));
    TSPK_TRY(tspk_onnx_scope_add_nodes(&inner, graph->node, graph->n_node, err));
    TSPK_TRY(tspk_onnx_import_nodes(importer, &inner, graph->node, graph->n_node, err));
    for (size_t i = 0; i < graph->n_output; i++)
        TSPK_TRY(tspk_onnx_scope_read(importer, &inner,
                                      graph->output[i]->name ? graph->output[i]->name : "", &out[i],
                                      &out_type[i], err));
    importer->depth--;
    return TSPK_OK;
}
