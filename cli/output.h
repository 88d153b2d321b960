/* SPDX-License-Identifier: Apache-2.0 */
/* What the commands print and write: JSON, tables, the top classes. */
#ifndef TSPK_CLI_OUTPUT_H
#define TSPK_CLI_OUTPUT_H

#include <cjson/cJSON.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "transpike/transpike.h"

/** True when `path` is "-": JSON goes to standard output and nothing else does. */
bool tspk_cli_is_stdout(const char *path);

/** Writes JSON text to a file (whole or not at all) or, for "-", to standard output. */
tspk_status tspk_cli_write_json_text(const char *path, const char *text, tspk_error *err);

/** Prints `json` and writes it so. @errors IO, NOMEM */
tspk_status tspk_cli_write_json(const char *path, const cJSON *json, tspk_error *err);

/** Flushes standard output. @errors IO when something of it could not be written */
tspk_status tspk_cli_flush(tspk_error *err);

/** A class among the most probable ones. */
typedef struct tspk_cli_top {
    int64_t index;
    double p; /* in [0, 1] */
} tspk_cli_top;

/**
 * The k most probable classes, by falling probability, ties by index. Logits go through a softmax;
 * what already is a distribution (non-negative, sum 1 within 1e-3) is taken as it is.
 * @return entries written, k or `classes` at most; 0 when a logit is not finite
 */
size_t tspk_cli_find_top(const float *logits, size_t classes, size_t k, tspk_cli_top *top_out);

/** Names of classes, one a line of a file. */
typedef struct tspk_cli_names {
    char *text;
    char **name;
    size_t n;
} tspk_cli_names;

/** @errors IO, FORMAT (empty, or a NUL byte), LIMIT (more than 16 MiB), NOMEM */
tspk_status tspk_cli_names_read(const char *path, tspk_cli_names *names_out, tspk_error *err);
void tspk_cli_names_done(tspk_cli_names *names);

/** Number and text of a JSON object's member; the fallback when there is none. */
double tspk_cli_json_number(const cJSON *object, const char *name, double fallback);
const char *tspk_cli_json_text(const cJSON *object, const char *name, const char *fallback);

/** The modes of a .spike, a line each. @param json schema "transpike.inspect/1" */
void tspk_cli_print_modes(const cJSON *json);

/** "1.5 MiB", "812 B" into buf; returns buf. */
char *tspk_cli_bytes_text(double bytes, char *buf, size_t size);

#endif
