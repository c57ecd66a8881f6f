/* LSTM: the usual one in float through its own kernel, anything else through the plain
 * one.
 *
 * With several rows the gates of x are one matmul for all steps (weights packed by
 * oneDNN), so that the recurrence only reads R. */
#include "kernels/lstm.h"

#include <string.h>

#include "base/alloc.h"
#include "ops/recurrent.h"

/* Below this many rows the matmul's overhead is more than it saves. */
enum { PROJECTION_ROWS = 4 };

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_recurrent_infer(site, TT_CELL_LSTM, out, err);
}

static bool is_usual(const tt_site *site, const tt_recurrent_kernel *k)
{
    if (k->dtype != TT_F32 || k->clip != 0.0f || k->input_forget) return false;
    if (tt_has_input(site, 4) || tt_has_input(site, 7)) return false;
    if (tt_has_input(site, 3) && tt_input_constant(site, 3) == NULL) return false;
    if (tt_input_constant(site, 1) == NULL || tt_input_constant(site, 2) == NULL)
        return false;
    for (int d = 0; d < k->n_directions; ++d)
        if (k->activations[3 * d].kind != TT_ACTIVATION_SIGMOID ||
            k->activations[3 * d + 1].kind != TT_ACTIVATION_TANH ||
            k->activations[3 * d + 2].kind != TT_ACTIVATION_TANH)
            return false;
    return k->steps * k->batch * k->hidden > 0;
}

/* [D, 4 hidden, columns] packed direction by direction. */
static tt_status pack(tt_lower *lower, const tt_node *node, int input, int64_t hidden,
                      int64_t columns, tt_operand *out, tt_error *err)
{
    tt_constant *weights = tt_lower_graph(lower)->values[node->inputs[input]].constant;
    int64_t n_directions = tt_constant_shape(weights)->dims[0];
    size_t each = tt_lstm_packed_floats(hidden, columns);
    tt_shape shape = {
        .dtype = TT_F32, .rank = 2, .dims = {n_directions, (int64_t)each}
    };
    tt_constant *made;
    const float *src;
    tt_status status;
    void *data;
    TT_TRY(tt_constant_pin(weights, err));
    status = tt_constant_empty(&shape, &made, &data, err);
    src = tt_constant_data(weights);
    for (int64_t d = 0; d < n_directions && status == TT_OK; ++d)
        tt_lstm_pack(src + d * 4 * hidden * columns, hidden, columns,
                     (float *)data + (size_t)d * each);
    tt_constant_unpin(weights);
    TT_TRY(status);
    return tt_lower_constant(lower, made, out, err);
}

/* Wb + Rb as [D, 4 hidden]. */
static tt_status join_bias(tt_lower *lower, const tt_node *node, int64_t n_directions,
                           int64_t hidden, tt_operand *out, tt_error *err)
{
    int value = node->n_inputs > 3 ? node->inputs[3] : TT_ABSENT;
    tt_constant *bias =
        value < 0 ? NULL : tt_lower_graph(lower)->values[value].constant;
    int64_t n = 4 * hidden;
    tt_shape shape = {
        .dtype = TT_F32, .rank = 2, .dims = {n_directions, n}
    };
    tt_constant *made;
    const float *src;
    tt_status status;
    void *data;
    *out = TT_NO_OPERAND;
    if (bias == NULL) return TT_OK;
    TT_TRY(tt_constant_pin(bias, err));
    status = tt_constant_empty(&shape, &made, &data, err);
    src = tt_constant_data(bias);
    for (int64_t d = 0; d < n_directions && status == TT_OK; ++d)
        for (int64_t i = 0; i < n; ++i)
            ((float *)data)[d * n + i] = src[2 * d * n + i] + src[2 * d * n + n + i];
    tt_constant_unpin(bias);
    TT_TRY(status);
    return tt_lower_constant(lower, made, out, err);
}

static tt_status create_matmul(tt_engine *engine, const void *params, tt_prim **out,
                               tt_error *err)
{
    return tt_matmul_new(engine, params, out, err);
}

static tt_md plain_md(int64_t rows, int64_t columns, int64_t row, int64_t column)
{
    tt_md md = {
        .dtype = TT_F32, .ndims = 2, .dims = {rows, columns},
                .strides = {row,  column }
    };
    return md;
}

