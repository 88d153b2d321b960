/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The executor against a plain second implementation of docs/spikefile.md, from what a dump holds:
 *   - every code follows from the dumped x and the state, in float32 as specified: no difference;
 *   - every integer product follows from the codes, in int64: no difference;
 *   - every x and the logits follow from the codes upstream, in double: within 1e-5 and 1e-4.
 */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/spike_handle.h"
#include "data/npz_reader.h"
#include "runtime/ann/op_eval.h"
#include "tests/spikefile/tiny_spikegraph.h"

enum { IMAGES = 4, STEPS = 4, LOGITS = IMAGES * STEPS * TINY_CLASSES };

typedef struct reference {
    const tspk_spikegraph *spikes;
    const tspk_point *point;
    const char *path;
    int8_t *code[TINY_SITES][STEPS];
    float *input[TINY_SITES][STEPS];
    uint64_t spikes_seen[STEPS];
    double worst_x, worst_logit;
    size_t codes_compared, products_compared;
} reference;

/* Keeps the rows that `rows_of` computes on an axis of all rows; checks that the others are 0. */
static void keep_rows(const tspk_site *rows_of, int axis, tspk_npy_header *header, uint8_t *bytes)
{
    const size_t rows = (size_t)header->shape.dim[axis];
    size_t outer = 1, row_bytes, at = 0;

    assert_int_equal(rows, tspk_site_source_rows(rows_of));
    for (int i = 0; i < axis; i++)
        outer *= (size_t)header->shape.dim[i];
    row_bytes = header->data_bytes / outer / rows;
    for (size_t o = 0; o < outer; o++)
        for (size_t r = 0, kept = 0; r < rows; r++) {
            const uint8_t *const row = bytes + (o * rows + r) * row_bytes;

            if (kept < rows_of->rows &&
                (rows_of->source_row ? rows_of->source_row[kept] : kept) == r) {
                memmove(bytes + at, row, row_bytes);
                at += row_bytes;
                kept++;
            } else {
                for (size_t i = 0; i < row_bytes; i++)
                    assert_int_equal(row[i], 0);
            }
        }
    header->shape.dim[axis] = rows_of->rows;
    assert_int_equal(at, outer * rows_of->rows * row_bytes);
}

/* The rows on `axis` are those of a site, NULL: no such axis. */
static void *read_member(const char *path, const char *site, int t, const char *what,
                         const tspk_site *rows_of, int axis, size_t *elems_out)
{
    char name[256];
    tspk_npy_header header;
    uint8_t *bytes;
    tspk_error err;

    tspk_error_init(&err);
    snprintf(name, sizeof name, "%s/t%d/%s", site, t, what);
    if (tspk_npz_read_array(path, name, (size_t)1 << 30, &header, &bytes, &err) != TSPK_OK)
        fail_msg("%s: %s", name, err.message);
    memmove(bytes, bytes + header.data_offset, header.data_bytes);
    if (rows_of)
        keep_rows(rows_of, axis, &header, bytes);
    *elems_out = tspk_shape_elems(&header.shape);
    return bytes;
}

static size_t elems_of(const tspk_site *site)
{
    return (size_t)site->rows * site->channels *
           (site->kind == TSPK_SITE_NUMERATOR ? site->keys : 1);
}

static int level_of(const reference *ref, size_t s, int code)
{
    if (ref->point->site[s].code_form == TSPK_CODE_LEVEL || !code)
        return code;
    return (code < 0 ? -1 : 1) * (1 << (abs(code) - 1));
}

/* Row and channel of element e of a site. */
static void locate(const tspk_site *site, size_t e, size_t *row, size_t *channel)
{
    if (site->kind == TSPK_SITE_NUMERATOR) {
        *channel = e / site->keys / site->rows;
        *row = e / site->keys % site->rows;
    } else {
        *row = e / site->channels;
        *channel = e % site->channels;
    }
}

