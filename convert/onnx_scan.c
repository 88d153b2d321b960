/* SPDX-License-Identifier: Apache-2.0 */
#include "convert/onnx_scan.h"

#include <stdbool.h>
#include <string.h>

#include "core/fail.h"
#include "core/limits.h"
#include "onnx_proto/onnx.pb-c.h"

#define MAX_SINGULAR 64u /* fields of a message that the twice-check can tell apart */

typedef struct frame {
    const ProtobufCMessageDescriptor *message;
    size_t end;    /* first byte after it */
    uint64_t seen; /* singular fields met, by index in the descriptor */
    size_t n_dims; /* of a TensorProto or TensorShapeProto */
} frame;

typedef struct scanner {
    const uint8_t *bytes;
    size_t at;
    size_t n_messages;
    uint32_t depth;
    frame stack[TSPK_ONNX_MAX_NESTING];
} scanner;

static bool starts_with(const uint8_t *bytes, size_t n_bytes, const char *text)
{
    const size_t n = strlen(text);

    return n_bytes >= n && !memcmp(bytes, text, n);
}

/* What a file that is no protobuf most often is; NULL when nothing comes to mind. */
static const char *looks_like(const uint8_t *bytes, size_t n_bytes)
{
    static const struct {
        size_t at;
        const char *text, *what;
    } known[] = {
        {0, "<!DOCTYPE", "it looks like HTML (a failed download?)"},
        {0, "<!doctype", "it looks like HTML (a failed download?)"},
        {0, "<html", "it looks like HTML (a failed download?)"},
        {0, "<HTML", "it looks like HTML (a failed download?)"},
        {0, "<?xml", "it looks like XML (a failed download?)"},
        {0, "version https://git-lfs", "this is a git-lfs pointer; run git lfs pull"},
        {0, "PK\x03\x04",
         "it is a zip archive (a PyTorch checkpoint?); export it with "
         "torch.onnx.export first"},
        {4, "ORTM", "it is an ORT-format model; convert the .onnx that it was made from"},
        {0, "ir_version:", "text-form protobuf is not accepted; save the model in binary form"},
        {0, "\x1f\x8b", "it is gzip-compressed; unpack it first"},
        {0, "\x89HDF", "it is an HDF5 file; export the model to ONNX first"},
        {0, "\x80\x02",
         "it is a Python pickle (a PyTorch checkpoint?); export it with "
         "torch.onnx.export first"},
    };

    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++)
        if (n_bytes >= known[i].at &&
            starts_with(bytes + known[i].at, n_bytes - known[i].at, known[i].text))
            return known[i].what;
    return NULL;
}

/* UTF-8 without NUL; overlong forms and surrogates are let pass. */
static bool is_text(const uint8_t *bytes, size_t n)
{
    size_t i = 0;

    while (i < n) {
        const uint8_t c = bytes[i];
        const size_t more = c < 0x80 ? 0 : c >= 0xf0 ? 3 : c >= 0xe0 ? 2 : 1;

        if (c == 0 || (c >= 0x80 && c < 0xc2) || c > 0xf4 || n - i <= more)
            return false;
        for (size_t k = 1; k <= more; k++)
            if ((bytes[i + k] & 0xc0) != 0x80)
                return false;
        i += more + 1;
    }
    return true;
}

static tspk_status read_varint(scanner *s, size_t end, uint64_t *value_out, tspk_error *err)
{
    const size_t start = s->at;
    uint64_t value = 0;

    for (unsigned shift = 0; shift < 70; shift += 7) {
        uint8_t byte;

        if (s->at >= end)
            return TSPK_FAIL(err, TSPK_FORMAT,
                             "not a complete ONNX protobuf: a message ends at byte %zu inside a "
                             "field (truncated download?)",
                             end);
        byte = s->bytes[s->at++];
        if (shift < 64)
            value |= (uint64_t)(byte & 0x7f) << shift;
        if (!(byte & 0x80)) {
            *value_out = value;
            return TSPK_OK;
        }
    }
    return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX protobuf: over-long varint at byte %zu", start);
}

