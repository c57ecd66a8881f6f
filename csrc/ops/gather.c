/* Gather: slices along an axis by index.  Constant indices that are one number or a
 * regular range are a view; the rest is rows of memcpy. */
#include <string.h>

#include "kernels/gather.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status read_axis(const tt_node *node, const char *name, int rank, int *axis,
                           tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, name, 0, &value, err));
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src, *indices;
    int axis;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_need_index_dtype(site, 1, err));
    src = tt_input_shape(site, 0);
    indices = tt_input_shape(site, 1);
    TT_TRY(read_axis(site->node, "axis", src->rank, &axis, err));
    *out = (tt_shape){.dtype = src->dtype};
    if (src->rank - 1 + indices->rank > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_LIMIT,
                          "the output would have %d dims, at most %d are supported",
                          src->rank - 1 + indices->rank, TT_MAX_RANK);
    for (int i = 0; i < axis; ++i)
        out->dims[out->rank++] = src->dims[i];
    for (int i = 0; i < indices->rank; ++i)
        out->dims[out->rank++] = indices->dims[i];
    for (int i = axis + 1; i < src->rank; ++i)
        out->dims[out->rank++] = src->dims[i];
    return TT_OK;
}

/* Constant indices first, first + step, ...; all inside [0, dim), step >= 0. */
static bool is_range(const tt_site *site, int64_t dim, int64_t *first, int64_t *step)
{
    const tt_constant *constant = tt_input_constant(site, 1);
    const tt_shape *shape;
    bool is_32;
    int64_t n, last = 0;
    if (constant == NULL) return false;
    shape = tt_constant_shape(constant);
    n = tt_shape_numel(shape);
    if (n == 0 || (shape->rank > 1 && n > 1)) return false;
    is_32 = shape->dtype == TT_S32;
    *step = 0;
    for (int64_t k = 0; k < n; ++k) {
        const void *data = tt_constant_data(constant);
        int64_t index = is_32 ? ((const int32_t *)data)[k] : ((const int64_t *)data)[k];
        if (index < -dim || index >= dim) return false;
        if (index < 0) index += dim;
        if (k == 0)
            *first = index;
        else if (k == 1)
            *step = index - last;
        else if (index - last != *step)
            return false;
        last = index;
    }
    return *step >= 0;
}

static tt_status lower_view(tt_lower *lower, const tt_node *node, int axis,
                            int64_t first, int64_t step, tt_error *err)
{
    int64_t strides[TT_MAX_RANK] = {0}, src_strides[TT_MAX_RANK];
    const tt_shape *indices;
    tt_operand src;
    int rank, n = 0;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    rank = tt_operand_shape(lower, src)->rank;
    indices = &tt_lower_graph(lower)->values[node->inputs[1]].shape;
    memcpy(src_strides, tt_operand_strides(lower, src), sizeof src_strides);
    for (int i = 0; i < axis; ++i)
        strides[n++] = src_strides[i];
    for (int i = 0; i < indices->rank; ++i)
        strides[n++] = step * src_strides[axis];
    for (int i = axis + 1; i < rank; ++i)
        strides[n++] = src_strides[i];
    return tt_lower_view(lower, node, 0, src, strides, first * src_strides[axis], err);
}

/* Fills in the steps of src; false when its memory is not rows in rows. */
static bool find_steps(const tt_shape *src, const int64_t *strides, int axis,
                       tt_gather *gather)
{
    int64_t item = (int64_t)tt_dtype_bytes(src->dtype), step = 1, outer = 0;
    gather->n_outer = 1;
    for (int i = src->rank - 1; i > axis; --i) {
        if (src->dims[i] != 1 && strides[i] != step) return false;
        step *= src->dims[i];
    }
    gather->row_bytes = step * item;
    gather->src_row_bytes = strides[axis] * item;
    for (int i = axis - 1; i >= 0; --i) {
        if (src->dims[i] == 1) continue;
        if (gather->n_outer == 1)
            outer = strides[i];
        else if (strides[i] != outer * gather->n_outer)
            return false;
        gather->n_outer *= src->dims[i];
    }
    gather->src_outer_bytes = outer * item;
    return true;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    return tt_gather_run(params, ptrs[0], ptrs[1], ptrs[2], err);
}

static tt_status lower_gather(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_shape src = *tt_input_shape(&site, 0);
    const tt_shape *indices = tt_input_shape(&site, 1);
    tt_gather gather = {.n_indices = tt_shape_numel(indices),
                        .is_32 = indices->dtype == TT_S32};
    int64_t strides[TT_MAX_RANK], first = 0, step = 0;
    tt_operand operands[3];
    tt_work work = {0};
    int axis;
    TT_TRY(read_axis(node, "axis", src.rank, &axis, err));
    gather.dim = src.dims[axis];
    if (is_range(&site, gather.dim, &first, &step))
        return lower_view(lower, node, axis, first, step, err);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    memcpy(strides, tt_operand_strides(lower, operands[0]), sizeof strides);
    if (!find_steps(&src, strides, axis, &gather)) {
        TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
        memcpy(strides, tt_operand_strides(lower, operands[0]), sizeof strides);
        (void)find_steps(&src, strides, axis, &gather);
    }
    /* nothing lies in any order: its strides say nothing about rows */
    if (tt_shape_numel(&src) == 0) gather.n_outer = 0;
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    work.bytes = 2 * (double)tt_shape_bytes(tt_output_shape(lower, node, 0));
    work.cost_ns =
        15 + work.bytes / 30 + 2 * (double)gather.n_indices * (double)gather.n_outer;
    return tt_lower_kernel(lower, node, "gather", run, &gather, sizeof gather, operands,
                           2, 1, &work, err);
}

const tt_op tt_op_gather = {.name = "Gather",
                            .domain = "",
                            .since = 1,
                            .summary = "slices along an axis by index",
                            .infer = infer,
                            .lower = lower_gather,
                            .takes_strings = true};
