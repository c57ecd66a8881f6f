/* RNN and GRU, and what LSTM shares with them: attributes, shapes, the plain kernel. */
#include "ops/recurrent.h"

#include <string.h>
#include <strings.h>

#include "ops/fail.h"

static int64_t n_gates(tt_cell cell)
{
    return cell == TT_CELL_LSTM ? 4 : cell == TT_CELL_GRU ? 3 : 1;
}

/* ---- activations -------------------------------------------------------------------- */

/* Defaults of alpha and beta, as the ONNX operators list them. */
static void default_constants(tt_activation *f)
{
    switch (f->kind) {
    case TT_ACTIVATION_AFFINE:
    case TT_ACTIVATION_THRESHOLDED_RELU:
    case TT_ACTIVATION_ELU:
        f->alpha = 1.0f;
        break;
    case TT_ACTIVATION_LEAKY_RELU:
        f->alpha = 0.01f;
        break;
    case TT_ACTIVATION_SCALED_TANH:
        f->alpha = f->beta = 1.0f;
        break;
    case TT_ACTIVATION_HARD_SIGMOID:
        f->alpha = 0.2f;
        f->beta = 0.5f;
        break;
    default:
        break;
    }
}

static bool takes_alpha(tt_activation_kind kind)
{
    return kind == TT_ACTIVATION_AFFINE || kind == TT_ACTIVATION_LEAKY_RELU ||
           kind == TT_ACTIVATION_THRESHOLDED_RELU ||
           kind == TT_ACTIVATION_SCALED_TANH || kind == TT_ACTIVATION_HARD_SIGMOID ||
           kind == TT_ACTIVATION_ELU;
}

static bool takes_beta(tt_activation_kind kind)
{
    return kind == TT_ACTIVATION_AFFINE || kind == TT_ACTIVATION_SCALED_TANH ||
           kind == TT_ACTIVATION_HARD_SIGMOID;
}

static tt_status find_activation(const tt_node *node, const char *name,
                                 tt_activation *out, tt_error *err)
{
    for (int kind = 0; kind < TT_ACTIVATION_COUNT; ++kind) {
        if (strcasecmp(tt_activation_name(kind), name) != 0) continue;
        *out = (tt_activation){.kind = (tt_activation_kind)kind};
        default_constants(out);
        return TT_OK;
    }
    return tt_fail_at(node, err, TT_BAD_MODEL, "unknown activation '%s'", name);
}

static tt_status read_activations(const tt_node *node, tt_recurrent_kernel *k,
                                  tt_error *err)
{
    static const tt_activation_kind defaults[3][3] = {
        [TT_CELL_RNN] = {TT_ACTIVATION_TANH},
        [TT_CELL_GRU] = {TT_ACTIVATION_SIGMOID, TT_ACTIVATION_TANH},
        [TT_CELL_LSTM] = {TT_ACTIVATION_SIGMOID, TT_ACTIVATION_TANH,
                         TT_ACTIVATION_TANH}
    };
    const tt_attribute *names = tt_attribute_find(node, "activations");
    int per_direction = k->cell == TT_CELL_LSTM ? 3 : k->cell == TT_CELL_GRU ? 2 : 1;
    int n = per_direction * k->n_directions, alpha_at = 0, beta_at = 0;
    int n_alpha, n_beta;
    const float *alpha, *beta;
    TT_TRY(tt_attribute_floats(node, "activation_alpha", &alpha, &n_alpha, err));
    TT_TRY(tt_attribute_floats(node, "activation_beta", &beta, &n_beta, err));
    if (names != NULL && (names->kind != TT_ATTRIBUTE_STRINGS || names->n != n))
        return tt_fail_at(node, err, TT_BAD_MODEL, "%lld activations, expected %d",
                          (long long)names->n, n);
    for (int i = 0; i < n; ++i) {
        tt_activation *f = &k->activations[3 * (i / per_direction) + i % per_direction];
        *f = (tt_activation){.kind = defaults[k->cell][i % per_direction]};
        if (names != NULL) TT_TRY(find_activation(node, names->as.strings[i], f, err));
        if (takes_alpha(f->kind) && alpha_at < n_alpha) f->alpha = alpha[alpha_at++];
        if (takes_beta(f->kind) && beta_at < n_beta) f->beta = beta[beta_at++];
    }
    return TT_OK;
}

