/* SPDX-License-Identifier: Apache-2.0 */
#include "validate/layers.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "runtime/ann/blas.h"

/* A few images side by side. */
typedef struct batch {
    const tspk_layer_plan *plan;
    size_t elems, n_sums;
    float *image;          /* [n, elems] */
    tspk_layer_sums *sums; /* [n, n_sums] */
    tspk_error *error;     /* [n] */
} batch;

static void walk_image(void *context, size_t i, int worker)
{
    const batch *b = context;

    (void)worker;
    tspk_error_init(&b->error[i]);
    (void)tspk_layer_walk(b->plan, b->image + i * b->elems, b->sums + i * b->n_sums, &b->error[i]);
}

/* Sums are added image by image, in their order, whatever the threads. */
static tspk_status add_batch(const batch *b, size_t n, tspk_layers *layers, tspk_error *err)
{
    for (size_t i = 0; i < n; i++) {
        if (b->error[i].status != TSPK_OK) {
            if (err)
                *err = b->error[i];
            return b->error[i].status;
        }
        for (size_t s = 0; s < b->n_sums; s++) {
            const tspk_layer_sums *from = &b->sums[i * b->n_sums + s];
            tspk_layer_sums *to = &layers->sums[s];

            to->signal += from->signal;
            to->noise += from->noise;
            to->fired += from->fired;
            to->neurons += from->neurons;
            to->kl_alone += from->kl_alone;
            to->kl_cumulative += from->kl_cumulative;
        }
    }
    layers->images += n;
    return TSPK_OK;
}

static tspk_status walk_set(batch *b, const tspk_sample_set *set, size_t limit, int threads,
                            tspk_progress_fn progress, void *progress_context, tspk_layers *layers,
                            tspk_error *err)
{
    const size_t side_by_side = (size_t)threads;

    b->elems = tspk_sample_set_elems(set);
    b->n_sums = (size_t)layers->spikes->n_sites * layers->steps;
    b->image = calloc(side_by_side, b->elems * sizeof *b->image);
    b->sums = calloc(side_by_side, b->n_sums * sizeof *b->sums + 1);
    b->error = calloc(side_by_side, sizeof *b->error);
    layers->sums = calloc(b->n_sums + 1, sizeof *layers->sums);
    if (!b->image || !b->sums || !b->error || !layers->sums)
        return tspk_walk_no_memory(err);
    tspk_blas_be_serial();
    for (size_t at = 0; at < limit; at += side_by_side) {
        const size_t n = limit - at < side_by_side ? limit - at : side_by_side;

        if (progress && progress(progress_context, "layers", at, limit))
            return TSPK_FAIL(err, TSPK_INTERRUPTED, "stopped at image %zu of %zu (layers)", at,
                             limit);
        TSPK_TRY(tspk_sample_set_read(set, at, n, b->image, err));
        memset(b->sums, 0, n * b->n_sums * sizeof *b->sums);
        tspk_parallel_for(threads, n, walk_image, b);
        TSPK_TRY(add_batch(b, n, layers, err));
    }
    return TSPK_OK;
}

tspk_status tspk_layers_run(const tspk_spikegraph *spikes, const tspk_model *model,
                            const tspk_sample_set *set, size_t limit, uint32_t steps,
                            bool has_outputs, int threads, tspk_progress_fn progress,
                            void *progress_context, tspk_layers *layers, tspk_error *err)
{
    tspk_layer_plan plan = {0};
    batch b = {.plan = &plan};
    tspk_status status = tspk_layer_plan_init(spikes, model, steps, &plan, err);

    layers->spikes = spikes;
    layers->steps = steps;
    layers->has_outputs = plan.has_outputs = has_outputs;
    if (status == TSPK_OK)
        status = walk_set(&b, set, limit < set->n ? limit : set->n, threads, progress,
                          progress_context, layers, err);
    free(b.error);
    free(b.sums);
    free(b.image);
    tspk_layer_plan_done(&plan);
    return tspk_in_stage(err, status, "layers");
}

void tspk_layers_done(tspk_layers *layers)
{
    free(layers->sums);
    layers->sums = NULL;
}

/* --- JSON --- */

static double snr_of(const tspk_layer_sums *sums)
{
    return 10 * log10(sums->signal / sums->noise);
}

/* What is not finite becomes null: JSON has no other word for it. */
static bool add_number(cJSON *array, double value)
{
    return cJSON_AddItemToArray(array, cJSON_CreateNumber(value));
}

static bool add_site(const tspk_layers *layers, uint32_t site, cJSON *array)
{
    cJSON *json = cJSON_CreateObject();
    cJSON *rate, *snr, *alone = NULL, *cumulative = NULL;
    bool is_whole;

    if (!json || !cJSON_AddItemToArray(array, json) ||
        !cJSON_AddStringToObject(json, "site", layers->spikes->site[site].name) ||
        !(rate = cJSON_AddArrayToObject(json, "rate")) ||
        !(snr = cJSON_AddArrayToObject(json, "snr_db")) ||
        (layers->has_outputs && (!(alone = cJSON_AddArrayToObject(json, "kl_alone")) ||
                                 !(cumulative = cJSON_AddArrayToObject(json, "kl_cumulative")))))
        return false;
    is_whole = true;
    for (uint32_t t = 0; t < layers->steps && is_whole; t++) {
        const tspk_layer_sums *sums = &layers->sums[(size_t)site * layers->steps + t];
        const double images = (double)layers->images;

        is_whole = add_number(rate, sums->neurons > 0 ? sums->fired / sums->neurons : 0) &&
                   add_number(snr, snr_of(sums)) &&
                   (!layers->has_outputs || (add_number(alone, sums->kl_alone / images) &&
                                             add_number(cumulative, sums->kl_cumulative / images)));
    }
    return is_whole;
}

static bool add_leaving(const tspk_layers *layers, cJSON *json)
{
    for (uint32_t site = 0; site < layers->spikes->n_sites; site++) {
        const double snr = snr_of(&layers->sums[(size_t)(site + 1) * layers->steps - 1]);
        cJSON *at;

        if (!(snr < TSPK_LEAVING_DB))
            continue;
        at = cJSON_AddObjectToObject(json, "leaves_at");
        return at && cJSON_AddStringToObject(at, "site", layers->spikes->site[site].name) &&
               cJSON_AddNumberToObject(at, "t", layers->steps) &&
               cJSON_AddNumberToObject(at, "snr_db", snr) &&
               cJSON_AddNumberToObject(at, "bound_db", TSPK_LEAVING_DB);
    }
    return cJSON_AddNullToObject(json, "leaves_at") != NULL;
}

bool tspk_layers_json(const tspk_layers *layers, cJSON *json)
{
    cJSON *array = cJSON_AddArrayToObject(json, "layers");

    if (array && layers->sums && !layers->has_outputs)
        array = cJSON_AddArrayToObject(json, "site_rates");
    for (uint32_t site = 0; array && layers->sums && site < layers->spikes->n_sites; site++)
        if (!add_site(layers, site, array))
            return false;
    if (!array || !layers->sums)
        return array != NULL;
    return cJSON_AddNumberToObject(json, "layer_images", (double)layers->images) &&
           add_leaving(layers, json);
}
