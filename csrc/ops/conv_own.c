/* Convolutions that own kernels do faster than oneDNN 3.2, which has no Winograd and
 * vectorises over src channels that are not there.
 *
 * The rules look at shapes alone and come from measurements (DECISIONS.md).  Post-ops
 * that the kernels cannot apply themselves leave the convolution to oneDNN. */
#include "kernels/conv_direct.h"
#include "kernels/conv_dot.h"
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

/* ---- what both kernels are given --------------------------------------------------- */

typedef struct {
    tt_lower *lower;
    const tt_node *node;
    const tt_conv_geometry *geometry;
    tt_work work;
    tt_post_ops posts;
    int first_post; /* of the node's posts that is posts.items[0] */
    tt_operand src, weights, bias, dst;
    tt_operand operands[TT_POST_OPS_MAX];
} own_state;

/* Bias, operands of post-ops, destination. */
static tt_status take_operands(own_state *s, tt_error *err)
{
    tt_prim_args args = tt_prim_args_empty();
    int rank = s->geometry->window.rank + 2;
    TT_TRY(tt_lower_src(s->lower, s->node, 1, TT_ORDER_ROW_MAJOR, &s->weights, err));
    TT_TRY(tt_lower_src(s->lower, s->node, 2, TT_ORDER_ROW_MAJOR, &s->bias, err));
    TT_TRY(tt_prim_args_posts(s->lower, s->node, rank, TT_ORDER_CHANNELS_LAST, &args,
                              err));
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        s->operands[i] = TT_NO_OPERAND;
    for (int i = 0; i < s->posts.n; ++i) {
        int post = i + s->first_post;
        if (args.attr.posts[post].kind == TT_POST_SUM) s->operands[i] = args.sum;
        for (int j = 0; j < args.n; ++j)
            if (args.args[j] == (tt_arg)(TT_ARG_POST + post))
                s->operands[i] = args.operands[j];
    }
    if (args.sum != TT_NO_OPERAND)
        return tt_lower_dst_inplace(s->lower, s->node, 0, args.sum, &s->dst, err);
    return tt_lower_dst(s->lower, s->node, 0, TT_ORDER_CHANNELS_LAST, &s->dst, err);
}

static tt_status add_step(own_state *s, const char *name, tt_kernel run,
                          const void *params, size_t params_bytes, size_t scratch_bytes,
                          tt_error *err)
{
    enum { POINTERS = TT_WINOGRAD_POINTERS };
    tt_operand operands[POINTERS] = {s->src, s->weights, s->bias};
    _Static_assert((int)TT_CONV_DIRECT_POINTERS == (int)TT_WINOGRAD_POINTERS &&
                       (int)TT_CONV_DIRECT_DST == (int)TT_WINOGRAD_DST,
                   "both kernels take the same pointers");
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        operands[TT_WINOGRAD_POST + i] = s->operands[i];
    operands[TT_WINOGRAD_DST] = s->dst;
    TT_TRY(tt_lower_temporary(s->lower, scratch_bytes, &operands[TT_WINOGRAD_SCRATCH],
                              err));
    return tt_lower_kernel(s->lower, s->node, name, run, params, params_bytes, operands,
                           TT_WINOGRAD_DST, 2, &s->work, err);
}

static int n_slots(const own_state *s)
{
    return tt_lower_is_parallel(s->lower, &s->work) ? tt_lower_threads(s->lower) : 1;
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
    tt_winograd_kernel k = {
        .batch = src->dims[0], .dst_h = w->dst[0], .dst_w = w->dst[1]};
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
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    tt_winograd_kernel k = {.src_channels = g->src_channels,
                            .dst_channels = g->dst_channels,
                            .src_h = w->src[0],
                            .src_w = w->src[1],
                            .dst_h = w->dst[0],
                            .dst_w = w->dst[1],
                            .pad_h = w->pads_begin[0],
                            .pad_w = w->pads_begin[1],
                            .n_slots = n_slots(s),
                            .posts = s->posts};
    const int64_t *strides;
    tt_md plain;
    TT_TRY(tt_lower_src(s->lower, s->node, 0, TT_ORDER_CHANNELS_LAST, &s->src, err));
    TT_TRY(take_operands(s, err));
    k.batch = tt_operand_shape(s->lower, s->src)->dims[0];
    strides = tt_operand_strides(s->lower, s->src);
    k.src_n = strides[0];
    k.src_y = strides[2];
    k.src_x = strides[3];
    strides = tt_operand_strides(s->lower, s->dst);
    k.dst_n = strides[0];
    k.dst_y = strides[2];
    k.dst_x = strides[3];
    plain = tt_operand_md(s->lower, s->weights);
    TT_TRY(tt_lower_derived(s->lower, s->weights, &plain, winograd_pack,
                            tt_winograd_packed_bytes(k.src_channels, k.dst_channels),
                            &s->weights, err));
    return add_step(s, tt_winograd_name(), tt_winograd_run, &k, sizeof k,
                    tt_winograd_scratch_bytes(&k), err);
}

