/* ConstantOfShape: one element, seen everywhere through strides of 0. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

/* A float 0 unless the attribute says otherwise. */
static tt_status read_value(const tt_node *node, tt_dtype *dtype, const void **data,
                            tt_error *err)
{
    static const float zero = 0;
    const tt_attribute *value = tt_attribute_find(node, "value");
    *dtype = TT_F32;
    *data = &zero;
    if (value == NULL) return TT_OK;
    if (value->kind != TT_ATTRIBUTE_TENSOR || value->as.tensor == NULL ||
        tt_shape_numel(tt_constant_shape(value->as.tensor)) != 1)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "attribute '%s' must be a tensor of one element", "value");
    *dtype = tt_constant_shape(value->as.tensor)->dtype;
    *data = tt_constant_data(value->as.tensor);
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const void *data;
    TT_TRY(tt_need_inputs(site, 1, err));
    *out = (tt_shape){.rank = 0};
    TT_TRY(read_value(site->node, &out->dtype, &data, err));
    TT_TRY(tt_need_ints(site, 0, out->dims, TT_MAX_RANK, &out->rank, err));
    for (int i = 0; i < out->rank; ++i)
        if (out->dims[i] < 0)
            return tt_fail_at(site->node, err, TT_BAD_MODEL, "dim %d is %lld", i,
                              (long long)out->dims[i]);
    return TT_OK;
}

static tt_status lower_constant_of_shape(tt_lower *lower, const tt_node *node,
                                         tt_error *err)
{
    int64_t strides[TT_MAX_RANK] = {0};
    tt_shape single = {.rank = 0};
    tt_constant *constant;
    tt_operand operand;
    const void *value;
    void *data;
    TT_TRY(read_value(node, &single.dtype, &value, err));
    TT_TRY(tt_constant_empty(&single, &constant, &data, err));
    memcpy(data, value, tt_dtype_bytes(single.dtype));
    TT_TRY(tt_lower_constant(lower, constant, &operand, err));
    return tt_lower_view(lower, node, 0, operand, strides, 0, err);
}

const tt_op tt_op_constant_of_shape = {.name = "ConstantOfShape",
                                       .domain = "",
                                       .since = 9,
                                       .summary = "a tensor of equal elements",
                                       .infer = infer,
                                       .lower = lower_constant_of_shape};
