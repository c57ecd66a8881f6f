/* Einsum (opsets 12, 28): sums of products of any number of tensors.
 *
 * A tensor is seen as strides by label, so that transposing, diagonals and broadcasting
 * cost nothing.  Two tensors at a time are contracted, those first whose result is the
 * smallest: labels that only one of them has and nobody needs are summed away, then the
 * pair is a batch of matrix products (einsum_matmul.c) or goes to kernels/einsum.h.
 * Labels of size 1 are left out throughout. */
#include <string.h>

#include "kernels/einsum.h"
#include "kernels/reduce.h"
#include "ops/einsum_lower.h"
#include "ops/elementwise.h"
#include "ops/move.h"

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_einsum e;
    TT_TRY(tt_need_inputs(site, 1, err));
    for (int i = 0; i < site->node->n_inputs; ++i) {
        TT_TRY(tt_need_inputs(site, i + 1, err));
        TT_TRY(tt_check_dtype(site, i, TT_TAKES_NUMBER, err));
        if (tt_input_shape(site, i)->dtype != tt_input_shape(site, 0)->dtype)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d is %s, input 0 is %s: they must agree", i,
                              tt_dtype_name(tt_input_shape(site, i)->dtype),
                              tt_dtype_name(tt_input_shape(site, 0)->dtype));
    }
    TT_TRY(tt_einsum_read(site, &e, err));
    *out = (tt_shape){.dtype = tt_input_shape(site, 0)->dtype, .rank = e.out.rank};
    for (int i = 0; i < e.out.rank; ++i)
        out->dims[i] = e.dims[e.out.labels[i]];
    return tt_check_shape(site, out, err);
}

/* ---- sets and lists of labels ------------------------------------------------ */

double tt_einsum_size(const tt_einsum *e, tt_labels set)
{
    double n = 1.0;
    for (int label = 0; label < TT_EINSUM_LABELS; ++label)
        if (tt_labels_has(set, label)) n *= (double)e->dims[label];
    return n;
}

tt_status tt_einsum_list(const tt_einsum_state *s, tt_labels set, const int64_t *by,
                         tt_label_list *out, tt_error *err)
{
    out->n = 0;
    for (int label = 0; label < TT_EINSUM_LABELS; ++label) {
        int at = out->n;
        if (!tt_labels_has(set, label)) continue;
        if (out->n == TT_MAX_RANK)
            return tt_fail_at(s->node, err, TT_LIMIT,
                              "an intermediate result has more than %d dims",
                              TT_MAX_RANK);
        for (; at > 0 && by[out->labels[at - 1]] < by[label]; --at)
            out->labels[at] = out->labels[at - 1];
        out->labels[at] = label;
        ++out->n;
    }
    return TT_OK;
}

static tt_labels out_labels(const tt_einsum_state *s)
{
    tt_labels set = 0;
    for (int i = 0; i < s->e.out.rank; ++i)
        if (s->e.dims[s->e.out.labels[i]] != 1)
            set |= UINT64_C(1) << s->e.out.labels[i];
    return set;
}

/* ---- results ------------------------------------------------------------------ */

tt_status tt_einsum_dense(const tt_einsum_state *s, const tt_label_list *list,
                          bool is_final, tt_einsum_view *out, tt_error *err)
{
    tt_shape shape = {.dtype = s->dtype, .rank = list->n};
    tt_site site = tt_lower_site(s->lower, s->node);
    int64_t step = 1, strides[TT_MAX_RANK];
    *out = (tt_einsum_view){.operand = TT_NO_OPERAND};
    for (int i = list->n - 1; i >= 0; --i) {
        int label = list->labels[i];
        shape.dims[i] = s->e.dims[label];
        out->labels |= UINT64_C(1) << label;
        out->strides[label] = step;
        if (!tt_mul_i64(step, shape.dims[i] > 0 ? shape.dims[i] : 1, &step))
            return tt_fail_at(s->node, err, TT_LIMIT, "%s", "an intermediate result");
    }
    if (!is_final) {
        TT_TRY(tt_check_shape(&site, &shape, err));
        return tt_lower_tensor(s->lower, &shape, NULL, &out->operand, err);
    }
    for (int i = 0; i < s->e.out.rank; ++i) {
        int label = s->e.out.labels[i];
        strides[i] = tt_labels_has(out->labels, label) ? out->strides[label] : 1;
    }
    return tt_lower_dst_strided(s->lower, s->node, 0, strides, &out->operand, err);
}

void tt_einsum_row_major(const tt_einsum_state *s, int64_t *strides)
{
    int64_t step = 1;
    memset(strides, 0, TT_EINSUM_LABELS * sizeof *strides);
    for (int i = s->e.out.rank - 1; i >= 0; --i) {
        strides[s->e.out.labels[i]] = step;
        step *= s->e.dims[s->e.out.labels[i]];
    }
}

