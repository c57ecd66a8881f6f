/* ConvTranspose (opsets 1, 11, 22): the gradient of a convolution, "deconvolution".
 *
 * dst = stride (src - 1) + output_padding + extent - pads; with output_shape the pads
 * follow from it, with auto_pad SAME_* the output is stride times the input. */
#include <string.h>

#include "ops/conv_common.h"
#include "ops/fail.h"
#include "ops/quantized.h"

static const int64_t DIM_MAX = INT64_C(1) << 40;

/* The optional list `name` of `n` items, all in [0, 2^30]; zeros when missing. */
static tt_status read_list(const tt_node *node, const char *name, int n, bool *is_given,
                           int64_t *out, tt_error *err)
{
    const int64_t *items;
    int count;
    TT_TRY(tt_attribute_ints(node, name, &items, &count, err));
    *is_given = items != NULL && count > 0;
    memset(out, 0, (size_t)n * sizeof *out);
    if (!*is_given) return TT_OK;
    if (count != n)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s has %d items, expected %d", name,
                          count, n);
    for (int i = 0; i < n; ++i) {
        out[i] = items[i];
        if (out[i] < 0 || out[i] > (INT64_C(1) << 30))
            return tt_fail_at(node, err, TT_BAD_MODEL, "%s %lld is not allowed", name,
                              (long long)out[i]);
    }
    return TT_OK;
}

/* Fills dst and pads of every spatial dim. */
static tt_status resolve(const tt_node *node, tt_window *w, tt_error *err)
{
    int64_t shape[2 * TT_MAX_SPATIAL], extra[TT_MAX_SPATIAL];
    bool has_shape, has_extra, same, upper;
    const char *auto_pad;
    const int64_t *given;
    int n_given, skip = 0;
    TT_TRY(tt_attribute_string(node, "auto_pad", "NOTSET", &auto_pad, err));
    upper = strcmp(auto_pad, "SAME_UPPER") == 0;
    same = upper || strcmp(auto_pad, "SAME_LOWER") == 0;
    TT_TRY(read_list(node, "output_padding", w->rank, &has_extra, extra, err));
    /* Some exporters write the batch and channel dims into output_shape too. */
    TT_TRY(tt_attribute_ints(node, "output_shape", &given, &n_given, err));
    if (n_given == w->rank + 2) skip = 2;
    TT_TRY(read_list(node, "output_shape", w->rank + skip, &has_shape, shape, err));
    for (int i = 0; i < w->rank; ++i) {
        int64_t full =
            w->strides[i] * (w->src[i] - 1) + extra[i] + tt_window_extent(w, i);
        int64_t total;
        if (strcmp(auto_pad, "VALID") == 0) w->pads_begin[i] = w->pads_end[i] = 0;
        if (has_shape || same) {
            w->dst[i] = has_shape ? shape[skip + i] : w->src[i] * w->strides[i];
            total = full > w->dst[i] ? full - w->dst[i] : 0;
            w->pads_begin[i] = upper ? total / 2 : total - total / 2;
        } else {
            w->dst[i] = full - w->pads_begin[i] - w->pads_end[i];
        }
        if (w->src[i] == 0) w->dst[i] = has_shape ? w->dst[i] : 0;
        if (w->dst[i] < 0 || w->dst[i] > DIM_MAX)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "the output would have %lld in spatial dim %d",
                              (long long)w->dst[i], i);
        /* what is left behind the last window; negative: rows of bias only */
        w->pads_end[i] = full - extra[i] - w->pads_begin[i] - w->dst[i];
    }
    return TT_OK;
}

static tt_status read_geometry(const tt_site *site, tt_conv_geometry *out,
                               tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src, *weights, *bias;
    int64_t groups, channels;
    char a[128], b[128];
    TT_TRY(tt_need_inputs(site, 2, err));
    src = tt_input_shape(site, 0);
    weights = tt_input_shape(site, 1);
    TT_TRY(tt_attribute_int(node, "group", 1, &groups, err));
    if (weights->rank != src->rank || src->rank < 3 || groups < 1 ||
        src->dims[1] != weights->dims[0] || src->dims[1] % groups != 0 ||
        (node->extra == NULL &&
         (!tt_dtype_is_float(src->dtype) || tt_layer_dtype(site) != weights->dtype)) ||
        weights->dims[1] > DIM_MAX / groups)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%s input %s and %s weights %s do not fit %lld groups",
                          tt_dtype_name(src->dtype), tt_shape_text(src, a, sizeof a),
                          tt_dtype_name(weights->dtype),
                          tt_shape_text(weights, b, sizeof b), (long long)groups);
    channels = groups * weights->dims[1];
    bias = tt_has_input(site, 2) ? tt_input_shape(site, 2) : NULL;
    if (bias != NULL && ((node->extra == NULL && bias->dtype != weights->dtype) ||
                         bias->rank != 1 || bias->dims[0] != channels))
        return tt_fail_at(node, err, TT_BAD_MODEL, "bias is %s %s, expected %s [%lld]",
                          tt_dtype_name(bias->dtype), tt_shape_text(bias, a, sizeof a),
                          tt_dtype_name(weights->dtype), (long long)channels);
    *out = (tt_conv_geometry){.is_transposed = true,
                              .groups = groups,
                              .src_channels = src->dims[1] / groups,
                              .dst_channels = weights->dims[1]};
    TT_TRY(tt_window_read(node, src, &weights->dims[2], &out->window, err));
    return resolve(node, &out->window, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(read_geometry(site, &geometry, err));
    out[0] = *tt_input_shape(site, 0);
    out[0].dtype = tt_layer_dtype(site);
    out[0].dims[1] = geometry.groups * geometry.dst_channels;
    for (int i = 0; i < geometry.window.rank; ++i)
        out[0].dims[2 + i] = geometry.window.dst[i];
    return tt_check_shape(site, &out[0], err);
}

static tt_status lower_conv_transpose(tt_lower *lower, const tt_node *node,
                                      tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_conv_geometry geometry;
    tt_operand dst;
    TT_TRY(read_geometry(&site, &geometry, err));
    if (tt_shape_numel(&site.graph->values[node->outputs[0]].shape) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &dst, err);
    return tt_conv_lower(lower, node, &geometry, err);
}

tt_status tt_conv_transpose_integers_are_fast(tt_engine *engine, const tt_site *site,
                                              bool *out, tt_error *err)
{
    tt_conv_geometry geometry;
    *out = false;
    TT_TRY(read_geometry(site, &geometry, err));
    if (tt_shape_numel(&site->graph->values[site->node->outputs[0]].shape) == 0)
        return TT_OK;
    return tt_conv_is_fast(engine, site, &geometry, out, err);
}

const tt_op tt_op_quantized_conv_transpose = {
    .name = "QuantizedConvTranspose",
    .domain = "trimtab",
    .since = 1,
    .summary = "transposed convolution of integers",
    .accepts_posts = true,
    .lower = lower_conv_transpose,
};

const tt_op tt_op_conv_transpose = {
    .name = "ConvTranspose",
    .domain = "",
    .since = 1,
    .summary = "transposed convolution over one to three spatial dims",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_conv_transpose,
};
