/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: any bytes as a .spike are opened or refused; what was opened can be described, executed
 * for a step and closed; a refusal has a message and leaves the output alone.
 * With an engine, spike_mutator.c renews the checksum, without which no change would get past it.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz_file.h"
#include "transpike/spike.h"

#define MOST_ELEMS ((size_t)1 << 16) /* of an image or of logits, for a run */

static void run(const tspk_spike *spike)
{
    const tspk_session_settings settings = {.threads = 1, .batch = 1, .steps = 1};
    tspk_session *session = NULL;
    tspk_spike_info info;
    size_t elems = 1;
    tspk_error err;

    tspk_spike_info_get(spike, &info);
    for (int i = 0; i < 3; i++) {
        if (info.image_dim[i] > MOST_ELEMS)
            return;
        elems *= info.image_dim[i];
    }
    if (!elems || elems > MOST_ELEMS || info.classes > MOST_ELEMS)
        return;
    tspk_error_init(&err);
    if (tspk_session_open(spike, &settings, &session, &err) == TSPK_OK) {
        float *const image = calloc(elems, sizeof *image);
        float *const logits = calloc(info.classes ? info.classes : 1, sizeof *logits);

        if (image && logits)
            (void)tspk_session_run(session, 1, image, logits, NULL, &err);
        free(image);
        free(logits);
    } else if (session || !err.message[0]) {
        abort();
    }
    tspk_session_close(session);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    tspk_spike *spike = NULL;
    char *json = NULL;
    tspk_error err;
    fuzz_file file;

    if (!fuzz_file_init(&file, "input.spike", data, size))
        return 0;
    tspk_error_init(&err);
    if (tspk_spike_open(file.path, &spike, &err) == TSPK_OK) {
        if (tspk_spike_describe(spike, &json, &err) == TSPK_OK)
            tspk_text_free(json);
        run(spike);
    } else if (spike || !err.message[0]) {
        abort();
    }
    tspk_spike_close(spike);
    fuzz_file_done(&file);
    return 0;
}
