/* Convolutions that own kernels do faster than oneDNN 3.2, which has no Winograd and
 * vectorises over src channels that are not there.
 *
 * The rules look at shapes alone and come from measurements (DECISIONS.md).  Post-ops
 * that the kernels cannot apply themselves leave the convolution to oneDNN. */
#include "base/cpu.h"
#include "kernels/conv_direct.h"
#include "kernels/conv_dot.h"
#include "kernels/depthwise.h"
#include "kernels/winograd.h"
#include "ops/conv_common.h"

/* Where the own kernels were measured to win. */
enum {
    WINOGRAD_SRC_CHANNELS = 16, /* least */
    WINOGRAD_DST_CHANNELS = 24, /* least: 16 by 16 channels gain 3 % */
    WINOGRAD_TILES = 25,        /* least .. */
    WINOGRAD_TILES_LARGE = 49,  /* .. and when transformed weights exceed this: */
    WINOGRAD_WEIGHTS = 1 << 20, /* bytes */
    DIRECT_SRC_CHANNELS = 1,
    DIRECT_DST_CHANNELS = 32,   /* least */
    DIRECT_TAPS = 25,           /* most */
    DIRECT_DST_BYTES = 2 << 20, /* least: oneDNN is slow where dst leaves the cache */
};
/* dst channels up to which dot products win, whatever else. */
enum { DOT_DST_CHANNELS = 2, DOT_TAPS = 8 /* of all src channels, least */ };
/* What the direct kernel can do at all: longest window, stride, padding. */
enum { DIRECT_SRC_CHANNELS_MAX = 8, DIRECT_EXTENT_MAX = 256 };

/* ---- post-ops --------------------------------------------------------------------- */

/* An operand as large as dst, or with one element per channel. */
static bool operand_fits(const tt_shape *operand, const tt_shape *dst, bool *is_full)
{
    int first = dst->rank - operand->rank;
    *is_full = tt_shape_equal(operand, dst);
    if (*is_full) return true;
    if (operand->dtype != TT_F32 || first < 0 || first > 1) return false;
    for (int i = 0; i < operand->rank; ++i)
        if (operand->dims[i] != (i + first == 1 ? dst->dims[1] : 1)) return false;
    return true;
}

/* False: a post-op the kernels do not know.  *first: the node's post that is item 0. */
static bool translate_posts(const tt_graph *graph, const tt_node *node,
                            tt_post_ops *out, int *first)
{
    const tt_shape *dst = &graph->values[node->outputs[0]].shape;
    *out = (tt_post_ops){0};
    for (int i = 0; i < node->n_posts; ++i) {
        const tt_node_post *post = &node->posts[i];
        bool is_full = false;
        if (post->value >= 0 &&
            !operand_fits(&graph->values[post->value].shape, dst, &is_full))
            return false;
        if (!tt_post_ops_append(out, (tt_alg)post->alg, post->alpha, post->beta,
                                is_full))
            return false;
    }
    *first = out->has_clamp ? 1 : 0;
    return true;
}

/* ---- what the kernels are given ------------------------------------------------------ */

typedef struct {
    tt_lower *lower;
    const tt_node *node;
    const tt_conv_geometry *geometry;
    tt_work work;
    tt_post_ops posts;
    int first_post; /* of the node's posts that is posts.items[0] */
    tt_conv_own kernel;
    tt_operand operands[TT_CONV_OWN_POINTERS]; /* weights: not packed yet */
} own_state;

/* Dims or strides as exactly four: a single spatial dim is the width. */
static void four(const int64_t *from, int rank, int64_t filler, int64_t *to)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = rank == 3 ? filler : from[2];
    to[3] = from[rank - 1];
}

