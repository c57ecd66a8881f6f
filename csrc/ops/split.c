/* Split: parts of a tensor along an axis, as views.  The lengths are an attribute
 * before opset 13 and an input since; opset 18 may give only their number. */
#include <string.h>

#include "base/alloc.h"
#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

/* Length of part i when `n` is cut into `parts`: opset 18 lets the last be shorter. */
static tt_status equal_length(const tt_node *node, int64_t n, int parts, int i,
                              int64_t *out, tt_error *err)
{
    int64_t most = n / parts + (n % parts != 0), left = n - most * i;
    if (n % parts != 0 && (node->version < 18 || n - most * (parts - 1) < 0))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%lld elements cannot be split into %d equal parts",
                          (long long)n, parts);
    *out = left < most ? left : most;
    return TT_OK;
}

static tt_status check_lengths(const tt_node *node, const int64_t *lengths, int n,
                               int64_t dim, tt_error *err)
{
    int64_t sum = 0;
    if (n != node->n_outputs)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%d lengths for %d outputs", n,
                          node->n_outputs);
    for (int i = 0; i < n; ++i)
        if (lengths[i] < 0 || !tt_add_i64(sum, lengths[i], &sum))
            return tt_fail_at(node, err, TT_BAD_MODEL, "length %d is %lld", i,
                              (long long)lengths[i]);
    if (sum != dim)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "the lengths sum to %lld, the axis has %lld", (long long)sum,
                          (long long)dim);
    return TT_OK;
}

/* Lengths from the attribute or the input; *n is -1 when neither is given.  *owned is
 * freed by the caller. */
static tt_status read_lengths(tt_site *site, const int64_t **lengths, int64_t **owned,
                              int *n, tt_error *err)
{
    const tt_node *node = site->node;
    *owned = NULL;
    *lengths = NULL;
    if (node->version < 13 && !tt_has_input(site, 1))
        return tt_attribute_ints(node, "split", lengths, n, err);
    *n = -1;
    if (!tt_has_input(site, 1)) return TT_OK;
    *owned = tt_calloc((size_t)node->n_outputs + 1, sizeof **owned);
    if (*owned == NULL)
        return tt_fail_at(node, err, TT_NO_MEMORY, "%d lengths", node->n_outputs);
    *lengths = *owned;
    return tt_need_ints(site, 1, *owned, node->n_outputs, n, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    const int64_t *lengths;
    int64_t axis_attribute, n_wanted = node->n_outputs, *owned;
    tt_status status;
    int axis, n;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    TT_TRY(tt_attribute_int(node, "axis", 0, &axis_attribute, err));
    TT_TRY(tt_axis(node, axis_attribute, src->rank, &axis, err));
    if (node->version >= 18)
        TT_TRY(tt_attribute_int(node, "num_outputs", n_wanted, &n_wanted, err));
    if (n_wanted != node->n_outputs || n_wanted == 0)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "num_outputs is %lld but the node has %d outputs",
                          (long long)n_wanted, node->n_outputs);
    status = read_lengths(site, &lengths, &owned, &n, err);
    if (status == TT_OK && n >= 0)
        status = check_lengths(node, lengths, n, src->dims[axis], err);
    for (int i = 0; i < node->n_outputs && status == TT_OK; ++i) {
        out[i] = *src;
        if (n >= 0)
            out[i].dims[axis] = lengths[i];
        else
            status = equal_length(node, src->dims[axis], node->n_outputs, i,
                                  &out[i].dims[axis], err);
    }
    tt_free(owned);
    return status;
}

static tt_status lower_split(tt_lower *lower, const tt_node *node, tt_error *err)
{
    int64_t strides[TT_MAX_RANK], axis_attribute, offset = 0;
    tt_operand src;
    int axis;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    TT_TRY(tt_attribute_int(node, "axis", 0, &axis_attribute, err));
    TT_TRY(
        tt_axis(node, axis_attribute, tt_operand_shape(lower, src)->rank, &axis, err));
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    for (int i = 0; i < node->n_outputs; ++i) {
        if (node->outputs[i] < 0)
            return tt_fail_at(node, err, TT_BAD_MODEL, "output %d has no name", i);
        TT_TRY(tt_lower_view(lower, node, i, src, strides, offset, err));
        offset += tt_output_shape(lower, node, i)->dims[axis] * strides[axis];
    }
    return TT_OK;
}

const tt_op tt_op_split = {.name = "Split",
                           .domain = "",
                           .since = 1,
                           .summary = "parts of a tensor along an axis",
                           .infer = infer,
                           .lower = lower_split,
                           .takes_strings = true};
