/* SPDX-License-Identifier: Apache-2.0 */
/* Attention operands in packed form: [1, tokens, heads * width], whatever way they were laid out.
 */
#ifndef TSPK_CONVERT_PACKED_H
#define TSPK_CONVERT_PACKED_H

#include "core/graph.h"

/* Where element (head, token, channel) of an operand lies in its value: a sum of strides. */
typedef struct tspk_head_layout {
    int64_t heads, tokens, width;
    int64_t head_stride, token_stride, channel_stride; /* [elements]; 0: the same for all */
} tspk_head_layout;

/** Whether the rows of a Linear that an operand comes from differ between heads: then what looks
 * like heads are windows of tokens, each attending to itself. */
tspk_status tspk_is_windowed(const tspk_graph *graph, tspk_value_id id,
                             const tspk_head_layout *layout, tspk_arena *scratch,
                             bool *is_windowed_out, tspk_error *err);

/**
 * The packed form of an operand. A source that is a Linear is re-sliced so that its outputs are the
 * packed ones; any other source is transposed. New nodes go in before `*at`, which moves on.
 * @param with_factor  products with constant scalars are taken out and multiplied into *factor
 * @param id_out       the operand itself when it is packed already (`is_packed` layouts only)
 */
tspk_status tspk_pack_operand(tspk_graph *graph, tspk_node_id *at, tspk_value_id id,
                              const tspk_head_layout *layout, bool with_factor, bool is_packed,
                              tspk_arena *scratch, tspk_value_id *id_out, double *factor,
                              tspk_error *err);

#endif
