/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The C interface from end to end: converts a network, stores it, opens it again and runs it.
 *
 *   cc minimal.c $(pkg-config --cflags --libs transpike) -o minimal
 *   ./minimal fashion_vit.onnx /usr/share/datasets/fashion-mnist/train-images-idx3-ubyte.gz
 */
#include <stdio.h>
#include <stdlib.h>
#include <transpike/transpike.h>

enum { IMAGES = 4 };

/* Calibrates on the first 64 samples and writes `path`. */
static tspk_status convert(const tspk_model *model, const tspk_dataset *data,
                           const tspk_preprocess_settings *preprocess, const char *path,
                           tspk_error *err)
{
    tspk_convert_settings settings;
    tspk_spike *spike = NULL;
    tspk_status status;

    tspk_convert_default_settings(&settings);
    settings.calibration_images = 64;
    settings.steps = 2;
    settings.preprocess = *preprocess;
    status = tspk_convert(model, data, &settings, &spike, err);
    if (status == TSPK_OK)
        status = tspk_spike_save(spike, path, err);
    tspk_spike_close(spike);
    return status;
}

/* Runs the stored network on some samples and prints its answers. */
static tspk_status run(const char *path, const tspk_dataset *data, tspk_error *err)
{
    tspk_session_settings settings;
    tspk_session *session = NULL;
    tspk_spike *spike = NULL;
    tspk_spike_info info = {0};
    int64_t dim[3] = {0};
    size_t elems = 1;
    float *image = NULL, *logits = NULL;
    tspk_status status = tspk_spike_open(path, &spike, err);

    if (status == TSPK_OK) {
        tspk_spike_info_get(spike, &info);
        for (int i = 0; i < 3; i++) {
            dim[i] = info.image_dim[i];
            elems *= info.image_dim[i];
        }
        image = malloc(elems * sizeof *image);
        logits = malloc((size_t)info.steps * info.classes * sizeof *logits);
        tspk_session_default_settings(&settings);
        status = image && logits ? tspk_session_open(spike, &settings, &session, err) : TSPK_NOMEM;
    }
    for (size_t i = 0; i < IMAGES && status == TSPK_OK; i++) {
        const float *last = logits + (size_t)(info.steps - 1) * info.classes;
        tspk_step_work work[16]; /* as many steps as there may be */
        uint32_t best = 0;

        status = tspk_dataset_read(data, i, dim, image, NULL, err);
        if (status == TSPK_OK)
            status = tspk_session_run(session, 1, image, logits, work, err);
        if (status != TSPK_OK)
            break;
        for (uint32_t c = 1; c < info.classes; c++)
            best = last[c] > last[best] ? c : best;
        printf("%s: class %u, label %lld, energy %.3f of the source network's\n",
               tspk_dataset_name(data, i), best, (long long)tspk_dataset_label(data, i),
               work[info.steps - 1].energy_synaptic);
    }
    tspk_session_close(session);
    tspk_spike_close(spike);
    free(image);
    free(logits);
    return status;
}

int main(int argc, char **argv)
{
    const char *path = argc > 3 ? argv[3] : "minimal.spike";
    tspk_dataset_settings settings;
    tspk_model *model = NULL;
    tspk_dataset *data = NULL;
    tspk_error err;
    tspk_status status;

    if (argc < 3) {
        fprintf(stderr, "usage: minimal MODEL.onnx DATA [MODEL.spike]\n");
        return TSPK_USAGE;
    }
    tspk_error_init(&err);
    tspk_dataset_default_settings(&settings);
    for (int i = 0; i < 4; i++) { /* those that the sample network was trained with */
        settings.preprocess.mean[i] = 0.286f;
        settings.preprocess.std[i] = 0.353f;
    }
    status = tspk_model_open(argv[1], NULL, &model, &err);
    if (status == TSPK_OK)
        status = tspk_dataset_open(argv[2], &settings, &data, &err);
    if (status == TSPK_OK)
        status = convert(model, data, &settings.preprocess, path, &err);
    if (status == TSPK_OK)
        status = run(path, data, &err);
    tspk_dataset_close(data);
    tspk_model_close(model);
    if (status != TSPK_OK) {
        char line[1024];

        tspk_error_format(&err, line, sizeof line);
        fprintf(stderr, "minimal: %s\n", line);
    }
    return (int)status;
}
