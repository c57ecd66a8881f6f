/* What the operators share whose output shape depends on data. */
#ifndef TT_OPS_EVAL_H
#define TT_OPS_EVAL_H

#include "ops/op.h"

/* Gives *out this shape, row-major strides and a block of memory of its own; checks
 * the limits first. */
tt_status tt_eval_output(const tt_site *site, const tt_shape *shape, tt_tensor *out,
                         tt_error *err);

/* TT_NEEDS_RUN, with a text. */
tt_status tt_needs_run(const tt_site *site, tt_error *err);

#endif
