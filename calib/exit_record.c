/* SPDX-License-Identifier: Apache-2.0 */
#include "calib/exit_record.h"

#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/logits.h"
#include "core/rng.h"
#include "core/spike_handle.h"
#include "runtime/ann/ann_exec.h"

#define CHUNK      16u  /* images that a session runs at a time */
#define ENOUGH     512u /* views, for which images are copied */
#define MOST_VIEWS 4u
#define MOST_SHIFT 16 /* a side is moved by one part in so many at most */

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

/* View 1 is the mirror image; later ones are moved, and mirrored by chance. */
static void change_images(const tspk_frame *frame, const float *images, size_t n_images,
                          uint32_t view, bool is_mirrored, tspk_rng *rng, float *out)
{
    const tspk_graph *const graph = frame->source;
    const tspk_shape *const shape = &graph->value[graph->input[0]].shape;
    const uint64_t down = (uint64_t)shape->dim[2] / MOST_SHIFT;
    const uint64_t right = (uint64_t)shape->dim[3] / MOST_SHIFT;
    const bool is_moved = view > 1 || !is_mirrored;

    for (size_t i = 0; i < n_images; i++) {
        const int64_t y = is_moved ? (int64_t)tspk_rng_below(rng, 2 * down + 1) - (int64_t)down : 0;
        const int64_t x =
            is_moved ? (int64_t)tspk_rng_below(rng, 2 * right + 1) - (int64_t)right : 0;
        const bool is_flipped = is_mirrored && (!is_moved || tspk_rng_below(rng, 2));

        copy_changed(shape, images + i * frame->image_elems, y, x, is_flipped,
                     out + i * frame->image_elems);
    }
}

static tspk_status run_source(const tspk_frame *frame, tspk_views *views, int threads,
                              tspk_error *err)
{
    const void *in[1] = {views->image};
    void *out[1] = {views->source};
    tspk_ann_exec *exec = NULL;
    tspk_status status = tspk_ann_exec_new(frame->source, threads, &exec, err);

    if (status == TSPK_OK)
        status = tspk_ann_exec_run(exec, views->n, in, out, err);
    tspk_ann_exec_free(exec);
    return status;
}

tspk_status tspk_views_make(tspk_views *views_out, const tspk_frame *frame, const float *images,
                            const int64_t *labels, size_t n_images, bool is_copied,
                            bool is_mirrored, uint64_t seed, int threads, tspk_error *err)
{
    const size_t wanted = is_copied ? (ENOUGH + n_images - 1) / n_images : 1;
    const uint32_t n_views = wanted < MOST_VIEWS ? (uint32_t)wanted : MOST_VIEWS;
    tspk_views v = {.n = n_views * n_images,
                    .n_images = n_images,
                    .elems = frame->image_elems,
                    .classes = frame->classes};
    tspk_rng rng = {seed};
    tspk_status status;

    v.image = malloc(v.n * v.elems * sizeof *v.image);
    v.source = malloc(v.n * v.classes * sizeof *v.source);
    v.label = malloc(n_images * sizeof *v.label);
    status = v.image && v.source && v.label
                 ? TSPK_OK
                 : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", v.n);
    if (status == TSPK_OK) {
        memcpy(v.image, images, n_images * v.elems * sizeof *v.image);
        for (uint32_t i = 1; i < n_views; i++)
            change_images(frame, images, n_images, i, is_mirrored, &rng,
                          v.image + i * n_images * v.elems);
        for (size_t i = 0; i < n_images; i++)
            v.label[i] = labels ? labels[i] : -1;
        status = run_source(frame, &v, threads, err);
    }
    if (status == TSPK_OK)
        *views_out = v;
    else
        tspk_views_done(&v);
    return status;
}

void tspk_views_done(tspk_views *views)
{
    free(views->image);
    free(views->source);
    free(views->label);
    *views = (tspk_views){0};
}

/* The array with room for so many bytes, or as it was where memory is short. */
static void *enlarge(void *array, size_t bytes, bool *has_memory)
{
    void *const larger = realloc(array, bytes);

    *has_memory &= larger != NULL;
    return larger ? larger : array;
}

