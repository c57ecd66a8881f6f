/* ConvGradInput and ConvGradWeight of domain trimtab: the gradients of a Conv, with its
 * attributes and inputs (src, weights) and the gradient of its result as input 2.
 *
 * ConvGradInput reads only the shape of src, ConvGradWeight only that of weights; output
 * 1 of the latter, where it is there, is the gradient of the bias.  oneDNN's backward
 * primitives do the work; what they lack goes to kernels of our own. */
#include <string.h>

#include "kernels/conv_grad.h"
#include "ops/conv_common.h"
#include "ops/fail.h"
#include "ops/relayout.h"

static tt_status check(tt_site *site, tt_conv_geometry *geometry, tt_error *err)
{
    const tt_shape *src, *weights, *gradient;
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(tt_conv_read_geometry(site, geometry, err));
    src = tt_input_shape(site, 0);
    weights = tt_input_shape(site, 1);
    gradient = tt_input_shape(site, 2);
    bool fits = gradient->rank == src->rank && gradient->dims[0] == src->dims[0] &&
                gradient->dims[1] == weights->dims[0];
    for (int i = 0; fits && i < geometry->window.rank; ++i)
        fits = gradient->dims[2 + i] == geometry->window.dst[i];
    if (!fits || !tt_dtype_is_float(src->dtype) || src->dtype != weights->dtype ||
        src->dtype != gradient->dtype) {
        char a[128], b[128], c[128];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "no convolution of %s %s with weights %s gives %s",
                          tt_dtype_name(src->dtype), tt_shape_text(src, a, sizeof a),
                          tt_shape_text(weights, b, sizeof b),
                          tt_shape_text(gradient, c, sizeof c));
    }
    return TT_OK;
}

static tt_status infer_src(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(check(site, &geometry, err));
    out[0] = *tt_input_shape(site, 0);
    return TT_OK;
}

static tt_status infer_weights(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(check(site, &geometry, err));
    out[0] = *tt_input_shape(site, 1);
    if (site->node->n_outputs < 2) return TT_OK;
    out[1] = (tt_shape){
        .dtype = out[0].dtype, .rank = 1, .dims = {tt_input_shape(site, 1)->dims[0]}};
    return TT_OK;
}

static tt_status create_src(tt_engine *engine, const void *params, tt_prim **out,
                            tt_error *err)
{
    return tt_conv_grad_src_new(engine, params, out, err);
}

static tt_status create_weights(tt_engine *engine, const void *params, tt_prim **out,
                                tt_error *err)
{
    return tt_conv_grad_weights_new(engine, params, out, err);
}

/* *out is NULL when oneDNN has nothing, or only its reference implementation. */
static tt_status create(tt_lower *lower, tt_prim_create make, const tt_conv_params *p,
                        const tt_work *work, tt_prim **out, tt_error *err)
{
    tt_status status;
    *out = NULL;
    if (p->src.dtype != TT_F32 || !tt_lower_wants_primitives(lower)) return TT_OK;
    status = tt_lower_create(lower, make, p, work, out, err);
    if (status == TT_UNSUPPORTED) {
        *out = NULL;
        return TT_OK;
    }
    TT_TRY(status);
    if (!tt_prim_is_reference(*out)) return TT_OK;
    tt_prim_free(*out);
    *out = NULL;
    return TT_OK;
}

static tt_work estimate(const tt_conv_geometry *g, const tt_shape *src,
                        const tt_shape *weights, const tt_shape *gradient)
{
    double taps = (double)g->src_channels * (double)tt_shape_numel(gradient);
    for (int i = 0; i < g->window.rank; ++i)
        taps *= (double)g->window.kernel[i];
    return (tt_work){.flops = 2.0 * taps,
                     .bytes = (double)tt_shape_bytes(src) +
                              (double)tt_shape_bytes(weights) +
                              (double)tt_shape_bytes(gradient)};
}

