/* SPDX-License-Identifier: Apache-2.0 */
/* TensorProto to constant: every storage form and width that a file may use. */
#include <math.h>
#include <string.h>

#include "convert/onnx_importer.h"
#include "core/checked.h"
#include "core/fail.h"

/* X(type, name, bytes an element, computed in; 0 = not at all) */
#define TYPES(X)                                                                                   \
    X(1, "FLOAT", 4, TSPK_DTYPE_F32)                                                               \
    X(2, "UINT8", 1, TSPK_DTYPE_I64)                                                               \
    X(3, "INT8", 1, TSPK_DTYPE_I64)                                                                \
    X(4, "UINT16", 2, TSPK_DTYPE_I64)                                                              \
    X(5, "INT16", 2, TSPK_DTYPE_I64)                                                               \
    X(6, "INT32", 4, TSPK_DTYPE_I64)                                                               \
    X(7, "INT64", 8, TSPK_DTYPE_I64)                                                               \
    X(8, "STRING", 0, 0)                                                                           \
    X(9, "BOOL", 1, TSPK_DTYPE_BOOL)                                                               \
    X(10, "FLOAT16", 2, TSPK_DTYPE_F32)                                                            \
    X(11, "DOUBLE", 8, TSPK_DTYPE_F32)                                                             \
    X(12, "UINT32", 4, TSPK_DTYPE_I64)                                                             \
    X(13, "UINT64", 8, TSPK_DTYPE_I64)                                                             \
    X(14, "COMPLEX64", 8, 0)                                                                       \
    X(15, "COMPLEX128", 16, 0)                                                                     \
    X(16, "BFLOAT16", 2, TSPK_DTYPE_F32)                                                           \
    X(17, "FLOAT8E4M3FN", 1, 0)                                                                    \
    X(18, "FLOAT8E4M3FNUZ", 1, 0)                                                                  \
    X(19, "FLOAT8E5M2", 1, 0)                                                                      \
    X(20, "FLOAT8E5M2FNUZ", 1, 0)                                                                  \
    X(21, "UINT4", 1, 0)                                                                           \
    X(22, "INT4", 1, 0)                                                                            \
    X(23, "FLOAT4E2M1", 1, 0)

static const struct type_info {
    const char *name;
    uint8_t n_bytes;
    uint8_t dtype;
} types[] = {
#define X(type, name, n_bytes, dtype) [type] = {name, n_bytes, dtype},
    TYPES(X)
#undef X
};

bool tspk_onnx_dtype(int64_t onnx_type, tspk_dtype *dtype_out)
{
    if (onnx_type < 1 || onnx_type >= (int64_t)TSPK_COUNT_OF(types) || !types[onnx_type].dtype)
        return false;
    *dtype_out = (tspk_dtype)types[onnx_type].dtype;
    return true;
}

const char *tspk_onnx_type_name(int64_t onnx_type)
{
    if (onnx_type < 1 || onnx_type >= (int64_t)TSPK_COUNT_OF(types))
        return "UNDEFINED";
    return types[onnx_type].name;
}

static uint16_t load_u16(const uint8_t *p)
{
    return (uint16_t)(p[0] | p[1] << 8);
}

static uint32_t load_u32(const uint8_t *p)
{
    return (uint32_t)load_u16(p) | (uint32_t)load_u16(p + 2) << 16;
}

static uint64_t load_u64(const uint8_t *p)
{
    return (uint64_t)load_u32(p) | (uint64_t)load_u32(p + 4) << 32;
}

