/* Lowering of attention: what ops/attention.c and ops/fused_attention.c share. */
#ifndef TT_OPS_ATTENTION_COMMON_H
#define TT_OPS_ATTENTION_COMMON_H

#include "kernels/attention.h"
#include "plan/lower.h"

/* A kernel without mask, window, cap or kept scores, and no operands. */
void tt_attention_begin(tt_attention_kernel *kernel, tt_operand *operands);
/* Strides of an operand [(batch,) heads, rows, items] from batch to batch and so on;
 * 0 along a dim of 1. */
void tt_attention_strides(const tt_lower *lower, tt_operand operand,
                          int64_t strides[4]);
/* Input i as the mask of scores with the kernel's dims; absent: none.  Its last dim
 * may be shorter than the keys, the others broadcast. */
tt_status tt_attention_mask_src(tt_lower *lower, const tt_node *node, int i,
                                tt_attention_kernel *kernel, tt_operand *operands,
                                tt_error *err);
/* The same for an operand, which may be absent. */
void tt_attention_mask_of(const tt_lower *lower, tt_attention_kernel *kernel,
                          tt_operand mask);
/* Will the step read and copy a past that lies apart (see kernels/attention.h)?  For
 * kernels whose dtypes and sizes are filled in; the past is input `past` and the next. */
bool tt_attention_takes_past(const tt_attention_kernel *kernel);
tt_status tt_attention_past_src(tt_lower *lower, const tt_node *node, int past,
                                tt_attention_kernel *kernel, tt_operand *operands,
                                tt_error *err);
/* Adds the step: operands has TT_ATTENTION_N places, all but the scratch filled. */
tt_status tt_attention_lower(tt_lower *lower, const tt_node *node,
                             tt_attention_kernel *kernel, tt_operand *operands,
                             tt_error *err);

#endif
