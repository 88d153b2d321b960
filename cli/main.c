/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>
#include <sys/auxv.h>
#include <unistd.h>

#include "cli/commands.h"
#include "cli/interrupt.h"
#include "cli/output.h"
#include "cli/paths.h"
#include "cli/refuse.h"

#define N_COMMANDS 4

static void print_usage(const tspk_cli_command *const *commands)
{
    printf("Usage: transpike COMMAND [options]\n\n"
           "Vision Transformers, exported from PyTorch as ONNX, as spiking networks.\n\n"
           "Commands:\n");
    for (size_t i = 0; i < N_COMMANDS; i++)
        printf("  %-10s %s\n", commands[i]->name, commands[i]->summary);
    printf(
        "\n`transpike COMMAND --help` explains each; `transpike --version` prints the version.\n\n"
        "A refusal is one line on standard error that ends with its status in brackets.\n");
    tspk_cli_print_exit_codes(stdout);
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
        status = command->run(&args, err);
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

int main(int argc, char **argv)
{
    const tspk_cli_command *const commands[N_COMMANDS] = {
        tspk_cli_command_convert(), tspk_cli_command_run(), tspk_cli_command_validate(),
        tspk_cli_command_inspect()};
    const char *names[N_COMMANDS];
    const char *word = argc > 1 ? argv[1] : "";
    const char *nearest;
    tspk_error err;

    tspk_error_init(&err);
    tspk_cli_catch_interrupts();
    for (size_t i = 0; i < N_COMMANDS; i++) {
        names[i] = commands[i]->name;
        if (strcmp(word, names[i]) == 0) {
            wait_briefly(argv);
            return run_command(commands[i], argc - 1, argv + 1, &err);
        }
    }
    if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0 || strcmp(word, "help") == 0) {
        print_usage(commands);
        return finish_text(&err);
    }
    if (strcmp(word, "--version") == 0) {
        printf("transpike %s\n", tspk_version());
        return finish_text(&err);
    }
    nearest = tspk_cli_nearest(word, names, N_COMMANDS);
    if (argc < 2)
        tspk_cli_fail(&err, TSPK_USAGE,
                      "expected a command: convert, run, validate or inspect; see "
                      "`transpike --help`");
    else if (nearest)
        tspk_cli_fail(&err, TSPK_USAGE, "unknown command \"%s\"; did you mean %s?", word, nearest);
    else
        tspk_cli_fail(&err, TSPK_USAGE, "unknown command \"%s\"; see `transpike --help`", word);
    return tspk_cli_refuse("", &err);
}
