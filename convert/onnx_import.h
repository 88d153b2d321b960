/* SPDX-License-Identifier: Apache-2.0 */
/* ONNX bytes to graph: the only room that knows ONNX types. */
#ifndef TSPK_CONVERT_ONNX_IMPORT_H
#define TSPK_CONVERT_ONNX_IMPORT_H

#include "core/graph.h"

typedef struct tspk_import_settings {
    size_t memory_cap_bytes; /* 0: eight times the file + 256 MiB */
    int64_t batch;           /* bound to a dynamic batch axis; ≥ 1 */
} tspk_import_settings;

/** Reads and verifies the file; every constant expression is folded, shapes are static. */
tspk_status tspk_onnx_import(const char *path, const tspk_import_settings *settings,
                             tspk_graph **graph_out, tspk_error *err);

#endif
