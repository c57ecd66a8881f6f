/* Lowering of convolutions: see conv_common.h.
 *
 * oneDNN works channels-last with weights packed in the layout it chooses: once, or in
 * each call where the model computes them.
 * When a post-op, a dtype or a shape would get oneDNN's reference implementation,
 * the post-ops move to a step of their own, and last of all the convolution goes to
 * the plain kernel of our own.  Where an own kernel beats oneDNN's, conv_own.c comes
 * first, and for integers (quantized.h) conv_depthwise.c and conv_u8s8.c; last of all
 * they take oneDNN's reference. */
#include "ops/conv_common.h"

#include <string.h>

#include "ops/quantized_args.h"
#include "ops/relayout.h"

typedef struct {
    const tt_conv_geometry *geometry;
    tt_operand src, weights, bias;
    bool is_quantized;
    bool is_mixed; /* bf16 with weights or a result of f32: no own kernel does that */
    bool takes_reference;
    tt_md plain; /* weights as oneDNN wants their dims */
    tt_work work;
    tt_conv_params params;
    tt_prim_args args;
} conv_state;

static tt_status create_conv(tt_engine *engine, const void *params, tt_prim **out,
                             tt_error *err)
{
    return tt_conv_new(engine, params, out, err);
}

static tt_status create_deconv(tt_engine *engine, const void *params, tt_prim **out,
                               tt_error *err)
{
    return tt_deconv_new(engine, params, out, err);
}

/* Weights as [g,] oc, ic, k..; a Conv holds [g oc, ic, k..], a ConvTranspose
 * [g ic, oc, k..]. */
tt_md tt_conv_weights_md(const tt_conv_geometry *g, const tt_shape *shape,
                         const int64_t *strides)
{
    tt_md md = {.dtype = shape->dtype};
    int first = g->is_transposed ? 1 : 0, second = 1 - first, n = 0;
    if (g->groups > 1) {
        md.dims[n] = g->groups;
        md.strides[n++] =
            strides[0] * (g->is_transposed ? g->src_channels : g->dst_channels);
    }
    md.dims[n] = g->dst_channels;
    md.strides[n++] = strides[first];
    md.dims[n] = g->src_channels;
    md.strides[n++] = strides[second];
    for (int i = 0; i < g->window.rank; ++i) {
        md.dims[n] = g->window.kernel[i];
        md.strides[n++] = strides[2 + i];
    }
    md.ndims = n;
    return md;
}

tt_md tt_conv_image_md(const tt_shape *shape)
{
    tt_md md = {.dtype = shape->dtype, .ndims = shape->rank};
    memcpy(md.dims, shape->dims, sizeof md.dims);
    tt_strides_channels_last(md.dims, md.ndims, md.strides);
    return md;
}

void tt_conv_window_params(const tt_window *w, tt_conv_params *p)
{
    for (int i = 0; i < w->rank; ++i) {
        p->strides[i] = w->strides[i];
        p->dilations[i] = w->dilations[i] - 1;
        p->pads_begin[i] = w->pads_begin[i];
        p->pads_end[i] = w->pads_end[i];
    }
}

static void fill_params(conv_state *s, const tt_shape *src, const tt_shape *bias,
                        const tt_shape *dst)
{
    tt_conv_params *p = &s->params;
    p->src = tt_conv_image_md(src);
    p->weights = s->plain;
    if (!s->is_quantized) p->weights.dtype = p->src.dtype; /* rounded when packed */
    p->weights.any = true;
    if (bias != NULL)
        p->bias = (tt_md){
            .dtype = bias->dtype, .ndims = 1, .dims = {bias->dims[0]}, .strides = {1}};
    p->dst = tt_conv_image_md(dst);
    tt_conv_window_params(&s->geometry->window, p);
}

static void swap(int64_t *a, int64_t *b)
{
    int64_t t = *a;
    *a = *b;
    *b = t;
}

static void swap_dims(tt_md *md, int at)
{
    swap(&md->dims[at], &md->dims[at + 1]);
    swap(&md->strides[at], &md->strides[at + 1]);
}

/* An image of width 1 is the same memory as one of height 1, and oneDNN blocks over the
 * width: a column as a column runs at a quarter of the speed of a row. */
