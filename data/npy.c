/* SPDX-License-Identifier: Apache-2.0 */
#include "data/npy.h"

#include <inttypes.h>
#include <string.h>

#include "core/checked.h"
#include "core/compiler.h"
#include "core/fail.h"

static const char magic[6] = {'\x93', 'N', 'U', 'M', 'P', 'Y'};

static const struct {
    char kind;     /* NumPy's letter */
    uint8_t bytes; /* an element's */
} types[] = {
    [TSPK_NPY_F4] = {'f', 4}, [TSPK_NPY_F8] = {'f', 8}, [TSPK_NPY_F2] = {'f', 2},
    [TSPK_NPY_I1] = {'i', 1}, [TSPK_NPY_U1] = {'u', 1}, [TSPK_NPY_I2] = {'i', 2},
    [TSPK_NPY_U2] = {'u', 2}, [TSPK_NPY_I4] = {'i', 4}, [TSPK_NPY_U4] = {'u', 4},
    [TSPK_NPY_I8] = {'i', 8}, [TSPK_NPY_U8] = {'u', 8}, [TSPK_NPY_B1] = {'b', 1},
};

size_t tspk_npy_type_bytes(tspk_npy_type type)
{
    return types[type].bytes;
}

/* The header's text: a Python dictionary of three literals. */
typedef struct parser {
    const char *at, *end;
    tspk_error *err;
} parser;

static void skip_blanks(parser *p)
{
    while (p->at < p->end && (*p->at == ' ' || *p->at == '\t' || *p->at == '\n' || *p->at == '\r'))
        p->at++;
}

static bool take(parser *p, char c)
{
    skip_blanks(p);
    if (p->at == p->end || *p->at != c)
        return false;
    p->at++;
    return true;
}

static bool take_word(parser *p, const char *word)
{
    const size_t length = strlen(word);

    skip_blanks(p);
    if ((size_t)(p->end - p->at) < length || memcmp(p->at, word, length) != 0)
        return false;
    p->at += length;
    return true;
}

/* A quoted string without escapes, at most size − 1 characters. */
static bool take_string(parser *p, char *text, size_t size)
{
    size_t n = 0;
    char quote;

    skip_blanks(p);
    if (p->at == p->end || (*p->at != '\'' && *p->at != '"'))
        return false;
    quote = *p->at++;
    while (p->at < p->end && *p->at != quote) {
        if (n + 1 >= size || *p->at == '\\' || (unsigned char)*p->at < 0x20)
            return false;
        text[n++] = *p->at++;
    }
    if (p->at == p->end)
        return false;
    p->at++;
    text[n] = '\0';
    return true;
}

static tspk_status parse_type(parser *p, tspk_npy_type *type_out)
{
    char text[16];
    unsigned bytes = 0;

    skip_blanks(p);
    if (p->at < p->end && *p->at == '[')
        return TSPK_FAIL(p->err, TSPK_UNSUPPORTED, "npy: structured element type");
    if (!take_string(p, text, sizeof text) || strlen(text) < 2)
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: 'descr' is not an element type");
    for (const char *digit = text + 2; *digit; digit++) {
        if (*digit < '0' || *digit > '9' || bytes > 99)
            return TSPK_FAIL(p->err, TSPK_UNSUPPORTED, "npy: element type '%s'", text);
        bytes = bytes * 10 + (unsigned)(*digit - '0');
    }
    if (!strchr("<>|=", text[0]))
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: element type '%s'", text);
    for (size_t i = 0; i < TSPK_COUNT_OF(types); i++) {
        if (types[i].kind != text[1] || types[i].bytes != bytes)
            continue;
        if (bytes > 1 && text[0] == '>')
            return TSPK_FAIL(p->err, TSPK_UNSUPPORTED, "npy: element type '%s' is big-endian",
                             text);
        *type_out = (tspk_npy_type)i;
        return TSPK_OK;
    }
    return TSPK_FAIL(p->err, TSPK_UNSUPPORTED, "npy: element type '%s'", text);
}

static tspk_status parse_shape(parser *p, tspk_shape *shape)
{
    shape->rank = 0;
    if (!take(p, '('))
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: 'shape' is not a tuple");
    while (!take(p, ')')) {
        int64_t dim = 0;

        if (shape->rank == TSPK_MAX_RANK)
            return TSPK_FAIL(p->err, TSPK_LIMIT, "npy: more than %d dimensions", TSPK_MAX_RANK);
        if (p->at == p->end || *p->at < '0' || *p->at > '9')
            return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: 'shape' holds something other than sizes");
        while (p->at < p->end && *p->at >= '0' && *p->at <= '9') {
            dim = dim * 10 + (*p->at++ - '0');
            if (dim > (int64_t)TSPK_MAX_TENSOR_ELEMS)
                return TSPK_FAIL(p->err, TSPK_LIMIT, "npy: dimension %d is above %zu", shape->rank,
                                 TSPK_MAX_TENSOR_ELEMS);
        }
        take(p, 'L');
        shape->dim[shape->rank++] = dim;
        if (!take(p, ',')) {
            if (!take(p, ')'))
                return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: 'shape' is not closed");
            break;
        }
    }
    return TSPK_OK;
}

