/* SPDX-License-Identifier: Apache-2.0 */
/* What the Python checks of this folder drive: `data_tool npz OUT` writes arrays of every type. */
#include <stdio.h>
#include <string.h>

#include "core/compiler.h"
#include "data/npy.h"

static int report(tspk_status status, const tspk_error *err)
{
    char line[1024];

    if (status == TSPK_OK)
        return 0;
    tspk_error_format(err, line, sizeof line);
    fprintf(stderr, "data_tool: %s\n", line);
    return (int)status;
}

/* One member a type: the bytes 1, 2, 3 … read as [2, 3] elements; and shapes of rank 0, 1, 8. */
static int write_npz(const char *path)
{
    static const char *const names[] = {"f4", "f8", "f2", "i1", "u1", "i2",
                                        "u2", "i4", "u4", "i8", "u8", "b1"};
    static const tspk_shape shapes[] = {
        {.rank = 0}, {.rank = 1, .dim = {6}}, {.rank = 2, .dim = {2, 0}},
        {.rank = 8, .dim = {1, 1, 1, 2, 1, 1, 1, 3}}};
    const tspk_shape shape = {.rank = 2, .dim = {2, 3}};
    uint8_t bytes[48];
    tspk_npz_writer *writer = NULL;
    tspk_error err = {0};
    tspk_status status = tspk_npz_writer_open(path, &writer, &err);

    for (size_t i = 0; i < sizeof bytes; i++)
        bytes[i] = (uint8_t)(i + 1);
    for (size_t i = 0; status == TSPK_OK && i < TSPK_COUNT_OF(names); i++) {
        char name[32];

        snprintf(name, sizeof name, "blocks.0/%s", names[i]);
        status = tspk_npz_writer_add(writer, name, (tspk_npy_type)i, &shape,
                                     i == TSPK_NPY_B1 ? (const void *)"\1\0\1\0\0\1" : bytes, &err);
    }
    for (size_t i = 0; status == TSPK_OK && i < TSPK_COUNT_OF(shapes); i++) {
        char name[32];

        snprintf(name, sizeof name, "shape%zu", i);
        status = tspk_npz_writer_add(writer, name, TSPK_NPY_U1, &shapes[i], bytes, &err);
    }
    if (status == TSPK_OK)
        status = tspk_npz_writer_close(writer, true, &err);
    else
        tspk_npz_writer_close(writer, false, NULL);
    return report(status, &err);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "npz") == 0)
        return write_npz(argv[2]);
    fprintf(stderr, "usage: data_tool npz OUT.npz\n");
    return 2;
}