/* Source in `order`, weights, bias, operands of post-ops, destination. */
static tt_status take_operands(own_state *s, tt_order order, tt_error *err)
{
    tt_prim_args args = tt_prim_args_empty();
    tt_operand *operands = s->operands;
    int rank = s->geometry->window.rank + 2;
    TT_TRY(tt_lower_src(s->lower, s->node, 0, order, &operands[TT_CONV_OWN_SRC], err));
    TT_TRY(tt_lower_src(s->lower, s->node, 1, TT_ORDER_ROW_MAJOR,
                        &operands[TT_CONV_OWN_WEIGHTS], err));
    TT_TRY(tt_lower_src(s->lower, s->node, 2, TT_ORDER_ROW_MAJOR,
                        &operands[TT_CONV_OWN_BIAS], err));
    TT_TRY(tt_prim_args_posts(s->lower, s->node, rank, TT_ORDER_CHANNELS_LAST, &args,
                              err));
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        operands[TT_CONV_OWN_POST + i] = TT_NO_OPERAND;
    for (int i = 0; i < s->posts.n; ++i) {
        int post = i + s->first_post;
        operands[TT_CONV_OWN_POST + i] = args.attr.posts[post].kind == TT_POST_SUM
                                             ? args.sum
                                             : tt_prim_args_operand(&args, post);
    }
    if (args.sum != TT_NO_OPERAND)
        return tt_lower_dst_inplace(s->lower, s->node, 0, args.sum,
                                    &operands[TT_CONV_OWN_DST], err);
    return tt_lower_dst(s->lower, s->node, 0, TT_ORDER_CHANNELS_LAST,
                        &operands[TT_CONV_OWN_DST], err);
}

static void describe(own_state *s)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window w = tt_window_plane(&g->window);
    int rank = g->window.rank + 2;
    tt_conv_own *k = &s->kernel;
    tt_operand src = s->operands[TT_CONV_OWN_SRC], dst = s->operands[TT_CONV_OWN_DST];
    int64_t from[4], to[4];
    four(tt_operand_strides(s->lower, src), rank, 0, from);
    four(tt_operand_strides(s->lower, dst), rank, 0, to);
    *k = (tt_conv_own){.batch = tt_operand_shape(s->lower, src)->dims[0],
                       .src_channels = g->src_channels,
                       .dst_channels = g->dst_channels,
                       TT_WINDOW_FIELDS(w),
                       .dilation_h = w.dilations[0],
                       .dilation_w = w.dilations[1],
                       .src_n = from[0],
                       .src_c = from[1],
                       .src_y = from[2],
                       .src_x = from[3],
                       .dst_n = to[0],
                       .dst_y = to[2],
                       .dst_x = to[3],
                       .posts = s->posts};
    k->n_slots =
        tt_lower_is_parallel(s->lower, &s->work) ? tt_lower_threads(s->lower) : 1;
}

static tt_status start(own_state *s, tt_order order, tt_error *err)
{
    TT_TRY(take_operands(s, order, err));
    describe(s);
    return TT_OK;
}

static tt_status pack_weights(own_state *s, tt_derive pack, size_t bytes, tt_error *err)
{
    tt_operand *weights = &s->operands[TT_CONV_OWN_WEIGHTS];
    tt_md plain = tt_operand_md(s->lower, *weights);
    return tt_lower_derived(s->lower, *weights, &plain, pack, bytes, weights, err);
}

static tt_status add_step(own_state *s, const char *name, tt_kernel run,
                          size_t scratch_bytes, tt_error *err)
{
    int n_dst = 1;
    if (scratch_bytes > 0) {
        n_dst = 2;
        TT_TRY(tt_lower_temporary(s->lower, scratch_bytes,
                                  &s->operands[TT_CONV_OWN_SCRATCH], err));
    }
    return tt_lower_kernel(s->lower, s->node, name, run, &s->kernel, sizeof s->kernel,
                           s->operands, TT_CONV_OWN_DST, n_dst, &s->work, err);
}

/* ---- Winograd ---------------------------------------------------------------------- */

static void winograd_pack(const tt_md *plain, const void *weights, void *made)
{
    tt_winograd_pack(weights, plain->dims[1], plain->dims[0], plain->strides, made);
}