/* Section "Neuron": the level of potential p. */
static int fire(const tspk_site_params *params, const tspk_ladder *ladder, float gain, float p)
{
    const int most = params->code_form == TSPK_CODE_EXPONENT ? 128 : 127;
    int found = 0;

    for (int sign = 1; sign >= -1; sign -= 2) {
        float level[256], threshold;
        int n = 0;

        for (uint32_t i = 0; i < ladder->n_values; i++) {
            const float m = rintf(gain * ladder->value[i]) * (float)sign;
            const float limited = m > (float)most ? (float)most : m;
            int at = n;

            if (limited <= 0.0f)
                continue;
            for (int j = 0; j < n; j++)
                at = level[j] == limited ? -1 : at;
            if (at >= 0)
                level[n++] = limited;
        }
        for (int i = 0; i < n; i++)
            for (int j = i + 1; j < n; j++)
                if (level[j] < level[i]) {
                    const float swap = level[i];

                    level[i] = level[j];
                    level[j] = swap;
                }
        for (int i = 0; i < n; i++) {
            threshold = params->fire_rule == TSPK_FIRE_NEAREST
                            ? (level[i] + (i ? level[i - 1] : 0.0f)) / 2
                            : level[i] - level[0] / 2;
            if ((float)sign * p > threshold)
                found = sign * (int)level[i];
        }
    }
    return found;
}

static void check_codes(reference *ref, size_t s)
{
    const tspk_site *const site = &ref->spikes->site[s];
    const tspk_site_params *const params = &ref->point->site[s];
    const size_t elems = elems_of(site);
    const bool is_rate = ref->point->coding == TSPK_CODING_RATE;

    for (size_t i = 0; i < IMAGES; i++)
        for (size_t e = 0; e < elems; e++) {
            size_t row, c;
            uint32_t k;
            float o;

            locate(site, e, &row, &c);
            k = site->row_class[row];
            if (!tspk_site_fan_out(ref->spikes, (uint32_t)s, (uint32_t)row)) {
                for (int t = 0; t < STEPS; t++)
                    assert_int_equal(ref->code[s][t][i * elems + e], 0);
                continue;
            }
            o = params->prior && !is_rate ? params->prior[k * site->channels + c] : 0.0f;
            for (int t = 0; t < STEPS; t++) {
                const tspk_site_step *const step = &params->step[t];
                const float size = site->unit[c] * step->scale[k];
                const float x = ref->input[s][t][i * elems + e];
                const float gain = step->gain[k * site->channels + c];
                const float scaled = is_rate ? (float)(t + 1) * x : x;
                const float u = scaled - o;
                const float p = u * (1.0f / size);
                const int m = gain > 0.0f ? fire(params, &step->ladder[k], gain, p) : 0;

                assert_int_equal(level_of(ref, s, ref->code[s][t][i * elems + e]), m);
                o = o + (float)m * size;
                ref->spikes_seen[t] += m != 0;
                ref->codes_compared++;
            }
        }
}

/* a_g[r, o] of one Linear in int64. */
static int64_t group_sum(const reference *ref, const tspk_spike_linear *linear, const int8_t *code,
                         size_t row, size_t g, size_t o)
{
    const tspk_site *const site = &ref->spikes->site[linear->site];
    int64_t sum = 0;

    for (size_t p = g * site->group_size; p < (g + 1) * site->group_size; p++)
        if (site->order[p] != UINT32_MAX) {
            const size_t at = o * site->n_groups * site->group_size + p;

            sum +=
                (int64_t)level_of(ref, linear->site, code[row * site->channels + site->order[p]]) *
                (linear->weight_bits == 8 ? ((const int8_t *)linear->weight)[at]
                                          : ((const int16_t *)linear->weight)[at]);
        }
    return sum;
}

static bool is_computed(const tspk_node *node, size_t row)
{
    bool is_there = !node->attr.n_rows;

    for (uint32_t i = 0; i < node->attr.n_rows; i++)
        is_there |= node->attr.rows[i] == row;
    return is_there;
}

