/* SPDX-License-Identifier: Apache-2.0 */
/* How library code reports: set the fields that are known, forward the rest. */
#ifndef TSPK_CORE_FAIL_H
#define TSPK_CORE_FAIL_H

#include "core/compiler.h"
#include "transpike/error.h"

/** Forwards a failure. */
#define TSPK_TRY(call)                                                                             \
    do {                                                                                           \
        const tspk_status try_status_ = (call);                                                    \
        if (try_status_ != TSPK_OK)                                                                \
            return try_status_;                                                                    \
    } while (0)

/** Sets status and message, and returns the status: `return TSPK_FAIL(err, TSPK_SHAPE, "…", n);` */
#define TSPK_FAIL(err, status, ...) tspk_fail((err), (status), __VA_ARGS__)

/** Writes status and message, empties the other fields, which may be of an earlier failure, and
 * returns status. err may be NULL. Never allocates. */
tspk_status tspk_fail(tspk_error *err, tspk_status status, const char *format, ...)
    TSPK_PRINTF(3, 4);

/** Fill a field that is still empty; NULL arguments are ignored. Each returns `status` unchanged, so
 * that a caller can write `return tspk_in_stage(err, call(…, err), "import");`. */
tspk_status tspk_in_stage(tspk_error *err, tspk_status status, const char *stage);
tspk_status tspk_at_node(tspk_error *err, tspk_status status, const char *node, const char *op);
tspk_status tspk_at_tensor(tspk_error *err, tspk_status status, const char *tensor);

/** Puts `path: ` in front of a message that does not start with it, or with a path below it, yet.
 * Returns `status`. */
tspk_status tspk_in_file(tspk_error *err, tspk_status status, const char *path);

#endif