static void column_as_row(conv_state *s)
{
    const tt_window *w = &s->geometry->window;
    tt_conv_params *p = &s->params;
    int at = s->geometry->groups > 1 ? 3 : 2;
    if (w->rank != 2 || w->src[1] != 1 || w->dst[1] != 1 || w->kernel[1] != 1) return;
    if (w->src[0] == 1) return;
    swap_dims(&p->src, 2);
    swap_dims(&p->dst, 2);
    /* oneDNN knows a layout by all strides, those of dims of one item included */
    tt_strides_channels_last(p->src.dims, 4, p->src.strides);
    tt_strides_channels_last(p->dst.dims, 4, p->dst.strides);
    swap_dims(&p->weights, at);
    swap_dims(&s->plain, at);
    for (int i = 0; i < s->args.attr.n_posts; ++i) {
        tt_md *operand = &s->args.attr.posts[i].operand;
        if (s->args.attr.posts[i].kind != TT_POST_BINARY) continue;
        swap_dims(operand, 2);
        if (memcmp(operand->dims, p->dst.dims, 4 * sizeof operand->dims[0]) == 0)
            tt_strides_channels_last(operand->dims, 4, operand->strides);
    }
    swap(&p->strides[0], &p->strides[1]);
    swap(&p->dilations[0], &p->dilations[1]);
    swap(&p->pads_begin[0], &p->pads_begin[1]);
    swap(&p->pads_end[0], &p->pads_end[1]);
}

/* *out is NULL when oneDNN has nothing, or only its reference implementation. */
static tt_status create(tt_lower *lower, conv_state *s, tt_prim **out, tt_error *err)
{
    tt_prim_create make = s->geometry->is_transposed ? create_deconv : create_conv;
    tt_status status = tt_lower_create(lower, make, &s->params, &s->work, out, err);
    if (status == TT_UNSUPPORTED) {
        *out = NULL;
        return TT_OK;
    }
    TT_TRY(status);
    if (tt_prim_is_reference(*out) && !s->takes_reference) {
        tt_prim_free(*out);
        *out = NULL;
    }
    return TT_OK;
}

/* The post-ops and, of integers, scales and zero points; without posts an integer
 * convolution gives f32. */
static void set_attr(const tt_graph *graph, const tt_node *node, conv_state *s,
                     bool has_posts)
{
    int channel_mask = s->geometry->groups > 1 ? 3 : 1;
    s->params.attr = has_posts ? s->args.attr : tt_attr_default();
    if (!s->is_quantized) return;
    tt_quantized_masks(graph, node, channel_mask, has_posts, &s->params.attr);
    if (!has_posts) s->params.dst.dtype = TT_F32;
}

static tt_status destination(tt_lower *lower, const tt_node *node, conv_state *s,
                             tt_operand *out, tt_error *err)
{
    if (s->args.sum != TT_NO_OPERAND)
        return tt_lower_dst_inplace(lower, node, 0, s->args.sum, out, err);
    return tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, out, err);
}

/* Where the primitive writes: the output, or f32 before it becomes integers. */
static tt_status primitive_dst(tt_lower *lower, const tt_node *node, conv_state *s,
                               bool has_posts, tt_operand *out, tt_error *err)
{
    tt_shape shape = tt_lower_graph(lower)->values[node->outputs[0]].shape;
    int64_t strides[TT_MAX_RANK];
    if (has_posts) return destination(lower, node, s, out, err);
    if (shape.dtype == s->params.dst.dtype)
        return tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, out, err);
    shape.dtype = s->params.dst.dtype;
    tt_strides_channels_last(shape.dims, shape.rank, strides);
    return tt_lower_tensor(lower, &shape, strides, out, err);
}

static tt_status collect(tt_lower *lower, const tt_node *node, conv_state *s,
                         const tt_prim *prim, bool has_posts, tt_prim_args *args,
                         tt_error *err)
{
    tt_operand weights, dst;
    TT_TRY(tt_relayout_src(lower, node, prim, TT_ARG_WEIGHTS, s->weights, &s->plain,
                           &weights, err));
    TT_TRY(primitive_dst(lower, node, s, has_posts, &dst, err));
    tt_prim_args_add(args, TT_ARG_SRC, s->src);
    tt_prim_args_add(args, TT_ARG_WEIGHTS, weights);
    if (s->bias != TT_NO_OPERAND) tt_prim_args_add(args, TT_ARG_BIAS, s->bias);
    if (s->is_quantized) TT_TRY(tt_quantized_args(lower, node, has_posts, args, err));
    for (int i = 0; i < s->args.n && has_posts; ++i)
        tt_prim_args_add(args, s->args.args[i], s->args.operands[i]);
    tt_prim_args_add(args, TT_ARG_DST, dst);
    return TT_OK;
}

