/* Scales and zero points of integer operators as oneDNN's arguments: see quantized_args.h. */
#include "ops/quantized_args.h"

#include <math.h>

#include "kernels/quantize.h"

const tt_quantized *tt_quantized_of(const tt_node *node)
{
    bool is_one = tt_quantized_is_conv(node) || node->op == &tt_op_quantized_matmul ||
                  node->op == &tt_op_quantized_gemm;
    return is_one ? node->extra : NULL;
}

bool tt_quantized_is_conv(const tt_node *node)
{
    return node->op == &tt_op_quantized_conv ||
           node->op == &tt_op_quantized_conv_transpose;
}

tt_status tt_quantized_is_fast(tt_engine *engine, const tt_site *site, bool *out,
                               tt_error *err)
{
    *out = true; /* matmuls always are */
    if (site->node->op == &tt_op_quantized_conv)
        return tt_conv_integers_are_fast(engine, site, out, err);
    if (site->node->op == &tt_op_quantized_conv_transpose)
        return tt_conv_transpose_integers_are_fast(engine, site, out, err);
    return TT_OK;
}

void tt_quantized_masks(const tt_graph *graph, const tt_node *node, int channel_mask,
                        bool with_dst, tt_attr *attr)
{
    const tt_quantized *q = tt_quantized_of(node);
    int scales = node->inputs[TT_QUANTIZED_SCALES];
    attr->src_scale_mask = 0;
    attr->weights_scale_mask =
        tt_shape_numel(&graph->values[scales].shape) == 1 ? 0 : channel_mask;
    if (q->src_zero_point != 0) attr->src_zero_point_mask = 0;
    if (!with_dst) return;
    if (q->dst_scale != 1.0f) attr->dst_scale_mask = 0;
    if (q->dst_zero_point != 0) attr->dst_zero_point_mask = 0;
}

/* A constant of one item, f32 or an integer type. */
static tt_status scalar(tt_lower *lower, tt_dtype dtype, float value, tt_operand *out,
                        tt_error *err)
{
    tt_shape shape = {.dtype = dtype, .rank = 1, .dims = {1}};
    tt_constant *made;
    void *data;
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    if (dtype == TT_F32)
        *(float *)data = value;
    else if (dtype == TT_S32)
        *(int32_t *)data = (int32_t)value;
    else
        *(uint8_t *)data = (uint8_t)(int)value;
    return tt_lower_constant(lower, made, out, err);
}

static tt_status add_scalar(tt_lower *lower, tt_arg arg, tt_dtype dtype, float value,
                            tt_prim_args *args, tt_error *err)
{
    tt_operand operand;
    TT_TRY(scalar(lower, dtype, value, &operand, err));
    tt_prim_args_add(args, arg, operand);
    return TT_OK;
}

tt_status tt_quantized_args(tt_lower *lower, const tt_node *node, bool with_dst,
                            tt_prim_args *args, tt_error *err)
{
    const tt_quantized *q = tt_quantized_of(node);
    tt_operand scales;
    TT_TRY(tt_lower_src(lower, node, TT_QUANTIZED_SCALES, TT_ORDER_ROW_MAJOR, &scales,
                        err));
    tt_prim_args_add(args, TT_ARG_WEIGHTS_SCALE, scales);
    TT_TRY(add_scalar(lower, TT_ARG_SRC_SCALE, TT_F32, q->src_scale, args, err));
    if (q->src_zero_point != 0)
        TT_TRY(add_scalar(lower, TT_ARG_SRC_ZERO_POINT, TT_S32,
                          (float)q->src_zero_point, args, err));
    if (!with_dst) return TT_OK;
    if (q->dst_scale != 1.0f)
        TT_TRY(add_scalar(lower, TT_ARG_DST_SCALE, TT_F32, q->dst_scale, args, err));
    if (q->dst_zero_point == 0) return TT_OK;
    return add_scalar(lower, TT_ARG_DST_ZERO_POINT, TT_S32, (float)q->dst_zero_point,
                      args, err);
}

static tt_status run_store(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_quantize_run(params, ptrs[0], ptrs[1], ptrs[2], ptrs[3]);
    return TT_OK;
}

