/* BatchNormalization (opsets 1, 6, 7, 9, 14, 15) with the given statistics:
 * y = scale (x - mean) / sqrt(variance + epsilon) + shift, per channel.
 *
 * Most are folded into the convolution before them (graph/fuse_weights.c); this one is
 * an elementwise step: with constant parameters one multiply-add per item.  With
 * training_mode (since opset 14) the statistics are the batch's. */
#include "kernels/batch_norm.h"

#include <math.h>
#include <string.h>

#include "base/alloc.h"
#include "kernels/item.h"
#include "ops/fail.h"
#include "plan/lower.h"

static tt_status read_training(const tt_node *node, bool *is_training, tt_error *err)
{
    int64_t value;
    TT_TRY(tt_attribute_int(node, "training_mode", 0, &value, err));
    *is_training = node->version >= 14 && value != 0;
    return TT_OK;
}

/* Scale and shift are of one type, and so are mean and variance. */
static tt_status check_pairs(const tt_site *site, tt_error *err)
{
    for (int i = 1; i < 5; i += 2)
        if (tt_input_shape(site, i)->dtype != tt_input_shape(site, i + 1)->dtype)
            return tt_fail_at(
                site->node, err, TT_BAD_MODEL,
                "inputs %d and %d must be of one type, they are %s and %s", i, i + 1,
                tt_dtype_name(tt_input_shape(site, i)->dtype),
                tt_dtype_name(tt_input_shape(site, i + 1)->dtype));
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *x;
    bool is_training;
    int64_t spatial;
    TT_TRY(tt_need_inputs(site, 5, err));
    x = tt_input_shape(site, 0);
    TT_TRY(read_training(node, &is_training, err));
    TT_TRY(tt_attribute_int(node, "spatial", 1, &spatial, err));
    if (spatial == 0)
        return tt_fail_at(node, err, TT_UNSUPPORTED,
                          "spatial = 0 is not supported, only %s", "one per channel");
    if (!tt_dtype_is_float(x->dtype))
        return tt_fail_at(node, err, TT_BAD_MODEL, "input is %s, expected a float",
                          tt_dtype_name(x->dtype));
    for (int i = 1; i < 5; ++i) {
        const tt_shape *v = tt_input_shape(site, i);
        int64_t channels = x->rank > 1 ? x->dims[1] : 1;
        char text[128];
        if (!tt_dtype_is_float(v->dtype) || v->rank != 1 || v->dims[0] != channels)
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "input %d is %s %s, expected one float for each of %lld "
                              "channels",
                              i, tt_dtype_name(v->dtype),
                              tt_shape_text(v, text, sizeof text), (long long)channels);
    }
    for (int i = 1; i < node->n_outputs; ++i) {
        /* Outputs 1 to 4 of old opsets are filled by training only. */
        if (node->outputs[i] >= 0 && !(is_training && i < 3))
            return tt_fail_at(node, err, TT_UNSUPPORTED,
                              "output %d exists in training only", i);
        out[i] = *tt_input_shape(site, i == 2 ? 4 : 3);
    }
    if (is_training) TT_TRY(check_pairs(site, err));
    return tt_infer_same(site, out, err);
}

/* The elementwise program under construction. */
typedef struct {
    tt_eltwise_builder builder;
    int n_loads, channel_dim; /* -1: a single channel */
    tt_operand operands[TT_ELTWISE_MAX_OPERANDS + 1];
    int64_t strides[TT_ELTWISE_MAX_OPERANDS][TT_MAX_RANK];
} program;

/* A register of one item per channel, in the register dtype `wanted`. */
static int load_channel(program *p, const tt_lower *lower, tt_operand operand,
                        tt_dtype wanted)
{
    tt_dtype dtype = tt_operand_shape(lower, operand)->dtype;
    int reg = tt_eltwise_load(&p->builder, dtype);
    p->operands[p->n_loads] = operand;
    if (p->channel_dim >= 0) p->strides[p->n_loads][p->channel_dim] = 1;
    p->n_loads++;
    if (reg >= 0 && p->builder.registers[reg] != wanted)
        reg =
            tt_eltwise_add(&p->builder, TT_ELTWISE_CAST, reg, -1, -1, 0.0, 0.0, wanted);
    return reg;
}