static void check_linear_products(reference *ref, size_t s)
{
    const tspk_site *const site = &ref->spikes->site[s];

    for (int t = 0; t < STEPS; t++) {
        size_t n, at = 0;
        int32_t *const product = read_member(ref->path, site->name, t + 1, "product", site, 1, &n);

        for (size_t i = 0; i < IMAGES; i++)
            for (size_t r = 0; r < site->rows; r++)
                for (size_t g = 0; g < site->n_groups; g++)
                    for (uint32_t l = 0; l < ref->spikes->n_linears; l++) {
                        const tspk_spike_linear *const linear = &ref->spikes->linear[l];
                        const bool is_there =
                            is_computed(&ref->spikes->graph->node[linear->node], r);

                        for (size_t o = 0; linear->site == s && o < linear->n_out; o++)
                            assert_int_equal(
                                product[at++],
                                is_there ? group_sum(ref, linear,
                                                     ref->code[s][t] + i * elems_of(site), r, g, o)
                                         : 0);
                    }
        assert_int_equal(at, n);
        ref->products_compared += n;
        free(product);
    }
}

/* Level of operand `which` (0 query, 1 key, 2 value, 3 numerator) at step t. */
static int64_t operand(const reference *ref, const tspk_spike_attention *attention, int which,
                       size_t image, int t, size_t head, size_t row, size_t d)
{
    const uint32_t ids[4] = {attention->query, attention->key, attention->value,
                             attention->numerator};
    const uint32_t s = ids[which];
    const tspk_site *const site = &ref->spikes->site[s];
    const size_t heads = ref->spikes->site[attention->numerator].channels;
    const int8_t *const code = ref->code[s][t] + image * elems_of(site);

    if (which == 3)
        return level_of(ref, s, code[(head * site->rows + row) * site->keys + d]);
    return level_of(ref, s, code[row * site->channels + head * (site->channels / heads) + d]);
}

static int shift_of(const reference *ref, uint32_t site, int t)
{
    return ref->point->site[site].step[t].shift;
}

/* Element [row, column] of the product of plane ta of a and plane tb of b. */
static int64_t plane_product(const reference *ref, const tspk_spike_attention *attention,
                             bool is_logit, size_t image, int ta, int tb, size_t head, size_t row,
                             size_t column)
{
    const tspk_site *const key = &ref->spikes->site[attention->key];
    const size_t heads = ref->spikes->site[attention->numerator].channels;
    int64_t sum = 0;

    if (is_logit)
        for (size_t d = 0; d < key->channels / heads; d++)
            sum += operand(ref, attention, 0, image, ta, head, row, d) *
                   operand(ref, attention, 1, image, tb, head, column, d);
    else
        for (size_t j = 0; j < key->rows; j++)
            sum += operand(ref, attention, 3, image, ta, head, row, j) *
                   operand(ref, attention, 2, image, tb, head, j, column);
    return sum;
}

