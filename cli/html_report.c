/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/html_report.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

static bool is_plain(const char *word)
{
    return *word && !word[strspn(word, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                       "0123456789%+,-./:=@_")];
}

/* A word as the shell wants it: in single quotes unless it is plain. Returns where it ends. */
static char *quote(const char *word, char *at)
{
    if (is_plain(word))
        return stpcpy(at, word);
    *at++ = '\'';
    for (; *word; word++)
        at = *word == '\'' ? stpcpy(at, "'\\''") : (*at = *word, at + 1);
    return stpcpy(at, "'");
}

/* "transpike validate …", malloc'd. */
static char *command_line(const tspk_cli_args *args)
{
    size_t room = sizeof "transpike";
    char *text, *at;

    for (int i = 0; i < args->n_words; i++)
        room += 4 * strlen(args->words[i]) + 3;
    text = malloc(room);
    if (!text)
        return NULL;
    at = stpcpy(text, "transpike");
    for (int i = 0; i < args->n_words; i++) {
        *at++ = ' ';
        at = quote(args->words[i], at);
    }
    return text;
}

static const char *name_of(const char *path)
{
    const char *const slash = strrchr(path, '/');

    return slash ? slash + 1 : path;
}

tspk_status tspk_cli_write_html(const tspk_cli_args *args, const tspk_spike *spike,
                                const tspk_dataset *data, const char *validate_json,
                                tspk_error *err)
{
    tspk_report_settings settings;
    char *const command = command_line(args);
    const char *const commands[] = {command};
    char title[512];
    tspk_status status;

    if (!command)
        return tspk_cli_fail(err, TSPK_NOMEM, "no memory for a command line");
    snprintf(title, sizeof title, "%s beside %s", name_of(args->inputs[0]), name_of(args->onnx));
    tspk_report_default_settings(&settings);
    settings.title = title;
    settings.spike_path = args->inputs[0];
    settings.source_path = args->onnx;
    settings.commands = commands;
    settings.n_commands = 1;
    settings.threads = args->threads > 0 ? (int)args->threads : 0;
    status = tspk_report_write(args->report, spike, data, validate_json, &settings, err);
    free(command);
    return status;
}
