/* Every bound on what a file or a caller may ask for, in one struct.
 * The Python class trimtab.Limits mirrors it field by field. */
#ifndef TT_BASE_LIMITS_H
#define TT_BASE_LIMITS_H

#include <stdint.h>

/* X(field, default, what it bounds) */
#define TT_LIMITS_LIST(X)                                                        \
    X(max_model_bytes, INT64_C(8) << 30, "bytes of the model, weights included") \
    X(max_nodes, INT64_C(1) << 20, "nodes of all graphs together")               \
    X(max_values, INT64_C(1) << 22, "values (tensors) of all graphs together")   \
    X(max_depth, 32, "nesting of If, Loop and Scan bodies")                      \
    X(max_tensor_bytes, INT64_C(4) << 30, "bytes of one tensor")                 \
    X(max_arena_bytes, INT64_C(8) << 30, "bytes of one call's working memory")   \
    X(max_fold_bytes, INT64_C(64) << 20,                                         \
      "bytes of constants made by folding, beyond "                              \
      "what the file holds")                                                     \
    X(max_plan_bytes, INT64_C(512) << 20, "bytes of cached plans of one model")  \
    X(max_plans, 64, "cached plans of one model")                                \
    X(max_trip_count, INT64_C(1) << 24, "iterations of one Loop or Scan")        \
    X(max_sequence_items, INT64_C(1) << 20, "tensors of one sequence")

typedef struct {
#define TT_LIMITS_FIELD(field, value, text) int64_t field;
    TT_LIMITS_LIST(TT_LIMITS_FIELD)
#undef TT_LIMITS_FIELD
} tt_limits;

static inline tt_limits tt_limits_default(void)
{
    tt_limits limits = {
#define TT_LIMITS_VALUE(field, value, text) .field = (value),
        TT_LIMITS_LIST(TT_LIMITS_VALUE)
#undef TT_LIMITS_VALUE
    };
    return limits;
}

#endif
