/* ConvInteger: convolution of bytes, exact sums of 32 bits.
 *
 * Windows become rows of bytes, positions outer and channels inner, which meet packed
 * weights (kernels/matmul_u8s8.h); padding is the zero point. */
#include <string.h>

#include "base/threads.h"
#include "kernels/matmul_u8s8.h"
#include "ops/conv_common.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { X, W, X_ZERO, W_ZERO, DST, SCRATCH, N_POINTERS };
enum { SCRATCH_BYTES = 1 << 19 }; /* of rows at a time: well within L2 */

typedef struct {
    tt_window window;
    bool x_is_signed, w_is_unsigned, is_packed, has_x_zero;
    int64_t n_images, groups, channels, filters; /* channels, filters: of a group */
    int64_t n_src, n_dst, n_kernel;              /* places of an image, of a window */
    int64_t k, chunk;                            /* rows at a time */
    int64_t n_w_zero;
    size_t zero_at, sum_at, w_zero_at, w_at, group_bytes; /* in scratch; packed */
} integer_conv;

static bool is_byte(tt_dtype dtype)
{
    return dtype == TT_U8 || dtype == TT_S8;
}

static tt_status check_zero(const tt_site *site, int i, int64_t n, tt_error *err)
{
    const tt_shape *zero, *full = tt_input_shape(site, i - 2);
    if (!tt_has_input(site, i)) return TT_OK;
    zero = tt_input_shape(site, i);
    if (zero->dtype == full->dtype && zero->rank <= 1 &&
        (tt_shape_numel(zero) == 1 || tt_shape_numel(zero) == n))
        return TT_OK;
    return tt_fail_at(site->node, err, TT_BAD_MODEL,
                      "zero point of input %d: %lld of %s, expected %lld of %s", i - 2,
                      (long long)tt_shape_numel(zero), tt_dtype_name(zero->dtype),
                      (long long)n, tt_dtype_name(full->dtype));
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(tt_conv_read_geometry(site, &geometry, err));
    for (int i = 0; i < 2; ++i)
        if (!is_byte(tt_input_shape(site, i)->dtype))
            return tt_fail_at(site->node, err, TT_BAD_MODEL,
                              "input %d is %s, expected int8 or uint8", i,
                              tt_dtype_name(tt_input_shape(site, i)->dtype));
    TT_TRY(check_zero(site, X_ZERO, 1, err));
    TT_TRY(check_zero(site, W_ZERO, tt_input_shape(site, W)->dims[0], err));
    out[0] = *tt_input_shape(site, 0);
    out[0].dtype = TT_S32;
    out[0].dims[1] = tt_input_shape(site, 1)->dims[0];
    for (int i = 0; i < geometry.window.rank; ++i)
        out[0].dims[2 + i] = geometry.window.dst[i];
    return tt_check_shape(site, &out[0], err);
}

/* ---- running ------------------------------------------------------------------- */

typedef struct {
    const integer_conv *p;
    void *const *ptrs;
    int64_t image, group, first; /* place of the first row */
} filling;

/* Place of the source under place `at` of the window of `dst`; -1: padding. */
static int64_t source_of(const tt_window *w, int64_t dst, int64_t at)
{
    int64_t place = 0, scale = 1;
    for (int i = w->rank - 1; i >= 0; --i) {
        int64_t x = dst % w->dst[i] * w->strides[i] - w->pads_begin[i] +
                    at % w->kernel[i] * w->dilations[i];
        if (x < 0 || x >= w->src[i]) return -1;
        place += x * scale;
        scale *= w->src[i];
        dst /= w->dst[i];
        at /= w->kernel[i];
    }
    return place;
}

static void fill_rows(void *arg, int64_t begin, int64_t end)
{
    const filling *f = arg;
    const integer_conv *p = f->p;
    const uint8_t *x = f->ptrs[X];
    uint8_t *rows = f->ptrs[SCRATCH], flip = p->x_is_signed ? 128 : 0;
    int32_t *sums = (int32_t *)(void *)((char *)f->ptrs[SCRATCH] + p->sum_at);
    int64_t row_bytes = tt_u8s8_row_bytes(p->k), step = p->groups * p->channels;
    uint8_t zero = p->has_x_zero ? *(const uint8_t *)f->ptrs[X_ZERO] : 0;
    x += f->image * p->n_src * step + f->group * p->channels;
    for (int64_t i = begin; i < end; ++i) {
        uint8_t *row = rows + i * row_bytes;
        int32_t sum = 0;
        for (int64_t at = 0; at < p->n_kernel; ++at) {
            int64_t place = source_of(&p->window, f->first + i, at);
            if (place < 0)
                memset(row + at * p->channels, zero, (size_t)p->channels);
            else
                memcpy(row + at * p->channels, x + place * step, (size_t)p->channels);
        }
        for (int64_t j = 0; j < p->k; ++j) {
            row[j] ^= flip;
            sum += row[j];
        }
        memset(row + p->k, 0, (size_t)(row_bytes - p->k));
        sums[i] = sum;
    }
}

