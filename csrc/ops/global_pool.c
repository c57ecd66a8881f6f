/* GlobalAveragePool, GlobalMaxPool (opsets 1, 22) and GlobalLpPool (2, 22): reductions
 * over all spatial dims, in whatever order they lie in memory. */
#include <string.h>

#include "kernels/pool.h"
#include "kernels/reduce.h"
#include "ops/fail.h"
#include "ops/op.h"
#include "plan/lower.h"

static tt_status read_p(const tt_node *node, int64_t *out, tt_error *err)
{
    TT_TRY(tt_attribute_int(node, "p", 2, out, err));
    if (*out >= 1) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL, "p is %lld, expected 1 or more",
                      (long long)*out);
}

static bool is_norm(const tt_node *node)
{
    return strcmp(node->op->name, "GlobalLpPool") == 0;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x;
    char text[160];
    int64_t p;
    TT_TRY(tt_need_inputs(site, 1, err));
    x = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(x->dtype) || x->rank < 3)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input is %s %s, expected floats [n, channels, spatial..]",
                          tt_dtype_name(x->dtype), tt_shape_text(x, text, sizeof text));
    TT_TRY(read_p(site->node, &p, err));
    if (is_norm(site->node) && p > 2 && x->rank > 5)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED,
                          "p = %lld over %d spatial dims, supported are 3",
                          (long long)p, x->rank - 2);
    out[0] = *x;
    for (int i = 2; i < x->rank; ++i) {
        if (x->dims[i] == 0)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "pooling over an empty spatial dim %d", i - 2);
        out[0].dims[i] = 1;
    }
    return tt_check_shape(site, &out[0], err);
}

/* The p-norm for p > 2: one window over everything. */
static tt_status lower_window(tt_lower *lower, const tt_node *node, int64_t p,
                              const tt_shape *x, tt_operand operands[3],
                              const tt_work *work, tt_error *err)
{
    tt_pool_kernel k = {.mode = TT_POOL_NORM,
                        .dtype = x->dtype,
                        .p = (double)p,
                        .batch = x->dims[0],
                        .channels = x->dims[1]};
    const int64_t *src = tt_operand_strides(lower, operands[0]);
    for (int i = 0; i < 3; ++i) {
        int from = i + x->rank - 3;
        k.src[i] = k.kernel[i] = from < 2 ? 1 : x->dims[from];
        k.dst[i] = k.strides[i] = k.dilations[i] = 1;
        k.src_strides[2 + i] = from < 2 ? 0 : src[from];
    }
    memcpy(k.src_strides, src, 2 * sizeof *src);
    memcpy(k.dst_strides, tt_operand_strides(lower, operands[1]), 2 * sizeof *src);
    return tt_lower_kernel(lower, node, "pool:ref", tt_pool_run_ref, &k, sizeof k,
                           operands, 1, 2, work, err);
}

static tt_status lower_global_pool(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape x = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    tt_reduce_kernel k = {.kind = TT_REDUCE_MEAN, .dtype = x.dtype};
    bool is_reduced[TT_MAX_RANK] = {false};
    tt_operand operands[3] = {TT_NO_OPERAND, TT_NO_OPERAND, TT_NO_OPERAND};
    double n = (double)tt_shape_numel(&x);
    tt_work work = {
        .flops = n, .bytes = (double)tt_shape_bytes(&x), .cost_ns = 0.1 * n + 20.0};
    int64_t p;
    TT_TRY(read_p(node, &p, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    if (strcmp(node->op->name, "GlobalMaxPool") == 0) k.kind = TT_REDUCE_MAX;
    if (is_norm(node)) {
        if (p > 2) return lower_window(lower, node, p, &x, operands, &work, err);
        k.kind = p == 1 ? TT_REDUCE_L1 : TT_REDUCE_L2;
    }
    for (int i = 2; i < x.rank; ++i)
        is_reduced[i] = true;
    tt_reduce_plan(&k, &x, tt_operand_strides(lower, operands[0]), is_reduced);
    return tt_lower_kernel(lower, node, tt_reduce_name(), tt_reduce_run, &k, sizeof k,
                           operands, 1, 1, &work, err);
}

#define GLOBAL_POOL(record_, name_, summary_)           \
    const tt_op tt_op_##record_ = {.name = name_,       \
                                   .domain = "",        \
                                   .since = 1,          \
                                   .summary = summary_, \
                                   .infer = infer,      \
                                   .lower = lower_global_pool}

GLOBAL_POOL(global_average_pool, "GlobalAveragePool", "mean of every channel");
GLOBAL_POOL(global_max_pool, "GlobalMaxPool", "largest item of every channel");
GLOBAL_POOL(global_lp_pool, "GlobalLpPool", "p-norm of every channel");
