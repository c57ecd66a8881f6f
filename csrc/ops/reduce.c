/* ReduceSum, ReduceMean, ..., ArgMax, ArgMin, and SumTo of domain trimtab.
 *
 * Axes come as an attribute (until opset 12 or 17) or as an input; none means all, or,
 * with noop_with_empty_axes, nothing.  SumTo undoes broadcasting: it sums input 0 over
 * the dims in which a tensor of the dims that input 1 lists was stretched to it. */
#include "kernels/reduce.h"

#include <string.h>

#include "ops/fail.h"
#include "plan/lower.h"

static tt_reduce_kind kind_of(const tt_node *node)
{
    static const struct {
        const char *name;
        tt_reduce_kind kind;
    } kinds[] = {
        {"ReduceSum",       TT_REDUCE_SUM        },
        {"ReduceMean",      TT_REDUCE_MEAN       },
        {"ReduceMax",       TT_REDUCE_MAX        },
        {"ReduceMin",       TT_REDUCE_MIN        },
        {"ReduceProd",      TT_REDUCE_PROD       },
        {"ReduceL1",        TT_REDUCE_L1         },
        {"ReduceL2",        TT_REDUCE_L2         },
        {"ReduceLogSum",    TT_REDUCE_LOG_SUM    },
        {"ReduceLogSumExp", TT_REDUCE_LOG_SUM_EXP},
        {"ReduceSumSquare", TT_REDUCE_SUM_SQUARE },
        {"ArgMax",          TT_REDUCE_ARG_MAX    },
        {"ArgMin",          TT_REDUCE_ARG_MIN    }
    };
    for (size_t i = 0; i < sizeof kinds / sizeof kinds[0]; ++i)
        if (strcmp(node->op->name, kinds[i].name) == 0) return kinds[i].kind;
    return TT_REDUCE_SUM;
}

typedef struct {
    bool is_reduced[TT_MAX_RANK];
    int first_kept; /* reduced dims from here on stay, as dims of one item */
    bool is_noop;
} selection;

static bool is_sum_to(const tt_node *node)
{
    return strcmp(node->op->name, "SumTo") == 0;
}

static tt_status select_stretched(tt_site *site, selection *out, tt_error *err)
{
    const tt_shape *src;
    tt_shape to = {0};
    int leading;
    bool fits;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_need_ints(site, 1, to.dims, TT_MAX_RANK, &to.rank, err));
    src = tt_input_shape(site, 0);
    leading = src->rank - to.rank;
    fits = leading >= 0;
    memset(out, 0, sizeof *out);
    out->first_kept = leading;
    out->is_noop = leading == 0;
    for (int i = 0; fits && i < src->rank; ++i) {
        int64_t wanted = i < leading ? 1 : to.dims[i - leading];
        out->is_reduced[i] = i < leading || wanted != src->dims[i];
        if (out->is_reduced[i]) out->is_noop = false;
        fits = !out->is_reduced[i] || wanted == 1;
    }
    if (fits) return TT_OK;
    char a[128], b[128];
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "a tensor of %s is no stretched tensor of %s",
                      tt_shape_text(src, a, sizeof a), tt_shape_text(&to, b, sizeof b));
}

static tt_status read_axes(tt_site *site, int64_t *axes, int *n, tt_error *err)
{
    const int64_t *listed;
    if (site->node->n_inputs > 1)
        return tt_need_ints(site, 1, axes, TT_MAX_RANK, n, err);
    TT_TRY(tt_attribute_ints(site->node, "axes", &listed, n, err));
    if (*n > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%d axes, expected at most %d",
                          *n, TT_MAX_RANK);
    if (*n > 0) memcpy(axes, listed, (size_t)*n * sizeof *axes);
    return TT_OK;
}

