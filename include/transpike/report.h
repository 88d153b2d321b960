/* SPDX-License-Identifier: Apache-2.0 */
/* A validation as one HTML file for people. */
#ifndef TRANSPIKE_REPORT_H
#define TRANSPIKE_REPORT_H

#include "transpike/spike.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct tspk_report_settings {
    const char *title;           /**< NULL: "Transpike report" */
    const char *spike_path;      /**< named with its SHA-256; NULL: not named */
    const char *source_path;     /**< of the source network; named; or NULL */
    const char *const *commands; /**< lines that make it again, shown as they are; borrowed */
    size_t n_commands;
    size_t gallery_images; /**< at most 24; default 12 */
    size_t worst_images;   /**< of those with another answer than the source's; at most 24; default
                                12 */
    int threads;           /**< 0: all cores */
} tspk_report_settings;

TSPK_API void tspk_report_default_settings(tspk_report_settings *settings);

/** Can this build write reports? @errors UNSUPPORTED (built without Chart.js; what to install) */
TSPK_API tspk_status tspk_report_check(tspk_error *err);

/**
 * Writes `path` atomically: one file with its pictures, charts and data, which loads nothing.
 * @param data           the set that tspk_validate() had
 * @param validate_json  its result; the heat map of the sites needs has_layers or has_site_rates
 * @param settings       NULL: defaults
 * @errors UNSUPPORTED (tspk_report_check()), FORMAT (not such a result), IO, NOMEM, those of
 * tspk_dataset_read()
 */
TSPK_API tspk_status tspk_report_write(const char *path, const tspk_spike *spike,
                                       const tspk_dataset *data, const char *validate_json,
                                       const tspk_report_settings *settings, tspk_error *err);

#ifdef __cplusplus
}
#endif
#endif
