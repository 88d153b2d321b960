/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/exit_record.h"

#include <stdlib.h>
#include <string.h>

#include "calib/cross_validate.h"
#include "core/fail.h"
#include "core/logits.h"
#include "core/rng.h"
#include "core/spike_handle.h"

#define CHUNK         16u  /* images that a session runs at a time */
#define ENOUGH        512u /* answers, for which images are copied */
#define MOST_VARIANTS 4u
#define MOST_SHIFT    16 /* a side is moved by one part in so many at most */

/* Index into a row of n that is continued by reflection without repeating its ends. */
static size_t reflect(int64_t i, int64_t n)
{
    if (n == 1)
        return 0;
    i = i < 0 ? -i : i;
    i %= 2 * (n - 1);
    return (size_t)(i < n ? i : 2 * (n - 1) - i);
}

/* One image [channels, height, width]. */
static void copy_changed(const tspk_shape *shape, const float *image, int64_t down, int64_t right,
                         bool is_mirrored, float *out)
{
    const int64_t height = shape->dim[2], width = shape->dim[3];

    for (int64_t c = 0; c < shape->dim[1]; c++)
        for (int64_t y = 0; y < height; y++)
            for (int64_t x = 0; x < width; x++) {
                const int64_t at = is_mirrored ? width - 1 - x : x;

                *out++ =
                    image[((size_t)c * (size_t)height + reflect(y + down, height)) * (size_t)width +
                          reflect(at + right, width)];
            }
}

/* Variant 1 is the mirror image; later ones are moved, and mirrored by chance. */
static void make_variant(const tspk_frame *frame, const float *images, size_t n_images,
                         uint32_t variant, bool is_mirrored, tspk_rng *rng, float *out)
{
    const tspk_graph *const graph = frame->source;
    const tspk_shape *const shape = &graph->value[graph->input[0]].shape;
    const uint64_t down = (uint64_t)shape->dim[2] / MOST_SHIFT;
    const uint64_t right = (uint64_t)shape->dim[3] / MOST_SHIFT;
    const bool is_moved = variant > 1 || !is_mirrored;

    for (size_t i = 0; i < n_images; i++) {
        const int64_t y = is_moved ? (int64_t)tspk_rng_below(rng, 2 * down + 1) - (int64_t)down : 0;
        const int64_t x =
            is_moved ? (int64_t)tspk_rng_below(rng, 2 * right + 1) - (int64_t)right : 0;
        const bool is_flipped = is_mirrored && (!is_moved || tspk_rng_below(rng, 2));

        copy_changed(shape, images + i * frame->image_elems, y, x, is_flipped,
                     out + i * frame->image_elems);
    }
}

static tspk_status grow(tspk_exit_record *record, size_t n, tspk_error *err)
{
    const size_t steps = record->n_steps, all = record->n + n;
    float *const logits =
        realloc(record->logits, all * steps * record->classes * sizeof *record->logits);
    uint8_t *agrees;
    double *kl, *energy;

    if (logits)
        record->logits = logits;
    agrees = realloc(record->agrees, all * steps * sizeof *record->agrees);
    if (agrees)
        record->agrees = agrees;
    kl = realloc(record->kl, all * steps * sizeof *record->kl);
    if (kl)
        record->kl = kl;
    energy = realloc(record->energy, all * steps * sizeof *record->energy);
    if (energy)
        record->energy = energy;
    return logits && agrees && kl && energy
               ? TSPK_OK
               : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the logits of %zu images", all);
}

static tspk_status record_images(tspk_exit_record *record, tspk_session *session,
                                 const float *images, size_t elems, const float *source, size_t n,
                                 tspk_error *err)
{
    const size_t steps = record->n_steps, classes = record->classes;
    tspk_step_work *const work = malloc(CHUNK * steps * sizeof *work);
    tspk_status status =
        work ? grow(record, n, err) : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u images", CHUNK);

    for (size_t from = 0; from < n && status == TSPK_OK; from += CHUNK) {
        const size_t here = n - from < CHUNK ? n - from : CHUNK;
        float *const logits = record->logits + record->n * steps * classes;

        status = tspk_session_run(session, here, images + from * elems, logits, work, err);
        for (size_t i = 0; i < here && status == TSPK_OK; i++, record->n++) {
            const float *const expected = source + (from + i) * classes;
            const size_t winner = tspk_find_largest(expected, classes);

            for (size_t t = 0; t < steps; t++) {
                const float *const found = logits + (i * steps + t) * classes;
                const size_t at = record->n * steps + t;

                record->agrees[at] = tspk_find_largest(found, classes) == winner;
                record->kl[at] = tspk_kl_of_logits(expected, found, classes);
                record->energy[at] = work[i * steps + t].energy_synaptic;
            }
        }
    }
    free(work);
    return status;
}

static tspk_status record_variants(tspk_exit_record *record, const tspk_frame *frame,
                                   tspk_session *session, const float *images, size_t n_images,
                                   bool is_copied, bool is_mirrored, uint64_t seed, int threads,
                                   float *source, tspk_error *err)
{
    const size_t wanted = is_copied ? (ENOUGH + n_images - 1) / n_images : 1;
    const uint32_t n_variants = wanted < MOST_VARIANTS ? (uint32_t)wanted : MOST_VARIANTS;
    float *changed = NULL;
    tspk_rng rng = {seed};
    tspk_status status = TSPK_OK;

    if (n_variants > 1 && !(changed = malloc(n_images * frame->image_elems * sizeof *changed)))
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for copies of %zu images", n_images);
    for (uint32_t v = 0; v < n_variants && status == TSPK_OK; v++) {
        const float *const from = v ? changed : images;

        if (v)
            make_variant(frame, images, n_images, v, is_mirrored, &rng, changed);
        status = tspk_source_logits(frame, from, n_images, threads, source, err);
        if (status == TSPK_OK)
            status =
                record_images(record, session, from, frame->image_elems, source, n_images, err);
    }
    free(changed);
    return status;
}

tspk_status tspk_exit_record_add(tspk_exit_record *record_out, const tspk_frame *frame,
                                 const tspk_spikegraph *spikes, const float *images,
                                 size_t n_images, bool is_copied, bool is_mirrored, uint64_t seed,
                                 int threads, tspk_error *err)
{
    const tspk_spike spike = {.graph = (tspk_spikegraph *)(uintptr_t)spikes};
    float *const source = malloc(n_images * frame->classes * sizeof *source);
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_status status =
        source ? TSPK_OK : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", n_images);

    record_out->n_steps = spikes->point[0].n_steps;
    record_out->classes = frame->classes;
    record_out->n_images += n_images;
    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.batch = CHUNK;
    if (status == TSPK_OK)
        status = tspk_session_open(&spike, &settings, &session, err);
    if (status == TSPK_OK)
        status = record_variants(record_out, frame, session, images, n_images, is_copied,
                                 is_mirrored, seed, threads, source, err);
    tspk_session_close(session);
    free(source);
    return status;
}

void tspk_exit_record_done(tspk_exit_record *record)
{
    free(record->logits);
    free(record->agrees);
    free(record->kl);
    free(record->energy);
    *record = (tspk_exit_record){0};
}
