/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/site_names.h"

#include <stdio.h>
#include <string.h>

#include "core/fail.h"

#define MOST_SHOWN 4

bool tspk_is_under(const char *name, const char *prefix)
{
    const size_t n = strlen(prefix);

    return n && !strncmp(name, prefix, n) && (name[n] == '\0' || name[n] == '.');
}

/* Characters that two names have in common at their beginning and, beyond those, at their end. */
static size_t shared(const char *a, const char *b)
{
    const size_t n_a = strlen(a), n_b = strlen(b), n = n_a < n_b ? n_a : n_b;
    size_t first = 0, last = 0;

    while (first < n && a[first] == b[first])
        first++;
    while (last < n - first && a[n_a - 1 - last] == b[n_b - 1 - last])
        last++;
    return first + last;
}

tspk_status tspk_fail_unknown_site(const tspk_spikegraph *spikes, const char *name, tspk_error *err)
{
    char nearest[160] = "";
    size_t best = 0, used = 0;

    for (uint32_t i = 0; i < spikes->n_sites; i++)
        if (shared(spikes->site[i].name, name) > best)
            best = shared(spikes->site[i].name, name);
    for (uint32_t i = 0, n = 0; i < spikes->n_sites && n < MOST_SHOWN; i++) {
        const char *other = spikes->site[i].name;

        if (shared(other, name) < best || used + strlen(other) + 3 > sizeof nearest)
            continue;
        used +=
            (size_t)snprintf(nearest + used, sizeof nearest - used, "%s%s", n ? ", " : "", other);
        n++;
    }
    return TSPK_FAIL(err, TSPK_RANGE, "no site is called \"%.60s\"; nearest: %s", name, nearest);
}
