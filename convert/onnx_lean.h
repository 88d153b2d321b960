/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The model without its large tensors: protobuf-c copies every byte string, and the weights are
 * nearly the whole file. They are left out before it parses, and read from the mapped file itself.
 */
#ifndef TSPK_CONVERT_ONNX_LEAN_H
#define TSPK_CONVERT_ONNX_LEAN_H

#include <stddef.h>
#include <stdint.h>

#include "core/arena.h"
#include "transpike/error.h"

/** A raw_data that was left out. */
typedef struct tspk_onnx_cut {
    size_t offset, n; /* in the file [bytes] */
} tspk_onnx_cut;

typedef struct tspk_onnx_lean_file {
    const uint8_t *file;  /* the mapped file */
    const uint8_t *bytes; /* [n_bytes] what protobuf-c parses; `file` itself when nothing was cut */
    size_t n_bytes;
    tspk_onnx_cut *cut; /* [n_cuts] */
    size_t n_cuts;
} tspk_onnx_lean_file;

/**
 * Copies the message with a mark of 16 bytes in the place of every raw_data of 4096 bytes and more.
 * The bytes passed tspk_onnx_scan(). A file that holds such a mark itself reads other bytes of the
 * same file: nothing else can come of it.
 * @errors NOMEM
 */
tspk_status tspk_onnx_lean(const uint8_t *bytes, size_t n_bytes, tspk_arena *arena,
                           tspk_onnx_lean_file *lean_out, tspk_error *err);

/** The bytes that a parsed raw_data stands for. */
void tspk_onnx_lean_raw(const tspk_onnx_lean_file *lean, const uint8_t *data, size_t n,
                        const uint8_t **bytes_out, size_t *n_out);

#endif