static void check_pair_products(reference *ref, size_t s)
{
    const tspk_site *const site = &ref->spikes->site[s];
    const tspk_spike_attention *attention = ref->spikes->attention;
    const bool is_logit = site->kind == TSPK_SITE_QUERY || site->kind == TSPK_SITE_KEY;
    const bool is_first = site->kind == TSPK_SITE_QUERY || site->kind == TSPK_SITE_NUMERATOR;
    uint32_t a, b;
    size_t heads, rows, columns;

    while (attention->node != site->node)
        attention++;
    a = is_logit ? attention->query : attention->numerator;
    b = is_logit ? attention->key : attention->value;
    heads = ref->spikes->site[attention->numerator].channels;
    rows = ref->spikes->site[attention->query].rows;
    columns = is_logit ? ref->spikes->site[attention->key].rows
                       : ref->spikes->site[attention->value].channels / heads;
    for (int t = 0; t < STEPS; t++) {
        size_t n, one, at = 0;
        int64_t *const product = read_member(ref->path, site->name, t + 1, "product",
                                             &ref->spikes->site[attention->query], 2, &n);
        int32_t *const grid = read_member(ref->path, site->name, t + 1, "grid", NULL, 0, &one);
        int most_a = 0, most_b = 0;

        for (int i = 0; i <= t; i++) {
            most_a = shift_of(ref, a, i) > most_a ? shift_of(ref, a, i) : most_a;
            most_b = shift_of(ref, b, i) > most_b ? shift_of(ref, b, i) : most_b;
        }
        assert_int_equal(one, 1);
        assert_int_equal(*grid, most_a + most_b);
        for (size_t i = 0; i < IMAGES; i++)
            for (size_t h = 0; h < heads; h++)
                for (size_t r = 0; r < rows; r++)
                    for (size_t c = 0; c < columns; c++) {
                        int64_t sum = 0;

                        for (int p = 0; p <= t; p++) {
                            const int ta = is_first ? t : p, tb = is_first ? p : t;

                            if (!is_first || p < t)
                                sum += plane_product(ref, attention, is_logit, i, ta, tb, h, r, c) *
                                       ((int64_t)1
                                        << (*grid - shift_of(ref, a, ta) - shift_of(ref, b, tb)));
                        }
                        assert_true(product[at++] == sum);
                    }
        assert_int_equal(at, n);
        ref->products_compared += n;
        free(product);
        free(grid);
    }
}

/* --- teacher-forced: values from codes, in double --- */

static double decoded_sum(const reference *ref, uint32_t s, size_t image, int t, size_t e,
                          size_t row, size_t c)
{
    const tspk_site *const site = &ref->spikes->site[s];
    double sum = 0.0;

    for (int i = 0; i <= t; i++)
        sum += level_of(ref, s, ref->code[s][i][image * elems_of(site) + e]) *
               (double)site->unit[c] * ref->point->site[s].step[i].scale[site->row_class[row]];
    return ref->point->coding == TSPK_CODING_RATE ? sum / (t + 1) : sum;
}

static double offset_at(const reference *ref, uint32_t s, int t, uint32_t k, size_t c)
{
    const float *const offset = ref->point->site[s].step[t].offset;

    return offset ? offset[k * ref->spikes->site[s].channels + c] : 0.0;
}

static void force_linear(const reference *ref, const tspk_spike_linear *linear, size_t image, int t,
                         float *out)
{
    const tspk_site *const site = &ref->spikes->site[linear->site];
    const tspk_node *const node = &ref->spikes->graph->node[linear->node];
    const size_t index = (size_t)(linear - ref->spikes->linear);
    const size_t rows = node->attr.n_rows ? node->attr.n_rows : site->rows;

    for (size_t r = 0; r < rows; r++)
        for (size_t o = 0; o < linear->n_out; o++) {
            const size_t row = node->attr.n_rows ? node->attr.rows[r] : r;
            const uint32_t k = site->row_class[row];
            double y = 0.0;

            for (int i = 0; i <= t; i++)
                for (size_t g = 0; g < site->n_groups; g++)
                    y += (double)ref->point->site[linear->site].step[i].scale[k] *
                         linear->scale[g * linear->n_out + o] *
                         (double)group_sum(ref, linear,
                                           ref->code[linear->site][i] + image * elems_of(site), row,
                                           g, o);
            if (ref->point->coding == TSPK_CODING_RATE)
                y /= t + 1;
            out[r * linear->n_out + o] =
                (float)(y +
                        ref->point
                            ->bias[index]
                                  [((size_t)t * ref->spikes->n_classes + k) * linear->n_out + o]);
        }
}

