/* SPDX-License-Identifier: Apache-2.0 */
/* Runs a target over files without an engine: `replay_TARGET FILE-OR-FOLDER…`. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "data/file_bytes.h"
#include "tests/fuzz/fuzz_file.h"

#define MOST_BYTES ((size_t)1 << 24)

static bool replay_file(const char *path)
{
    uint8_t *bytes = NULL, *exact;
    tspk_error err;
    size_t n = 0;

    tspk_error_init(&err);
    if (tspk_file_read(path, MOST_BYTES, &bytes, &n, &err) != TSPK_OK) {
        fprintf(stderr, "replay: %s\n", err.message);
        return false;
    }
    exact = malloc(n ? n : 1); /* so that a sanitizer sees a read behind the end */
    if (exact) {
        memcpy(exact, bytes, n);
        LLVMFuzzerTestOneInput(exact, n);
    }
    free(exact);
    free(bytes);
    return exact;
}

static bool replay_folder(const char *path, size_t *n_files)
{
    struct dirent **entries = NULL;
    const int n = scandir(path, &entries, NULL, alphasort);
    bool is_good = n >= 0;

    if (n < 0)
        perror(path);
    for (int i = 0; i < n; i++) {
        char *const file = tspk_path_join(path, entries[i]->d_name);

        if (file && entries[i]->d_name[0] != '.') {
            fprintf(stderr, "%s\n", file);
            is_good = replay_file(file) && is_good;
            ++*n_files;
        }
        free(file);
        free(entries[i]);
    }
    free(entries);
    return is_good;
}

int main(int argc, char **argv)
{
    bool is_good = argc > 1;
    size_t n_files = 0;

    for (int i = 1; i < argc; i++) {
        struct stat found;

        if (stat(argv[i], &found) == 0 && S_ISDIR(found.st_mode)) {
            is_good = replay_folder(argv[i], &n_files) && is_good;
        } else {
            is_good = replay_file(argv[i]) && is_good;
            n_files++;
        }
    }
    printf("%zu files\n", n_files);
    return is_good && n_files ? 0 : 1;
}
