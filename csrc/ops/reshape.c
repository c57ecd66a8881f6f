/* Reshape: the same elements under another shape; a view unless the strides forbid
 * it.  Opset 1 has the shape as an attribute, opset 5 as an input, opset 14 knows
 * allowzero. */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

static tt_status resolve(tt_site *site, const int64_t *wanted, int n, bool allow_zero,
                         tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src = tt_input_shape(site, 0);
    int64_t n_src = tt_shape_numel(src), n_dst;
    int open = -1;
    char from[256], to[256];
    *out = (tt_shape){.dtype = src->dtype, .rank = n};
    for (int i = 0; i < n; ++i) {
        int64_t dim = wanted[i];
        if (dim == 0 && !allow_zero) {
            if (i >= src->rank)
                return tt_fail_at(node, err, TT_BAD_MODEL,
                                  "dim %d of the new shape is 0 (keep) but the input "
                                  "has only %d dims",
                                  i, src->rank);
            dim = src->dims[i];
        } else if (dim == -1) {
            if (open >= 0)
                return tt_fail_at(node, err, TT_BAD_MODEL,
                                  "dims %d and %d of the new shape are both -1", open,
                                  i);
            open = i;
            dim = 1;
        } else if (dim < 0) {
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "dim %d of the new shape is %lld, expected -1 or more", i,
                              (long long)dim);
        }
        out->dims[i] = dim;
    }
    if (!tt_numel(out->dims, n, &n_dst))
        return tt_fail_at(node, err, TT_BAD_MODEL, "new shape %s has too many elements",
                          tt_shape_text(out, to, sizeof to));
    if (open >= 0) {
        if (n_dst == 0 && n_src == 0 && !allow_zero) {
            out->dims[open] = 0; /* nothing is left to distribute */
            return TT_OK;
        }
        if (n_dst != 0 && n_src % n_dst == 0) {
            out->dims[open] = n_src / n_dst;
            return TT_OK;
        }
        out->dims[open] = -1;
    } else if (n_src == n_dst) {
        return TT_OK;
    }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "input of shape %s (%lld elements) does not fit the new shape %s",
                      tt_shape_text(src, from, sizeof from), (long long)n_src,
                      tt_shape_text(out, to, sizeof to));
}

static tt_status infer_v1(tt_site *site, tt_shape *out, tt_error *err)
{
    const int64_t *shape;
    int n;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(tt_attribute_ints(site->node, "shape", &shape, &n, err));
    if (n < 0)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "attribute '%s' is missing",
                          "shape");
    if (n > TT_MAX_RANK)
        return tt_fail_at(site->node, err, TT_LIMIT,
                          "the new shape has %d dims, at most %d are supported", n,
                          TT_MAX_RANK);
    return resolve(site, shape, n, false, out, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t shape[TT_MAX_RANK], allow_zero = 0;
    int n;
    TT_TRY(tt_need_inputs(site, 2, err));
    if (site->node->version >= 14)
        TT_TRY(tt_attribute_int(site->node, "allowzero", 0, &allow_zero, err));
    TT_TRY(tt_need_ints(site, 1, shape, TT_MAX_RANK, &n, err));
    return resolve(site, shape, n, allow_zero != 0, out, err);
}

const tt_op tt_op_reshape_v1 = {.name = "Reshape",
                                .domain = "",
                                .since = 1,
                                .until = 4,
                                .summary = "the same elements under another shape",
                                .infer = infer_v1,
                                .lower = tt_lower_reshape,
                                .takes_strings = true,
                                .is_reshape = true};

const tt_op tt_op_reshape_v5 = {.name = "Reshape",
                                .domain = "",
                                .since = 5,
                                .summary = "the same elements under another shape",
                                .infer = infer,
                                .lower = tt_lower_reshape,
                                .takes_strings = true,
                                .is_reshape = true};