static float float_of_bits(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

/* IEEE 754 binary16; subnormals and infinities included. */
static float float_of_half(uint16_t half)
{
    const uint32_t sign = (uint32_t)(half & 0x8000) << 16;
    const uint32_t exponent = half >> 10 & 31, mantissa = half & 1023;

    if (exponent == 0) {
        const float value = (float)mantissa * 0x1p-24f;

        return sign ? -value : value;
    }
    if (exponent == 31)
        return float_of_bits(sign | 0x7f800000u | mantissa << 13);
    return float_of_bits(sign | (exponent + 112) << 23 | mantissa << 13);
}

static double double_of_bits(uint64_t bits)
{
    double value;

    memcpy(&value, &bits, sizeof value);
    return value;
}

static void convert_raw_floats(int type, const uint8_t *raw, float *out, size_t n)
{
    const uint16_t one = 1;

    if (type == ONNX_FLOAT && *(const uint8_t *)&one) { /* the file's order is this machine's */
        if (n)
            memcpy(out, raw, n * sizeof *out);
        return;
    }
    for (size_t i = 0; i < n; i++)
        switch (type) {
        case ONNX_FLOAT:
            out[i] = float_of_bits(load_u32(raw + 4 * i));
            break;
        case ONNX_FLOAT16:
            out[i] = float_of_half(load_u16(raw + 2 * i));
            break;
        case ONNX_BFLOAT16:
            out[i] = float_of_bits((uint32_t)load_u16(raw + 2 * i) << 16);
            break;
        default:
            out[i] = (float)double_of_bits(load_u64(raw + 8 * i));
            break;
        }
}

static tspk_status convert_raw_integers(int type, const uint8_t *raw, int64_t *out, size_t n,
                                        tspk_error *err)
{
    for (size_t i = 0; i < n; i++)
        switch (type) {
        case ONNX_UINT8:
            out[i] = raw[i];
            break;
        case ONNX_INT8:
            out[i] = (int8_t)raw[i];
            break;
        case ONNX_UINT16:
            out[i] = load_u16(raw + 2 * i);
            break;
        case ONNX_INT16:
            out[i] = (int16_t)load_u16(raw + 2 * i);
            break;
        case ONNX_UINT32:
            out[i] = load_u32(raw + 4 * i);
            break;
        case ONNX_INT32:
            out[i] = (int32_t)load_u32(raw + 4 * i);
            break;
        default:
            out[i] = (int64_t)load_u64(raw + 8 * i);
            if (type == ONNX_UINT64 && out[i] < 0)
                return TSPK_FAIL(err, TSPK_RANGE, "element %zu (UINT64) is above 2^63 - 1", i);
            break;
        }
    return TSPK_OK;
}

static tspk_status convert_raw(int type, const uint8_t *raw, tspk_tensor *to, size_t n,
                               tspk_error *err)
{
    switch (to->dtype) {
    case TSPK_DTYPE_F32:
        convert_raw_floats(type, raw, to->data, n);
        return TSPK_OK;
    case TSPK_DTYPE_I64:
        return convert_raw_integers(type, raw, to->data, n, err);
    case TSPK_DTYPE_BOOL:
        for (size_t i = 0; i < n; i++)
            ((uint8_t *)to->data)[i] = raw[i] != 0;
        return TSPK_OK;
    }
    return TSPK_OK;
}

/* The typed field that a data type is stored in, its length and name. */
static size_t typed_length(const onnx_tensor *proto, const char **field_out)
{
    switch (proto->data_type) {
    case ONNX_FLOAT:
        *field_out = "float_data";
        return proto->n_float_data;
    case ONNX_DOUBLE:
        *field_out = "double_data";
        return proto->n_double_data;
    case ONNX_INT64:
        *field_out = "int64_data";
        return proto->n_int64_data;
    case ONNX_UINT32:
    case ONNX_UINT64:
        *field_out = "uint64_data";
        return proto->n_uint64_data;
    default:
        *field_out = "int32_data";
        return proto->n_int32_data;
    }
}

static tspk_status convert_typed(const onnx_tensor *proto, tspk_tensor *to, size_t n,
                                 tspk_error *err)
{
    float *const f = to->data;
    int64_t *const k = to->data;
    uint8_t *const b = to->data;

    for (size_t i = 0; i < n; i++)
        switch (proto->data_type) {
        case ONNX_FLOAT:
            f[i] = proto->float_data[i];
            break;
        case ONNX_DOUBLE:
            f[i] = (float)proto->double_data[i];
            break;
        case ONNX_FLOAT16:
            f[i] = float_of_half((uint16_t)proto->int32_data[i]);
            break;
        case ONNX_BFLOAT16:
            f[i] = float_of_bits((uint32_t)(uint16_t)proto->int32_data[i] << 16);
            break;
        case ONNX_BOOL:
            b[i] = proto->int32_data[i] != 0;
            break;
        case ONNX_INT64:
            k[i] = proto->int64_data[i];
            break;
        case ONNX_UINT32:
        case ONNX_UINT64:
            if (proto->uint64_data[i] > INT64_MAX)
                return TSPK_FAIL(err, TSPK_RANGE, "element %zu (UINT64) is above 2^63 - 1", i);
            k[i] = (int64_t)proto->uint64_data[i];
            break;
        default:
            k[i] = proto->int32_data[i];
            break;
        }
    return TSPK_OK;
}

static tspk_status parse_number(const ProtobufCBinaryData *text, const char *key, size_t *value_out,
                                tspk_error *err)
{
    size_t value = 0;

    if (text->len == 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "external %s is empty", key);
    for (size_t i = 0; i < text->len; i++) {
        const uint8_t c = text->data[i];

        if (c < '0' || c > '9')
            return TSPK_FAIL(err, TSPK_FORMAT, "external %s \"%.*s\" is not a decimal number", key,
                             text->len > 40 ? 40 : (int)text->len, (const char *)text->data);
        if (!tspk_checked_mul(value, 10, &value) || !tspk_checked_add(value, c - '0', &value))
            return TSPK_FAIL(err, TSPK_FORMAT, "external %s \"%.*s\" is too large", key,
                             text->len > 40 ? 40 : (int)text->len, (const char *)text->data);
    }
    *value_out = value;
    return TSPK_OK;
}

/* External bytes of the tensor: checked against the file and, unless n_bytes is SIZE_MAX, its size.
 */
static tspk_status find_external(tspk_onnx_importer *importer, const onnx_tensor *proto,
                                 size_t n_bytes, const uint8_t **bytes_out, tspk_error *err)
{
    const ProtobufCBinaryData *location = NULL;
    const tspk_mapped_file *file;
    size_t offset = 0, length = SIZE_MAX;

    for (size_t i = 0; i < proto->n_external_data; i++) {
        const Tspk__Onnx__StringStringEntryProto *const entry = proto->external_data[i];

        if (!entry->key)
            continue;
        if (!strcmp(entry->key, "location"))
            location = &entry->value;
        else if (!strcmp(entry->key, "offset"))
            TSPK_TRY(parse_number(&entry->value, "offset", &offset, err));
        else if (!strcmp(entry->key, "length"))
            TSPK_TRY(parse_number(&entry->value, "length", &length, err));
    }
    if (!location)
        return TSPK_FAIL(err, TSPK_FORMAT, "external data without a location");
    TSPK_TRY(tspk_onnx_files_external(importer->files, location->data, location->len, &file, err));
    if (n_bytes == SIZE_MAX)
        return TSPK_OK;
    if (length != SIZE_MAX && length != n_bytes)
        return TSPK_FAIL(err, TSPK_FORMAT,
                         "external length is %zu bytes, its shape and type need %zu", length,
                         n_bytes);
    if (offset > file->n_bytes || n_bytes > file->n_bytes - offset)
        return TSPK_FAIL(
            err, TSPK_FORMAT,
            "external offset %zu and length %zu reach past the end of the file (%zu bytes)", offset,
            n_bytes, file->n_bytes);
    *bytes_out = file->bytes + offset;
    return TSPK_OK;
}

static bool is_external(const onnx_tensor *proto)
{
    return proto->data_location == 1;
}

tspk_status tspk_onnx_tensor_open_external(tspk_onnx_importer *importer, const onnx_tensor *proto,
                                           tspk_error *err)
{
    const uint8_t *ignored;

    return is_external(proto) ? find_external(importer, proto, SIZE_MAX, &ignored, err) : TSPK_OK;
}

/* Parameters are finite. An Inf may stand alone (a bound of Clip, the fill of a mask), and a tensor
 * of 0 and -Inf alone is an attention mask. */
static tspk_status check_finite(const tspk_tensor *tensor, size_t n, tspk_error *err)
{
    const float *const data = tensor->data;
    bool is_mask = true;

    if (tensor->dtype != TSPK_DTYPE_F32)
        return TSPK_OK;
    for (size_t i = 0; i < n && is_mask; i++)
        is_mask = data[i] == 0.0f || data[i] == -INFINITY;
    for (size_t i = 0; i < n && !is_mask; i++)
        if (isnan(data[i]) || (isinf(data[i]) && n > 1))
            return TSPK_FAIL(err, TSPK_RANGE, "element %zu is %s", i,
                             isnan(data[i]) ? "NaN"
                             : data[i] > 0  ? "Inf"
                                            : "-Inf");
    return TSPK_OK;
}

static tspk_status check_narrowed(double value, tspk_error *err)
{
    if (isfinite(value) && isinf((float)value))
        return TSPK_FAIL(err, TSPK_RANGE, "%g is beyond the range of FLOAT", value);
    return TSPK_OK;
}

static tspk_status read_shape(const onnx_tensor *proto, tspk_tensor *tensor, size_t *n_out,
                              tspk_error *err)
{
    size_t n = 0;

    if (proto->n_dims > TSPK_MAX_RANK)
        return TSPK_FAIL(err, TSPK_LIMIT, "rank %zu, at most %d is supported", proto->n_dims,
                         TSPK_MAX_RANK);
    tensor->shape.rank = (uint8_t)proto->n_dims;
    for (size_t i = 0; i < proto->n_dims; i++) {
        if (proto->dims[i] < 0)
            return TSPK_FAIL(err, TSPK_FORMAT, "dimension %zu is %lld", i,
                             (long long)proto->dims[i]);
        tensor->shape.dim[i] = proto->dims[i];
    }
    if (!tspk_checked_elems(tensor->shape.dim, proto->n_dims, TSPK_MAX_TENSOR_ELEMS, &n))
        return TSPK_FAIL(err, TSPK_LIMIT, "its %zu dimensions have more than %zu elements",
                         proto->n_dims, TSPK_MAX_TENSOR_ELEMS);
    *n_out = n;
    return TSPK_OK;
}

static tspk_status check_type(const onnx_tensor *proto, tspk_dtype *dtype_out, tspk_error *err)
{
    const int type = proto->data_type;

    if (proto->has_segment)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "segmented tensors are not supported");
    if (type < 1 || type >= (int)TSPK_COUNT_OF(types))
        return TSPK_FAIL(err, TSPK_FORMAT, "data type %d does not exist", type);
    if (!tspk_onnx_dtype(type, dtype_out))
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "data type %d (%s) is not supported", type,
                         types[type].name);
    return TSPK_OK;
}

