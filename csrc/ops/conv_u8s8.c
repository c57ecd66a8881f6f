/* Convolutions of u8 go to a kernel of our own where it was measured to beat oneDNN's:
 * 1x1 windows, whose results oneDNN scales slowly, and windows over so few channels that
 * it multiplies by zeros.  3x3 windows go to one that rounds more where the node asks for
 * it: the attribute `algorithm` is "winograd".  See kernels/conv_u8s8.h,
 * kernels/winograd_u8s8.h and DECISIONS.md. */
#include "kernels/conv_u8s8.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "kernels/winograd_u8s8.h"
#include "ops/conv_common.h"
#include "ops/quantized_args.h"

enum {
    TAPS_MAX = 1 << 15, /* sums and what their zero point takes stay within an int32 */
    EXTENT_MAX = 256,
    GROUP = 4, /* bytes of a dot product */
    FULL = 8,  /* channels to which one idle place may come */
    /* from so many taps on, and up to so many pixels, weights are read once and what
     * fetches them ahead counts more than how results are stored */
    LONG = 256,
    FEW_PIXELS = 64
};

/* The two kernels, which take the same. */
typedef struct {
    const char *(*name)(void);
    bool (*packed_bytes)(const int64_t dims[4], size_t *out);
    tt_derive pack;
    size_t (*scratch_bytes)(const tt_conv_u8s8 *kernel);
    tt_kernel run;
    int excess; /* how many times as far from 0 as sums its results may be */
} algorithm;

typedef struct {
    const algorithm *algorithm;
    const tt_quantized *quantized;
    const tt_node_post *sum; /* the post-op that adds bytes, or NULL */
    tt_conv_u8s8 kernel;
    tt_operand operands[TT_CONV_U8S8_POINTERS];
} u8s8_state;

/* Four dims: an image of one row has a window of one. */
static void pack_direct(const tt_md *plain, const void *weights, void *made)
{
    tt_conv_u8s8_pack(weights, plain->dims, plain->strides, made);
}

static void pack_winograd(const tt_md *plain, const void *weights, void *made)
{
    tt_winograd_u8s8_pack(weights, plain->dims, plain->strides, made);
}

static const algorithm direct = {.name = tt_conv_u8s8_name,
                                 .packed_bytes = tt_conv_u8s8_packed_bytes,
                                 .pack = pack_direct,
                                 .scratch_bytes = tt_conv_u8s8_scratch_bytes,
                                 .run = tt_conv_u8s8_run,
                                 .excess = 1};
static const algorithm winograd = {.name = tt_winograd_u8s8_name,
                                   .packed_bytes = tt_winograd_u8s8_packed_bytes,
                                   .pack = pack_winograd,
                                   .scratch_bytes = tt_winograd_u8s8_scratch_bytes,
                                   .run = tt_winograd_u8s8_run,
                                   .excess = 4};

static tt_dtype dtype_of(const tt_graph *graph, int value)
{
    return graph->values[value].shape.dtype;
}

/* What the kernel can do at all. */
static bool is_possible(const tt_lower *lower, const tt_node *node,
                        const tt_conv_geometry *g)
{
    const tt_graph *graph = tt_lower_graph(lower);
    const tt_window *w = &g->window;
    int bias = node->inputs[2];
    if (tt_quantized_of(node) == NULL || !tt_lower_wants_kernels(lower) ||
        g->is_transposed || g->groups != 1 || w->rank > 2 ||
        dtype_of(graph, node->inputs[0]) != TT_U8 ||
        tt_graph_constant(graph, node->inputs[1]) == NULL ||
        (bias >= 0 && tt_graph_constant(graph, bias) == NULL))
        return false;
    for (int i = 0; i < w->rank; ++i)
        if (w->dilations[i] != 1 || w->kernel[i] > EXTENT_MAX ||
            w->strides[i] > EXTENT_MAX || w->pads_begin[i] > EXTENT_MAX)
            return false;
    return tt_conv_taps(g) > 0 && tt_conv_taps(g) <= TAPS_MAX;
}

