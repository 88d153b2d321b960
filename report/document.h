/* SPDX-License-Identifier: Apache-2.0 */
/* The page's files and the data as one HTML document. */
#ifndef TSPK_REPORT_DOCUMENT_H
#define TSPK_REPORT_DOCUMENT_H

#include "transpike/error.h"

/**
 * Writes the document atomically. The data stands in it once, as JSON in which `<`, `>` and `&` are
 * written \u003c, \u003e and \u0026, so that nothing in it can end the block or start an element.
 * @param json  what report/page/report.js reads
 * @errors IO, NOMEM, UNSUPPORTED (built without Chart.js)
 */
tspk_status tspk_report_document_write(const char *path, const char *json, tspk_error *err);

/** Can this build write documents? @errors UNSUPPORTED */
tspk_status tspk_report_document_check(tspk_error *err);

#endif