static tt_conv_params describe(const tt_site *site, const tt_conv_geometry *g)
{
    const tt_shape *weights = tt_input_shape(site, 1);
    int64_t strides[TT_MAX_RANK];
    tt_conv_params p = {.src = tt_conv_image_md(tt_input_shape(site, 0)),
                        .dst = tt_conv_image_md(tt_input_shape(site, 2)),
                        .attr = tt_attr_default()};
    tt_strides_row_major(weights->dims, weights->rank, strides);
    p.weights = tt_conv_weights_md(g, weights, strides);
    p.weights.any = true;
    tt_conv_window_params(&g->window, &p);
    return p;
}

/* ---- the input's gradient ----------------------------------------------------- */

/* Does not take prim. */
static tt_status collect_src(tt_lower *lower, const tt_node *node,
                             const tt_conv_geometry *g, const tt_prim *prim,
                             tt_operand operands[3], tt_error *err)
{
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[1]].shape;
    tt_operand weights;
    tt_md plain;
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_CHANNELS_LAST, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ANY, &weights, err));
    plain = tt_conv_weights_md(g, &shape, tt_operand_strides(lower, weights));
    TT_TRY(tt_relayout_src(lower, node, prim, TT_ARG_WEIGHTS, weights, &plain,
                           &operands[1], err));
    return tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[2], err);
}

/* Takes prim. */
static tt_status src_by_prim(tt_lower *lower, const tt_node *node,
                             const tt_conv_geometry *g, tt_prim *prim,
                             const tt_work *work, tt_error *err)
{
    const tt_arg args[3] = {TT_ARG_DIFF_DST, TT_ARG_WEIGHTS, TT_ARG_DIFF_SRC};
    tt_operand operands[3];
    tt_status status = collect_src(lower, node, g, prim, operands, err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    return tt_lower_prim(lower, node, prim, args, operands, 2, 1, work, err);
}

/* The gradient spread over the input: a transposed convolution with the same weights. */
static tt_status src_by_kernel(tt_lower *lower, const tt_node *node,
                               const tt_conv_geometry *g, tt_work work, tt_error *err)
{
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[1]].shape;
    tt_operand operands[4] = {TT_NO_OPERAND, TT_NO_OPERAND, TT_NO_OPERAND,
                              TT_NO_OPERAND};
    tt_conv_kernel k, forward;
    int64_t strides[6];
    tt_md plain;
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ANY, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[3], err));
    forward = tt_conv_plain_kernel(g, shape.dtype,
                                   tt_operand_shape(lower, operands[0])->dims[0]);
    k = forward;
    k.is_transposed = true;
    k.src_channels = forward.dst_channels;
    k.dst_channels = forward.src_channels;
    memcpy(k.src, forward.dst, sizeof k.src);
    memcpy(k.dst, forward.src, sizeof k.dst);
    plain = tt_conv_weights_md(g, &shape, tt_operand_strides(lower, operands[1]));
    tt_conv_six(g, &plain, strides);
    memcpy(k.weights_strides, strides, sizeof strides);
    k.weights_strides[1] = strides[2];
    k.weights_strides[2] = strides[1];
    tt_conv_five(tt_operand_strides(lower, operands[0]), shape.rank, k.src_strides);
    tt_conv_five(tt_operand_strides(lower, operands[3]), shape.rank, k.dst_strides);
    work.cost_ns = work.flops;
    return tt_lower_kernel(lower, node, "conv_grad_src:ref", tt_conv_run_ref, &k,
                           sizeof k, operands, 3, 1, &work, err);
}

static tt_status lower_src(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_conv_geometry g;
    tt_conv_params p;
    tt_operand dst;
    tt_prim *prim;
    tt_work work;
    TT_TRY(check(&site, &g, err));
    if (tt_shape_numel(tt_input_shape(&site, 0)) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &dst, err);
    work = estimate(&g, tt_input_shape(&site, 0), tt_input_shape(&site, 1),
                    tt_input_shape(&site, 2));
    p = describe(&site, &g);
    TT_TRY(create(lower, create_src, &p, &work, &prim, err));
    return prim != NULL ? src_by_prim(lower, node, &g, prim, &work, err)
                        : src_by_kernel(lower, node, &g, work, err);
}

