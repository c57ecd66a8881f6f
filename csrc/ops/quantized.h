/* Integer convolutions and matmuls (graph/quantized.h): made by graph/fuse_quantized.c,
 * never read from a file.  Each is lowered by the file of the f32 operator. */
#ifndef TT_OPS_QUANTIZED_H
#define TT_OPS_QUANTIZED_H

#include "graph/quantized.h"
#include "ops/posts.h"

extern const tt_op tt_op_quantized_conv, tt_op_quantized_conv_transpose;
extern const tt_op tt_op_quantized_matmul, tt_op_quantized_gemm;

/* What such a node knows, or NULL for any other. */
const tt_quantized *tt_quantized_of(const tt_node *node);
bool tt_quantized_is_conv(const tt_node *node);

/* Sets what `attr` says of scales and zero points; those of the destination only
 * with_dst.  channel_mask: oneDNN's mask of the weights' channels. */
void tt_quantized_masks(const tt_lower *lower, const tt_node *node, int channel_mask,
                        bool with_dst, tt_attr *attr);
/* The arguments for it. */
tt_status tt_quantized_args(tt_lower *lower, const tt_node *node, bool with_dst,
                            tt_prim_args *args, tt_error *err);
/* A step that quantises f32 `src` to the node's integer `dst`, which has the same
 * strides. */
tt_status tt_quantized_store(tt_lower *lower, const tt_node *node, tt_operand src,
                             tt_operand dst, tt_error *err);

#endif
