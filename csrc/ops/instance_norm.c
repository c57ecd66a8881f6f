/* InstanceNormalization (opsets 1, 6, 22) and GroupNormalization (18, 21). */
#include <string.h>

#include "kernels/norm.h"
#include "ops/fail.h"
#include "ops/norm_common.h"

/* Groups of a tensor [n, c, ...]; InstanceNormalization has one per channel. */
static tt_status read_groups(const tt_site *site, bool is_group, int64_t *out,
                             tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *x = tt_input_shape(site, 0);
    *out = x->dims[1];
    if (!is_group) return TT_OK;
    if (tt_attribute_find(node, "num_groups") == NULL)
        return tt_fail_at(node, err, TT_BAD_MODEL, "attribute '%s' is missing",
                          "num_groups");
    TT_TRY(tt_attribute_int(node, "num_groups", 1, out, err));
    if (*out < 1 || x->dims[1] % *out != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%lld channels do not divide into %lld groups",
                          (long long)x->dims[1], (long long)*out);
    return TT_OK;
}

static bool is_group_norm(const tt_node *node)
{
    return strcmp(node->op->name, "GroupNormalization") == 0;
}

static tt_status infer_groups(tt_site *site, bool is_group, tt_shape *out,
                              tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *x;
    int64_t groups;
    char text[128];
    TT_TRY(tt_need_inputs(site, 3, err));
    x = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(x->dtype) || x->rank < 2)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input is %s %s, expected floats [n, channels, ...]",
                          tt_dtype_name(x->dtype), tt_shape_text(x, text, sizeof text));
    TT_TRY(read_groups(site, is_group, &groups, err));
    for (int i = 1; i < 3; ++i) {
        const tt_shape *v = tt_input_shape(site, i);
        bool fits = v->rank == 1 && v->dtype == x->dtype &&
                    (v->dims[0] == x->dims[1] || (is_group && v->dims[0] == groups));
        if (!fits || v->dims[0] != tt_input_shape(site, 1)->dims[0])
            return tt_fail_at(
                node, err, TT_BAD_MODEL, "input %d is %s %s, expected %s [%lld]", i,
                tt_dtype_name(v->dtype), tt_shape_text(v, text, sizeof text),
                tt_dtype_name(x->dtype), (long long)x->dims[1]);
    }
    return tt_infer_same(site, out, err);
}

static tt_status infer_instance(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_groups(site, false, out, err);
}

static tt_status infer_group(tt_site *site, tt_shape *out, tt_error *err)
{
    return infer_groups(site, true, out, err);
}

static tt_status lower_groups(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape x = *tt_input_shape(&site, 0);
    double n = (double)tt_shape_numel(&x);
    tt_work work = {.flops = 8.0 * n,
                    .bytes = 2.0 * (double)tt_shape_bytes(&x),
                    .cost_ns = 0.15 * n};
    tt_operand operands[TT_GROUP_NORM_N];
    tt_group_norm_kernel k = {.dtype = x.dtype};
    float epsilon;
    TT_TRY(tt_attribute_float(node, "epsilon", 1e-5f, &epsilon, err));
    TT_TRY(read_groups(&site, is_group_norm(node), &k.n_groups, err));
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    if (x.dtype == TT_F32 && tt_may_overwrite(lower, node, 0))
        TT_TRY(tt_lower_dst_inplace(lower, node, 0, operands[0],
                                    &operands[TT_GROUP_NORM_Y], err));
    else
        TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR,
                            &operands[TT_GROUP_NORM_Y], err));
    if (n == 0.0) return TT_OK;
    k.epsilon = (double)epsilon;
    k.n_rows = x.dims[0] * k.n_groups;
    k.n_channels = x.dims[1] / k.n_groups;
    k.n_items = 1;
    for (int i = 2; i < x.rank; ++i)
        k.n_items *= x.dims[i];
    k.per_group = tt_input_shape(&site, 1)->dims[0] != x.dims[1];
    return tt_lower_kernel(lower, node, tt_norm_table_of(tt_cpu_get()->isa)->group_name,
                           tt_group_norm_run, &k, sizeof k, operands,
                           TT_GROUP_NORM_N_SRC, 1, &work, err);
}

const tt_op tt_op_instance_norm = {
    .name = "InstanceNormalization",
    .domain = "",
    .since = 1,
    .summary = "every channel of every item to mean 0 and variance 1",
    .infer = infer_instance,
    .lower = lower_groups,
};

const tt_op tt_op_group_norm = {
    .name = "GroupNormalization",
    .domain = "",
    .since = 18,
    .summary = "groups of channels to mean 0 and variance 1",
    .infer = infer_group,
    .lower = lower_groups,
};
