/* Lowering of matrix products: see matmul_common.h.
 *
 * A constant b is packed in the layout that oneDNN chooses.  Activations are read
 * where they are, whatever their strides, as long as oneDNN has an optimised
 * implementation for them; else they are copied to row-major, then the post-ops move
 * to a step of their own, and last of all the own kernel takes over.  Few rows times a
 * constant go to an own kernel at once (kernels/matmul_packed.h), and so do shapes for
 * which oneDNN has only gemm:jit.  A large other b is packed in each call for many rows.
 * Integer matmuls (quantized.h) have no kernel of our own: last of all they take
 * oneDNN's reference. */
#include "ops/matmul_common.h"

#include <string.h>

#include "kernels/matmul.h"
#include "kernels/matmul_packed.h"
#include "ops/matmul_dims.h"
#include "ops/quantized_args.h"
#include "ops/relayout.h"

/* From so many rows of a, and items of b, on. */
enum { PACK_ROWS = 256, PACK_ITEMS = 1 << 14 };

typedef struct {
    tt_lower *lower;
    const tt_node *node; /* as the graph has it */
    tt_node bare;        /* the same with the posts that are left */
    tt_matmul *m;
    tt_prim_args args; /* m->args and the node's posts */
    bool posts_apart;  /* the output lost a dim that the matmul has */
    bool is_quantized, takes_reference;
    tt_operand dst;
    tt_operand output; /* integers that are made of an f32 dst, or TT_NO_OPERAND */
    tt_work work;
    tt_matmul_params params;
} state;

static tt_status create_matmul(tt_engine *engine, const void *params, tt_prim **out,
                               tt_error *err)
{
    return tt_matmul_new(engine, params, out, err);
}

/* ---- shapes --------------------------------------------------------------- */

/* dst_md's strides from the operand's. */
static void see_dst(state *s, tt_operand dst)
{
    const int64_t *strides = tt_operand_strides(s->lower, dst);
    tt_md *md = &s->m->dst_md;
    int64_t inner = 1;
    for (int i = md->ndims - 1; i >= 0; --i) {
        int from = s->m->dst_dims[i];
        md->strides[i] = from >= 0 ? strides[from] : inner;
        if (md->dims[i] > 1 || from >= 0)
            inner = md->strides[i] * md->dims[i] > inner ? md->strides[i] * md->dims[i]
                                                         : inner;
    }
}

/* ---- bias and posts -------------------------------------------------------- */

/* A leading "+ vector of n" becomes the bias. */
static tt_status take_bias(state *s, tt_error *err)
{
    tt_matmul *m = s->m;
    const tt_node_post *post = &s->node->posts[0];
    int64_t n = m->dst_md.dims[m->dst_md.ndims - 1];
    const tt_shape *shape;
    if (m->bias != TT_NO_OPERAND || m->args.attr.n_posts > 0 || s->bare.n_posts == 0)
        return TT_OK;
    if (post->kind != TT_POST_BINARY || post->alg != TT_ALG_ADD || post->value < 0)
        return TT_OK;
    shape = &tt_lower_graph(s->lower)->values[post->value].shape;
    if (shape->dtype != TT_F32 || shape->rank < 1 ||
        shape->dims[shape->rank - 1] != n || tt_shape_numel(shape) != n ||
        m->dst_dims[m->dst_md.ndims - 1] < 0)
        return TT_OK;
    TT_TRY(tt_lower_value(s->lower, post->value, TT_ORDER_ROW_MAJOR, &m->bias, err));
    s->bare.n_posts--;
    memmove(&s->bare.posts[0], &s->bare.posts[1],
            (size_t)s->bare.n_posts * sizeof s->bare.posts[0]);
    return TT_OK;
}

static tt_status collect_posts(state *s, int rank, tt_error *err)
{
    s->args = s->m->args;
    return tt_prim_args_posts(s->lower, &s->bare, rank, TT_ORDER_ROW_MAJOR, &s->args,
                              err);
}

/* Destination and posts; batches that share one b become rows of one matrix where
 * the strides allow. */
