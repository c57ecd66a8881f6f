/* softmax(scale Q K + mask) V as one step: see fused_attention.h. */
#include "ops/fused_attention.h"

#include "ops/attention_common.h"

static void swap(int64_t *a, int64_t *b)
{
    int64_t saved = *a;
    *a = *b;
    *b = saved;
}

static tt_status lower_fused(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    const tt_shape q = graph->values[node->inputs[0]].shape;
    const tt_shape dst = graph->values[node->outputs[0]].shape;
    tt_operand operands[TT_ATTENTION_N];
    tt_attention_kernel k;
    int64_t is_row_major;
    int rank = dst.rank;
    tt_attention_begin(&k, operands);
    TT_TRY(tt_attribute_float(node, "scale", 1.0f, &k.scale, err));
    TT_TRY(tt_attribute_int(node, "is_row_major", 0, &is_row_major, err));
    k.rounds = tt_attribute_find(node, "mixed_bf16") != NULL;
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ANY, &operands[i], err));
    k.batch = rank == 4 ? dst.dims[0] : 1;
    k.heads = dst.dims[rank - 3];
    k.queries = dst.dims[rank - 2];
    k.value_size = dst.dims[rank - 1];
    k.head_size = q.dims[rank - 1];
    k.keys = k.visible = graph->values[node->inputs[2]].shape.dims[rank - 2];
    TT_TRY(tt_attention_mask_src(lower, node, 3, &k, operands, err));
    TT_TRY(
        tt_lower_dst(lower, node, 0, TT_ORDER_ANY, &operands[TT_ATTENTION_DST], err));
    tt_attention_strides(lower, operands[TT_ATTENTION_Q], k.q);
    tt_attention_strides(lower, operands[TT_ATTENTION_K], k.k);
    tt_attention_strides(lower, operands[TT_ATTENTION_V], k.v);
    tt_attention_strides(lower, operands[TT_ATTENTION_DST], k.dst);
    if (is_row_major == 0) swap(&k.k[2], &k.k[3]);
    return tt_attention_lower(lower, node, &k, operands, err);
}

const tt_op tt_op_fused_attention = {.name = "FusedAttention",
                                     .domain = "trimtab",
                                     .since = 1,
                                     .summary = "softmax(scale Q K + mask) V",
                                     .lower = lower_fused};
