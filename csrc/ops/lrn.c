/* LRN (opsets 1, 13): local response normalisation over neighbouring channels. */
#include "kernels/lrn.h"

#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_lrn(const tt_site *site, tt_lrn *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t size;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(src->dtype) || src->rank < 2)
        return tt_fail_at(
            node, err, TT_BAD_MODEL,
            "the input is %s of rank %d, expected floats [n, channels, ..]",
            tt_dtype_name(src->dtype), src->rank);
    *out = (tt_lrn){.dtype = src->dtype, .n_rows = src->dims[0], .n_items = 1};
    TT_TRY(tt_attribute_int(node, "size", 0, &size, err));
    TT_TRY(tt_attribute_float(node, "alpha", 1e-4f, &out->alpha, err));
    TT_TRY(tt_attribute_float(node, "beta", 0.75f, &out->beta, err));
    TT_TRY(tt_attribute_float(node, "bias", 1.0f, &out->bias, err));
    if (size < 1)
        return tt_fail_at(node, err, TT_BAD_MODEL, "size is %lld, expected 1 or more",
                          (long long)size);
    out->alpha /= (float)size;
    out->n_channels = src->dims[1];
    for (int i = 2; i < src->rank; ++i)
        out->n_items *= src->dims[i];
    out->before = (size - 1) / 2;
    out->after = size - 1 - out->before;
    if (out->before >= out->n_channels) out->before = out->n_channels - 1;
    if (out->after >= out->n_channels) out->after = out->n_channels - 1;
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_lrn lrn;
    TT_TRY(read_lrn(site, &lrn, err));
    return tt_infer_same(site, out, err);
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_lrn_run(params, ptrs[0], ptrs[1]);
    return TT_OK;
}

static tt_status lower_lrn(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape shape = *tt_input_shape(&site, 0);
    double n = (double)tt_shape_numel(&shape);
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(&shape)};
    tt_operand operands[2];
    tt_order order;
    tt_lrn lrn;
    TT_TRY(read_lrn(&site, &lrn, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    order = tt_order_like(lower, operands[0]);
    if (order != TT_ORDER_CHANNELS_LAST) order = TT_ORDER_ROW_MAJOR;
    lrn.is_channels_last = order == TT_ORDER_CHANNELS_LAST;
    TT_TRY(tt_lower_src(lower, node, 0, order, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, order, &operands[1], err));
    if (n == 0.0) return TT_OK;
    work.flops = n * 2.0 * (double)(lrn.before + lrn.after + 5);
    work.cost_ns = 20.0 + 0.3 * work.flops;
    return tt_lower_kernel(lower, node, "lrn", run, &lrn, sizeof lrn, operands, 1, 1,
                           &work, err);
}

const tt_op tt_op_lrn = {.name = "LRN",
                         .domain = "",
                         .since = 1,
                         .summary = "local response normalisation over channels",
                         .infer = infer,
                         .lower = lower_lrn};