/* ---- attributes and shapes ----------------------------------------------------------- */

static tt_status read_attributes(const tt_node *node, tt_recurrent_kernel *k,
                                 tt_error *err)
{
    const char *direction;
    int64_t layout, reset, forget;
    TT_TRY(tt_attribute_string(node, "direction", "forward", &direction, err));
    TT_TRY(tt_attribute_int(node, "layout", 0, &layout, err));
    TT_TRY(tt_attribute_int(node, "linear_before_reset", 0, &reset, err));
    TT_TRY(tt_attribute_int(node, "input_forget", 0, &forget, err));
    TT_TRY(tt_attribute_float(node, "clip", 0.0f, &k->clip, err));
    k->batch_first = layout != 0;
    k->linear_before_reset = reset != 0;
    k->input_forget = forget != 0;
    k->n_directions = 1;
    if (strcmp(direction, "bidirectional") == 0)
        k->n_directions = 2;
    else if (strcmp(direction, "reverse") == 0)
        k->first_is_reverse = true;
    else if (strcmp(direction, "forward") != 0)
        return tt_fail_at(node, err, TT_BAD_MODEL, "unknown direction '%s'", direction);
    return TT_OK;
}

tt_status tt_recurrent_read(const tt_site *site, tt_cell cell, tt_recurrent_kernel *k,
                            tt_error *err)
{
    const tt_node *node = site->node;
    int64_t gates = n_gates(cell), d, n;
    const tt_shape *x, *r;
    *k = (tt_recurrent_kernel){.cell = cell};
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(read_attributes(node, k, err));
    TT_TRY(read_activations(node, k, err));
    x = tt_input_shape(site, 0);
    r = tt_input_shape(site, 2);
    if (x->rank != 3 || r->rank != 3 || !tt_dtype_is_float(x->dtype))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "X of rank %d and R of rank %d, expected floats of rank 3",
                          x->rank, r->rank);
    k->dtype = x->dtype;
    k->steps = x->dims[k->batch_first ? 1 : 0];
    k->batch = x->dims[k->batch_first ? 0 : 1];
    k->inputs = x->dims[2];
    k->hidden = n = r->dims[2];
    d = k->n_directions;
    int64_t w_dims[] = {d, gates * n, k->inputs}, r_dims[] = {d, gates * n, n};
    int64_t b_dims[] = {d, 2 * gates * n}, lengths_dims[] = {k->batch};
    int64_t state_dims[] = {d, k->batch, n}, p_dims[] = {d, 3 * n};
    if (k->batch_first) {
        state_dims[0] = k->batch;
        state_dims[1] = d;
    }
    TT_TRY(tt_check_input(site, 1, k->dtype, 3, w_dims, err));
    TT_TRY(tt_check_input(site, 2, k->dtype, 3, r_dims, err));
    TT_TRY(tt_check_input(site, 3, k->dtype, 2, b_dims, err));
    TT_TRY(tt_check_input(site, 4, TT_S32, 1, lengths_dims, err));
    TT_TRY(tt_check_input(site, 5, k->dtype, 3, state_dims, err));
    if (cell != TT_CELL_LSTM) return TT_OK;
    TT_TRY(tt_check_input(site, 6, k->dtype, 3, state_dims, err));
    return tt_check_input(site, 7, k->dtype, 2, p_dims, err);
}

