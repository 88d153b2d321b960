/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Samples one after the other, decoded ahead by threads of its own: sample i lies in slot i modulo
 * the slots from when it is claimed until it was handed out, so that memory is bounded and the
 * order is the set's, whoever is faster. Broken samples are left out on the way.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "core/fail.h"
#include "core/parallel.h"
#include "transpike/data.h"

#define SLOTS_A_THREAD 8
#define MOST_THREADS   8 /* that decode: half of those that compute */

typedef struct slot {
    float *image;
    uint8_t hash[32];
    tspk_error error; /* its status says how decoding went */
    bool is_ready;
} slot;

struct tspk_reader {
    const tspk_dataset *data;
    tspk_reader_settings settings;
    int64_t dim[3];
    size_t elems;
    size_t to_skip, to_deliver; /* readable samples that are still to come; SIZE_MAX: all */
    size_t n_delivered;
    size_t next;     /* sample to hand out */
    size_t claimed;  /* samples below it are decoded, or about to be */
    bool is_stopped; /* threads shall end */
    slot *slot;      /* [n_slots] */
    size_t n_slots;
    pthread_t thread[MOST_THREADS];
    int n_threads; /* 0: the caller decodes */
    pthread_mutex_t lock;
    pthread_cond_t has_room, has_sample;
    bool has_lock;
    size_t *skipped; /* [n_skipped] samples that could not be read */
    size_t n_skipped, room;
    tspk_error first_broken;
};

void tspk_reader_default_settings(tspk_reader_settings *settings)
{
    *settings = (tspk_reader_settings){0};
}

static void decode(const tspk_reader *reader, size_t i, slot *into)
{
    tspk_error_init(&into->error);
    into->error.status =
        tspk_dataset_read(reader->data, i, reader->dim, into->image, into->hash, &into->error);
}

/* Samples that threads may claim: as many ahead as there are slots, and are wanted. */
static size_t claim_end(const tspk_reader *reader)
{
    const size_t count = tspk_dataset_count(reader->data);
    const size_t left = count - reader->next;
    size_t ahead = reader->n_slots < left ? reader->n_slots : left;

    if (reader->to_skip < ahead && reader->to_deliver < ahead - reader->to_skip)
        ahead = reader->to_skip + reader->to_deliver;
    return reader->next + ahead;
}

static void *work(void *context)
{
    tspk_reader *const reader = context;

    pthread_mutex_lock(&reader->lock);
    while (!reader->is_stopped) {
        if (reader->claimed < claim_end(reader)) {
            const size_t i = reader->claimed++;
            slot *const into = &reader->slot[i % reader->n_slots];

            pthread_mutex_unlock(&reader->lock);
            decode(reader, i, into);
            pthread_mutex_lock(&reader->lock);
            into->is_ready = true;
            pthread_cond_signal(&reader->has_sample);
        } else {
            pthread_cond_wait(&reader->has_room, &reader->lock);
        }
    }
    pthread_mutex_unlock(&reader->lock);
    return NULL;
}

/* As many threads as can be had; none, and the caller decodes. */
static void start_threads(tspk_reader *reader, int threads)
{
    const int wanted = threads / 2 < MOST_THREADS ? threads / 2 : MOST_THREADS;

    if (threads < 2)
        return;
    if (pthread_mutex_init(&reader->lock, NULL) != 0)
        return;
    if (pthread_cond_init(&reader->has_room, NULL) != 0 ||
        pthread_cond_init(&reader->has_sample, NULL) != 0)
        return; /* on this system neither fails nor owns anything */
    reader->has_lock = true;
    while (reader->n_threads < wanted &&
           pthread_create(&reader->thread[reader->n_threads], NULL, work, reader) == 0)
        reader->n_threads++;
}

tspk_status tspk_reader_open(const tspk_dataset *data, const int64_t dim[3],
                             const tspk_reader_settings *settings, tspk_reader **reader_out,
                             tspk_error *err)
{
    tspk_reader *const reader = calloc(1, sizeof *reader);
    int threads;

    if (!reader)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a reader");
    reader->data = data;
    if (settings)
        reader->settings = *settings;
    memcpy(reader->dim, dim, sizeof reader->dim);
    reader->elems = (size_t)(dim[0] * dim[1] * dim[2]);
    reader->to_skip = reader->settings.skip;
    reader->to_deliver = reader->settings.limit ? reader->settings.limit : SIZE_MAX;
    threads = reader->settings.threads > 0 ? reader->settings.threads : tspk_parallel_max_threads();
    if (threads > 2 * MOST_THREADS)
        threads = 2 * MOST_THREADS;
    reader->n_slots = threads < 2 ? 1 : (size_t)SLOTS_A_THREAD * (size_t)threads;
    if (reader->n_slots > tspk_dataset_count(data))
        reader->n_slots = tspk_dataset_count(data);
    reader->slot = calloc(reader->n_slots, sizeof *reader->slot);
    for (size_t i = 0; reader->slot && i < reader->n_slots; i++) {
        reader->slot[i].image = calloc(reader->elems, sizeof(float));
        if (!reader->slot[i].image) {
            tspk_reader_close(reader);
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu images", reader->n_slots);
        }
    }
    if (!reader->slot) {
        tspk_reader_close(reader);
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for a reader");
    }
    start_threads(reader, threads);
    *reader_out = reader;
    return TSPK_OK;
}