/* Numerators of one row of one head from decoded q and k; returns S. `max` is kept over steps. */
static double force_numerators(const reference *ref, const tspk_spike_attention *attention,
                               size_t image, int t, size_t head, size_t row, double *max, double *x)
{
    const tspk_site *const q = &ref->spikes->site[attention->query];
    const tspk_site *const k = &ref->spikes->site[attention->key];
    const tspk_node *const node = &ref->spikes->graph->node[attention->node];
    const size_t depth = q->channels / node->attr.heads;
    double top = -INFINITY, sum = 0.0;

    for (size_t j = 0; j < k->rows; j++) {
        x[j] = 0.0;
        for (size_t d = 0; d < depth; d++) {
            const size_t c = head * depth + d;
            const double qd =
                decoded_sum(ref, attention->query, image, t, row * q->channels + c, row, c) +
                offset_at(ref, attention->query, t, q->row_class[row], c);
            const double kd =
                decoded_sum(ref, attention->key, image, t, j * k->channels + c, j, c) +
                offset_at(ref, attention->key, t, k->row_class[j], c) -
                offset_at(ref, attention->key, t, 0, c);

            x[j] += qd * kd * node->attr.scale;
        }
        top = x[j] > top ? x[j] : top;
    }
    if (t == 0 || !attention->is_max_fixed || top > *max + log(4.0))
        *max = top;
    for (size_t j = 0; j < k->rows; j++) {
        x[j] = exp(x[j] - *max);
        sum += x[j];
    }
    return sum;
}

static void note(double *worst, double found, double wanted, double size)
{
    const double error = fabs(found - wanted) / (size > 1e-30 ? size : 1e-30);

    *worst = error > *worst ? error : *worst;
}

static void force_attention(reference *ref, const tspk_spike_attention *attention, size_t image,
                            int t, double *max, float *out)
{
    const tspk_site *const p = &ref->spikes->site[attention->numerator];
    const tspk_site *const v = &ref->spikes->site[attention->value];
    const size_t width = v->channels / p->channels;
    double x[64];

    for (size_t h = 0; h < p->channels; h++)
        for (size_t r = 0; r < p->rows; r++) {
            const size_t at = (h * p->rows + r) * p->keys;
            const double sum =
                force_numerators(ref, attention, image, t, h, r, &max[h * p->rows + r], x);
            double top = 0.0;

            for (size_t j = 0; j < p->keys; j++) {
                const double seen = attention->is_quotient ? x[j] / sum : x[j];

                top = seen > top ? seen : top;
            }
            for (size_t j = 0; j < p->keys; j++)
                note(&ref->worst_x,
                     ref->input[attention->numerator][t][image * elems_of(p) + at + j],
                     attention->is_quotient ? x[j] / sum : x[j], top);
            for (size_t c = h * width; c < (h + 1) * width; c++) {
                double y = offset_at(ref, attention->value, t, 0, c);

                for (size_t j = 0; j < p->keys; j++) {
                    const double weight =
                        decoded_sum(ref, attention->numerator, image, t, at + j, r, h) /
                        (attention->is_quotient ? 1.0 : sum);

                    y += weight *
                         decoded_sum(ref, attention->value, image, t, j * v->channels + c, j, c);
                    y += x[j] / sum *
                         (offset_at(ref, attention->value, t, v->row_class[j], c) -
                          offset_at(ref, attention->value, t, 0, c));
                }
                out[r * v->channels + c] = (float)y;
            }
        }
}

static void check_inputs(reference *ref, size_t image, int t, float **values)
{
    for (size_t s = 0; s < ref->spikes->n_sites; s++) {
        const tspk_site *const site = &ref->spikes->site[s];
        const float *const found = ref->input[s][t] + image * elems_of(site);

        if (site->kind == TSPK_SITE_NUMERATOR)
            continue;
        for (size_t r = 0; r < site->rows; r++) {
            double top = 0.0;

            if (!tspk_site_fan_out(ref->spikes, (uint32_t)s, (uint32_t)r))
                continue;
            for (size_t c = 0; c < site->channels; c++)
                top = fabs(found[r * site->channels + c]) > top
                          ? fabs(found[r * site->channels + c])
                          : top;
            for (size_t c = 0; c < site->channels; c++)
                note(&ref->worst_x, found[r * site->channels + c],
                     values[site->input][r * site->channels + c], top);
        }
    }
}

