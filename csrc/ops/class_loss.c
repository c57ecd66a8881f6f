/* NegativeLogLikelihoodLoss and SoftmaxCrossEntropyLoss: scores (N, C, d1, ...), targets
 * (N, d1, ...), weights (C). */
#include <string.h>

#include "kernels/loss.h"
#include "ops/elementwise.h"
#include "ops/move.h"

static bool needs_softmax(const tt_node *node)
{
    return strcmp(node->op->name, "SoftmaxCrossEntropyLoss") == 0;
}

static tt_status read_reduction(const tt_node *node, tt_loss_reduction *out,
                                tt_error *err)
{
    static const char *const names[] = {
        [TT_LOSS_NONE] = "none", [TT_LOSS_SUM] = "sum", [TT_LOSS_MEAN] = "mean"};
    const char *text;
    TT_TRY(tt_attribute_string(node, "reduction", "mean", &text, err));
    for (int i = 0; i < 3; ++i)
        if (strcmp(text, names[i]) == 0) {
            *out = (tt_loss_reduction)i;
            return TT_OK;
        }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "attribute 'reduction' must be none, sum or mean, not '%.40s'",
                      text);
}

static tt_status check_shapes(const tt_site *site, tt_error *err)
{
    const tt_shape *scores = tt_input_shape(site, 0),
                   *targets = tt_input_shape(site, 1);
    bool fits = scores->rank >= 2 && targets->rank == scores->rank - 1 &&
                targets->dims[0] == scores->dims[0];
    char ts[160], tt[160];
    for (int i = 2; fits && i < scores->rank; ++i)
        fits = targets->dims[i - 1] == scores->dims[i];
    if (!fits)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "scores %s and targets %s, expected (N, C, d1, ...) and "
                          "(N, d1, ...)",
                          tt_shape_text(scores, ts, sizeof ts),
                          tt_shape_text(targets, tt, sizeof tt));
    if (tt_has_input(site, 2)) {
        const tt_shape *weights = tt_input_shape(site, 2);
        if (weights->dtype != scores->dtype || weights->rank != 1 ||
            weights->dims[0] != scores->dims[1])
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "weights are %s %s, expected one %s for each of %lld "
                              "classes",
                              tt_dtype_name(weights->dtype),
                              tt_shape_text(weights, ts, sizeof ts),
                              tt_dtype_name(scores->dtype), (long long)scores->dims[1]);
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    tt_loss_reduction reduction = TT_LOSS_MEAN;
    TT_TRY(tt_check_inputs(site, 2, 3, err));
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(tt_check_dtype(site, 0, TT_TAKES_FLOAT, err));
    TT_TRY(tt_need_index_dtype(site, 1, err));
    TT_TRY(check_shapes(site, err));
    TT_TRY(read_reduction(node, &reduction, err));
    if (node->n_outputs > (needs_softmax(node) ? 2 : 1))
        return tt_fail_at(node, err, TT_BAD_MODEL, "has %d outputs", node->n_outputs);
    out[0] = (tt_shape){.rank = 0};
    if (reduction == TT_LOSS_NONE) out[0] = *tt_input_shape(site, 1);
    out[0].dtype = tt_input_shape(site, 0)->dtype;
    if (node->n_outputs > 1) out[1] = *tt_input_shape(site, 0);
    return tt_check_shape(site, out, err);
}

/* Dims of a tensor with a dim of 0 need no product that fits: nothing is read. */
static void read_dims(const tt_shape *scores, tt_loss *k)
{
    k->n_samples = scores->dims[0];
    k->n_classes = scores->dims[1];
    k->inner = 1;
    for (int i = 2; i < scores->rank; ++i)
        if (scores->dims[i] == 0) k->n_samples = 0;
    for (int i = 2; i < scores->rank && k->n_samples > 0; ++i)
        k->inner *= scores->dims[i];
}

static tt_status find_operands(tt_lower *lower, const tt_node *node, const tt_loss *k,
                               tt_operand *operands, tt_error *err)
{
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    for (int i = 0; i < 2; ++i) {
        tt_operand *to = &operands[TT_LOSS_Y + i];
        *to = TT_NO_OPERAND;
        if (i < node->n_outputs && node->outputs[i] >= 0)
            TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, to, err));
    }
    return tt_lower_temporary(lower, tt_loss_parts_bytes(k), &operands[TT_LOSS_PARTS],
                              err);
}

static tt_status lower_loss(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *scores = tt_input_shape(&site, 0);
    const double n = (double)tt_shape_numel(scores);
    const double n_positions = (double)tt_shape_numel(tt_input_shape(&site, 1));
    tt_loss kernel = {.dtype = scores->dtype,
                      .is_32 = tt_input_shape(&site, 1)->dtype == TT_S32,
                      .has_ignored = tt_attribute_find(node, "ignore_index") != NULL,
                      .needs_softmax = needs_softmax(node)};
    tt_work work = {.cost_ns = 20 + 3 * n_positions};
    tt_operand operands[TT_LOSS_N];
    TT_TRY(read_reduction(node, &kernel.reduction, err));
    TT_TRY(tt_attribute_int(node, "ignore_index", 0, &kernel.ignored, err));
    read_dims(scores, &kernel);
    work.bytes = (kernel.needs_softmax ? n : n_positions) *
                 (double)tt_dtype_bytes(scores->dtype) * (node->n_outputs > 1 ? 2 : 1);
    if (kernel.needs_softmax) work.cost_ns += (scores->dtype == TT_F32 ? 0.4 : 10) * n;
    TT_TRY(find_operands(lower, node, &kernel, operands, err));
    return tt_lower_kernel(lower, node, tt_loss_name(), tt_loss_run, &kernel,
                           sizeof kernel, operands, 3, 3, &work, err);
}

#define CLASS_LOSS(record_, name_, summary_)            \
    const tt_op tt_op_##record_ = {.name = name_,       \
                                   .domain = "",        \
                                   .since = 12,         \
                                   .summary = summary_, \
                                   .infer = infer,      \
                                   .lower = lower_loss}

CLASS_LOSS(negative_log_likelihood_loss, "NegativeLogLikelihoodLoss",
           "minus the logarithm of the probability of the right class");
CLASS_LOSS(softmax_cross_entropy_loss, "SoftmaxCrossEntropyLoss",
           "the same of scores, by their log-softmax, which is an output too");