static bool wants_winograd(const own_state *s)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    const tt_shape *src = &tt_lower_graph(s->lower)->values[s->node->inputs[0]].shape;
    tt_conv_own k = {.batch = src->dims[0], .dst_h = w->dst[0], .dst_w = w->dst[1]};
    if (w->rank != 2) return false;
    for (int i = 0; i < 2; ++i)
        if (w->kernel[i] != 3 || w->strides[i] != 1 || w->dilations[i] != 1)
            return false;
    if (!tt_lower_wants_primitives(s->lower)) return g->src_channels > 1;
    int64_t tiles = tt_winograd_tiles(&k);
    size_t bytes = tt_winograd_packed_bytes(g->src_channels, g->dst_channels);
    return g->src_channels >= WINOGRAD_SRC_CHANNELS &&
           g->dst_channels >= WINOGRAD_DST_CHANNELS &&
           tiles >= (bytes > WINOGRAD_WEIGHTS ? WINOGRAD_TILES_LARGE : WINOGRAD_TILES);
}

static tt_status lower_winograd(own_state *s, tt_error *err)
{
    const tt_conv_own *k = &s->kernel;
    TT_TRY(start(s, TT_ORDER_CHANNELS_LAST, err));
    TT_TRY(pack_weights(s, winograd_pack,
                        tt_winograd_packed_bytes(k->src_channels, k->dst_channels),
                        err));
    return add_step(s, tt_winograd_name(), tt_winograd_run,
                    tt_winograd_scratch_bytes(k), err);
}

/* ---- direct ------------------------------------------------------------------------- */

static void direct_pack(const tt_md *plain, const void *weights, void *made)
{
    int64_t dims[4], strides[4];
    four(plain->dims, plain->ndims, 1, dims);
    four(plain->strides, plain->ndims, 0, strides);
    tt_conv_direct_pack(weights, dims, strides, made);
}

static bool wants_direct(const own_state *s)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    const tt_shape *dst = &tt_lower_graph(s->lower)->values[s->node->outputs[0]].shape;
    if (w->rank > 2 || g->src_channels > DIRECT_SRC_CHANNELS_MAX) return false;
    for (int i = 0; i < w->rank; ++i) {
        if (tt_window_extent(w, i) > DIRECT_EXTENT_MAX ||
            w->strides[i] > DIRECT_EXTENT_MAX || w->pads_begin[i] > DIRECT_EXTENT_MAX)
            return false;
    }
    if (!tt_lower_wants_primitives(s->lower)) return true;
    return g->src_channels <= DIRECT_SRC_CHANNELS &&
           g->dst_channels >= DIRECT_DST_CHANNELS && tt_conv_taps(g) <= DIRECT_TAPS &&
           tt_shape_bytes(dst) >= DIRECT_DST_BYTES;
}

static tt_status lower_direct(own_state *s, tt_error *err)
{
    int64_t dims[4];
    const tt_shape *weights;
    TT_TRY(start(s, TT_ORDER_ANY, err));
    weights = tt_operand_shape(s->lower, s->operands[TT_CONV_OWN_WEIGHTS]);
    four(weights->dims, weights->rank, 1, dims);
    TT_TRY(pack_weights(s, direct_pack, tt_conv_direct_packed_bytes(dims), err));
    return add_step(s, tt_conv_direct_name(), tt_conv_direct_run,
                    tt_conv_direct_scratch_bytes(&s->kernel), err);
}

/* ---- depthwise ---------------------------------------------------------------------- */

static bool has_operand(const tt_post_ops *posts)
{
    for (int i = 0; i < posts->n; ++i)
        if (posts->items[i].kind >= TT_POST_OP_ADD) return true;
    return false;
}

static tt_dtype dtype_of(const own_state *s, int value)
{
    return tt_lower_graph(s->lower)->values[value].shape.dtype;
}

static bool is_float(tt_dtype dtype)
{
    return dtype == TT_F32 || dtype == TT_BF16;
}

static bool wants_depthwise(const own_state *s)
{
    const tt_node *node = s->node;
    const tt_window *w = &s->geometry->window;
    bool is_f32 = dtype_of(s, node->inputs[0]) == TT_F32 &&
                  dtype_of(s, node->outputs[0]) == TT_F32;
    if (!tt_conv_is_depthwise(s->geometry, TT_DEPTHWISE_EXTENT_MAX) ||
        !is_float(dtype_of(s, node->inputs[1])) ||
        (node->inputs[2] >= 0 && dtype_of(s, node->inputs[2]) != TT_F32) ||
        (!is_f32 && has_operand(&s->posts)))
        return false;
    for (int i = 0; i < w->rank; ++i)
        if (w->pads_begin[i] > TT_DEPTHWISE_EXTENT_MAX) return false;
    if (!tt_lower_wants_primitives(s->lower)) return true;
    /* steps behind the clamp take as long as the sums */
    return tt_cpu_get()->isa == TT_ISA_AVX512 && s->posts.n == 0;
}

