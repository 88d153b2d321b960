/* SPDX-License-Identifier: Apache-2.0 */
/* What is written, checked before any work is done for it. */
#ifndef TSPK_CLI_PATHS_H
#define TSPK_CLI_PATHS_H

#include "cli/args.h"
#include "transpike/transpike.h"

/** Refuses an output that is one of the command's inputs, or two outputs that are one file.
 * @errors USAGE */
tspk_status tspk_cli_refuse_overlap(const tspk_cli_args *args, tspk_error *err);

/** Is it a file that starts as every .spike does? false when it cannot be read. */
bool tspk_cli_has_spike_head(const char *path);

/** Refuses to replace a file that is there, is not empty and is no .spike. @errors USAGE */
tspk_status tspk_cli_refuse_strange_file(const char *path, tspk_error *err);

/** Can `path` be created or replaced, as far as its folder's permissions tell? NULL and "-" can.
 * @errors IO */
tspk_status tspk_cli_check_writable(const char *path, tspk_error *err);

#endif
