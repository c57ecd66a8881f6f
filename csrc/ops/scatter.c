/* Scatter, ScatterElements, ScatterND: a copy of the data with updates written or
 * combined at the indices. */
#include <string.h>

#include "kernels/scatter.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_reduction(const tt_node *node, tt_dtype dtype, tt_scatter_op *op,
                                tt_error *err)
{
    static const char *const names[] = {"none", "add", "mul", "max", "min"};
    const char *name = "none";
    if (node->version >= 16)
        TT_TRY(tt_attribute_string(node, "reduction", "none", &name, err));
    for (int i = 0; i < 5; ++i) {
        if (strcmp(name, names[i]) != 0) continue;
        *op = (tt_scatter_op)i;
        if (tt_scatter_has(*op, dtype)) return TT_OK;
        return tt_fail_at(node, err, TT_UNSUPPORTED, "reduction %s of %s", name,
                          tt_dtype_name(dtype));
    }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "reduction must be none, add, mul, max or min, not '%s'", name);
}

static tt_status check_dtypes(const tt_site *site, tt_error *err)
{
    tt_dtype data = tt_input_shape(site, 0)->dtype, updates;
    tt_scatter_op op;
    TT_TRY(tt_need_index_dtype(site, 1, err));
    updates = tt_input_shape(site, 2)->dtype;
    if (data != updates)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "updates are %s, data %s",
                          tt_dtype_name(updates), tt_dtype_name(data));
    return read_reduction(site->node, data, &op, err);
}

/* The destination, holding the data; over the data itself where nobody needs it any
 * more. */
static tt_status start_with_data(tt_lower *lower, const tt_node *node, tt_operand *dst,
                                 tt_error *err)
{
    int64_t src_strides[TT_MAX_RANK], strides[TT_MAX_RANK];
    tt_shape shape = *tt_output_shape(lower, node, 0);
    tt_operand src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    memcpy(src_strides, tt_operand_strides(lower, src), sizeof src_strides);
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, dst, err));
    memcpy(strides, tt_operand_strides(lower, *dst), sizeof strides);
    return tt_move(lower, node, &shape, (tt_move_end){src, src_strides, 0},
                   (tt_move_end){*dst, strides, 0}, err);
}

/* Adds the step: dst, indices, updates -> dst. */
static tt_status add_step(tt_lower *lower, const tt_node *node, const char *name,
                          tt_kernel run, const void *params, size_t params_bytes,
                          tt_error *err)
{
    double bytes;
    tt_operand operands[4];
    tt_work work = {0};
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &operands[2], err));
    TT_TRY(start_with_data(lower, node, &operands[0], err));
    operands[3] = operands[0];
    bytes = (double)tt_shape_bytes(tt_operand_shape(lower, operands[2]));
    work.bytes = 3 * bytes;
    work.cost_ns = 20 + 2 * bytes;
    return tt_lower_kernel(lower, node, name, run, params, params_bytes, operands, 3, 1,
                           &work, err);
}

/* ---- ScatterElements ----------------------------------------------------- */

