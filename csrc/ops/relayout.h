/* Steps between the layout that a primitive chose for an argument and a plain one: for
 * weights that change from call to call, and for gradients that a primitive made. */
#ifndef TT_OPS_RELAYOUT_H
#define TT_OPS_RELAYOUT_H

#include "plan/lower.h"

/* `src`, seen as `plain`, in the layout of `prim` for `arg`: packed once when it is a
 * constant, else by a step in each call; itself when it lies so already. */
tt_status tt_relayout_src(tt_lower *lower, const tt_node *node, const tt_prim *prim,
                          tt_arg arg, tt_operand src, const tt_md *plain,
                          tt_operand *out, tt_error *err);

/* Where `prim` shall write `arg`: `dst` itself, or memory that tt_relayout_finish copies
 * from behind the primitive's step. */
tt_status tt_relayout_dst(tt_lower *lower, const tt_prim *prim, tt_arg arg,
                          tt_operand dst, const tt_md *plain, tt_operand *out,
                          tt_error *err);
tt_status tt_relayout_finish(tt_lower *lower, const tt_node *node, const tt_prim *prim,
                             tt_arg arg, tt_operand made, tt_operand dst,
                             const tt_md *plain, tt_error *err);

#endif
