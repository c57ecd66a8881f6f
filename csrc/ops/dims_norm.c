/* LpNormalization (opsets 1, 22) and MeanVarianceNormalization (9, 13): normalisation
 * over dims that attributes name. */
#include "kernels/dims_norm.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_norm(const tt_node *node, int rank, bool *is_reduced,
                           tt_dims_norm_kind *kind, tt_error *err)
{
    int64_t axis, p;
    int wrapped;
    TT_TRY(tt_attribute_int(node, "axis", -1, &axis, err));
    TT_TRY(tt_attribute_int(node, "p", 2, &p, err));
    if (p != 1 && p != 2)
        return tt_fail_at(node, err, TT_BAD_MODEL, "p is %lld, expected 1 or 2",
                          (long long)p);
    TT_TRY(tt_axis(node, axis, rank, &wrapped, err));
    is_reduced[wrapped] = true;
    *kind = p == 1 ? TT_DIMS_NORM_L1 : TT_DIMS_NORM_L2;
    return TT_OK;
}

static tt_status read_moments(const tt_node *node, int rank, bool *is_reduced,
                              tt_error *err)
{
    static const int64_t DEFAULT[] = {0, 2, 3};
    const int64_t *axes;
    int n, wrapped;
    TT_TRY(tt_attribute_ints(node, "axes", &axes, &n, err));
    if (n < 0) {
        axes = DEFAULT;
        n = 3;
    }
    for (int i = 0; i < n; ++i) {
        TT_TRY(tt_axis(node, axes[i], rank, &wrapped, err));
        is_reduced[wrapped] = true;
    }
    return TT_OK;
}

static tt_status read_dims(const tt_site *site, bool *is_reduced,
                           tt_dims_norm_kind *kind, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(src->dtype))
        return tt_fail_at(node, err, TT_BAD_MODEL, "the input is %s, expected floats",
                          tt_dtype_name(src->dtype));
    if (strcmp(node->op->name, "LpNormalization") == 0)
        return read_norm(node, src->rank, is_reduced, kind, err);
    *kind = TT_DIMS_NORM_MOMENTS;
    return read_moments(node, src->rank, is_reduced, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    bool is_reduced[TT_MAX_RANK] = {false};
    tt_dims_norm_kind kind;
    TT_TRY(read_dims(site, is_reduced, &kind, err));
    return tt_infer_same(site, out, err);
}

/* The dims in two lists; dims of 1 are left out, neighbours merged. */
static void split_dims(const tt_shape *shape, const int64_t *strides,
                       const bool *is_reduced, tt_dims_norm *p)
{
    for (int i = 0; i < shape->rank; ++i) {
        bool r = is_reduced[i];
        int64_t *dims = r ? p->reduced : p->kept;
        int64_t *steps = r ? p->reduced_strides : p->kept_strides;
        int *n = r ? &p->n_reduced : &p->n_kept;
        if (shape->dims[i] == 1) continue;
        if (*n > 0 && steps[*n - 1] == strides[i] * shape->dims[i]) {
            dims[*n - 1] *= shape->dims[i];
            steps[*n - 1] = strides[i];
            continue;
        }
        dims[*n] = shape->dims[i];
        steps[(*n)++] = strides[i];
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_dims_norm_run(params, ptrs[0], ptrs[1]);
    return TT_OK;
}

static tt_status lower_norm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape shape = *tt_input_shape(&site, 0);
    double n = (double)tt_shape_numel(&shape);
    tt_work work = {.flops = 6.0 * n,
                    .bytes = 2.0 * (double)tt_shape_bytes(&shape),
                    .cost_ns = 20.0 + 3.0 * n};
    bool is_reduced[TT_MAX_RANK] = {false};
    int64_t strides[TT_MAX_RANK];
    tt_dims_norm p = {.dtype = shape.dtype};
    tt_operand operands[2];
    TT_TRY(read_dims(&site, is_reduced, &p.kind, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    if (n == 0.0) return TT_OK;
    tt_strides_row_major(shape.dims, shape.rank, strides);
    split_dims(&shape, strides, is_reduced, &p);
    return tt_lower_kernel(lower, node, "dims_norm", run, &p, sizeof p, operands, 1, 1,
                           &work, err);
}

const tt_op tt_op_lp_normalization = {
    .name = "LpNormalization",
    .domain = "",
    .since = 1,
    .summary = "divided by the norm along an axis",
    .infer = infer,
    .lower = lower_norm,
};

const tt_op tt_op_mean_variance_normalization = {
    .name = "MeanVarianceNormalization",
    .domain = "",
    .since = 9,
    .summary = "mean 0 and variance 1 over any axes",
    .infer = infer,
    .lower = lower_norm,
};