tt_status tt_einsum_result(const tt_einsum_state *s, tt_einsum_view *out, tt_error *err)
{
    *out = (tt_einsum_view){.labels = out_labels(s)};
    tt_einsum_row_major(s, out->strides);
    return tt_lower_dst(s->lower, s->node, 0, TT_ORDER_ROW_MAJOR, &out->operand, err);
}

/* ---- own kernels ----------------------------------------------------------------- */

static void fill_kernel(const tt_einsum_state *s, const tt_einsum_view *x,
                        const tt_einsum_view *y, const tt_einsum_view *dst,
                        const tt_label_list *out, const tt_label_list *sum,
                        tt_einsum_kernel *k)
{
    for (int i = 0; i < out->n; ++i) {
        int label = out->labels[i];
        k->out[i] = s->e.dims[label];
        k->out_x[i] = x->strides[label];
        k->out_y[i] = y == NULL ? 0 : y->strides[label];
        k->out_dst[i] = dst->strides[label];
    }
    for (int i = 0; i < sum->n; ++i) {
        int label = sum->labels[i];
        k->sum[i] = s->e.dims[label];
        k->sum_x[i] = x->strides[label];
        k->sum_y[i] = y == NULL ? 0 : y->strides[label];
    }
}

/* dst = sums over `summed` of x (* y). */
static tt_status loop(const tt_einsum_state *s, const tt_einsum_view *x,
                      const tt_einsum_view *y, tt_labels summed,
                      const tt_einsum_view *dst, tt_error *err)
{
    tt_einsum_kernel k = {.dtype = s->dtype, .has_y = y != NULL};
    double n = tt_einsum_size(&s->e, dst->labels | summed);
    double item = (double)tt_dtype_bytes(s->dtype);
    tt_work work = {.flops = n * (y == NULL ? 1.0 : 2.0), .cost_ns = 30.0 + n};
    tt_operand operands[3] = {x->operand, y == NULL ? TT_NO_OPERAND : y->operand,
                              dst->operand};
    tt_label_list out, sum;
    TT_TRY(tt_einsum_list(s, dst->labels, dst->strides, &out, err));
    TT_TRY(tt_einsum_list(s, summed, x->strides, &sum, err));
    k.n_out = out.n;
    k.n_sum = sum.n;
    fill_kernel(s, x, y, dst, &out, &sum, &k);
    if (tt_einsum_size(&s->e, dst->labels) == 0.0) return TT_OK;
    work.bytes = item * (tt_einsum_size(&s->e, x->labels) +
                         (y == NULL ? 0.0 : tt_einsum_size(&s->e, y->labels)) +
                         tt_einsum_size(&s->e, dst->labels));
    return tt_lower_kernel(s->lower, s->node, "einsum", tt_einsum_run, &k, sizeof k,
                           operands, 2, 1, &work, err);
}

/* f32 sums by the kernel of ReduceSum; dst is dense in the order of the list. */
static tt_status reduce_f32(const tt_einsum_state *s, const tt_einsum_view *x,
                            const tt_label_list *kept, tt_labels summed,
                            const tt_einsum_view *dst, tt_error *err)
{
    tt_reduce_kernel k = {.kind = TT_REDUCE_SUM, .dtype = TT_F32};
    tt_shape shape = {.dtype = TT_F32, .rank = kept->n};
    tt_operand operands[2] = {x->operand, dst->operand};
    double n = tt_einsum_size(&s->e, x->labels);
    tt_work work = {.flops = n, .bytes = 4.0 * n, .cost_ns = 20.0 + 0.1 * n};
    int64_t strides[2 * TT_MAX_RANK];
    bool is_reduced[2 * TT_MAX_RANK] = {false};
    tt_label_list sum;
    TT_TRY(tt_einsum_list(s, summed, x->strides, &sum, err));
    for (int i = 0; i < kept->n; ++i) {
        shape.dims[i] = s->e.dims[kept->labels[i]];
        strides[i] = x->strides[kept->labels[i]];
    }
    for (int i = 0; i < sum.n; ++i, ++shape.rank) {
        shape.dims[shape.rank] = s->e.dims[sum.labels[i]];
        strides[shape.rank] = x->strides[sum.labels[i]];
        is_reduced[shape.rank] = true;
    }
    tt_reduce_plan(&k, &shape, strides, is_reduced);
    return tt_lower_kernel(s->lower, s->node, tt_reduce_name(), tt_reduce_run, &k,
                           sizeof k, operands, 1, 1, &work, err);
}

