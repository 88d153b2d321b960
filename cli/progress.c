/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/progress.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/interrupt.h"
#include "cli/output.h"

#define BAR_CELLS    30
#define FIRST_AFTER  0.7 /* [s] nothing is drawn for work that is over by then */
#define REDRAW_AFTER 0.1 /* [s] */

double tspk_cli_seconds(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + 1e-9 * (double)now.tv_nsec;
}

void tspk_cli_progress_init(tspk_cli_progress *progress, const tspk_cli_args *args)
{
    const char *no_colour = getenv("NO_COLOR");
    const char *terminal = getenv("TERM");

    memset(progress, 0, sizeof *progress);
    progress->is_shown = !args->is_quiet && !tspk_cli_is_stdout(args->json) &&
                         isatty(STDERR_FILENO) && terminal && strcmp(terminal, "dumb") != 0;
    progress->has_colour = !no_colour || no_colour[0] == '\0';
    progress->started = tspk_cli_seconds();
}

/* "12 s", "3:05", "2:07:09" into buf; returns buf. */
static char *time_text(double seconds, char *buf, size_t size)
{
    const long all = seconds < 359999 ? (long)(seconds + 0.5) : 359999; /* 99:59:59 */

    if (all < 60)
        snprintf(buf, size, "%ld s", all);
    else if (all < 3600)
        snprintf(buf, size, "%ld:%02ld", all / 60, all % 60);
    else
        snprintf(buf, size, "%ld:%02ld:%02ld", all / 3600, all / 60 % 60, all % 60);
    return buf;
}

static void draw(tspk_cli_progress *progress, size_t done, size_t total, double now)
{
    static const char full[] = "##############################";
    static const char empty[] = "..............................";
    const int cells =
        (int)((double)BAR_CELLS * (double)(done < total ? done : total) / (double)total);
    const double rate = (double)(done - progress->first) / (now - progress->since);

    fprintf(stderr, "\r\033[K%-12s [%s%.*s%s%.*s] %zu/%zu", progress->phase,
            progress->has_colour ? "\033[32m" : "", cells, full,
            progress->has_colour ? "\033[0m" : "", BAR_CELLS - cells, empty, done, total);
    if (rate > 0 && done <= total) {
        char left[32];

        fprintf(stderr, "  %.*f/s  %s left", rate < 10 ? 2 : 0, rate,
                time_text((double)(total - done) / rate, left, sizeof left));
    }
    fflush(stderr);
    progress->drawn = now;
    progress->is_drawn = true;
}

int tspk_cli_progress_step(void *context, const char *phase, size_t done, size_t total)
{
    tspk_cli_progress *progress = context;
    const double now = tspk_cli_seconds();

    if (strncmp(phase, progress->phase, sizeof progress->phase - 1) != 0 ||
        done < progress->first) {
        snprintf(progress->phase, sizeof progress->phase, "%s", phase);
        progress->since = now;
        progress->first = done;
    }
    if (progress->is_shown && total > 0 && now - progress->started > FIRST_AFTER &&
        now - progress->drawn > REDRAW_AFTER)
        draw(progress, done, total, now);
    return tspk_cli_is_interrupted();
}

void tspk_cli_progress_done(tspk_cli_progress *progress)
{
    if (progress->is_drawn) {
        fprintf(stderr, "\r\033[K");
        fflush(stderr);
        progress->is_drawn = false;
    }
}
