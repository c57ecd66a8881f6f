/* Col2Im: sums columns of blocks back into an image; the reverse of unfolding. */
#include <string.h>

#include "base/checked.h"
#include "ops/fail.h"
#include "ops/move.h"

enum { MAX_SPATIAL = TT_MAX_RANK - 2 };

typedef struct {
    int rank; /* spatial */
    int64_t n_batches, n_channels, n_block, n_columns;
    int64_t image[MAX_SPATIAL], block[MAX_SPATIAL], steps[MAX_SPATIAL]; /* windows */
    int64_t strides[MAX_SPATIAL], dilations[MAX_SPATIAL], pads[MAX_SPATIAL];
} col2im_params;

static tt_status read_list(const tt_node *node, const char *name, int n,
                           int64_t fallback, int64_t least, int64_t *out, tt_error *err)
{
    const int64_t *list;
    int count;
    TT_TRY(tt_attribute_ints(node, name, &list, &count, err));
    if (count >= 0 && count != n)
        return tt_fail_at(node, err, TT_BAD_MODEL, "%s has %d items, expected %d", name,
                          count, n);
    for (int i = 0; i < n; ++i) {
        out[i] = count < 0 ? fallback : list[i];
        if (out[i] < least || out[i] > INT32_MAX)
            return tt_fail_at(node, err, TT_BAD_MODEL, "%s[%d] is %lld", name, i,
                              (long long)out[i]);
    }
    return TT_OK;
}

/* The number of windows along dim i, -1 when none fits. */
static int64_t count_windows(const col2im_params *p, int64_t pad_end, int i)
{
    int64_t extent = (p->block[i] - 1) * p->dilations[i] + 1;
    int64_t space = p->image[i] + p->pads[i] + pad_end - extent;
    return space < 0 ? -1 : space / p->strides[i] + 1;
}

static tt_status resolve(tt_site *site, col2im_params *p, tt_error *err)
{
    const tt_node *node = site->node;
    const tt_shape *src;
    int64_t pads[2 * MAX_SPATIAL], n_columns = 1;
    int n_block;
    TT_TRY(tt_need_inputs(site, 3, err));
    src = tt_input_shape(site, 0);
    if (src->rank != 3)
        return tt_fail_at(node, err, TT_BAD_MODEL, "the input has rank %d, expected 3",
                          src->rank);
    TT_TRY(tt_need_ints(site, 1, p->image, MAX_SPATIAL, &p->rank, err));
    TT_TRY(tt_need_ints(site, 2, p->block, MAX_SPATIAL, &n_block, err));
    if (n_block != p->rank || p->rank < 1)
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "image_shape has %d dims, block_shape %d", p->rank, n_block);
    TT_TRY(read_list(node, "strides", p->rank, 1, 1, p->strides, err));
    TT_TRY(read_list(node, "dilations", p->rank, 1, 1, p->dilations, err));
    TT_TRY(read_list(node, "pads", 2 * p->rank, 0, 0, pads, err));
    p->n_block = 1;
    for (int i = 0; i < p->rank; ++i) {
        int64_t n = -1;
        p->pads[i] = pads[i];
        if (p->image[i] >= 0 && p->image[i] <= INT32_MAX && p->block[i] >= 1 &&
            p->block[i] <= INT32_MAX &&
            tt_mul_i64(p->n_block, p->block[i], &p->n_block))
            n = count_windows(p, pads[p->rank + i], i);
        if (n < 0 || !tt_mul_i64(n_columns, n, &n_columns))
            return tt_fail_at(node, err, TT_BAD_MODEL,
                              "dim %d: a block of %lld does not fit an image of %lld",
                              i, (long long)p->block[i], (long long)p->image[i]);
        p->steps[i] = n;
    }
    p->n_batches = src->dims[0];
    p->n_columns = n_columns;
    p->n_channels = src->dims[1] / p->n_block;
    if (src->dims[1] % p->n_block != 0 || src->dims[2] != n_columns) {
        char text[256];
        return tt_fail_at(node, err, TT_BAD_MODEL,
                          "input %s must be [batches, channels * %lld, %lld]",
                          tt_shape_text(src, text, sizeof text), (long long)p->n_block,
                          (long long)n_columns);
    }
    return TT_OK;
}