/* Sums x over the labels that are not in `keep`. */
static tt_status reduce(const tt_einsum_state *s, tt_labels keep, bool is_final,
                        tt_einsum_view *x, tt_error *err)
{
    tt_labels summed = x->labels & ~keep;
    tt_einsum_view dst;
    tt_label_list kept;
    TT_TRY(tt_einsum_list(s, x->labels & keep, x->strides, &kept, err));
    TT_TRY(tt_einsum_dense(s, &kept, is_final, &dst, err));
    if (s->dtype == TT_F32 && tt_einsum_size(&s->e, x->labels) > 0.0)
        TT_TRY(reduce_f32(s, x, &kept, summed, &dst, err));
    else
        TT_TRY(loop(s, x, NULL, summed, &dst, err));
    *x = dst;
    return TT_OK;
}

/* ---- pairs ------------------------------------------------------------------------- */

static tt_status contract(const tt_einsum_state *s, tt_einsum_view *x,
                          tt_einsum_view *y, tt_labels keep, bool is_final,
                          tt_einsum_view *out, tt_error *err)
{
    tt_labels result = (x->labels | y->labels) & keep;
    tt_label_list list;
    bool is_done;
    if ((x->labels & ~(y->labels | keep)) != 0)
        TT_TRY(reduce(s, y->labels | keep, false, x, err));
    if ((y->labels & ~(x->labels | keep)) != 0)
        TT_TRY(reduce(s, x->labels | keep, false, y, err));
    TT_TRY(tt_einsum_matmul(s, x, y, keep, is_final, out, &is_done, err));
    if (is_done) return TT_OK;
    if (is_final) {
        TT_TRY(tt_einsum_result(s, out, err));
    } else {
        TT_TRY(tt_einsum_list(s, result, x->strides, &list, err));
        TT_TRY(tt_einsum_dense(s, &list, false, out, err));
    }
    return loop(s, x, y, (x->labels | y->labels) & ~keep, out, err);
}

/* What the views but a and b, and the result, have. */
static tt_labels needed(const tt_einsum_state *s, int a, int b)
{
    tt_labels set = out_labels(s);
    for (int i = 0; i < s->n; ++i)
        if (i != a && i != b) set |= s->views[i].labels;
    return set;
}

/* The pair with the smallest result. */
static void choose(const tt_einsum_state *s, int *a, int *b)
{
    double best = -1.0;
    for (int i = 0; i < s->n; ++i)
        for (int k = i + 1; k < s->n; ++k) {
            tt_labels set = s->views[i].labels | s->views[k].labels;
            double size = tt_einsum_size(&s->e, set & needed(s, i, k));
            if (best >= 0.0 && size >= best) continue;
            best = size;
            *a = i;
            *b = k;
        }
}

static tt_status open_view(tt_einsum_state *s, int i, tt_error *err)
{
    const tt_einsum_term *term = &s->e.terms[i];
    tt_einsum_view *view = &s->views[i];
    const tt_shape *shape;
    const int64_t *strides;
    *view =
        (tt_einsum_view){.is_constant = tt_graph_constant(tt_lower_graph(s->lower),
                                                          s->node->inputs[i]) != NULL};
    TT_TRY(tt_lower_src(s->lower, s->node, i, TT_ORDER_ANY, &view->operand, err));
    shape = tt_operand_shape(s->lower, view->operand);
    strides = tt_operand_strides(s->lower, view->operand);
    for (int k = 0; k < term->rank; ++k) {
        int label = term->labels[k];
        if (shape->dims[k] == 1) continue;
        view->labels |= UINT64_C(1) << label;
        view->strides[label] += strides[k]; /* a label twice: the diagonal */
    }
    return TT_OK;
}

/* The last view becomes the output. */
static tt_status finish(tt_einsum_state *s, tt_error *err)
{
    tt_einsum_view *view = &s->views[0];
    int64_t strides[TT_MAX_RANK];
    if ((view->labels & ~out_labels(s)) != 0)
        return reduce(s, out_labels(s), true, view, err);
    for (int i = 0; i < s->e.out.rank; ++i)
        strides[i] = view->strides[s->e.out.labels[i]];
    return tt_lower_view(s->lower, s->node, 0, view->operand, strides, 0, err);
}

static tt_status lower_einsum(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_einsum_state s = {.lower = lower, .node = node, .n = node->n_inputs};
    s.dtype = tt_input_shape(&site, 0)->dtype;
    TT_TRY(tt_einsum_read(&site, &s.e, err));
    for (int i = 0; i < s.n; ++i)
        TT_TRY(open_view(&s, i, err));
    if (s.n == 1) return finish(&s, err);
    while (s.n > 1) {
        tt_einsum_view result;
        int a = 0, b = 1;
        choose(&s, &a, &b);
        TT_TRY(contract(&s, &s.views[a], &s.views[b], needed(&s, a, b), s.n == 2,
                        &result, err));
        s.views[a] = result;
        s.views[b] = s.views[--s.n];
    }
    return TT_OK;
}

const tt_op tt_op_einsum = {.name = "Einsum",
                            .domain = "",
                            .since = 12,
                            .summary = "sums of products, by an equation",
                            .infer = infer,
                            .lower = lower_einsum};