/* What the primitive left out, in steps of their own. */
static tt_status finish(tt_lower *lower, const tt_node *node, conv_state *s,
                        tt_operand made, tt_error *err)
{
    tt_dtype dtype = tt_lower_graph(lower)->values[node->outputs[0]].shape.dtype;
    tt_operand dst;
    TT_TRY(tt_posts_lower(lower, node, made, &s->params.dst, &s->args, err));
    if (dtype == s->params.dst.dtype) return TT_OK;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &dst, err));
    return tt_quantized_store(lower, node, made, dst, err);
}

/* Takes prim in any case. */
static tt_status add_prim(tt_lower *lower, const tt_node *node, conv_state *s,
                          tt_prim *prim, bool has_posts, tt_error *err)
{
    tt_prim_args args = tt_prim_args_empty();
    tt_status status = collect(lower, node, s, prim, has_posts, &args, err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    TT_TRY(tt_lower_prim(lower, node, prim, args.args, args.operands, args.n - 1, 1,
                         &s->work, err));
    return has_posts ? TT_OK : finish(lower, node, s, args.operands[args.n - 1], err);
}

void tt_conv_five(const int64_t *from, int rank, int64_t *to)
{
    to[0] = from[0];
    to[1] = from[1];
    for (int i = 0; i < 3; ++i)
        to[2 + i] = i < 5 - rank ? 0 : from[i + rank - 3];
}

void tt_conv_six(const tt_conv_geometry *g, const tt_md *weights, int64_t *out)
{
    int missing = 3 - g->window.rank, at = g->groups > 1 ? 1 : 0;
    out[0] = at == 1 ? weights->strides[0] : 0;
    out[1] = weights->strides[at];
    out[2] = weights->strides[at + 1];
    for (int i = 0; i < 3; ++i)
        out[3 + i] = i >= missing ? weights->strides[at + 2 + i - missing] : 0;
}

tt_conv_kernel tt_conv_plain_kernel(const tt_conv_geometry *g, tt_dtype dtype,
                                    int64_t batch)
{
    const tt_window *w = &g->window;
    int missing = 3 - w->rank;
    tt_conv_kernel k = {.dtype = dtype,
                        .is_transposed = g->is_transposed,
                        .batch = batch,
                        .groups = g->groups,
                        .src_channels = g->src_channels,
                        .dst_channels = g->dst_channels};
    for (int i = 0; i < 3; ++i) {
        bool real = i >= missing;
        int from = real ? i - missing : 0;
        k.src[i] = real ? w->src[from] : 1;
        k.dst[i] = real ? w->dst[from] : 1;
        k.kernel[i] = real ? w->kernel[from] : 1;
        k.strides[i] = real ? w->strides[from] : 1;
        k.dilations[i] = real ? w->dilations[from] : 1;
        k.pads[i] = real ? w->pads_begin[from] : 0;
    }
    return k;
}

static tt_status add_plain(tt_lower *lower, const tt_node *node, conv_state *s,
                           tt_error *err)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_shape src = *tt_operand_shape(lower, s->src);
    tt_operand operands[4] = {s->src, s->weights, s->bias, TT_NO_OPERAND};
    tt_conv_kernel k = tt_conv_plain_kernel(g, src.dtype, src.dims[0]);
    k.has_bias = s->bias != TT_NO_OPERAND;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[3], err));
    tt_conv_six(g, &s->plain, k.weights_strides);
    tt_conv_five(tt_operand_strides(lower, s->src), src.rank, k.src_strides);
    tt_conv_five(tt_operand_strides(lower, operands[3]), src.rank, k.dst_strides);
    s->work.cost_ns = s->work.flops;
    TT_TRY(tt_lower_kernel(lower, node, "conv:ref", tt_conv_run_ref, &k, sizeof k,
                           operands, 3, 1, &s->work, err));
    tt_md md = tt_operand_md(lower, operands[3]);
    return tt_posts_lower(lower, node, operands[3], &md, &s->args, err);
}

static void estimate(conv_state *s, const tt_shape *src, const tt_shape *weights,
                     const tt_shape *dst)
{
    const tt_conv_geometry *g = s->geometry;
    double taps = (double)g->src_channels, outputs = (double)tt_shape_numel(dst);
    if (g->is_transposed) {
        taps = (double)g->dst_channels;
        outputs = (double)tt_shape_numel(src);
    }
    for (int i = 0; i < g->window.rank; ++i)
        taps *= (double)g->window.kernel[i];
    s->work.flops = 2.0 * taps * outputs;
    s->work.bytes = (double)tt_shape_bytes(src) + (double)tt_shape_bytes(weights) +
                    (double)tt_shape_bytes(dst);
}

