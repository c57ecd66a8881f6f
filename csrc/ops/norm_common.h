/* What the normalisations share when they are lowered. */
#ifndef TT_OPS_NORM_COMMON_H
#define TT_OPS_NORM_COMMON_H

#include "plan/lower.h"

/* Input i broadcast to `shape`, row-major: the operand itself where it is that already,
 * else a copy. */
tt_status tt_lower_broadcast(tt_lower *lower, const tt_node *node, int i,
                             const tt_shape *shape, tt_operand *out, tt_error *err);

/* May the node write its result over its input i?  (Nobody reads it any more, and the
 * result is not an output of the model, which has memory of its own; the other inputs
 * are constants.) */
bool tt_may_overwrite(const tt_lower *lower, const tt_node *node, int i);

#endif
