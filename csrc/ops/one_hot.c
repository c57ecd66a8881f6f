/* OneHot: indices become a new axis of off values with one on value. */
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "axis", -1, &value, err));
    return tt_axis(node, value, rank + 1, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_constant *constant;
    const tt_shape *indices, *values;
    double depth;
    int axis;
    TT_TRY(tt_need_inputs(site, 3, err));
    indices = tt_input_shape(site, 0);
    values = tt_input_shape(site, 2);
    TT_TRY(read_axis(site->node, indices->rank, &axis, err));
    if (values->rank != 1 || values->dims[0] != 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "values must be [off, on], it has rank %d", values->rank);
    if (!tt_dtype_is_int(indices->dtype) && !tt_dtype_is_float(indices->dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "indices of %s",
                          tt_dtype_name(indices->dtype));
    TT_TRY(tt_need_constant(site, 1, &constant, err));
    if (!tt_scalar_value(constant, &depth) || !(depth >= 0 && depth < 9e18))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "depth must be one number >= %d", 0);
    *out = (tt_shape){.dtype = values->dtype, .rank = indices->rank + 1};
    if (out->rank > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_LIMIT, "the output has %d dims",
                          out->rank);
    for (int i = 0; i < out->rank; ++i)
        out->dims[i] = i < axis    ? indices->dims[i]
                       : i == axis ? (int64_t)depth
                                   : indices->dims[i - 1];
    return TT_OK;
}

typedef struct {
    int64_t n_outer, depth, n_inner;
    size_t item_bytes;
    tt_dtype indices;
} one_hot_params;

/* The index as a number in [0, depth), or -1 for none. */
static int64_t index_of(const one_hot_params *params, const void *data, int64_t i)
{
    int64_t index;
    if (tt_dtype_is_float(params->indices)) {
        double value = tt_item_load(params->indices, data, i);
        if (!(value > -9e18 && value < 9e18)) return -1;
        index = (int64_t)value;
    } else {
        index = tt_item_load_int(params->indices, data, i);
        if (params->indices == TT_U64 && index < 0) return -1;
    }
    if (index < 0) index = index < -params->depth ? -1 : index + params->depth;
    return index < params->depth ? index : -1;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const one_hot_params *p = params;
    size_t item = p->item_bytes;
    const char *off = ptrs[1], *on = off + item;
    char *dst = ptrs[2];
    int64_t n = p->n_outer * p->depth * p->n_inner;
    (void)err;
    for (int64_t i = 0; i < n; ++i)
        memcpy(dst + (size_t)i * item, off, item);
    for (int64_t o = 0; o < p->n_outer; ++o)
        for (int64_t i = 0; i < p->n_inner; ++i) {
            int64_t index = index_of(p, ptrs[0], o * p->n_inner + i);
            int64_t at = (o * p->depth + index) * p->n_inner + i;
            if (index >= 0) memcpy(dst + (size_t)at * item, on, item);
        }
    return TT_OK;
}

static tt_status lower_one_hot(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *indices = tt_input_shape(&site, 0);
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    one_hot_params params = {.n_outer = 1,
                             .n_inner = 1,
                             .item_bytes = tt_dtype_bytes(shape->dtype),
                             .indices = indices->dtype};
    tt_work work = {.bytes = (double)tt_shape_bytes(shape)};
    tt_operand operands[3];
    int axis;
    TT_TRY(read_axis(node, indices->rank, &axis, err));
    params.depth = shape->dims[axis];
    for (int i = 0; i < indices->rank; ++i)
        *(i < axis ? &params.n_outer : &params.n_inner) *= indices->dims[i];
    work.cost_ns = 15 + work.bytes / 4 + 3 * (double)tt_shape_numel(indices);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "one_hot", run, &params, sizeof params,
                           operands, 2, 1, &work, err);
}

const tt_op tt_op_one_hot = {.name = "OneHot",
                             .domain = "",
                             .since = 9,
                             .summary = "indices as rows of off with one on",
                             .infer = infer,
                             .lower = lower_one_hot};
