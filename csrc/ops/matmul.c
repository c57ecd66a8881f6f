/* MatMul (opsets 1, 9, 13) as NumPy defines it: 1-D operands, broadcast batches. */
#include "ops/fail.h"
#include "ops/matmul_common.h"
#include "ops/quantized.h"

static bool is_multiplied(tt_dtype dtype)
{
    return tt_dtype_is_float(dtype) || tt_dtype_is_int(dtype);
}

/* Dims of a and b with their ones for 1-D operands, of rank at least 2. */
static void promote(const tt_shape *a, const tt_shape *b, tt_shape *wide_a,
                    tt_shape *wide_b)
{
    *wide_a = *a;
    *wide_b = *b;
    if (a->rank == 1) {
        wide_a->rank = 2;
        wide_a->dims[0] = 1;
        wide_a->dims[1] = a->dims[0];
    }
    if (b->rank == 1) {
        wide_b->rank = 2;
        wide_b->dims[1] = 1;
    }
}

tt_status tt_matmul_infer(tt_site *site, tt_dtype dtype, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *a = tt_input_shape(site, 0), *b = tt_input_shape(site, 1);
    tt_shape wide_a, wide_b, batch = {0};
    char ta[160], tb[160];
    int64_t m, n;
    if (a->rank < 1 || b->rank < 1)
        return tt_fail_at(node, err, TT_BAD_MODEL, "input %d is a scalar",
                          a->rank < 1 ? 0 : 1);
    promote(a, b, &wide_a, &wide_b);
    if (wide_a.dims[wide_a.rank - 1] != wide_b.dims[wide_b.rank - 2])
        return tt_fail_at(node, err, TT_BAD_MODEL, "the inner dims of %s and %s differ",
                          tt_shape_text(a, ta, sizeof ta),
                          tt_shape_text(b, tb, sizeof tb));
    m = wide_a.dims[wide_a.rank - 2];
    n = wide_b.dims[wide_b.rank - 1];
    wide_a.rank -= 2;
    wide_b.rank -= 2;
    TT_TRY(tt_shape_broadcast(&wide_a, &wide_b, &batch, err));
    batch.dtype = dtype;
    if (batch.rank + 2 > TT_MAX_RANK)
        return tt_fail_at(node, err, TT_LIMIT, "the result has rank %d, at most %d",
                          batch.rank + 2, TT_MAX_RANK);
    if (a->rank > 1) batch.dims[batch.rank++] = m;
    if (b->rank > 1) batch.dims[batch.rank++] = n;
    out[0] = batch;
    return tt_check_shape(site, &out[0], err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *a, *b;
    TT_TRY(tt_need_inputs(site, 2, err));
    a = tt_input_shape(site, 0);
    b = tt_input_shape(site, 1);
    if (tt_layer_dtype(site) != b->dtype || !is_multiplied(a->dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL,
                          "inputs of %s and %s, expected one number type",
                          tt_dtype_name(a->dtype), tt_dtype_name(b->dtype));
    return tt_matmul_infer(site, tt_layer_dtype(site), out, err);
}

/* The operand as [1.., batch.., rows, columns] of `rank` dims; a 1-D operand is a row
 * (which = 0) or a column (which = 1). */
static tt_md wide_md(const tt_lower *lower, tt_operand operand, int which, int rank)
{
    tt_md from = tt_operand_md(lower, operand), md = {.dtype = from.dtype};
    int64_t span = 1;
    if (from.ndims == 1) {
        from.ndims = 2;
        from.dims[1 - which] = from.dims[0];
        from.strides[1 - which] = from.strides[0];
        from.dims[which] = 1;
        from.strides[which] = which == 0 ? from.dims[1] * from.strides[1] : 1;
        if (which == 1 && from.strides[0] < 1) from.strides[1] = 1;
    }
    md.ndims = rank;
    for (int i = 0; i < from.ndims; ++i) {
        int64_t extent = from.dims[i] * from.strides[i];
        if (extent > span) span = extent;
    }
    for (int i = 0; i < rank; ++i) {
        int at = i - (rank - from.ndims);
        md.dims[i] = at < 0 ? 1 : from.dims[at];
        md.strides[i] = at < 0 ? span : from.strides[at];
    }
    return md;
}

static tt_status lower_matmul(tt_lower *lower, const tt_node *node, tt_error *err)
{
    const tt_graph *graph = tt_lower_graph(lower);
    const tt_shape a = graph->values[node->inputs[0]].shape;
    const tt_shape b = graph->values[node->inputs[1]].shape;
    const tt_shape dst = graph->values[node->outputs[0]].shape;
    tt_matmul m = {.bias = TT_NO_OPERAND, .args = tt_prim_args_empty()};
    int rank = a.rank > b.rank ? a.rank : b.rank, from = 0;
    tt_operand unused;
    if (tt_shape_numel(&dst) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &unused, err);
    if (rank < 2) rank = 2;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ANY, &m.a, err));
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ANY, &m.b, err));
    m.has_constant_b = graph->values[node->inputs[1]].constant != NULL;
    m.a_md = wide_md(lower, m.a, 0, rank);
    m.b_md = wide_md(lower, m.b, 1, rank);
    m.dst_md = (tt_md){.dtype = dst.dtype, .ndims = rank};
    for (int i = 0; i < rank; ++i) {
        bool inserted =
            (i == rank - 2 && a.rank == 1) || (i == rank - 1 && b.rank == 1);
        m.dst_dims[i] = inserted ? -1 : from++;
        m.dst_md.dims[i] = inserted ? 1 : dst.dims[m.dst_dims[i]];
    }
    return tt_matmul_lower(lower, node, &m, err);
}

const tt_op tt_op_quantized_matmul = {
    .name = "QuantizedMatMul",
    .domain = "trimtab",
    .since = 1,
    .summary = "matrix product of integers",
    .accepts_posts = true,
    .lower = lower_matmul,
};

const tt_op tt_op_matmul = {
    .name = "MatMul",
    .domain = "",
    .since = 1,
    .summary = "matrix product with NumPy's broadcasting",
    .accepts_posts = true,
    .infer = infer,
    .lower = lower_matmul,
};
