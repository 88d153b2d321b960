/* SPDX-License-Identifier: Apache-2.0 */
/* The search of `convert --max-loss` for people. */
#ifndef TSPK_CLI_TUNING_H
#define TSPK_CLI_TUNING_H

#include "transpike/transpike.h"

/**
 * Prints the Pareto table, marks what was chosen, and says whether the budget is met.
 * @param json from tspk_convert_tuned()
 * @errors NOMEM
 */
tspk_status tspk_cli_print_tuning(const char *json, const tspk_budget *budget, tspk_error *err);

#endif
