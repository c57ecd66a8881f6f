/* Attention composed of matmuls and a softmax as one node: made by
 * graph/fuse_attention.c, never read from a file.
 *
 * Inputs Q [.., M, D], K [.., D, N] or with is_row_major [.., N, D], V [.., N, E],
 * optional f32 mask that broadcasts to [.., M, N]; attribute scale. */
#ifndef TT_OPS_FUSED_ATTENTION_H
#define TT_OPS_FUSED_ATTENTION_H

#include "ops/op.h"

extern const tt_op tt_op_fused_attention;

#endif
