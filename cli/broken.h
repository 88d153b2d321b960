/* SPDX-License-Identifier: Apache-2.0 */
/* Samples that could not be read and were left out: told at the end, when no bar is drawn. */
#ifndef TSPK_CLI_BROKEN_H
#define TSPK_CLI_BROKEN_H

#include <cjson/cJSON.h>

#include "cli/args.h"
#include "transpike/transpike.h"

#define TSPK_CLI_MOST_BROKEN 20 /* reasons that are kept */

typedef struct tspk_cli_broken {
    size_t n;
    char *reason[TSPK_CLI_MOST_BROKEN]; /* of the first ones; NULL where memory was short */
} tspk_cli_broken;

/** A tspk_broken_fn. @param broken a tspk_cli_broken */
void tspk_cli_broken_add(void *broken, const char *reason);

/** Warns of each of the first ones and says how many there were; nothing when there were none. */
void tspk_cli_broken_tell(const tspk_cli_broken *broken, const tspk_cli_args *args);

/** Adds "skipped": {"images", "reasons"}. false: no memory */
bool tspk_cli_broken_json(const tspk_cli_broken *broken, cJSON *json);

void tspk_cli_broken_done(tspk_cli_broken *broken);

#endif
