/* SPDX-License-Identifier: Apache-2.0 */
/* Single images for the report: the picture, the answer after every step, what each mode took, and
 * where tokens merged. */
#ifndef TSPK_REPORT_GALLERY_H
#define TSPK_REPORT_GALLERY_H

#include <cjson/cJSON.h>

#include "transpike/report.h"

/**
 * Adds to each of the first images of the result's "examples" and "disagreements": "picture",
 * "steps"
 * [{"class", "p"}] of exact, "modes" [{"mode", "class", "p", "steps", "tokens", "energy_synaptic",
 * "map"}]; "map" is a picture or null. Those behind them are taken away.
 * @param validate  parsed result of tspk_validate(); changed
 * @param data      the samples that it names by number
 * @errors those of tspk_dataset_read() and tspk_session_open(); FORMAT (the result is not of this
 * kind), NOMEM
 */
tspk_status tspk_report_add_pictures(cJSON *validate, const tspk_spike *spike,
                                     const tspk_dataset *data, const tspk_report_settings *settings,
                                     tspk_error *err);

#endif
