/* SPDX-License-Identifier: Apache-2.0 */
#include "core/fail.h"

#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <string.h>

const char *tspk_status_name(tspk_status status)
{
    switch (status) {
    case TSPK_OK:
        return "OK";
    case TSPK_NOMEM:
        return "NOMEM";
    case TSPK_IO:
        return "IO";
    case TSPK_FORMAT:
        return "FORMAT";
    case TSPK_UNSUPPORTED:
        return "UNSUPPORTED";
    case TSPK_SHAPE:
        return "SHAPE";
    case TSPK_RANGE:
        return "RANGE";
    case TSPK_LIMIT:
        return "LIMIT";
    case TSPK_MISMATCH:
        return "MISMATCH";
    case TSPK_INTERRUPTED:
        return "INTERRUPTED";
    case TSPK_USAGE:
        return "USAGE";
    }
    return "UNKNOWN";
}

void tspk_error_init(tspk_error *err)
{
    if (err)
        memset(err, 0, sizeof *err);
}

static void copy_text(char *to, size_t size, const char *from)
{
    if (!from || to[0] != '\0')
        return;
    snprintf(to, size, "%s", from);
}

tspk_status tspk_fail(tspk_error *err, tspk_status status, const char *format, ...)
{
    if (err) {
        va_list args;

        err->status = status;
        err->stage[0] = err->node[0] = err->op[0] = err->tensor[0] = '\0';
        va_start(args, format);
        vsnprintf(err->message, sizeof err->message, format, args);
        va_end(args);
    }
    return status;
}

tspk_status tspk_in_stage(tspk_error *err, tspk_status status, const char *stage)
{
    if (err && status != TSPK_OK)
        copy_text(err->stage, sizeof err->stage, stage);
    return status;
}

tspk_status tspk_at_node(tspk_error *err, tspk_status status, const char *node, const char *op)
{
    if (err && status != TSPK_OK && err->node[0] == '\0' && err->op[0] == '\0') {
        copy_text(err->node, sizeof err->node, node);
        copy_text(err->op, sizeof err->op, op);
    }
    return status;
}

tspk_status tspk_at_tensor(tspk_error *err, tspk_status status, const char *tensor)
{
    if (err && status != TSPK_OK)
        copy_text(err->tensor, sizeof err->tensor, tensor);
    return status;
}

/* Does the message start with this path, or with one below it? */
static bool names_path(const char *message, const char *path)
{
    const size_t n = strlen(path);

    return strncmp(message, path, n) == 0 &&
           (message[n] == ':' || message[n] == '/' || (n && path[n - 1] == '/'));
}

tspk_status tspk_in_file(tspk_error *err, tspk_status status, const char *path)
{
    if (err && status != TSPK_OK && !names_path(err->message, path)) {
        tspk_error named;

        tspk_fail(&named, status, "%s: %s", path, err->message);
        err->status = status;
        memcpy(err->message, named.message, sizeof err->message);
    }
    return status;
}

int tspk_error_format(const tspk_error *err, char *buf, unsigned long size)
{
    char line[sizeof(tspk_error) + 64];
    int n = 0;

    if (err->stage[0])
        n += snprintf(line + n, sizeof line - (size_t)n, "%s: ", err->stage);
    if (err->node[0] || err->op[0]) {
        if (err->node[0])
            n += snprintf(line + n, sizeof line - (size_t)n, "node \"%s\"", err->node);
        if (err->op[0])
            n += snprintf(line + n, sizeof line - (size_t)n, err->node[0] ? " (%s)" : "%s", err->op);
        n += snprintf(line + n, sizeof line - (size_t)n, ": ");
    }
    if (err->tensor[0])
        n += snprintf(line + n, sizeof line - (size_t)n, "tensor \"%s\": ", err->tensor);
    n += snprintf(line + n, sizeof line - (size_t)n, "%s [%s]",
                  err->message[0] ? err->message : "no further detail",
                  tspk_status_name(err->status));
    for (int i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)line[i];

        if (c < 0x20 || c == 0x7f)
            line[i] = '?';
    }
    return snprintf(buf, size, "%s", line);
}
