/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Runs while building: writes the manual pages and the completion of bash from the table of
 * cli/options.h to standard output.
 *
 *   make_pages man VERSION [COMMAND]
 *   make_pages bash
 */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/options.h"

/* Text for groff: hyphens that can be copied, no line that looks like a request. */
static void put_text(const char *text)
{
    bool is_line_start = true;

    for (; *text; text++) {
        if (is_line_start && (*text == '.' || *text == '\''))
            fputs("\\&", stdout);
        if (*text == '\\')
            fputs("\\e", stdout);
        else if (*text == '-')
            fputs("\\-", stdout);
        else
            putchar(*text);
        is_line_start = *text == '\n';
    }
    putchar('\n');
}

static void put_upper(const char *text)
{
    for (; *text; text++)
        putchar(toupper((unsigned char)*text));
}

static void put_title(const char *command, const char *version)
{
    fputs(".TH TRANSPIKE", stdout);
    if (command) {
        fputs("\\-", stdout);
        put_upper(command);
    }
    printf(" 1 \"\" \"transpike %s\" \"Transpike\"\n.SH NAME\n", version);
}

static void put_examples(const tspk_cli_command *command, size_t most)
{
    for (size_t i = 0; command->examples[i].line && i < most; i++) {
        puts(".PP");
        put_text(command->examples[i].what);
        fputs(".PP\n.RS 4\n.nf\n", stdout);
        fputs("transpike ", stdout);
        put_text(command->examples[i].line);
        fputs(".fi\n.RE\n", stdout);
    }
}

static void put_exit_codes(void)
{
    puts(".SH EXIT STATUS\nA refusal is one line on standard error that ends with its status in "
         "brackets; each status has an exit code of its own.\n.TP\n.B 0\nDone.");
    for (const tspk_cli_exit_code *code = tspk_cli_exit_codes; code->code; code++) {
        printf(".TP\n.BR %d \" [%s]\"\n", code->code, code->name);
        put_text(code->what);
    }
}

static void put_environment(void)
{
    puts(".SH ENVIRONMENT\n.TP\n.B NO_COLOR\nSet to anything: the progress bar has no colour.\n"
         ".TP\n.B TERM\n\\(lqdumb\\(rq, or not set: there is no progress bar.\n"
         ".TP\n.BR OMP_THREAD_LIMIT \", \" OMP_WAIT_POLICY \", \" GOMP_SPINCOUNT\n"
         "As the OpenMP library takes them. When neither of the last two is set, waiting threads "
         "spin for a tenth of a millisecond.");
}

static void put_option(const tspk_cli_option *option)
{
    fputs(".TP\n", stdout);
    if (option->letter)
        printf("\\fB\\-%c\\fR, ", option->letter);
    fputs("\\fB\\-\\-", stdout);
    for (const char *c = option->name; *c; c++)
        fputs(*c == '-' ? "\\-" : (const char[]){*c, '\0'}, stdout);
    fputs("\\fR", stdout);
    if (option->value) {
        fputs(" \\fI", stdout);
        for (const char *c = option->value; *c; c++)
            fputs(*c == '-' ? "\\-" : (const char[]){*c, '\0'}, stdout);
        fputs("\\fR", stdout);
    }
    putchar('\n');
    put_text(option->help);
}

static void put_options(const tspk_cli_command *command)
{
    puts(".SH OPTIONS");
    for (int group = 0; group < TSPK_CLI_N_GROUPS; group++) {
        size_t n = 0;

        for (size_t i = 0; i < tspk_cli_n_options; i++) {
            const tspk_cli_option *option = &tspk_cli_options[i];

            if ((int)option->group != group || !tspk_cli_is_shown(option, command))
                continue;
            if (n++ == 0 && group != TSPK_CLI_MAIN)
                printf(".SS %s\n", tspk_cli_group_title(option->group));
            put_option(option);
        }
    }
}

static void put_command_page(const tspk_cli_command *command, const char *version)
{
    put_title(command->name, version);
    printf("transpike\\-%s \\- ", command->name);
    put_text(command->summary);
    printf(".SH SYNOPSIS\n.B transpike %s\n", command->name);
    put_text(command->usage);
    puts(".SH DESCRIPTION");
    for (size_t i = 0; command->notes[i]; i++) {
        puts(".PP");
        put_text(command->notes[i]);
    }
    put_options(command);
    puts(".SH EXAMPLES");
    put_examples(command, SIZE_MAX);
    put_exit_codes();
    put_environment();
    puts(".SH SEE ALSO\n.BR transpike (1)");
}

