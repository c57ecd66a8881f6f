/* Scales and zero points of integer operators (ops/quantized.h) while they are lowered. */
#ifndef TT_OPS_QUANTIZED_ARGS_H
#define TT_OPS_QUANTIZED_ARGS_H

#include "ops/posts.h"
#include "ops/quantized.h"

/* Sets what `attr` says of scales and zero points; those of the destination only
 * with_dst.  channel_mask: oneDNN's mask of the weights' channels. */
void tt_quantized_masks(const tt_graph *graph, const tt_node *node, int channel_mask,
                        bool with_dst, tt_attr *attr);
/* The arguments for it. */
tt_status tt_quantized_args(tt_lower *lower, const tt_node *node, bool with_dst,
                            tt_prim_args *args, tt_error *err);
/* A step that quantises f32 `src` to the node's integer `dst`, which has the same
 * strides. */
tt_status tt_quantized_store(tt_lower *lower, const tt_node *node, tt_operand src,
                             tt_operand dst, tt_error *err);

/* The bounds of the node's result in the units of dst, when its posts from number
 * `first` on are one clamp or none; false for any others. */
bool tt_quantized_clamp(const tt_node *node, int first, tt_dtype dst, float *low,
                        float *high);

/* Constants of kernels of our own, by place among n of them (the rest 0):
 * result = multiplier * (sum of integer products) + offset, in the units of dst. */
typedef struct {
    const tt_quantized *quantized;
    const float *scale, *bias; /* of the weights: one or per channel; f32 or NULL */
    bool is_one;
    float *multipliers, *offsets; /* to fill */
    tt_operand multiplier, offset;
} tt_quantized_scales;

/* Scales and bias are constants. */
tt_status tt_quantized_make_scales(tt_lower *lower, const tt_node *node, int64_t n,
                                   tt_quantized_scales *out, tt_error *err);
/* What a unit of the sums of channel c stands for. */
double tt_quantized_step(const tt_quantized_scales *scales, int64_t c);
double tt_quantized_bias(const tt_quantized_scales *scales, int64_t c);
/* Sets a place to step * sum + shift. */
void tt_quantized_set(const tt_quantized_scales *scales, int64_t place, double step,
                      double shift);
/* Is that within an int32 for any u8 and s8 of so many taps, and `more` units of dst? */
bool tt_quantized_is_bounded(const tt_quantized_scales *scales, double step,
                             double shift, int64_t taps, double more);

#endif
