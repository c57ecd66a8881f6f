/* QuantizeLinear, DequantizeLinear.  One scale for all, one per
 * place along an axis (opset 13), or one per block along it (opset 21). */
#include "kernels/quantize.h"

#include <string.h>

#include "kernels/item.h"
#include "ops/elementwise.h"
#include "ops/move.h"

/* How elements share scales, without regard to memory. */
typedef enum { PER_TENSOR, PER_AXIS, PER_BLOCK } sharing;

static tt_status find_sharing(const tt_site *site, sharing *kind, int *axis,
                              int64_t *block_size, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src = tt_input_shape(site, 0), *scale = tt_input_shape(site, 1);
    int64_t value = 1;
    char a[256], b[256];
    *kind = PER_TENSOR;
    *block_size = 0;
    *axis = 0;
    if (node->version >= 21)
        TT_TRY(tt_attribute_int(node, "block_size", 0, block_size, err));
    if (tt_shape_numel(scale) == 1 && scale->rank <= 1 && *block_size == 0)
        return TT_OK;
    /* opsets before 13 have no axis: it is there where QLinearConv was rewritten */
    TT_TRY(tt_attribute_int(node, "axis", 1, &value, err));
    TT_TRY(tt_axis(node, value, src->rank, axis, err));
    if (*block_size == 0) {
        *kind = PER_AXIS;
        if (scale->rank == 1 && scale->dims[0] == src->dims[*axis]) return TT_OK;
    } else if (*block_size > 0 && scale->rank == src->rank) {
        bool fits = true;
        *kind = PER_BLOCK;
        for (int i = 0; i < src->rank; ++i) {
            int64_t dim = src->dims[i], blocks = dim / *block_size;
            if (i == *axis) dim = blocks + (dim % *block_size != 0);
            fits &= scale->dims[i] == dim;
        }
        if (fits) return TT_OK;
    }
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "scale %s does not fit input %s along axis %d (block_size %lld)",
                      tt_shape_text(scale, a, sizeof a),
                      tt_shape_text(src, b, sizeof b), *axis, (long long)*block_size);
}

static tt_status check_types(const tt_site *site, tt_dtype real, tt_dtype quantized,
                             bool dequantize, tt_error *err)
{
    const tt_shape *scale = tt_input_shape(site, 1);
    tt_quantize types = {.real = real, .quantized = quantized, .scale = scale->dtype};
    if (tt_has_input(site, 2)) {
        const tt_shape *zero = tt_input_shape(site, 2);
        if (zero->dtype != quantized || tt_shape_numel(zero) != tt_shape_numel(scale))
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "zero_point must be %lld of %s, it is %lld of %s",
                              (long long)tt_shape_numel(scale),
                              tt_dtype_name(quantized), (long long)tt_shape_numel(zero),
                              tt_dtype_name(zero->dtype));
    }
    if (tt_quantize_has(&types, dequantize)) return TT_OK;
    return tt_fail_at(site->node, err, TT_UNSUPPORTED, "%s with scales of %s %s %s",
                      tt_dtype_name(real), tt_dtype_name(scale->dtype),
                      dequantize ? "from" : "to", tt_dtype_name(quantized));
}

/* The type in which QuantizeLinear divides, if the node asks for one. */
static tt_status read_precision(const tt_site *site, tt_dtype *out, tt_error *err)
{
    int64_t value = 0;
    if (site->node->version >= 23)
        TT_TRY(tt_attribute_int(site->node, "precision", 0, &value, err));
    *out = (tt_dtype)value;
    if (value == 0 || value == TT_F32 || value == TT_F16 || value == TT_BF16)
        return TT_OK;
    return tt_fail_at(
        site->node, err, TT_UNSUPPORTED,
        "attribute 'precision' must be a float of 16 or 32 bits, not %s",
        tt_dtype_name(tt_dtype_is_known(value) ? (tt_dtype)value : TT_DTYPE_NONE));
}