static void put_main_page(const char *version)
{
    put_title(NULL, version);
    puts("transpike \\- Vision Transformers, exported from PyTorch as ONNX, as spiking networks\n"
         ".SH SYNOPSIS\n.B transpike\n.I COMMAND\n[options]\n.br\n.B transpike\n\\fBhelp\\fR "
         "[\\fICOMMAND\\fR]\n.br\n.B transpike \\-\\-version\n[\\fB\\-v\\fR]\n.SH DESCRIPTION\n"
         "Converts a trained Vision Transformer into a spiking network without training, runs it, "
         "and says what was lost. Results go to standard output, everything else to standard "
         "error. Options may stand anywhere behind the command; \\fB\\-\\-\\fR ends them.\n"
         ".SH COMMANDS");
    for (size_t i = 0; i < tspk_cli_n_commands; i++) {
        printf(".TP\n.BR transpike\\-%s (1)\n", tspk_cli_commands[i].name);
        put_text(tspk_cli_commands[i].summary);
    }
    puts(".SH EXAMPLES");
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        put_examples(&tspk_cli_commands[i], 1);
    put_exit_codes();
    put_environment();
    puts(".SH SEE ALSO");
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        printf(".BR transpike\\-%s (1)%s\n", tspk_cli_commands[i].name,
               i + 1 < tspk_cli_n_commands ? "," : "");
}

/* What the values of an option complete to: `words`, or files. */
static void put_value_case(const tspk_cli_command *command, const tspk_cli_option *option)
{
    printf("    %s:--%s)", command->name, option->name);
    if (option->kind == TSPK_CLI_CHOICE) {
        fputs(" words=\"", stdout);
        for (size_t i = 0; option->choices[i]; i++)
            printf("%s%s", i ? " " : "", option->choices[i]);
        puts("\" ;;");
    } else {
        puts(option->kind == TSPK_CLI_PATH ? " files=1 ;;" : " ;;");
    }
    if (option->letter)
        printf("    %s:-%c) files=1 ;;\n", command->name, option->letter);
}

static void put_completion(void)
{
    fputs("# bash completion of transpike\n"
          "_transpike()\n"
          "{\n"
          "  local current=${COMP_WORDS[COMP_CWORD]} before=${COMP_WORDS[COMP_CWORD-1]}\n"
          "  local command=${COMP_WORDS[1]} words= files=\n"
          "  COMPREPLY=()\n"
          "  if [ \"$COMP_CWORD\" -le 1 ] || { [ \"$COMP_CWORD\" -eq 2 ] && "
          "[ \"$command\" = help ]; }; then\n"
          "    mapfile -t COMPREPLY < <(compgen -W '",
          stdout);
    for (size_t i = 0; i < tspk_cli_n_commands; i++)
        printf("%s ", tspk_cli_commands[i].name);
    fputs("help --help --version' -- \"$current\")\n"
          "    return\n"
          "  fi\n"
          "  # --option=value comes as three words\n"
          "  if [ \"$current\" = = ]; then\n"
          "    current=\n"
          "  elif [ \"$before\" = = ] && [ \"$COMP_CWORD\" -ge 3 ]; then\n"
          "    before=${COMP_WORDS[COMP_CWORD-2]}\n"
          "  fi\n"
          "  case $command:$before in\n",
          stdout);
    for (size_t c = 0; c < tspk_cli_n_commands; c++)
        for (size_t i = 0; i < tspk_cli_n_options; i++)
            if (tspk_cli_is_shown(&tspk_cli_options[i], &tspk_cli_commands[c]) &&
                tspk_cli_options[i].value)
                put_value_case(&tspk_cli_commands[c], &tspk_cli_options[i]);
    fputs("    *)\n"
          "      files=1\n"
          "      if [ \"${current:0:1}\" = - ]; then\n"
          "        files=\n"
          "        case $command in\n",
          stdout);
    for (size_t c = 0; c < tspk_cli_n_commands; c++) {
        printf("          %s) words=\"", tspk_cli_commands[c].name);
        for (size_t i = 0, n = 0; i < tspk_cli_n_options; i++)
            if (tspk_cli_is_shown(&tspk_cli_options[i], &tspk_cli_commands[c]))
                printf("%s--%s", n++ ? " " : "", tspk_cli_options[i].name);
        puts("\" ;;");
    }
    fputs("        esac\n"
          "      fi ;;\n"
          "  esac\n"
          "  if [ -n \"$files\" ]; then\n"
          "    compopt -o filenames 2> /dev/null\n"
          "    mapfile -t COMPREPLY < <(compgen -f -- \"$current\")\n"
          "  elif [ -n \"$words\" ]; then\n"
          "    mapfile -t COMPREPLY < <(compgen -W \"$words\" -- \"$current\")\n"
          "  fi\n"
          "}\n"
          "complete -F _transpike transpike\n",
          stdout);
}

int main(int argc, char **argv)
{
    if (argc == 2 && strcmp(argv[1], "bash") == 0) {
        put_completion();
        return EXIT_SUCCESS;
    }
    if (argc == 3 && strcmp(argv[1], "man") == 0) {
        put_main_page(argv[2]);
        return EXIT_SUCCESS;
    }
    for (size_t i = 0; argc == 4 && i < tspk_cli_n_commands; i++)
        if (strcmp(argv[1], "man") == 0 && strcmp(argv[3], tspk_cli_commands[i].name) == 0) {
            put_command_page(&tspk_cli_commands[i], argv[2]);
            return EXIT_SUCCESS;
        }
    fprintf(stderr, "usage: make_pages man VERSION [COMMAND] | make_pages bash\n");
    return EXIT_FAILURE;
}
