/* MelWeightMatrix: triangles, equally wide on the mel scale, that sum the bins of a
 * spectrum into bands. */
#include <math.h>
#include <string.h>

#include "kernels/item.h"
#include "ops/fail.h"
#include "ops/move.h"

/* Inputs 0 (num_mel_bins) and 1 (dft_length), which decide the shape. */
static tt_status read_sizes(tt_site *site, int64_t *n_bands, int64_t *n_dft,
                            tt_error *err)
{
    int n[2];
    TT_TRY(tt_need_ints(site, 0, n_bands, 1, &n[0], err));
    TT_TRY(tt_need_ints(site, 1, n_dft, 1, &n[1], err));
    if (n[0] == 1 && n[1] == 1 && *n_bands >= 0 && *n_bands < INT32_MAX &&
        *n_dft >= 0 && *n_dft < INT32_MAX)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "num_mel_bins and dft_length must be one number each, from 0 to "
                      "%ld",
                      (long)INT32_MAX - 1);
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_node *node = site->node;
    int64_t n_bands, n_dft, dtype;
    TT_TRY(tt_need_inputs(site, 5, err));
    for (int i = 0; i < 5; ++i) {
        const tt_shape *shape = tt_input_shape(site, i);
        bool fits = i < 3 ? shape->dtype == TT_S32 || shape->dtype == TT_S64
                          : tt_dtype_is_float(shape->dtype);
        if (!fits || tt_shape_numel(shape) != 1)
            return tt_fail_at(
                node, err, TT_BAD_MODEL, "input %d must be one %s, it is %lld of %s", i,
                i < 3 ? "int32 or int64" : "float", (long long)tt_shape_numel(shape),
                tt_dtype_name(shape->dtype));
    }
    TT_TRY(read_sizes(site, &n_bands, &n_dft, err));
    TT_TRY(tt_attribute_int(node, "output_datatype", TT_F32, &dtype, err));
    if (!tt_dtype_is_known(dtype) ||
        (!tt_dtype_is_float((tt_dtype)dtype) && !tt_dtype_is_int((tt_dtype)dtype)))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "output_datatype %lld is no number type", (long long)dtype);
    *out = (tt_shape){
        .dtype = (tt_dtype)dtype, .rank = 2, .dims = {n_dft / 2 + 1, n_bands}
    };
    return tt_check_shape(site, out, err);
}

typedef struct {
    tt_dtype dtype, rate_dtype, edge_dtypes[2];
    int64_t n_bands, n_dft;
} mel_params;

static double mel_of(double hertz)
{
    return 2595.0 * log1p(hertz / 700.0) / log(10.0);
}

/* The bin that a frequency on the mel scale falls into, -1 for one below all bins. */
static int64_t bin_of(const mel_params *p, double mel, double rate)
{
    double hertz = 700.0 * expm1(mel / 2595.0 * log(10.0));
    double bin = floor((double)(p->n_dft + 1) * hertz / rate);
    if (!(bin >= 0.0)) return -1;
    return bin < (double)INT32_MAX ? (int64_t)bin : INT32_MAX;
}

static void store(const mel_params *p, void *dst, int64_t bin, int64_t band,
                  double value)
{
    if (tt_dtype_is_int(p->dtype)) value = trunc(value);
    tt_item_store(p->dtype, dst, bin * p->n_bands + band, value);
}

/* Bins from left to right, of which `center` has weight 1; those outside are left. */
static void fill_band(const mel_params *p, void *dst, int64_t band, int64_t left,
                      int64_t center, int64_t right)
{
    int64_t n_bins = p->n_dft / 2 + 1;
    for (int64_t i = left; i <= center && i < n_bins; ++i)
        store(p, dst, i, band,
              center == left ? 1.0 : (double)(i - left) / (double)(center - left));
    for (int64_t i = center; i < right && i < n_bins; ++i)
        store(p, dst, i, band, (double)(right - i) / (double)(right - center));
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const mel_params *p = params;
    double rate = tt_item_load(p->rate_dtype, ptrs[0], 0);
    double low = mel_of(tt_item_load(p->edge_dtypes[0], ptrs[1], 0));
    double step = mel_of(tt_item_load(p->edge_dtypes[1], ptrs[2], 0)) - low;
    int64_t left, center, right;
    void *dst = ptrs[3];
    step /= (double)(p->n_bands + 2);
    if (!(rate > 0.0) || !(fabs(low) < 1e9) || !(step >= 0.0) || step > 1e9)
        return tt_fail(err, TT_BAD_INPUT,
                       "MelWeightMatrix: expected a positive sample_rate and edges in "
                       "ascending order, rate is %g",
                       rate);
    memset(dst, 0,
           (size_t)((p->n_dft / 2 + 1) * p->n_bands) * tt_dtype_bytes(p->dtype));
    left = bin_of(p, low, rate);
    center = bin_of(p, low + step, rate);
    for (int64_t band = 0; band < p->n_bands; ++band, left = center, center = right) {
        right = bin_of(p, low + (double)(band + 2) * step, rate);
        if (left < 0)
            return tt_fail(err, TT_BAD_INPUT,
                           "MelWeightMatrix: an edge lies below 0 hertz, at %g mel",
                           low);
        fill_band(p, dst, band, left, center, right);
    }
    return TT_OK;
}

static tt_status lower_mel(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *shape = tt_output_shape(lower, node, 0);
    mel_params p = {.dtype = shape->dtype,
                    .rate_dtype = tt_input_shape(&site, 2)->dtype};
    tt_work work = {.bytes = (double)tt_shape_bytes(shape)};
    tt_operand operands[4];
    work.cost_ns = 100.0 + 2.0 * work.bytes;
    TT_TRY(read_sizes(&site, &p.n_bands, &p.n_dft, err));
    p.edge_dtypes[0] = tt_input_shape(&site, 3)->dtype;
    p.edge_dtypes[1] = tt_input_shape(&site, 4)->dtype;
    for (int i = 0; i < 3; ++i)
        TT_TRY(tt_lower_src(lower, node, 2 + i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[3], err));
    return tt_lower_kernel(lower, node, "mel_weight_matrix", run, &p, sizeof p,
                           operands, 3, 1, &work, err);
}

const tt_op tt_op_mel_weight_matrix = {
    .name = "MelWeightMatrix",
    .domain = "",
    .since = 17,
    .summary = "triangles that sum the bins of a spectrum into bands of the mel scale",
    .infer = infer,
    .lower = lower_mel,
};