tspk_status tspk_onnx_tensor_read(tspk_onnx_importer *importer, const onnx_tensor *proto,
                                  tspk_tensor *tensor_out, tspk_error *err)
{
    tspk_tensor tensor = {0};
    const uint8_t *raw = NULL;
    const char *field;
    size_t n = 0, n_raw, n_have, n_typed;

    TSPK_TRY(check_type(proto, &tensor.dtype, err));
    TSPK_TRY(read_shape(proto, &tensor, &n, err));
    n_raw = n * types[proto->data_type].n_bytes;
    n_typed = typed_length(proto, &field);
    if (is_external(proto)) {
        if (proto->has_raw_data || n_typed)
            return TSPK_FAIL(err, TSPK_FORMAT, "%s next to external data",
                             n_typed ? field : "raw_data");
        TSPK_TRY(find_external(importer, proto, n_raw, &raw, err));
    } else if (proto->has_raw_data && n_typed) {
        return TSPK_FAIL(err, TSPK_FORMAT, "both raw_data and %s are set", field);
    } else if (proto->has_raw_data) {
        tspk_onnx_lean_raw(&importer->lean, proto->raw_data.data, proto->raw_data.len, &raw,
                           &n_have);
        if (n_have != n_raw)
            return TSPK_FAIL(err, TSPK_FORMAT,
                             "raw_data has %zu bytes, its shape and type need %zu", n_have, n_raw);
    } else if (n_typed != n) {
        return TSPK_FAIL(err, TSPK_FORMAT, "%s has %zu elements, its shape needs %zu", field,
                         n_typed, n);
    }
    tensor.data = tspk_arena_array(importer->graph->arena, n, tspk_dtype_bytes(tensor.dtype));
    if (!tensor.data)
        return TSPK_FAIL(err, TSPK_NOMEM, "no memory for %zu elements within the cap", n);
    if (raw) {
        TSPK_TRY(convert_raw(proto->data_type, raw, &tensor, n, err));
        tspk_release_mapped(raw, n_raw);
    } else
        TSPK_TRY(convert_typed(proto, &tensor, n_typed, err));
    if (n == 1 && proto->data_type == ONNX_DOUBLE)
        TSPK_TRY(check_narrowed(raw ? double_of_bits(load_u64(raw)) : proto->double_data[0], err));
    TSPK_TRY(check_finite(&tensor, n, err));
    *tensor_out = tensor;
    return TSPK_OK;
}
