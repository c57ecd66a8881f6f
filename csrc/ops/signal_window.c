/* HannWindow, HammingWindow and BlackmanWindow: sums of cosines, made when compiling.
 * A symmetric window of one sample is 1, as in NumPy and SciPy (the formula of the
 * specification divides 0 by 0 there); integers drop the fraction, as Cast of
 * a float does. */
#include <math.h>
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    const char *op_type;
    double mean, first, second; /* mean - first cos(x) + second cos(2x) */
} formula;

static const formula FORMULAS[] = {
    {"HannWindow",     0.5,         0.5,         0.0 },
    {"HammingWindow",  25.0 / 46.0, 21.0 / 46.0, 0.0 },
    {"BlackmanWindow", 0.42,        0.5,         0.08},
};

static const formula *formula_of(const tt_node *node)
{
    const formula *f = FORMULAS;
    while (strcmp(f->op_type, node->op->name) != 0)
        ++f;
    return f;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t size, dtype;
    int n;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(tt_need_ints(site, 0, &size, 1, &n, err));
    if (n != 1 || size < 0)
        return tt_fail_at(
            node, err, TT_BAD_MODEL,
            "size must be one number, 0 or more, it is %d, the first %lld", n,
            n > 0 ? (long long)size : 0);
    TT_TRY(tt_attribute_int(node, "output_datatype", TT_F32, &dtype, err));
    if (!tt_dtype_is_known(dtype) ||
        (!tt_dtype_is_float((tt_dtype)dtype) && !tt_dtype_is_int((tt_dtype)dtype)))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "output_datatype %lld is no number type", (long long)dtype);
    *out = (tt_shape){.dtype = (tt_dtype)dtype, .rank = 1, .dims = {size}};
    return tt_check_shape(site, out, err);
}

static void fill(const formula *f, const tt_shape *shape, bool is_periodic, void *data)
{
    int64_t n = shape->dims[0], period = is_periodic ? n : n - 1;
    bool is_int = tt_dtype_is_int(shape->dtype);
    for (int64_t i = 0; i < n; ++i) {
        double x = 2.0 * 3.14159265358979323846 * (double)i / (double)period;
        double value =
            period == 0 ? 1.0 : f->mean - f->first * cos(x) + f->second * cos(2.0 * x);
        tt_item_store(shape->dtype, data, i,
                      is_int ? trunc((double)(float)value) : value);
    }
}

static tt_status lower_window(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape shape = *tt_output_shape(lower, node, 0);
    const int64_t strides[1] = {1};
    tt_constant *constant;
    tt_operand operand;
    int64_t periodic;
    void *data;
    TT_TRY(tt_attribute_int(node, "periodic", 1, &periodic, err));
    TT_TRY(tt_constant_empty(&shape, &constant, &data, err));
    fill(formula_of(node), &shape, periodic != 0, data);
    TT_TRY(tt_lower_constant(lower, constant, &operand, err));
    return tt_lower_view(lower, node, 0, operand, strides, 0, err);
}

#define WINDOW(record_, name_, summary_)                \
    const tt_op tt_op_##record_ = {.name = name_,       \
                                   .domain = "",        \
                                   .since = 17,         \
                                   .summary = summary_, \
                                   .infer = infer,      \
                                   .lower = lower_window}

WINDOW(blackman_window, "BlackmanWindow", "three cosines that fade a frame in and out");
WINDOW(hamming_window, "HammingWindow", "a raised cosine on a pedestal");
WINDOW(hann_window, "HannWindow", "a raised cosine");
