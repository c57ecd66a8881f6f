/* Tensors of heads, [batch, heads, tokens, size] over any memory: what the attention of
 * com.microsoft packs into its inputs, a bias added where there is one. */
#ifndef TT_OPS_HEADS_H
#define TT_OPS_HEADS_H

#include "plan/lower.h"

/* An operand seen as heads; strides and offset are in elements. */
typedef struct {
    tt_operand operand;
    tt_dtype dtype;
    int64_t dims[4], strides[4], offset;
} tt_heads;

/* Adds the step dst = src + bias; `to` may have more tokens, of which [first, ..) are
 * written.  The bias is [.., heads size] behind `bias_offset` items, or absent. */
tt_status tt_heads_place(tt_lower *lower, const tt_node *node, const tt_heads *src,
                         tt_operand bias, int64_t bias_offset, const tt_heads *to,
                         int64_t first, tt_error *err);
/* New memory for heads of these dims, [batch, tokens, heads, size]. */
tt_status tt_heads_new(tt_lower *lower, tt_dtype dtype, const int64_t dims[4],
                       tt_heads *out, tt_error *err);
/* The same over an operand of rank 4 as it is. */
void tt_heads_of(const tt_lower *lower, tt_operand operand, tt_heads *out);

#endif
