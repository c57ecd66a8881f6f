/* Products with weights of 4 or 8 bits (kernels/matmul_nbits.h) as a step: what
 * MatMulNBits and MatMul with dequantised weights share.
 *
 * An operator reads its attributes into `tt_nbits_layer` and says how its weights,
 * scales and zero points are packed; the rest is here. */
#ifndef TT_OPS_NBITS_COMMON_H
#define TT_OPS_NBITS_COMMON_H

#include "kernels/matmul_nbits.h"
#include "ops/fail.h"
#include "ops/op.h"
#include "plan/lower.h"

/* Inputs in this order: x, weights, scales, zero points or none; then the bias. */
enum { TT_NBITS_X, TT_NBITS_B, TT_NBITS_SCALES, TT_NBITS_ZEROS };

typedef struct {
    int64_t m, n, k, n_blocks, block;
    int bits, bias; /* bias: its input */
    bool is_integer, copies;
    size_t steps_at, sums_at; /* in scratch, behind the rows */
    tt_post_ops posts;
    bool accumulates;
} tt_nbits_layer;

/* Puts what `make` makes of an input in its place; for B, SCALES and ZEROS in turn,
 * whether they are there or not. */
typedef tt_status (*tt_nbits_pack_input)(tt_lower *lower, const tt_nbits_layer *layer,
                                         const tt_site *site, int input,
                                         tt_operand *operand, tt_error *err);

/* Bytes of packed weights (input B), or of one float a block. */
size_t tt_nbits_packed_bytes(const tt_nbits_layer *layer, int input);
/* m, copies, posts are found here; the others are given. */
tt_status tt_nbits_lower(tt_lower *lower, const tt_node *node, tt_nbits_layer *layer,
                         tt_nbits_pack_input pack, tt_error *err);

#endif
