/* SPDX-License-Identifier: Apache-2.0 */
/* Members that lie upon each other: a small file must not fill memory many times its size. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cmocka.h>

#include "spikefile/checksum.h"
#include "spikefile/container.h"
#include "tests/trust/zip_parts.h"

enum { N_MEMBERS = 20, SMALLEST = 100000, HEAD_BYTES = 128 };

static const uint8_t description[] = "any bytes";

/* Member i is all of member i + 1 with its header, and some bytes more. */
static void fill(zip_entry *entry, uint64_t *sizes, char names[][16])
{
    static uint8_t contents[N_MEMBERS][SMALLEST];
    uint32_t behind = 0;

    for (int i = N_MEMBERS - 1; i >= 0; i--) {
        zip_entry *const e = &entry[i];
        const uint32_t n = i == N_MEMBERS - 1 ? SMALLEST : 2 * HEAD_BYTES;
        tspk_shape shape = {.rank = 1};

        sizes[i] = n + behind - HEAD_BYTES;
        shape.dim[0] = (int64_t)sizes[i];
        assert_int_equal(tspk_npy_format(TSPK_NPY_U1, &shape, contents[i]), HEAD_BYTES);
        snprintf(names[i], sizeof names[i], "t%02d.npy", i);
        *e = (zip_entry){.name = names[i], .data = contents[i], .n = n, .n_shared = behind};
        behind += (uint32_t)(30 + strlen(e->name)) + n;
    }
}

static tspk_status take_all(const char *path, const zip_entry *entry, const uint64_t *sizes,
                            int *n_taken_out, tspk_error *err)
{
    tspk_arena *const arena = tspk_arena_new(0);
    uint8_t digest[TSPK_SHA256_BYTES] = {0};
    tspk_container *container;
    const uint8_t *bytes;
    size_t n_bytes;
    tspk_status status;

    assert_non_null(arena);
    assert_int_equal(tspk_container_open(path, &container, &bytes, &n_bytes, err), TSPK_OK);
    status = TSPK_OK;
    for (*n_taken_out = 0; *n_taken_out < N_MEMBERS; ++*n_taken_out) {
        Spike__Tensor tensor = SPIKE__TENSOR__INIT;
        uint64_t dim = sizes[*n_taken_out];
        const tspk_shape shape = {.rank = 1, .dim = {(int64_t)dim}};
        void *data;

        tensor.member = (char *)(uintptr_t)entry[*n_taken_out].name;
        tensor.n_shape = 1;
        tensor.shape = &dim;
        tensor.sha256.data = digest;
        tensor.sha256.len = sizeof digest;
        status =
            tspk_container_take(container, &tensor, "t", TSPK_NPY_U1, &shape, arena, &data, err);
        if (status != TSPK_OK)
            break;
    }
    tspk_container_close(container);
    tspk_arena_free(arena);
    return status;
}

/* The second of the members is refused: by its size, before anything is read. */
static void test_nested_members(void **state)
{
    const int descriptor = memfd_create("nested", MFD_CLOEXEC);
    char text[TSPK_CHECKSUM_TEXT_BYTES], names[N_MEMBERS][16], path[64];
    uint8_t digest[TSPK_SHA256_BYTES], *bytes;
    zip_entry entry[N_MEMBERS + 2] = {0};
    uint64_t sizes[N_MEMBERS];
    tspk_error err;
    size_t n;
    int taken;

    (void)state;
    assert_true(descriptor >= 0);
    tspk_checksum(description, sizeof description, NULL, 0, digest);
    tspk_checksum_text(digest, text);
    entry[0] = (zip_entry){.name = TSPK_DESCRIPTION_MEMBER, description, sizeof description};
    entry[1] = (zip_entry){.name = TSPK_CHECKSUM_MEMBER, (const uint8_t *)text, sizeof text};
    fill(entry + 2, sizes, names);
    zip_write(entry, N_MEMBERS + 2, &bytes, &n);
    assert_int_equal(write(descriptor, bytes, n), n);
    snprintf(path, sizeof path, "/proc/self/fd/%d", descriptor);
    tspk_error_init(&err);
    assert_int_equal(take_all(path, entry + 2, sizes, &taken, &err), TSPK_FORMAT);
    printf("%d taken, then %s: %s\n", taken, err.tensor, err.message);
    assert_true(taken <= 1);
    assert_non_null(strstr(err.message, "of others"));
    free(bytes);
    close(descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_nested_members)};

    return cmocka_run_group_tests(tests, NULL, NULL);
}