/* ---- direct ------------------------------------------------------------------------- */

/* Dims or strides of weights as exactly four: a single spatial dim is the width. */
static void four(const int64_t *from, int rank, int64_t filler, int64_t *to)
{
    to[0] = from[0];
    to[1] = from[1];
    to[2] = rank == 3 ? filler : from[2];
    to[3] = from[rank - 1];
}

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
    int64_t n_taps = g->src_channels;
    if (w->rank > 2 || g->src_channels > DIRECT_SRC_CHANNELS_MAX) return false;
    for (int i = 0; i < w->rank; ++i) {
        n_taps *= w->kernel[i];
        if (tt_window_extent(w, i) > DIRECT_EXTENT_MAX ||
            w->strides[i] > DIRECT_EXTENT_MAX || w->pads_begin[i] > DIRECT_EXTENT_MAX)
            return false;
    }
    if (!tt_lower_wants_primitives(s->lower)) return true;
    return g->src_channels <= DIRECT_SRC_CHANNELS &&
           g->dst_channels >= DIRECT_DST_CHANNELS && n_taps <= DIRECT_TAPS &&
           tt_shape_bytes(dst) >= DIRECT_DST_BYTES;
}

static tt_status lower_direct(own_state *s, tt_error *err)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    int x = w->rank - 1, rank = w->rank + 2;
    bool is_flat = w->rank == 1;
    tt_conv_direct_kernel k = {.src_channels = g->src_channels,
                               .dst_channels = g->dst_channels,
                               .src_h = is_flat ? 1 : w->src[0],
                               .src_w = w->src[x],
                               .dst_h = is_flat ? 1 : w->dst[0],
                               .dst_w = w->dst[x],
                               .kernel_h = is_flat ? 1 : w->kernel[0],
                               .kernel_w = w->kernel[x],
                               .stride_h = is_flat ? 1 : w->strides[0],
                               .stride_w = w->strides[x],
                               .dilation_h = is_flat ? 1 : w->dilations[0],
                               .dilation_w = w->dilations[x],
                               .pad_h = is_flat ? 0 : w->pads_begin[0],
                               .pad_w = w->pads_begin[x],
                               .n_slots = n_slots(s),
                               .posts = s->posts};
    int64_t strides[4], dims[4];
    tt_md plain;
    TT_TRY(tt_lower_src(s->lower, s->node, 0, TT_ORDER_ANY, &s->src, err));
    TT_TRY(take_operands(s, err));
    k.batch = tt_operand_shape(s->lower, s->src)->dims[0];
    four(tt_operand_strides(s->lower, s->src), rank, 0, strides);
    k.src_n = strides[0];
    k.src_c = strides[1];
    k.src_y = strides[2];
    k.src_x = strides[3];
    four(tt_operand_strides(s->lower, s->dst), rank, 0, strides);
    k.dst_n = strides[0];
    k.dst_y = strides[2];
    k.dst_x = strides[3];
    plain = tt_operand_md(s->lower, s->weights);
    four(plain.dims, rank, 1, dims);
    TT_TRY(tt_lower_derived(s->lower, s->weights, &plain, direct_pack,
                            tt_conv_direct_packed_bytes(dims), &s->weights, err));
    return add_step(s, tt_conv_direct_name(), tt_conv_direct_run, &k, sizeof k,
                    tt_conv_direct_scratch_bytes(&k), err);
}