static int wire_type_of(const ProtobufCFieldDescriptor *field)
{
    switch (field->type) {
    case PROTOBUF_C_TYPE_FLOAT:
    case PROTOBUF_C_TYPE_FIXED32:
    case PROTOBUF_C_TYPE_SFIXED32:
        return 5;
    case PROTOBUF_C_TYPE_DOUBLE:
    case PROTOBUF_C_TYPE_FIXED64:
    case PROTOBUF_C_TYPE_SFIXED64:
        return 1;
    case PROTOBUF_C_TYPE_STRING:
    case PROTOBUF_C_TYPE_BYTES:
    case PROTOBUF_C_TYPE_MESSAGE:
        return 2;
    default:
        return 0;
    }
}

static tspk_status check_text(const ProtobufCFieldDescriptor *field, const uint8_t *bytes, size_t n,
                              size_t at, tspk_error *err)
{
    if (n > TSPK_MAX_NAME_BYTES)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "field %s at byte %zu has %zu bytes, at most %u are allowed", field->name,
                         at, n, TSPK_MAX_NAME_BYTES);
    if (!is_text(bytes, n))
        return TSPK_FAIL(err, TSPK_FORMAT, "field %s at byte %zu is not UTF-8 text", field->name,
                         at);
    return TSPK_OK;
}

/* Shapes are short; a list of a million dimensions is refused before it is parsed. */
static tspk_status count_dims(frame *f, const ProtobufCFieldDescriptor *field, size_t n, size_t at,
                              tspk_error *err)
{
    const bool is_shape = (f->message == &tspk__onnx__tensor_proto__descriptor && field->id == 1) ||
                          f->message == &tspk__onnx__tensor_shape_proto__descriptor;

    if (!is_shape)
        return TSPK_OK;
    f->n_dims += n;
    if (f->n_dims > TSPK_ONNX_MAX_DIMS)
        return TSPK_FAIL(err, TSPK_LIMIT,
                         "a tensor at byte %zu has rank %zu or more, at most %d is "
                         "supported",
                         at, f->n_dims, TSPK_MAX_RANK);
    return TSPK_OK;
}

static tspk_status check_field(scanner *s, frame *f, const ProtobufCFieldDescriptor *field,
                               int wire, size_t at, tspk_error *err)
{
    const size_t index = (size_t)(field - f->message->fields);
    const bool is_packed = wire == 2 && field->label == PROTOBUF_C_LABEL_REPEATED;

    (void)s;
    if (wire != wire_type_of(field) && !is_packed)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "not an ONNX protobuf: field %u (%s) at byte %zu has wire type %d",
                         field->id, field->name, at, wire);
    if (field->label == PROTOBUF_C_LABEL_REPEATED || index >= MAX_SINGULAR)
        return TSPK_OK;
    if (f->seen & (UINT64_C(1) << index))
        return TSPK_FAIL(err, TSPK_FORMAT, "field %u (%s) of %s stands twice, again at byte %zu",
                         field->id, field->name, f->message->short_name, at);
    f->seen |= UINT64_C(1) << index;
    return TSPK_OK;
}

static tspk_status enter(scanner *s, const ProtobufCMessageDescriptor *message, size_t end,
                         tspk_error *err)
{
    if (s->depth == TSPK_ONNX_MAX_NESTING)
        return TSPK_FAIL(err, TSPK_LIMIT, "messages are nested deeper than %u at byte %zu",
                         TSPK_ONNX_MAX_NESTING, s->at);
    if (++s->n_messages > TSPK_ONNX_MAX_MESSAGES)
        return TSPK_FAIL(err, TSPK_LIMIT, "more than %u messages", TSPK_ONNX_MAX_MESSAGES);
    s->stack[s->depth++] = (frame){.message = message, .end = end};
    return TSPK_OK;
}

