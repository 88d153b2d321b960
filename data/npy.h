/* SPDX-License-Identifier: Apache-2.0 */
/* NumPy's .npy and .npz: header text and members. */
#ifndef TSPK_DATA_NPY_H
#define TSPK_DATA_NPY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "core/tensor.h"
#include "transpike/error.h"

typedef enum tspk_npy_type {
    TSPK_NPY_F4,
    TSPK_NPY_F8,
    TSPK_NPY_F2,
    TSPK_NPY_I1,
    TSPK_NPY_U1,
    TSPK_NPY_I2,
    TSPK_NPY_U2,
    TSPK_NPY_I4,
    TSPK_NPY_U4,
    TSPK_NPY_I8,
    TSPK_NPY_U8,
    TSPK_NPY_B1
} tspk_npy_type;

typedef struct tspk_npy_header {
    tspk_npy_type type;
    tspk_shape shape;   /* rank ≤ TSPK_MAX_RANK, elements ≤ TSPK_MAX_TENSOR_ELEMS */
    size_t data_offset; /* [bytes] from the start of the member */
    size_t data_bytes;
} tspk_npy_header;

size_t tspk_npy_type_bytes(tspk_npy_type type);

/** Most bytes before the data, in any version. */
#define TSPK_NPY_READ_MAX 65536

/** Parses a header from the first `n_bytes` of a member (versions 1 to 3, little-endian, C order).
 * @errors FORMAT, UNSUPPORTED (big-endian, Fortran order, structured types), LIMIT */
tspk_status tspk_npy_parse(const uint8_t *bytes, size_t n_bytes, tspk_npy_header *header_out,
                           tspk_error *err);

/** Writes the header of version 1.0, padded so that data start at a multiple of 64 bytes.
 * @param buf [TSPK_NPY_HEADER_MAX] out @return bytes written */
#define TSPK_NPY_HEADER_MAX 512
size_t tspk_npy_format(tspk_npy_type type, const tspk_shape *shape, uint8_t *buf);

/** Reads the header of a member or file that starts here, and leaves `file` at the first data byte.
 * @errors as tspk_npy_parse(), and IO */
tspk_status tspk_npy_read_header(FILE *file, tspk_npy_header *header_out, tspk_error *err);

/** Converts n elements. To F4: rounded once; to I8: towards zero; to B1: is it different from 0.
 * @param data  [n] elements of `type`, any alignment; borrowed
 * @param want  F4, I8 or B1
 * @param out   [n] elements of `want`; out (partly written on failure)
 * @errors RANGE (no int64: NaN, infinite, too large; the element is named) */
tspk_status tspk_npy_convert(tspk_npy_type type, const void *data, size_t n, tspk_npy_type want,
                             void *out, tspk_error *err);

/** Reads a whole .npy file converted to `want` (F4, I8 or B1; any numeric type converts).
 * @param data_out   malloc'd, owned by the caller
 * @param stored_out element type of the file; NULL is allowed
 * @errors IO, NOMEM, and those of tspk_npy_parse() and tspk_npy_convert(); FORMAT also when data
 * are missing or left over */
tspk_status tspk_npy_read_file(const char *path, tspk_npy_type want, tspk_shape *shape_out,
                               void **data_out, tspk_npy_type *stored_out, tspk_error *err);

/** Writes a .npy file atomically. */
tspk_status tspk_npy_write_file(const char *path, tspk_npy_type type, const tspk_shape *shape,
                                const void *data, tspk_error *err);

/** An .npz being written: reproducible, stored uncompressed, renamed into place by _close. */
typedef struct tspk_npz_writer tspk_npz_writer;
tspk_status tspk_npz_writer_open(const char *path, tspk_npz_writer **writer_out, tspk_error *err);
/** Adds member `name`.npy. */
tspk_status tspk_npz_writer_add(tspk_npz_writer *writer, const char *name, tspk_npy_type type,
                                const tspk_shape *shape, const void *data, tspk_error *err);
/** Finishes and renames when `is_kept`, else removes the temporary file; frees the writer. */
tspk_status tspk_npz_writer_close(tspk_npz_writer *writer, bool is_kept, tspk_error *err);

#endif
