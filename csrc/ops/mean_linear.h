/* The mean of a dequantised 8-bit tensor, from its bytes: made by graph/fuse_integer.c,
 * never read from a file. */
#ifndef TT_OPS_MEAN_LINEAR_H
#define TT_OPS_MEAN_LINEAR_H

#include "ops/op.h"

/* Inputs as those of DequantizeLinear, scale and zero point constant scalars; the
 * reduced dims are the attribute "axes", not negative. */
extern const tt_op tt_op_mean_linear;

#endif
