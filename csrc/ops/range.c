/* Range: start, start + delta, ... below limit. */
#include <math.h>
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

/* max(ceil((limit - start) / delta), 0) without overflow, or -1 when it is not a
 * number that fits. */
static int64_t count_ints(int64_t start, int64_t limit, int64_t delta)
{
    uint64_t span, step, n;
    if (delta > 0 ? start >= limit : start <= limit) return 0;
    span = delta > 0 ? (uint64_t)limit - (uint64_t)start
                     : (uint64_t)start - (uint64_t)limit;
    step = delta > 0 ? (uint64_t)delta : (uint64_t)0 - (uint64_t)delta;
    n = (span - 1) / step + 1;
    return n > INT64_MAX ? -1 : (int64_t)n;
}

static int64_t count_floats(double start, double limit, double delta)
{
    double n = ceil((limit - start) / delta);
    if (n <= 0) return 0;
    return n < 9e18 ? (int64_t)n : -1; /* NaN too */
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_constant *inputs[3];
    const void *data[3];
    tt_dtype dtype;
    int64_t n;
    TT_TRY(tt_need_inputs(site, 3, err));
    dtype = tt_input_shape(site, 0)->dtype;
    for (int i = 0; i < 3; ++i) {
        const tt_shape *shape = tt_input_shape(site, i);
        if (shape->dtype != dtype || tt_shape_numel(shape) != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d must be one %s, it is %lld of %s", i,
                              tt_dtype_name(dtype), (long long)tt_shape_numel(shape),
                              tt_dtype_name(shape->dtype));
    }
    for (int i = 0; i < 3; ++i) {
        TT_TRY(tt_need_constant(site, i, &inputs[i], err));
        data[i] = tt_constant_data(inputs[i]);
    }
    if (!tt_dtype_is_float(dtype) && !tt_dtype_is_int(dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "a range of %s",
                          tt_dtype_name(dtype));
    if (tt_item_load(dtype, data[2], 0) == 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%s is 0", "delta");
    if (tt_dtype_is_float(dtype))
        n = count_floats(tt_item_load(dtype, data[0], 0),
                         tt_item_load(dtype, data[1], 0),
                         tt_item_load(dtype, data[2], 0));
    else
        n = count_ints(tt_item_load_int(dtype, data[0], 0),
                       tt_item_load_int(dtype, data[1], 0),
                       tt_item_load_int(dtype, data[2], 0));
    if (n < 0)
        return tt_fail_at(
            site->node, err, TT_LIMIT, "a range from %g to %g in steps of %g",
            tt_item_load(dtype, data[0], 0), tt_item_load(dtype, data[1], 0),
            tt_item_load(dtype, data[2], 0));
    *out = (tt_shape){.dtype = dtype, .rank = 1, .dims = {n}};
    return TT_OK;
}

typedef struct {
    int64_t n;
    tt_dtype dtype;
} range_params;

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const range_params *range = params;
    tt_dtype dtype = range->dtype;
    (void)err;
    if (tt_dtype_is_float(dtype)) {
        double start = tt_item_load(dtype, ptrs[0], 0);
        double delta = tt_item_load(dtype, ptrs[1], 0);
        for (int64_t i = 0; i < range->n; ++i)
            tt_item_store(dtype, ptrs[2], i, start + (double)i * delta);
    } else {
        uint64_t value = (uint64_t)tt_item_load_int(dtype, ptrs[0], 0);
        uint64_t delta = (uint64_t)tt_item_load_int(dtype, ptrs[1], 0);
        for (int64_t i = 0; i < range->n; ++i, value += delta)
            tt_item_store_int(dtype, ptrs[2], i, (int64_t)value);
    }
    return TT_OK;
}

static tt_status lower_range(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    range_params params = {shape->dims[0], shape->dtype};
    tt_work work = {.bytes = (double)tt_shape_bytes(shape)};
    tt_operand operands[3];
    work.cost_ns = 10 + 2 * (double)params.n;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "range", run, &params, sizeof params, operands,
                           2, 1, &work, err);
}

const tt_op tt_op_range = {.name = "Range",
                           .domain = "",
                           .since = 11,
                           .summary = "numbers from start to limit in steps of delta",
                           .infer = infer,
                           .lower = lower_range};
