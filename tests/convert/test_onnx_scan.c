/* SPDX-License-Identifier: Apache-2.0 */
/* Wire bytes made by hand: what the scan lets through and what it refuses before anything is
 * parsed. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "convert/onnx_scan.h"

typedef struct buffer {
    uint8_t bytes[8192];
    size_t n;
} buffer;

static void put(buffer *b, const void *bytes, size_t n)
{
    assert_true(b->n + n <= sizeof b->bytes);
    if (n)
        memcpy(b->bytes + b->n, bytes, n);
    b->n += n;
}

static void put_varint(buffer *b, uint64_t value)
{
    do {
        const uint8_t byte = (uint8_t)((value & 0x7f) | (value > 0x7f ? 0x80 : 0));

        put(b, &byte, 1);
        value >>= 7;
    } while (value);
}

static void put_number(buffer *b, uint32_t field, uint64_t value)
{
    put_varint(b, (uint64_t)field << 3);
    put_varint(b, value);
}

static void put_bytes(buffer *b, uint32_t field, const void *bytes, size_t n)
{
    put_varint(b, (uint64_t)field << 3 | 2);
    put_varint(b, n);
    put(b, bytes, n);
}

static tspk_status scan(const buffer *b, const char *says)
{
    tspk_error err = {0};
    const tspk_status status = tspk_onnx_scan(b->bytes, b->n, &err);

    if (says && !strstr(err.message, says))
        fail_msg("message \"%s\" lacks \"%s\"", err.message, says);
    return status;
}

static void a_model_passes(void **state)
{
    buffer node = {.n = 0}, graph = {.n = 0}, model = {.n = 0};

    (void)state;
    put_bytes(&node, 1, "x", 1);
    put_bytes(&node, 2, "y", 1);
    put_bytes(&node, 4, "Relu", 4);
    put_bytes(&node, 6, "a doc string is unknown here", 28);
    put_bytes(&graph, 1, node.bytes, node.n);
    put_number(&model, 1, 8);
    put_bytes(&model, 7, graph.bytes, graph.n);
    put_bytes(&model, 14, "\xff\xff metadata are not looked into", 31);
    assert_int_equal(scan(&model, NULL), TSPK_OK);
}

static void nothing_is_no_model(void **state)
{
    buffer b = {.n = 0};

    (void)state;
    assert_int_equal(scan(&b, "empty"), TSPK_FORMAT);
}

/* Every cut of a good model is refused, or ends between two fields. */
static void cuts_are_found(void **state)
{
    buffer node = {.n = 0}, graph = {.n = 0}, model = {.n = 0};

    (void)state;
    put_bytes(&node, 4, "Relu", 4);
    put_bytes(&graph, 1, node.bytes, node.n);
    put_bytes(&model, 7, graph.bytes, graph.n);
    for (size_t n = 1; n < model.n; n++) {
        buffer cut = model;

        cut.n = n;
        assert_int_equal(scan(&cut, "truncated"), TSPK_FORMAT);
    }
}

/* AttributeProto.g (6) holds a graph, whose node (1) holds an attribute (5), and so on. */
static void nesting_is_bounded(void **state)
{
    buffer inner = {.n = 0};

    (void)state;
    for (int i = 0; i < 60; i++) {
        buffer attribute = {.n = 0}, node = {.n = 0}, graph = {.n = 0};

        put_bytes(&attribute, 6, inner.bytes, inner.n);
        put_bytes(&node, 5, attribute.bytes, attribute.n);
        put_bytes(&graph, 1, node.bytes, node.n);
        inner = graph;
    }
    {
        buffer model = {.n = 0};

        put_bytes(&model, 7, inner.bytes, inner.n);
        assert_int_equal(scan(&model, "nested deeper"), TSPK_LIMIT);
    }
}

static void wrong_wire_is_named(void **state)
{
    buffer b = {.n = 0};

    (void)state;
    put_number(&b, 7, 1);
    assert_int_equal(scan(&b, "field 7 (graph) at byte 0 has wire type 0"), TSPK_FORMAT);
}

static void doubled_graph_is_refused(void **state)
{
    buffer b = {.n = 0};

    (void)state;
    put_bytes(&b, 7, "", 0);
    put_bytes(&b, 7, "", 0);
    assert_int_equal(scan(&b, "stands twice"), TSPK_FORMAT);
}

static void long_varint_is_refused(void **state)
{
    static const uint8_t bytes[] = {0x08, 0x80, 0x80, 0x80, 0x80, 0x80,
                                    0x80, 0x80, 0x80, 0x80, 0x80, 0x01};
    buffer b = {.n = 0};

    (void)state;
    put(&b, bytes, sizeof bytes);
    assert_int_equal(scan(&b, "over-long varint at byte 1"), TSPK_FORMAT);
}

static void names_are_text(void **state)
{
    buffer bad = {.n = 0}, nul = {.n = 0}, longer = {.n = 0};
    char text[5000];

    (void)state;
    memset(text, 'a', sizeof text);
    put_bytes(&bad, 2, "\xc3\x28", 2);
    put_bytes(&nul, 2, "a\0b", 3);
    put_bytes(&longer, 2, text, sizeof text);
    assert_int_equal(scan(&bad, "not UTF-8"), TSPK_FORMAT);
    assert_int_equal(scan(&nul, "not UTF-8"), TSPK_FORMAT);
    assert_int_equal(scan(&longer, "5000 bytes"), TSPK_LIMIT);
}

static void shapes_are_short(void **state)
{
    buffer tensor = {.n = 0}, graph = {.n = 0}, model = {.n = 0};

    (void)state;
    for (int i = 0; i < 100; i++)
        put_number(&tensor, 1, 1);
    put_bytes(&graph, 5, tensor.bytes, tensor.n);
    put_bytes(&model, 7, graph.bytes, graph.n);
    assert_int_equal(scan(&model, "rank"), TSPK_LIMIT);
}

static void other_files_are_recognised(void **state)
{
    static const struct {
        const char *bytes, *says;
    } files[] = {{"<!DOCTYPE html><html>", "HTML"},
                 {"version https://git-lfs.github.com/spec/v1\n", "git lfs pull"},
                 {"PK\x03\x04 zip", "zip archive"},
                 {"ir_version: 8\n", "text-form"}};

    (void)state;
    for (size_t i = 0; i < sizeof files / sizeof files[0]; i++) {
        buffer b = {.n = 0};

        put(&b, files[i].bytes, strlen(files[i].bytes));
        assert_int_equal(scan(&b, files[i].says), TSPK_FORMAT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_model_passes),         cmocka_unit_test(nothing_is_no_model),
        cmocka_unit_test(cuts_are_found),         cmocka_unit_test(nesting_is_bounded),
        cmocka_unit_test(wrong_wire_is_named),    cmocka_unit_test(doubled_graph_is_refused),
        cmocka_unit_test(long_varint_is_refused), cmocka_unit_test(names_are_text),
        cmocka_unit_test(shapes_are_short),       cmocka_unit_test(other_files_are_recognised),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
