/* SPDX-License-Identifier: Apache-2.0 */
/* Bytes as a file, for what is opened by path. */
#ifndef TSPK_TESTS_FUZZ_FILE_H
#define TSPK_TESTS_FUZZ_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/** The engine's entry: one input. Answers 0. */
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

typedef struct fuzz_file {
    char folder[512]; /* made for this file alone, under TMPDIR or /tmp */
    char path[640];
} fuzz_file;

/** Writes `data` as a file of that name in a new folder. A failure is said on stderr. */
bool fuzz_file_init(fuzz_file *file, const char *name, const uint8_t *data, size_t size);

/** Removes the file and its folder. */
void fuzz_file_done(fuzz_file *file);

#endif
