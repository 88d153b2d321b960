/* SPDX-License-Identifier: Apache-2.0 */
/* What `run` found, image by image: as JSON, as text, as an array. */
#ifndef TSPK_CLI_REPORT_H
#define TSPK_CLI_REPORT_H

#include "cli/args.h"
#include "transpike/transpike.h"
#include "cli/output.h"

typedef struct tspk_cli_report {
    cJSON *json;   /* schema "transpike.run/1" */
    cJSON *images; /* its member, borrowed */
    size_t k;      /* classes shown an image */
    tspk_cli_top *top;
    tspk_cli_names names;    /* of --classes */
    const tspk_spike *spike; /* whose class names are used without --classes; or NULL */
} tspk_cli_report;

/** @param mode "exact", or "float" for a source network */
tspk_status tspk_cli_report_init(tspk_cli_report *report, const tspk_cli_args *args,
                                 const char *mode, const tspk_spike *spike, tspk_error *err);
void tspk_cli_report_done(tspk_cli_report *report);

/** Refuses --classes with another number of names than classes. @errors RANGE */
tspk_status tspk_cli_report_check_names(const tspk_cli_report *report, const tspk_cli_args *args,
                                        size_t classes, tspk_error *err);

/** Adds an image. @param work of its last step; NULL for a source network (null in the JSON) */
tspk_status tspk_cli_report_add(tspk_cli_report *report, const char *name, const float *logits,
                                size_t classes, const tspk_step_work *work, tspk_error *err);

/** Prints the text, unless JSON goes to standard output, and writes the JSON where it was asked
 * for. */
tspk_status tspk_cli_report_finish(tspk_cli_report *report, const tspk_cli_args *args,
                                   tspk_error *err);

#endif
