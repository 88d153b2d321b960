/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What every site did, as an .npz: docs/dump.md. Sites are dumped in groups that fit a budget of
 * memory, each from a run of its own over all images: a run gives the same bytes every time.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "data/npy.h"
#include "runtime/spike/spike_products.h"
#include "runtime/spike/spike_session.h"
#include "runtime/spike/token_places.h"

#define MAX_IMAGES               64u
#define MAX_IMAGES_WITH_PRODUCTS 4u
#define BUDGET_BYTES             ((size_t)256 << 20)

#define NO_MEMORY(err) TSPK_FAIL((err), TSPK_NOMEM, "no memory for the dump")

typedef struct dump {
    tspk_session *session;
    size_t n;
    const float *images;
    float *logits;
    tspk_step_work *work;
    bool with_products;
    tspk_npz_writer *writer;
    int8_t **code;            /* [n_sites] [n, steps, elems], NULL outside the group */
    float **input;            /* the same, with products */
    tspk_site_record *record; /* [n_sites] of the image that runs */
    tspk_token_places places; /* where merged tokens stand in the unreduced network */
} dump;

static size_t site_elems(const tspk_site *site)
{
    const size_t elems = (size_t)site->rows * site->channels;

    return site->kind == TSPK_SITE_NUMERATOR ? elems * site->keys : elems;
}

/* The site before any tokens merged. */
static const tspk_site *whole_site(const dump *d, uint32_t id)
{
    const tspk_spikegraph *const spikes = d->session->plan.spikes;

    return spikes->whole ? &spikes->whole->site[id] : &spikes->site[id];
}

/* Shape in the dump, where rows and keys are those of the unreduced network. */
static tspk_shape site_shape(const dump *d, uint32_t id)
{
    const tspk_site *const site = whole_site(d, id);
    const uint32_t rows = tspk_site_source_rows(site);

    if (site->kind == TSPK_SITE_NUMERATOR)
        return (tspk_shape){4, {(int64_t)d->n, site->channels, rows, site->keys}};
    return (tspk_shape){3, {(int64_t)d->n, rows, site->channels}};
}

/* How one image's array spreads over the unreduced network: [outer, rows, columns, bytes]. */
typedef struct spreading {
    size_t outer, rows, columns, bytes;
    size_t whole_rows, whole_columns;
    const uint32_t *row_at, *column_at; /* NULL: in place */
} spreading;

static void spread(const spreading *s, const void *from, void *to)
{
    const size_t line = s->columns * s->bytes, whole_line = s->whole_columns * s->bytes;
    const uint8_t *in = from;

    memset(to, 0, s->outer * s->whole_rows * whole_line);
    for (size_t o = 0; o < s->outer; o++)
        for (size_t r = 0; r < s->rows; r++, in += line) {
            uint8_t *const out = (uint8_t *)to +
                                 (o * s->whole_rows + (s->row_at ? s->row_at[r] : r)) * whole_line;

            if (!s->column_at)
                memcpy(out, in, line);
            for (size_t c = 0; s->column_at && c < s->columns; c++)
                memcpy(out + s->column_at[c] * s->bytes, in + c * s->bytes, s->bytes);
        }
}

/* [outer, rows of the site, columns] of one image; its columns are keys where `of_keys` is the key
 * site, else `columns` of them. */
static spreading spreading_of(const dump *d, uint32_t id, uint32_t of_keys, size_t image,
                              size_t outer, size_t columns, size_t bytes)
{
    const tspk_site *const site = d->session->plan.site[id].site;
    spreading s = {.outer = outer,
                   .rows = site->rows,
                   .columns = columns,
                   .bytes = bytes,
                   .whole_rows = tspk_site_source_rows(whole_site(d, id)),
                   .whole_columns = columns,
                   .row_at = site->source_row ? site->source_row
                                              : tspk_site_places(&d->places, id, image)};

    if (of_keys != UINT32_MAX) {
        s.whole_columns = whole_site(d, of_keys)->rows;
        s.column_at = tspk_site_places(&d->places, of_keys, image);
    }
    return s;
}

static uint32_t key_site(const dump *d, uint32_t id)
{
    const tspk_spikegraph *const spikes = d->session->plan.spikes;

    for (uint32_t i = 0; i < spikes->n_attentions; i++)
        if (spikes->attention[i].node == spikes->site[id].node)
            return spikes->attention[i].key;
    return UINT32_MAX;
}

