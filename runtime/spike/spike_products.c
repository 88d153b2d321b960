/* SPDX-License-Identifier: Apache-2.0 */
#include "runtime/spike/spike_products.h"

#include "core/fail.h"
#include "runtime/spike/spike_exec.h"

size_t tspk_linear_product_width(const tspk_spike_plan *plan, uint32_t site)
{
    size_t width = 0;

    for (uint32_t i = 0; i < plan->spikes->n_linears; i++)
        width += plan->linear[i].site_id == site ? plan->linear[i].linear->n_out : 0;
    return width;
}

static int weight_at(const tspk_spike_linear *linear, size_t at)
{
    return linear->weight_bits == 8 ? ((const int8_t *)linear->weight)[at]
                                    : ((const int16_t *)linear->weight)[at];
}

/* One group of one row: out[o] += Σ level weight. */
static void add_group(const tspk_spike_linear *linear, const tspk_site *site, tspk_code_form form,
                      size_t group, const int8_t *code, int32_t *out)
{
    const size_t positions = (size_t)site->n_groups * site->group_size;

    for (size_t i = 0; i < site->group_size; i++) {
        const size_t p = group * site->group_size + i;
        const uint32_t c = site->order[p];
        const int level = c == UINT32_MAX ? 0 : tspk_level_of_code(form, code[c]);

        for (size_t o = 0; level && o < linear->n_out; o++)
            out[o] += level * weight_at(linear, o * positions + p);
    }
}

void tspk_linear_product(const tspk_spike_plan *plan, uint32_t id, const int8_t *code,
                         int32_t *product)
{
    const tspk_site *const site = plan->site[id].site;
    const size_t width = tspk_linear_product_width(plan, id);
    size_t first = 0;

    for (uint32_t i = 0; i < plan->spikes->n_linears; i++) {
        const tspk_spike_linear *const linear = plan->linear[i].linear;
        const tspk_node *const node = &plan->graph->node[linear->node];

        if (plan->linear[i].site_id != id)
            continue;
        for (size_t r = 0; r < plan->linear[i].rows; r++) {
            const size_t row = node->attr.n_rows ? node->attr.rows[r] : r;

            for (size_t g = 0; g < site->n_groups; g++) {
                int32_t *const out = product + (row * site->n_groups + g) * width + first;

                for (size_t o = 0; o < linear->n_out; o++)
                    out[o] = 0;
                add_group(linear, site, plan->site[id].params->code_form, g,
                          code + row * site->channels, out);
            }
        }
        first += linear->n_out;
    }
}

/* out += 2^up * A B, or A B^T for logits, for one head. */
static void add_planes(const tspk_attention_plan *at, size_t head, bool is_logit, const int8_t *a,
                       tspk_code_form form_a, const int8_t *b, tspk_code_form form_b, int up,
                       int64_t *out)
{
    const size_t n = is_logit ? at->keys : at->width, inner = is_logit ? at->depth : at->keys;
    const size_t lda = is_logit ? at->heads * at->depth : at->keys;
    const int8_t *const rows = a + (is_logit ? head * at->depth : head * at->queries * at->keys);
    const int8_t *const other = b + head * (is_logit ? at->depth : at->width);
    const size_t ldb = at->heads * (is_logit ? at->depth : at->width);

    for (size_t i = 0; i < at->queries; i++)
        for (size_t k = 0; k < inner; k++) {
            const int64_t level =
                (int64_t)tspk_level_of_code(form_a, rows[i * lda + k]) * ((int64_t)1 << up);

            for (size_t j = 0; level && j < n; j++)
                out[i * n + j] += level * tspk_level_of_code(form_b, is_logit ? other[j * ldb + k]
                                                                              : other[k * ldb + j]);
        }
}

tspk_status tspk_pair_product(const tspk_spike_plan *plan, const tspk_attention_plan *at,
                              tspk_site_kind kind, uint32_t t, const int8_t *a, const int8_t *b,
                              int64_t *product, int32_t *grid_out, tspk_error *err)
{
    const bool is_logit = kind == TSPK_SITE_QUERY || kind == TSPK_SITE_KEY;
    const bool is_first = kind == TSPK_SITE_QUERY || kind == TSPK_SITE_NUMERATOR;
    const tspk_site_plan *const pa = is_logit ? at->query : at->numerator;
    const tspk_site_plan *const pb = is_logit ? at->key : at->value;
    const size_t a_plane = at->queries * (is_logit ? pa->site->channels : at->heads * at->keys);
    const size_t b_plane = at->keys * pb->site->channels;
    const size_t an_out = at->queries * (is_logit ? at->keys : at->width);
    int most_a = 0, most_b = 0;
    int grid;

    (void)plan;
    for (uint32_t i = 0; i < t; i++) {
        most_a = pa->params->step[i].shift > most_a ? pa->params->step[i].shift : most_a;
        most_b = pb->params->step[i].shift > most_b ? pb->params->step[i].shift : most_b;
    }
    grid = most_a + most_b;
    for (uint32_t i = 1; i <= t; i++) {
        const uint32_t ta = is_first ? t : i, tb = is_first ? i : t;
        const int up = grid - pa->params->step[ta - 1].shift - pb->params->step[tb - 1].shift;

        if (is_first && i == t)
            continue;
        /* 2^31 bounds the sum of one pair of planes, 2^4 the pairs */
        if (up > 63 - 31 - 4)
            return TSPK_FAIL(err, TSPK_RANGE, "a product on the grid 2^-%d exceeds 63 bits", grid);
        for (size_t head = 0; head < at->heads; head++)
            add_planes(at, head, is_logit, a + (ta - 1) * a_plane, pa->params->code_form,
                       b + (tb - 1) * b_plane, pb->params->code_form, up, product + head * an_out);
    }
    *grid_out = grid;
    return TSPK_OK;
}
