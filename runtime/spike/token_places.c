/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/token_places.h"

#include <stdlib.h>

#include "core/fail.h"
#include "runtime/spike/token_rows.h"

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

static tspk_status take_refined(tspk_token_places *places, const tspk_session *session,
                                tspk_error *err)
{
    const tspk_token_plan *const tokens = &session->plan.tokens;

    places->n_spaces = tokens->n_spaces;
    if (!tokens->n_spaces)
        return TSPK_OK;
    places->n_tokens = tokens->rows[0];
    places->is_refined =
        calloc(places->n_spaces * places->n_images * places->n_tokens, sizeof *places->is_refined);
    return places->is_refined ? TSPK_OK
                              : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the places of tokens");
}

tspk_status tspk_token_places_init(tspk_token_places *places, const tspk_session *session,
                                   size_t n_images, tspk_error *err)
{
    const tspk_spikegraph *const spikes = session->plan.spikes;
    const tspk_graph *const graph = spikes->graph;
    size_t cells;
    uint32_t n = 0;

    *places = (tspk_token_places){.n_images = n_images};
    TSPK_TRY(take_refined(places, session, err));
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
    free(places->is_refined);
    *places = (tspk_token_places){0};
}

static void read_refined(tspk_token_places *places, const tspk_spike_run *run, size_t image)
{
    for (uint32_t s = 0; s < places->n_spaces; s++) {
        const uint32_t *const place = tspk_places_now(run, s);
        uint8_t *const is_refined =
            places->is_refined + (s * places->n_images + image) * places->n_tokens;

        for (uint32_t i = 0; i < tspk_rows_now(run, s, 0); i++)
            is_refined[place[i]] = 1;
    }
}

void tspk_token_places_take(tspk_token_places *places, const tspk_session *session, int slot,
                            size_t image, uint32_t steps)
{
    const tspk_spike_plan *const plan = &session->plan;
    const tspk_spike_run run = {
        .plan = plan, .slot = session->memory + (size_t)slot * plan->slot_bytes, .first = steps};
    const size_t stride = places->n_images * places->n_tokens;

    if (steps > 1)
        read_refined(places, &run, image);

    for (uint32_t m = 0; m < places->n_merges; m++) {
        const tspk_node *const node = &plan->graph->node[places->node[m]];
        const int64_t special = node->attr.starts[0];
        const int64_t *const map = tspk_run_value(&run, node->out[0], steps);
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

bool tspk_is_row_computed(const tspk_token_places *places, uint32_t space, size_t image, uint32_t t,
                          uint32_t row)
{
    return t == 1 || space == TSPK_NO_SPACE ||
           places->is_refined[(space * places->n_images + image) * places->n_tokens + row];
}

void tspk_refined_tokens(const tspk_token_places *places, size_t image, int32_t *refined_out)
{
    const uint32_t last = places->n_spaces - 1, n = places->n_tokens;
    const size_t merge =
        ((size_t)(places->n_merges ? places->n_merges - 1 : 0) * places->n_images + image) * n;
    const uint8_t *const is_refined = places->is_refined + (last * places->n_images + image) * n;

    for (uint32_t token = 0; token < n; token++) {
        const uint32_t stands_at =
            places->n_merges ? (uint32_t)places->stands_at[merge + token] : token;

        refined_out[token] = 0;
        for (uint32_t r = 0; r < n; r++)
            refined_out[token] |=
                is_refined[r] && (places->n_merges ? places->row_at[merge + r] : r) == stands_at;
    }
}
