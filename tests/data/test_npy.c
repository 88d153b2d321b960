/* SPDX-License-Identifier: Apache-2.0 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/compiler.h"
#include "data/npy.h"

/* A version 1.0 member with this header text. */
static size_t make(uint8_t *buf, const char *text)
{
    const size_t n = strlen(text);

    memcpy(buf, "\x93NUMPY\1\0", 8);
    buf[8] = (uint8_t)(n & 0xff);
    buf[9] = (uint8_t)(n >> 8);
    memcpy(buf + 10, text, n);
    return n + 10;
}

static void format_and_parse_agree(void **state)
{
    (void)state;
    for (int type = TSPK_NPY_F4; type <= TSPK_NPY_B1; type++) {
        for (uint8_t rank = 0; rank <= TSPK_MAX_RANK; rank++) {
            tspk_shape shape = {.rank = rank};
            tspk_npy_header header;
            uint8_t buf[TSPK_NPY_HEADER_MAX];
            size_t n;

            for (uint8_t i = 0; i < rank; i++)
                shape.dim[i] = 2 + i % 2;
            n = tspk_npy_format((tspk_npy_type)type, &shape, buf);
            assert_int_equal(n % 64, 0);
            assert_int_equal(tspk_npy_parse(buf, n, &header, NULL), TSPK_OK);
            assert_int_equal(header.type, type);
            assert_true(tspk_shape_equal(&header.shape, &shape));
            assert_int_equal(header.data_offset, n);
            assert_int_equal(header.data_bytes,
                             tspk_shape_elems(&shape) * tspk_npy_type_bytes((tspk_npy_type)type));
            for (size_t cut = 0; cut < n; cut++)
                assert_int_equal(tspk_npy_parse(buf, cut, &header, NULL), TSPK_FORMAT);
        }
    }
}

static void largest_header_fits(void **state)
{
    tspk_shape shape = {.rank = 8};
    uint8_t buf[TSPK_NPY_HEADER_MAX];

    (void)state;
    for (int i = 0; i < 8; i++)
        shape.dim[i] = INT64_MIN;
    assert_true(tspk_npy_format(TSPK_NPY_F8, &shape, buf) <= TSPK_NPY_HEADER_MAX);
}

