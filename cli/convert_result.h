/* SPDX-License-Identifier: Apache-2.0 */
/* What `convert` made, for people and as JSON. */
#ifndef TSPK_CLI_CONVERT_RESULT_H
#define TSPK_CLI_CONVERT_RESULT_H

#include "cli/args.h"
#include "cli/broken.h"
#include "transpike/transpike.h"

typedef struct tspk_cli_convert_result {
    const tspk_spike *spike;
    double seconds;
    bool is_rate;
    bool has_modes;     /* beside exact */
    const char *search; /* JSON from tspk_convert_tuned(), or NULL */
    const tspk_budget *budget;
    const tspk_cli_broken *broken; /* samples that were left out */
} tspk_cli_convert_result;

/**
 * Prints what was made, with the Pareto table of a search, what was chosen in it, and whether the
 * budget is met; writes the JSON where it was asked for.
 * @errors INTERRUPTED (a search that was stopped), IO, NOMEM
 */
tspk_status tspk_cli_report_convert(const tspk_cli_args *args,
                                    const tspk_cli_convert_result *result, tspk_error *err);

#endif
