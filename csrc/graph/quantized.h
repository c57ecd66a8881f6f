/* Integer convolutions and matmuls: what graph/fuse_quantized.c makes of
 * DequantizeLinear > operator > QuantizeLinear, and ops/ lowers to oneDNN.
 *
 * Such a node has the attributes of the operator it was (and of a Conv `algorithm`, which
 * is "winograd" where more rounding may buy time), and the inputs
 *   0  src, u8 or s8
 *   1  weights, an s8 constant with zero points of 0
 *   2  bias, f32, or absent (Gemm: C)
 *   3  scales of the weights, an f32 constant: one, or one per channel of the result
 * It computes
 *   x = src_scale * weights_scale * sum((src - src_zero_point) * weights) + bias
 * then its posts in f32, then, when its output is an integer,
 *   saturate(round(x / dst_scale) + dst_zero_point).
 * A binary post whose operand is an integer stands for alpha * (operand - beta). */
#ifndef TT_GRAPH_QUANTIZED_H
#define TT_GRAPH_QUANTIZED_H

#include "graph/graph.h"

enum { TT_QUANTIZED_SCALES = 3 }; /* input number of the weights' scales */

/* node->extra of such a node */
typedef struct {
    float src_scale, dst_scale;
    int src_zero_point, dst_zero_point;
} tt_quantized;

/* QuantizeLinear or DequantizeLinear with one scale for all, known when compiling. */
typedef struct {
    int src; /* value it reads */
    float scale;
    int zero_point;
    tt_dtype dtype; /* the integer's; TT_DTYPE_NONE when not known yet */
} tt_linear;

/* Reads such a node; false when it is none, or its scale is not positive. */
bool tt_linear_match(const tt_graph *graph, const tt_node *node, const char *op_type,
                     tt_linear *out);

/* Integer weights that are made when somebody packs them. */
/* s8 from f32 as QuantizeLinear does, saturated to [-limit, limit] (limit 127:
 * [-128, 127]); `scales` is an f32 constant of one item or one per place along axis. */
tt_status tt_weights_quantized(tt_constant *weights, const tt_constant *scales,
                               int axis, int limit, tt_constant **out, tt_error *err);
/* s8 from u8 with zero points of 128. */
tt_status tt_weights_shifted(tt_constant *weights, tt_constant **out, tt_error *err);
/* Is every weight of an s8 constant (or a u8 one less 128) within [-limit, limit]? */
tt_status tt_weights_within(tt_constant *weights, int limit, bool *out, tt_error *err);

#endif