static int binary(program *p, tt_eltwise_op op, int a, int b)
{
    if (a < 0 || b < 0) return -1;
    return tt_eltwise_add(&p->builder, op, a, b, -1, 0.0, 0.0, TT_DTYPE_NONE);
}

/* Constant parameters as factor and offset of x. */
static tt_status fold(tt_lower *lower, const tt_node *node, double epsilon,
                      tt_dtype wanted, tt_operand *factor, tt_operand *offset,
                      tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    const void *data[5] = {NULL};
    tt_dtype dtypes[5] = {0};
    tt_shape shape = {.dtype = wanted, .rank = 1};
    tt_constant *made[2];
    void *to[2];
    tt_status status;
    *factor = *offset = TT_NO_OPERAND;
    for (int i = 1; i < 5; ++i) {
        const tt_constant *c = tt_graph_constant(graph, node->inputs[i]);
        if (c == NULL || tt_constant_data(c) == NULL) return TT_OK;
        data[i] = tt_constant_data(c);
        dtypes[i] = tt_constant_shape(c)->dtype;
        shape.dims[0] = tt_constant_shape(c)->dims[0];
    }
    TT_TRY(tt_constant_empty(&shape, &made[0], &to[0], err));
    status = tt_constant_empty(&shape, &made[1], &to[1], err);
    if (status != TT_OK) {
        tt_constant_unref(made[0]);
        return status;
    }
    for (int64_t c = 0; c < shape.dims[0]; ++c) {
        double scale = tt_item_load(dtypes[1], data[1], c) /
                       sqrt(tt_item_load(dtypes[4], data[4], c) + epsilon);
        double shift = tt_item_load(dtypes[2], data[2], c) -
                       scale * tt_item_load(dtypes[3], data[3], c);
        tt_item_store(wanted, to[0], c, scale);
        tt_item_store(wanted, to[1], c, shift);
    }
    status = tt_lower_constant(lower, made[0], factor, err);
    if (status != TT_OK) {
        tt_constant_unref(made[1]);
        return status;
    }
    return tt_lower_constant(lower, made[1], offset, err);
}

/* Register of the result for x in register x, or -1. */
static tt_status build(tt_lower *lower, const tt_node *node, program *p, int x,
                       tt_dtype wanted, int *result, tt_error *err)
{
    tt_operand factor, offset, operands[5];
    int regs[5], std;
    float epsilon;
    TT_TRY(tt_attribute_float(node, "epsilon", 1e-5f, &epsilon, err));
    TT_TRY(fold(lower, node, (double)epsilon, wanted, &factor, &offset, err));
    if (factor != TT_NO_OPERAND) {
        int a = load_channel(p, lower, factor, wanted);
        int b = load_channel(p, lower, offset, wanted);
        *result = binary(p, TT_ELTWISE_ADD, binary(p, TT_ELTWISE_MUL, x, a), b);
        return TT_OK;
    }
    for (int i = 1; i < 5; ++i) {
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
        regs[i] = load_channel(p, lower, operands[i], wanted);
    }
    std = tt_eltwise_add(&p->builder, TT_ELTWISE_LINEAR, regs[4], -1, -1, 1.0,
                         (double)epsilon, TT_DTYPE_NONE);
    std = tt_eltwise_add(&p->builder, TT_ELTWISE_SQRT, std, -1, -1, 0.0, 0.0,
                         TT_DTYPE_NONE);
    *result = binary(p, TT_ELTWISE_SUB, x, regs[3]);
    *result =
        binary(p, TT_ELTWISE_MUL, *result, binary(p, TT_ELTWISE_DIV, regs[1], std));
    *result = binary(p, TT_ELTWISE_ADD, *result, regs[2]);
    return TT_OK;
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_eltwise_run(params, ptrs);
    return TT_OK;
}

