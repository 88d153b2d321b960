/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Element types as the file has them, which are narrower than what is computed with. A row of the
 * registry says what an operator takes and gives, "class:inputs>results":
 *
 *   class   f floats, n numbers, a anything: what the letters T, U and V may be (U and V: floats)
 *   T U V   one type each, wherever the letter stands
 *   B I J F bool; int64; int32 or int64; float32
 *   .       any
 *   *       the letter before goes on
 *
 * An input without a letter is one that the import function does not read: it is refused.
 *
 * Results after the last letter have the type that the import function sets.
 */
#include <string.h>

#include "convert/onnx_ops.h"
#include "core/fail.h"

bool tspk_onnx_is_float(int64_t onnx_type)
{
    return onnx_type == ONNX_FLOAT || onnx_type == ONNX_FLOAT16 || onnx_type == ONNX_DOUBLE ||
           onnx_type == ONNX_BFLOAT16;
}

/* The opset that lets an operator of ai.onnx take BFLOAT16: 13 for most of them. */
static int64_t bfloat16_since(const char *name)
{
    static const struct {
        const char *name;
        int64_t since;
    } later[] = {{"BatchNormalization", 14},
                 {"Conv", 22},
                 {"Cos", 22},
                 {"Einsum", INT64_MAX},
                 {"GlobalAveragePool", 22},
                 {"GlobalMaxPool", 22},
                 {"GreaterOrEqual", 16},
                 {"HardSigmoid", 22},
                 {"HardSwish", 22},
                 {"LessOrEqual", 16},
                 {"Round", 22},
                 {"Sin", 22},
                 {"Where", 16}};

    for (size_t i = 0; i < TSPK_COUNT_OF(later); i++)
        if (!strcmp(later[i].name, name))
            return later[i].since;
    return 13;
}

/* The i-th letter of a list that ends at `end`; 0 behind it. */
static char letter_at(const char *list, const char *end, size_t i)
{
    const size_t n = (size_t)(end - list);
    const bool is_open = n > 0 && list[n - 1] == '*';

    if (i < n - is_open)
        return list[i];
    return is_open ? list[n - 2] : 0;
}

static bool fits_class(char class, char letter, int type)
{
    if (letter != 'T' || class == 'f')
        return tspk_onnx_is_float(type);
    return class == 'a' || (type != ONNX_BOOL && type != ONNX_STRING);
}

static tspk_status refuse_type(const tspk_onnx_call *call, size_t i, tspk_error *err)
{
    return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s (opset %lld) does not take %s as input %zu",
                     call->op->name, (long long)call->opset, tspk_onnx_type_name(call->in_type[i]),
                     i);
}

static tspk_status check_fixed(const tspk_onnx_call *call, size_t i, char letter, tspk_error *err)
{
    const int type = call->in_type[i];
    const bool is_right = letter == 'B'   ? type == ONNX_BOOL
                          : letter == 'I' ? type == ONNX_INT64
                          : letter == 'J' ? type == ONNX_INT64 || type == ONNX_INT32
                                          : type == ONNX_FLOAT;

    if (is_right)
        return TSPK_OK;
    return TSPK_FAIL(err, TSPK_SHAPE, "input %zu of %s is %s, expected %s", i, call->op->name,
                     tspk_onnx_type_name(type),
                     letter == 'B'   ? "BOOL"
                     : letter == 'I' ? "INT64"
                     : letter == 'J' ? "INT32 or INT64"
                                     : "FLOAT");
}

/* The type that a letter stands for, and the input that said so. */
typedef struct binding {
    int type[3]; /* of T, U, V; 0: not known */
    size_t from[3];
} binding;

static tspk_status bind_inputs(const tspk_onnx_call *call, binding *bound, tspk_error *err)
{
    const char *const inputs = call->op->types + 2, *const end = strchr(inputs, '>');

    for (size_t i = 0; i < call->n_in; i++) {
        const char letter = letter_at(inputs, end, i);
        const int type = call->in_type[i];

        if (!letter && call->in[i] != TSPK_ID_NONE)
            return TSPK_FAIL(err, TSPK_UNSUPPORTED, "%s with input %zu is not supported",
                             call->op->name, i);
        if (!type || !letter || letter == '.')
            continue;
        if (letter < 'T') {
            TSPK_TRY(check_fixed(call, i, letter, err));
            continue;
        }
        if (bound->type[letter - 'T'] && bound->type[letter - 'T'] != type)
            return TSPK_FAIL(err, TSPK_SHAPE, "%s: input %zu is %s, input %zu %s", call->op->name,
                             bound->from[letter - 'T'],
                             tspk_onnx_type_name(bound->type[letter - 'T']), i,
                             tspk_onnx_type_name(type));
        if (!fits_class(call->op->types[0], letter, type) ||
            (type == ONNX_BFLOAT16 && !call->op->domain[0] &&
             call->opset < bfloat16_since(call->op->name)))
            return refuse_type(call, i, err);
        bound->type[letter - 'T'] = type;
        bound->from[letter - 'T'] = i;
    }
    return TSPK_OK;
}

tspk_status tspk_onnx_check_types(const tspk_onnx_call *call, tspk_error *err)
{
    binding bound = {0};

    return bind_inputs(call, &bound, err);
}

static bool is_arithmetic(const tspk_onnx_op *op)
{
    return op->types[0] == 'n' && strcmp(op->name, "Clip") != 0 && strcmp(op->name, "Max") != 0 &&
           strcmp(op->name, "Min") != 0;
}

tspk_status tspk_onnx_type_results(tspk_onnx_call *call, tspk_error *err)
{
    const char *const results = strchr(call->op->types, '>') + 1;
    binding bound = {0};

    TSPK_TRY(bind_inputs(call, &bound, err));
    for (size_t i = 0; i < call->proto->n_output; i++) {
        const char letter = letter_at(results, results + strlen(results), i);
        int *const type = &call->result_type[i];

        if (!*type)
            *type = letter == 'B'   ? ONNX_BOOL
                    : letter == 'I' ? ONNX_INT64
                    : letter == 'F' ? ONNX_FLOAT
                    : letter >= 'T' ? bound.type[letter - 'T']
                                    : 0;
        if (*type && *type != ONNX_INT64 && !tspk_onnx_is_float(*type) && is_arithmetic(call->op) &&
            call->results[i] != TSPK_ID_NONE &&
            tspk_onnx_value(call, call->results[i])->dtype == TSPK_DTYPE_I64)
            TSPK_TRY(tspk_onnx_emit_cast(call, call->results[i], *type, &call->results[i], err));
    }
    return TSPK_OK;
}