static void force_image(reference *ref, size_t image, const float *pixels, const float *logits)
{
    const tspk_graph *const graph = ref->spikes->graph;
    float **const values = calloc(graph->n_values, sizeof *values);
    double *const max = calloc((size_t)TINY_ATTENTIONS * 4096, sizeof *max);

    for (uint32_t v = 0; v < graph->n_values; v++)
        values[v] = calloc(tspk_shape_elems(&graph->value[v].shape) + 1, 8);
    memcpy(values[graph->input[0]], pixels, TINY_IMAGE_ELEMS * sizeof(float));
    for (int t = 0; t < STEPS; t++) {
        double top = 0.0;

        for (uint32_t n = 0; n < graph->n_nodes; n++) {
            const tspk_node *const node = &graph->node[n];
            tspk_tensor in[8],
                out = graph->value[node->out[0]].data
                          ? tspk_value_tensor(&graph->value[node->out[0]])
                          : (tspk_tensor){graph->value[node->out[0]].dtype,
                                          graph->value[node->out[0]].shape, values[node->out[0]]};
            bool is_done = false;

            for (uint32_t l = 0; l < ref->spikes->n_linears; l++)
                if (ref->spikes->linear[l].node == n) {
                    force_linear(ref, &ref->spikes->linear[l], image, t, values[node->out[0]]);
                    is_done = true;
                }
            for (uint32_t a = 0; a < ref->spikes->n_attentions; a++)
                if (ref->spikes->attention[a].node == n) {
                    force_attention(ref, &ref->spikes->attention[a], image, t, max + a * 4096,
                                    values[node->out[0]]);
                    is_done = true;
                }
            for (uint32_t i = 0; i < node->n_in && !is_done; i++) {
                const tspk_value *const value =
                    node->in[i] == TSPK_ID_NONE ? NULL : &graph->value[node->in[i]];

                in[i] = (tspk_tensor){0};
                if (value)
                    in[i] = (tspk_tensor){value->dtype, value->shape,
                                          value->data ? (void *)(uintptr_t)value->data
                                                      : values[node->in[i]]};
            }
            if (!is_done) {
                void *const scratch = malloc(tspk_op_scratch_bytes(graph, node) + 64);

                assert_int_equal(tspk_op_eval(node, in, &out, scratch, NULL), TSPK_OK);
                free(scratch);
            }
        }
        check_inputs(ref, image, t, values);
        for (size_t c = 0; c < TINY_CLASSES; c++)
            top = fabs(logits[t * TINY_CLASSES + (int)c]) > top
                      ? fabs(logits[t * TINY_CLASSES + (int)c])
                      : top;
        for (size_t c = 0; c < TINY_CLASSES; c++)
            note(&ref->worst_logit, logits[t * TINY_CLASSES + (int)c], values[graph->output[0]][c],
                 top);
    }
    for (uint32_t v = 0; v < graph->n_values; v++)
        free(values[v]);
    free(values);
    free(max);
}

/* [1, rows, 1] or [1, 1, rows, 1], of the unreduced network's rows. */
static void check_fan_out(const reference *ref, const tspk_site *site, int t, int axis)
{
    size_t n;
    int32_t *const found = read_member(ref->path, site->name, t + 1, "fan_out", site, axis, &n);

    assert_int_equal(n, site->rows);
    for (uint32_t r = 0; r < site->rows; r++)
        assert_int_equal(found[r],
                         tspk_site_fan_out(ref->spikes, (uint32_t)(site - ref->spikes->site), r));
    free(found);
}

