/* Gemm (opsets 1, 6, 7, 9, 11, 13): alpha A' B' + beta C.
 *
 * Transposed operands are strides.  C is the bias when it is a vector of columns and
 * alpha is 1, else a binary post-op behind the scaling. */
#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/matmul_common.h"
#include "ops/quantized.h"

typedef struct {
    bool trans_a, trans_b;
    float alpha, beta;
    int64_t m, n, k;
} gemm;

static tt_status read_gemm(const tt_site *site, gemm *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *a, *b;
    int64_t trans_a, trans_b;
    char ta[64], tb[64];
    TT_TRY(tt_need_inputs(site, 2, err));
    a = tt_input_shape(site, 0);
    b = tt_input_shape(site, 1);
    TT_TRY(tt_attribute_int(node, "transA", 0, &trans_a, err));
    TT_TRY(tt_attribute_int(node, "transB", 0, &trans_b, err));
    TT_TRY(tt_attribute_float(node, "alpha", 1.0f, &out->alpha, err));
    TT_TRY(tt_attribute_float(node, "beta", 1.0f, &out->beta, err));
    if (node->extra == NULL &&
        (tt_layer_dtype(site) != b->dtype ||
         !(tt_dtype_is_float(a->dtype) || tt_dtype_is_int(a->dtype))))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "inputs of %s and %s, expected one number type",
                          tt_dtype_name(a->dtype), tt_dtype_name(b->dtype));
    if (a->rank != 2 || b->rank != 2)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "inputs of rank %d and %d, expected 2", a->rank, b->rank);
    out->trans_a = trans_a != 0;
    out->trans_b = trans_b != 0;
    out->m = a->dims[out->trans_a ? 1 : 0];
    out->k = a->dims[out->trans_a ? 0 : 1];
    out->n = b->dims[out->trans_b ? 0 : 1];
    if (b->dims[out->trans_b ? 1 : 0] != out->k)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%s%s and %s%s have different inner dims",
                          tt_shape_text(a, ta, sizeof ta), out->trans_a ? "^T" : "",
                          tt_shape_text(b, tb, sizeof tb), out->trans_b ? "^T" : "");
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_shape both = {0};
    gemm g;
    TT_TRY(read_gemm(site, &g, err));
    out[0] = (tt_shape){
        .dtype = tt_layer_dtype(site), .rank = 2, .dims = {g.m, g.n}
    };
    if (tt_has_input(site, 2)) {
        const tt_shape *c = tt_input_shape(site, 2);
        char text[160];
        both.dtype = out[0].dtype;
        if (c->dtype != out[0].dtype ||
            tt_shape_broadcast(&out[0], c, &both, NULL) != TT_OK ||
            !tt_shape_equal(&both, &out[0]))
            return tt_fail_at(
                site->node, err, TT_BAD_MODEL,
                "C is %s %s, which does not broadcast to %s [%lld,%lld]",
                tt_dtype_name(c->dtype), tt_shape_text(c, text, sizeof text),
                tt_dtype_name(out[0].dtype), (long long)g.m, (long long)g.n);
    }
    return tt_check_shape(site, &out[0], err);
}

/* C as [m or 1, n or 1] over its operand. */
static tt_md c_md(const tt_lower *lower, tt_operand c)
{
    tt_md from = tt_operand_md(lower, c), md = {.dtype = from.dtype, .ndims = 2};
    for (int i = 0; i < 2; ++i) {
        int at = i - (2 - from.ndims);
        md.dims[i] = at < 0 ? 1 : from.dims[at];
        md.strides[i] = at < 0 ? 1 : from.strides[at];
    }
    if (md.dims[1] == 1) md.strides[1] = 1;
    if (md.dims[0] == 1) md.strides[0] = md.dims[1];
    return md;
}

/* beta C of a constant C as a new constant. */
static tt_status scaled_constant(tt_lower *lower, tt_operand *c, float beta,
                                 tt_error *err)
{
    const tt_shape shape = *tt_operand_shape(lower, *c);
    const void *data = tt_operand_constant(lower, *c);
    tt_constant *made;
    void *dst;
    TT_TRY(tt_constant_empty(&shape, &made, &dst, err));
    for (int64_t i = 0; i < tt_shape_numel(&shape); ++i)
        tt_item_store(shape.dtype, dst, i,
                      (double)beta * tt_item_load(shape.dtype, data, i));
    return tt_lower_constant(lower, made, c, err);
}

static tt_status add_c(tt_lower *lower, const tt_node *node, const gemm *g,
                       tt_matmul *m, tt_error *err)
{
    float alpha = g->alpha, beta = g->beta;
    tt_operand c;
    tt_md md;
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &c, err));
    if (c == TT_NO_OPERAND || beta == 0.0f) {
        if (alpha != 1.0f) tt_prim_args_linear(&m->args, alpha, 0.0f);
        return TT_OK;
    }
    if (beta != 1.0f && tt_operand_constant(lower, c) != NULL) {
        TT_TRY(scaled_constant(lower, &c, beta, err));
        beta = 1.0f;
    }
    md = c_md(lower, c);
    if (alpha == 1.0f && beta == 1.0f && md.dims[0] == 1 && md.dims[1] == g->n) {
        m->bias = c;
        return TT_OK;
    }
    /* alpha A B + beta C = beta (alpha / beta A B + C) */
    if (alpha != beta) tt_prim_args_linear(&m->args, alpha / beta, 0.0f);
    tt_prim_args_binary(&m->args, TT_ALG_ADD, c, &md);
    if (beta != 1.0f) tt_prim_args_linear(&m->args, beta, 0.0f);
    return TT_OK;
}

static tt_md operand_md(const tt_lower *lower, tt_operand operand, bool transposed)
{
    tt_md md = tt_operand_md(lower, operand);
    if (transposed) {
        int64_t dim = md.dims[0], stride = md.strides[0];
        md.dims[0] = md.dims[1];
        md.strides[0] = md.strides[1];
        md.dims[1] = dim;
        md.strides[1] = stride;
    }
    return md;
}

static tt_status lower_gemm(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_matmul m = {.bias = TT_NO_OPERAND, .args = tt_prim_args_empty()};
    const tt_shape dst = site.graph->values[node->outputs[0]].shape;
    tt_operand unused;
    gemm g;
    TT_TRY(read_gemm(&site, &g, err));
    if (tt_shape_numel(&dst) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &unused, err);
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &m.a, err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ANY, &m.b, err));
    m.has_constant_b = site.graph->values[node->inputs[1]].constant != NULL;
    m.a_md = operand_md(lower, m.a, g.trans_a);
    m.b_md = operand_md(lower, m.b, g.trans_b);
    m.dst_md = (tt_md){
        .dtype = dst.dtype, .ndims = 2, .dims = {g.m, g.n}
    };
    m.dst_dims[1] = 1;
    TT_TRY(add_c(lower, node, &g, &m, err));
    return tt_matmul_lower(lower, node, &m, err);
}

const tt_op tt_op_quantized_gemm = {
    .name = "QuantizedGemm",
    .domain = "trimtab",
    .since = 1,
    .summary = "A B + C of integers A and B",
    .accepts_posts = true,
    .lower = lower_gemm,
};

const tt_op tt_op_gemm = {
    .name = "Gemm",
    .domain = "",
    .since = 1,
    .summary = "alpha A B + beta C with optional transposes",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_gemm,
};
