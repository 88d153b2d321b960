/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What the parts of the importer share: the state of one import, name scopes, the view of one node.
 *
 *   onnx_file      bytes, external files, hash        onnx_scan      wire bytes checked
 *   onnx_lean      large tensors stay in the file     onnx_types     element types
 *   onnx_import    header, ports, order of work        onnx_scope     names to values
 *   onnx_node      one node: arity, attributes, emit   onnx_function  local functions, subgraphs
 *   onnx_tensor    TensorProto to constant             onnx_registry  operators: name, opsets,
 * function onnx_ops_*     the operators
 */
#ifndef TSPK_CONVERT_ONNX_IMPORTER_H
#define TSPK_CONVERT_ONNX_IMPORTER_H

#include <stdbool.h>

#include "convert/onnx_file.h"
#include "convert/onnx_lean.h"
#include "core/graph.h"
#include "onnx_proto/onnx.pb-c.h"

typedef Tspk__Onnx__ModelProto onnx_model;
typedef Tspk__Onnx__GraphProto onnx_graph;
typedef Tspk__Onnx__NodeProto onnx_node;
typedef Tspk__Onnx__AttributeProto onnx_attribute;
typedef Tspk__Onnx__TensorProto onnx_tensor;
typedef Tspk__Onnx__FunctionProto onnx_function;
typedef Tspk__Onnx__ValueInfoProto onnx_value_info;
typedef Tspk__Onnx__OperatorSetIdProto onnx_opset;

#define TSPK_ONNX_OPSET_LEAST    9
#define TSPK_ONNX_OPSET_MOST     23
#define TSPK_ONNX_MAX_CALL_DEPTH 32u               /* functions and subgraphs inside one another */
#define TSPK_ONNX_MAX_FOLD_ELEMS ((size_t)1 << 26) /* elements of a folded constant */

/* Element types of TensorProto.data_type. */
enum {
    ONNX_FLOAT = 1,
    ONNX_UINT8 = 2,
    ONNX_INT8 = 3,
    ONNX_UINT16 = 4,
    ONNX_INT16 = 5,
    ONNX_INT32 = 6,
    ONNX_INT64 = 7,
    ONNX_STRING = 8,
    ONNX_BOOL = 9,
    ONNX_FLOAT16 = 10,
    ONNX_DOUBLE = 11,
    ONNX_UINT32 = 12,
    ONNX_UINT64 = 13,
    ONNX_BFLOAT16 = 16
};

/* AttributeProto.type */
enum {
    ONNX_ATTR_NONE = 0,
    ONNX_ATTR_FLOAT = 1,
    ONNX_ATTR_INT = 2,
    ONNX_ATTR_STRING = 3,
    ONNX_ATTR_TENSOR = 4,
    ONNX_ATTR_GRAPH = 5,
    ONNX_ATTR_FLOATS = 6,
    ONNX_ATTR_INTS = 7
};

/** The state of one import. */
typedef struct tspk_onnx_importer {
    tspk_graph *graph;   /* being built */
    tspk_arena *scratch; /* the parsed file, name tables; dies with the import */
    tspk_onnx_files *files;
    tspk_onnx_lean_file lean; /* the model file, large tensors apart */
    const onnx_model *model;
    const onnx_function **function; /* [n_functions], sorted by domain, name, overload */
    size_t n_functions;
    int64_t image_size;    /* for a symbolic height or width; 0: refuse it */
    bool is_batch_dynamic; /* the file leaves the number of images open */
    uint32_t n_visited;    /* ONNX nodes visited, inlined ones counted each time */
    uint32_t depth;        /* functions and subgraphs entered */
} tspk_onnx_importer;

/* --- onnx_scope.c: names --- */

typedef enum tspk_onnx_name_state {
    TSPK_ONNX_NAME_EMPTY = 0,
    TSPK_ONNX_NAME_PENDING, /* a later node writes it */
    TSPK_ONNX_NAME_TENSOR,  /* an initializer that nothing has read yet */
    TSPK_ONNX_NAME_READY,
    TSPK_ONNX_NAME_ABSENT /* an output that the importer does not compute (a Dropout mask) */
} tspk_onnx_name_state;

typedef struct tspk_onnx_name {
    const char *name;
    tspk_onnx_name_state state;
    tspk_value_id id;          /* READY */
    int type;                  /* READY: element type in the file's terms, 0 when not known */
    const onnx_tensor *tensor; /* TENSOR */
    const onnx_node *writer;   /* PENDING, ABSENT */
} tspk_onnx_name;

/** Names of one graph, function body or subgraph. */
typedef struct tspk_onnx_scope {
    struct tspk_onnx_scope *parent; /* where a subgraph finds names of outside; NULL: nothing */
    struct tspk_onnx_scope *caller; /* the scope that holds the call; NULL for the main graph */
    const onnx_function *function;  /* whose body this is, or NULL */
    const char *prefix;             /* put before node names, "" or "call/" */
    onnx_opset **opset;             /* [n_opsets] operator sets that hold inside */
    size_t n_opsets;
    const onnx_attribute **attr; /* [n_attrs] a function's attributes at this call */
    size_t n_attrs;
    tspk_onnx_name *table; /* [mask + 1] open addressing */
    size_t mask;
} tspk_onnx_scope;

