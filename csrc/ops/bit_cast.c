/* BitCast: the same bytes as elements of another type of their size; no step. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t to;
    size_t n_bytes;
    TT_TRY(tt_need_inputs(site, 1, err));
    TT_TRY(tt_attribute_int(node, "to", 0, &to, err));
    src = tt_input_shape(site, 0);
    n_bytes = tt_dtype_bytes(src->dtype);
    if (!tt_dtype_is_known(to))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "attribute 'to' must be a TensorProto data type, not %lld",
                          (long long)to);
    if (n_bytes == 0)
        return tt_fail_at(node, err, TT_UNSUPPORTED, "elements of %s have no bytes",
                          tt_dtype_name(src->dtype));
    if (tt_dtype_bytes((tt_dtype)to) != n_bytes)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%s to %s: both must have the same number of bits",
                          tt_dtype_name(src->dtype), tt_dtype_name((tt_dtype)to));
    *out = *src;
    out->dtype = (tt_dtype)to;
    return tt_check_shape(site, out, err);
}

static tt_status lower_bit_cast(tt_lower *lower, const tt_node *node, tt_error *err)
{
    int64_t strides[TT_MAX_RANK];
    tt_operand src;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &src, err));
    memcpy(strides, tt_operand_strides(lower, src), sizeof strides);
    return tt_lower_view(lower, node, 0, src, strides, /*offset=*/0, err);
}

const tt_op tt_op_bit_cast = {.name = "BitCast",
                              .domain = "",
                              .since = 26,
                              .summary = "the same bits as another data type",
                              .infer = infer,
                              .lower = lower_bit_cast};
