/* DeformConv (opsets 19, 22): a convolution whose points are moved by offsets.  What the
 * windows read becomes a matrix (kernels/deform_columns.h), times the weights. */
#include <string.h>

#include "kernels/deform_columns.h"
#include "ops/fail.h"
#include "ops/matmul_common.h"
#include "ops/move.h"
#include "ops/window.h"

enum { X, W, OFFSET, BIAS, MASK };

/* Input i, if it is there, must be [first, second, out's spatial dims]. */
static tt_status check_input(const tt_site *site, int i, int64_t second,
                             const tt_shape *out, tt_error *err)
{
    tt_shape wanted = *out;
    char text[160], expected[160];
    if (!tt_has_input(site, i)) return TT_OK;
    wanted.dims[1] = second;
    if (tt_shape_equal(tt_input_shape(site, i), &wanted)) return TT_OK;
    return tt_fail_at(
        site->node, err, TT_BAD_MODEL, "input %d is %s of %s, expected %s of %s", i,
        tt_shape_text(tt_input_shape(site, i), text, sizeof text),
        tt_dtype_name(tt_input_shape(site, i)->dtype),
        tt_shape_text(&wanted, expected, sizeof expected), tt_dtype_name(wanted.dtype));
}

static tt_status check_bias(const tt_site *site, tt_error *err)
{
    const tt_shape *w = tt_input_shape(site, W), *bias;
    if (!tt_has_input(site, BIAS)) return TT_OK;
    bias = tt_input_shape(site, BIAS);
    if (bias->rank == 1 && bias->dims[0] == w->dims[0] && bias->dtype == w->dtype)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "the bias must have %lld items of %s", (long long)w->dims[0],
                      tt_dtype_name(w->dtype));
}

static tt_status read_groups(const tt_site *site, tt_deform_columns *out, tt_error *err)
{
    const tt_shape *x = tt_input_shape(site, X), *w = tt_input_shape(site, W);
    TT_TRY(tt_attribute_int(site->node, "group", 1, &out->n_groups, err));
    TT_TRY(tt_attribute_int(site->node, "offset_group", 1, &out->n_offset_groups, err));
    if (out->n_groups >= 1 && out->n_offset_groups >= 1 && x->dims[1] >= 1 &&
        w->dims[0] >= 1 && x->dims[1] % out->n_groups == 0 &&
        w->dims[0] % out->n_groups == 0 && x->dims[1] % out->n_offset_groups == 0 &&
        w->dims[1] == x->dims[1] / out->n_groups)
        return TT_OK;
    return tt_fail_at(
        site->node, err, TT_BAD_MODEL,
        "%lld channels and weights [%lld, %lld, ..] do not fit %lld groups "
        "and %lld offset groups",
        (long long)x->dims[1], (long long)w->dims[0], (long long)w->dims[1],
        (long long)out->n_groups, (long long)out->n_offset_groups);
}

static tt_status read_columns(const tt_site *site, tt_deform_columns *out,
                              tt_shape *result, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *x, *w;
    tt_window window;
    TT_TRY(tt_need_inputs(site, 3, err));
    x = tt_input_shape(site, X);
    w = tt_input_shape(site, W);
    if (!tt_dtype_is_float(x->dtype) || w->dtype != x->dtype || x->rank < 3 ||
        x->rank > 2 + TT_DEFORM_MAX_RANK || w->rank != x->rank)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input and weights of rank %d and %d, expected floats of one "
                          "type with 1 to %d spatial dims",
                          x->rank, w->rank, TT_DEFORM_MAX_RANK);
    *out = (tt_deform_columns){.dtype = x->dtype,
                               .rank = x->rank - 2,
                               .n_batches = x->dims[0],
                               .n_channels = x->dims[1],
                               .n_points = 1,
                               .n_dst = 1};
    TT_TRY(read_groups(site, out, err));
    TT_TRY(tt_window_slide(node, x, w->dims + 2, &window, err));
    *result = *x;
    result->dims[1] = w->dims[0];
    for (int i = 0; i < out->rank; ++i) {
        out->src[i] = window.src[i];
        out->dst[i] = result->dims[2 + i] = window.dst[i];
        out->kernel[i] = window.kernel[i];
        out->strides[i] = window.strides[i];
        out->dilations[i] = window.dilations[i];
        out->pads[i] = window.pads_begin[i];
        out->n_points *= window.kernel[i];
        out->n_dst *= window.dst[i];
    }
    return tt_check_shape(site, result, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_deform_columns c;
    int64_t n;
    TT_TRY(read_columns(site, &c, out, err));
    TT_TRY(check_bias(site, err));
    n = c.n_offset_groups * c.n_points; /* of weights and channels that exist */
    TT_TRY(check_input(site, OFFSET, n * c.rank, out, err));
    return check_input(site, MASK, n, out, err);
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_deform_columns_run(params, ptrs[0], ptrs[1], ptrs[2], ptrs[3]);
    return TT_OK;
}

