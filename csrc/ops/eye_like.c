/* EyeLike: ones on a diagonal; only the shape of the input matters. */
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t dtype;
    TT_TRY(tt_infer_same(site, out, err));
    if (out->rank != 2)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input has rank %d, expected 2", out->rank);
    TT_TRY(tt_attribute_int(site->node, "dtype", (int64_t)out->dtype, &dtype, err));
    if (!tt_dtype_is_known(dtype) || dtype == TT_STRING || dtype == TT_C64 ||
        dtype == TT_C128 || tt_dtype_is_small((tt_dtype)dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "dtype %lld has no ones",
                          (long long)dtype);
    out->dtype = (tt_dtype)dtype;
    return TT_OK;
}

typedef struct {
    int64_t n_rows, n_columns, k;
    tt_dtype dtype;
} eye_params;

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const eye_params *p = params;
    int64_t first = p->k < 0 ? (p->k < -p->n_rows ? p->n_rows : -p->k) : 0;
    (void)err;
    memset(ptrs[0], 0,
           (size_t)p->n_rows * (size_t)p->n_columns * tt_dtype_bytes(p->dtype));
    for (int64_t row = first; row < p->n_rows && row < p->n_columns - p->k; ++row)
        tt_item_store(p->dtype, ptrs[0], row * p->n_columns + row + p->k, 1);
    return TT_OK;
}

static tt_status lower_eye_like(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    eye_params params = {shape->dims[0], shape->dims[1], 0, shape->dtype};
    tt_work work = {.bytes = (double)tt_shape_bytes(shape)};
    tt_operand dst;
    TT_TRY(tt_attribute_int(node, "k", 0, &params.k, err));
    if (params.k > params.n_columns) params.k = params.n_columns;
    if (params.k < -params.n_rows) params.k = -params.n_rows;
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &dst, err));
    return tt_lower_kernel(lower, node, "eye_like", run, &params, sizeof params, &dst,
                           0, 1, &work, err);
}

const tt_op tt_op_eye_like = {.name = "EyeLike",
                              .domain = "",
                              .since = 9,
                              .summary = "ones on a diagonal",
                              .infer = infer,
                              .lower = lower_eye_like,
                              .reads_shape_only = true};
