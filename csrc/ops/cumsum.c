/* CumSum: running sums along an axis; exclusive leaves out the element itself, reverse
 * begins at the end.  16-bit floats are summed in f32. */
#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_constant *constant;
    int64_t axis;
    int wrapped, n;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_infer_same(site, out, err));
    TT_TRY(tt_need_constant(site, 1, &constant, err));
    TT_TRY(tt_need_ints(site, 1, &axis, 1, &n, err));
    if (n != 1)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "axis must be one number, not %d", n);
    if (!tt_dtype_is_float(out->dtype) && !tt_dtype_is_int(out->dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "sums of %s",
                          tt_dtype_name(out->dtype));
    return tt_axis(site->node, axis, out->rank, &wrapped, err);
}

typedef struct {
    tt_dtype dtype;
    bool exclusive, reverse;
    int64_t n_outer, n, n_inner;
} cumsum_params;

typedef struct {
    const cumsum_params *params;
    const void *src;
    void *dst;
} cumsum_call;

/* Sums of one row; elements are n_inner apart, the first at `at`. */
#define SUMS(name, type, wide, load, store)                                     \
    static void sums_##name(const cumsum_params *p, const void *src, void *dst, \
                            int64_t at)                                         \
    {                                                                           \
        const type *from = src;                                                 \
        type *to = dst;                                                         \
        int64_t step = p->reverse ? -p->n_inner : p->n_inner;                   \
        wide sum = 0;                                                           \
        if (p->reverse) at += (p->n - 1) * p->n_inner;                          \
        for (int64_t i = 0; i < p->n; ++i, at += step) {                        \
            wide item = load(from[at]);                                         \
            if (p->exclusive) to[at] = (type)store(sum);                        \
            sum = (wide)(sum + item);                                           \
            if (!p->exclusive) to[at] = (type)store(sum);                       \
        }                                                                       \
    }
#define SAME(x) (x)
SUMS(f32, float, float, SAME, SAME)
SUMS(f64, double, double, SAME, SAME)
SUMS(f16, uint16_t, float, tt_f32_from_f16, tt_f16_from_f32)
SUMS(bf16, uint16_t, float, tt_f32_from_bf16, tt_bf16_from_f32)
SUMS(8, uint8_t, uint8_t, SAME, SAME) /* integers wrap around, signed or not */
SUMS(16, uint16_t, uint16_t, SAME, SAME)
SUMS(32, uint32_t, uint32_t, SAME, SAME)
SUMS(64, uint64_t, uint64_t, SAME, SAME)

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const cumsum_call *call = arg;
    const cumsum_params *p = call->params;
    for (int64_t row = begin; row < end; ++row) {
        int64_t at = row / p->n_inner * p->n * p->n_inner + row % p->n_inner;
        switch (p->dtype) {
        case TT_F32:
            sums_f32(p, call->src, call->dst, at);
            break;
        case TT_F64:
            sums_f64(p, call->src, call->dst, at);
            break;
        case TT_F16:
            sums_f16(p, call->src, call->dst, at);
            break;
        case TT_BF16:
            sums_bf16(p, call->src, call->dst, at);
            break;
        default:
            switch (tt_dtype_bytes(p->dtype)) {
            case 1:
                sums_8(p, call->src, call->dst, at);
                break;
            case 2:
                sums_16(p, call->src, call->dst, at);
                break;
            case 4:
                sums_32(p, call->src, call->dst, at);
                break;
            default:
                sums_64(p, call->src, call->dst, at);
                break;
            }
        }
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const cumsum_params *p = params;
    cumsum_call call = {p, ptrs[0], ptrs[1]};
    (void)err;
    tt_parallel_for(p->n_outer * p->n_inner, 50000 / (p->n + 1) + 1, run_rows, &call);
    return TT_OK;
}

static tt_status lower_cumsum(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *shape = tt_input_shape(&site, 0);
    cumsum_params params = {.dtype = shape->dtype, .n_outer = 1, .n_inner = 1};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape),
                    .cost_ns = 15 + 1.2 * (double)tt_shape_numel(shape)};
    int64_t axis_value, exclusive, reverse;
    tt_operand operands[2];
    int axis, n;
    TT_TRY(tt_need_ints(&site, 1, &axis_value, 1, &n, err));
    TT_TRY(tt_axis(node, axis_value, shape->rank, &axis, err));
    TT_TRY(tt_attribute_int(node, "exclusive", 0, &exclusive, err));
    TT_TRY(tt_attribute_int(node, "reverse", 0, &reverse, err));
    params.exclusive = exclusive != 0;
    params.reverse = reverse != 0;
    params.n = shape->dims[axis];
    for (int i = 0; i < shape->rank; ++i)
        if (i != axis)
            *(i < axis ? &params.n_outer : &params.n_inner) *= shape->dims[i];
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    return tt_lower_kernel(lower, node, "cumsum", run, &params, sizeof params, operands,
                           1, 1, &work, err);
}

const tt_op tt_op_cumsum = {.name = "CumSum",
                            .domain = "",
                            .since = 11,
                            .summary = "running sums along an axis",
                            .infer = infer,
                            .lower = lower_cumsum};