static tspk_status add(dump *d, const tspk_site *site, uint32_t t, const char *what,
                       tspk_npy_type type, const tspk_shape *shape, const void *data,
                       tspk_error *err)
{
    char name[TSPK_MAX_NAME_BYTES + 32];

    snprintf(name, sizeof name, "%s/t%u/%s", site->name, t, what);
    return tspk_npz_writer_add(d->writer, name, type, shape, data, err);
}

/* Step t of every image, one after the other, each element of `bytes`. */
static void gather_step(const dump *d, uint32_t id, const void *from, size_t bytes, uint32_t t,
                        void *to)
{
    const tspk_site *const site = d->session->plan.site[id].site;
    const bool is_numerator = site->kind == TSPK_SITE_NUMERATOR;
    const uint32_t keys = is_numerator ? key_site(d, id) : UINT32_MAX;

    for (size_t i = 0; i < d->n; i++) {
        const spreading s =
            spreading_of(d, id, keys, i, is_numerator ? site->channels : 1,
                         is_numerator ? site->keys : site->channels, bytes);

        spread(&s,
               (const uint8_t *)from +
                   (i * d->session->plan.steps + t - 1) * site_elems(site) * bytes,
               (uint8_t *)to + i * s.outer * s.whole_rows * s.whole_columns * bytes);
    }
}

/* What fires at a row of image i at step t reaches; `rows` numbers. */
static void fan_outs(const dump *d, uint32_t id, size_t i, uint32_t t, uint32_t *fan_out)
{
    const tspk_site_plan *const plan = &d->session->plan.site[id];
    uint32_t others = 0;

    for (uint32_t r = 0;
         plan->other_space != TSPK_NO_SPACE && r < d->session->plan.tokens.rows[plan->other_space];
         r++)
        others += tspk_is_row_computed(&d->places, plan->other_space, i, t, r);
    for (uint32_t r = 0; r < plan->site->rows; r++)
        fan_out[r] = !tspk_is_row_computed(&d->places, plan->space, i, t, r) ? 0
                     : plan->other_space != TSPK_NO_SPACE                    ? others
                                                                             : plan->fan_out[r];
}

/* 0 at images that have stopped. The same for all images, unless each stops by itself, or has
 * merged or refined other tokens. */
static tspk_status add_fan_out(dump *d, uint32_t id, uint32_t t, uint32_t *buffer, tspk_error *err)
{
    const tspk_site_plan *const plan = &d->session->plan.site[id];
    const int64_t rows = tspk_site_source_rows(whole_site(d, id));
    const bool is_own =
        d->session->exit || d->places.n_spaces || tspk_site_places(&d->places, id, 0);
    const int64_t images = is_own ? (int64_t)d->n : 1;
    const tspk_shape shape = plan->site->kind == TSPK_SITE_NUMERATOR
                                 ? (tspk_shape){4, {images, 1, rows, 1}}
                                 : (tspk_shape){3, {images, rows, 1}};
    uint32_t *const own = malloc(((size_t)plan->site->rows + 1) * sizeof *own);
    tspk_status status;

    if (!own)
        return NO_MEMORY(err);
    for (int64_t i = 0; i < images; i++) {
        const spreading s =
            spreading_of(d, id, UINT32_MAX, (size_t)i, 1, 1, sizeof *plan->fan_out);

        fan_outs(d, id, (size_t)i, t, own);
        if (d->work[(size_t)i * d->session->plan.steps + t - 1].steps == t)
            spread(&s, own, buffer + i * rows);
        else
            memset(buffer + i * rows, 0, (size_t)rows * sizeof *buffer);
    }
    status = add(d, plan->site, t, "fan_out", TSPK_NPY_I4, &shape, buffer, err);
    free(own);
    return status;
}

static tspk_status add_arrays(dump *d, uint32_t id, uint32_t t, void *buffer, tspk_error *err)
{
    const tspk_site *const site = d->session->plan.site[id].site;
    const tspk_shape shape = site_shape(d, id);

    gather_step(d, id, d->code[id], 1, t, buffer);
    TSPK_TRY(add(d, site, t, "codes", TSPK_NPY_I1, &shape, buffer, err));
    TSPK_TRY(add_fan_out(d, id, t, buffer, err));
    if (!d->with_products)
        return TSPK_OK;
    gather_step(d, id, d->input[id], sizeof(float), t, buffer);
    return add(d, site, t, "input", TSPK_NPY_F4, &shape, buffer, err);
}

