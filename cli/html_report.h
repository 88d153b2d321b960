/* SPDX-License-Identifier: Apache-2.0 */
/* `validate --report`. */
#ifndef TSPK_CLI_HTML_REPORT_H
#define TSPK_CLI_HTML_REPORT_H

#include "cli/args.h"
#include "transpike/transpike.h"

/** Writes --report, with the command line that makes it again. @errors those of
 * tspk_report_write(), NOMEM */
tspk_status tspk_cli_write_html(const tspk_cli_args *args, const tspk_spike *spike,
                                const tspk_dataset *data, const char *validate_json,
                                tspk_error *err);

#endif