/* gates[d] = x W[d]^T + bias[d] for all rows. */
static tt_status project(tt_lower *lower, const tt_node *node,
                         const tt_recurrent_kernel *k, tt_operand x, tt_operand w,
                         tt_operand bias, tt_operand gates, int64_t d, tt_error *err)
{
    int64_t rows = k->steps * k->batch, columns = 4 * k->hidden;
    tt_md plain = plain_md(k->inputs, columns, 1, k->inputs);
    tt_matmul_params params = {.src = plain_md(rows, k->inputs, k->inputs, 1),
                               .dst = plain_md(rows, columns, columns, 1),
                               .attr = tt_attr_default()};
    tt_shape w_shape = {
        .dtype = TT_F32, .rank = 2, .dims = {k->inputs, columns}
    };
    tt_shape row_shape = {
        .dtype = TT_F32, .rank = 2, .dims = {1, columns}
    };
    tt_shape gates_shape = {
        .dtype = TT_F32, .rank = 2, .dims = {rows, columns}
    };
    tt_work work = {.flops = 2.0 * (double)(rows * columns) * (double)k->inputs,
                    .bytes = 4.0 * (double)(rows * columns + rows * k->inputs +
                                            columns * k->inputs)};
    tt_arg args[4] = {TT_ARG_SRC, TT_ARG_WEIGHTS, TT_ARG_DST};
    tt_operand operands[4] = {x, TT_NO_OPERAND, TT_NO_OPERAND};
    tt_operand weights, part;
    tt_status status;
    tt_prim *prim;
    int n_src = 2;
    params.weights = plain;
    params.weights.any = true;
    if (bias != TT_NO_OPERAND) params.bias = plain_md(1, columns, columns, 1);
    TT_TRY(tt_lower_subview(lower, w, &w_shape, plain.strides, d * columns * k->inputs,
                            &weights, err));
    TT_TRY(tt_lower_create(lower, create_matmul, &params, &work, &prim, err));
    status = tt_lower_packed(lower, prim, TT_ARG_WEIGHTS, weights, &plain, &operands[1],
                             err);
    if (status == TT_OK && bias != TT_NO_OPERAND) {
        status = tt_lower_subview(lower, bias, &row_shape, params.bias.strides,
                                  d * columns, &operands[2], err);
        args[2] = TT_ARG_BIAS;
        n_src = 3;
    }
    if (status == TT_OK)
        status = tt_lower_subview(lower, gates, &gates_shape, params.dst.strides,
                                  d * rows * columns, &part, err);
    if (status != TT_OK) {
        tt_prim_free(prim);
        return status;
    }
    args[n_src] = TT_ARG_DST;
    operands[n_src] = part;
    return tt_lower_prim(lower, node, prim, args, operands, n_src, 1, &work, err);
}

static tt_status project_all(tt_lower *lower, const tt_node *node,
                             const tt_recurrent_kernel *k, tt_operand x,
                             tt_operand bias, tt_operand *gates, tt_error *err)
{
    tt_shape shape = {
        .dtype = TT_F32,
        .rank = 3,
        .dims = {k->n_directions, k->steps * k->batch, 4 * k->hidden}
    };
    tt_operand w;
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &w, err));
    TT_TRY(tt_lower_tensor(lower, &shape, NULL, gates, err));
    for (int64_t d = 0; d < k->n_directions; ++d)
        TT_TRY(project(lower, node, k, x, w, bias, *gates, d, err));
    return TT_OK;
}

static tt_status lower_usual(tt_lower *lower, const tt_node *node,
                             const tt_recurrent_kernel *k, tt_error *err)
{
    tt_lstm_kernel kernel = {.steps = k->steps,
                             .batch = k->batch,
                             .inputs = k->inputs,
                             .hidden = k->hidden,
                             .n_directions = k->n_directions,
                             .first_is_reverse = k->first_is_reverse,
                             .batch_first = k->batch_first};
    tt_operand operands[TT_LSTM_POINTERS], x, bias;
    tt_work work = {0};
    kernel.has_projection = k->steps * k->batch >= PROJECTION_ROWS && k->inputs > 0;
    for (int i = 0; i < TT_LSTM_POINTERS; ++i)
        operands[i] = TT_NO_OPERAND;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &x, err));
    TT_TRY(join_bias(lower, node, k->n_directions, k->hidden, &bias, err));
    if (kernel.has_projection) {
        TT_TRY(project_all(lower, node, k, x, bias, &operands[TT_LSTM_X], err));
    } else {
        operands[TT_LSTM_X] = x;
        operands[TT_LSTM_BIAS] = bias;
        TT_TRY(pack(lower, node, 1, k->hidden, k->inputs, &operands[TT_LSTM_W], err));
    }
    TT_TRY(pack(lower, node, 2, k->hidden, k->hidden, &operands[TT_LSTM_R], err));
    for (int i = 0; i < 2; ++i)
        TT_TRY(tt_lower_src(lower, node, 5 + i, TT_ORDER_ROW_MAJOR,
                            &operands[TT_LSTM_H0 + i], err));
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR,
                            &operands[TT_LSTM_Y + i], err));
    TT_TRY(tt_lower_temporary(lower, tt_lstm_scratch_bytes(&kernel),
                              &operands[TT_LSTM_SCRATCH], err));
    work.flops = 8.0 * (double)(k->n_directions * k->steps * k->batch) *
                 (double)k->hidden *
                 (double)(k->hidden + (kernel.has_projection ? 0 : k->inputs));
    work.bytes = 16.0 * (double)(k->n_directions * k->hidden * k->hidden);
    work.cost_ns = work.flops / 40.0 + 50.0;
    if (k->n_directions * k->batch < 2) /* one sequence cannot be split */
        work.cost_ns = work.cost_ns > 20e3 ? 20e3 : work.cost_ns;
    return tt_lower_kernel(lower, node, tt_lstm_name(), tt_lstm_run, &kernel,
                           sizeof kernel, operands, TT_LSTM_Y,
                           TT_LSTM_POINTERS - TT_LSTM_Y, &work, err);
}

static tt_status lower_lstm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_recurrent_kernel k;
    TT_TRY(tt_recurrent_read(&site, TT_CELL_LSTM, &k, err));
    if (is_usual(&site, &k)) return lower_usual(lower, node, &k, err);
    return tt_recurrent_lower(lower, node, TT_CELL_LSTM, err);
}

const tt_op tt_op_lstm = {.name = "LSTM",
                          .domain = "",
                          .since = 7,
                          .summary = "long short-term memory layer",
                          .infer = infer,
                          .lower = lower_lstm};