/* Adds a product of [images, outer, rows of site `rows_of`, columns]; columns as in
 * spreading_of(). */
static tspk_status add_product(dump *d, const tspk_site *site, uint32_t rows_of, uint32_t keys,
                               uint32_t t, tspk_npy_type type, tspk_shape *shape, size_t outer,
                               size_t columns, size_t bytes, const void *product, tspk_error *err)
{
    const spreading first = spreading_of(d, rows_of, keys, 0, outer, columns, bytes);
    const size_t in = outer * first.rows * columns * bytes;
    const size_t out = outer * first.whole_rows * first.whole_columns * bytes;
    uint8_t *const whole = malloc(d->n * out + 1);
    tspk_status status;

    if (!whole)
        return NO_MEMORY(err);
    for (size_t i = 0; i < d->n; i++) {
        const spreading s = spreading_of(d, rows_of, keys, i, outer, columns, bytes);

        spread(&s, (const uint8_t *)product + i * in, whole + i * out);
    }
    status = add(d, site, t, "product", type, shape, whole, err);
    free(whole);
    return status;
}

static tspk_status add_linear_product(dump *d, uint32_t id, uint32_t t, tspk_error *err)
{
    const tspk_spike_plan *const plan = &d->session->plan;
    const tspk_site *const site = plan->site[id].site;
    const size_t n_out = tspk_linear_product_width(plan, id), elems = site_elems(site);
    const size_t an_image = (size_t)site->rows * site->n_groups * n_out;
    tspk_shape shape = {
        4,
        {(int64_t)d->n, tspk_site_source_rows(whole_site(d, id)), site->n_groups, (int64_t)n_out}};
    int32_t *const product = calloc(d->n * an_image + 1, sizeof *product);
    tspk_status status;

    if (!product)
        return NO_MEMORY(err);
    for (size_t i = 0; i < d->n; i++)
        tspk_linear_product(plan, id, d->code[id] + (i * plan->steps + t - 1) * elems,
                            product + i * an_image);
    status = add_product(d, site, id, UINT32_MAX, t, TSPK_NPY_I4, &shape, 1,
                         site->n_groups * n_out, sizeof *product, product, err);
    free(product);
    return status;
}

/* Rows that are not computed have no product. */
static void clear_rows(const dump *d, const tspk_attention_plan *at, size_t image, uint32_t t,
                       size_t width, int64_t *product)
{
    for (size_t h = 0; h < at->heads; h++)
        for (uint32_t r = 0; r < at->queries; r++)
            if (!tspk_is_row_computed(&d->places, at->query->space, image, t, r))
                memset(product + (h * at->queries + r) * width, 0, width * sizeof *product);
}

static tspk_status add_pair_product(dump *d, uint32_t id, uint32_t t, tspk_error *err)
{
    const tspk_spike_plan *const plan = &d->session->plan;
    const tspk_attention_plan *at = plan->attention;
    const tspk_site *const site = plan->site[id].site;
    const bool is_logit = site->kind == TSPK_SITE_QUERY || site->kind == TSPK_SITE_KEY;
    const tspk_shape scalar = {0, {0}};
    tspk_shape shape;
    size_t an_image, width;
    int64_t *product;
    int32_t grid = 0;
    tspk_status status = TSPK_OK;

    while (at->attention->node != site->node)
        at++;
    width = is_logit ? at->keys : at->width;
    shape = (tspk_shape){4,
                         {(int64_t)d->n, (int64_t)at->heads,
                          tspk_site_source_rows(whole_site(d, at->query_id)),
                          is_logit ? whole_site(d, at->key_id)->rows : (int64_t)width}};
    an_image = at->heads * at->queries * width;
    product = calloc(d->n * an_image + 1, sizeof *product);
    if (!product)
        return NO_MEMORY(err);
    for (size_t i = 0; i < d->n && status == TSPK_OK; i++) {
        const uint32_t a = is_logit ? at->query_id : at->numerator_id;
        const uint32_t b = is_logit ? at->key_id : at->value_id;

        status = tspk_pair_product(plan, at, site->kind, t,
                                   d->code[a] + i * plan->steps * site_elems(plan->site[a].site),
                                   d->code[b] + i * plan->steps * site_elems(plan->site[b].site),
                                   product + i * an_image, &grid, err);
        clear_rows(d, at, i, t, width, product + i * an_image);
    }
    if (status == TSPK_OK)
        status = add_product(d, site, at->query_id, is_logit ? at->key_id : UINT32_MAX, t,
                             TSPK_NPY_I8, &shape, at->heads, width, sizeof *product, product, err);
    if (status == TSPK_OK)
        status = add(d, site, t, "grid", TSPK_NPY_I4, &scalar, &grid, err);
    free(product);
    return status;
}

