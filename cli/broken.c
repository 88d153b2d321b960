/* SPDX-License-Identifier: Apache-2.0 */
#include "cli/broken.h"

#include <stdlib.h>
#include <string.h>

#include "cli/refuse.h"

void tspk_cli_broken_add(void *broken, const char *reason)
{
    tspk_cli_broken *const own = broken;

    if (own->n < TSPK_CLI_MOST_BROKEN)
        own->reason[own->n] = strdup(reason);
    own->n++;
}

void tspk_cli_broken_tell(const tspk_cli_broken *broken, const tspk_cli_args *args)
{
    if (!broken->n)
        return;
    for (size_t i = 0; i < broken->n && i < TSPK_CLI_MOST_BROKEN; i++)
        if (broken->reason[i])
            tspk_cli_warn(args, "%s", broken->reason[i]);
    tspk_cli_warn(args, "%zu broken sample%s left out (--strict refuses them)", broken->n,
                  broken->n == 1 ? "" : "s");
}

bool tspk_cli_broken_json(const tspk_cli_broken *broken, cJSON *json)
{
    cJSON *const skipped = cJSON_AddObjectToObject(json, "skipped");
    cJSON *const reasons = skipped ? cJSON_AddArrayToObject(skipped, "reasons") : NULL;

    for (size_t i = 0; reasons && i < broken->n && i < TSPK_CLI_MOST_BROKEN; i++)
        if (broken->reason[i] &&
            !cJSON_AddItemToArray(reasons, cJSON_CreateString(broken->reason[i])))
            return false;
    return reasons && cJSON_AddNumberToObject(skipped, "images", (double)broken->n);
}

void tspk_cli_broken_done(tspk_cli_broken *broken)
{
    for (size_t i = 0; i < TSPK_CLI_MOST_BROKEN; i++)
        free(broken->reason[i]);
    *broken = (tspk_cli_broken){0};
}
