/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/interrupt.h"

#include <signal.h>

/* A signal handler has no context: the one variable of file scope in the tree. */
static volatile sig_atomic_t is_asked_to_stop;

static void ask_to_stop(int number)
{
    (void)number;
    is_asked_to_stop = 1;
}

void tspk_cli_catch_interrupts(void)
{
    struct sigaction action = {0};

    action.sa_handler = ask_to_stop;
    action.sa_flags = (int)(SA_RESETHAND | SA_RESTART);
    sigemptyset(&action.sa_mask);
    sigaction(SIGINT, &action, NULL);
    sigaction(SIGTERM, &action, NULL);
}

bool tspk_cli_is_interrupted(void)
{
    return is_asked_to_stop != 0;
}
