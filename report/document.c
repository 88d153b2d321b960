/* SPDX-License-Identifier: Apache-2.0 */
#include "report/document.h"

#include <string.h>

#include "core/atomic_file.h"
#include "core/fail.h"
#include "report/assets.h"

/* Stands in report.html for a part: {{css}}. */
#define OPENING "{{"
#define CLOSING "}}"

typedef struct part {
    const char *name;
    const unsigned char *bytes;
    size_t n;
} part;

tspk_status tspk_report_document_check(tspk_error *err)
{
    return tspk_chart_js_bytes ? TSPK_OK
                               : TSPK_FAIL(err, TSPK_UNSUPPORTED,
                                           "built without Chart.js: install libjs-chart.js (or "
                                           "set -Dchart_js=FILE), then build again");
}

/* JSON that cannot end its block: outside of strings it has none of the three characters. */
static tspk_status write_json(tspk_atomic_file *file, const char *json, tspk_error *err)
{
    while (*json) {
        const size_t n = strcspn(json, "<>&");
        const char *const escape = json[n] == '<'   ? "\\u003c"
                                   : json[n] == '>' ? "\\u003e"
                                   : json[n] == '&' ? "\\u0026"
                                                    : "";

        TSPK_TRY(tspk_atomic_file_write(file, json, n, err));
        TSPK_TRY(tspk_atomic_file_write(file, escape, strlen(escape), err));
        json += json[n] ? n + 1 : n;
    }
    return TSPK_OK;
}

static tspk_status write_part(tspk_atomic_file *file, const char *name, size_t n_name,
                              const char *json, tspk_error *err)
{
    const part parts[] = {{"css", tspk_page_css, tspk_page_css_bytes},
                          {"js", tspk_page_js, tspk_page_js_bytes},
                          {"charts", tspk_page_charts_js, tspk_page_charts_js_bytes},
                          {"chart.js", tspk_chart_js, tspk_chart_js_bytes}};

    for (size_t i = 0; i < sizeof parts / sizeof parts[0]; i++)
        if (strlen(parts[i].name) == n_name && memcmp(parts[i].name, name, n_name) == 0)
            return tspk_atomic_file_write(file, parts[i].bytes, parts[i].n, err);
    return write_json(file, json, err);
}

/* The template is ours: its marks are whole and known. */
static tspk_status write_all(tspk_atomic_file *file, const char *json, tspk_error *err)
{
    const char *at = (const char *)tspk_page_html;
    const char *const end = at + tspk_page_html_bytes;

    while (at < end) {
        const char *const mark = memmem(at, (size_t)(end - at), OPENING, strlen(OPENING));
        const char *name, *close;

        if (!mark)
            return tspk_atomic_file_write(file, at, (size_t)(end - at), err);
        name = mark + strlen(OPENING);
        close = memmem(name, (size_t)(end - name), CLOSING, strlen(CLOSING));
        TSPK_TRY(tspk_atomic_file_write(file, at, (size_t)(mark - at), err));
        TSPK_TRY(write_part(file, name, (size_t)(close - name), json, err));
        at = close + strlen(CLOSING);
    }
    return TSPK_OK;
}

tspk_status tspk_report_document_write(const char *path, const char *json, tspk_error *err)
{
    tspk_atomic_file *file = NULL;
    tspk_status status, closed;

    TSPK_TRY(tspk_report_document_check(err));
    TSPK_TRY(tspk_atomic_file_open(path, &file, err));
    status = write_all(file, json, err);
    closed = tspk_atomic_file_close(file, status == TSPK_OK, status == TSPK_OK ? err : NULL);
    return status != TSPK_OK ? status : closed;
}