static tt_status lower_columns(tt_lower *lower, const tt_node *node,
                               const tt_deform_columns *c, tt_operand *out,
                               tt_error *err)
{
    const tt_shape shape = {
        .dtype = c->dtype,
        .rank = 3,
        .dims = {c->n_groups, c->n_batches * c->n_dst,
                 c->n_channels / c->n_groups * c->n_points}
    };
    tt_site site = tt_lower_site(lower, node);
    tt_operand operands[4];
    tt_work work = {0};
    TT_TRY(tt_check_shape(&site, &shape, err));
    TT_TRY(tt_lower_src(lower, node, X, TT_ORDER_CHANNELS_LAST, &operands[0], err));
    TT_TRY(tt_lower_src(lower, node, OFFSET, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_src(lower, node, MASK, TT_ORDER_ROW_MAJOR, &operands[2], err));
    TT_TRY(tt_lower_tensor(lower, &shape, NULL, out, err));
    operands[3] = *out;
    work.bytes = 5.0 * (double)tt_shape_bytes(&shape);
    work.flops = 8.0 * (double)tt_shape_numel(&shape);
    work.cost_ns = 50.0 + 0.5 * work.flops;
    return tt_lower_kernel(lower, node, "deform_columns", run, c, sizeof *c, operands,
                           3, 1, &work, err);
}

/* A matrix per group; the group's dim is left out of a single one. */
static tt_md matrices(tt_dtype dtype, int64_t n_groups, int64_t group_stride,
                      int64_t rows, int64_t row_stride, int64_t columns,
                      int64_t column_stride)
{
    tt_md md = {
        .dtype = dtype,
        .ndims = 3,
        .dims = {n_groups,     rows,       columns      },
        .strides = {group_stride, row_stride, column_stride}
    };
    if (n_groups > 1) return md;
    md.ndims = 2;
    memmove(md.dims, md.dims + 1, 2 * sizeof md.dims[0]);
    memmove(md.strides, md.strides + 1, 2 * sizeof md.strides[0]);
    return md;
}

/* The result of several groups, [group, n, dst.., channel], into its place.  oneDNN would
 * not write it there: with post-ops it goes by the order of the strides. */
static tt_status gather_groups(tt_lower *lower, const tt_node *node,
                               const tt_deform_columns *c, tt_operand made,
                               tt_operand dst, tt_error *err)
{
    int64_t n = tt_operand_shape(lower, dst)->dims[1] / c->n_groups;
    int64_t rows = c->n_batches * c->n_dst;
    const tt_shape dims = {
        .dtype = c->dtype, .rank = 3, .dims = {c->n_groups, rows, n}
    };
    const int64_t from[] = {rows * n, n, 1}, to[] = {n, n * c->n_groups, 1};
    return tt_move(lower, node, &dims, (tt_move_end){made, from, 0},
                   (tt_move_end){dst, to, 0}, err);
}

static tt_status lower_product(tt_lower *lower, const tt_node *node,
                               const tt_deform_columns *c, tt_matmul *m, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    int64_t rows = c->n_batches * c->n_dst;
    int64_t inner = c->n_channels / c->n_groups * c->n_points;
    int64_t columns = tt_input_shape(&site, W)->dims[0] / c->n_groups;
    tt_operand bias;
    TT_TRY(tt_lower_src(lower, node, W, TT_ORDER_ROW_MAJOR, &m->b, err));
    TT_TRY(tt_lower_src(lower, node, BIAS, TT_ORDER_ROW_MAJOR, &bias, err));
    m->has_constant_b = tt_input_constant(&site, W) != NULL;
    m->a_md = matrices(c->dtype, c->n_groups, rows * inner, rows, inner, inner, 1);
    m->b_md =
        matrices(c->dtype, c->n_groups, columns * inner, inner, 1, columns, inner);
    m->dst_md =
        matrices(c->dtype, c->n_groups, rows * columns, rows, columns, columns, 1);
    if (bias != TT_NO_OPERAND && c->n_groups == 1) m->bias = bias;
    if (bias != TT_NO_OPERAND && c->n_groups > 1) {
        tt_md md = matrices(c->dtype, c->n_groups, columns, 1, columns, columns, 1);
        tt_prim_args_binary(&m->args, TT_ALG_ADD, bias, &md);
    }
    return tt_matmul_lower(lower, node, m, err);
}

static tt_status lower_deform_conv(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_matmul m = {
        .bias = TT_NO_OPERAND, .has_dst = true, .args = tt_prim_args_empty()};
    tt_shape shape, groups;
    tt_deform_columns c;
    tt_operand dst;
    TT_TRY(read_columns(&site, &c, &shape, err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &dst, err));
    if (tt_shape_numel(&shape) == 0) return TT_OK;
    TT_TRY(lower_columns(lower, node, &c, &m.a, err));
    m.dst = dst;
    if (c.n_groups == 1) return lower_product(lower, node, &c, &m, err);
    groups = (tt_shape){.dtype = c.dtype, .rank = 1, .dims = {tt_shape_numel(&shape)}};
    TT_TRY(tt_lower_tensor(lower, &groups, NULL, &m.dst, err));
    TT_TRY(lower_product(lower, node, &c, &m, err));
    return gather_groups(lower, node, &c, m.dst, dst, err);
}

const tt_op tt_op_deform_conv = {.name = "DeformConv",
                                 .domain = "",
                                 .since = 19,
                                 .summary = "a convolution whose points are moved",
                                 .infer = infer,
                                 .lower = lower_deform_conv};