void tspk_reader_close(tspk_reader *reader)
{
    if (!reader)
        return;
    if (reader->has_lock) {
        pthread_mutex_lock(&reader->lock);
        reader->is_stopped = true;
        pthread_cond_broadcast(&reader->has_room);
        pthread_mutex_unlock(&reader->lock);
        for (int i = 0; i < reader->n_threads; i++)
            pthread_join(reader->thread[i], NULL);
        pthread_cond_destroy(&reader->has_sample);
        pthread_cond_destroy(&reader->has_room);
        pthread_mutex_destroy(&reader->lock);
    }
    for (size_t i = 0; reader->slot && i < reader->n_slots; i++)
        free(reader->slot[i].image);
    free(reader->slot);
    free(reader->skipped);
    free(reader);
}

/* The next sample of the set, decoded. */
static slot *await(tspk_reader *reader)
{
    slot *const here = &reader->slot[reader->next % reader->n_slots];

    if (!reader->n_threads) {
        decode(reader, reader->next, here);
        return here;
    }
    pthread_mutex_lock(&reader->lock);
    while (!here->is_ready)
        pthread_cond_wait(&reader->has_sample, &reader->lock);
    pthread_mutex_unlock(&reader->lock);
    return here;
}

/* Its slot may be used again. */
static void release(tspk_reader *reader, slot *here, bool is_counted)
{
    if (reader->n_threads)
        pthread_mutex_lock(&reader->lock);
    here->is_ready = false;
    reader->next++;
    if (is_counted && reader->to_skip)
        reader->to_skip--;
    else if (is_counted && reader->to_deliver != SIZE_MAX)
        reader->to_deliver--;
    if (reader->n_threads) {
        pthread_cond_broadcast(&reader->has_room);
        pthread_mutex_unlock(&reader->lock);
    }
}

/* Is it this sample alone that is at fault? A wrong shape, or a number that is not finite, is the
 * whole set's. */
static bool is_broken(tspk_status status)
{
    return status == TSPK_FORMAT || status == TSPK_IO || status == TSPK_UNSUPPORTED ||
           status == TSPK_LIMIT;
}

static tspk_status note(tspk_reader *reader, const tspk_error *why, tspk_error *err)
{
    if (reader->n_skipped == reader->room) {
        const size_t room = reader->room ? 2 * reader->room : 16;
        size_t *const skipped = realloc(reader->skipped, room * sizeof *skipped);

        if (!skipped)
            return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the numbers of broken samples");
        reader->skipped = skipped;
        reader->room = room;
    }
    if (!reader->n_skipped)
        reader->first_broken = *why;
    reader->skipped[reader->n_skipped++] = reader->next;
    if (reader->settings.broken)
        reader->settings.broken(reader->settings.broken_context, why->message);
    return TSPK_OK;
}

static tspk_status end_of_set(const tspk_reader *reader, tspk_error *err)
{
    const size_t count = tspk_dataset_count(reader->data), broken = reader->n_skipped;

    if (reader->n_delivered)
        return TSPK_OK;
    if (!broken)
        return TSPK_FAIL(err, TSPK_RANGE, "%s: no samples left: %zu in all, %zu left out",
                         tspk_dataset_path(reader->data), count, reader->settings.skip);
    return TSPK_FAIL(err, TSPK_FORMAT,
                     "%s: no samples left: %zu in all, %zu left out, %zu broken; the first: %s",
                     tspk_dataset_path(reader->data), count, reader->settings.skip, broken,
                     reader->first_broken.message);
}

tspk_status tspk_reader_next(tspk_reader *reader, size_t most, float *images, uint8_t (*hashes)[32],
                             size_t *samples, size_t *n_out, tspk_error *err)
{
    size_t n = 0;

    while (n < most && reader->to_deliver && reader->next < tspk_dataset_count(reader->data)) {
        slot *const here = await(reader);
        const tspk_status status = here->error.status;
        const bool is_wanted = status == TSPK_OK && !reader->to_skip;

        if (status != TSPK_OK && (reader->settings.is_strict || !is_broken(status))) {
            if (err)
                *err = here->error;
            return status;
        }
        if (status != TSPK_OK)
            TSPK_TRY(note(reader, &here->error, err));
        if (is_wanted) {
            memcpy(images + n * reader->elems, here->image, reader->elems * sizeof *images);
            if (hashes)
                memcpy(hashes[n], here->hash, sizeof here->hash);
            samples[n++] = reader->next;
        }
        release(reader, here, status == TSPK_OK);
    }
    reader->n_delivered += n;
    if (!n && most)
        TSPK_TRY(end_of_set(reader, err));
    *n_out = n;
    return TSPK_OK;
}

size_t tspk_reader_count_broken(const tspk_reader *reader)
{
    return reader->n_skipped;
}

size_t tspk_reader_broken(const tspk_reader *reader, size_t k)
{
    return reader->skipped[k];
}
