/* SPDX-License-Identifier: Apache-2.0 */
/*
 * soak MODEL.onnx FILE.spike DATA FOLDER SECONDS [CORPUS...]: random conversions, runs, validations
 * and openings of good and damaged files for so long, in one process. The heap and the descriptors
 * at the end are those of the first round, up to HEAP_SLACK.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "core/rng.h"
#include "tests/trust/held.h"
#include "transpike/spike.h"

#define HEAP_SLACK ((size_t)128 << 10) /* [bytes] */

enum { IMAGE_ELEMS = 64, MOST_STEPS = 3, CLASSES = 4, KINDS = 5 };

typedef struct soak {
    const char *model, *spike, *data;
    char out[512];
    char **corpus; /* [n_corpus] files that are no models, or broken ones */
    int n_corpus;
    tspk_rng rng;
    size_t done, refused;
} soak;

static void check(const soak *s, bool holds, const char *what, const tspk_error *err)
{
    if (holds)
        return;
    fprintf(stderr, "soak: call %zu: %s: %s\n", s->done, what, err->message);
    exit(1);
}

static int below(soak *s, uint64_t n)
{
    return (int)tspk_rng_below(&s->rng, n);
}

static void convert(soak *s)
{
    tspk_convert_settings settings;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_spike *spike = NULL;
    tspk_error err;

    tspk_error_init(&err);
    tspk_convert_default_settings(&settings);
    settings.calibration_images = (size_t)below(s, 6) + 1;
    settings.steps = (uint32_t)below(s, MOST_STEPS) + 1;
    settings.levels = (uint32_t)below(s, 8) + 1;
    settings.is_rate = below(s, 4) == 0;
    settings.threads = below(s, 3) + 1;
    check(s, tspk_model_open(s->model, NULL, &model, &err) == TSPK_OK, "model", &err);
    check(s, tspk_dataset_open(s->data, NULL, &data, &err) == TSPK_OK, "data", &err);
    check(s, tspk_convert(model, data, &settings, &spike, &err) == TSPK_OK, "convert", &err);
    check(s, tspk_spike_save(spike, s->out, &err) == TSPK_OK, "save", &err);
    tspk_spike_close(spike);
    tspk_dataset_close(data);
    tspk_model_close(model);
}

static void run(soak *s)
{
    float images[4 * IMAGE_ELEMS], logits[4 * MOST_STEPS * CLASSES];
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_spike *spike = NULL;
    tspk_error err;

    tspk_error_init(&err);
    for (int i = 0; i < 4 * IMAGE_ELEMS; i++)
        images[i] = (float)below(s, 2001) / 1000 - 1;
    tspk_session_default_settings(&settings);
    settings.threads = below(s, 3) + 1;
    settings.batch = (uint32_t)below(s, 4) + 1;
    settings.steps_per_pass = (uint32_t)below(s, 2);
    check(s, tspk_spike_open(s->spike, &spike, &err) == TSPK_OK, "open", &err);
    check(s, tspk_session_open(spike, &settings, &session, &err) == TSPK_OK, "session", &err);
    for (int i = below(s, 3); i >= 0; i--)
        check(s, tspk_session_run(session, 4, images, logits, NULL, &err) == TSPK_OK, "run", &err);
    if (below(s, 4) == 0)
        check(s, tspk_session_dump(session, 1, images, logits, NULL, true, s->out, &err) == TSPK_OK,
              "dump", &err);
    tspk_session_close(session);
    tspk_spike_close(spike);
}

static void validate(soak *s)
{
    tspk_validate_settings settings;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_spike *spike = NULL;
    char *json = NULL;
    tspk_error err;

    tspk_error_init(&err);
    tspk_validate_default_settings(&settings);
    settings.limit = (size_t)below(s, 5) + 1;
    settings.is_untimed = true;
    settings.has_layers = below(s, 8) == 0;
    settings.threads = below(s, 3) + 1;
    check(s, tspk_model_open(s->model, NULL, &model, &err) == TSPK_OK, "model", &err);
    check(s, tspk_dataset_open(s->data, NULL, &data, &err) == TSPK_OK, "data", &err);
    check(s, tspk_spike_open(s->spike, &spike, &err) == TSPK_OK, "open", &err);
    check(s, tspk_validate(spike, model, data, &settings, &json, &err) == TSPK_OK, "validate",
          &err);
    tspk_text_free(json);
    tspk_spike_close(spike);
    tspk_dataset_close(data);
    tspk_model_close(model);
}

/* A spike graph with a changed byte, or a file of the corpus as every kind of input. */
static void open_damaged(soak *s)
{
    const char *path = s->n_corpus ? s->corpus[below(s, (uint64_t)s->n_corpus)] : s->spike;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_spike *spike = NULL;
    tspk_error err;

    tspk_error_init(&err);
    s->refused += tspk_spike_open(path, &spike, &err) != TSPK_OK;
    s->refused += tspk_model_open(path, NULL, &model, &err) != TSPK_OK;
    s->refused += tspk_dataset_open(path, NULL, &data, &err) != TSPK_OK;
    tspk_spike_close(spike);
    tspk_dataset_close(data);
    tspk_model_close(model);
}

static void describe(soak *s)
{
    tspk_spike *spike = NULL;
    char *json = NULL;
    tspk_error err;

    tspk_error_init(&err);
    check(s, tspk_spike_open(s->spike, &spike, &err) == TSPK_OK, "open", &err);
    check(s, tspk_spike_describe(spike, &json, &err) == TSPK_OK, "describe", &err);
    tspk_text_free(json);
    tspk_spike_close(spike);
}

int main(int argc, char **argv)
{
    static void (*const kinds[KINDS])(soak *) = {run, describe, open_damaged, validate, convert};
    soak s = {.rng = {.state = 14}};
    struct timespec start, now;
    size_t heap = 0;
    int descriptors = 0;

    if (argc < 6) {
        fprintf(stderr, "usage: soak MODEL.onnx FILE.spike DATA FOLDER SECONDS [CORPUS...]\n");
        return 2;
    }
    s.model = argv[1];
    s.spike = argv[2];
    s.data = argv[3];
    snprintf(s.out, sizeof s.out, "%s/out", argv[4]);
    s.corpus = argv + 6;
    s.n_corpus = argc - 6;
    clock_gettime(CLOCK_MONOTONIC, &start);
    do {
        const int kind = s.done < 3 * KINDS ? (int)s.done % KINDS : below(&s, 16);

        /* most calls are the cheap ones */
        kinds[kind < KINDS ? kind : kind % 3](&s);
        s.done++;
        if (s.done == 3 * KINDS) { /* what is kept once is there by now */
            heap = held_heap_bytes();
            descriptors = held_descriptors();
        }
        clock_gettime(CLOCK_MONOTONIC, &now);
    } while (s.done < 6 * KINDS || now.tv_sec - start.tv_sec < atol(argv[5]));
    unlink(s.out);
    printf("heap %zu bytes after the first rounds, %zu at the end; descriptors %d, %d\n", heap,
           held_heap_bytes(), descriptors, held_descriptors());
    printf("TRUST|soak: random calls for %s s|%zu|%zu|%zu openings refused\n", argv[5], s.done,
           held_heap_bytes() <= heap + HEAP_SLACK && held_descriptors() == descriptors ? s.done : 0,
           s.refused);
    return held_heap_bytes() > heap + HEAP_SLACK || held_descriptors() != descriptors;
}