static tt_status lower_training(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_value *values = tt_lower_graph(lower)->values;
    const tt_shape *x = &values[node->inputs[0]].shape;
    tt_batch_norm kernel = {.dtype = x->dtype,
                            .scale = values[node->inputs[1]].shape.dtype,
                            .statistics = values[node->inputs[3]].shape.dtype,
                            .n_samples = x->rank > 0 ? x->dims[0] : 1,
                            .n_channels = x->rank > 1 ? x->dims[1] : 1,
                            .inner = 1};
    tt_work work = {.bytes = 4.0 * (double)tt_shape_bytes(x),
                    .flops = 6.0 * (double)tt_shape_numel(x)};
    tt_operand operands[TT_BATCH_NORM_N];
    float epsilon, momentum;
    TT_TRY(tt_attribute_float(node, "epsilon", 1e-5f, &epsilon, err));
    TT_TRY(tt_attribute_float(node, "momentum", 0.9f, &momentum, err));
    kernel.epsilon = (double)epsilon;
    kernel.momentum = (double)momentum;
    if (tt_shape_numel(x) == 0) kernel.n_samples = 0; /* whatever the other dims are */
    for (int i = 2; i < x->rank && kernel.n_samples > 0; ++i)
        kernel.inner *= x->dims[i];
    for (int i = 0; i < 5; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    for (int i = 0; i < 3; ++i) {
        operands[TT_BATCH_NORM_Y + i] = TT_NO_OPERAND;
        if (i < node->n_outputs && node->outputs[i] >= 0)
            TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR,
                                &operands[TT_BATCH_NORM_Y + i], err));
    }
    return tt_lower_kernel(lower, node, "batch_norm:training", tt_batch_norm_run,
                           &kernel, sizeof kernel, operands, 5, 3, &work, err);
}

static tt_status lower_batch_norm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    program p = {.channel_dim = shape.rank > 1 ? 1 : -1};
    int64_t store[1][TT_MAX_RANK] = {{0}};
    tt_work work = {0};
    tt_eltwise *eltwise;
    tt_operand dst;
    tt_status status;
    tt_dtype wanted;
    bool is_training;
    int x, result = -1;
    TT_TRY(read_training(node, &is_training, err));
    if (is_training) return lower_training(lower, node, err);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_DENSE, &p.operands[0], err));
    memcpy(store[0], tt_operand_strides(lower, p.operands[0]), sizeof store[0]);
    TT_TRY(tt_lower_dst_strided(lower, node, 0, store[0], &dst, err));
    if (tt_shape_numel(&shape) == 0) return TT_OK;
    memcpy(p.strides[0], store[0], sizeof store[0]);
    p.n_loads = 1;
    x = tt_eltwise_load(&p.builder, shape.dtype);
    wanted = x < 0 ? shape.dtype : p.builder.registers[x];
    TT_TRY(build(lower, node, &p, x, wanted, &result, err));
    if (result < 0 || !tt_eltwise_store(&p.builder, result, shape.dtype))
        return tt_fail_at(node, err, TT_UNSUPPORTED, "there is no kernel for %s",
                          tt_dtype_name(shape.dtype));
    TT_TRY(tt_eltwise_compile(&p.builder, &shape,
                              (const int64_t(*)[TT_MAX_RANK])p.strides,
                              (const int64_t(*)[TT_MAX_RANK])store, &eltwise, err));
    p.operands[p.n_loads] = dst;
    work.bytes = 2.0 * (double)tt_shape_bytes(&shape);
    work.flops = 2.0 * (double)tt_shape_numel(&shape);
    work.cost_ns = tt_eltwise_cost_ns(eltwise);
    status = tt_lower_kernel(lower, node, "batch_norm", run, eltwise,
                             tt_eltwise_bytes(eltwise), p.operands, p.n_loads, 1, &work,
                             err);
    tt_free(eltwise);
    return status;
}

const tt_op tt_op_batch_norm = {
    .name = "BatchNormalization",
    .domain = "",
    .since = 1,
    .summary = "scaling and shifting of channels by given statistics, or "
               "the batch's",
    .infer = infer,
    .lower = lower_batch_norm,
};
