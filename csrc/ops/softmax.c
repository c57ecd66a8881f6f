/* Softmax, LogSoftmax, Hardmax.  Until opset 12 the input counts as a matrix split at
 * `axis` and a whole row is normalised; from 13 on one axis is.  Channels-last tensors
 * are normalised over their channels in place of memory. */
#include "kernels/softmax.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/masked_softmax.h"
#include "plan/lower.h"

static tt_softmax_kind kind_of(const tt_node *node)
{
    if (strcmp(node->op->name, "LogSoftmax") == 0) return TT_SOFTMAX_LOG;
    return strcmp(node->op->name, "Hardmax") == 0 ? TT_SOFTMAX_HARD : TT_SOFTMAX;
}

static bool is_flattening(const tt_node *node)
{
    return node->version < 13;
}

static tt_status read_axis(const tt_node *node, int rank, int *axis, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "axis", is_flattening(node) ? 1 : -1, &value, err));
    if (is_flattening(node) && value == rank) { /* rows of one item */
        *axis = rank;
        return TT_OK;
    }
    if (rank == 0 && (value == 0 || value == -1)) {
        *axis = 0;
        return TT_OK;
    }
    return tt_axis(node, value, rank, axis, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int axis;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    if (!tt_dtype_is_float(src->dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input is %s, expected a float", tt_dtype_name(src->dtype));
    TT_TRY(read_axis(site->node, src->rank, &axis, err));
    return tt_infer_same(site, out, err);
}

static void work_of(const tt_shape *shape, tt_work *work)
{
    double n = (double)tt_shape_numel(shape);
    work->flops = 12.0 * n;
    work->bytes = 2.0 * n * (double)tt_dtype_bytes(shape->dtype);
    work->cost_ns = n * 0.5;
}

/* Dense memory in whatever order: the axis has a stride, what lies inside it is
 * `inner`, what lies outside is `rows`. */
static void view_along(const tt_shape *shape, const int64_t *strides, int axis,
                       tt_softmax_kernel *k)
{
    int64_t numel = tt_shape_numel(shape);
    k->n = shape->dims[axis];
    k->inner = k->n > 1 && numel > 0 ? strides[axis] : 1; /* strides of nothing are 0 */
    k->rows = numel > 0 ? numel / (k->n * k->inner) : 0;
}

static void view_flattened(const tt_shape *shape, int axis, tt_softmax_kernel *k)
{
    k->rows = k->n = k->inner = 1;
    for (int i = 0; i < shape->rank; ++i)
        *(i < axis ? &k->rows : &k->n) *= shape->dims[i];
}

/* In place when nobody needs the input any more. */
static tt_status destination(tt_lower *lower, const tt_node *node, tt_operand src,
                             tt_operand *dst, tt_error *err)
{
    int64_t strides[TT_MAX_RANK];
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    if (tt_lower_is_last_use(lower, node, node->inputs[0]) &&
        !tt_lower_is_output(lower, node, 0))
        return tt_lower_dst_inplace(lower, node, 0, src, dst, err);
    return tt_lower_dst_strided(lower, node, 0, strides, dst, err);
}

static tt_status lower_softmax(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_softmax_kernel kernel = {.kind = kind_of(node)};
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    bool flattening = is_flattening(node);
    tt_operand operands[2];
    tt_work work = {0};
    int axis;
    TT_TRY(read_axis(node, shape.rank, &axis, err));
    TT_TRY(tt_lower_src(lower, node, 0,
                        flattening ? TT_ORDER_ROW_MAJOR : TT_ORDER_DENSE, &operands[0],
                        err));
    kernel.dtype = shape.dtype;
    if (shape.rank == 0)
        kernel.rows = kernel.n = kernel.inner = 1;
    else if (flattening)
        view_flattened(&shape, axis, &kernel);
    else
        view_along(&shape, tt_operand_strides(lower, operands[0]), axis, &kernel);
    work_of(&shape, &work);
    TT_TRY(destination(lower, node, operands[0], &operands[1], err));
    return tt_lower_kernel(lower, node, tt_softmax_name(), tt_softmax_run, &kernel,
                           sizeof kernel, operands, 1, 1, &work, err);
}

/* ---- with a mask ------------------------------------------------------------------ */

static tt_status lower_masked(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_softmax_kernel kernel = {.kind = TT_SOFTMAX, .dtype = TT_F32, .has_mask = true};
    const tt_graph *graph = tt_lower_graph(lower);
    const tt_shape shape = graph->values[node->inputs[0]].shape;
    const tt_shape mask = graph->values[node->inputs[1]].shape;
    tt_operand operands[3];
    tt_work work = {0};
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROWS, &operands[1], err));
    kernel.n = shape.dims[shape.rank - 1];
    kernel.inner = 1;
    kernel.rows = kernel.n > 0 ? tt_shape_numel(&shape) / kernel.n : 0;
    kernel.rank = shape.rank - 1;
    for (int i = 0; i < kernel.rank; ++i) {
        int from = i - (shape.rank - mask.rank);
        kernel.dims[i] = shape.dims[i];
        if (from >= 0 && mask.dims[from] != 1)
            kernel.mask_strides[i] = tt_operand_strides(lower, operands[1])[from];
    }
    work_of(&shape, &work);
    TT_TRY(destination(lower, node, operands[0], &operands[2], err));
    return tt_lower_kernel(lower, node, tt_softmax_name(), tt_softmax_run, &kernel,
                           sizeof kernel, operands, 2, 1, &work, err);
}

const tt_op tt_op_masked_softmax = {.name = "MaskedSoftmax",
                                    .domain = "trimtab",
                                    .since = 1,
                                    .summary = "softmax of scores + mask, last dim",
                                    .lower = lower_masked};

#define SOFTMAX(record_, name_, summary_)               \
    const tt_op tt_op_##record_ = {.name = name_,       \
                                   .domain = "",        \
                                   .since = 1,          \
                                   .summary = summary_, \
                                   .infer = infer,      \
                                   .lower = lower_softmax}

SOFTMAX(softmax, "Softmax", "exponentials that sum to one along an axis");
SOFTMAX(log_softmax, "LogSoftmax", "logarithm of softmax, computed stably");
SOFTMAX(hardmax, "Hardmax", "one at the first maximum along an axis, else zero");
