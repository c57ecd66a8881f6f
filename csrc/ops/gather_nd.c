/* GatherND: slices by tuples of indices, with batch dims since opset 12. */
#include <string.h>

#include "kernels/gather.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_batch_dims(const tt_node *node, int *batch_dims, tt_error *err)
{
    int64_t value = 0;
    if (node->version >= 12)
        TT_TRY(tt_attribute_int(node, "batch_dims", 0, &value, err));
    if (value < 0 || value >= TT_MAX_RANK)
        return tt_fail_at(node, err, TT_BAD_MODEL, "batch_dims is %lld",
                          (long long)value);
    *batch_dims = (int)value;
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src, *indices;
    int64_t n_index;
    char from[256], at[256];
    int batch = 0;
    bool fits;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_need_index_dtype(site, 1, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    TT_TRY(read_batch_dims(node, &batch, err));
    fits = src->rank >= 1 && indices->rank >= 1 && batch < src->rank &&
           batch < indices->rank;
    n_index = fits ? indices->dims[indices->rank - 1] : 0;
    fits = fits && n_index >= 1 && n_index <= src->rank - batch;
    for (int i = 0; i < batch && fits; ++i)
        fits = src->dims[i] == indices->dims[i];
    if (!fits)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "indices %s do not fit data %s with batch_dims %d",
                          tt_shape_text(indices, at, sizeof at),
                          tt_shape_text(src, from, sizeof from), batch);
    if (indices->rank - 1 + src->rank - batch - (int)n_index > TT_MAX_RANK)
        return tt_fail_at(node, err, TT_LIMIT, "the output has more than %d dims",
                          TT_MAX_RANK);
    *out = (tt_shape){.dtype = src->dtype};
    for (int i = 0; i < indices->rank - 1; ++i)
        out->dims[out->rank++] = indices->dims[i];
    for (int i = batch + (int)n_index; i < src->rank; ++i)
        out->dims[out->rank++] = src->dims[i];
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    return tt_gather_nd_run(params, ptrs[0], ptrs[1], ptrs[2], err);
}

static tt_status lower_gather_nd(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0), *indices = tt_input_shape(&site, 1);
    int64_t step = (int64_t)tt_dtype_bytes(src->dtype);
    tt_gather_nd gather = {.n_index = (int)indices->dims[indices->rank - 1],
                           .n_batches = 1,
                           .n_tuples = 1,
                           .is_32 = indices->dtype == TT_S32};
    tt_work work = {0};
    tt_operand operands[3];
    int batch = 0;
    TT_TRY(read_batch_dims(node, &batch, err));
    for (int i = src->rank - 1; i >= batch; --i) {
        int k = i - batch;
        if (k == gather.n_index - 1) gather.slice_bytes = step;
        if (k < gather.n_index) {
            gather.dims[k] = src->dims[i];
            gather.steps[k] = step;
        }
        step *= src->dims[i];
    }
    gather.batch_bytes = step;
    for (int i = 0; i < indices->rank - 1; ++i)
        *(i < batch ? &gather.n_batches : &gather.n_tuples) *= indices->dims[i];
    work.bytes = 2 * (double)tt_shape_bytes(tt_output_shape(lower, node, 0));
    work.cost_ns =
        20 + work.bytes / 30 + 5 * (double)gather.n_batches * (double)gather.n_tuples;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "gather_nd", run, &gather, sizeof gather,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_gather_nd = {.name = "GatherND",
                               .domain = "",
                               .since = 11,
                               .summary = "slices by tuples of indices",
                               .infer = infer,
                               .lower = lower_gather_nd,
                               .takes_strings = true};
