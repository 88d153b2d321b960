/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: any bytes as an .onnx are opened or refused, within a small cap on memory; what was
 * opened can be checked, described and closed; a refusal has a message and leaves the output alone.
 * The file is called model.onnx, so that a model can name itself as its external data.
 */
#include <stdlib.h>

#include "tests/fuzz/fuzz_file.h"
#include "transpike/model.h"

static void use(const tspk_model *model)
{
    char *json = NULL;
    tspk_error err;

    tspk_error_init(&err);
    if (tspk_model_describe(model, &json, &err) == TSPK_OK)
        tspk_text_free(json);
    tspk_error_init(&err);
    if (tspk_model_check_convertible(model, &err) != TSPK_OK && !err.message[0])
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    const tspk_model_settings settings = {.memory_cap_bytes = (size_t)32 << 20};
    tspk_model *model = NULL;
    tspk_error err;
    fuzz_file file;

    if (!fuzz_file_init(&file, "model.onnx", data, size))
        return 0;
    tspk_error_init(&err);
    if (tspk_model_open(file.path, &settings, &model, &err) == TSPK_OK)
        use(model);
    else if (model || !err.message[0])
        abort();
    tspk_model_close(model);
    fuzz_file_done(&file);
    return 0;
}