/* Zero points of a group's filters; false: all are zero. */
static bool load_w_zeros(const integer_conv *p, const void *given, int64_t group,
                         int32_t *zeros)
{
    bool any = false;
    for (int64_t j = 0; j < p->filters; ++j) {
        int64_t at = p->n_w_zero > 1 ? group * p->filters + j : 0;
        zeros[j] = p->w_is_unsigned ? -128 : 0;
        if (p->n_w_zero > 0)
            zeros[j] += p->w_is_unsigned ? ((const uint8_t *)given)[at]
                                         : ((const int8_t *)given)[at];
        any |= zeros[j] != 0;
    }
    return any;
}

static void pack_groups(bool is_unsigned, int64_t groups, int64_t filters,
                        int64_t channels, int64_t n_kernel, const void *weights,
                        void *packed)
{
    int64_t k = channels * n_kernel, strides[3] = {1, n_kernel, k};
    size_t bytes = 0;
    (void)tt_u8s8_packed_bytes(k, filters, &bytes); /* checked when lowering */
    for (int64_t g = 0; g < groups; ++g)
        tt_u8s8_pack((const char *)weights + g * filters * k, is_unsigned, k, channels,
                     filters, strides, (char *)packed + (size_t)g * bytes);
}

static void run_group(const integer_conv *p, void *const *ptrs, int64_t image,
                      int64_t group)
{
    char *scratch = ptrs[SCRATCH];
    int32_t *zeros = (int32_t *)(void *)(scratch + p->zero_at);
    int32_t *w_zeros = (int32_t *)(void *)(scratch + p->w_zero_at);
    const char *packed = p->is_packed ? ptrs[W] : scratch + p->w_at;
    int64_t step = p->groups * p->filters;
    int32_t *dst = (int32_t *)ptrs[DST] + image * p->n_dst * step + group * p->filters;
    bool has_zeros = load_w_zeros(p, ptrs[W_ZERO], group, w_zeros);
    for (int64_t first = 0; first < p->n_dst; first += p->chunk) {
        int64_t left = p->n_dst - first;
        filling f = {p, ptrs, image, group, first};
        tt_u8s8 product = {.m = left < p->chunk ? left : p->chunk,
                           .n = p->filters,
                           .k = p->k,
                           .a = ptrs[SCRATCH],
                           .a_zero = zeros,
                           .a_sum = (const int32_t *)(void *)(scratch + p->sum_at),
                           .b = packed + (size_t)group * p->group_bytes,
                           .b_zero = has_zeros ? w_zeros : NULL,
                           .dst_row = step,
                           .sums = dst + first * step};
        tt_parallel_for(product.m, 20000 / (p->k + 1) + 1, fill_rows, &f);
        tt_u8s8_multiply(&product);
    }
}

static tt_status run(const void *params, void *const *ptrs, tt_error *err)
{
    const integer_conv *p = params;
    int32_t *zeros = (int32_t *)(void *)((char *)ptrs[SCRATCH] + p->zero_at);
    int32_t zero = p->x_is_signed ? 128 : 0;
    (void)err;
    if (p->has_x_zero)
        zero += p->x_is_signed ? *(const int8_t *)ptrs[X_ZERO]
                               : *(const uint8_t *)ptrs[X_ZERO];
    for (int64_t i = 0; i < p->chunk; ++i)
        zeros[i] = zero;
    if (!p->is_packed)
        pack_groups(p->w_is_unsigned, p->groups, p->filters, p->channels, p->n_kernel,
                    ptrs[W], (char *)ptrs[SCRATCH] + p->w_at);
    for (int64_t image = 0; image < p->n_images; ++image)
        for (int64_t group = 0; group < p->groups; ++group)
            run_group(p, ptrs, image, group);
    return TT_OK;
}

/* ---- lowering ------------------------------------------------------------------- */

