/* SPDX-License-Identifier: Apache-2.0 */
/* Members of an .npz or any other .zip, by name, with caps. */
#ifndef TSPK_DATA_NPZ_READER_H
#define TSPK_DATA_NPZ_READER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "data/npy.h"
#include "transpike/error.h"

#define TSPK_MAX_ZIP_MEMBERS 1000000u

/** A zip file being read from front to back. One thread at a time. */
typedef struct tspk_npz_reader tspk_npz_reader;

/** @errors IO, FORMAT (no zip), NOMEM; the path is named */
tspk_status tspk_npz_reader_open(const char *path, tspk_npz_reader **reader_out, tspk_error *err);

/** Goes to the next member that is a file.
 * @param name_out  its path, borrowed until the next call; NULL after the last
 * @errors FORMAT, IO, LIMIT (more than TSPK_MAX_ZIP_MEMBERS) */
tspk_status tspk_npz_reader_next(tspk_npz_reader *reader, const char **name_out, tspk_error *err);

/** Reads the member that _next came to, whole; its checksum is verified.
 * @param cap_bytes  most bytes that it may unpack to; memory grows with what really comes
 * @param bytes_out  malloc'd, owned by the caller
 * @errors LIMIT, FORMAT (broken, wrong checksum), NOMEM; file and member are named */
tspk_status tspk_npz_reader_read(tspk_npz_reader *reader, size_t cap_bytes, uint8_t **bytes_out,
                                 size_t *n_out, tspk_error *err);

/** NULL is allowed. */
void tspk_npz_reader_close(tspk_npz_reader *reader);

/** Reads one member of the file at `path`. @errors as above, and FORMAT (absent, or there twice) */
tspk_status tspk_npz_read_member(const char *path, const char *name, size_t cap_bytes,
                                 uint8_t **bytes_out, size_t *n_out, tspk_error *err);

/** Reads array `name` (member `name`.npy).
 * @param header_out  checked against the member's length
 * @param bytes_out   malloc'd, owned by the caller; data start at header_out->data_offset
 * @errors as above, and those of tspk_npy_parse() */
tspk_status tspk_npz_read_array(const char *path, const char *name, size_t cap_bytes,
                                tspk_npy_header *header_out, uint8_t **bytes_out, tspk_error *err);

/** Is there a member of that name? @errors as tspk_npz_reader_next() */
tspk_status tspk_npz_has_member(const char *path, const char *name, bool *is_there_out,
                                tspk_error *err);

#endif
