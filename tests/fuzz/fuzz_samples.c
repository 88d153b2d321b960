/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Property: any bytes as a set of samples are opened or refused with a message, and so are its
 * first samples; a set that was opened holds samples, and reading one twice gives the same content
 * hash. The first byte chooses the kind by its rest of a division: .npz, .tar, IDX, .zip.
 */
#include <stdlib.h>
#include <string.h>

#include "tests/fuzz/fuzz_file.h"
#include "transpike/data.h"

#define MOST_SAMPLES 4

static void read_samples(const tspk_dataset *dataset)
{
    static const int64_t dims[2][3] = {{1, 2, 2}, {3, 2, 2}};
    const size_t n = tspk_dataset_count(dataset);
    uint8_t hash[2][32];
    float out[3 * 2 * 2];

    if (!n)
        abort();
    for (size_t i = 0; i < n && i < MOST_SAMPLES; i++) {
        unsigned is_read = 0;

        (void)tspk_dataset_class_name(dataset, tspk_dataset_label(dataset, i));
        for (unsigned k = 0; k < 2; k++) {
            tspk_error err;

            tspk_error_init(&err);
            if (tspk_dataset_read(dataset, i, dims[k], out, hash[k], &err) == TSPK_OK)
                is_read++;
            else if (!err.message[0] || !tspk_dataset_name(dataset, i))
                abort();
        }
        if (is_read == 2 && memcmp(hash[0], hash[1], sizeof hash[0]) != 0)
            abort();
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char *const names[] = {"input.npz", "input.tar", "images-idx3-ubyte", "input.zip"};
    tspk_dataset *dataset = NULL;
    tspk_dataset_settings settings;
    tspk_error err;
    fuzz_file file;

    if (!size || !fuzz_file_init(&file, names[data[0] % 4], data + 1, size - 1))
        return 0;
    tspk_dataset_default_settings(&settings);
    settings.preprocess.resize = 2;
    settings.preprocess.crop = 2;
    tspk_error_init(&err);
    if (tspk_dataset_open(file.path, &settings, &dataset, &err) == TSPK_OK)
        read_samples(dataset);
    else if (dataset || !err.message[0])
        abort();
    tspk_dataset_close(dataset);
    fuzz_file_done(&file);
    return 0;
}
