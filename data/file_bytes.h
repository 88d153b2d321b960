/* SPDX-License-Identifier: Apache-2.0 */
#ifndef TSPK_DATA_FILE_BYTES_H
#define TSPK_DATA_FILE_BYTES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/error.h"

/** Reads a whole file of at most `cap` bytes.
 * @param bytes_out malloc'd, owned by the caller
 * @errors IO, LIMIT, NOMEM; the path is named */
tspk_status tspk_file_read(const char *path, size_t cap, uint8_t **bytes_out, size_t *n_out,
                           tspk_error *err);

/** `folder/name`, or `name` alone when folder is NULL or empty; malloc'd, NULL when memory is
 * short. */
char *tspk_path_join(const char *folder, const char *name);

/** Length of a path's folder with its slash: 0 when there is none. */
size_t tspk_path_folder_length(const char *path);

/** Ends the name with this, in any case? */
bool tspk_path_ends_with(const char *path, const char *end);

/** Is there a regular file? */
bool tspk_path_is_file(const char *path);

#endif
