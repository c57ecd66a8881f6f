/* Conv (opsets 1, 11, 22): convolution over one to three spatial dims. */
#include "ops/conv_common.h"
#include "ops/fail.h"
#include "ops/quantized.h"

tt_status tt_conv_read_geometry(const tt_site *site, tt_conv_geometry *out,
                                tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src, *weights;
    int64_t groups;
    TT_TRY(tt_need_inputs(site, 2, err));
    src = tt_input_shape(site, 0);
    weights = tt_input_shape(site, 1);
    TT_TRY(tt_attribute_int(node, "group", 1, &groups, err));
    if (weights->rank != src->rank || src->rank < 3) {
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input of rank %d and weights of rank %d, expected equal "
                          "ranks of at least 3",
                          src->rank, weights->rank);
    }
    if (groups < 1 || weights->dims[0] % groups != 0 || src->dims[1] % groups != 0 ||
        src->dims[1] / groups != weights->dims[1]) {
        char a[128], b[128];
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input %s and weights %s do not fit %lld groups",
                          tt_shape_text(src, a, sizeof a),
                          tt_shape_text(weights, b, sizeof b), (long long)groups);
    }
    *out = (tt_conv_geometry){.groups = groups,
                              .src_channels = weights->dims[1],
                              .dst_channels = weights->dims[0] / groups};
    return tt_window_slide(node, src, &weights->dims[2], &out->window, err);
}

static tt_status check_types(const tt_site *site, tt_error *err)
{
    const tt_node *node = site->node;
    tt_dtype dtype = tt_layer_dtype(site);
    int64_t channels = tt_input_shape(site, 1)->dims[0];
    const tt_shape *bias;
    if (!tt_dtype_is_float(dtype) || tt_input_shape(site, 1)->dtype != dtype) {
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input of %s and weights of %s, expected one float type",
                          tt_dtype_name(tt_input_shape(site, 0)->dtype),
                          tt_dtype_name(tt_input_shape(site, 1)->dtype));
    }
    if (!tt_has_input(site, 2)) return TT_OK;
    bias = tt_input_shape(site, 2);
    if (bias->dtype == dtype && bias->rank == 1 && bias->dims[0] == channels)
        return TT_OK;
    char text[128];
    return tt_fail_at(node, err, TT_BAD_MODEL, "bias is %s %s, expected %s [%lld]",
                      tt_dtype_name(bias->dtype),
                      tt_shape_text(bias, text, sizeof text), tt_dtype_name(dtype),
                      (long long)channels);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(tt_conv_read_geometry(site, &geometry, err));
    TT_TRY(check_types(site, err));
    out[0] = *tt_input_shape(site, 0);
    out[0].dtype = tt_layer_dtype(site);
    out[0].dims[1] = tt_input_shape(site, 1)->dims[0];
    for (int i = 0; i < geometry.window.rank; ++i)
        out[0].dims[2 + i] = geometry.window.dst[i];
    return tt_check_shape(site, &out[0], err);
}

static tt_status lower_conv(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_conv_geometry geometry;
    tt_operand dst;
    TT_TRY(tt_conv_read_geometry(&site, &geometry, err));
    if (tt_shape_numel(&site.graph->values[node->outputs[0]].shape) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &dst, err);
    return tt_conv_lower(lower, node, &geometry, err);
}

tt_status tt_conv_integers_are_fast(tt_engine *engine, const tt_site *site, bool *out,
                                    tt_error *err)
{
    tt_conv_geometry geometry;
    *out = false;
    TT_TRY(tt_conv_read_geometry(site, &geometry, err));
    if (tt_shape_numel(&site->graph->values[site->node->outputs[0]].shape) == 0)
        return TT_OK;
    return tt_conv_is_fast(engine, site, &geometry, out, err);
}

const tt_op tt_op_quantized_conv = {
    .name = "QuantizedConv",
    .domain = "trimtab",
    .since = 1,
    .summary = "convolution of integers",
    .accepts_posts = true,
    .lower = lower_conv,
};

const tt_op tt_op_conv = {
    .name = "Conv",
    .domain = "",
    .since = 1,
    .summary = "convolution over one to three spatial dims",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_conv,
};
