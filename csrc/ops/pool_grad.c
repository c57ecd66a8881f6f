/* MaxPoolGrad and AveragePoolGrad of domain trimtab: the gradient of what was pooled, with
 * the attributes of the pool, its input and the gradient of its result.
 *
 * MaxPoolGrad looks for the maxima again, which costs less than remembering where they
 * were; AveragePoolGrad reads only the shape of input 0. */
#include "kernels/pool_grad.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/pool.h"
#include "plan/lower.h"

static bool is_max(const tt_node *node)
{
    return strcmp(node->op->name, "MaxPoolGrad") == 0;
}

static tt_status read_geometry(const tt_site *site, tt_pool_geometry *out,
                               tt_error *err)
{
    return tt_pool_read(site, is_max(site->node) ? TT_POOL_MAX : TT_POOL_MEAN, out,
                        err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src, *gradient;
    int64_t n_places = 1;
    tt_pool_geometry g;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(read_geometry(site, &g, err));
    src = tt_input_shape(site, 0);
    gradient = tt_input_shape(site, 1);
    bool fits = gradient->rank == src->rank && gradient->dims[0] == src->dims[0] &&
                gradient->dims[1] == src->dims[1] && gradient->dtype == src->dtype;
    for (int i = 0; fits && i < g.window.rank; ++i) {
        fits = gradient->dims[2 + i] == g.window.dst[i];
        n_places *= src->dims[2 + i]; /* of a checked shape */
    }
    *out = *src;
    if (fits && (src->dtype == TT_F32 || src->dtype == TT_F64) && n_places <= INT32_MAX)
        return TT_OK;
    char a[128], b[128];
    return tt_fail_at(
        site->node, err, TT_BAD_MODEL, "no pool of %s %s has a gradient of %s %s",
        tt_dtype_name(src->dtype), tt_shape_text(src, a, sizeof a),
        tt_dtype_name(gradient->dtype), tt_shape_text(gradient, b, sizeof b));
}

static tt_status lower_grad(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape src = *tt_input_shape(&site, 0);
    tt_operand operands[3] = {TT_NO_OPERAND, TT_NO_OPERAND, TT_NO_OPERAND};
    tt_work work = {0};
    tt_pool_kernel k;
    tt_pool_geometry g;
    TT_TRY(read_geometry(&site, &g, err));
    if (is_max(node))
        TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_CHANNELS_LAST, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[2], err));
    k = tt_pool_plain_kernel(&g, &src);
    tt_pool_five(tt_operand_strides(lower, operands[2]), src.rank, k.src_strides);
    tt_pool_five(tt_operand_strides(lower, operands[1]), src.rank, k.dst_strides);
    work.flops = (double)tt_shape_numel(tt_operand_shape(lower, operands[1]));
    for (int i = 0; i < g.window.rank; ++i)
        work.flops *= (double)g.window.kernel[i];
    work.bytes = 3.0 * (double)tt_shape_bytes(&src);
    work.cost_ns = work.flops;
    return tt_lower_kernel(lower, node, "pool_grad", tt_pool_grad_run, &k, sizeof k,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_max_pool_grad = {
    .name = "MaxPoolGrad",
    .domain = "trimtab",
    .since = 1,
    .summary = "gradient of the input of a max pool",
    .infer = infer,
    .lower = lower_grad,
};

const tt_op tt_op_average_pool_grad = {
    .name = "AveragePoolGrad",
    .domain = "trimtab",
    .since = 1,
    .summary = "gradient of the input of a mean of windows",
    .infer = infer,
    .lower = lower_grad,
};
