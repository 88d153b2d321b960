/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes from disk: the model file, the files that its tensors point into, and a hash over both. */
#ifndef TSPK_CONVERT_ONNX_FILE_H
#define TSPK_CONVERT_ONNX_FILE_H

#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"

typedef struct tspk_mapped_file {
    const uint8_t *bytes; /* NULL when empty */
    size_t n_bytes;
} tspk_mapped_file;

/** Maps a regular file for reading. @errors IO (with errno's text) */
tspk_status tspk_map_file(const char *path, tspk_mapped_file *file_out, tspk_error *err);
void tspk_unmap_file(tspk_mapped_file *file);

/** Gives the pages of mapped bytes back to the system; they are read again when they are used. Few
 * bytes stay. */
void tspk_release_mapped(const uint8_t *bytes, size_t n);

#define TSPK_ONNX_MAX_EXTERNAL_FILES 16384u

/** The model file and the external files opened so far. */
typedef struct tspk_onnx_files tspk_onnx_files;

/** Maps the model. @errors IO, NOMEM */
tspk_status tspk_onnx_files_open(const char *path, tspk_onnx_files **files_out, tspk_error *err);
void tspk_onnx_files_close(tspk_onnx_files *files);

const tspk_mapped_file *tspk_onnx_files_model(const tspk_onnx_files *files);

/**
 * The file that an external_data location names; mapped once, borrowed until `files` is closed.
 * The location is a relative path without "..", and what it resolves to must lie in the model's
 * folder.
 * @errors FORMAT (location that leaves the folder or is no plain path), IO, LIMIT, NOMEM
 */
tspk_status tspk_onnx_files_external(tspk_onnx_files *files, const uint8_t *location,
                                     size_t n_location, const tspk_mapped_file **file_out,
                                     tspk_error *err);

/** Sum of the sizes of all files opened so far. */
size_t tspk_onnx_files_bytes(const tspk_onnx_files *files);

/** Hex SHA-256 over the model and then the external files opened so far, in that order. */
void tspk_onnx_files_sha256(const tspk_onnx_files *files, char hex_out[65]);

#endif
