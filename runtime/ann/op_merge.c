/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Token merging: bipartite soft matching and the means of what was matched.
 *
 * Every float operation stands in one fixed order (loops over independent elements are the inner
 * ones), so the map is the same on every instruction set.
 *
 * @source Bolya et al. 2023 (ToMe, arXiv 2210.09461), section 3; deviations: docs/adaptive.md
 */
#include <math.h>
#include <string.h>

#include "core/fail.h"
#include "runtime/ann/op_impl.h"

/* Memory of one matching. Even patches are matched with odd ones. */
typedef struct matching {
    size_t n_even, n_odd, depth;
    float *even;     /* [n_even, depth] unit vectors */
    float *odd;      /* [depth, n_odd] unit vectors, transposed */
    float *cosine;   /* [n_odd] of one even patch */
    float *best;     /* [n_even] greatest cosine */
    uint32_t *mate;  /* [n_even] the odd patch that has it */
    uint32_t *order; /* [n_even] by falling `best` */
} matching;

static matching measure(const tspk_node *node, const tspk_shape *metric)
{
    const size_t tokens = (size_t)metric->dim[metric->rank - 2];
    const size_t patches = tokens - (size_t)node->attr.starts[0];

    return (matching){
        .n_even = (patches + 1) / 2, .n_odd = patches / 2, .depth = tspk_shape_last(metric)};
}

static void carve(matching *m, void *scratch)
{
    m->even = scratch;
    m->odd = m->even + m->n_even * m->depth;
    m->cosine = m->odd + m->n_odd * m->depth;
    m->best = m->cosine + m->n_odd;
    m->mate = (uint32_t *)(void *)(m->best + m->n_even);
    m->order = m->mate + m->n_even;
}

TSPK_OP_SCRATCH_FN(tspk_scratch_merge_map)
{
    const matching m = measure(node, &in[0].shape);

    (void)out;
    return ((m.n_even + m.n_odd) * m.depth + m.n_odd + 3 * m.n_even) * sizeof(float);
}

/* A token divided by its length; all zeros stay zeros. */
static void unit_vector(const float *metric, size_t depth, float *to, size_t stride)
{
    float length = 0.0f;

    for (size_t d = 0; d < depth; d++)
        length += metric[d] * metric[d];
    length = sqrtf(length);
    for (size_t d = 0; d < depth; d++)
        to[d * stride] = length > 0.0f ? metric[d] / length : 0.0f;
}

/* Every even patch's best odd one; of equals, and of NaNs, the first. */
static void find_mates(const matching *m)
{
    for (size_t i = 0; i < m->n_even; i++) {
        memset(m->cosine, 0, m->n_odd * sizeof *m->cosine);
        for (size_t d = 0; d < m->depth; d++) {
            const float a = m->even[i * m->depth + d];
            const float *const b = m->odd + d * m->n_odd;

            for (size_t j = 0; j < m->n_odd; j++)
                m->cosine[j] += a * b[j];
        }
        m->mate[i] = 0;
        for (size_t j = 1; j < m->n_odd; j++)
            if (m->cosine[j] > m->cosine[m->mate[i]])
                m->mate[i] = (uint32_t)j;
        m->best[i] = m->n_odd ? m->cosine[m->mate[i]] : 0.0f;
    }
}

/* The first `pairs` of `order` are the even patches of greatest cosine, of equals the first. */
static void pick_pairs(const matching *m, size_t pairs)
{
    size_t kept = 0;

    for (size_t i = 0; i < m->n_even; i++) {
        size_t at = kept;

        while (at && m->best[i] > m->best[m->order[at - 1]])
            at--;
        if (at >= pairs)
            continue;
        kept += kept < pairs;
        memmove(m->order + at + 1, m->order + at, (kept - at - 1) * sizeof *m->order);
        m->order[at] = (uint32_t)i;
    }
}

TSPK_OP_FN(tspk_eval_merge_map)
{
    const size_t special = (size_t)node->attr.starts[0], pairs = (size_t)node->attr.steps[0];
    const size_t tokens = tspk_shape_elems(&out[0].shape);
    int64_t *const map = out[0].data;
    int64_t row = 0;
    matching m = measure(node, &in[0].shape);

    (void)err;
    carve(&m, tools->scratch);
    for (size_t p = 0; p < tokens - special; p++)
        unit_vector((const float *)in[0].data + (special + p) * m.depth, m.depth,
                    p % 2 ? m.odd + p / 2 : m.even + p / 2 * m.depth, p % 2 ? m.n_odd : 1);
    find_mates(&m);
    pick_pairs(&m, pairs);
    memset(map, 0, tokens * sizeof *map);
    for (size_t i = 0; i < pairs; i++)
        map[special + 2 * m.order[i]] = -1;
    for (size_t i = 0; i < tokens; i++)
        if (map[i] == 0)
            map[i] = row++;
    for (size_t i = 0; i < pairs; i++)
        map[special + 2 * m.order[i]] = map[special + 2 * m.mate[m.order[i]] + 1];
    return TSPK_OK;
}

static tspk_status check_map(const int64_t *map, size_t tokens, size_t rows, tspk_error *err)
{
    for (size_t i = 0; i < tokens; i++)
        if (map[i] < 0 || (size_t)map[i] >= rows)
            return TSPK_FAIL(err, TSPK_RANGE, "token %zu goes to row %lld of %zu", i,
                             (long long)map[i], rows);
    return TSPK_OK;
}

TSPK_OP_FN(tspk_eval_merge_sizes)
{
    const size_t tokens = tspk_shape_elems(&in[0].shape), rows = tspk_shape_elems(&out[0].shape);
    const int64_t *const map = in[0].data;
    const float *const from = node->n_in > 1 ? in[1].data : NULL;
    float *const to = out[0].data;

    (void)tools;
    TSPK_TRY(check_map(map, tokens, rows, err));
    memset(to, 0, rows * sizeof *to);
    for (size_t i = 0; i < tokens; i++)
        to[map[i]] += from ? from[i] : 1.0f;
    return TSPK_OK;
}

/* A row that one token goes to is that token; else Σ size x / Σ size, tokens in rising order. */
TSPK_OP_FN(tspk_eval_merge)
{
    const size_t tokens = tspk_shape_elems(&in[1].shape), width = tspk_shape_last(&in[0].shape);
    const size_t rows = tspk_shape_rows(&out[0].shape);
    const int64_t *const map = in[1].data;
    const float *const sizes = node->n_in > 2 ? in[2].data : NULL;
    const float *const x = in[0].data;
    float *const y = out[0].data;

    (void)tools;
    TSPK_TRY(check_map(map, tokens, rows, err));
    for (size_t row = 0; row < rows; row++) {
        float *const to = y + row * width;
        float total = 0.0f;
        size_t n = 0, first = tokens;

        for (size_t i = 0; i < tokens; i++) {
            const float size = sizes ? sizes[i] : 1.0f;
            const float *const from = x + i * width;

            if ((size_t)map[i] != row)
                continue;
            if (n == 1)
                for (size_t c = 0; c < width; c++)
                    to[c] *= sizes ? sizes[first] : 1.0f;
            if (n)
                for (size_t c = 0; c < width; c++)
                    to[c] += size * from[c];
            else
                memcpy(to, from, width * sizeof *to);
            first = n ? first : i;
            total += size;
            n++;
        }
        for (size_t c = 0; n > 1 && c < width; c++)
            to[c] = to[c] / total;
        if (!n)
            memset(to, 0, width * sizeof *to);
    }
    return TSPK_OK;
}
