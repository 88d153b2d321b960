/* SPDX-License-Identifier: Apache-2.0 */
#include "core/op.h"

#include <string.h>

static const struct {
    const char *name;
    size_t least, most;
} ops[TSPK_OP_COUNT] = {
#define X(NAME, text, least, most) [TSPK_OP_##NAME] = {text, least, most},
    TSPK_OP_TABLE(X)
#undef X
};

const char *tspk_op_name(tspk_op op)
{
    return op < TSPK_OP_COUNT ? ops[op].name : "unknown";
}

tspk_op tspk_op_from_name(const char *name)
{
    for (int i = 0; i < TSPK_OP_COUNT; i++)
        if (!strcmp(ops[i].name, name))
            return (tspk_op)i;
    return TSPK_OP_COUNT;
}

size_t tspk_op_inputs_least(tspk_op op)
{
    return ops[op].least;
}

size_t tspk_op_inputs_most(tspk_op op)
{
    return ops[op].most;
}

bool tspk_op_is_movement(tspk_op op)
{
    return op == TSPK_OP_IDENTITY || (op >= TSPK_OP_RESHAPE && op <= TSPK_OP_TILE);
}

bool tspk_op_is_elementwise(tspk_op op)
{
    return op <= TSPK_OP_WHERE;
}
