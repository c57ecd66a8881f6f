/* MaxUnpool (opsets 9, 11, 22): maxima back where a MaxPool found them, 0 elsewhere.
 *
 * Indices count in the tensor that kernel, strides and pads give; an output_shape may
 * be larger, and the result then lies in its corner. */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"
#include "ops/window.h"

/* The shape in which the indices count. */
static tt_status pooled_shape(const tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src, *indices;
    tt_window w;
    TT_TRY(tt_need_inputs(site, 2, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    if (!tt_dtype_is_float(src->dtype) || indices->dtype != TT_S64 ||
        src->rank != indices->rank ||
        memcmp(src->dims, indices->dims, (size_t)src->rank * sizeof src->dims[0]) != 0)
        return tt_fail_at(
            node, err, TT_BAD_MODEL,
            "expected floats and int64 indices of one shape, not %s and %s",
            tt_dtype_name(src->dtype), tt_dtype_name(indices->dtype));
    TT_TRY(tt_window_read(node, src, NULL, &w, err));
    *out = *src;
    for (int i = 0; i < w.rank; ++i) {
        int64_t dim;
        if (!tt_mul_i64(src->dims[i + 2] - 1, w.strides[i], &dim) ||
            !tt_add_i64(dim, w.kernel[i], &dim) ||
            !tt_add_i64(dim, -w.pads_begin[i], &dim) ||
            !tt_add_i64(dim, -w.pads_end[i], &dim) || dim < 0)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "dim %d of the output does not exist", i + 2);
        out->dims[i + 2] = dim;
    }
    return tt_check_shape(site, out, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_shape pooled;
    int n;
    TT_TRY(pooled_shape(site, &pooled, err));
    *out = pooled;
    if (!tt_has_input(site, 2)) return TT_OK;
    TT_TRY(tt_need_ints(site, 2, out->dims, TT_MAX_RANK, &n, err));
    for (int i = 0; i < pooled.rank; ++i)
        if (n != pooled.rank || out->dims[i] < pooled.dims[i])
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "output_shape must have %d dims, none below what was "
                              "pooled",
                              pooled.rank);
    return tt_check_shape(site, out, err);
}

typedef struct {
    size_t item_bytes;
    int rank;
    bool is_corner; /* the result is larger than what was pooled */
    int64_t n_src, n_pooled, n_dst;
    int64_t pooled[TT_MAX_RANK], strides[TT_MAX_RANK];
} unpool_params;

#define SCATTER(T)                                                                 \
    for (int64_t i = 0; i < p->n_src; ++i) {                                       \
        int64_t at = indices[i];                                                   \
        if (at < 0 || at >= p->n_pooled) goto outside;                             \
        if (p->is_corner) at = tt_dims_offset(at, p->pooled, p->strides, p->rank); \
        ((T *)ptrs[2])[at] = ((const T *)ptrs[0])[i];                              \
    }                                                                              \
    break

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const unpool_params *p = params;
    const int64_t *indices = ptrs[1];
    memset(ptrs[2], 0, (size_t)p->n_dst * p->item_bytes);
    switch (p->item_bytes) {
    case 2:
        SCATTER(uint16_t);
    case 4:
        SCATTER(uint32_t);
    default:
        SCATTER(uint64_t);
    }
    return TT_OK;
outside:
    return tt_fail(err, TT_BAD_INPUT,
                   "MaxUnpool: an index lies outside of the %lld pooled items",
                   (long long)p->n_pooled);
}

static tt_status lower_unpool(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape dst = *tt_output_shape(lower, node, 0);
    tt_work work = {.bytes = 2.0 * (double)tt_shape_bytes(&dst)};
    unpool_params p = {.item_bytes = tt_dtype_bytes(dst.dtype), .rank = dst.rank};
    tt_operand operands[3];
    tt_shape pooled;
    TT_TRY(pooled_shape(&site, &pooled, err));
    p.n_src = tt_shape_numel(tt_input_shape(&site, 0));
    p.n_pooled = tt_shape_numel(&pooled);
    p.n_dst = tt_shape_numel(&dst);
    p.is_corner = !tt_shape_equal(&pooled, &dst);
    memcpy(p.pooled, pooled.dims, sizeof p.pooled);
    tt_strides_row_major(dst.dims, dst.rank, p.strides);
    work.cost_ns = 20.0 + 3.0 * (double)p.n_src + 0.1 * work.bytes;
    for (int i = 0; i < 2; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, "max_unpool", run, &p, sizeof p, operands, 2, 1,
                           &work, err);
}

const tt_op tt_op_max_unpool = {.name = "MaxUnpool",
                                .domain = "",
                                .since = 9,
                                .summary = "maxima back where a MaxPool found them",
                                .infer = infer,
                                .lower = lower_unpool};
