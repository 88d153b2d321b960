/* SPDX-License-Identifier: Apache-2.0 */
/* What this build and this machine are: for bug reports, and for who wonders why it is slow. */
#ifndef TRANSPIKE_SYSTEM_H
#define TRANSPIKE_SYSTEM_H

#include "transpike/error.h"

#ifdef __cplusplus
extern "C" {
#endif

/**
 * Describes the library, the processor, the kernels that it chooses, threads, the versions of the
 * libraries below it, and memory. Of each that slows work down or stops it there is a line of
 * advice.
 * @param json_out schema "transpike.doctor/1" (docs/cli.md); freed with tspk_text_free()
 * @errors NOMEM
 */
TSPK_API tspk_status tspk_system_describe(char **json_out, tspk_error *err);

#ifdef __cplusplus
}
#endif
#endif
