/* Compress: the slices along an axis (or the elements) whose condition holds. */
#include <string.h>

#include "ops/eval.h"
#include "ops/fail.h"

/* *axis is -1 for the flattened input. */
static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    *axis = -1;
    if (tt_attribute_find(node, "axis") == NULL) return TT_OK;
    TT_TRY(tt_attribute_int(node, "axis", 0, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *condition;
    int axis;
    (void)out;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(read_axis(site->node, tt_input_shape(site, 0)->rank, &axis, err));
    condition = tt_input_shape(site, 1);
    if (condition->dtype != TT_BOOL || condition->rank != 1)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "condition must be a list of bool, it is %s with rank %d",
                          tt_dtype_name(condition->dtype), condition->rank);
    return tt_needs_run(site, err);
}

static tt_status eval(tt_site *site, const tt_tensor *const *inputs, tt_tensor *out,
                      tt_error *err)
{
    const uint8_t *condition = inputs[1]->data;
    tt_shape shape = inputs[0]->shape;
    int64_t n, n_outer = 1, n_kept = 0, n_conditions = inputs[1]->shape.dims[0];
    size_t row_bytes = tt_dtype_bytes(shape.dtype);
    const char *src = inputs[0]->data;
    char *dst;
    int axis;
    TT_TRY(read_axis(site->node, shape.rank, &axis, err));
    n = axis < 0 ? tt_shape_numel(&shape) : shape.dims[axis];
    for (int i = 0; i < shape.rank && axis >= 0; ++i) {
        if (i < axis) n_outer *= shape.dims[i];
        if (i > axis) row_bytes *= (size_t)shape.dims[i];
    }
    if (n_conditions > n)
        return tt_fail_at(site->node, err, TT_BAD_INPUT,
                          "%lld conditions for %lld slices", (long long)n_conditions,
                          (long long)n);
    for (int64_t i = 0; i < n_conditions; ++i)
        n_kept += condition[i] != 0;
    if (axis < 0) shape = (tt_shape){.dtype = shape.dtype, .rank = 1};
    shape.dims[axis < 0 ? 0 : axis] = n_kept;
    TT_TRY(tt_eval_output(site, &shape, &out[0], err));
    dst = out[0].data;
    for (int64_t o = 0; o < n_outer; ++o, src += (size_t)n * row_bytes)
        for (int64_t i = 0; i < n_conditions; ++i)
            if (condition[i] != 0) {
                memcpy(dst, src + (size_t)i * row_bytes, row_bytes);
                dst += row_bytes;
            }
    return TT_OK;
}

const tt_op tt_op_compress = {.name = "Compress",
                              .domain = "",
                              .since = 9,
                              .summary = "the slices whose condition holds",
                              .infer = infer,
                              .eval = eval};