static tt_status select_dims(tt_site *site, selection *out, tt_error *err)
{
    const tt_node *node = site->node;
    int rank = tt_input_shape(site, 0)->rank, n, axis;
    int64_t axes[TT_MAX_RANK], keep, noop;
    if (is_sum_to(node)) return select_stretched(site, out, err);
    memset(out, 0, sizeof *out);
    TT_TRY(tt_attribute_int(node, "keepdims", 1, &keep, err));
    out->first_kept = keep != 0 ? 0 : TT_MAX_RANK;
    if (kind_of(node) >= TT_REDUCE_ARG_MAX) {
        TT_TRY(tt_attribute_int(node, "axis", 0, &keep, err));
        TT_TRY(tt_axis(node, keep, rank, &axis, err));
        out->is_reduced[axis] = true;
        return TT_OK;
    }
    TT_TRY(read_axes(site, axes, &n, err));
    TT_TRY(tt_attribute_int(node, "noop_with_empty_axes", 0, &noop, err));
    if (n <= 0 && noop != 0) {
        out->is_noop = true;
        return TT_OK;
    }
    for (int i = 0; n <= 0 && i < rank; ++i)
        out->is_reduced[i] = true;
    for (int i = 0; i < n; ++i) {
        TT_TRY(tt_axis(node, axes[i], rank, &axis, err));
        out->is_reduced[axis] = true;
    }
    return TT_OK;
}

static void reduced_shape(const tt_shape *src, const selection *s, tt_shape *out)
{
    out->dtype = src->dtype;
    out->rank = 0;
    for (int i = 0; i < src->rank; ++i) {
        if (!s->is_reduced[i])
            out->dims[out->rank++] = src->dims[i];
        else if (i >= s->first_kept)
            out->dims[out->rank++] = 1;
    }
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_reduce_kind kind = kind_of(site->node);
    const tt_shape *src;
    selection s;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    TT_TRY(select_dims(site, &s, err));
    if (!tt_dtype_is_float(src->dtype) && !tt_dtype_is_int(src->dtype) &&
        !(src->dtype == TT_BOOL && (kind == TT_REDUCE_MAX || kind == TT_REDUCE_MIN)))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input is %s, expected a number", tt_dtype_name(src->dtype));
    reduced_shape(src, &s, out);
    if (kind >= TT_REDUCE_ARG_MAX) {
        out->dtype = TT_S64;
        for (int i = 0; i < src->rank; ++i)
            if (s.is_reduced[i] && src->dims[i] == 0 && tt_shape_numel(out) > 0)
                return tt_fail_at(site->node, err, TT_BAD_MODEL,
                                  "axis %d is empty: nothing to choose from", i);
    }
    return tt_check_shape(site, out, err);
}

/* Strides of the result in the memory order of the source, dense: kept dims follow
 * each other as they do there. */
static void result_strides(const tt_shape *src, const int64_t *strides,
                           const selection *s, int *order, int *n_order)
{
    *n_order = 0;
    for (int i = 0; i < src->rank; ++i)
        if (!s->is_reduced[i]) order[(*n_order)++] = i;
    for (int i = 1; i < *n_order; ++i) {
        for (int j = i; j > 0; --j) {
            int t = order[j];
            if (strides[order[j - 1]] >= strides[t]) break;
            order[j] = order[j - 1];
            order[j - 1] = t;
        }
    }
}

/* The kernel writes kept dims densely in the order of its lists.  Sorted by stride
 * they make a channels-last image give channels-last sums. */
