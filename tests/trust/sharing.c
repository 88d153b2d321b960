/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sharing MODEL.onnx FILE.spike …: one model and one spike graph under many sessions in many
 * threads, and in children of fork(): every session gives the bytes of one that is alone.
 */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "transpike/spike.h"

enum { N_THREADS = 8, N_ROUNDS = 4, N_IMAGES = 5, IMAGE_ELEMS = 64, STEPS = 2, CLASSES = 4 };

typedef struct shared {
    const char *path;
    tspk_model *model;
    tspk_spike *spike;
    float images[N_IMAGES * IMAGE_ELEMS];
    float ann[N_IMAGES * CLASSES], spiking[N_IMAGES * STEPS * CLASSES]; /* of one alone */
} shared;

static bool run_spiking(const tspk_spike *spike, int threads, const float *images, float *logits)
{
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_error err;
    bool is_fine;

    tspk_error_init(&err);
    tspk_session_default_settings(&settings);
    settings.threads = threads;
    settings.batch = 3;
    is_fine = tspk_session_open(spike, &settings, &session, &err) == TSPK_OK &&
              tspk_session_run(session, N_IMAGES, images, logits, NULL, &err) == TSPK_OK;
    tspk_session_close(session);
    return is_fine;
}

static bool run_ann(const tspk_model *model, int threads, const float *images, float *logits)
{
    const void *const inputs[] = {images};
    void *const outputs[] = {logits};
    tspk_ann *ann = NULL;
    tspk_error err;
    bool is_fine;

    tspk_error_init(&err);
    is_fine = tspk_ann_open(model, threads, &ann, &err) == TSPK_OK &&
              tspk_ann_run(ann, N_IMAGES, inputs, outputs, &err) == TSPK_OK;
    tspk_ann_close(ann);
    return is_fine;
}

static bool is_as_alone(const shared *s, int threads)
{
    float ann[N_IMAGES * CLASSES], spiking[N_IMAGES * STEPS * CLASSES];
    char *json = NULL;
    tspk_error err;
    bool is_fine;

    tspk_error_init(&err);
    is_fine = run_spiking(s->spike, threads, s->images, spiking) &&
              memcmp(spiking, s->spiking, sizeof spiking) == 0 &&
              run_ann(s->model, threads, s->images, ann) && memcmp(ann, s->ann, sizeof ann) == 0 &&
              tspk_spike_describe(s->spike, &json, &err) == TSPK_OK;
    tspk_text_free(json);
    return is_fine;
}

static void *work(void *context)
{
    const shared *const s = context;
    uintptr_t n_wrong = 0;

    for (int i = 0; i < N_ROUNDS; i++)
        n_wrong += !is_as_alone(s, 1 + i % 2);
    return (void *)n_wrong;
}

static void test_threads(void **state)
{
    pthread_t thread[N_THREADS];

    for (int i = 0; i < N_THREADS; i++)
        assert_int_equal(pthread_create(&thread[i], NULL, work, *state), 0);
    for (int i = 0; i < N_THREADS; i++) {
        void *n_wrong;

        assert_int_equal(pthread_join(thread[i], &n_wrong), 0);
        assert_null(n_wrong);
    }
    printf("TRUST|sessions in %d threads over one model|%d|%d|\n", N_THREADS, N_THREADS * N_ROUNDS,
           N_THREADS * N_ROUNDS);
}

/* Whatever the parent did with threads before. */
static void test_fork(void **state)
{
    const shared *const s = *state;
    int n = 0;

    for (int i = 0; i < 6; i++) {
        int status;
        pid_t child;

        assert_true(is_as_alone(s, 2));
        child = fork();
        if (child == 0) {
            tspk_spike *own = NULL;
            tspk_error err;

            alarm(60);
            tspk_error_init(&err);
            _exit(!is_as_alone(s, 1 + i % 3) || tspk_spike_open(s->path, &own, &err) != TSPK_OK);
        }
        assert_true(child > 0);
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_int_equal(status, 0);
        assert_true(is_as_alone(s, 2));
        n++;
    }
    printf("TRUST|children of fork() that run the parent's model|%d|%d|\n", n, n);
}

int main(int argc, char **argv)
{
    static shared s;
    const struct CMUnitTest tests[] = {cmocka_unit_test_prestate(test_threads, &s),
                                       cmocka_unit_test_prestate(test_fork, &s)};
    tspk_error err;
    int answer;

    tspk_error_init(&err);
    if (argc < 3 || tspk_model_open(argv[1], NULL, &s.model, &err) != TSPK_OK ||
        tspk_spike_open(argv[2], &s.spike, &err) != TSPK_OK) {
        fprintf(stderr, "usage: sharing MODEL.onnx FILE.spike: %s\n", err.message);
        return 2;
    }
    s.path = argv[2];
    for (int i = 0; i < N_IMAGES * IMAGE_ELEMS; i++)
        s.images[i] = (float)(i * 37 % 101) / 50 - 1;
    if (!run_spiking(s.spike, 1, s.images, s.spiking) || !run_ann(s.model, 1, s.images, s.ann))
        return 2;
    answer = cmocka_run_group_tests(tests, NULL, NULL);
    tspk_spike_close(s.spike);
    tspk_model_close(s.model);
    return answer;
}