static tt_status infer_elements(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src, *indices, *updates;
    int64_t value;
    bool fits;
    int axis;
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(check_dtypes(site, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    updates = tt_input_shape(site, 2);
    TT_TRY(tt_attribute_int(site->node, "axis", 0, &value, err));
    TT_TRY(tt_axis(site->node, value, src->rank, &axis, err));
    fits = indices->rank == src->rank && updates->rank == src->rank;
    for (int i = 0; i < src->rank && fits; ++i)
        fits = indices->dims[i] == updates->dims[i] &&
               (i == axis || indices->dims[i] <= src->dims[i]);
    if (!fits) {
        char a[256], b[256], c[256];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "indices %s and updates %s do not fit data %s",
                          tt_shape_text(indices, a, sizeof a),
                          tt_shape_text(updates, b, sizeof b),
                          tt_shape_text(src, c, sizeof c));
    }
    *out = *src;
    return TT_OK;
}

static tt_status run_elements(const void *params, void *const *ptrs, tt_error *err)
{
    return tt_scatter_elements_run(params, ptrs[1], ptrs[2], ptrs[3], err);
}

static tt_status lower_elements(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0), *indices = tt_input_shape(&site, 1);
    tt_scatter_elements scatter = {
        .dtype = src->dtype, .rank = src->rank, .is_32 = indices->dtype == TT_S32};
    int64_t axis;
    TT_TRY(read_reduction(node, src->dtype, &scatter.op, err));
    TT_TRY(tt_attribute_int(node, "axis", 0, &axis, err));
    TT_TRY(tt_axis(node, axis, src->rank, &scatter.axis, err));
    scatter.dim = src->dims[scatter.axis];
    memcpy(scatter.dims, indices->dims, sizeof scatter.dims);
    tt_strides_row_major(src->dims, src->rank, scatter.dst_strides);
    return add_step(lower, node, "scatter_elements", run_elements, &scatter,
                    sizeof scatter, err);
}

/* ---- ScatterND ----------------------------------------------------------- */

static tt_status infer_nd(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src, *indices, *updates;
    int64_t n_index;
    bool fits;
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(check_dtypes(site, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    updates = tt_input_shape(site, 2);
    fits = indices->rank >= 1 && src->rank >= 1;
    n_index = fits ? indices->dims[indices->rank - 1] : 0;
    fits = fits && n_index >= 1 && n_index <= src->rank &&
           updates->rank == indices->rank - 1 + src->rank - (int)n_index;
    for (int i = 0; fits && i < updates->rank; ++i) {
        int k = i - (indices->rank - 1);
        fits = updates->dims[i] ==
               (k < 0 ? indices->dims[i] : src->dims[(int)n_index + k]);
    }
    if (!fits) {
        char a[256], b[256], c[256];
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "indices %s and updates %s do not fit data %s",
                          tt_shape_text(indices, a, sizeof a),
                          tt_shape_text(updates, b, sizeof b),
                          tt_shape_text(src, c, sizeof c));
    }
    *out = *src;
    return TT_OK;
}

static tt_status run_nd(const void *params, void *const *ptrs, tt_error *err)
{
    return tt_scatter_nd_run(params, ptrs[1], ptrs[2], ptrs[3], err);
}

static tt_status lower_nd(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0), *indices = tt_input_shape(&site, 1);
    int64_t step = (int64_t)tt_dtype_bytes(src->dtype);
    tt_scatter_nd scatter = {.dtype = src->dtype};
    tt_gather_nd *where = &scatter.where;
    TT_TRY(read_reduction(node, src->dtype, &scatter.op, err));
    where->n_index = (int)indices->dims[indices->rank - 1];
    where->n_batches = where->n_tuples = 1;
    where->is_32 = indices->dtype == TT_S32;
    for (int i = src->rank - 1; i >= 0; --i) {
        if (i == where->n_index - 1) where->slice_bytes = step;
        if (i < where->n_index) {
            where->dims[i] = src->dims[i];
            where->steps[i] = step;
        }
        step *= src->dims[i];
    }
    for (int i = 0; i < indices->rank - 1; ++i)
        where->n_tuples *= indices->dims[i];
    return add_step(lower, node, "scatter_nd", run_nd, &scatter, sizeof scatter, err);
}

const tt_op tt_op_scatter = {.name = "Scatter",
                             .domain = "",
                             .since = 9,
                             .until = 10,
                             .summary = "elements written at indices along an axis",
                             .infer = infer_elements,
                             .lower = lower_elements};

const tt_op tt_op_scatter_elements = {
    .name = "ScatterElements",
    .domain = "",
    .since = 11,
    .summary = "elements written or combined at indices along an axis",
    .infer = infer_elements,
    .lower = lower_elements};

const tt_op tt_op_scatter_nd = {.name = "ScatterND",
                                .domain = "",
                                .since = 11,
                                .summary = "slices written or combined at tuples",
                                .infer = infer_nd,
                                .lower = lower_nd};