/* A sum with bytes as large as dst, one clamp, both or nothing. */
static bool read_posts(const tt_graph *graph, const tt_node *node, u8s8_state *s)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    const tt_node_post *post = &node->posts[0];
    if (node->n_posts > 0 && post->kind == TT_POST_BINARY) {
        tt_shape operand = graph->values[post->value].shape;
        tt_dtype dtype = operand.dtype;
        operand.dtype = dst->dtype;
        if (post->alg != TT_ALG_ADD || (dtype != TT_U8 && dtype != TT_S8) ||
            !tt_shape_equal(&operand, dst))
            return false;
        s->sum = post;
        s->kernel.sum = dtype;
    }
    return tt_quantized_clamp(node, s->sum != NULL ? 1 : 0, dst->dtype, &s->kernel.low,
                              &s->kernel.high);
}

static void describe(u8s8_state *s, const tt_shape *src, const tt_conv_geometry *g)
{
    const tt_window w = tt_window_plane(&g->window);
    s->kernel = (tt_conv_u8s8){.batch = src->dims[0],
                               .src_channels = g->src_channels,
                               .dst_channels = g->dst_channels,
                               TT_WINDOW_FIELDS(w),
                               .sum = TT_DTYPE_NONE,
                               .src_zero_point = (uint8_t)s->quantized->src_zero_point};
}

/* Where the kernel was measured to win: panels that are nearly full, plain results or
 * weights that are read once, and windows of 1x1 that are read in place or images of fewer channels
 * than a group of bytes, where oneDNN multiplies by zeros. */
static bool is_wanted(const tt_lower *lower, const tt_conv_u8s8 *k)
{
    int64_t channels = k->dst_channels, wide = TT_CONV_U8S8_WIDE;
    int64_t first = (channels - 1) / wide * wide;
    int64_t places = first + tt_conv_u8s8_width(channels, first);
    bool is_read_once = k->src_channels * k->kernel_h * k->kernel_w >= LONG &&
                        k->batch * k->dst_h * k->dst_w <= FEW_PIXELS;
    if (!tt_lower_wants_primitives(lower)) return true;
    /* oneDNN has tiles of AMX for them */
    if (!tt_conv_u8s8_is_fast() || tt_cpu_get()->has_amx ||
        (!tt_conv_u8s8_is_plain(k) && !is_read_once) ||
        places * FULL > channels * (FULL + 1))
        return false;
    return k->src_channels < GROUP ||
           (k->kernel_h == 1 && k->kernel_w == 1 && k->src_channels % GROUP == 0);
}

static const algorithm *choose(const tt_lower *lower, const tt_node *node,
                               const tt_conv_u8s8 *k)
{
    const tt_attribute *a = tt_attribute_find(node, "algorithm");
    bool is_asked = a != NULL && a->kind == TT_ATTRIBUTE_STRING &&
                    strcmp(a->as.strings[0], "winograd") == 0;
    if (is_asked && tt_winograd_u8s8_can(k) &&
        (tt_winograd_u8s8_is_fast() || !tt_lower_wants_primitives(lower)))
        return &winograd;
    return tt_conv_u8s8_can(k) && is_wanted(lower, k) ? &direct : NULL;
}

/* Multipliers and offsets of all channels, and whether they keep results bounded. */
static tt_status make_scales(tt_lower *lower, const tt_node *node, u8s8_state *s,
                             int64_t taps, tt_error *err)
{
    int64_t channels = s->kernel.dst_channels, wide = TT_CONV_U8S8_WIDE;
    int64_t n_places = (channels + wide - 1) / wide * wide;
    double added = 0.0;
    tt_quantized_scales scales;
    TT_TRY(tt_quantized_make_scales(lower, node, n_places, &scales, err));
    s->operands[TT_CONV_U8S8_MULTIPLIER] = scales.multiplier;
    s->operands[TT_CONV_U8S8_OFFSET] = scales.offset;
    s->kernel.is_bounded = true;
    if (s->sum != NULL) {
        s->kernel.sum_scale = s->sum->alpha / s->quantized->dst_scale;
        added = -(double)s->sum->beta * s->sum->alpha;
    }
    for (int64_t c = 0; c < channels; ++c) {
        int64_t place = tt_conv_u8s8_place(channels, c);
        double step = tt_quantized_step(&scales, c);
        double shift = tt_quantized_bias(&scales, c) + added;
        tt_quantized_set(&scales, place, step, shift);
        if (!tt_quantized_is_bounded(&scales, step, shift, taps * s->algorithm->excess,
                                     512.0 * fabs((double)s->kernel.sum_scale)))
            s->kernel.is_bounded = false;
    }
    return TT_OK;
}

