/* Lowering of Fourier transforms: see dft_common.h. */
#include "ops/dft_common.h"

#include <math.h>

#include "ops/fail.h"

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_dft_run(params, ptrs[2], ptrs[0], ptrs[1], ptrs[3], ptrs[4]);
    return TT_OK;
}

/* Table and scratch, within the limits. */
static tt_status make_memory(tt_lower *lower, const tt_node *node, const tt_dft *dft,
                             tt_operand *table, tt_operand *scratch, tt_error *err)
{
    const tt_shape shape = {.dtype = dft->dtype == TT_F64 ? TT_F64 : TT_F32,
                            .rank = 1,
                            .dims = {tt_dft_table_items(dft)}};
    size_t item = tt_dtype_bytes(shape.dtype);
    tt_site site = tt_lower_site(lower, node);
    tt_constant *constant;
    tt_status status;
    void *data;
    TT_TRY(tt_check_shape(&site, &shape, err));
    TT_TRY(tt_constant_empty(&shape, &constant, &data, err));
    status = tt_dft_fill(dft, data, err);
    if (status != TT_OK) {
        tt_constant_unref(constant);
        return status;
    }
    TT_TRY(tt_lower_constant(lower, constant, table, err));
    return tt_lower_temporary(lower, (size_t)tt_dft_scratch_items(dft) * item, scratch,
                              err);
}

tt_status tt_dft_lower(tt_lower *lower, const tt_node *node, tt_dft *dft,
                       tt_operand src, tt_operand window, tt_operand dst, tt_error *err)
{
    double n = (double)dft->n, n_transforms = (double)(dft->n_outer * dft->n_inner);
    tt_operand operands[5] = {src, window, TT_NO_OPERAND, dst, TT_NO_OPERAND};
    tt_work work = {.flops = n_transforms * 5.0 * n * log2(n + 1.0),
                    .bytes =
                        n_transforms * n * 3.0 * (double)tt_dtype_bytes(dft->dtype)};
    if (n_transforms == 0.0) return TT_OK;
    work.cost_ns = 100.0 + 0.15 * work.flops;
    if (!tt_dft_plan(dft, tt_lower_threads(lower)))
        return tt_fail_at(node, err, TT_LIMIT, "a transform of %lld items",
                          (long long)dft->n);
    TT_TRY(make_memory(lower, node, dft, &operands[2], &operands[4], err));
    return tt_lower_kernel(lower, node, tt_fft_get()->name, run, dft, sizeof *dft,
                           operands, 3, 2, &work, err);
}
