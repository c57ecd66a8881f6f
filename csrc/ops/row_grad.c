/* Gradients of rows, of domain trimtab.
 *
 * SoftmaxGrad and LogSoftmaxGrad read the result and its gradient; GeluGrad the input
 * and the gradient; LayerNormGrad and RMSNormGrad the input, the scale (one row) and the
 * gradient, and give the gradients of input, scale and shift. */
#include "kernels/row_grad.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/norm_common.h"
#include "plan/lower.h"

static bool is_named(const tt_node *node, const char *name)
{
    return strcmp(node->op->name, name) == 0;
}

/* Inputs i and k: floats of one type and shape. */
static tt_status check_same(const tt_site *site, int i, int k, tt_error *err)
{
    const tt_shape *a = tt_input_shape(site, i), *b = tt_input_shape(site, k);
    char ta[160], tb[160];
    if (tt_dtype_is_float(a->dtype) && a->dtype == b->dtype && tt_shape_equal(a, b))
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "inputs of %s %s and %s %s, expected floats of one shape",
                      tt_dtype_name(a->dtype), tt_shape_text(a, ta, sizeof ta),
                      tt_dtype_name(b->dtype), tt_shape_text(b, tb, sizeof tb));
}

static tt_status infer_same(tt_site *site, tt_shape *out, tt_error *err)
{
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(check_same(site, 0, 1, err));
    out[0] = *tt_input_shape(site, 0);
    return TT_OK;
}

static tt_work work_of(const tt_shape *shape, double ns)
{
    double n = (double)tt_shape_numel(shape);
    return (tt_work){.flops = 8.0 * n,
                     .bytes = 3.0 * (double)tt_shape_bytes(shape),
                     .cost_ns = ns * n};
}

/* Two inputs and an output, row by row. */
static tt_status lower_pair(tt_lower *lower, const tt_node *node, tt_kernel run,
                            const tt_row_grad *k, tt_error *err)
{
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    tt_operand operands[3];
    tt_work work = work_of(&shape, 0.4);
    for (int i = 0; i < 2; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    if (tt_may_overwrite(lower, node, 1))
        TT_TRY(tt_lower_dst_inplace(lower, node, 0, operands[1], &operands[2], err));
    else
        TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[2], err));
    return tt_lower_kernel(lower, node, tt_row_grad_name(), run, k, sizeof *k, operands,
                           2, 1, &work, err);
}

/* ---- Softmax -------------------------------------------------------------------- */

static tt_status lower_softmax(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    tt_row_grad k = {.dtype = shape.dtype, .is_log = is_named(node, "LogSoftmaxGrad")};
    k.n_columns = shape.rank > 0 ? shape.dims[shape.rank - 1] : 1;
    k.n_rows = k.n_columns > 0 ? tt_shape_numel(&shape) / k.n_columns : 0;
    return lower_pair(lower, node, tt_softmax_grad_run, &k, err);
}

/* ---- GELU ------------------------------------------------------------------------- */

static tt_status read_form(const tt_node *node, bool *is_tanh, tt_error *err)
{
    const char *text;
    TT_TRY(tt_attribute_string(node, "approximate", "none", &text, err));
    *is_tanh = strcmp(text, "tanh") == 0;
    if (*is_tanh || strcmp(text, "none") == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "attribute 'approximate' must be 'none' or 'tanh', not '%.40s'",
                      text);
}

static tt_status infer_gelu(tt_site *site, tt_shape *out, tt_error *err)
{
    bool is_tanh;
    TT_TRY(read_form(site->node, &is_tanh, err));
    return infer_same(site, out, err);
}

static tt_status lower_gelu(tt_lower *lower, const tt_node *node, tt_error *err)
{
    enum { PART = 256 };
    const tt_shape shape = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    int64_t n = tt_shape_numel(&shape);
    tt_row_grad k = {.dtype = shape.dtype};
    TT_TRY(read_form(node, &k.is_tanh, err));
    k.n_columns = n % PART == 0 ? PART : 1; /* what a part may not divide */
    k.n_rows = n / k.n_columns;
    return lower_pair(lower, node, tt_gelu_grad_run, &k, err);
}