static tspk_status grow(tspk_exit_record *record, size_t n, tspk_error *err)
{
    const size_t all = record->n + n, cells = all * record->n_steps;
    bool has_memory = true;

    record->image = enlarge(record->image, all * sizeof *record->image, &has_memory);
    record->logits =
        enlarge(record->logits, cells * record->classes * sizeof *record->logits, &has_memory);
    record->agrees = enlarge(record->agrees, cells * sizeof *record->agrees, &has_memory);
    record->lost = enlarge(record->lost, cells * sizeof *record->lost, &has_memory);
    record->kl = enlarge(record->kl, cells * sizeof *record->kl, &has_memory);
    record->energy = enlarge(record->energy, cells * sizeof *record->energy, &has_memory);
    return has_memory ? TSPK_OK
                      : TSPK_FAIL(err, TSPK_NOMEM, "no memory for the logits of %zu images", all);
}

/* The answer of a view after one step. */
static void record_answer(tspk_exit_record *record, size_t at, const float *expected,
                          const float *found, int64_t label, double energy)
{
    const size_t winner = tspk_find_largest(expected, record->classes);
    const size_t answer = tspk_find_largest(found, record->classes);
    const bool was_right = label >= 0 && winner == (size_t)label;

    record->agrees[at] = answer == winner;
    record->lost[at] = (int8_t)(was_right - (label >= 0 && answer == (size_t)label));
    record->kl[at] = tspk_kl_of_logits(expected, found, record->classes);
    record->energy[at] = energy;
}

static tspk_status record_views(tspk_exit_record *record, tspk_session *session,
                                const tspk_views *views, tspk_error *err)
{
    const size_t steps = record->n_steps, classes = record->classes;
    const size_t first_image = record->n_images - views->n_images;
    tspk_step_work *const work = malloc(CHUNK * steps * sizeof *work);
    tspk_status status = work ? grow(record, views->n, err)
                              : TSPK_FAIL(err, TSPK_NOMEM, "no memory for %u images", CHUNK);

    for (size_t from = 0; from < views->n && status == TSPK_OK; from += CHUNK) {
        const size_t here = views->n - from < CHUNK ? views->n - from : CHUNK;
        float *const logits = record->logits + record->n * steps * classes;

        status =
            tspk_session_run(session, here, views->image + from * views->elems, logits, work, err);
        for (size_t i = 0; i < here && status == TSPK_OK; i++, record->n++) {
            const size_t image = (from + i) % views->n_images;

            record->image[record->n] = (uint32_t)(first_image + image);
            for (size_t t = 0; t < steps; t++)
                record_answer(record, record->n * steps + t, views->source + (from + i) * classes,
                              logits + (i * steps + t) * classes, views->label[image],
                              work[i * steps + t].energy_synaptic);
        }
    }
    free(work);
    return status;
}

tspk_status tspk_exit_record_add(tspk_exit_record *record_out, const tspk_spikegraph *spikes,
                                 const char *mode, const tspk_views *views, int threads,
                                 tspk_error *err)
{
    const tspk_spike spike = {.graph = (tspk_spikegraph *)(uintptr_t)spikes};
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_status status = tspk_spike_mode_steps(&spike, mode, &settings.steps, err);

    if (status != TSPK_OK)
        return status;
    record_out->n_steps = settings.steps;
    record_out->classes = views->classes;
    record_out->is_labelled = !record_out->n || record_out->is_labelled;
    record_out->n_images += views->n_images;
    for (size_t i = 0; i < views->n_images; i++)
        record_out->is_labelled &= views->label[i] >= 0;
    tspk_session_default_settings(&settings);
    settings.mode = mode;
    settings.policy = TSPK_POLICY_NONE;
    settings.threads = threads;
    settings.batch = CHUNK;
    status = tspk_session_open(&spike, &settings, &session, err);
    if (status == TSPK_OK)
        status = record_views(record_out, session, views, err);
    tspk_session_close(session);
    return status;
}

void tspk_exit_record_done(tspk_exit_record *record)
{
    free(record->image);
    free(record->logits);
    free(record->agrees);
    free(record->lost);
    free(record->kl);
    free(record->energy);
    *record = (tspk_exit_record){0};
}