/* ---- dot products ------------------------------------------------------------------- */

static bool wants_dot(const own_state *s)
{
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    int64_t n_taps = g->src_channels;
    if (w->rank > 2 || g->dst_channels > TT_CONV_DOT_CHANNELS) return false;
    if (w->dilations[w->rank - 1] != 1) return false;
    for (int i = 0; i < w->rank; ++i)
        n_taps *= w->kernel[i];
    if (!tt_lower_wants_primitives(s->lower)) return true;
    return g->dst_channels <= DOT_DST_CHANNELS && n_taps >= DOT_TAPS;
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
    const tt_conv_geometry *g = s->geometry;
    const tt_window *w = &g->window;
    int x = w->rank - 1, rank = w->rank + 2;
    bool is_flat = w->rank == 1;
    tt_conv_dot_kernel k = {.src_channels = g->src_channels,
                            .dst_channels = g->dst_channels,
                            .src_h = is_flat ? 1 : w->src[0],
                            .src_w = w->src[x],
                            .dst_h = is_flat ? 1 : w->dst[0],
                            .dst_w = w->dst[x],
                            .kernel_h = is_flat ? 1 : w->kernel[0],
                            .kernel_w = w->kernel[x],
                            .stride_h = is_flat ? 1 : w->strides[0],
                            .stride_w = w->strides[x],
                            .dilation_h = is_flat ? 1 : w->dilations[0],
                            .pad_h = is_flat ? 0 : w->pads_begin[0],
                            .pad_w = w->pads_begin[x],
                            .posts = s->posts};
    tt_operand operands[TT_CONV_DOT_POINTERS];
    int64_t strides[4];
    tt_md plain;
    TT_TRY(tt_lower_src(s->lower, s->node, 0, TT_ORDER_CHANNELS_LAST, &s->src, err));
    TT_TRY(take_operands(s, err));
    k.batch = tt_operand_shape(s->lower, s->src)->dims[0];
    four(tt_operand_strides(s->lower, s->src), rank, 0, strides);
    k.src_n = strides[0];
    k.src_y = strides[2];
    four(tt_operand_strides(s->lower, s->dst), rank, 0, strides);
    k.dst_n = strides[0];
    k.dst_y = strides[2];
    k.dst_x = strides[3];
    plain = tt_operand_md(s->lower, s->weights);
    TT_TRY(tt_lower_derived(s->lower, s->weights, &plain, dot_pack,
                            tt_shape_bytes(tt_operand_shape(s->lower, s->weights)),
                            &operands[TT_CONV_DOT_WEIGHTS], err));
    for (int i = 0; i < k.posts.n; ++i)
        k.by_channel |=
            k.posts.items[i].kind >= TT_POST_OP_ADD && !k.posts.items[i].is_full;
    operands[TT_CONV_DOT_SRC] = s->src;
    operands[TT_CONV_DOT_BIAS] = s->bias;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        operands[TT_CONV_DOT_POST + i] = s->operands[i];
    operands[TT_CONV_DOT_DST] = s->dst;
    return tt_lower_kernel(s->lower, s->node, tt_conv_dot_name(), tt_conv_dot_run, &k,
                           sizeof k, operands, TT_CONV_DOT_DST, 1, &s->work, err);
}

tt_status tt_conv_lower_own(tt_lower *lower, const tt_node *node,
                            const tt_conv_geometry *geometry, const tt_work *work,
                            bool *done, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    own_state s = {.lower = lower, .node = node, .geometry = geometry, .work = *work};
    *done = false;
    if (!tt_lower_wants_kernels(lower) || geometry->is_transposed ||
        geometry->groups != 1 || work->flops == 0.0)
        return TT_OK;
    if (graph->values[node->outputs[0]].shape.dtype != TT_F32 ||
        tt_graph_constant(graph, node->inputs[1]) == NULL ||
        !translate_posts(graph, node, &s.posts, &s.first_post))
        return TT_OK;
    *done = true;
    if (wants_winograd(&s)) return lower_winograd(&s, err);
    if (wants_dot(&s)) return lower_dot(&s, err);
    if (wants_direct(&s)) return lower_direct(&s, err);
    *done = false;
    return TT_OK;
}