tt_status tt_quantized_store(tt_lower *lower, const tt_node *node, tt_operand src,
                             tt_operand dst, tt_error *err)
{
    const tt_quantized *q = tt_quantized_of(node);
    const tt_shape shape = *tt_operand_shape(lower, dst);
    int64_t n = tt_shape_numel(&shape);
    tt_quantize quantize = {.real = TT_F32,
                            .quantized = shape.dtype,
                            .scale = TT_F32,
                            .n_outer = 1,
                            .n_axis = 1,
                            .n_inner = n};
    tt_work work = {.bytes = (double)n * 5, .flops = (double)n * 3};
    tt_operand operands[4] = {src, TT_NO_OPERAND, TT_NO_OPERAND, dst};
    TT_TRY(scalar(lower, TT_F32, q->dst_scale, &operands[1], err));
    TT_TRY(scalar(lower, shape.dtype, (float)q->dst_zero_point, &operands[2], err));
    return tt_lower_kernel(lower, node, "quantize", run_store, &quantize,
                           sizeof quantize, operands, 3, 1, &work, err);
}

/* One clamp or nothing, in real units. */
static bool read_clamp(const tt_node *node, int first, float *low, float *high)
{
    const tt_node_post *post = &node->posts[first];
    *low = -INFINITY;
    *high = INFINITY;
    if (node->n_posts == first) return true;
    if (node->n_posts > first + 1 || post->kind != TT_POST_ELTWISE) return false;
    if (post->alg == TT_ALG_RELU && post->alpha == 0.0f) {
        *low = 0.0f;
        return true;
    }
    *low = post->alpha;
    *high = post->beta;
    return post->alg == TT_ALG_CLIP;
}

bool tt_quantized_clamp(const tt_node *node, int first, tt_dtype dst, float *low,
                        float *high)
{
    const tt_quantized *q = tt_quantized_of(node);
    float least = dst == TT_U8 ? 0.0f : -128.0f;
    if (!read_clamp(node, first, low, high)) return false;
    *low = *low / q->dst_scale + (float)q->dst_zero_point;
    *high = *high / q->dst_scale + (float)q->dst_zero_point;
    if (dst == TT_F32) return true;
    *low = fminf(fmaxf(*low, least), least + 255.0f);
    *high = fmaxf(fminf(*high, least + 255.0f), least);
    return true;
}

/* ---- kernels of our own ------------------------------------------------------------ */

tt_status tt_quantized_make_scales(tt_lower *lower, const tt_node *node, int64_t n,
                                   tt_quantized_scales *out, tt_error *err)
{
    const tt_constant *scales =
        tt_graph_constant(tt_lower_graph(lower), node->inputs[TT_QUANTIZED_SCALES]);
    tt_shape shape = {.dtype = TT_F32, .rank = 1, .dims = {n}};
    tt_constant *made;
    tt_operand bias;
    void *data;
    *out = (tt_quantized_scales){.quantized = tt_quantized_of(node),
                                 .scale = tt_constant_data(scales)};
    out->is_one = tt_shape_numel(tt_constant_shape(scales)) == 1;
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &bias, err));
    if (bias != TT_NO_OPERAND) out->bias = tt_operand_constant(lower, bias);
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    out->multipliers = data;
    TT_TRY(tt_lower_constant(lower, made, &out->multiplier, err));
    TT_TRY(tt_constant_empty(&shape, &made, &data, err));
    out->offsets = data;
    return tt_lower_constant(lower, made, &out->offset, err);
}

double tt_quantized_step(const tt_quantized_scales *scales, int64_t c)
{
    double scale = (double)scales->scale[scales->is_one ? 0 : c];
    return (double)scales->quantized->src_scale * scale;
}

double tt_quantized_bias(const tt_quantized_scales *scales, int64_t c)
{
    return scales->bias != NULL ? (double)scales->bias[c] : 0.0;
}

void tt_quantized_set(const tt_quantized_scales *scales, int64_t place, double step,
                      double shift)
{
    const tt_quantized *q = scales->quantized;
    double dst_scale = (double)q->dst_scale;
    scales->multipliers[place] = (float)(step / dst_scale);
    scales->offsets[place] = (float)(shift / dst_scale + q->dst_zero_point);
}

bool tt_quantized_is_bounded(const tt_quantized_scales *scales, double step,
                             double shift, int64_t taps, double more)
{
    double dst_scale = (double)scales->quantized->dst_scale;
    double most = fabs(step / dst_scale) * 255.0 * 128.0 * (double)taps +
                  fabs(shift / dst_scale) + more;
    return most < 1e9; /* NaN is not */
}
