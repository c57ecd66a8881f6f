/* CumSum and CumProd: running sums and products along an axis; exclusive leaves out the
 * element itself, reverse begins at the end.  16-bit floats are taken in f32. */
#include <string.h>

#include "base/threads.h"
#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

static bool is_product(const tt_node *node)
{
    return strcmp(node->op->name, "CumProd") == 0;
}

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
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%s of %s",
                          is_product(site->node) ? "products" : "sums",
                          tt_dtype_name(out->dtype));
    return tt_axis(site->node, axis, out->rank, &wrapped, err);
}

typedef struct {
    tt_dtype dtype;
    bool is_product, exclusive, reverse;
    int64_t n_outer, n, n_inner;
} cumulate_params;

typedef struct {
    const cumulate_params *params;
    const void *src;
    void *dst;
} cumulate_call;

/* One row; elements are n_inner apart, the first at `at`. */
#define CUMULATE(name, type, wide, load, store, first, op)                             \
    static void name(const cumulate_params *p, const void *src, void *dst, int64_t at) \
    {                                                                                  \
        const type *from = src;                                                        \
        type *to = dst;                                                                \
        int64_t step = p->reverse ? -p->n_inner : p->n_inner;                          \
        wide total = (wide)(first);                                                    \
        if (p->reverse) at += (p->n - 1) * p->n_inner;                                 \
        for (int64_t i = 0; i < p->n; ++i, at += step) {                               \
            wide item = load(from[at]);                                                \
            if (p->exclusive) to[at] = (type)store(total);                             \
            total = total op item;                                                     \
            if (!p->exclusive) to[at] = (type)store(total);                            \
        }                                                                              \
    }
#define SAME(x) (x)
/* integers wrap around, signed or not */
#define ROWS(X)                                                  \
    X(f32, float, float, SAME, SAME)                             \
    X(f64, double, double, SAME, SAME)                           \
    X(f16, uint16_t, float, tt_f32_from_f16, tt_f16_from_f32)    \
    X(bf16, uint16_t, float, tt_f32_from_bf16, tt_bf16_from_f32) \
    X(8, uint8_t, uint32_t, SAME, SAME)                          \
    X(16, uint16_t, uint32_t, SAME, SAME)                        \
    X(32, uint32_t, uint32_t, SAME, SAME)                        \
    X(64, uint64_t, uint64_t, SAME, SAME)
#define SUMS(name, type, wide, load, store) \
    CUMULATE(sums_##name, type, wide, load, store, 0, +)
#define PRODUCTS(name, type, wide, load, store) \
    CUMULATE(products_##name, type, wide, load, store, 1, *)
ROWS(SUMS)
ROWS(PRODUCTS)

typedef void (*row_function)(const cumulate_params *, const void *, void *, int64_t);

static row_function row_of(tt_dtype dtype, bool is_product)
{
#define PAIR(name) (is_product ? products_##name : sums_##name)
    switch (dtype) {
    case TT_F32:
        return PAIR(f32);
    case TT_F64:
        return PAIR(f64);
    case TT_F16:
        return PAIR(f16);
    case TT_BF16:
        return PAIR(bf16);
    default:
        break;
    }
    switch (tt_dtype_bytes(dtype)) {
    case 1:
        return PAIR(8);
    case 2:
        return PAIR(16);
    case 4:
        return PAIR(32);
    default:
        return PAIR(64);
    }
#undef PAIR
}

static void run_rows(void *arg, int64_t begin, int64_t end)
{
    const cumulate_call *call = arg;
    const cumulate_params *p = call->params;
    row_function run_row = row_of(p->dtype, p->is_product);
    for (int64_t row = begin; row < end; ++row)
        run_row(p, call->src, call->dst,
                row / p->n_inner * p->n * p->n_inner + row % p->n_inner);
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const cumulate_params *p = params;
    cumulate_call call = {p, ptrs[0], ptrs[1]};
    (void)err;
    tt_parallel_for(p->n_outer * p->n_inner, 50000 / (p->n + 1) + 1, run_rows, &call);
    return TT_OK;
}

static tt_status lower_cumulative(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *shape = tt_input_shape(&site, 0);
    cumulate_params params = {.dtype = shape->dtype, .n_outer = 1, .n_inner = 1};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape),
                    .cost_ns = 15 + 1.2 * (double)tt_shape_numel(shape)};
    int64_t axis_value, exclusive, reverse;
    tt_operand operands[2];
    int axis, n;
    TT_TRY(tt_need_ints(&site, 1, &axis_value, 1, &n, err));
    TT_TRY(tt_axis(node, axis_value, shape->rank, &axis, err));
    TT_TRY(tt_attribute_int(node, "exclusive", 0, &exclusive, err));
    TT_TRY(tt_attribute_int(node, "reverse", 0, &reverse, err));
    params.is_product = is_product(node);
    params.exclusive = exclusive != 0;
    params.reverse = reverse != 0;
    params.n = shape->dims[axis];
    for (int i = 0; i < shape->rank; ++i)
        if (i != axis)
            *(i < axis ? &params.n_outer : &params.n_inner) *= shape->dims[i];
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    return tt_lower_kernel(lower, node, params.is_product ? "cumprod" : "cumsum", run,
                           &params, sizeof params, operands, 1, 1, &work, err);
}

const tt_op tt_op_cumsum = {.name = "CumSum",
                            .domain = "",
                            .since = 11,
                            .summary = "running sums along an axis",
                            .infer = infer,
                            .lower = lower_cumulative};

const tt_op tt_op_cumprod = {.name = "CumProd",
                             .domain = "",
                             .since = 26,
                             .summary = "running products along an axis",
                             .infer = infer,
                             .lower = lower_cumulative};
