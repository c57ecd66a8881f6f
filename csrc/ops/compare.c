/* Comparisons of two broadcast inputs; the result is bool. */
#include "ops/elementwise.h"

/* X(record, op_type, since, instruction, dtypes, summary) */
#define COMPARE_LIST(X)                                                        \
    X(equal_v7, "Equal", 7, EQUAL, ANY, "a == b")                              \
    X(greater_v7, "Greater", 7, GREATER, NUMBER, "a > b")                      \
    X(less_v7, "Less", 7, LESS, NUMBER, "a < b")                               \
    X(greater_or_equal, "GreaterOrEqual", 12, GREATER_EQUAL, NUMBER, "a >= b") \
    X(less_or_equal, "LessOrEqual", 12, LESS_EQUAL, NUMBER, "a <= b")

#define COMPARE_RECORD(record, op_type, since, instruction, dtypes, summary)     \
    static tt_status record##_infer(tt_site *site, tt_shape *out, tt_error *err) \
    {                                                                            \
        return tt_infer_compare_of(site, TT_TAKES_##dtypes, out, err);           \
    }                                                                            \
    static tt_status record##_emit(tt_site *site, tt_eltwise_builder *builder,   \
                                   const int *args, int *result, tt_error *err)  \
    {                                                                            \
        return tt_emit_binary(site, builder, TT_ELTWISE_##instruction, args[0],  \
                              args[1], result, err);                             \
    }                                                                            \
    TT_ELEMENTWISE_OP(record, op_type, "", since, 0, NULL, summary)
COMPARE_LIST(COMPARE_RECORD)
