/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/help.h"

#include <string.h>

#define HELP_COLUMN 30
#define HELP_WIDTH  98

/* Prints text wrapped at HELP_WIDTH, continued at `indent`, starting at column `at`. */
static void print_wrapped(FILE *out, const char *text, int at, int indent)
{
    while (*text) {
        const int word = (int)strcspn(text, " ");

        if (at > indent && at + 1 + word > HELP_WIDTH) {
            fprintf(out, "\n%*s", indent, "");
            at = indent;
        } else if (at > indent) {
            fputc(' ', out);
            at++;
        }
        fprintf(out, "%.*s", word, text);
        at += word;
        text += word;
        while (*text == ' ')
            text++;
    }
    fputc('\n', out);
}

static void print_exit_codes(FILE *out)
{
    fprintf(out, "Exit codes: 0, or that of the status in brackets at the end of the refusal:\n");
    for (const tspk_cli_exit_code *code = tspk_cli_exit_codes; code->code; code++)
        fprintf(out, "  %2d  %-12s %s\n", code->code, code->name, code->what);
}

void tspk_cli_print_usage(FILE *out)
{
    fprintf(out, "Usage: transpike COMMAND [options]\n\n"
                 "Vision Transformers, exported from PyTorch as ONNX, as spiking networks.\n\n"
                 "Commands:\n");
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        fprintf(out, "  %-10s %s\n", tspk_cli_commands[i].name, tspk_cli_commands[i].summary);
    fprintf(out, "\nExamples:\n");
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        fprintf(out, "  transpike %s\n", tspk_cli_commands[i].examples[0].line);
    fprintf(out,
            "\n`transpike COMMAND --help` explains each; `transpike --version` prints the version\n"
            "(with -v: how it was built).\n\n"
            "A refusal is one line on standard error that ends with its status in brackets.\n");
    print_exit_codes(out);
}

static void print_option(const tspk_cli_option *option, FILE *out)
{
    char left[80];
    const int n =
        snprintf(left, sizeof left, "  %c%c%c --%s%s%s", option->letter ? '-' : ' ',
                 option->letter ? option->letter : ' ', option->letter ? ',' : ' ', option->name,
                 option->value ? " " : "", option->value ? option->value : "");

    if (n + 2 > HELP_COLUMN)
        fprintf(out, "%s\n%*s", left, HELP_COLUMN, "");
    else
        fprintf(out, "%-*s", HELP_COLUMN, left);
    print_wrapped(out, option->help, HELP_COLUMN, HELP_COLUMN);
}

void tspk_cli_print_help(const tspk_cli_command *command, FILE *out)
{
    fprintf(out, "Usage: transpike %s %s\n\n", command->name, command->usage);
    print_wrapped(out, command->summary, 0, 0);
    for (size_t i = 0; command->notes[i]; i++) {
        fputc('\n', out);
        print_wrapped(out, command->notes[i], 0, 0);
    }
    for (int group = 0; group < TSPK_CLI_N_GROUPS; group++) {
        size_t n = 0;

        for (size_t i = 0; i < tspk_cli_n_options; i++) {
            const tspk_cli_option *option = &tspk_cli_options[i];

            if ((int)option->group != group || !tspk_cli_is_shown(option, command))
                continue;
            if (n++ == 0)
                fprintf(out, "\n%s:\n", tspk_cli_group_title(option->group));
            print_option(option, out);
        }
    }
    fprintf(out, "\nExamples:\n");
    for (const tspk_cli_example *example = command->examples; example->line; example++)
        fprintf(out, "  # %s\n  transpike %s\n", example->what, example->line);
    fputc('\n', out);
    print_exit_codes(out);
}