static tt_status take_weights(tt_lower *lower, const tt_node *node, u8s8_state *s,
                              tt_error *err)
{
    const tt_conv_u8s8 *k = &s->kernel;
    int64_t taps = k->src_channels * k->kernel_h * k->kernel_w;
    tt_md plain = {
        .dtype = TT_S8,
        .ndims = 4,
        .dims = {k->dst_channels, k->src_channels, k->kernel_h, k->kernel_w}
    };
    tt_operand weights;
    size_t bytes;
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &weights, err));
    tt_strides_row_major(plain.dims, plain.ndims, plain.strides);
    if (!s->algorithm->packed_bytes(plain.dims, &bytes))
        return tt_fail(err, TT_LIMIT, "%s '%s': packing %lld x %lld weights",
                       node->op_type, node->name, (long long)taps,
                       (long long)k->dst_channels);
    TT_TRY(make_scales(lower, node, s, taps, err));
    return tt_lower_derived(lower, weights, &plain, s->algorithm->pack, bytes,
                            &s->operands[TT_CONV_U8S8_WEIGHTS], err);
}

/* What is added, and dst: in its place where that may be. */
static tt_status take_dst(tt_lower *lower, const tt_node *node, u8s8_state *s, int rank,
                          tt_error *err)
{
    tt_prim_args args = tt_prim_args_empty();
    tt_operand *operands = s->operands;
    operands[TT_CONV_U8S8_SUM] = TT_NO_OPERAND;
    TT_TRY(tt_prim_args_posts(lower, node, rank, TT_ORDER_CHANNELS_LAST, &args, err));
    if (s->sum != NULL)
        operands[TT_CONV_U8S8_SUM] =
            args.sum != TT_NO_OPERAND ? args.sum : args.operands[0];
    if (args.sum != TT_NO_OPERAND)
        return tt_lower_dst_inplace(lower, node, 0, args.sum,
                                    &operands[TT_CONV_U8S8_DST], err);
    return tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &operands[TT_CONV_U8S8_DST], err);
}

tt_status tt_conv_lower_u8s8(tt_lower *lower, const tt_node *node,
                             const tt_conv_geometry *geometry, const tt_work *work,
                             bool *done, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    u8s8_state s = {.quantized = tt_quantized_of(node)};
    tt_conv_u8s8 *k = &s.kernel;
    tt_work w = *work;
    *done = work->flops > 0.0 && is_possible(lower, node, geometry);
    if (!*done) return TT_OK;
    describe(&s, &graph->values[node->inputs[0]].shape, geometry);
    k->dst = dtype_of(graph, node->outputs[0]);
    if (read_posts(graph, node, &s)) s.algorithm = choose(lower, node, k);
    *done = s.algorithm != NULL;
    if (!*done) return TT_OK;
    w.cost_ns = w.flops / 450.0;
    k->n_slots = tt_lower_is_parallel(lower, &w) ? tt_lower_threads(lower) : 1;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST,
                        &s.operands[TT_CONV_U8S8_SRC], err));
    TT_TRY(take_weights(lower, node, &s, err));
    TT_TRY(take_dst(lower, node, &s, geometry->window.rank + 2, err));
    TT_TRY(tt_lower_temporary(lower, s.algorithm->scratch_bytes(k),
                              &s.operands[TT_CONV_U8S8_SCRATCH], err));
    return tt_lower_kernel(lower, node, s.algorithm->name(), s.algorithm->run, k,
                           sizeof *k, s.operands, TT_CONV_U8S8_DST, 2, &w, err);
}
