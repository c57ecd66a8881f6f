/* Dropout: the identity when a model predicts.  In training mode (since opset 12) what
 * is drawn below `ratio` becomes 0 and the rest is divided by 1 - ratio. */
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"
#include "ops/random_seed.h"

static const double USUAL_RATIO = 0.5;

/* Is it opset 12 or later, and training_mode true?  TT_NEEDS_VALUE while unknown. */
static tt_status read_training(tt_site *site, bool *is_training, tt_error *err)
{
    const tt_constant *constant = NULL;
    double value = 0;
    *is_training = false;
    if (site->node->version < 12) return TT_OK;
    TT_TRY(tt_need_constant(site, 2, &constant, err));
    if (constant != NULL && !tt_scalar_value(constant, &value))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "training_mode must be one %s",
                          "bool");
    *is_training = value != 0;
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    bool is_training;
    TT_TRY(tt_infer_same(site, out, err));
    TT_TRY(read_training(site, &is_training, err));
    if (is_training && !tt_dtype_is_float(out->dtype))
        return tt_fail_at(node, err, TT_BAD_MODEL, "input is %s, expected a float",
                          tt_dtype_name(out->dtype));
    if (is_training && tt_has_input(site, 1)) {
        const tt_shape *ratio = tt_input_shape(site, 1);
        if (!tt_dtype_is_float(ratio->dtype) || tt_shape_numel(ratio) != 1)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "ratio must be one float, not %s",
                              tt_dtype_name(ratio->dtype));
    }
    if (node->n_outputs > 1) {
        out[1] = out[0];
        if (node->version >= 10) out[1].dtype = TT_BOOL;
    }
    return TT_OK;
}

/* ---- predicting -------------------------------------------------------------------- */

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

/* ---- training ---------------------------------------------------------------------- */

typedef struct {
    tt_random random;
    tt_dtype dtype, ratio_dtype;
    int64_t n;
} dropout_params;

typedef struct {
    tt_dtype dtype;
    double ratio, scale;
    const void *src;
    void *dst;
    uint8_t *mask;
} dropout_call;

static void drop(void *arg, const double *numbers, int64_t begin, int64_t end)
{
    const dropout_call *call = arg;
    for (int64_t i = begin; i < end; ++i) {
        bool keeps = numbers[i - begin] >= call->ratio;
        double x = keeps ? tt_item_load(call->dtype, call->src, i) * call->scale : 0.0;
        if (call->dst != NULL) tt_item_store(call->dtype, call->dst, i, x);
        if (call->mask != NULL) call->mask[i] = keeps;
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const dropout_params *p = params;
    dropout_call call = {.dtype = p->dtype,
                         .ratio = USUAL_RATIO,
                         .src = ptrs[0],
                         .dst = ptrs[2],
                         .mask = ptrs[3]};
    if (ptrs[1] != NULL) call.ratio = tt_item_load(p->ratio_dtype, ptrs[1], 0);
    if (!(call.ratio >= 0 && call.ratio < 1))
        return tt_fail(err, TT_BAD_INPUT, "the ratio of Dropout is %g, outside [0, 1)",
                       call.ratio);
    call.scale = 1.0 / (1.0 - call.ratio);
    tt_random_uniforms(&p->random, p->n, drop, &call);
    return TT_OK;
}

static tt_status lower_training(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *shape = tt_input_shape(&site, 0);
    dropout_params params = {.dtype = shape->dtype, .n = tt_shape_numel(shape)};
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(shape),
                    .cost_ns = 600 + 9 * (double)params.n};
    tt_operand operands[4] = {TT_NO_OPERAND, TT_NO_OPERAND, TT_NO_OPERAND,
                              TT_NO_OPERAND};
    TT_TRY(tt_random_read(node, &params.random, err));
    if (tt_has_input(&site, 1)) params.ratio_dtype = tt_input_shape(&site, 1)->dtype;
    for (int i = 0; i < 2; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    for (int i = 0; i < node->n_outputs && i < 2; ++i)
        if (node->outputs[i] >= 0)
            TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[2 + i],
                                err));
    return tt_lower_kernel(lower, node, "dropout", run, &params, sizeof params,
                           operands, 2, 2, &work, err);
}

static tt_status lower_dropout(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    bool is_training;
    TT_TRY(read_training(&site, &is_training, err));
    if (is_training) return lower_training(lower, node, err);
    if (node->n_outputs > 1 && node->outputs[1] >= 0)
        TT_TRY(lower_mask(lower, node, err));
    return tt_lower_reshape(lower, node, err);
}

const tt_op tt_op_dropout = {.name = "Dropout",
                             .domain = "",
                             .since = 1,
                             .summary = "the input itself when predicting; in training "
                                        "mode some of it, scaled, and the mask",
                             .infer = infer,
                             .lower = lower_dropout,
                             .is_random = true};
