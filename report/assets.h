/* SPDX-License-Identifier: Apache-2.0 */
/* The files of report/page and Chart.js, embedded by tools/embed_files.py. */
#ifndef TSPK_REPORT_ASSETS_H
#define TSPK_REPORT_ASSETS_H

#include <stddef.h>

extern const unsigned char tspk_page_html[], tspk_page_css[], tspk_page_js[], tspk_page_charts_js[];
extern const size_t tspk_page_html_bytes, tspk_page_css_bytes, tspk_page_js_bytes,
    tspk_page_charts_js_bytes;

/** 0 bytes in a build without Chart.js. */
extern const unsigned char tspk_chart_js[];
extern const size_t tspk_chart_js_bytes;

#endif
