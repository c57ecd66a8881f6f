/* Slice: a view for positive steps, a copy that runs backwards for negative ones.
 * Opset 1 has attributes, opset 10 inputs and steps. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    int64_t start[TT_MAX_RANK], step[TT_MAX_RANK], n[TT_MAX_RANK]; /* per dim */
} slice_spec;

typedef struct {
    int n, n_axes, n_steps; /* n_axes, n_steps are -1 when absent */
    int64_t starts[TT_MAX_RANK], ends[TT_MAX_RANK];
    int64_t axes[TT_MAX_RANK], steps[TT_MAX_RANK];
} slice_lists;

static tt_status read_attribute(const tt_node *node, const char *name, int64_t *out,
                                int *n, tt_error *err)
{
    const int64_t *list;
    TT_TRY(tt_attribute_ints(node, name, &list, n, err));
    if (*n > TT_MAX_RANK)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s has %d items, at most %d fit",
                          name, *n, TT_MAX_RANK);
    if (*n > 0) memcpy(out, list, (size_t)*n * sizeof *out);
    return TT_OK;
}

static tt_status read_lists(tt_site *site, slice_lists *lists, tt_error *err)
{
    const tt_node *node = site->node;
    int n_ends;
    if (node->version < 10) {
        TT_TRY(read_attribute(node, "starts", lists->starts, &lists->n, err));
        TT_TRY(read_attribute(node, "ends", lists->ends, &n_ends, err));
        TT_TRY(read_attribute(node, "axes", lists->axes, &lists->n_axes, err));
        lists->n_steps = -1;
    } else {
        TT_TRY(tt_need_inputs(site, 3, err));
        TT_TRY(tt_need_ints(site, 1, lists->starts, TT_MAX_RANK, &lists->n, err));
        TT_TRY(tt_need_ints(site, 2, lists->ends, TT_MAX_RANK, &n_ends, err));
        TT_TRY(tt_need_ints(site, 3, lists->axes, TT_MAX_RANK, &lists->n_axes, err));
        TT_TRY(tt_need_ints(site, 4, lists->steps, TT_MAX_RANK, &lists->n_steps, err));
    }
    if (lists->n < 0 || n_ends != lists->n ||
        (lists->n_axes >= 0 && lists->n_axes != lists->n) ||
        (lists->n_steps >= 0 && lists->n_steps != lists->n))
        return tt_fail_at(
            node, err, TT_BAD_MODEL,
            "starts has %d items, ends %d, axes %d, steps %d (-1: absent): "
            "they must agree",
            lists->n, n_ends, lists->n_axes, lists->n_steps);
    return TT_OK;
}

/* Clamps as the specification says: like a Python slice, but that a start before the
 * first element is the first element even when going backwards. */
static void clamp_range(int64_t dim, int64_t start, int64_t end, int64_t step,
                        slice_spec *spec, int axis)
{
    int64_t lowest = step > 0 ? 0 : -1, highest = step > 0 ? dim : dim - 1;
    if (start < 0) start = start < -dim ? 0 : start + dim;
    if (end < 0) end = end < -dim ? lowest : end + dim;
    if (start > highest) start = highest;
    if (end > highest) end = highest;
    spec->start[axis] = start;
    spec->step[axis] = step;
    spec->n[axis] = 0;
    if (step > 0 && end > start) {
        spec->n[axis] = (end - start - 1) / step + 1;
    } else if (step < 0 && end < start) {
        uint64_t back = (uint64_t)0 - (uint64_t)step;
        spec->n[axis] = (int64_t)((uint64_t)(start - end - 1) / back) + 1;
    }
}

static tt_status resolve(tt_site *site, const tt_shape *src, slice_spec *spec,
                         tt_error *err)
{
    const tt_node *node = site->node;
    slice_lists lists;
    unsigned seen = 0;
    TT_TRY(read_lists(site, &lists, err));
    for (int i = 0; i < src->rank; ++i) {
        spec->start[i] = 0;
        spec->step[i] = 1;
        spec->n[i] = src->dims[i];
    }
    for (int i = 0; i < lists.n; ++i) {
        int64_t step = lists.n_steps < 0 ? 1 : lists.steps[i];
        int axis;
        TT_TRY(
            tt_axis(node, lists.n_axes < 0 ? i : lists.axes[i], src->rank, &axis, err));
        if (step == 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "the step of axis %d is 0",
                              axis);
        if ((seen & (1u << axis)) != 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "axis %d is named twice", axis);
        seen |= 1u << axis;
        clamp_range(src->dims[axis], lists.starts[i], lists.ends[i], step, spec, axis);
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    slice_spec spec;
    TT_TRY(tt_need_inputs(site, 1, err));
    *out = *tt_input_shape(site, 0);
    TT_TRY(resolve(site, out, &spec, err));
    memcpy(out->dims, spec.n, (size_t)out->rank * sizeof *out->dims);
    return TT_OK;
}

static tt_status lower_slice(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_shape shape = *tt_input_shape(&site, 0);
    int64_t strides[TT_MAX_RANK] = {0}, dst_strides[TT_MAX_RANK], offset = 0;
    bool backwards = false;
    slice_spec spec;
    tt_operand src, dst;
    TT_TRY(resolve(&site, &shape, &spec, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    memcpy(shape.dims, spec.n, (size_t)shape.rank * sizeof *shape.dims);
    if (tt_shape_numel(&shape) == 0) { /* nothing is addressed */
        tt_strides_row_major(shape.dims, shape.rank, strides);
        return tt_lower_view(lower, node, 0, src, strides, 0, err);
    }
    for (int i = 0; i < shape.rank; ++i) {
        offset += spec.start[i] * strides[i];
        if (spec.n[i] == 1) continue; /* whatever the step is, it is not taken */
        strides[i] *= spec.step[i];
        backwards |= spec.step[i] < 0;
    }
    if (!backwards) return tt_lower_view(lower, node, 0, src, strides, offset, err);
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ANY, &dst, err));
    memcpy(dst_strides, tt_operand_strides(lower, dst), sizeof dst_strides);
    return tt_move(lower, node, &shape, (tt_move_end){src, strides, offset},
                   (tt_move_end){dst, dst_strides, 0}, err);
}

const tt_op tt_op_slice = {.name = "Slice",
                           .domain = "",
                           .since = 1,
                           .summary = "a range of each dim, with steps",
                           .infer = infer,
                           .lower = lower_slice,
                           .takes_strings = true};
