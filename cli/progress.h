/* SPDX-License-Identifier: Apache-2.0 */
/* A bar on a terminal for work that takes longer than a moment, with rate and remaining time. */
#ifndef TSPK_CLI_PROGRESS_H
#define TSPK_CLI_PROGRESS_H

#include <stdbool.h>
#include <stddef.h>

#include "cli/args.h"

typedef struct tspk_cli_progress {
    bool is_shown;   /* there is a terminal to draw on */
    bool has_colour; /* NO_COLOR is not set */
    bool is_drawn;   /* a bar stands on the terminal */
    double started;  /* [s] monotonic */
    double drawn;    /* [s] when the bar was last drawn */
    char phase[32];  /* that is under way */
    double since;    /* [s] its start */
    size_t first;    /* items that were done then */
} tspk_cli_progress;

/** Nothing is drawn with --quiet, with --json -, and where standard error is no terminal. */
void tspk_cli_progress_init(tspk_cli_progress *progress, const tspk_cli_args *args);

/** A tspk_progress_fn; context is a tspk_cli_progress. Non-zero once Ctrl-C came. */
int tspk_cli_progress_step(void *context, const char *phase, size_t done, size_t total);

/** Wipes the bar. */
void tspk_cli_progress_done(tspk_cli_progress *progress);

/** Seconds of the monotonic clock. */
double tspk_cli_seconds(void);

#endif