/* With the posts if it can be; *out is NULL when only the plain kernel is left. */
static tt_status find_prim(tt_lower *lower, const tt_node *node, conv_state *s,
                           bool *has_posts, tt_prim **out, tt_error *err)
{
    *has_posts = true;
    set_attr(tt_lower_graph(lower), node, s, *has_posts);
    TT_TRY(create(lower, s, out, err));
    if (*out != NULL) return TT_OK;
    if (node->n_posts == 0 && !s->is_quantized && !s->is_mixed) return TT_OK;
    *has_posts = false;
    set_attr(tt_lower_graph(lower), node, s, *has_posts);
    TT_TRY(create(lower, s, out, err));
    if (*out != NULL || (!s->is_quantized && !s->is_mixed)) return TT_OK;
    s->takes_reference = true;
    return create(lower, s, out, err);
}

int64_t tt_conv_taps(const tt_conv_geometry *geometry)
{
    int64_t n = geometry->src_channels;
    for (int i = 0; i < geometry->window.rank; ++i)
        n *= geometry->window.kernel[i];
    return n;
}

bool tt_conv_is_depthwise(const tt_conv_geometry *g, int64_t most)
{
    const tt_window *w = &g->window;
    if (g->groups < 2 || g->src_channels != 1 || g->dst_channels != 1 || w->rank > 2)
        return false;
    for (int i = 0; i < w->rank; ++i)
        if (w->dilations[i] != 1 || w->kernel[i] > most || w->strides[i] > most)
            return false;
    return true;
}

tt_status tt_conv_lower(tt_lower *lower, const tt_node *node,
                        const tt_conv_geometry *geometry, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    const tt_shape dst = graph->values[node->outputs[0]].shape;
    const tt_shape weights = graph->values[node->inputs[1]].shape;
    conv_state s = {.geometry = geometry, .args = tt_prim_args_empty()};
    const tt_dtype src = graph->values[node->inputs[0]].shape.dtype;
    bool has_posts = true, done;
    tt_prim *prim = NULL;
    s.is_quantized = tt_quantized_of(node) != NULL;
    s.is_mixed = src == TT_BF16 && (weights.dtype != src || dst.dtype != src);
    estimate(&s, &graph->values[node->inputs[0]].shape, &weights, &dst);
    TT_TRY(tt_conv_lower_own(lower, node, geometry, &s.work, &done, err));
    if (done) return TT_OK;
    TT_TRY(tt_conv_lower_depthwise(lower, node, geometry, &s.work, &done, err));
    if (done) return TT_OK;
    TT_TRY(tt_conv_lower_u8s8(lower, node, geometry, &s.work, &done, err));
    if (done) return TT_OK;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST, &s.src, err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ANY, &s.weights, err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &s.bias, err));
    s.plain =
        tt_conv_weights_md(geometry, &weights, tt_operand_strides(lower, s.weights));
    fill_params(&s, &graph->values[node->inputs[0]].shape,
                s.bias == TT_NO_OPERAND ? NULL : tt_operand_shape(lower, s.bias), &dst);
    TT_TRY(tt_prim_args_posts(lower, node, dst.rank, TT_ORDER_CHANNELS_LAST, &s.args,
                              err));
    if (!s.is_quantized &&
        ((dst.dtype != TT_F32 && dst.dtype != TT_BF16) || s.work.flops == 0.0))
        return add_plain(lower, node, &s, err);
    column_as_row(&s);
    TT_TRY(find_prim(lower, node, &s, &has_posts, &prim, err));
    if (prim != NULL) return add_prim(lower, node, &s, prim, has_posts, err);
    if (!s.is_quantized && !s.is_mixed) return add_plain(lower, node, &s, err);
    return tt_fail(err, TT_UNSUPPORTED, "%s '%s': oneDNN has no convolution of %s",
                   node->op_type, node->name, tt_dtype_name(src));
}

tt_status tt_conv_is_fast(tt_engine *engine, const tt_site *site,
                          const tt_conv_geometry *geometry, bool *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *weights = tt_input_shape(site, 1);
    conv_state s = {.geometry = geometry, .is_quantized = true};
    int64_t strides[TT_MAX_RANK];
    tt_strides_row_major(weights->dims, weights->rank, strides);
    s.args = tt_prim_args_empty();
    s.plain = tt_conv_weights_md(geometry, weights, strides);
    fill_params(&s, tt_input_shape(site, 0),
                tt_has_input(site, 2) ? tt_input_shape(site, 2) : NULL,
                &site->graph->values[node->outputs[0]].shape);
    column_as_row(&s);
    set_attr(site->graph, node, &s, /*has_posts=*/false);
    return tt_conv_probe(engine, &s.params, geometry->is_transposed, out, err);
}
