/* SPDX-License-Identifier: Apache-2.0 */
#include <cjson/cJSON.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/help.h"
#include "cli/interrupt.h"
#include "cli/options.h"
#include "cli/output.h"
#include "cli/parse.h"
#include "cli/paths.h"
#include "cli/refuse.h"

typedef tspk_status (*command_fn)(const tspk_cli_args *args, tspk_error *err);

static command_fn find_work(unsigned command)
{
    switch (command) {
    case TSPK_CLI_CONVERT:
        return tspk_cli_convert;
    case TSPK_CLI_RUN:
        return tspk_cli_run;
    case TSPK_CLI_VALIDATE:
        return tspk_cli_validate;
    case TSPK_CLI_DOCTOR:
        return tspk_cli_doctor;
    default:
        return tspk_cli_inspect;
    }
}

static int finish_text(tspk_error *err)
{
    if (tspk_cli_flush(err) != TSPK_OK)
        return tspk_cli_refuse("", err);
    return EXIT_SUCCESS;
}

static int run_command(const tspk_cli_command *command, int argc, char **argv, tspk_error *err)
{
    tspk_cli_args args;
    tspk_status status = tspk_cli_parse(command, argc, argv, &args, err);

    if (status == TSPK_OK && args.is_help) {
        tspk_cli_print_help(command, stdout);
        return finish_text(err);
    }
    if (status == TSPK_OK)
        status = tspk_cli_refuse_overlap(&args, err);
    if (status == TSPK_OK)
        status = find_work(command->bit)(&args, err);
    if (status == TSPK_OK)
        return EXIT_SUCCESS;
    err->status = status;
    return tspk_cli_refuse(command->name, err);
}

/*
 * A thread of libgomp that waits spins for some 15 ms before it sleeps, which takes the processor
 * from the thread that it waits for wherever cores are shared. It reads how long it shall spin when
 * it is loaded, so the command starts itself once more with a tenth of a millisecond, unless the
 * user has set something. Without /proc everything works, only slower. Where a dynamic loader was
 * started by name (no AT_BASE), /proc/self/exe is the loader.
 */
static void wait_briefly(char **argv)
{
    if (!getauxval(AT_BASE) || getenv("GOMP_SPINCOUNT") || getenv("OMP_WAIT_POLICY") ||
        setenv("GOMP_SPINCOUNT", "2000", 1) != 0)
        return;
    (void)execv("/proc/self/exe", argv);
}

static const tspk_cli_command *find_command(const char *name)
{
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        if (strcmp(name, tspk_cli_commands[i].name) == 0)
            return &tspk_cli_commands[i];
    return NULL;
}

static int refuse_command(const char *word, tspk_error *err)
{
    const char *names[16], *nearest;
    char all[160] = "";
    size_t n = 0;

    for (; n < tspk_cli_n_commands && n < 16; n++) {
        const size_t used = strlen(all);

        names[n] = tspk_cli_commands[n].name;
        snprintf(all + used, sizeof all - used, "%s%s",
                 n == 0 ? "" : (n + 1 < tspk_cli_n_commands ? ", " : " or "), names[n]);
    }
    nearest = tspk_cli_nearest(word, names, n);
    if (!word[0])
        tspk_cli_fail(err, TSPK_USAGE, "expected a command: %s; see `transpike --help`", all);
    else if (nearest)
        tspk_cli_fail(err, TSPK_USAGE, "unknown command \"%s\"; did you mean %s?", word, nearest);
    else
        tspk_cli_fail(err, TSPK_USAGE, "unknown command \"%s\"; see `transpike --help`", word);
    return tspk_cli_refuse("", err);
}

static bool is_one_of(const char *word, const char *a, const char *b)
{
    return strcmp(word, a) == 0 || strcmp(word, b) == 0;
}

/* The version, and how it was built. */
static int print_version(bool is_verbose, tspk_error *err)
{
    char *text = NULL;
    cJSON *json;
    const cJSON *fact;

    printf("transpike %s\n", tspk_version());
    if (!is_verbose)
        return finish_text(err);
    if (tspk_system_describe(&text, err) != TSPK_OK)
        return tspk_cli_refuse("", err);
    json = cJSON_Parse(text);
    cJSON_ArrayForEach(fact, cJSON_GetObjectItemCaseSensitive(json, "build"))
        printf("%s: %s\n", fact->string,
               cJSON_IsString(fact) ? fact->valuestring : (cJSON_IsTrue(fact) ? "yes" : "no"));
    cJSON_Delete(json);
    tspk_text_free(text);
    return finish_text(err);
}

int main(int argc, char **argv)
{
    const char *const word = argc > 1 ? argv[1] : "";
    const tspk_cli_command *command = find_command(word);
    tspk_error err;

    tspk_error_init(&err);
    tspk_cli_catch_interrupts();
    if (command) {
        if (command->bit != TSPK_CLI_DOCTOR) /* which tells what the user has set */
            wait_briefly(argv);
        return run_command(command, argc - 1, argv + 1, &err);
    }
    if (is_one_of(word, "--help", "-h") || strcmp(word, "help") == 0) {
        command = argc > 2 ? find_command(argv[2]) : NULL;
        if (argc > 2 && !command)
            return refuse_command(argv[2], &err);
        if (command)
            tspk_cli_print_help(command, stdout);
        else
            tspk_cli_print_usage(stdout);
        return finish_text(&err);
    }
    if (strcmp(word, "--version") == 0)
        return print_version(argc > 2 && is_one_of(argv[2], "-v", "--verbose"), &err);
    return refuse_command(word, &err);
}
