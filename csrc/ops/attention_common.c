/* Lowering of attention: see attention_common.h. */
#include "ops/attention_common.h"

#include <string.h>

#include "ops/fail.h"

void tt_attention_begin(tt_attention_kernel *kernel, tt_operand *operands)
{
    *kernel = (tt_attention_kernel){.dtype = TT_F32,
                                    .value_dtype = TT_F32,
                                    .heads_per_key = 1,
                                    .scores_kind = TT_SCORES_NONE,
                                    .scale = 1.0f,
                                    .left = TT_ATTENTION_UNBOUNDED,
                                    .right = TT_ATTENTION_UNBOUNDED};
    for (int i = 0; i < TT_ATTENTION_N; ++i)
        operands[i] = TT_NO_OPERAND;
}

void tt_attention_strides(const tt_lower *lower, tt_operand operand, int64_t strides[4])
{
    const tt_shape *shape = tt_operand_shape(lower, operand);
    const int64_t *from = tt_operand_strides(lower, operand);
    for (int i = 0; i < 4; ++i) {
        int at = i - (4 - shape->rank);
        strides[i] = at < 0 || shape->dims[at] == 1 ? 0 : from[at];
    }
    if (shape->dims[shape->rank - 1] == 1) strides[3] = 1;
}

void tt_attention_mask_of(const tt_lower *lower, tt_attention_kernel *kernel,
                          tt_operand mask)
{
    const tt_shape *shape;
    int64_t strides[4];
    if (mask == TT_NO_OPERAND) return;
    shape = tt_operand_shape(lower, mask);
    kernel->mask_dtype = shape->dtype;
    kernel->mask_kind = shape->dtype == TT_BOOL ? TT_MASK_BOOL : TT_MASK_ADD;
    if (shape->dims[shape->rank - 1] < kernel->visible)
        kernel->visible = shape->dims[shape->rank - 1];
    tt_attention_strides(lower, mask, strides);
    for (int k = 0; k < 3; ++k)
        kernel->mask[k] = strides[k];
}

tt_status tt_attention_mask_src(tt_lower *lower, const tt_node *node, int i,
                                tt_attention_kernel *kernel, tt_operand *operands,
                                tt_error *err)
{
    tt_operand *mask = &operands[TT_ATTENTION_MASK];
    TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROWS, mask, err));
    tt_attention_mask_of(lower, kernel, *mask);
    return TT_OK;
}

bool tt_attention_takes_past(const tt_attention_kernel *k)
{
    return k->dtype == TT_F32 && k->value_dtype == TT_F32 &&
           k->queries <= TT_ATTENTION_FEW;
}

tt_status tt_attention_past_src(tt_lower *lower, const tt_node *node, int past,
                                tt_attention_kernel *kernel, tt_operand *operands,
                                tt_error *err)
{
    int64_t *strides[] = {kernel->past_k, kernel->past_v};
    for (int i = 0; i < 2; ++i) {
        tt_operand *operand = &operands[TT_ATTENTION_PAST_K + i];
        TT_TRY(tt_lower_src(lower, node, past + i, TT_ORDER_ROWS, operand, err));
        memcpy(strides[i], tt_operand_strides(lower, *operand), 3 * sizeof **strides);
        operands[TT_ATTENTION_PRESENT_K + i] = operands[TT_ATTENTION_K + i];
    }
    kernel->has_past = true;
    return TT_OK;
}

/* On one core: 100 operations per ns, an exponential in 0.3 ns. */
static void work_of(const tt_attention_kernel *k, tt_work *work)
{
    double rows = (double)k->batch * (double)k->heads * (double)k->queries;
    double scores = rows * (double)k->keys;
    double widths = (double)k->head_size + (double)k->value_size;
    work->flops = 2.0 * scores * widths;
    work->bytes = (double)tt_dtype_bytes(k->dtype) * widths *
                  (rows + (double)k->batch * (double)(k->heads / k->heads_per_key) *
                              (double)k->keys);
    work->cost_ns = work->flops / 100.0 + 0.3 * scores + work->bytes / 20.0;
}

tt_status tt_attention_lower(tt_lower *lower, const tt_node *node,
                             tt_attention_kernel *kernel, tt_operand *operands,
                             tt_error *err)
{
    bool is_fast = kernel->dtype == TT_F32 && kernel->value_dtype == TT_F32 &&
                   (kernel->mask_kind != TT_MASK_ADD || kernel->mask_dtype == TT_F32);
    tt_work work = {0};
    size_t bytes = 0;
    int n_threads = 1;
    bool fits = true;
    work_of(kernel, &work);
    if (!is_fast) work.cost_ns = work.flops * 2.0;
    if (tt_lower_is_parallel(lower, &work)) n_threads = tt_lower_threads(lower);
    if (is_fast) {
        tt_attention_settle_rounding(kernel);
        tt_attention_join_heads(kernel);
        tt_attention_split(kernel, n_threads);
        fits = tt_attention_scratch_bytes(kernel, &bytes);
    } else {
        fits = tt_attention_plain_split(kernel, n_threads, &bytes);
    }
    if (!fits)
        return tt_fail_at(node, err, TT_LIMIT, "its working memory is too large");
    TT_TRY(tt_lower_temporary(lower, bytes, &operands[TT_ATTENTION_SCRATCH], err));
    return tt_lower_kernel(
        lower, node, is_fast ? tt_attention_name(kernel) : "attention:plain",
        is_fast ? tt_attention_run : tt_attention_plain_run, kernel, sizeof *kernel,
        operands, TT_ATTENTION_N_SRC, TT_ATTENTION_N - TT_ATTENTION_N_SRC, &work, err);
}
