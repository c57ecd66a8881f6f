/* Flatten: dims before `axis` become one, the others become the second. */
#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int64_t axis;
    int rank, split;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    rank = src->rank;
    TT_TRY(tt_attribute_int(site->node, "axis", 1, &axis, err));
    if (axis < (site->node->version >= 11 ? -rank : 0) || axis > rank)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "axis %lld is outside [-%d, %d]", (long long)axis, rank,
                          rank);
    split = (int)(axis < 0 ? axis + rank : axis);
    *out = (tt_shape){
        .dtype = src->dtype, .rank = 2, .dims = {1, 1}
    };
    for (int i = 0; i < rank; ++i)
        out->dims[i < split ? 0 : 1] *= src->dims[i];
    return TT_OK;
}

const tt_op tt_op_flatten = {.name = "Flatten",
                             .domain = "",
                             .since = 1,
                             .summary = "to a matrix",
                             .infer = infer,
                             .lower = tt_lower_reshape,
                             .takes_strings = true,
                             .is_reshape = true};