static tspk_status parse_dictionary(parser *p, tspk_npy_header *header)
{
    bool has_type = false, has_order = false, has_shape = false, is_fortran = false;

    if (!take(p, '{'))
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header is not a dictionary");
    while (!take(p, '}')) {
        char key[24];

        if (!take_string(p, key, sizeof key) || !take(p, ':'))
            return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header has a broken key");
        if (strcmp(key, "descr") == 0 && !has_type) {
            TSPK_TRY(parse_type(p, &header->type));
            has_type = true;
        } else if (strcmp(key, "fortran_order") == 0 && !has_order) {
            is_fortran = take_word(p, "True");
            if (!is_fortran && !take_word(p, "False"))
                return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: 'fortran_order' is not True or False");
            has_order = true;
        } else if (strcmp(key, "shape") == 0 && !has_shape) {
            TSPK_TRY(parse_shape(p, &header->shape));
            has_shape = true;
        } else {
            return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header has an unexpected key '%s'", key);
        }
        if (!take(p, ',')) {
            if (!take(p, '}'))
                return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header is not closed");
            break;
        }
    }
    skip_blanks(p);
    if (p->at != p->end)
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header has text after its dictionary");
    if (!has_type || !has_order || !has_shape)
        return TSPK_FAIL(p->err, TSPK_FORMAT, "npy: header lacks '%s'",
                         !has_type ? "descr" : (!has_order ? "fortran_order" : "shape"));
    if (is_fortran && header->shape.rank > 1)
        return TSPK_FAIL(p->err, TSPK_UNSUPPORTED, "npy: Fortran order, rank %d",
                         header->shape.rank);
    return TSPK_OK;
}

tspk_status tspk_npy_parse(const uint8_t *bytes, size_t n_bytes, tspk_npy_header *header_out,
                           tspk_error *err)
{
    tspk_npy_header header = {.type = TSPK_NPY_F4};
    size_t prefix, length, elems;
    parser p = {NULL, NULL, err};

    if (n_bytes < 10 || memcmp(bytes, magic, sizeof magic) != 0)
        return TSPK_FAIL(err, TSPK_FORMAT, "not an .npy: %s",
                         n_bytes < 10 ? "shorter than its magic" : "wrong magic");
    if (bytes[6] < 1 || bytes[6] > 3 || bytes[7] != 0)
        return TSPK_FAIL(err, TSPK_UNSUPPORTED, "npy: version %d.%d, expected 1.0 to 3.0", bytes[6],
                         bytes[7]);
    prefix = bytes[6] == 1 ? 10 : 12;
    if (n_bytes < prefix)
        return TSPK_FAIL(err, TSPK_FORMAT, "npy: truncated after %zu bytes", n_bytes);
    length = (size_t)bytes[8] | (size_t)bytes[9] << 8;
    if (prefix == 12)
        length |= (size_t)bytes[10] << 16 | (size_t)bytes[11] << 24;
    if (length > TSPK_NPY_READ_MAX - prefix)
        return TSPK_FAIL(err, TSPK_LIMIT, "npy: header of %zu bytes, at most %zu", length,
                         (size_t)TSPK_NPY_READ_MAX - prefix);
    if (length > n_bytes - prefix)
        return TSPK_FAIL(err, TSPK_FORMAT, "npy: header of %zu bytes, only %zu are there", length,
                         n_bytes - prefix);
    p.at = (const char *)bytes + prefix;
    p.end = p.at + length;
    TSPK_TRY(parse_dictionary(&p, &header));
    if (!tspk_checked_elems(header.shape.dim, header.shape.rank, TSPK_MAX_TENSOR_ELEMS, &elems))
        return TSPK_FAIL(err, TSPK_LIMIT, "npy: more than %zu elements", TSPK_MAX_TENSOR_ELEMS);
    header.data_offset = prefix + length;
    if (!tspk_checked_mul(elems, types[header.type].bytes, &header.data_bytes))
        return TSPK_FAIL(err, TSPK_LIMIT, "npy: %zu elements of %d bytes", elems,
                         types[header.type].bytes);
    *header_out = header;
    return TSPK_OK;
}

size_t tspk_npy_format(tspk_npy_type type, const tspk_shape *shape, uint8_t *buf)
{
    char *text = (char *)buf + 10;
    const size_t room = TSPK_NPY_HEADER_MAX - 10;
    const int bytes = types[type].bytes;
    size_t n, total;

    n = (size_t)snprintf(text, room, "{'descr': '%c%c%d', 'fortran_order': False, 'shape': (",
                         bytes == 1 ? '|' : '<', types[type].kind, bytes);
    for (int i = 0; i < shape->rank; i++)
        n += (size_t)snprintf(text + n, room - n, i ? " %" PRId64 "%s" : "%" PRId64 "%s",
                              shape->dim[i], i + 1 < shape->rank || shape->rank == 1 ? "," : "");
    n += (size_t)snprintf(text + n, room - n, "), }");
    total = (10 + n + 1 + 63) / 64 * 64;
    memset(text + n, ' ', total - 10 - n - 1);
    buf[total - 1] = '\n';
    memcpy(buf, magic, sizeof magic);
    buf[6] = 1;
    buf[7] = 0;
    buf[8] = (uint8_t)((total - 10) & 0xff);
    buf[9] = (uint8_t)((total - 10) >> 8);
    return total;
}