/* ---- normalisation ------------------------------------------------------------------ */

static tt_status read_rows(const tt_node *node, const tt_shape *x, tt_row_grad *k,
                           tt_error *err)
{
    int64_t axis;
    int first;
    TT_TRY(tt_attribute_int(node, "axis", -1, &axis, err));
    TT_TRY(tt_axis(node, axis, x->rank, &first, err));
    k->n_rows = k->n_columns = 1;
    for (int i = 0; i < x->rank; ++i)
        *(i < first ? &k->n_rows : &k->n_columns) *= x->dims[i];
    return TT_OK;
}

static tt_status infer_norm(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *x, *scale;
    tt_row_grad k = {0};
    char a[160], b[160];
    TT_TRY(tt_need_inputs(site, 3, err));
    TT_TRY(check_same(site, 0, 2, err));
    x = tt_input_shape(site, 0);
    scale = tt_input_shape(site, 1);
    TT_TRY(read_rows(site->node, x, &k, err));
    if (scale->dtype != x->dtype || tt_shape_numel(scale) != k.n_columns)
        return tt_fail_at(
            site->node, err, TT_BAD_MODEL, "a scale of %s %s for rows of %s %s",
            tt_dtype_name(scale->dtype), tt_shape_text(scale, a, sizeof a),
            tt_dtype_name(x->dtype), tt_shape_text(x, b, sizeof b));
    if (site->node->n_outputs > 3)
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "has %d outputs, at most 3",
                          site->node->n_outputs);
    out[0] = *x;
    for (int i = 1; i < site->node->n_outputs; ++i)
        out[i] = *scale;
    return TT_OK;
}

static tt_status lower_norm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_shape x = tt_lower_graph(lower)->values[node->inputs[0]].shape;
    tt_row_grad k = {.dtype = x.dtype, .is_rms = is_named(node, "RMSNormGrad")};
    tt_operand operands[TT_NORM_GRAD_N];
    tt_work work = work_of(&x, 0.6);
    float epsilon;
    TT_TRY(read_rows(node, &x, &k, err));
    TT_TRY(tt_attribute_float(node, "epsilon", 1e-5f, &epsilon, err));
    k.epsilon = (double)epsilon;
    for (int i = 0; i < TT_NORM_GRAD_N_SRC; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR,
                            &operands[TT_NORM_GRAD_DX + i], err));
    TT_TRY(tt_lower_temporary(lower, ((size_t)k.n_rows + 1) * sizeof(tt_norm_stats),
                              &operands[TT_NORM_GRAD_STATS], err));
    return tt_lower_kernel(lower, node, tt_row_grad_name(), tt_norm_grad_run, &k,
                           sizeof k, operands, TT_NORM_GRAD_N_SRC,
                           TT_NORM_GRAD_N - TT_NORM_GRAD_N_SRC, &work, err);
}

#define ROW_GRAD(record_, name_, infer_, lower_, summary_) \
    const tt_op tt_op_##record_ = {.name = name_,          \
                                   .domain = "trimtab",    \
                                   .since = 1,             \
                                   .summary = summary_,    \
                                   .infer = infer_,        \
                                   .lower = lower_}

ROW_GRAD(softmax_grad, "SoftmaxGrad", infer_same, lower_softmax,
         "gradient of softmax over the last dim, from its result");
ROW_GRAD(log_softmax_grad, "LogSoftmaxGrad", infer_same, lower_softmax,
         "gradient of log-softmax over the last dim, from its result");
ROW_GRAD(gelu_grad, "GeluGrad", infer_gelu, lower_gelu, "gradient of GELU");
ROW_GRAD(layer_norm_grad, "LayerNormGrad", infer_norm, lower_norm,
         "gradients of layer normalisation");
ROW_GRAD(rms_norm_grad, "RMSNormGrad", infer_norm, lower_norm,
         "gradients of RMS normalisation");