static void check_variant(const char *path, int which)
{
    tiny_settings settings = tiny_default_settings((uint64_t)which + 3);
    static float images[IMAGES][TINY_IMAGE_ELEMS], logits[LOGITS];
    static tspk_step_work work[IMAGES * STEPS];
    tspk_session_settings session_settings;
    tspk_session *session;
    tspk_spike spike;
    reference ref = {.path = path};
    tspk_error err;
    uint64_t spikes[STEPS] = {0};

    settings.n_steps = STEPS;
    settings.coding = which & 1 ? TSPK_CODING_RATE : TSPK_CODING_DIFFERENTIAL;
    settings.is_exponent = (which & 2) != 0;
    settings.is_quotient = (which & 4) != 0;
    settings.is_max_fixed = (which & 8) != 0;
    settings.weight_bits = which & 16 ? 16 : 8;
    spike.graph = tiny_spikegraph_new(&settings, NULL);
    ref.spikes = spike.graph;
    ref.point = &ref.spikes->point[0];
    tspk_error_init(&err);
    for (int i = 0; i < IMAGES; i++)
        tiny_image((uint64_t)i + 100, images[i]);
    tspk_session_default_settings(&session_settings);
    session_settings.threads = 1 + which % 2;
    if (tspk_session_open(&spike, &session_settings, &session, &err) != TSPK_OK ||
        tspk_session_dump(session, IMAGES, images[0], logits, work, true, path, &err) != TSPK_OK)
        fail_msg("%s", err.message);
    assert_int_equal(tspk_session_dump(session, 65, images[0], logits, work, false, path, &err),
                     TSPK_RANGE);
    assert_int_equal(tspk_session_dump(session, 1, images[0], logits, work, false,
                                       "/nonexistent/folder/x.npz", &err),
                     TSPK_IO);
    for (size_t s = 0; s < ref.spikes->n_sites; s++)
        for (int t = 0; t < STEPS; t++) {
            const tspk_site *const site = &ref.spikes->site[s];
            const int axis = site->kind == TSPK_SITE_NUMERATOR ? 2 : 1;
            size_t n;

            ref.code[s][t] = read_member(path, site->name, t + 1, "codes", site, axis, &n);
            assert_int_equal(n, IMAGES * elems_of(site));
            ref.input[s][t] = read_member(path, site->name, t + 1, "input", site, axis, &n);
            assert_int_equal(n, IMAGES * elems_of(site));
            check_fan_out(&ref, site, t, axis);
        }
    for (size_t s = 0; s < ref.spikes->n_sites; s++) {
        check_codes(&ref, s);
        if (ref.spikes->site[s].kind == TSPK_SITE_LINEAR)
            check_linear_products(&ref, s);
        else
            check_pair_products(&ref, s);
    }
    for (int i = 0; i < IMAGES; i++) {
        force_image(&ref, (size_t)i, images[i], logits + i * STEPS * TINY_CLASSES);
        for (int t = 0; t < STEPS; t++)
            spikes[t] += work[i * STEPS + t].spikes;
    }
    for (int t = 0; t < STEPS; t++)
        assert_int_equal(spikes[t], ref.spikes_seen[t]);
    printf("variant %2d: %zu codes, %zu products, 0 differences; x %.2g, logits %.2g\n", which,
           ref.codes_compared, ref.products_compared, ref.worst_x, ref.worst_logit);
    assert_true(ref.worst_x < 1e-5);
    assert_true(ref.worst_logit < 1e-4);
    for (size_t s = 0; s < ref.spikes->n_sites; s++)
        for (int t = 0; t < STEPS; t++) {
            free(ref.code[s][t]);
            free(ref.input[s][t]);
        }
    tspk_session_close(session);
    tspk_spikegraph_free(spike.graph);
}

static void test_reference(void **state)
{
    char path[] = "/tmp/transpike_dump_XXXXXX";
    const int file = mkstemp(path);

    (void)state;
    assert_true(file >= 0);
    close(file);
    for (int which = 0; which < 32; which++)
        check_variant(path, which);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_reference)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