static tt_status infer(tt_site *site, tt_shape *out, tt_error *err)
{
    col2im_params p;
    TT_TRY(resolve(site, &p, err));
    *out = (tt_shape){.dtype = tt_input_shape(site, 0)->dtype, .rank = p.rank + 2};
    if (out->dtype != TT_F32 && out->dtype != TT_F64)
        return tt_fail_at(site->node, err, TT_UNSUPPORTED, "sums of %s",
                          tt_dtype_name(out->dtype));
    out->dims[0] = p.n_batches;
    out->dims[1] = p.n_channels;
    memcpy(out->dims + 2, p.image, (size_t)p.rank * sizeof *p.image);
    return TT_OK;
}

/* Flat place in the image of item `block` of window `column`, -1 in the padding. */
static int64_t place_of(const col2im_params *p, int64_t block, int64_t column)
{
    int64_t place = 0, step = 1;
    for (int i = p->rank - 1; i >= 0; --i) {
        int64_t at = column % p->steps[i] * p->strides[i] +
                     block % p->block[i] * p->dilations[i] - p->pads[i];
        if (at < 0 || at >= p->image[i]) return -1;
        place += at * step;
        step *= p->image[i];
        column /= p->steps[i];
        block /= p->block[i];
    }
    return place;
}

#define SUM_UP(name, type)                                                      \
    static tt_status name(const void *params, void *const *ptrs, tt_error *err) \
    {                                                                           \
        const col2im_params *p = params;                                        \
        const type *src = ptrs[0];                                              \
        type *dst = ptrs[1];                                                    \
        int64_t n_image = 1, n_planes = p->n_batches * p->n_channels;           \
        (void)err;                                                              \
        for (int i = 0; i < p->rank; ++i)                                       \
            n_image *= p->image[i];                                             \
        memset(dst, 0, (size_t)(n_planes * n_image) * sizeof *dst);             \
        for (int64_t b = 0; b < p->n_block; ++b)                                \
            for (int64_t c = 0; c < p->n_columns; ++c) {                        \
                int64_t at = place_of(p, b, c);                                 \
                if (at < 0) continue;                                           \
                for (int64_t k = 0; k < n_planes; ++k)                          \
                    dst[k * n_image + at] +=                                    \
                        src[(k * p->n_block + b) * p->n_columns + c];           \
            }                                                                   \
        return TT_OK;                                                           \
    }
SUM_UP(sum_f32, float)
SUM_UP(sum_f64, double)

static tt_status lower_col2im(tt_lower *lower, const tt_node *node, tt_error *err)
{
    tt_site site = tt_lower_site(lower, node);
    const tt_shape *src = tt_input_shape(&site, 0);
    tt_kernel run = src->dtype == TT_F32 ? sum_f32 : sum_f64;
    tt_work work = {.bytes = 2 * (double)tt_shape_bytes(src),
                    .flops = (double)tt_shape_numel(src),
                    .cost_ns = 30 + 4 * (double)tt_shape_numel(src)};
    tt_operand operands[2];
    col2im_params params;
    memset(&params, 0, sizeof params);
    TT_TRY(resolve(&site, &params, err));
    TT_TRY(tt_lower_src(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[0], err));
    TT_TRY(tt_lower_dst(lower, node, 0, TT_ORDER_ROW_MAJOR, &operands[1], err));
    return tt_lower_kernel(lower, node, "col2im", run, &params, sizeof params, operands,
                           1, 1, &work, err);
}

const tt_op tt_op_col2im = {.name = "Col2Im",
                            .domain = "",
                            .since = 18,
                            .summary = "columns of blocks summed into an image",
                            .infer = infer,
                            .lower = lower_col2im};
