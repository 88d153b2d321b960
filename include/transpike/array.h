/* SPDX-License-Identifier: Apache-2.0 */
/* Arrays and texts in files: NumPy's .npy in and out, and text that appears whole or not at all. */
#ifndef TRANSPIKE_ARRAY_H
#define TRANSPIKE_ARRAY_H

#include <stdbool.h>
#include <stdint.h>

#include "transpike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/** A dense row-major array. */
typedef struct tspk_array {
    int dtype;           /**< as tspk_port: 1 float32, 2 int64, 3 bool (one byte) */
    uint8_t rank;
    int64_t dim[8];
    void *data;          /**< owned by the array when a call filled it in: tspk_array_done() */
    bool is_from_floats; /**< the file holds floating-point elements; set by reading */
} tspk_array;

/**
 * Reads a .npy file and converts its elements.
 * @param dtype     element type wanted, as in tspk_array
 * @param array_out untouched on failure
 * @errors IO, FORMAT, UNSUPPORTED (big-endian, Fortran order, structured types), LIMIT, NOMEM
 */
TSPK_API tspk_status tspk_array_read(const char *path, int dtype, tspk_array *array_out,
                                     tspk_error *err);

/** Frees the elements of an array that was read. NULL is allowed. */
TSPK_API void tspk_array_done(tspk_array *array);

/** Writes a .npy file atomically (temporary file beside it, renamed). @errors IO, NOMEM */
TSPK_API tspk_status tspk_array_write(const char *path, const tspk_array *array, tspk_error *err);

/** Writes `text` as a file, the same way. @errors IO, NOMEM */
TSPK_API tspk_status tspk_text_write(const char *path, const char *text, tspk_error *err);

#ifdef __cplusplus
}
#endif
#endif
