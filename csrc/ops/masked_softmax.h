/* Softmax over the last dim of scores + mask: made by graph/fuse_attention.c, never
 * read from a file. */
#ifndef TT_OPS_MASKED_SOFTMAX_H
#define TT_OPS_MASKED_SOFTMAX_H

#include "ops/op.h"

extern const tt_op tt_op_masked_softmax;

#endif
