/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/onnx_lean.h"

#include <string.h>

#include "convert/onnx_scan.h"
#include "core/fail.h"
#include "onnx_proto/onnx.pb-c.h"

#define RAW_DATA   9u /* field of TensorProto */
#define MIN_CUT    ((size_t)4096)
#define MARK_BYTES 16u
#define MARK_TAG                                                                                   \
    "\x93"                                                                                         \
    "TSPKraw"
#define LENGTH_WIRE 2

typedef struct frame {
    const ProtobufCMessageDescriptor *message;
    size_t end;                     /* in the file */
    size_t length_at, length_width; /* in the copy; width 0: the whole file */
} frame;

typedef struct writer {
    const uint8_t *bytes;
    size_t at;
    uint8_t *to; /* NULL: sizes are counted only */
    size_t n_to;
    tspk_onnx_cut *cut;
    size_t n_cuts, cut_bytes;
    frame stack[TSPK_ONNX_MAX_NESTING];
    uint32_t depth;
} writer;

/* The bytes were scanned: every varint is complete. */
static uint64_t read_varint(writer *w)
{
    uint64_t value = 0;
    unsigned shift = 0;

    do
        value |= shift < 64 ? (uint64_t)(w->bytes[w->at] & 0x7f) << shift : 0;
    while (shift += 7, w->bytes[w->at++] & 0x80);
    return value;
}

static void put(writer *w, const uint8_t *bytes, size_t n)
{
    if (w->to)
        memcpy(w->to + w->n_to, bytes, n);
    w->n_to += n;
}

/* A varint of exactly `width` bytes: leading zeros are written out. */
static void patch_length(uint8_t *to, size_t width, size_t length)
{
    for (size_t i = 0; i < width; i++, length >>= 7)
        to[i] = (uint8_t)((length & 0x7f) | (i + 1 < width ? 0x80 : 0));
}

static void put_mark(writer *w, size_t offset, size_t n)
{
    uint8_t mark[1 + MARK_BYTES] = {MARK_BYTES};
    const uint64_t index = w->n_cuts;

    memcpy(mark + 1, MARK_TAG, 8);
    memcpy(mark + 9, &index, 8);
    put(w, mark, sizeof mark);
    if (w->cut)
        w->cut[w->n_cuts] = (tspk_onnx_cut){offset, n};
    w->n_cuts++;
    w->cut_bytes += n;
}

static void copy_field(writer *w)
{
    const frame *const f = &w->stack[w->depth - 1];
    const size_t start = w->at;
    const uint64_t tag = read_varint(w);
    const size_t n_tag = w->at - start;
    const ProtobufCFieldDescriptor *const field =
        protobuf_c_message_descriptor_get_field(f->message, (unsigned)(tag >> 3));
    size_t length;

    if ((tag & 7) == 0)
        read_varint(w);
    else if ((tag & 7) != LENGTH_WIRE)
        w->at += (tag & 7) == 1 ? 8 : 4;
    if ((tag & 7) != LENGTH_WIRE) {
        put(w, w->bytes + start, w->at - start);
        return;
    }
    length = (size_t)read_varint(w);
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        const size_t width = w->at - start - n_tag, at = w->n_to + n_tag;

        put(w, w->bytes + start, w->at - start);
        w->stack[w->depth++] = (frame){field->descriptor, w->at + length, at, width};
        return;
    }
    if (f->message == &tspk__onnx__tensor_proto__descriptor && tag >> 3 == RAW_DATA &&
        length >= MIN_CUT) {
        put(w, w->bytes + start, n_tag);
        put_mark(w, w->at, length);
        w->at += length;
        return;
    }
    w->at += length;
    put(w, w->bytes + start, w->at - start);
}

static void copy_all(writer *w, size_t n_bytes)
{
    w->at = w->n_to = w->n_cuts = w->cut_bytes = 0;
    w->stack[0] = (frame){&tspk__onnx__model_proto__descriptor, n_bytes, 0, 0};
    w->depth = 1;
    while (w->depth > 0) {
        const frame *const f = &w->stack[w->depth - 1];

        if (w->at < f->end) {
            copy_field(w);
            continue;
        }
        if (w->to && f->length_width)
            patch_length(w->to + f->length_at, f->length_width,
                         w->n_to - f->length_at - f->length_width);
        w->depth--;
    }
}

tspk_status tspk_onnx_lean(const uint8_t *bytes, size_t n_bytes, tspk_arena *arena,
                           tspk_onnx_lean_file *lean_out, tspk_error *err)
{
    writer w = {.bytes = bytes};

    copy_all(&w, n_bytes);
    *lean_out = (tspk_onnx_lean_file){.file = bytes, .bytes = bytes, .n_bytes = n_bytes};
    if (w.n_cuts == 0)
        return TSPK_OK;
    lean_out->n_cuts = w.n_cuts;
    lean_out->n_bytes = w.n_to;
    lean_out->cut = w.cut = tspk_arena_array(arena, w.n_cuts, sizeof *w.cut);
    lean_out->bytes = w.to = tspk_arena_alloc(arena, w.n_to);
    if (!w.cut || !w.to)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for the model's %zu bytes beside its tensors",
                         w.n_to);
    copy_all(&w, n_bytes);
    return TSPK_OK;
}

void tspk_onnx_lean_raw(const tspk_onnx_lean_file *lean, const uint8_t *data, size_t n,
                        const uint8_t **bytes_out, size_t *n_out)
{
    uint64_t index;

    *bytes_out = data;
    *n_out = n;
    if (n != MARK_BYTES || memcmp(data, MARK_TAG, 8) != 0)
        return;
    memcpy(&index, data + 8, 8);
    if (index >= lean->n_cuts)
        return;
    *bytes_out = lean->file + lean->cut[index].offset;
    *n_out = lean->cut[index].n;
}
