/* Post-ops of own kernels over rows: see own_posts.h. */
#include "ops/own_posts.h"

/* May the operand be read where dst stands (*is_full), or by column? */
static bool operand_fits(const tt_shape *dst, const tt_md *md, bool *is_full)
{
    int last = dst->rank - 1;
    int64_t n = 1;
    if (md->dtype != TT_F32 || md->ndims != dst->rank) return false;
    for (int i = 0; i <= last; ++i)
        n *= md->dims[i];
    *is_full = n == tt_shape_numel(dst);
    return *is_full || (n == md->dims[last] && n == dst->dims[last]);
}

static bool take(const tt_prim_args *args, const tt_shape *dst, tt_own_posts *out)
{
    for (int i = 0; i < args->attr.n_posts; ++i) {
        const tt_post *post = &args->attr.posts[i];
        bool is_full = false;
        int item = out->posts.n;
        if (post->kind == TT_POST_SUM) {
            if (i > 0) return false;
            out->accumulates = true;
            continue;
        }
        if (post->kind == TT_POST_BINARY &&
            !operand_fits(dst, &post->operand, &is_full))
            return false;
        if (!tt_post_ops_append(&out->posts, post->alg, post->alpha, post->beta,
                                is_full))
            return false;
        if (post->kind == TT_POST_BINARY)
            out->operands[item] = tt_prim_args_operand(args, i);
    }
    return true;
}

static void forget(tt_own_posts *out)
{
    out->posts = (tt_post_ops){0};
    out->accumulates = false;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        out->operands[i] = TT_NO_OPERAND;
}

tt_status tt_own_posts_begin(tt_lower *lower, const tt_node *node, tt_own_posts *out,
                             tt_error *err)
{
    const tt_shape dst = tt_lower_graph(lower)->values[node->outputs[0]].shape;
    tt_prim_args args = tt_prim_args_empty();
    out->apart = tt_prim_args_empty();
    forget(out);
    TT_TRY(tt_prim_args_posts(lower, node, dst.rank, TT_ORDER_ROW_MAJOR, &args, err));
    if (!take(&args, &dst, out)) {
        forget(out);
        out->apart = args;
    }
    if (out->accumulates)
        return tt_lower_dst_inplace(lower, node, 0, args.sum, &out->dst, err);
    return tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &out->dst, err);
}

tt_status tt_own_posts_end(tt_lower *lower, const tt_node *node,
                           const tt_own_posts *posts, tt_error *err)
{
    tt_md md = tt_operand_md(lower, posts->dst);
    return tt_posts_lower(lower, node, posts->dst, &md, &posts->apart, err);
}
