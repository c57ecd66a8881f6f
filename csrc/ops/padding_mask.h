/* What says which keys count, in the many forms of com.microsoft, as a mask to add. */
#ifndef TT_OPS_PADDING_MASK_H
#define TT_OPS_PADDING_MASK_H

#include "plan/lower.h"

/* The scores that a mask is for, and where the inputs are (-1: there is none). */
typedef struct {
    int64_t batch, heads, queries, past, keys; /* keys counts the past too */
    int mask, bias;                            /* inputs of the node */
    float filter;                              /* added where a key does not count */
} tt_padding;

/* Checks that both go with the scores. */
tt_status tt_padding_check(const tt_site *site, const tt_padding *padding,
                           tt_error *err);
/* An operand [batch or 1, heads or 1, queries or 1, keys] to add to the scores, with
 * unit stride along the keys; TT_NO_OPERAND when every key counts. */
tt_status tt_padding_lower(tt_lower *lower, const tt_node *node,
                           const tt_padding *padding, tt_operand *out, tt_error *err);

#endif
