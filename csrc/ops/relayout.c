/* Reorders as steps: see relayout.h. */
#include "ops/relayout.h"

static tt_status create_relayout(tt_engine *engine, const void *params, tt_prim **out,
                                 tt_error *err)
{
    return tt_relayout_new(engine, params, out, err);
}

static tt_status is_plain(const tt_prim *prim, tt_arg arg, const tt_md *plain,
                          bool *out, tt_error *err)
{
    tt_layout *layout;
    TT_TRY(tt_layout_new(prim, arg, &layout, err));
    *out = tt_layout_is(layout, plain);
    tt_layout_free(layout);
    return TT_OK;
}

/* Bytes that hold the argument in the layout that the primitive chose. */
static tt_status chosen_bytes(tt_lower *lower, const tt_prim *prim, tt_arg arg,
                              tt_operand *out, tt_error *err)
{
    size_t n_bytes = tt_prim_arg_bytes(prim, arg);
    tt_shape shape = {.dtype = TT_U8, .rank = 1};
    if (n_bytes == 0 || n_bytes > INT64_MAX)
        return tt_fail(err, TT_INTERNAL, "a layout of %zu bytes", n_bytes);
    shape.dims[0] = (int64_t)n_bytes;
    return tt_lower_tensor(lower, &shape, NULL, out, err);
}

static tt_status add_step(tt_lower *lower, const tt_node *node,
                          const tt_relayout_params *params, tt_operand from,
                          tt_operand to, tt_error *err)
{
    const tt_arg args[2] = {TT_ARG_SRC, TT_ARG_DST};
    const tt_operand operands[2] = {from, to};
    const tt_work work = {
        .bytes = 2.0 * (double)tt_prim_arg_bytes(params->prim, params->arg)};
    tt_prim *reorder;
    TT_TRY(tt_lower_create(lower, create_relayout, params, &work, &reorder, err));
    return tt_lower_prim(lower, node, reorder, args, operands, 1, 1, &work, err);
}

tt_status tt_relayout_src(tt_lower *lower, const tt_node *node, const tt_prim *prim,
                          tt_arg arg, tt_operand src, const tt_md *plain,
                          tt_operand *out, tt_error *err)
{
    const tt_relayout_params params = {prim, arg, *plain, /*to_plain=*/false};
    bool same;
    if (tt_operand_constant(lower, src) != NULL)
        return tt_lower_packed(lower, prim, arg, src, plain, out, err);
    TT_TRY(is_plain(prim, arg, plain, &same, err));
    *out = src;
    if (same) return TT_OK;
    TT_TRY(chosen_bytes(lower, prim, arg, out, err));
    return add_step(lower, node, &params, src, *out, err);
}

tt_status tt_relayout_dst(tt_lower *lower, const tt_prim *prim, tt_arg arg,
                          tt_operand dst, const tt_md *plain, tt_operand *out,
                          tt_error *err)
{
    bool same;
    TT_TRY(is_plain(prim, arg, plain, &same, err));
    *out = dst;
    return same ? TT_OK : chosen_bytes(lower, prim, arg, out, err);
}

tt_status tt_relayout_finish(tt_lower *lower, const tt_node *node, const tt_prim *prim,
                             tt_arg arg, tt_operand made, tt_operand dst,
                             const tt_md *plain, tt_error *err)
{
    const tt_relayout_params params = {prim, arg, *plain, /*to_plain=*/true};
    return made == dst ? TT_OK : add_step(lower, node, &params, made, dst, err);
}