static void depthwise_pack(const tt_md *plain, const void *weights, void *made)
{
    int64_t dims[4], strides[4];
    four(plain->dims, plain->ndims, 1, dims);
    four(plain->strides, plain->ndims, 0, strides);
    tt_depthwise_pack(plain->dtype, weights, dims, strides, made);
}

static tt_status lower_depthwise(own_state *s, tt_error *err)
{
    tt_conv_own *k = &s->kernel;
    const tt_shape *weights;
    int64_t dims[4];
    TT_TRY(start(s, TT_ORDER_CHANNELS_LAST, err));
    k->dst_channels = s->geometry->groups;
    k->is_src_bf16 = dtype_of(s, s->node->inputs[0]) == TT_BF16;
    k->is_dst_bf16 = dtype_of(s, s->node->outputs[0]) == TT_BF16;
    k->is_weights_bf16 = dtype_of(s, s->node->inputs[1]) == TT_BF16;
    weights = tt_operand_shape(s->lower, s->operands[TT_CONV_OWN_WEIGHTS]);
    four(weights->dims, weights->rank, 1, dims);
    TT_TRY(pack_weights(s, depthwise_pack,
                        tt_depthwise_packed_bytes(weights->dtype, dims), err));
    return add_step(s, tt_depthwise_name(k), tt_depthwise_run,
                    tt_depthwise_scratch_bytes(k), err);
}

/* ---- dot products ------------------------------------------------------------------- */

static bool wants_dot(const own_state *s)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    if (w->rank > 2 || g->dst_channels > TT_CONV_DOT_CHANNELS) return false;
    if (w->dilations[w->rank - 1] != 1) return false;
    if (!tt_lower_wants_primitives(s->lower)) return true;
    return g->dst_channels <= DOT_DST_CHANNELS && tt_conv_taps(g) >= DOT_TAPS;
}

static void dot_pack(const tt_md *plain, const void *weights, void *made)
{
    int64_t dims[4], strides[4];
    four(plain->dims, plain->ndims, 1, dims);
    four(plain->strides, plain->ndims, 0, strides);
    tt_conv_dot_pack(weights, dims, strides, made);
}

static tt_status lower_dot(own_state *s, tt_error *err)
{
    TT_TRY(start(s, TT_ORDER_CHANNELS_LAST, err));
    TT_TRY(pack_weights(
        s, dot_pack,
        tt_shape_bytes(tt_operand_shape(s->lower, s->operands[TT_CONV_OWN_WEIGHTS])),
        err));
    return add_step(s, tt_conv_dot_name(), tt_conv_dot_run, /*scratch_bytes=*/0, err);
}

static bool has_floats(const own_state *s)
{
    return is_float(dtype_of(s, s->node->inputs[0])) &&
           is_float(dtype_of(s, s->node->outputs[0]));
}

tt_status tt_conv_lower_own(tt_lower *lower, const tt_node *node,
                            const tt_conv_geometry *geometry, const tt_work *work,
                            bool *done, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    own_state s = {.lower = lower, .node = node, .geometry = geometry, .work = *work};
    *done = false;
    if (!tt_lower_wants_kernels(lower) || geometry->is_transposed ||
        work->flops == 0.0 || !has_floats(&s) ||
        tt_graph_constant(graph, node->inputs[1]) == NULL ||
        !translate_posts(graph, node, &s.posts, &s.first_post))
        return TT_OK;
    *done = wants_depthwise(&s);
    if (*done) return lower_depthwise(&s, err);
    if (geometry->groups != 1 || dtype_of(&s, node->inputs[0]) != TT_F32 ||
        dtype_of(&s, node->outputs[0]) != TT_F32)
        return TT_OK;
    *done = true;
    if (wants_winograd(&s)) return lower_winograd(&s, err);
    if (wants_dot(&s)) return lower_dot(&s, err);
    if (wants_direct(&s)) return lower_direct(&s, err);
    *done = false;
    return TT_OK;
}