static tt_status place(state *s, tt_error *err)
{
    tt_matmul *m = s->m;
    int rank = m->dst_md.ndims;
    bool collapse = rank > 2 && tt_matmul_is_single_batch(&m->b_md) &&
                    tt_matmul_is_mergeable(&m->a_md);
    int output_rank = tt_lower_graph(s->lower)->values[s->node->outputs[0]].shape.rank;
    s->posts_apart = output_rank != rank && s->bare.n_posts > 0;
    TT_TRY(collect_posts(s, s->posts_apart ? output_rank : collapse ? 2 : rank, err));
    if (m->has_dst)
        s->dst = m->dst;
    else if (s->args.sum != TT_NO_OPERAND && !s->posts_apart)
        TT_TRY(tt_lower_dst_inplace(s->lower, s->node, 0, s->args.sum, &s->dst, err));
    else
        TT_TRY(tt_lower_dst(s->lower, s->node, 0, TT_ORDER_ROWS, &s->dst, err));
    if (!m->has_dst) see_dst(s, s->dst);
    if (!collapse) return TT_OK;
    if (!tt_matmul_is_mergeable(&m->dst_md))
        return s->posts_apart ? TT_OK : collect_posts(s, rank, err);
    tt_matmul_merge(&m->a_md);
    tt_matmul_merge(&m->b_md);
    tt_matmul_merge(&m->dst_md);
    return TT_OK;
}

/* ---- oneDNN ---------------------------------------------------------------- */

static bool packs_b(const state *s)
{
    const tt_md *b = &s->m->b_md; /* its rows share few sets of the caches */
    return !s->m->has_constant_b && !s->is_quantized && b->ndims == 2 &&
           b->dtype == TT_F32 && s->m->a_md.dims[0] >= PACK_ROWS &&
           b->strides[1] == 1 && b->dims[0] * b->dims[1] >= PACK_ITEMS;
}

static void fill_params(state *s)
{
    const tt_matmul *m = s->m;
    tt_matmul_params *p = &s->params;
    p->src = m->a_md;
    p->weights = m->b_md;
    if (!s->is_quantized) p->weights.dtype = m->a_md.dtype; /* rounded when packed */
    p->weights.any = m->has_constant_b || packs_b(s);
    p->dst = m->dst_md;
    tt_matmul_settle_column(&p->src);
    tt_matmul_settle_column(&p->dst);
    if (!p->weights.any) tt_matmul_settle_column(&p->weights);
    tt_matmul_settle_row(&p->src);
    tt_matmul_settle_row(&p->dst);
    tt_matmul_settle_batches(&p->src);
    tt_matmul_settle_batches(&p->weights);
    tt_matmul_settle_batches(&p->dst);
    p->bias = (tt_md){.ndims = 0};
    if (m->bias == TT_NO_OPERAND) return;
    p->bias = (tt_md){.dtype = tt_operand_shape(s->lower, m->bias)->dtype,
                      .ndims = m->dst_md.ndims};
    for (int i = 0; i < p->bias.ndims; ++i)
        p->bias.dims[i] = i == p->bias.ndims - 1 ? m->dst_md.dims[i] : 1;
    tt_strides_row_major(p->bias.dims, p->bias.ndims, p->bias.strides);
}