static tspk_status scan_payload(scanner *s, frame *f, const ProtobufCFieldDescriptor *field,
                                uint32_t id, size_t at, tspk_error *err)
{
    uint64_t length = 0;

    TSPK_TRY(read_varint(s, f->end, &length, err));
    if (length > f->end - s->at) {
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "not a complete ONNX protobuf: field %u%s at byte %zu has %llu bytes, its "
                         "%s has %zu left (truncated download?)",
                         id, s->depth == 1 && id == 7 ? " (graph)" : "", at,
                         (unsigned long long)length, s->depth == 1 ? "file" : "message",
                         f->end - s->at);
    }
    if (field && field->type == PROTOBUF_C_TYPE_STRING)
        TSPK_TRY(check_text(field, s->bytes + s->at, (size_t)length, at, err));
    if (field && field->type == PROTOBUF_C_TYPE_INT64)
        TSPK_TRY(count_dims(f, field, (size_t)length, at, err));
    if (field && field->type == PROTOBUF_C_TYPE_MESSAGE) {
        TSPK_TRY(count_dims(f, field, 1, at, err));
        return enter(s, field->descriptor, s->at + (size_t)length, err);
    }
    s->at += (size_t)length;
    return TSPK_OK;
}

/* What follows a complete graph and is no field is most often foreign. */
static const char *after_graph(const scanner *s)
{
    const ProtobufCFieldDescriptor *const graph =
        protobuf_c_message_descriptor_get_field(s->stack[0].message, 7);
    const bool has_graph =
        s->stack[0].seen & (UINT64_C(1) << (graph - s->stack[0].message->fields));

    return s->depth == 1 && has_graph ? " (bytes that do not belong to the model?)" : "";
}

static tspk_status scan_field(scanner *s, frame *f, tspk_error *err)
{
    const size_t at = s->at;
    const ProtobufCFieldDescriptor *field;
    uint64_t tag = 0, value;
    int wire;

    TSPK_TRY(read_varint(s, f->end, &tag, err));
    wire = (int)(tag & 7);
    if (tag >> 3 == 0 || tag >> 3 > (1u << 29) - 1)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX protobuf: field number %llu at byte %zu%s",
                         (unsigned long long)(tag >> 3), at, after_graph(s));
    field = protobuf_c_message_descriptor_get_field(f->message, (unsigned)(tag >> 3));
    if (field)
        TSPK_TRY(check_field(s, f, field, wire, at, err));
    switch (wire) {
    case 0:
        TSPK_TRY(read_varint(s, f->end, &value, err));
        return field ? count_dims(f, field, 1, at, err) : TSPK_OK;
    case 1:
    case 5: {
        const size_t n = wire == 1 ? 8 : 4;

        if (f->end - s->at < n)
            return TSPK_FAIL(err, TSPK_FORMAT,
                             "not a complete ONNX protobuf: a message ends at byte %zu inside a "
                             "field (truncated download?)",
                             f->end);
        s->at += n;
        return TSPK_OK;
    }
    case 2:
        return scan_payload(s, f, field, (uint32_t)(tag >> 3), at, err);
    default:
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX protobuf: wire type %d at byte %zu %s%s",
                         wire, at, wire > 5 ? "does not exist" : "(group) is not used by ONNX",
                         after_graph(s));
    }
}

tspk_status tspk_onnx_scan(const uint8_t *bytes, size_t n_bytes, tspk_error *err)
{
    scanner s = {.bytes = bytes};
    const char *what;

    if (n_bytes == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX model: the file is empty");
    what = looks_like(bytes, n_bytes);
    if (what)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an ONNX model: %s", what);
    TSPK_TRY(enter(&s, &tspk__onnx__model_proto__descriptor, n_bytes, err));
    while (s.depth > 0) {
        frame *const f = &s.stack[s.depth - 1];

        if (s.at == f->end)
            s.depth--;
        else
            TSPK_TRY(scan_field(&s, f, err));
    }
    return TSPK_OK;
}
