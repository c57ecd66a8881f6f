/* What MatMul, Gemm and Einsum share: matrix products as oneDNN matmuls or own
 * kernels, with bias and post-ops. */
#ifndef TT_OPS_MATMUL_COMMON_H
#define TT_OPS_MATMUL_COMMON_H

#include "ops/posts.h"

/* a is [batch.., m, k], b is [batch.., k, n], dst is [batch.., m, n]: descriptions of
 * equal rank >= 2 over the operands' memory; batch dims of 1 in a or b broadcast. */
typedef struct {
    tt_operand a, b;
    tt_md a_md, b_md, dst_md; /* dst_md: dims only */
    bool has_constant_b;
    /* which dims of the node's output are the dims of dst_md; -1: inserted (1) */
    int dst_dims[TT_MAX_RANK];
    tt_operand bias; /* [n] or TT_NO_OPERAND */
    bool has_dst;    /* dst_md is complete, with strides over: */
    tt_operand dst;
    tt_prim_args args; /* posts of the operator itself (alpha, C of Gemm) */
} tt_matmul;

/* Adds the steps for output 0 of the node, whose posts are applied too; with has_dst for
 * that operand instead, without posts of the node. */
tt_status tt_matmul_lower(tt_lower *lower, const tt_node *node, tt_matmul *matmul,
                          tt_error *err);

/* Shape of the product of inputs 0 and 1, as NumPy defines it. */
tt_status tt_matmul_infer(tt_site *site, tt_dtype dtype, tt_shape *out, tt_error *err);

/* Does oneDNN multiply this type? */
static inline bool tt_matmul_is_native(tt_dtype dtype)
{
    return dtype == TT_F32 || dtype == TT_BF16;
}

#endif