/* *out is NULL when oneDNN has nothing, or only its reference implementation. */
static tt_status create(state *s, bool with_posts, tt_prim **out, tt_error *err)
{
    tt_status status;
    s->params.attr = with_posts ? s->args.attr : tt_attr_default();
    if (s->is_quantized)
        tt_quantized_masks(tt_lower_graph(s->lower), s->node,
                           1 << (s->params.dst.ndims - 1), with_posts, &s->params.attr);
    status = tt_lower_create(s->lower, create_matmul, &s->params, &s->work, out, err);
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

/* The operand in row-major order, and md over it. */
static tt_status make_plain(state *s, tt_operand *operand, tt_md *md, tt_error *err)
{
    tt_shape shape = {.dtype = md->dtype, .rank = md->ndims};
    int64_t strides[TT_MAX_RANK] = {0};
    tt_operand view;
    memcpy(shape.dims, md->dims, sizeof shape.dims);
    TT_TRY(tt_lower_subview(s->lower, *operand, &shape, md->strides, 0, &view, err));
    tt_strides_row_major(shape.dims, shape.rank, strides);
    TT_TRY(tt_lower_copy(s->lower, view, strides, operand, err));
    memcpy(md->strides, strides, sizeof strides);
    return TT_OK;
}

/* The posts as a step of their own. */
static tt_status add_posts(state *s, tt_error *err)
{
    tt_md md = s->m->dst_md;
    if (s->posts_apart) md = tt_operand_md(s->lower, s->dst);
    TT_TRY(tt_posts_lower(s->lower, s->node, s->dst, &md, &s->args, err));
    if (s->output == TT_NO_OPERAND) return TT_OK;
    return tt_quantized_store(s->lower, s->node, s->dst, s->output, err);
}

/* Takes prim in any case. */
static tt_status add_prim(state *s, tt_prim *prim, bool with_posts, tt_error *err)
{
    tt_matmul *m = s->m;
    tt_prim_args args = tt_prim_args_empty();
    tt_operand b = m->b;
    tt_status status = TT_OK;
    if (m->has_constant_b)
        status =
            tt_lower_packed(s->lower, prim, TT_ARG_WEIGHTS, m->b, &m->b_md, &b, err);
    else if (s->params.weights.any)
        status = tt_relayout_src(s->lower, s->node, prim, TT_ARG_WEIGHTS, b, &m->b_md,
                                 &b, err);
    if (status == TT_OK && s->is_quantized)
        status = tt_quantized_args(s->lower, s->node, with_posts, &args, err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    tt_prim_args_add(&args, TT_ARG_SRC, m->a);
    tt_prim_args_add(&args, TT_ARG_WEIGHTS, b);
    if (m->bias != TT_NO_OPERAND) tt_prim_args_add(&args, TT_ARG_BIAS, m->bias);
    for (int i = 0; i < s->args.n && with_posts; ++i)
        tt_prim_args_add(&args, s->args.args[i], s->args.operands[i]);
    tt_prim_args_add(&args, TT_ARG_DST, s->dst);
    TT_TRY(tt_lower_prim(s->lower, s->node, prim, args.args, args.operands, args.n - 1,
                         1, &s->work, err));
    return with_posts ? TT_OK : add_posts(s, err);
}

/* A destination that is not the one of an in-place sum: the posts come later. */
static tt_status fresh_dst(state *s, tt_error *err)
{
    int rank = s->m->dst_md.ndims;
    if (s->args.sum == TT_NO_OPERAND || s->posts_apart) return TT_OK;
    TT_TRY(tt_lower_dst(s->lower, s->node, 0, TT_ORDER_ROW_MAJOR, &s->dst, err));
    tt_strides_row_major(s->m->dst_md.dims, rank, s->m->dst_md.strides);
    fill_params(s);
    return TT_OK;
}

/* Types that no own kernel takes together. */
static bool is_mixed(const tt_matmul *m)
{
    return m->a_md.dtype == TT_BF16 &&
           (m->b_md.dtype != TT_BF16 || m->dst_md.dtype != TT_BF16);
}

static tt_status find_prim(state *s, bool *with_posts, tt_prim **out, tt_error *err)
{
    tt_matmul *m = s->m;
    *with_posts = !s->posts_apart;
    fill_params(s);
    TT_TRY(create(s, *with_posts, out, err));
    if (*out != NULL) return TT_OK;
    if (*with_posts && s->args.attr.n_posts > 0) {
        *with_posts = false;
        TT_TRY(fresh_dst(s, err));
        TT_TRY(create(s, false, out, err));
        if (*out != NULL) return TT_OK;
    }
    TT_TRY(make_plain(s, &m->a, &m->a_md, err));
    if (!m->has_constant_b) TT_TRY(make_plain(s, &m->b, &m->b_md, err));
    fill_params(s);
    s->takes_reference = is_mixed(m);
    return create(s, *with_posts, out, err);
}

/* ---- integers ---------------------------------------------------------------- */

/* Rows of all batches become one matrix, where a copy of `a` makes it so: oneDNN knows
 * scales of columns for matrices only. */
static tt_status merge_rows(state *s, tt_error *err)
{
    tt_matmul *m = s->m;
    if (m->a_md.ndims == 2 || tt_matmul_is_mergeable(&m->a_md)) return TT_OK;
    return make_plain(s, &m->a, &m->a_md, err);
}

/* An f32 matrix in place of the output, which is made of it in a last step. */
static tt_status make_real_dst(state *s, tt_error *err)
{
    tt_shape shape = tt_lower_graph(s->lower)->values[s->node->outputs[0]].shape;
    int64_t strides[TT_MAX_RANK];
    tt_strides_row_major(shape.dims, shape.rank, strides);
    if (shape.dtype == TT_F32) return fresh_dst(s, err);
    TT_TRY(tt_lower_dst_strided(s->lower, s->node, 0, strides, &s->output, err));
    shape.dtype = TT_F32;
    TT_TRY(tt_lower_tensor(s->lower, &shape, NULL, &s->dst, err));
    s->m->dst_md.dtype = TT_F32;
    tt_strides_row_major(s->m->dst_md.dims, s->m->dst_md.ndims, s->m->dst_md.strides);
    fill_params(s);
    return TT_OK;
}

static tt_status find_integer_prim(state *s, bool *with_posts, tt_prim **out,
                                   tt_error *err)
{
    tt_matmul *m = s->m;
    *with_posts = true;
    fill_params(s);
    TT_TRY(create(s, *with_posts, out, err));
    if (*out != NULL) return TT_OK;
    TT_TRY(make_plain(s, &m->a, &m->a_md, err));
    fill_params(s);
    TT_TRY(create(s, *with_posts, out, err));
    if (*out != NULL) return TT_OK;
    *with_posts = false;
    TT_TRY(make_real_dst(s, err));
    TT_TRY(create(s, *with_posts, out, err));
    if (*out != NULL) return TT_OK;
    s->takes_reference = true;
    TT_TRY(create(s, *with_posts, out, err));
    if (*out != NULL) return TT_OK;
    return tt_fail(err, TT_UNSUPPORTED, "%s '%s': oneDNN has no matmul of %s and s8",
                   s->node->op_type, s->node->name, tt_dtype_name(m->a_md.dtype));
}

static tt_status lower_integer(state *s, tt_error *err)
{
    bool with_posts;
    tt_prim *prim;
    TT_TRY(merge_rows(s, err));
    TT_TRY(place(s, err));
    TT_TRY(find_integer_prim(s, &with_posts, &prim, err));
    return add_prim(s, prim, with_posts, err);
}

/* ---- own kernel -------------------------------------------------------------- */

static tt_status add_own(state *s, tt_error *err)
{
    const tt_matmul *m = s->m;
    const tt_md *a = &m->a_md, *b = &m->b_md, *d = &m->dst_md;
    int last = d->ndims - 1;
    tt_operand operands[4] = {m->a, m->b, m->bias, TT_NO_OPERAND};
    tt_matmul_kernel k = {.dtype = d->dtype,
                          .has_bias = m->bias != TT_NO_OPERAND,
                          .n_batch = last - 1,
                          .m = d->dims[last - 1],
                          .n = d->dims[last],
                          .k = a->dims[last],
                          .a_m = a->strides[last - 1],
                          .a_k = a->strides[last],
                          .b_k = b->strides[last - 1],
                          .b_n = b->strides[last],
                          .dst_m = d->strides[last - 1],
                          .dst_n = d->strides[last]};
    for (int i = 0; i < k.n_batch; ++i) {
        k.batch[i] = d->dims[i];
        k.a_batch[i] = a->dims[i] == 1 ? 0 : a->strides[i];
        k.b_batch[i] = b->dims[i] == 1 ? 0 : b->strides[i];
        k.dst_batch[i] = d->strides[i];
    }
    operands[3] = s->dst;
    s->work.cost_ns = s->work.flops;
    TT_TRY(tt_lower_kernel(s->lower, s->node, "matmul:ref", tt_matmul_run_ref, &k,
                           sizeof k, operands, 3, 1, &s->work, err));
    return add_posts(s, err);
}

/* ---- few rows times a constant ------------------------------------------------- */

/* May the operand be read where dst stands (*is_full), or by column? */
static bool operand_fits(const state *s, const tt_md *md, bool *is_full)
{
    const tt_md *dst = &s->m->dst_md;
    *is_full = md->dims[0] != 1;
    if (md->dtype != TT_F32 || md->ndims != 2 || md->dims[1] != dst->dims[1])
        return false;
    if (md->strides[1] != 1 && md->dims[1] > 1) return false;
    return !*is_full ||
           (md->dims[0] == dst->dims[0] && md->strides[0] == dst->strides[0]);
}

/* All posts as the kernel's own (a leading in-place sum: by accumulating); false: they
 * need a step of their own. */
static bool take_posts(const state *s, tt_matmul_packed *k, tt_operand *operands)
{
    const tt_prim_args *args = &s->args;
    for (int i = 0; i < args->attr.n_posts; ++i) {
        const tt_post *post = &args->attr.posts[i];
        bool is_full = false;
        int item = k->posts.n;
        if (post->kind == TT_POST_SUM) {
            if (i > 0) return false;
            k->accumulates = true;
            continue;
        }
        if (post->kind == TT_POST_BINARY && !operand_fits(s, &post->operand, &is_full))
            return false;
        if (!tt_post_ops_append(&k->posts, post->alg, post->alpha, post->beta, is_full))
            return false;
        if (post->kind == TT_POST_BINARY)
            operands[TT_MATMUL_PACKED_POST + item] = tt_prim_args_operand(args, i);
    }
    return true;
}

/* Can the kernel do it at all? */
static bool is_packable(const state *s)
{
    const tt_matmul *m = s->m;
    return m->has_constant_b && m->a_md.dtype == TT_F32 && m->dst_md.dtype == TT_F32 &&
           m->dst_md.ndims == 2 && tt_lower_wants_kernels(s->lower);
}

/* oneDNN's way for shapes that its blocks do not fit: slower, and the first call of a
 * process takes 40 ms to make code. */
static bool is_gemm_jit(const tt_prim *prim)
{
    return prim != NULL && strncmp(tt_prim_impl(prim), "gemm:jit", 8) == 0;
}

static void pack_b(const tt_md *b, const void *weights, void *made)
{
    tt_matmul_pack(weights, b->dims[0], b->dims[1], b->strides, made);
}

static tt_status add_packed(state *s, tt_error *err)
{
    const tt_matmul *m = s->m;
    tt_operand operands[TT_MATMUL_PACKED_POINTERS];
    tt_matmul_packed k = {.m = m->dst_md.dims[0],
                          .n = m->dst_md.dims[1],
                          .k = m->a_md.dims[1],
                          .a_row = m->a_md.strides[0],
                          .a_item = m->a_md.strides[1]};
    bool with_posts;
    size_t bytes;
    for (int i = 0; i < TT_MATMUL_PACKED_POINTERS; ++i)
        operands[i] = TT_NO_OPERAND;
    with_posts = !s->posts_apart && take_posts(s, &k, operands);
    if (!with_posts) {
        k.posts = (tt_post_ops){0};
        k.accumulates = false;
        for (int i = 0; i < TT_POST_OPS_MAX; ++i)
            operands[TT_MATMUL_PACKED_POST + i] = TT_NO_OPERAND;
        TT_TRY(fresh_dst(s, err));
    }
    k.dst_row = m->dst_md.strides[0];
    if (!tt_matmul_packed_bytes(k.k, k.n, &bytes))
        return tt_fail(err, TT_LIMIT, "%s '%s': packing %lld x %lld weights",
                       s->node->op_type, s->node->name, (long long)k.k, (long long)k.n);
    operands[TT_MATMUL_PACKED_A] = m->a;
    operands[TT_MATMUL_PACKED_BIAS] = m->bias;
    operands[TT_MATMUL_PACKED_DST] = s->dst;
    TT_TRY(tt_lower_derived(s->lower, m->b, &m->b_md, pack_b, bytes,
                            &operands[TT_MATMUL_PACKED_B], err));
    TT_TRY(tt_lower_kernel(s->lower, s->node, tt_matmul_packed_name(),
                           tt_matmul_packed_run, &k, sizeof k, operands,
                           TT_MATMUL_PACKED_DST, 1, &s->work, err));
    return with_posts ? TT_OK : add_posts(s, err);
}

static void estimate(state *s)
{
    const tt_matmul *m = s->m;
    double rows = 1.0, item = (double)tt_dtype_bytes(m->dst_md.dtype);
    double a = item, b = item, dst = item;
    for (int i = 0; i < m->dst_md.ndims; ++i) {
        a *= (double)m->a_md.dims[i];
        b *= (double)m->b_md.dims[i];
        dst *= (double)m->dst_md.dims[i];
        rows *= (double)m->dst_md.dims[i];
    }
    s->work.flops = 2.0 * rows * (double)m->a_md.dims[m->a_md.ndims - 1];
    s->work.bytes = a + b + dst;
}

tt_status tt_matmul_lower(tt_lower *lower, const tt_node *node, tt_matmul *matmul,
                          tt_error *err)
{
    state s = {.lower = lower,
               .node = node,
               .bare = *node,
               .m = matmul,
               .is_quantized = tt_quantized_of(node) != NULL,
               .output = TT_NO_OPERAND};
    bool with_posts;
    tt_prim *prim;
    estimate(&s);
    if (matmul->has_dst) s.bare.n_posts = 0;
    TT_TRY(take_bias(&s, err));
    if (s.is_quantized) return lower_integer(&s, err);
    TT_TRY(place(&s, err));
    if (!tt_matmul_is_native(matmul->dst_md.dtype) || s.work.flops == 0.0) {
        TT_TRY(fresh_dst(&s, err));
        return add_own(&s, err);
    }
    if (is_packable(&s) && matmul->dst_md.dims[0] <= TT_MATMUL_FEW_ROWS)
        return add_packed(&s, err);
    TT_TRY(find_prim(&s, &with_posts, &prim, err));
    if (with_posts && is_packable(&s) && is_gemm_jit(prim)) {
        tt_prim_free(prim);
        return add_packed(&s, err);
    }
    if (prim == NULL && is_mixed(matmul))
        return tt_fail(err, TT_UNSUPPORTED,
                       "%s '%s': oneDNN does not multiply bfloat16", node->op_type,
                       node->name);
    if (prim == NULL) {
        TT_TRY(fresh_dst(&s, err));
        return add_own(&s, err);
    }
    return add_prim(&s, prim, with_posts, err);
}