static tt_status lower_sorted(tt_lower *lower, const tt_node *node,
                              const tt_shape *shape, const selection *s, tt_operand src,
                              tt_reduce_kernel *k, tt_operand *dst, tt_error *err)
{
    int order[TT_MAX_RANK], n_order, position[TT_MAX_RANK], out_rank = 0;
    int64_t strides[TT_MAX_RANK], sorted_strides[TT_MAX_RANK];
    int64_t dst_strides[TT_MAX_RANK] = {0}, step = 1;
    bool is_reduced[TT_MAX_RANK] = {false};
    tt_shape sorted = {.dtype = shape->dtype, .rank = shape->rank};
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    for (int i = 0; i < shape->rank; ++i)
        if (shape->dims[i] <= 1) strides[i] = 0;
    result_strides(shape, strides, s, order, &n_order);
    for (int i = 0, at = n_order; i < shape->rank; ++i)
        if (s->is_reduced[i]) order[at++] = i;
    for (int i = 0; i < shape->rank; ++i) {
        sorted.dims[i] = shape->dims[order[i]];
        sorted_strides[i] = strides[order[i]];
        is_reduced[i] = i >= n_order;
    }
    tt_reduce_plan(k, &sorted, sorted_strides, is_reduced);
    for (int i = 0; i < shape->rank; ++i) {
        position[i] = -1;
        if (!s->is_reduced[i] || i >= s->first_kept) position[i] = out_rank++;
    }
    for (int i = n_order - 1; i >= 0; --i) {
        dst_strides[position[order[i]]] = step;
        if (shape->dims[order[i]] > 1) step *= shape->dims[order[i]];
    }
    for (int i = 0; i < shape->rank; ++i)
        if (s->is_reduced[i] && i >= s->first_kept) dst_strides[position[i]] = 1;
    return tt_lower_dst_strided(lower, node, 0, dst_strides, dst, err);
}

static tt_status lower_reduce(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape shape = *tt_input_shape(&site, 0);
    tt_reduce_kernel kernel = {.kind = kind_of(node), .dtype = shape.dtype};
    tt_operand operands[2];
    tt_work work = {0};
    int64_t last;
    selection s;
    TT_TRY(select_dims(&site, &s, err));
    TT_TRY(tt_attribute_int(node, "select_last_index", 0, &last, err));
    kernel.select_last = last != 0;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &operands[0], err));
    if (s.is_noop && (kernel.kind <= TT_REDUCE_PROD)) {
        tt_lower_bind(lower, node, 0, operands[0]);
        return TT_OK;
    }
    TT_TRY(
        lower_sorted(lower, node, &shape, &s, operands[0], &kernel, &operands[1], err));
    work.flops = (double)tt_shape_numel(&shape);
    work.bytes = work.flops * (double)tt_dtype_bytes(shape.dtype);
    work.cost_ns = work.flops * 0.1 + 20.0;
    return tt_lower_kernel(lower, node, tt_reduce_name(), tt_reduce_run, &kernel,
                           sizeof kernel, operands, 1, 1, &work, err);
}

const tt_op tt_op_sum_to = {.name = "SumTo",
                            .domain = "trimtab",
                            .since = 1,
                            .summary = "sum over the dims that broadcasting stretched",
                            .infer = infer,
                            .lower = lower_reduce};

#define REDUCE(record_, name_, summary_)                \
    const tt_op tt_op_##record_ = {.name = name_,       \
                                   .domain = "",        \
                                   .since = 1,          \
                                   .summary = summary_, \
                                   .infer = infer,      \
                                   .lower = lower_reduce}

REDUCE(arg_max, "ArgMax", "index of the largest item along an axis");
REDUCE(arg_min, "ArgMin", "index of the smallest item along an axis");
REDUCE(reduce_l1, "ReduceL1", "sum of magnitudes");
REDUCE(reduce_l2, "ReduceL2", "root of the sum of squares");
REDUCE(reduce_log_sum, "ReduceLogSum", "logarithm of the sum");
REDUCE(reduce_log_sum_exp, "ReduceLogSumExp", "logarithm of the sum of exponentials");
REDUCE(reduce_max, "ReduceMax", "largest item");
REDUCE(reduce_mean, "ReduceMean", "mean");
REDUCE(reduce_min, "ReduceMin", "smallest item");
REDUCE(reduce_prod, "ReduceProd", "product");
REDUCE(reduce_sum, "ReduceSum", "sum");
REDUCE(reduce_sum_square, "ReduceSumSquare", "sum of squares");
