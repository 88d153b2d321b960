/* SPDX-License-Identifier: Apache-2.0 */
/* A file that appears whole or not at all. */
#ifndef TSPK_CORE_ATOMIC_FILE_H
#define TSPK_CORE_ATOMIC_FILE_H

#include <stdbool.h>
#include <stddef.h>

#include "transpike/error.h"

typedef struct tspk_atomic_file tspk_atomic_file;

/** Creates a temporary file in the folder of `path`; a device or a pipe is written straight
 * into; a link stays a link, and the file that it names is replaced.
 * @errors IO (with errno's text), NOMEM */
tspk_status tspk_atomic_file_open(const char *path, tspk_atomic_file **file_out, tspk_error *err);

/** Its descriptor, for writing. */
int tspk_atomic_file_descriptor(const tspk_atomic_file *file);

/** Writes all n bytes. @errors IO */
tspk_status tspk_atomic_file_write(tspk_atomic_file *file, const void *bytes, size_t n,
                                   tspk_error *err);

/** With `is_kept`: fsync, rename over `path`; else, and on failure, the temporary file is removed.
 * Frees `file` (NULL is allowed). */
tspk_status tspk_atomic_file_close(tspk_atomic_file *file, bool is_kept, tspk_error *err);

#endif