/* ---- the weights' gradient ----------------------------------------------------- */

static bool wants_bias(const tt_node *node)
{
    return node->n_outputs > 1 && node->outputs[1] >= 0;
}

/* Sources, the place of the weights and what the primitive writes in their stead. */
static tt_status collect_weights(tt_lower *lower, const tt_node *node,
                                 const tt_prim *prim, const tt_md *plain,
                                 tt_operand operands[4], tt_operand *weights,
                                 tt_error *err)
{
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_CHANNELS_LAST, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, weights, err));
    TT_TRY(tt_relayout_dst(lower, prim, TT_ARG_DIFF_WEIGHTS, *weights, plain,
                           &operands[2], err));
    if (!wants_bias(node)) return TT_OK;
    return tt_lower_dst(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[3], err);
}

/* Takes prim. */
static tt_status weights_by_prim(tt_lower *lower, const tt_node *node, tt_md plain,
                                 tt_prim *prim, const tt_work *work, tt_error *err)
{
    const tt_arg args[4] = {TT_ARG_SRC, TT_ARG_DIFF_DST, TT_ARG_DIFF_WEIGHTS,
                            TT_ARG_DIFF_BIAS};
    tt_operand operands[4], weights;
    tt_status status;
    plain.any = false;
    status = collect_weights(lower, node, prim, &plain, operands, &weights, err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    TT_TRY(tt_lower_prim(lower, node, prim, args, operands, 2, wants_bias(node) ? 2 : 1,
                         work, err));
    return tt_relayout_finish(lower, node, prim, TT_ARG_DIFF_WEIGHTS, operands[2],
                              weights, &plain, err);
}

static tt_status weights_by_kernel(tt_lower *lower, const tt_node *node,
                                   const tt_conv_geometry *g, const tt_md *plain,
                                   tt_work work, tt_error *err)
{
    tt_operand operands[4];
    tt_conv_kernel k;
    tt_shape src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ANY, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    operands[3] = TT_NO_OPERAND;
    if (wants_bias(node))
        TT_TRY(tt_lower_dst(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[3], err));
    src = *tt_operand_shape(lower, operands[0]);
    k = tt_conv_plain_kernel(g, src.dtype, src.dims[0]);
    tt_conv_six(g, plain, k.weights_strides);
    tt_conv_five(tt_operand_strides(lower, operands[0]), src.rank, k.src_strides);
    tt_conv_five(tt_operand_strides(lower, operands[1]), src.rank, k.dst_strides);
    work.cost_ns = work.flops;
    return tt_lower_kernel(lower, node, "conv_grad_weights:ref",
                           tt_conv_grad_weights_ref, &k, sizeof k, operands, 2, 2,
                           &work, err);
}

static tt_status lower_weights(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *weights = tt_input_shape(&site, 1);
    tt_prim *prim = NULL;
    tt_conv_geometry g;
    tt_conv_params p;
    tt_work work;
    TT_TRY(check(&site, &g, err));
    work = estimate(&g, tt_input_shape(&site, 0), weights, tt_input_shape(&site, 2));
    p = describe(&site, &g);
    if (wants_bias(node))
        p.bias = (tt_md){.dtype = weights->dtype,
                         .ndims = 1,
                         .dims = {weights->dims[0]},
                         .strides = {1}};
    if (work.flops != 0.0) TT_TRY(create(lower, create_weights, &p, &work, &prim, err));
    return prim != NULL ? weights_by_prim(lower, node, p.weights, prim, &work, err)
                        : weights_by_kernel(lower, node, &g, &p.weights, work, err);
}

const tt_op tt_op_conv_grad_input = {
    .name = "ConvGradInput",
    .domain = "trimtab",
    .since = 1,
    .summary = "gradient of the input of a convolution",
    .infer = infer_src,
    .lower = lower_src,
};

const tt_op tt_op_conv_grad_weight = {
    .name = "ConvGradWeight",
    .domain = "trimtab",
    .since = 1,
    .summary = "gradient of the weights and the bias of a convolution",
    .infer = infer_weights,
    .lower = lower_weights,
};