static tspk_status write_site(dump *d, uint32_t id, tspk_error *err)
{
    const tspk_site *const site = d->session->plan.site[id].site;
    const tspk_shape shape = site_shape(d, id);
    void *const buffer = malloc(tspk_shape_elems(&shape) * sizeof(float) + 1);
    tspk_status status = buffer ? TSPK_OK : NO_MEMORY(err);

    for (uint32_t t = 1; t <= d->session->plan.steps && status == TSPK_OK; t++) {
        status = add_arrays(d, id, t, buffer, err);
        if (status == TSPK_OK && d->with_products)
            status = site->kind == TSPK_SITE_LINEAR ? add_linear_product(d, id, t, err)
                                                    : add_pair_product(d, id, t, err);
    }
    free(buffer);
    return tspk_at_tensor(err, status, site->name);
}

/* Sites from `first` on that fit the budget; the sites of an Attention stay together. */
static uint32_t group_end(const dump *d, uint32_t first)
{
    const tspk_spike_plan *const plan = &d->session->plan;
    const size_t a_neuron = d->n * plan->steps * (d->with_products ? 1 + sizeof(float) : 1);
    uint32_t end = first;
    size_t bytes = 0;

    while (end < plan->spikes->n_sites) {
        const tspk_site *const site = plan->site[end].site;
        uint32_t next = end;

        do
            bytes += site_elems(plan->site[next].site) * a_neuron;
        while (++next < plan->spikes->n_sites && site->node != TSPK_ID_NONE &&
               plan->site[next].site->node == site->node);
        if (end > first && bytes > BUDGET_BYTES)
            break;
        end = next;
    }
    return end;
}

static tspk_status run_group(dump *d, uint32_t first, uint32_t end, tspk_error *err)
{
    const tspk_spike_plan *const plan = &d->session->plan;

    for (uint32_t s = first; s < end; s++) {
        const size_t elems = d->n * plan->steps * site_elems(plan->site[s].site);

        d->code[s] = calloc(elems + 1, 1);
        d->input[s] = d->with_products ? calloc(elems + 1, sizeof(float)) : NULL;
        if (!d->code[s] || (d->with_products && !d->input[s]))
            return NO_MEMORY(err);
    }
    for (size_t i = 0; i < d->n; i++) {
        for (uint32_t s = first; s < end; s++) {
            const size_t from = i * plan->steps * site_elems(plan->site[s].site);

            d->record[s] =
                (tspk_site_record){d->code[s] + from, d->input[s] ? d->input[s] + from : NULL};
        }
        TSPK_TRY(tspk_session_run_image(d->session, 0, d->session->threads,
                                        d->images + i * d->session->image_elems,
                                        d->logits + i * plan->steps * d->session->logit_elems,
                                        d->work + i * plan->steps, d->record, err));
        tspk_token_places_take(&d->places, d->session, 0, i,
                               d->work[(i + 1) * plan->steps - 1].steps);
    }
    for (uint32_t s = first; s < end; s++)
        TSPK_TRY(write_site(d, s, err));
    return TSPK_OK;
}

/* The step after which each image stopped. */
static tspk_status add_decisions(dump *d, tspk_error *err)
{
    const size_t steps = d->session->plan.steps;
    const tspk_shape shape = {1, {(int64_t)d->n}};
    int32_t stopped[MAX_IMAGES];

    for (size_t i = 0; i < d->n; i++)
        stopped[i] = (int32_t)d->work[(i + 1) * steps - 1].steps;
    return tspk_npz_writer_add(d->writer, "decisions/exit", TSPK_NPY_I4, &shape, stopped, err);
}

