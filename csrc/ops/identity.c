/* Identity, and Dropout, which is the identity when a model only predicts. */
#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

static tt_status infer_dropout(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    double training = 0, ratio = 0.5;
    TT_TRY(tt_infer_same(site, out, err));
    if (node->version >= 12) {
        const tt_constant *constant;
        TT_TRY(tt_need_constant(site, 2, &constant, err));
        if (constant != NULL && !tt_scalar_value(constant, &training))
            return tt_fail_at(node, err, TT_BAD_MODEL, "training_mode must be one %s",
                              "bool");
        if (tt_input_constant(site, 1) != NULL)
            (void)tt_scalar_value(tt_input_constant(site, 1), &ratio);
        if (training != 0 && ratio != 0)
            return tt_fail_at(node, err, TT_UNSUPPORTED,
                              "training_mode with ratio %g: this engine predicts, it "
                              "does not drop",
                              ratio);
    }
    if (node->n_outputs > 1) {
        out[1] = out[0];
        if (node->version >= 10) out[1].dtype = TT_BOOL;
    }
    return TT_OK;
}

/* The number one in any dtype of a mask. */
static bool write_one(tt_dtype dtype, void *item)
{
    float one_f32 = 1;
    double one_f64 = 1;
    uint16_t bits = dtype == TT_F16 ? 0x3c00 : 0x3f80;
    switch (dtype) {
    case TT_F32:
        memcpy(item, &one_f32, sizeof one_f32);
        return true;
    case TT_F64:
        memcpy(item, &one_f64, sizeof one_f64);
        return true;
    case TT_F16:
    case TT_BF16:
        memcpy(item, &bits, sizeof bits);
        return true;
    case TT_BOOL:
        *(uint8_t *)item = 1;
        return true;
    default:
        return false;
    }
}

/* The mask keeps everything: one element, seen everywhere. */
static tt_status lower_mask(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape *shape = tt_output_shape(lower, node, 1);
    tt_shape single = {.dtype = shape->dtype, .rank = 0};
    int64_t strides[TT_MAX_RANK] = {0};
    tt_constant *constant;
    tt_operand one;
    void *data;
    TT_TRY(tt_constant_empty(&single, &constant, &data, err));
    if (!write_one(single.dtype, data)) {
        tt_constant_unref(constant);
        return tt_fail_at(node, err, TT_UNSUPPORTED, "a mask of dtype %s",
                          tt_dtype_name(single.dtype));
    }
    TT_TRY(tt_lower_constant(lower, constant, &one, err));
    return tt_lower_view(lower, node, 1, one, strides, 0, err);
}

static tt_status lower_dropout(tt_lower *lower, const tt_node *node, tt_error *err)
{
    if (node->n_outputs > 1 && node->outputs[1] >= 0)
        TT_TRY(lower_mask(lower, node, err));
    return tt_lower_reshape(lower, node, err);
}

const tt_op tt_op_identity = {.name = "Identity",
                              .domain = "",
                              .since = 1,
                              .summary = "the input itself",
                              .infer = tt_infer_same,
                              .lower = tt_lower_reshape,
                              .is_reshape = true};

const tt_op tt_op_dropout = {.name = "Dropout",
                             .domain = "",
                             .since = 1,
                             .summary =
                                 "the input itself (prediction), and a mask of ones",
                             .infer = infer_dropout,
                             .lower = lower_dropout,
                             .is_reshape = true};
