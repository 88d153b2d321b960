/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/output.h"

#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

#define MAX_NAMES_BYTES ((size_t)16 << 20)

bool tspk_cli_is_stdout(const char *path)
{
    return path && strcmp(path, "-") == 0;
}

tspk_status tspk_cli_flush(tspk_error *err)
{
    if (fflush(stdout) != 0 || ferror(stdout))
        return tspk_cli_fail(err, TSPK_IO, "standard output: cannot be written: %s",
                             strerror(errno ? errno : EIO));
    return TSPK_OK;
}

tspk_status tspk_cli_write_json_text(const char *path, const char *text, tspk_error *err)
{
    const size_t length = strlen(text);
    const bool has_newline = length > 0 && text[length - 1] == '\n';
    tspk_status status;
    char *line;

    if (tspk_cli_is_stdout(path)) {
        printf("%s%s", text, has_newline ? "" : "\n");
        return tspk_cli_flush(err);
    }
    line = malloc(length + 2);
    if (!line)
        return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory to write it", path);
    memcpy(line, text, length + 1);
    if (!has_newline)
        memcpy(line + length, "\n", 2);
    status = tspk_text_write(path, line, err);
    free(line);
    return status;
}

tspk_status tspk_cli_write_json(const char *path, const cJSON *json, tspk_error *err)
{
    char *text = cJSON_Print(json);
    tspk_status status;

    if (!text)
        return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory for the JSON text", path);
    status = tspk_cli_write_json_text(path, text, err);
    cJSON_free(text);
    return status;
}

size_t tspk_cli_find_top(const float *logits, size_t classes, size_t k, tspk_cli_top *top_out)
{
    double sum = 0, largest = -INFINITY;
    bool is_distribution = true;
    size_t n = 0;

    for (size_t i = 0; i < classes; i++) {
        if (!isfinite(logits[i]))
            return 0;
        largest = logits[i] > largest ? (double)logits[i] : largest;
        is_distribution = is_distribution && logits[i] >= 0;
        sum += (double)logits[i];
    }
    is_distribution = is_distribution && fabs(sum - 1) < 1e-3;
    if (!is_distribution) {
        sum = 0;
        for (size_t i = 0; i < classes; i++)
            sum += exp((double)logits[i] - largest);
    }
    for (size_t i = 0; i < classes && k > 0; i++) {
        size_t at = n;

        while (at > 0 && logits[i] > logits[top_out[at - 1].index])
            at--;
        if (at == k)
            continue;
        if (n < k)
            n++;
        memmove(top_out + at + 1, top_out + at, (n - at - 1) * sizeof *top_out);
        top_out[at].index = (int64_t)i;
    }
    for (size_t i = 0; i < n; i++) {
        const double logit = (double)logits[top_out[i].index];

        top_out[i].p = is_distribution ? logit : exp(logit - largest) / sum;
    }
    return n;
}

static tspk_status read_text(const char *path, char **text_out, size_t *length_out, tspk_error *err)
{
    FILE *file = fopen(path, "rb");
    char *text = NULL;
    size_t length = 0, room = 0;

    if (!file)
        return tspk_cli_fail(err, TSPK_IO, "%s: cannot be opened: %s", path, strerror(errno));
    for (;;) {
        size_t got;

        if (room - length < 2) {
            char *grown = realloc(text, room = 2 * room + 65536);

            if (!grown) {
                free(text);
                fclose(file);
                return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory to read it", path);
            }
            text = grown;
        }
        got = fread(text + length, 1, room - length - 1, file);
        length += got;
        if (got == 0 || length > MAX_NAMES_BYTES)
            break;
    }
    if (ferror(file)) {
        const int number = errno;

        fclose(file);
        free(text);
        return tspk_cli_fail(err, TSPK_IO, "%s: cannot be read: %s", path, strerror(number));
    }
    fclose(file);
    text[length] = '\0';
    *text_out = text;
    *length_out = length;
    return TSPK_OK;
}

tspk_status tspk_cli_names_read(const char *path, tspk_cli_names *names_out, tspk_error *err)
{
    tspk_cli_names names = {0};
    size_t length = 0, n = 0;

    TSPK_CLI_TRY(read_text(path, &names.text, &length, err));
    if (length > MAX_NAMES_BYTES) {
        tspk_cli_names_done(&names);
        return tspk_cli_fail(err, TSPK_LIMIT, "%s: more than 16 MiB of class names", path);
    }
    if (length == 0 || memchr(names.text, '\0', length)) {
        tspk_cli_names_done(&names);
        return tspk_cli_fail(err, TSPK_FORMAT, "%s: %s, expected a class name a line", path,
                             length ? "has a NUL byte" : "empty");
    }
    for (size_t i = 0; i < length; i++)
        n += names.text[i] == '\n';
    names.name = calloc(n + 1, sizeof *names.name);
    if (!names.name) {
        tspk_cli_names_done(&names);
        return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory for %zu names", path, n + 1);
    }
    for (char *at = names.text; *at;) {
        const size_t line = strcspn(at, "\n");
        char *next = at[line] ? at + line + 1 : at + line;

        at[line] = '\0';
        if (line > 0 && at[line - 1] == '\r')
            at[line - 1] = '\0';
        names.name[names.n++] = at;
        at = next;
    }
    *names_out = names;
    return TSPK_OK;
}

void tspk_cli_names_done(tspk_cli_names *names)
{
    if (!names)
        return;
    free(names->name);
    free(names->text);
    memset(names, 0, sizeof *names);
}

double tspk_cli_json_number(const cJSON *object, const char *name, double fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsNumber(item) ? item->valuedouble : fallback;
}

const char *tspk_cli_json_text(const cJSON *object, const char *name, const char *fallback)
{
    const cJSON *item = cJSON_GetObjectItemCaseSensitive(object, name);

    return cJSON_IsString(item) ? item->valuestring : fallback;
}

void tspk_cli_print_modes(const cJSON *json)
{
    const cJSON *mode;

    printf("\nModes\n");
    cJSON_ArrayForEach(mode, cJSON_GetObjectItemCaseSensitive(json, "modes"))
    {
        const double share = tspk_cli_json_number(mode, "refine_share", 0);

        printf("  %-16s %.0f steps, %.0f levels, exit policy %s, %.0f pairs of tokens merge",
               tspk_cli_json_text(mode, "mode", ""), tspk_cli_json_number(mode, "steps", 0),
               tspk_cli_json_number(mode, "levels", 0), tspk_cli_json_text(mode, "policy", "none"),
               tspk_cli_json_number(mode, "merged_pairs", 0));
        if (share > 0.0)
            printf(", %.3g of the patches from step 2 on", share);
        printf("\n");
    }
}

char *tspk_cli_bytes_text(double bytes, char *buf, size_t size)
{
    static const char *const unit[] = {"B", "KiB", "MiB", "GiB", "TiB"};
    size_t i = 0;

    while (bytes >= 1024 && i < 4) {
        bytes /= 1024;
        i++;
    }
    snprintf(buf, size, i ? "%.1f %s" : "%.0f %s", bytes, unit[i]);
    return buf;
}