static void hostile_headers_are_refused(void **state)
{
    static const struct {
        tspk_status status;
        const char *text;
    } cases[] = {
        {TSPK_OK, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }\n"},
        {TSPK_OK, "{\"shape\":(2L,),\"descr\":\"|u1\",\"fortran_order\":True}"},
        {TSPK_OK, "{'descr': '=f4', 'fortran_order': False, 'shape': ()}"},
        {TSPK_FORMAT, ""},
        {TSPK_FORMAT, "{"},
        {TSPK_FORMAT, "{}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2 3)}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (-2,)}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': [2]}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False, 'shape': (2,)} x"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': 0, 'shape': (2,)}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'fortran_order': False}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'descr': '<f4', 'fortran_order': False, 'shape': ()}"},
        {TSPK_FORMAT, "{'descr': '<f4', 'extra': False, 'shape': ()}"},
        {TSPK_FORMAT, "{'descr': '<f4"},
        {TSPK_FORMAT, "{'descr': 'f', 'fortran_order': False, 'shape': ()}"},
        {TSPK_UNSUPPORTED, "{'descr': '>f4', 'fortran_order': False, 'shape': (2,)}"},
        {TSPK_UNSUPPORTED, "{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}"},
        {TSPK_UNSUPPORTED, "{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': ()}"},
        {TSPK_UNSUPPORTED, "{'descr': '|O', 'fortran_order': False, 'shape': ()}"},
        {TSPK_UNSUPPORTED, "{'descr': '<c8', 'fortran_order': False, 'shape': ()}"},
        {TSPK_UNSUPPORTED, "{'descr': '<U99999999', 'fortran_order': False, 'shape': ()}"},
        {TSPK_LIMIT, "{'descr': '<f4', 'fortran_order': False, 'shape': (4294967296, 0)}"},
        {TSPK_LIMIT, "{'descr': '<f4', 'fortran_order': False, 'shape': (65536, 65536)}"},
        {TSPK_LIMIT, "{'descr': '<f4', 'fortran_order': False, "
                     "'shape': (99999999999999999999999999999,)}"},
        {TSPK_LIMIT, "{'descr': '<f4', 'fortran_order': False, 'shape': (1,1,1,1,1,1,1,1,1)}"},
    };

    (void)state;
    for (size_t i = 0; i < TSPK_COUNT_OF(cases); i++) {
        tspk_npy_header header;
        tspk_error err = {0};
        uint8_t buf[512];
        const size_t n = make(buf, cases[i].text);
        const tspk_status status = tspk_npy_parse(buf, n, &header, &err);

        if (status != cases[i].status)
            print_message("case %zu: %s: %s\n", i, cases[i].text, err.message);
        assert_int_equal(status, cases[i].status);
    }
}

static void versions_and_lengths_are_checked(void **state)
{
    uint8_t buf[64] = "\x93NUMPY\4\0";
    tspk_npy_header header;

    (void)state;
    assert_int_equal(tspk_npy_parse(buf, sizeof buf, &header, NULL), TSPK_UNSUPPORTED);
    buf[6] = 2;
    memset(buf + 8, 0xff, 4);
    assert_int_equal(tspk_npy_parse(buf, sizeof buf, &header, NULL), TSPK_LIMIT);
    buf[6] = 0;
    assert_int_equal(tspk_npy_parse(buf, sizeof buf, &header, NULL), TSPK_UNSUPPORTED);
    assert_int_equal(tspk_npy_parse((const uint8_t *)"PK\3\4......", 10, &header, NULL),
                     TSPK_FORMAT);
}

static void files_round_trip_with_conversion(void **state)
{
    static const float values[6] = {0.0f, 1.0f, -2.5f, 3e9f, 0x1p-149f, 7.0f};
    const tspk_shape shape = {.rank = 2, .dim = {2, 3}};
    char path[] = "/tmp/tspk_npy_XXXXXX";
    const int descriptor = mkstemp(path);
    tspk_npy_type stored = TSPK_NPY_B1;
    tspk_error err = {0};
    tspk_shape found;
    void *data = NULL;

    (void)state;
    assert_true(descriptor >= 0);
    close(descriptor);
    assert_int_equal(tspk_npy_write_file(path, TSPK_NPY_F4, &shape, values, &err), TSPK_OK);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_F4, &found, &data, &stored, &err), TSPK_OK);
    assert_true(tspk_shape_equal(&found, &shape));
    assert_int_equal(stored, TSPK_NPY_F4);
    assert_memory_equal(data, values, sizeof values);
    free(data);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_I8, &found, &data, NULL, &err), TSPK_OK);
    assert_int_equal(((int64_t *)data)[2], -2);
    assert_int_equal(((int64_t *)data)[3], 3000000000);
    free(data);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_B1, &found, &data, NULL, &err), TSPK_OK);
    assert_memory_equal(data, "\0\1\1\1\1\1", 6);
    free(data);
    data = NULL;
    assert_int_equal(truncate(path, 128 + 23), 0);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_F4, &found, &data, NULL, &err), TSPK_FORMAT);
    assert_non_null(strstr(err.message, path));
    assert_non_null(strstr(err.message, "23 of 24"));
    assert_int_equal(truncate(path, 128 + 25), 0);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_F4, &found, &data, NULL, &err), TSPK_FORMAT);
    assert_null(data);
    unlink(path);
    assert_int_equal(tspk_npy_read_file(path, TSPK_NPY_F4, &found, &data, NULL, &err), TSPK_IO);
    assert_int_equal(tspk_npy_read_file("/", TSPK_NPY_F4, &found, &data, NULL, &err), TSPK_IO);
}

static void conversions_hold_at_the_edges(void **state)
{
    static const uint16_t halves[] = {0x0000, 0x8000, 0x3c00, 0x0001,
                                      0x03ff, 0x0400, 0x7bff, 0xfc00};
    static const float expected[] = {0.0f,         -0.0f,    1.0f,     0x1p-24f,
                                     0x1.ff8p-15f, 0x1p-14f, 65504.0f, -1.0f / 0.0f};
    static const double outside[] = {0x1p63, -0x1.0000000000001p63, 0.0 / 0.0, 1.0 / 0.0};
    const uint64_t huge = UINT64_MAX;
    float floats[8];
    int64_t number;

    (void)state;
    assert_int_equal(tspk_npy_convert(TSPK_NPY_F2, halves, 8, TSPK_NPY_F4, floats, NULL), TSPK_OK);
    assert_memory_equal(floats, expected, sizeof expected);
    for (size_t i = 0; i < TSPK_COUNT_OF(outside); i++)
        assert_int_equal(tspk_npy_convert(TSPK_NPY_F8, &outside[i], 1, TSPK_NPY_I8, &number, NULL),
                         TSPK_RANGE);
    assert_int_equal(tspk_npy_convert(TSPK_NPY_U8, &huge, 1, TSPK_NPY_I8, &number, NULL),
                     TSPK_RANGE);
    assert_int_equal(tspk_npy_convert(TSPK_NPY_U8, &huge, 1, TSPK_NPY_F4, floats, NULL), TSPK_OK);
    assert_true(floats[0] == 0x1p64f);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(format_and_parse_agree),
        cmocka_unit_test(largest_header_fits),
        cmocka_unit_test(hostile_headers_are_refused),
        cmocka_unit_test(versions_and_lengths_are_checked),
        cmocka_unit_test(files_round_trip_with_conversion),
        cmocka_unit_test(conversions_hold_at_the_edges),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
