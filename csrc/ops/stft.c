/* STFT: Fourier transforms of windowed frames of a signal. */
#include "ops/dft_common.h"
#include "ops/fail.h"
#include "ops/move.h"

typedef struct {
    bool is_onesided;
    int64_t step, length, n_frames;
} stft_options;

static tt_status read_number(tt_site *site, int input, int64_t *out, tt_error *err)
{
    int n;
    TT_TRY(tt_need_ints(site, input, out, 1, &n, err));
    if (n == 1 && *out >= 1) return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "input %d must be one number, 1 or more", input);
}

static tt_status read_length(tt_site *site, int64_t *out, tt_error *err)
{
    const tt_shape *src = tt_input_shape(site, 0), *window;
    *out = src->dims[1];
    if (tt_has_input(site, 3)) TT_TRY(read_number(site, 3, out, err));
    if (!tt_has_input(site, 2)) return TT_OK;
    window = tt_input_shape(site, 2);
    if (!tt_has_input(site, 3) && window->rank == 1) *out = window->dims[0];
    if (window->dtype == src->dtype && window->rank == 1 && window->dims[0] == *out)
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "window is %s of rank %d, expected %s [%lld]",
                      tt_dtype_name(window->dtype), window->rank,
                      tt_dtype_name(src->dtype), (long long)*out);
}

static tt_status read_options(tt_site *site, stft_options *out, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t onesided, parts;
    TT_TRY(tt_need_inputs(site, 2, err));
    src = tt_input_shape(site, 0);
    parts = src->rank == 3 ? src->dims[2] : src->rank == 2 ? 1 : 0;
    if (!tt_dtype_is_float(src->dtype) || (parts != 1 && parts != 2))
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "the signal is %s of rank %d, expected floats "
                          "[batch, length, 1 or 2]",
                          tt_dtype_name(src->dtype), src->rank);
    TT_TRY(tt_attribute_int(node, "onesided", 1, &onesided, err));
    out->is_onesided = onesided != 0;
    if (out->is_onesided && parts == 2)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "%s of a complex signal have no onesided form", "spectra");
    TT_TRY(read_number(site, 1, &out->step, err));
    TT_TRY(read_length(site, &out->length, err));
    if (out->length < 1 || out->length > src->dims[1])
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "frames of %lld samples, the signal has %lld",
                          (long long)out->length, (long long)src->dims[1]);
    out->n_frames = (src->dims[1] - out->length) / out->step + 1;
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    const tt_shape *src;
    stft_options o;
    TT_TRY(read_options(site, &o, err));
    src = tt_input_shape(site, 0);
    *out = (tt_shape){.dtype = src->dtype, .rank = 4};
    out->dims[0] = src->dims[0];
    out->dims[1] = o.n_frames;
    out->dims[2] = o.is_onesided ? o.length / 2 + 1 : o.length;
    out->dims[3] = 2;
    return tt_check_shape(site, out, err);
}

static tt_status lower_stft(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape src = *tt_input_shape(&site, 0);
    const tt_shape dst = *tt_output_shape(lower, node, 0);
    tt_dft dft = {.dtype = src.dtype, .dst_parts = 2, .dst_step = 2};
    tt_operand from, window, to;
    stft_options o;
    TT_TRY(read_options(&site, &o, err));
    dft.src_parts = src.rank == 3 ? (int)src.dims[2] : 1;
    dft.n = dft.n_src = o.length;
    dft.n_dst = dst.dims[2];
    dft.n_outer = src.dims[0];
    dft.n_inner = o.n_frames;
    dft.src_step = dft.src_parts;
    dft.src_inner = o.step > src.dims[1] ? 0 : o.step * dft.src_parts;
    dft.src_outer = src.dims[1] * dft.src_parts;
    dft.dst_inner = 2 * dft.n_dst;
    dft.dst_outer = o.n_frames * dft.dst_inner;
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &from, err));
    TT_TRY(tt_lower_src(lower, node, 2, TT_ORDER_ROW_MAJOR, &window, err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &to, err));
    return tt_dft_lower(lower, node, &dft, from, window, to, err);
}

const tt_op tt_op_stft = {.name = "STFT",
                          .domain = "",
                          .since = 17,
                          .summary = "Fourier transforms of windowed frames",
                          .infer = infer,
                          .lower = lower_stft};
