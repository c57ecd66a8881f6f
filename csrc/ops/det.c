/* Det: determinants of the matrices in the last two dims. */
#include "kernels/det.h"

#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    char text[160];
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(src->dtype) || src->rank < 2 ||
        src->dims[src->rank - 1] != src->dims[src->rank - 2])
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "the input is %s %s, expected floats [.., n, n]",
                          tt_dtype_name(src->dtype),
                          tt_shape_text(src, text, sizeof text));
    *out = *src;
    out->rank -= 2;
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_det_run(params, ptrs[0], ptrs[1], ptrs[2]);
    return TT_OK;
}

static tt_status lower_det(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape src = *tt_input_shape(&site, 0);
    tt_det det = {.dtype = src.dtype, .n = src.dims[src.rank - 1]};
    double n = (double)det.n;
    tt_work work = {.bytes = (double)tt_shape_bytes(&src)};
    tt_operand operands[3];
    size_t bytes;
    det.n_matrices = tt_shape_numel(tt_output_shape(lower, node, 0));
    det.n_parts = tt_lower_threads(lower);
    if (det.n_parts > det.n_matrices) det.n_parts = (int)det.n_matrices;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    if (det.n_matrices == 0) return TT_OK;
    if (!tt_det_scratch_bytes(&det, &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "matrices of %lld rows",
                          (long long)det.n);
    TT_TRY(tt_lower_temporary(lower, bytes + sizeof(double), &operands[2], err));
    work.flops = (double)det.n_matrices * n * n * n * 2.0 / 3.0;
    work.cost_ns = 30.0 + (double)det.n_matrices * (20.0 + 3.0 * n * n) + work.flops;
    return tt_lower_kernel(lower, node, "det", run, &det, sizeof det, operands, 1, 2,
                           &work, err);
}

const tt_op tt_op_det = {.name = "Det",
                         .domain = "",
                         .since = 11,
                         .summary = "determinants of square matrices",
                         .infer = infer,
                         .lower = lower_det};
