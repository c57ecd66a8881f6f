/* Squeeze and Unsqueeze: dims of 1 go or come; views.  The axes are an attribute
 * before opset 13 and an input since. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

/* *n is -1 when no axes are given. */
static tt_status read_axes(tt_site *site, int64_t *axes, int *n, tt_error *err)
{
    const int64_t *list;
    if (site->node->version >= 13)
        return tt_need_ints(site, 1, axes, TT_MAX_RANK, n, err);
    TT_TRY(tt_attribute_ints(site->node, "axes", &list, n, err));
    if (*n > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "%d axes, at most %d fit", *n,
                          TT_MAX_RANK);
    if (*n > 0) memcpy(axes, list, (size_t)*n * sizeof *axes);
    return TT_OK;
}

/* The axes as a set of bits over `rank` dims. */
static tt_status collect_axes(const tt_node *node, const int64_t *axes, int n, int rank,
                              unsigned *set, tt_error *err)
{
    *set = 0;
    for (int i = 0; i < n; ++i) {
        int axis;
        TT_TRY(tt_axis(node, axes[i], rank, &axis, err));
        if ((*set & (1u << axis)) != 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "axis %d is named twice", axis);
        *set |= 1u << axis;
    }
    return TT_OK;
}

static tt_status infer_squeeze(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int64_t axes[TT_MAX_RANK];
    unsigned set;
    int n;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(read_axes(site, axes, &n, err));
    src = tt_input_shape(site, 0);
    TT_TRY(collect_axes(site->node, axes, n, src->rank, &set, err));
    *out = (tt_shape){.dtype = src->dtype};
    for (int i = 0; i < src->rank; ++i) {
        bool goes = n < 0 ? src->dims[i] == 1 : (set & (1u << i)) != 0;
        char text[256];
        if (!goes)
            out->dims[out->rank++] = src->dims[i];
        else if (src->dims[i] != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "axis %d of input %s is to be removed but is not 1", i,
                              tt_shape_text(src, text, sizeof text));
    }
    return TT_OK;
}

static tt_status infer_unsqueeze(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    int64_t axes[TT_MAX_RANK];
    unsigned set;
    int n, from = 0;
    TT_TRY(tt_need_inputs(site, site->node->version >= 13 ? 2 : 1, err));
    TT_TRY(read_axes(site, axes, &n, err));
    src = tt_input_shape(site, 0);
    if (n < 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "attribute '%s' is missing",
                          "axes");
    if (src->rank + n > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_LIMIT,
                          "the output would have %d dims, at most %d are supported",
                          src->rank + n, TT_MAX_RANK);
    TT_TRY(collect_axes(site->node, axes, n, src->rank + n, &set, err));
    *out = (tt_shape){.dtype = src->dtype, .rank = src->rank + n};
    for (int i = 0; i < out->rank; ++i)
        out->dims[i] = (set & (1u << i)) != 0 ? 1 : src->dims[from++];
    return TT_OK;
}

const tt_op tt_op_squeeze = {.name = "Squeeze",
                             .domain = "",
                             .since = 1,
                             .summary = "removes dims of 1",
                             .infer = infer_squeeze,
                             .lower = tt_lower_reshape,
                             .takes_strings = true,
                             .is_reshape = true};

const tt_op tt_op_unsqueeze = {.name = "Unsqueeze",
                               .domain = "",
                               .since = 1,
                               .summary = "inserts dims of 1",
                               .infer = infer_unsqueeze,
                               .lower = tt_lower_reshape,
                               .takes_strings = true,
                               .is_reshape = true};
