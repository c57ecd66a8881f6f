/* Views as blocks: see view.h. */
#include "watch/view.h"

#include <string.h>

#include "base/checked.h"

/* Rows shorter than this are gathered, several into a block. */
enum { DIRECT_ITEMS = 512 };

/* ---- dtypes ----------------------------------------------------------------- */

static float float_of_bits(uint32_t bits)
{
    float value;
    memcpy(&value, &bits, sizeof value);
    return value;
}

static float of_bf16(uint16_t bits)
{
    return float_of_bits((uint32_t)bits << 16);
}

/* Exact, NaN and infinity included. */
static float of_f16(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000) << 16, rest = bits & 0x7fff;
    if (rest >= 0x7c00) return float_of_bits(sign | 0x7f800000 | (rest & 0x3ff) << 13);
    /* 2^112 corrects the exponent, and makes denormals normal */
    return float_of_bits(sign | rest << 13) * 0x1p112f;
}

/* X(dtype, C type, type of the block, the value of an item) */
#define ITEM_LIST(X)                       \
    X(TT_BOOL, uint8_t, f32, item)         \
    X(TT_U8, uint8_t, f32, item)           \
    X(TT_S8, int8_t, f32, item)            \
    X(TT_U16, uint16_t, f32, item)         \
    X(TT_S16, int16_t, f32, item)          \
    X(TT_U32, uint32_t, f64, item)         \
    X(TT_S32, int32_t, f64, item)          \
    X(TT_U64, uint64_t, f64, item)         \
    X(TT_S64, int64_t, f64, item)          \
    X(TT_F32, float, f32, item)            \
    X(TT_F64, double, f64, item)           \
    X(TT_F16, uint16_t, f32, of_f16(item)) \
    X(TT_BF16, uint16_t, f32, of_bf16(item))

typedef float item_f32;
typedef double item_f64;

/* n items, `stride` bytes apart, to dst. */
typedef void gather_fn(const char *src, int64_t stride, int64_t n, void *dst);