static void pack_w(const tt_md *w, const void *weights, void *made)
{
    pack_groups(w->dtype == TT_U8, w->dims[0], w->dims[1], w->dims[2], w->dims[3],
                weights, made);
}

static tt_status describe(const tt_site *site, integer_conv *p, tt_error *err)
{
    tt_conv_geometry geometry;
    TT_TRY(tt_conv_read_geometry(site, &geometry, err));
    *p = (integer_conv){.window = geometry.window,
                        .x_is_signed = tt_input_shape(site, X)->dtype == TT_S8,
                        .w_is_unsigned = tt_input_shape(site, W)->dtype == TT_U8,
                        .is_packed = tt_input_constant(site, W) != NULL,
                        .has_x_zero = tt_has_input(site, X_ZERO),
                        .n_images = tt_input_shape(site, X)->dims[0],
                        .groups = geometry.groups,
                        .channels = geometry.src_channels,
                        .filters = geometry.dst_channels,
                        .n_src = 1,
                        .n_dst = 1,
                        .n_kernel = 1};
    for (int i = 0; i < p->window.rank; ++i) {
        p->n_src *= p->window.src[i];
        p->n_dst *= p->window.dst[i];
        p->n_kernel *= p->window.kernel[i];
    }
    p->k = p->channels * p->n_kernel;
    p->chunk = SCRATCH_BYTES / tt_u8s8_row_bytes(p->k + 1) + 1;
    if (p->chunk > p->n_dst) p->chunk = p->n_dst;
    if (tt_has_input(site, W_ZERO))
        p->n_w_zero = tt_shape_numel(tt_input_shape(site, W_ZERO));
    if (!tt_u8s8_packed_bytes(p->k, p->filters, &p->group_bytes))
        return tt_fail_at(site->node, err, TT_LIMIT, "packing %lld x %lld weights",
                          (long long)p->k, (long long)p->filters);
    return TT_OK;
}

/* Places in the scratch memory, and its size. */
static size_t plan_scratch(integer_conv *p)
{
    size_t rows = (size_t)p->chunk * 4;
    p->zero_at = ((size_t)(p->chunk * tt_u8s8_row_bytes(p->k)) + 63) & ~(size_t)63;
    p->sum_at = p->zero_at + rows;
    p->w_zero_at = p->sum_at + rows;
    p->w_at = (p->w_zero_at + (size_t)p->filters * 4 + 63) & ~(size_t)63;
    return p->w_at + (p->is_packed ? 0 : (size_t)p->groups * p->group_bytes);
}

static tt_status lower_integer(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    tt_operand operands[N_POINTERS];
    tt_work work = {0};
    integer_conv p;
    if (tt_shape_numel(tt_output_shape(lower, node, 0)) == 0)
        return tt_lower_dst(lower, node, 0, TT_ORDER_DENSE, &operands[DST], err);
    TT_TRY(describe(&site, &p, err));
    TT_TRY(tt_lower_src(lower, node, X, TT_ORDER_CHANNELS_LAST, &operands[X], err));
    for (int i = W; i <= W_ZERO; ++i)
        TT_TRY(tt_lower_src(lower, node, i, TT_ORDER_ROW_MAJOR, &operands[i], err));
    if (p.is_packed) {
        tt_md md = {
            .dtype = tt_input_shape(&site, W)->dtype,
            .ndims = 4,
            .dims = {p.groups, p.filters, p.channels, p.n_kernel}
        };
        tt_strides_row_major(md.dims, md.ndims, md.strides);
        TT_TRY(tt_lower_derived(lower, operands[W], &md, pack_w,
                                (size_t)p.groups * p.group_bytes, &operands[W], err));
    }
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_CHANNELS_LAST, &operands[DST], err));
    TT_TRY(tt_lower_temporary(lower, plan_scratch(&p), &operands[SCRATCH], err));
    work.flops =
        2.0 * (double)tt_shape_numel(tt_output_shape(lower, node, 0)) * (double)p.k;
    work.bytes = (double)p.n_images * (double)p.n_dst * (double)(p.groups * p.k) * 2;
    return tt_lower_kernel(lower, node, tt_u8s8_name(), run, &p, sizeof p, operands, 4,
                           2, &work, err);
}

const tt_op tt_op_conv_integer = {
    .name = "ConvInteger",
    .domain = "",
    .since = 10,
    .summary = "convolution of bytes, exact sums",
    .infer = infer,
    .lower = lower_integer,
};
