/* DFT (opsets 17, 20): discrete Fourier transforms along an axis.  The last dim has the
 * real and imaginary part, or the real part alone; opset 17 has the axis as an attribute
 * and opset 20 as an input. */
#include "ops/dft_common.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    int axis;
    bool is_inverse, is_onesided;
    int64_t length; /* of the transform */
} dft_options;

static tt_status read_axis(tt_site *site, int rank, int *out, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t axis = node->version < 20 ? 1 : -2;
    int n;
    if (node->version < 20) {
        TT_TRY(tt_attribute_int(node, "axis", 1, &axis, err));
    } else if (tt_has_input(site, 2)) {
        TT_TRY(tt_need_ints(site, 2, &axis, 1, &n, err));
        if (n != 1)
            return tt_fail_at(node, err, TT_BAD_MODEL, "axis has %d items, expected 1",
                              n);
    }
    TT_TRY(tt_axis(node, axis, rank, out, err));
    if (*out < rank - 1) return TT_OK;
    return tt_fail_at(node, err, TT_BAD_MODEL,
                      "axis %lld is that of real and imaginary parts", (long long)axis);
}

static tt_status read_length(tt_site *site, int64_t n_axis, dft_options *out,
                             tt_error *err)
{
    int n;
    out->length =
        out->is_inverse && out->is_onesided && n_axis > 0 ? 2 * (n_axis - 1) : n_axis;
    if (tt_has_input(site, 1)) {
        TT_TRY(tt_need_ints(site, 1, &out->length, 1, &n, err));
        if (n != 1)
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "dft_length has %d items, expected 1", n);
    }
    if (out->length >= 1) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "the length is %lld, expected 1 or more", (long long)out->length);
}

static tt_status read_options(tt_site *site, dft_options *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t inverse, onesided, parts;
    TT_TRY(tt_need_inputs(site, 1, err));
    src = tt_input_shape(site, 0);
    parts = src->rank < 2 ? 0 : src->dims[src->rank - 1];
    if (!tt_dtype_is_float(src->dtype) || (parts != 1 && parts != 2))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "the input is %s of rank %d, expected floats with 1 or 2 in "
                          "the last of two or more dims",
                          tt_dtype_name(src->dtype), src->rank);
    TT_TRY(tt_attribute_int(node, "inverse", 0, &inverse, err));
    TT_TRY(tt_attribute_int(node, "onesided", 0, &onesided, err));
    out->is_inverse = inverse != 0;
    out->is_onesided = onesided != 0;
    if (out->is_onesided && parts != (out->is_inverse ? 2 : 1))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "onesided takes a %s input in this direction",
                          out->is_inverse ? "complex" : "real");
    TT_TRY(read_axis(site, src->rank, &out->axis, err));
    return read_length(site, src->dims[out->axis], out, err);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    dft_options o;
    TT_TRY(read_options(site, &o, err));
    *out = *tt_input_shape(site, 0);
    out->dims[o.axis] = o.is_onesided && !o.is_inverse ? o.length / 2 + 1 : o.length;
    out->dims[out->rank - 1] = o.is_onesided && o.is_inverse ? 1 : 2;
    return tt_check_shape(site, out, err);
}

static tt_status lower_dft(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape src = *tt_input_shape(&site, 0);
    const tt_shape dst = *tt_output_shape(lower, node, 0);
    tt_dft dft = {.dtype = src.dtype, .n_outer = 1, .n_inner = 1};
    int64_t n_bins;
    tt_operand from, to;
    dft_options o;
    TT_TRY(read_options(&site, &o, err));
    dft.kind = o.is_inverse && o.is_onesided ? TT_DFT_HERMITIAN : TT_DFT_COMPLEX;
    dft.is_inverse = o.is_inverse;
    dft.n = o.length;
    dft.src_parts = (int)src.dims[src.rank - 1];
    dft.dst_parts = (int)dst.dims[dst.rank - 1];
    n_bins = dft.kind == TT_DFT_HERMITIAN ? o.length / 2 + 1 : o.length;
    dft.n_src = src.dims[o.axis] < n_bins ? src.dims[o.axis] : n_bins;
    dft.n_dst = dst.dims[o.axis];
    for (int i = 0; i < src.rank - 1; ++i)
        if (i != o.axis) *(i < o.axis ? &dft.n_outer : &dft.n_inner) *= src.dims[i];
    dft.src_inner = dft.src_parts;
    dft.dst_inner = dft.dst_parts;
    dft.src_step = dft.n_inner * dft.src_parts;
    dft.dst_step = dft.n_inner * dft.dst_parts;
    dft.src_outer = dft.src_step * src.dims[o.axis];
    dft.dst_outer = dft.dst_step * dst.dims[o.axis];
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &from, err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &to, err));
    return tt_dft_lower(lower, node, &dft, from, TT_NO_OPERAND, to, err);
}

const tt_op tt_op_dft = {.name = "DFT",
                         .domain = "",
                         .since = 17,
                         .summary = "discrete Fourier transforms along an axis",
                         .infer = infer,
                         .lower = lower_dft};
