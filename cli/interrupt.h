/* SPDX-License-Identifier: Apache-2.0 */
/* Ctrl-C: the first one asks to stop cleanly, the second one kills. */
#ifndef TSPK_CLI_INTERRUPT_H
#define TSPK_CLI_INTERRUPT_H

#include <stdbool.h>

/** Installs the handlers of SIGINT and SIGTERM. */
void tspk_cli_catch_interrupts(void);

/** True once one has come. */
bool tspk_cli_is_interrupted(void);

#endif
