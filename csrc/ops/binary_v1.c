/* Binary operators of opsets 1 to 6: with broadcast=1 the dims of b match those of a
 * from `axis` on (from the right without one), else the shapes are equal. */
#include <string.h>

#include "base/alloc.h"
#include "ops/elementwise.h"
#include "plan/lower.h"

/* The dim of a that the first dim of b matches. */
static tt_status read_axis(const tt_site *site, int *axis, tt_error *err)
{
    const tt_shape *a = tt_input_shape(site, 0), *b = tt_input_shape(site, 1);
    int64_t value, is_broadcast;
    if (strcmp(site->node->op_type, "PRelu") == 0) { /* a slope per channel */
        *axis = b->rank == 1 && b->dims[0] > 1 && a->rank > 1 ? 1 : a->rank - b->rank;
        return TT_OK;
    }
    TT_TRY(tt_attribute_int(site->node, "broadcast", 0, &is_broadcast, err));
    *axis = a->rank - b->rank;
    if (is_broadcast != 0 && tt_attribute_find(site->node, "axis") != NULL) {
        TT_TRY(tt_attribute_int(site->node, "axis", 0, &value, err));
        TT_TRY(tt_axis(site->node, value, a->rank > 0 ? a->rank : 1, axis, err));
    }
    return TT_OK;
}

static bool fits(const tt_shape *a, const tt_shape *b, int axis)
{
    if (axis < 0 || axis + b->rank > a->rank) return false;
    for (int i = 0; i < b->rank; ++i)
        if (b->dims[i] != 1 && b->dims[i] != a->dims[axis + i]) return false;
    return true;
}

static tt_status infer(tt_site *site, tt_takes takes, bool is_compare, tt_shape *out,
                       tt_error *err)
{
    const tt_shape *a, *b;
    char left[256], right[256];
    int axis;
    TT_TRY(tt_check_inputs(site, 2, 2, err));
    TT_TRY(tt_check_dtype(site, 0, takes, err));
    a = tt_input_shape(site, 0), b = tt_input_shape(site, 1);
    if (a->dtype != b->dtype)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input 1 is %s but input 0 is %s, they must agree",
                          tt_dtype_name(b->dtype), tt_dtype_name(a->dtype));
    TT_TRY(read_axis(site, &axis, err));
    if (!fits(a, b, axis))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input 1 of shape %s does not fit %s of input 0 at axis %d",
                          tt_shape_text(b, right, sizeof right),
                          tt_shape_text(a, left, sizeof left), axis);
    *out = *a;
    if (is_compare) out->dtype = TT_BOOL;
    return tt_check_shape(site, out, err);
}

/* ---- the step ------------------------------------------------------------- */

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_eltwise_run(params, ptrs);
    return TT_OK;
}

/* Strides of b over the dims of a. */
static void match_strides(const tt_shape *b, const int64_t *strides, int axis,
                          int64_t *out)
{
    memset(out, 0, TT_MAX_RANK * sizeof *out);
    for (int i = 0; i < b->rank; ++i)
        if (b->dims[i] != 1) out[axis + i] = strides[i];
}

static tt_status lower(tt_lower *l, const tt_node *node, tt_eltwise_op op,
                       tt_error *err)
{
    const tt_site site = tt_lower_site(l, node);
    const tt_shape a = *tt_input_shape(&site, 0), b = *tt_input_shape(&site, 1);
    tt_eltwise_builder builder = {0};
    int64_t loads[2][TT_MAX_RANK], store[1][TT_MAX_RANK] = {{0}};
    tt_operand operands[3];
    tt_eltwise *eltwise;
    tt_status status;
    tt_work work = {0};
    int axis, x, y, result;
    TT_TRY(read_axis(&site, &axis, err));
    TT_TRY(tt_lower_src(l, node, 0, TT_ORDER_ANY, &operands[0], err));
    TT_TRY(tt_lower_src(l, node, 1, TT_ORDER_ANY, &operands[1], err));
    TT_TRY(tt_lower_dst(l, node, 0, TT_ORDER_DENSE, &operands[2], err));
    match_strides(&a, tt_operand_strides(l, operands[0]), 0, loads[0]);
    match_strides(&b, tt_operand_strides(l, operands[1]), axis, loads[1]);
    match_strides(&a, tt_operand_strides(l, operands[2]), 0, store[0]);
    x = tt_eltwise_load(&builder, a.dtype);
    y = tt_eltwise_load(&builder, b.dtype);
    TT_TRY(tt_emit_binary(&site, &builder, op, x, y, &result, err));
    (void)tt_eltwise_store(&builder, result, tt_operand_shape(l, operands[2])->dtype);
    TT_TRY(tt_eltwise_compile(&builder, &a, (const int64_t(*)[TT_MAX_RANK])loads,
                              (const int64_t(*)[TT_MAX_RANK])store, &eltwise, err));
    work.bytes = 2.0 * (double)tt_shape_bytes(&a) + (double)tt_shape_bytes(&b);
    work.cost_ns = tt_eltwise_cost_ns(eltwise);
    status = tt_lower_kernel(l, node, "eltwise", run, eltwise,
                             tt_eltwise_bytes(eltwise), operands, 2, 1, &work, err);
    tt_free(eltwise);
    return status;
}

/* ---- records -------------------------------------------------------------- */

/* X(record, op_type, instruction, dtypes, is it a comparison, summary) */
#define BINARY_V1_LIST(X)                                      \
    X(add_v1, "Add", ADD, NUMBER, false, "a + b")              \
    X(sub_v1, "Sub", SUB, NUMBER, false, "a - b")              \
    X(mul_v1, "Mul", MUL, NUMBER, false, "a b")                \
    X(div_v1, "Div", DIV, NUMBER, false, "a / b")              \
    X(pow_v1, "Pow", POW, FLOAT, false, "a to the power of b") \
    X(and_v1, "And", AND, BOOL, false, "Logical and")          \
    X(or_v1, "Or", OR, BOOL, false, "Logical or")              \
    X(xor_v1, "Xor", XOR, BOOL, false, "Logical exclusive or") \
    X(equal_v1, "Equal", EQUAL, ANY, true, "a == b")           \
    X(greater_v1, "Greater", GREATER, NUMBER, true, "a > b")   \
    X(less_v1, "Less", LESS, NUMBER, true, "a < b")            \
    X(prelu_v1, "PRelu", PRELU, FLOAT, false, "x, or slope x below 0")

#define BINARY_V1_RECORD(record, op_type, instruction, dtypes, is_compare, text)     \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err)     \
    {                                                                                \
        return infer(site, TT_TAKES_##dtypes, is_compare, out, err);                 \
    }                                                                                \
    static tt_status record##_lower(tt_lower *l, const tt_node *node, tt_error *err) \
    {                                                                                \
        return lower(l, node, TT_ELTWISE_##instruction, err);                        \
    }                                                                                \
    const tt_op tt_op_##record = {.name = op_type,                                   \
                                  .domain = "",                                      \
                                  .since = 1,                                        \
                                  .until = 6,                                        \
                                  .summary = text,                                   \
                                  .infer = record##_infer,                           \
                                  .lower = record##_lower};
BINARY_V1_LIST(BINARY_V1_RECORD)