tt_status tt_recurrent_infer(tt_site *site, tt_cell cell, tt_shape *out, tt_error *err)
{
    tt_recurrent_kernel k;
    int64_t d;
    TT_TRY(tt_recurrent_read(site, cell, &k, err));
    d = k.n_directions;
    int64_t y[2][4] = {
        {k.steps, d,       k.batch, k.hidden},
        {k.batch, k.steps, d,       k.hidden}
    };
    int64_t h[2][3] = {
        {d,       k.batch, k.hidden},
        {k.batch, d,       k.hidden}
    };
    for (int i = 0; i < site->node->n_outputs; ++i) {
        const int64_t *dims = i == 0 ? y[k.batch_first] : h[k.batch_first];
        out[i] = (tt_shape){.dtype = k.dtype, .rank = i == 0 ? 4 : 3};
        memcpy(out[i].dims, dims, (size_t)out[i].rank * sizeof *dims);
        TT_TRY(tt_check_shape(site, &out[i], err));
    }
    return TT_OK;
}

/* ---- the plain kernel ------------------------------------------------------------------ */

tt_status tt_recurrent_lower(tt_lower *lower, const tt_node *node, tt_cell cell,
                             tt_error *err)
{
    static const int pointer_of_input[] = {
        TT_RECURRENT_X,       TT_RECURRENT_W,  TT_RECURRENT_R,  TT_RECURRENT_B,
        TT_RECURRENT_LENGTHS, TT_RECURRENT_H0, TT_RECURRENT_C0, TT_RECURRENT_P};
    tt_site site = tt_lower_site(lower, node);
    tt_operand operands[TT_RECURRENT_POINTERS];
    tt_recurrent_kernel k;
    tt_work work = {0};
    TT_TRY(tt_recurrent_read(&site, cell, &k, err));
    for (int i = 0; i < TT_RECURRENT_POINTERS; ++i)
        operands[i] = TT_NO_OPERAND;
    for (int i = 0; i < (cell == TT_CELL_LSTM ? 8 : 6); ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR,
                            &operands[pointer_of_input[i]], err));
    for (int i = 0; i < (cell == TT_CELL_LSTM ? 3 : 2); ++i)
        TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR,
                            &operands[TT_RECURRENT_Y + i], err));
    TT_TRY(tt_lower_temporary(lower, tt_recurrent_scratch_bytes(&k),
                              &operands[TT_RECURRENT_SCRATCH], err));
    work.flops = 2.0 * (double)(k.n_directions * k.steps * k.batch) *
                 (double)(n_gates(cell) * k.hidden) * (double)(k.hidden + k.inputs);
    work.bytes = work.flops * 2.0;
    return tt_lower_kernel(lower, node, "recurrent:ref", tt_recurrent_run_ref, &k,
                           sizeof k, operands, TT_RECURRENT_Y,
                           TT_RECURRENT_POINTERS - TT_RECURRENT_Y, &work, err);
}

static tt_status infer_rnn(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_recurrent_infer(site, TT_CELL_RNN, out, err);
}

static tt_status lower_rnn(tt_lower *lower, const tt_node *node, tt_error *err)
{
    return tt_recurrent_lower(lower, node, TT_CELL_RNN, err);
}

static tt_status infer_gru(tt_site *site, tt_shape *out, tt_error *err)
{
    return tt_recurrent_infer(site, TT_CELL_GRU, out, err);
}

static tt_status lower_gru(tt_lower *lower, const tt_node *node, tt_error *err)
{
    return tt_recurrent_lower(lower, node, TT_CELL_GRU, err);
}

const tt_op tt_op_rnn = {.name = "RNN",
                         .domain = "",
                         .since = 7,
                         .summary = "simple recurrent layer",
                         .infer = infer_rnn,
                         .lower = lower_rnn};

const tt_op tt_op_gru = {.name = "GRU",
                         .domain = "",
                         .since = 7,
                         .summary = "gated recurrent unit layer",
                         .infer = infer_gru,
                         .lower = lower_gru};