/** Makes room for n_names names. @errors NOMEM */
tspk_status tspk_onnx_scope_init(tspk_onnx_scope *scope, tspk_arena *arena, size_t n_names,
                                 tspk_error *err);

/** The entry of `name` in this scope alone; a new EMPTY one when it is not there. NULL: table full.
 */
tspk_onnx_name *tspk_onnx_scope_at(tspk_onnx_scope *scope, const char *name);

/** The entry of `name` here or in the scopes around; NULL when it is defined nowhere. */
tspk_onnx_name *tspk_onnx_scope_find(tspk_onnx_scope *scope, const char *name);

/** Registers the outputs of the nodes as PENDING. @errors FORMAT (a name with two definitions) */
tspk_status tspk_onnx_scope_add_nodes(tspk_onnx_scope *scope, onnx_node *const *nodes, size_t n,
                                      tspk_error *err);

/** Registers initializers. @errors FORMAT (a name twice), UNSUPPORTED (sparse ones) */
tspk_status tspk_onnx_scope_add_tensors(tspk_onnx_scope *scope, onnx_tensor *const *tensors,
                                        size_t n, tspk_error *err);

/**
 * The value of `name`; an initializer is converted when it is first read.
 * @param type_out element type in the file's terms, 0 when not known; NULL is allowed
 * @errors FORMAT
 */
tspk_status tspk_onnx_scope_read(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                 const char *name, tspk_value_id *id_out, int *type_out,
                                 tspk_error *err);

/** Version of an operator set ("" is ai.onnx), 0 when it is not imported. */
int64_t tspk_onnx_scope_opset(const tspk_onnx_scope *scope, const char *domain);

/** "ai.onnx" and NULL become "". */
const char *tspk_onnx_domain(const char *domain);

/* --- onnx_tensor.c --- */

/**
 * Converts a tensor into the arena of the graph: floats of any width to F32, integers to I64.
 * @errors FORMAT, UNSUPPORTED (type), RANGE (Inf, NaN, too large for the wider type), LIMIT, NOMEM,
 * IO
 */
tspk_status tspk_onnx_tensor_read(tspk_onnx_importer *importer, const onnx_tensor *proto,
                                  tspk_tensor *tensor_out, tspk_error *err);

/** The type that a file type is computed in; false when it is none of them. */
bool tspk_onnx_dtype(int64_t onnx_type, tspk_dtype *dtype_out);

/** "FLOAT16" …; static text. */
const char *tspk_onnx_type_name(int64_t onnx_type);

/** Opens the external file of a tensor, so that its size and hash are known. Others: nothing. */
tspk_status tspk_onnx_tensor_open_external(tspk_onnx_importer *importer, const onnx_tensor *proto,
                                           tspk_error *err);

/* --- onnx_image_size.c --- */

/**
 * Heights (and widths) that position embeddings imply, each once; at most `most`.
 * @param rank of the tables that are looked at: 3 ([1, rows, D]) or 2 ([rows, D])
 */
size_t tspk_onnx_guess_image_sizes(const onnx_graph *graph, const char *image, size_t rank,
                                   int64_t *size, size_t most);

/* --- onnx_node.c, onnx_function.c --- */

/** Imports nodes in order. */
tspk_status tspk_onnx_import_nodes(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                   onnx_node *const *nodes, size_t n, tspk_error *err);

/** Sorts the local functions so that they can be found. @errors FORMAT (one defined twice), NOMEM
 */
tspk_status tspk_onnx_index_functions(tspk_onnx_importer *importer, tspk_error *err);

const onnx_function *tspk_onnx_find_function(const tspk_onnx_importer *importer, const char *domain,
                                             const char *name, const char *overload);

/**
 * Inlines a call.
 * @param in       [n_in] values, TSPK_ID_NONE where absent; in_type their element types
 * @param out      [function->n_output] out; TSPK_ID_NONE where the body leaves it absent
 * @param out_type the element types of `out`
 */
tspk_status tspk_onnx_call_function(tspk_onnx_importer *importer, tspk_onnx_scope *caller,
                                    const onnx_function *function, const onnx_node *call,
                                    const char *call_name, const onnx_attribute *const *attr,
                                    size_t n_attrs, const tspk_value_id *in, const int *in_type,
                                    size_t n_in, tspk_value_id *out, int *out_type,
                                    tspk_error *err);

/** Imports a subgraph without inputs (a branch of If); out, out_type: [graph->n_output]. */
tspk_status tspk_onnx_import_subgraph(tspk_onnx_importer *importer, tspk_onnx_scope *scope,
                                      const onnx_graph *graph, const char *node_name,
                                      tspk_value_id *out, int *out_type, tspk_error *err);

#endif
