/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/token_places.h"

#include <stdlib.h>

#include "core/fail.h"

static uint32_t first_node(const tspk_spikegraph *spikes, uint32_t site)
{
    if (spikes->site[site].node != TSPK_ID_NONE)
        return spikes->site[site].node;
    for (uint32_t i = 0; i < spikes->n_linears; i++)
        if (spikes->linear[i].site == site)
            return spikes->linear[i].node;
    return 0;
}

/* The Attention whose keys a MergeMap reads. */
static const char *attention_of(const tspk_graph *graph, const tspk_node *map)
{
    for (uint32_t i = 0; i < graph->n_nodes; i++)
        if (graph->node[i].op == TSPK_OP_ATTENTION && graph->node[i].in[1] == map->in[0])
            return graph->node[i].name;
    return map->name;
}

static uint32_t token_count(const tspk_graph *graph, uint32_t map)
{
    return (uint32_t)tspk_shape_elems(&graph->value[graph->node[map].out[0]].shape);
}

tspk_status tspk_token_places_init(tspk_token_places *places, const tspk_session *session,
                                   size_t n_images, tspk_error *err)
{
    const tspk_spikegraph *const spikes = session->plan.spikes;
    const tspk_graph *const graph = spikes->graph;
    size_t cells;
    uint32_t n = 0;

    *places = (tspk_token_places){.n_images = n_images};
    for (uint32_t i = 0; spikes->whole && i < graph->n_nodes; i++)
        n += graph->node[i].op == TSPK_OP_MERGE_MAP;
    if (!n)
        return TSPK_OK;
    places->name = calloc(n, sizeof *places->name);
    places->node = calloc(n, sizeof *places->node);
    places->merges_of = calloc((size_t)spikes->n_sites + 1, sizeof *places->merges_of);
    if (!places->name || !places->node || !places->merges_of)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the places of tokens");
    for (uint32_t i = 0; i < graph->n_nodes; i++) {
        if (graph->node[i].op != TSPK_OP_MERGE_MAP)
            continue;
        places->name[places->n_merges] = attention_of(graph, &graph->node[i]);
        places->node[places->n_merges++] = i;
        for (uint32_t s = 0; s < spikes->n_sites; s++)
            places->merges_of[s] += first_node(spikes, s) > i;
    }
    places->n_tokens = token_count(graph, places->node[0]);
    cells = n * n_images * places->n_tokens;
    places->stands_at = calloc(cells, sizeof *places->stands_at);
    places->row_at = calloc(cells, sizeof *places->row_at);
    return places->stands_at && places->row_at
               ? TSPK_OK
               : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the places of tokens");
}

void tspk_token_places_done(tspk_token_places *places)
{
    free(places->name);
    free(places->node);
    free(places->merges_of);
    free(places->stands_at);
    free(places->row_at);
    *places = (tspk_token_places){0};
}

void tspk_token_places_take(tspk_token_places *places, const tspk_session *session, int slot,
                            size_t image)
{
    const tspk_spike_plan *const plan = &session->plan;
    const tspk_spike_run run = {
        .plan = plan, .slot = session->memory + (size_t)slot * plan->slot_bytes, .first = 1};
    const size_t stride = places->n_images * places->n_tokens;

    for (uint32_t m = 0; m < places->n_merges; m++) {
        const tspk_node *const node = &plan->graph->node[places->node[m]];
        const int64_t special = node->attr.starts[0];
        const int64_t *const map = tspk_run_value(&run, node->out[0], 1);
        const uint32_t n = token_count(plan->graph, places->node[m]);
        uint32_t *const row_at = places->row_at + m * stride + image * places->n_tokens;
        int32_t *const stands_at = places->stands_at + m * stride + image * places->n_tokens;
        const uint32_t *const before = m ? row_at - stride : NULL;

        /* of several tokens the odd patch has the row */
        for (uint32_t i = 0; i < n; i++)
            row_at[map[i]] = before ? before[i] : i;
        for (int64_t i = special + 1; i < n; i += 2)
            row_at[map[i]] = before ? before[i] : (uint32_t)i;
        for (uint32_t token = 0; token < places->n_tokens; token++) {
            const uint32_t place = m ? (uint32_t)(stands_at - stride)[token] : token;
            uint32_t row = 0;

            while (before && row + 1 < n && before[row] != place)
                row++;
            stands_at[token] = (int32_t)row_at[map[before ? row : place]];
        }
    }
}

const uint32_t *tspk_site_places(const tspk_token_places *places, uint32_t site, size_t image)
{
    const uint32_t merges = places->n_merges ? places->merges_of[site] : 0;

    if (!merges)
        return NULL;
    return places->row_at + ((merges - 1) * places->n_images + image) * places->n_tokens;
}