static tspk_status dump_groups(dump *d, tspk_error *err)
{
    const uint32_t n_sites = d->session->plan.spikes->n_sites;
    tspk_status status = TSPK_OK;

    for (uint32_t first = 0; first < n_sites && status == TSPK_OK;) {
        const uint32_t end = group_end(d, first);

        status = run_group(d, first, end, err);
        for (uint32_t s = first; s < end; s++) {
            free(d->code[s]);
            free(d->input[s]);
            d->code[s] = NULL;
            d->input[s] = NULL;
            d->record[s] = (tspk_site_record){NULL, NULL};
        }
        first = end;
    }
    return status == TSPK_OK && d->session->exit ? add_decisions(d, err) : status;
}

/* decisions/refine: tokens that are computed from step 2 on. */
static tspk_status add_refined(dump *d, tspk_error *err)
{
    const tspk_shape shape = {2, {(int64_t)d->n, d->places.n_tokens}};
    int32_t *refined;
    tspk_status status;

    if (!d->places.n_spaces)
        return TSPK_OK;
    refined = calloc(d->n * d->places.n_tokens + 1, sizeof *refined);
    if (!refined)
        return NO_MEMORY(err);
    for (size_t i = 0; i < d->n; i++)
        tspk_refined_tokens(&d->places, i, refined + i * d->places.n_tokens);
    status = tspk_npz_writer_add(d->writer, "decisions/refine", TSPK_NPY_I4, &shape, refined, err);
    free(refined);
    return status;
}

/* decisions/merge/NODE: after each merge, where in the unreduced network each token stands. */
static tspk_status add_merges(dump *d, tspk_error *err)
{
    const tspk_token_places *const p = &d->places;
    const tspk_shape shape = {2, {(int64_t)d->n, p->n_tokens}};

    for (uint32_t m = 0; m < p->n_merges; m++) {
        char name[TSPK_MAX_NAME_BYTES + 32];

        snprintf(name, sizeof name, "decisions/merge/%s", p->name[m]);
        TSPK_TRY(tspk_npz_writer_add(d->writer, name, TSPK_NPY_I4, &shape,
                                     p->stands_at + (size_t)m * d->n * p->n_tokens, err));
    }
    return TSPK_OK;
}

tspk_status tspk_session_dump(tspk_session *session, size_t n, const float *images, float *logits,
                              tspk_step_work *work, bool with_products, const char *path,
                              tspk_error *err)
{
    const size_t most = with_products ? MAX_IMAGES_WITH_PRODUCTS : MAX_IMAGES;
    const size_t n_sites = session->plan.spikes->n_sites, steps = session->plan.steps;
    const size_t logit_bytes = n * steps * session->logit_elems * sizeof *logits;
    dump d = {.session = session, .n = n, .images = images, .with_products = with_products};
    tspk_status status;

    if (!n || n > most)
        return tspk_in_stage(err,
                             TSPK_FAIL(err, TSPK_RANGE, "%zu images to dump%s, expected 1 to %zu",
                                       n, with_products ? " with products" : "", most),
                             "dump");
    d.logits = malloc(logit_bytes + 1);
    d.work = malloc(n * steps * sizeof *d.work);
    d.code = calloc(n_sites + 1, sizeof *d.code);
    d.input = calloc(n_sites + 1, sizeof *d.input);
    d.record = calloc(n_sites + 1, sizeof *d.record);
    status = d.logits && d.work && d.code && d.input && d.record ? TSPK_OK : NO_MEMORY(err);
    if (status == TSPK_OK)
        status = tspk_token_places_init(&d.places, session, n, err);
    if (status == TSPK_OK)
        status = tspk_npz_writer_open(path, &d.writer, err);
    if (status == TSPK_OK) {
        tspk_status closed;

        status = dump_groups(&d, err);
        if (status == TSPK_OK)
            status = add_merges(&d, err);
        if (status == TSPK_OK)
            status = add_refined(&d, err);
        closed = tspk_npz_writer_close(d.writer, status == TSPK_OK, status == TSPK_OK ? err : NULL);
        if (status == TSPK_OK)
            status = closed;
    }
    if (status == TSPK_OK) {
        memcpy(logits, d.logits, logit_bytes);
        if (work)
            memcpy(work, d.work, n * steps * sizeof *work);
    }
    free(d.logits);
    free(d.work);
    free(d.code);
    free(d.input);
    free(d.record);
    tspk_token_places_done(&d.places);
    return tspk_in_stage(err, status, "dump");
}
