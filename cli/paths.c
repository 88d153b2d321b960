/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/paths.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "cli/output.h"
#include "cli/refuse.h"

#define N_OUTPUTS 5

/* One plain file under both paths? Devices may be written twice. */
static bool is_same_file(const char *a, const char *b)
{
    struct stat in_a, in_b;

    if (stat(a, &in_a) != 0 || stat(b, &in_b) != 0)
        return strcmp(a, b) == 0;
    return S_ISREG(in_a.st_mode) && in_a.st_dev == in_b.st_dev && in_a.st_ino == in_b.st_ino;
}

static tspk_status refuse_input(const char *flag, const char *output, const char *input,
                                tspk_error *err)
{
    if (input && is_same_file(output, input))
        return tspk_cli_fail(err, TSPK_USAGE, "%s %s would overwrite the input %s", flag, output,
                             input);
    return TSPK_OK;
}

tspk_status tspk_cli_refuse_overlap(const tspk_cli_args *args, tspk_error *err)
{
    static const char *const flags[N_OUTPUTS] = {"--output", "--json", "--dump-spikes", "--report",
                                                 "--explain"};
    const char *const outputs[N_OUTPUTS] = {args->output, args->json, args->dump_spikes,
                                            args->report, args->explain};

    for (int i = 0; i < N_OUTPUTS; i++) {
        if (!outputs[i] || tspk_cli_is_stdout(outputs[i]))
            continue;
        for (int k = 0; k < args->n_inputs; k++) {
            const char *file = strchr(args->inputs[k], '='); /* NAME=FILE */

            TSPK_CLI_TRY(refuse_input(flags[i], outputs[i], args->inputs[k], err));
            TSPK_CLI_TRY(refuse_input(flags[i], outputs[i], file ? file + 1 : NULL, err));
        }
        TSPK_CLI_TRY(refuse_input(flags[i], outputs[i], args->data, err));
        TSPK_CLI_TRY(refuse_input(flags[i], outputs[i], args->onnx, err));
        TSPK_CLI_TRY(refuse_input(flags[i], outputs[i], args->classes, err));
        for (int k = 0; k < i; k++)
            if (outputs[k] && is_same_file(outputs[i], outputs[k]))
                return tspk_cli_fail(err, TSPK_USAGE, "%s and %s are both %s", flags[k], flags[i],
                                     outputs[i]);
    }
    return TSPK_OK;
}

/* Length of the path up to and with its last slash. */
static size_t folder_length(const char *path)
{
    const char *slash = strrchr(path, '/');

    return slash ? (size_t)(slash - path) + 1 : 0;
}

tspk_status tspk_cli_check_writable(const char *path, tspk_error *err)
{
    struct stat found;
    char *target, *folder;
    bool is_writable;
    int number;

    if (!path || tspk_cli_is_stdout(path))
        return TSPK_OK;
    if (stat(path, &found) == 0 && !S_ISREG(found.st_mode)) {
        if (S_ISDIR(found.st_mode) || access(path, W_OK) != 0)
            return tspk_cli_fail(err, TSPK_IO, "%s: cannot be opened for writing: %s", path,
                                 strerror(S_ISDIR(found.st_mode) ? EISDIR : errno));
        return TSPK_OK;
    }
    target = realpath(path, NULL); /* a link stays one: the file that it names is replaced */
    folder = strdup(target ? target : path);
    free(target);
    if (!folder)
        return tspk_cli_fail(err, TSPK_NOMEM, "%s: no memory for a path", path);
    folder[folder_length(folder)] = '\0';
    is_writable = access(folder[0] ? folder : ".", W_OK | X_OK) == 0;
    number = errno;
    free(folder);
    if (!is_writable)
        return tspk_cli_fail(err, TSPK_IO, "%s: cannot be created: %s", path, strerror(number));
    return TSPK_OK;
}

bool tspk_cli_has_spike_head(const char *path)
{
    static const char member[] =
        "transpike.pb"; /* the first one, behind 30 bytes of a ZIP's header */
    char head[30 + sizeof member - 1];
    FILE *file = fopen(path, "rb");
    size_t n = 0;

    if (file) {
        n = fread(head, 1, sizeof head, file);
        fclose(file);
    }
    return n == sizeof head && memcmp(head, "PK\003\004", 4) == 0 &&
           memcmp(head + 30, member, sizeof member - 1) == 0;
}

tspk_status tspk_cli_refuse_strange_file(const char *path, tspk_error *err)
{
    struct stat found;

    if (stat(path, &found) == 0 && S_ISREG(found.st_mode) && found.st_size > 0 &&
        !tspk_cli_has_spike_head(path))
        return tspk_cli_fail(err, TSPK_USAGE,
                             "%s is there and is no .spike: give another name with -o", path);
    return TSPK_OK;
}