#define DEFINE_GATHER(dtype, type, kind, value)                                       \
    static void gather_##dtype(const char *src, int64_t stride, int64_t n, void *dst) \
    {                                                                                 \
        item_##kind *out = dst;                                                       \
        for (int64_t i = 0; i < n; ++i) {                                             \
            type item;                                                                \
            memcpy(&item, src + i * stride, sizeof item);                             \
            out[i] = (item_##kind)(value);                                            \
        }                                                                             \
    }
ITEM_LIST(DEFINE_GATHER)
#undef DEFINE_GATHER

static const struct {
    gather_fn *gather; /* NULL: no real numbers */
    bool is_f64;
} items[TT_DTYPE_COUNT] = {
#define ITEM_ENTRY(dtype, type, kind, value) \
    [dtype] = {gather_##dtype, sizeof(item_##kind) == sizeof(double)},
    ITEM_LIST(ITEM_ENTRY)
#undef ITEM_ENTRY
};

bool tt_view_is_f64(tt_dtype dtype)
{
    return items[dtype].is_f64;
}

void tt_view_gather(tt_dtype dtype, const char *src, int64_t stride, int64_t n,
                    void *dst)
{
    items[dtype].gather(src, stride, n, dst);
}

tt_status tt_view_check(const tt_view *view, int64_t *n_items, tt_error *err)
{
    if ((unsigned)view->dtype >= TT_DTYPE_COUNT || items[view->dtype].gather == NULL)
        return tt_fail(err, TT_BAD_INPUT_TYPE,
                       "expected an array of real numbers, got dtype %s",
                       tt_dtype_name(view->dtype));
    if (view->rank < 0 || view->rank > TT_MAX_RANK)
        return tt_fail(err, TT_BAD_INPUT, "at most %d dims are supported, got %d",
                       TT_MAX_RANK, view->rank);
    if (!tt_numel(view->dims, view->rank, n_items))
        return tt_fail(err, TT_BAD_INPUT,
                       "an array of %d dims has a negative one, or too many items",
                       view->rank);
    return TT_OK;
}

/* ---- order ------------------------------------------------------------------ */

/* Dims of 1 go, negative strides are turned round; the largest stride comes first. */
static void sort_axes(tt_view *out, const tt_view *view)
{
    out->dtype = view->dtype;
    out->data = view->data;
    out->rank = 0;
    for (int i = 0; i < view->rank; ++i) {
        int64_t dim = view->dims[i], stride = view->strides[i];
        int at = out->rank;
        if (dim == 1) continue;
        if (stride < 0) {
            out->data += stride * (dim - 1);
            stride = -stride;
        }
        for (; at > 0 && out->strides[at - 1] < stride; --at) {
            out->dims[at] = out->dims[at - 1];
            out->strides[at] = out->strides[at - 1];
        }
        out->dims[at] = dim;
        out->strides[at] = stride;
        ++out->rank;
    }
}

/* Axes without a gap between them become one; at least one remains. */
static void merge_axes(tt_view *view)
{
    int n = 0;
    for (int i = 0; i < view->rank; ++i) {
        /* dims that fit beside each other: their product cannot overflow */
        if (n > 0 && view->strides[n - 1] == view->strides[i] * view->dims[i]) {
            view->dims[n - 1] *= view->dims[i];
            view->strides[n - 1] = view->strides[i];
            continue;
        }
        view->dims[n] = view->dims[i];
        view->strides[n++] = view->strides[i];
    }
    if (n == 0) {
        view->dims[n] = 1;
        view->strides[n++] = 0;
    }
    view->rank = n;
}

tt_view tt_view_merged(const tt_view *view)
{
    tt_view merged = {0};
    sort_axes(&merged, view);
    merge_axes(&merged);
    return merged;
}

void tt_blocks_begin(tt_blocks *blocks, const tt_view *view)
{
    blocks->n_left = 0;
    if (!tt_numel(view->dims, view->rank, &blocks->n_left) || blocks->n_left == 0)
        return;
    blocks->view = tt_view_merged(view);
    memset(blocks->index, 0, sizeof blocks->index);
    blocks->row = blocks->view.data;
    blocks->done = 0;
}

/* ---- blocks ------------------------------------------------------------------ */

/* To the next row; not asked for after the last. */
static void next_row(tt_blocks *blocks)
{
    const tt_view *view = &blocks->view;
    blocks->done = 0;
    for (int i = view->rank - 2; i >= 0; --i) {
        blocks->row += view->strides[i];
        if (++blocks->index[i] < view->dims[i]) return;
        blocks->row -= view->strides[i] * view->dims[i];
        blocks->index[i] = 0;
    }
}

static int64_t smaller(int64_t a, int64_t b)
{
    return a < b ? a : b;
}

/* The next `limit` items of the row at most: where they begin, and how many. */
static const char *take(tt_blocks *blocks, int64_t limit, int64_t *n)
{
    int64_t length = blocks->view.dims[blocks->view.rank - 1];
    const char *from;
    if (blocks->done == length) next_row(blocks);
    *n = smaller(length - blocks->done, limit);
    from = blocks->row + blocks->done * blocks->view.strides[blocks->view.rank - 1];
    blocks->done += *n;
    blocks->n_left -= *n;
    return from;
}

bool tt_blocks_next(tt_blocks *blocks, tt_block *block)
{
    const tt_view *view = &blocks->view;
    int64_t stride, n = 0;
    if (blocks->n_left == 0) return false;
    *block = (tt_block){0};
    stride = view->strides[view->rank - 1];
    if (view->dtype == TT_F32 && stride == (int64_t)sizeof(float) &&
        view->dims[view->rank - 1] >= DIRECT_ITEMS &&
        (uintptr_t)blocks->row % sizeof(float) == 0) {
        block->f32 = (const void *)take(blocks, TT_BLOCK_ITEMS, &block->n);
        return true;
    }
    while (block->n < TT_BLOCK_ITEMS && blocks->n_left > 0) {
        const char *from = take(blocks, TT_BLOCK_ITEMS - block->n, &n);
        void *to = items[view->dtype].is_f64 ? (void *)(blocks->memory.f64 + block->n)
                                             : (void *)(blocks->memory.f32 + block->n);
        items[view->dtype].gather(from, stride, n, to);
        block->n += n;
    }
    if (items[view->dtype].is_f64)
        block->f64 = blocks->memory.f64;
    else
        block->f32 = blocks->memory.f32;
    return true;
}