static tt_status infer_quantize(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t block_size, dtype = TT_U8;
    tt_dtype precision;
    sharing kind;
    int axis;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(find_sharing(site, &kind, &axis, &block_size, err));
    *out = *tt_input_shape(site, 0);
    if (site->node->version >= 21)
        TT_TRY(tt_attribute_int(site->node, "output_dtype", 0, &dtype, err));
    if (tt_has_input(site, 2))
        dtype = tt_input_shape(site, 2)->dtype;
    else if (dtype == 0)
        dtype = TT_U8;
    if (!tt_dtype_is_known(dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "output_dtype is %lld",
                          (long long)dtype);
    TT_TRY(read_precision(site, &precision, err));
    TT_TRY(check_types(site, out->dtype, (tt_dtype)dtype, false, err));
    out->dtype = (tt_dtype)dtype;
    return TT_OK;
}

static tt_status infer_dequantize(tt_site *site, tt_shape *out, tt_error *err)
{
    int64_t block_size, dtype = 0;
    sharing kind;
    int axis;
    TT_TRY(tt_need_inputs(site, 2, err));
    TT_TRY(find_sharing(site, &kind, &axis, &block_size, err));
    *out = *tt_input_shape(site, 0);
    if (site->node->version >= 23)
        TT_TRY(tt_attribute_int(site->node, "output_dtype", 0, &dtype, err));
    if (dtype == 0) dtype = tt_input_shape(site, 1)->dtype;
    if (!tt_dtype_is_known(dtype))
        return tt_fail_at(site->node, err, TT_BAD_MODEL, "output_dtype is %lld",
                          (long long)dtype);
    TT_TRY(check_types(site, (tt_dtype)dtype, out->dtype, true, err));
    out->dtype = (tt_dtype)dtype;
    return TT_OK;
}

/* Scale and zero point when they are one constant each, and real values are f32: then
 * the node is elementwise. */
static bool find_linear(const tt_site *site, tt_dtype real, double *scale, double *zero)
{
    tt_error err = {0};
    tt_dtype precision;
    int64_t block_size;
    sharing kind;
    int axis;
    *zero = 0.0;
    return read_precision(site, &precision, &err) == TT_OK && precision != TT_F16 &&
           precision != TT_BF16 &&
           find_sharing(site, &kind, &axis, &block_size, &err) == TT_OK &&
           kind == PER_TENSOR && real == TT_F32 &&
           tt_input_shape(site, 1)->dtype == TT_F32 &&
           tt_input_scalar(site, 1, scale) &&
           (!tt_has_input(site, 2) || tt_input_scalar(site, 2, zero));
}

static tt_status emit_linear(const tt_site *site, tt_eltwise_builder *builder, int x,
                             bool dequantize, int *result, tt_error *err)
{
    const tt_shape *src = tt_input_shape(site, 0);
    const tt_shape *dst = &site->graph->values[site->node->outputs[0]].shape;
    tt_eltwise_op op = dequantize ? TT_ELTWISE_DEQUANTIZE : TT_ELTWISE_QUANTIZE;
    double scale, zero;
    *result = -1;
    if (!tt_dtype_is_small(src->dtype) && !tt_dtype_is_small(dst->dtype) &&
        find_linear(site, dequantize ? dst->dtype : src->dtype, &scale, &zero))
        *result = tt_eltwise_add(builder, op, x, -1, -1, scale, zero, dst->dtype);
    if (*result >= 0) return TT_OK;
    return tt_fail_at(site->node, err, TT_UNSUPPORTED, "is not elementwise");
}

static tt_status emit_quantize(tt_site *site, tt_eltwise_builder *builder,
                               const int *args, int *result, tt_error *err)
{
    return emit_linear(site, builder, args[0], false, result, err);
}

static tt_status emit_dequantize(tt_site *site, tt_eltwise_builder *builder,
                                 const int *args, int *result, tt_error *err)
{
    return emit_linear(site, builder, args[0], true, result, err);
}

static tt_status run_quantize(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_quantize_run(params, ptrs[0], ptrs[1], ptrs[2], ptrs[3]);
    return TT_OK;
}

static tt_status run_dequantize(const void *params, void *const *ptrs, tt_error *err)
{
    (void)err;
    tt_dequantize_run(params, ptrs[0], ptrs[1], ptrs[2], ptrs[3]);
    return TT_OK;
}

/* Fills in the extents of src, which is dense: dims with longer steps than the axis are
 * outside of it in memory, those with shorter ones inside. */
static void find_extents(tt_quantize *quantize, sharing kind, int axis,
                         const tt_shape *shape, const int64_t *strides)
{
    int64_t n = tt_shape_numel(shape);
    quantize->n_outer = quantize->n_axis = 1;
    quantize->n_inner = n;
    if (kind == PER_TENSOR || n == 0) return;
    quantize->n_axis = shape->dims[axis];
    quantize->n_inner = shape->dims[axis] == 1 ? n : strides[axis];
    quantize->n_outer = n / quantize->n_axis / quantize->n_inner;
}

static tt_status lower_linear(tt_lower *lower, const tt_node *node, bool dequantize,
                              tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_shape shape = *tt_input_shape(&site, 0);
    tt_dtype made = tt_output_shape(lower, node, 0)->dtype;
    tt_quantize quantize = {.real = dequantize ? made : shape.dtype,
                            .quantized = dequantize ? shape.dtype : made,
                            .scale = tt_input_shape(&site, 1)->dtype};
    double n = (double)tt_shape_numel(&shape);
    tt_work work = {.bytes = n * 5, .flops = 3 * n, .cost_ns = 20 + n * .15};
    int64_t strides[TT_MAX_RANK];
    tt_operand operands[4];
    double scale, zero;
    int64_t saturate = 1;
    sharing kind;
    int axis;
    TT_TRY(read_precision(&site, &quantize.precision, err));
    if (node->version >= 19)
        TT_TRY(tt_attribute_int(node, "saturate", 1, &saturate, err));
    quantize.saturate = saturate != 0;
    if (find_linear(&site, quantize.real, &scale, &zero) &&
        tt_eltwise_has(TT_ELTWISE_DEQUANTIZE, quantize.quantized))
        return tt_lower_elementwise(lower, node, err);
    TT_TRY(find_sharing(&site, &kind, &axis, &quantize.block_size, err));
    TT_TRY(tt_lower_src(lower, node, 0,
                        kind == PER_BLOCK ? TT_ORDER_ROW_MAJOR : TT_ORDER_DENSE,
                        &operands[0], err));
    memcpy(strides, tt_operand_strides(lower, operands[0]), sizeof strides);
    find_extents(&quantize, kind, axis, &shape, strides);
    TT_TRY(tt_lower_src(lower, node, 1, TT_ORDER_ROW_MAJOR, &operands[1], err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &operands[2], err));
    TT_TRY(tt_lower_dst_strided(lower, node, 0, strides, &operands[3], err));
    return tt_lower_kernel(lower, node, dequantize ? "dequantize" : "quantize",
                           dequantize ? run_dequantize : run_quantize, &quantize,
                           sizeof quantize, operands, 3, 1, &work, err);
}

static tt_status lower_quantize(tt_lower *lower, const tt_node *node, tt_error *err)
{
    return lower_linear(lower, node, false, err);
}

static tt_status lower_dequantize(tt_lower *lower, const tt_node *node, tt_error *err)
{
    return lower_linear(lower, node, true, err);
}

const tt_op tt_op_quantize_linear = {.name = "QuantizeLinear",
                                     .domain = "",
                                     .since = 10,
                                     .summary = "to integers by scale and zero point",
                                     .infer = infer_quantize,
                                     .emit = emit_quantize,
                                     .lower = lower_quantize};

const tt_op tt_op_dequantize_linear = {.name = "DequantizeLinear",
                                       .domain = "",
                                       .since = 10,
                                       .summary =
                                           "from integers by scale and zero point",
                                       .infer = infer_dequantize,
                                       .emit = emit_dequantize,
                                       .lower = lower_dequantize};
