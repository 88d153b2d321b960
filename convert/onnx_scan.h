/* SPDX-License-Identifier: Apache-2.0 */
/* A look at the wire bytes before protobuf-c, which parses recursively, may see them. */
#ifndef TSPK_CONVERT_ONNX_SCAN_H
#define TSPK_CONVERT_ONNX_SCAN_H

#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"

#define TSPK_ONNX_MAX_NESTING  100u /* protobuf's own recursion limit */
#define TSPK_ONNX_MAX_MESSAGES 4000000u
#define TSPK_ONNX_MAX_DIMS     64u /* entries of one tensor's shape that are worth parsing */

/**
 * Walks `bytes` as an ONNX ModelProto without recursion or allocation: tags, wire types, lengths,
 * nesting, the number of messages, names (UTF-8 without NUL, at most TSPK_MAX_NAME_BYTES), singular
 * fields that come twice (protobuf would merge them), the length of tensor shapes.
 * @errors FORMAT (with the byte where it breaks, or what the file looks like instead), LIMIT
 */
tspk_status tspk_onnx_scan(const uint8_t *bytes, size_t n_bytes, tspk_error *err);

#endif
