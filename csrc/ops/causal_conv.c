/* CausalConvWithState (27): a causal depthwise convolution, step by step or all at
 * once, with SiLU behind it. */
#include "kernels/causal_conv.h"

#include <string.h>

#include "ops/fail.h"
#include "ops/move.h"

enum { X, WEIGHTS, BIAS, PAST };
enum { Y, PRESENT };

static tt_status read_activation(const tt_node *node, bool *is_silu, tt_error *err)
{
    const char *name;
    TT_TRY(tt_attribute_string(node, "activation", "none", &name, err));
    *is_silu = strcmp(name, "silu") == 0 || strcmp(name, "swish") == 0;
    if (*is_silu || strcmp(name, "none") == 0) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "activation is '%.40s', expected silu, swish or none", name);
}

/* Input i, when it is there, must be of these dims. */
static tt_status check_input(const tt_site *site, int i, int rank, const int64_t *dims,
                             tt_error *err)
{
    tt_shape wanted = {.dtype = tt_input_shape(site, X)->dtype, .rank = rank};
    char a[128], b[128];
    if (!tt_has_input(site, i)) return TT_OK;
    memcpy(wanted.dims, dims, (size_t)rank * sizeof *dims);
    if (tt_shape_equal(tt_input_shape(site, i), &wanted)) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d is %s %s, expected %s %s", i,
                      tt_dtype_name(tt_input_shape(site, i)->dtype),
                      tt_shape_text(tt_input_shape(site, i), a, sizeof a),
                      tt_dtype_name(wanted.dtype), tt_shape_text(&wanted, b, sizeof b));
}

static tt_status read_conv(const tt_site *site, tt_causal_conv *p, tt_error *err)
{
    const tt_shape *x, *w;
    *p = (tt_causal_conv){0};
    TT_TRY(tt_need_inputs(site, 2, err));
    x = tt_input_shape(site, X);
    w = tt_input_shape(site, WEIGHTS);
    if (!tt_dtype_is_float(x->dtype) || x->rank != 3 || w->rank != 3 || w->dims[2] < 1)
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "input of %s and rank %d with weights of rank %d: expected "
                          "floats [batch, channels, length] and [channels, 1, taps]",
                          tt_dtype_name(x->dtype), x->rank, w->rank);
    p->dtype = x->dtype;
    p->batch = x->dims[0];
    p->channels = x->dims[1];
    p->length = x->dims[2];
    p->taps = w->dims[2];
    TT_TRY(check_input(site, WEIGHTS, 3, (int64_t[]){p->channels, 1, p->taps}, err));
    TT_TRY(check_input(site, BIAS, 1, (int64_t[]){p->channels}, err));
    TT_TRY(check_input(site, PAST, 3, (int64_t[]){p->batch, p->channels, p->taps - 1},
                       err));
    return read_activation(site->node, &p->is_silu, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_causal_conv p;
    TT_TRY(read_conv(site, &p, err));
    out[Y] = *tt_input_shape(site, X);
    if (site->node->n_outputs <= PRESENT) return TT_OK;
    out[PRESENT] = out[Y];
    out[PRESENT].dims[2] = p.taps - 1;
    return tt_check_shape(site, &out[PRESENT], err);
}

static tt_status lower_conv(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand o[TT_CAUSAL_N];
    tt_causal_conv p;
    tt_work work = {0};
    size_t bytes;
    TT_TRY(read_conv(&site, &p, err));
    work.bytes = 2.0 * (double)tt_shape_bytes(tt_input_shape(&site, X));
    work.flops =
        (double)tt_shape_numel(tt_input_shape(&site, X)) * 2.0 * (double)p.taps;
    for (int i = 0; i < TT_CAUSAL_N_SRC; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &o[i], err));
    for (int i = Y; i <= PRESENT; ++i)
        TT_TRY(tt_lower_dst(lower, node, i, TT_ORDER_ROW_MAJOR, &o[TT_CAUSAL_DST + i],
                            err));
    if (!tt_causal_conv_split(
            &p, tt_lower_is_parallel(lower, &work) ? tt_lower_threads(lower) : 1,
            &bytes))
        return tt_fail_at(node, err, TT_LIMIT, "its working memory is too large");
    TT_TRY(tt_lower_temporary(lower, bytes, &o[TT_CAUSAL_SCRATCH], err));
    return tt_lower_kernel(lower, node, tt_causal_conv_name(), tt_causal_conv_run, &p,
                           sizeof p, o, TT_CAUSAL_N_SRC, TT_CAUSAL_N - TT_CAUSAL_N_SRC,
                           &work, err);
}

const tt_op tt_op_causal_conv = {.name = "CausalConvWithState",
                                 .domain = "",
                                 .since = 27,
                                 .summary = "causal depthwise convolution with a state",
                                 .infer = infer,
                                 .lower = lower_conv};
