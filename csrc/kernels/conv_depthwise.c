/* Depthwise convolution of u8: packing, rows of the image, dealing rows to threads; and
 * the version without vectors.  See conv_depthwise.h. */
#include "kernels/conv_depthwise.h"

#include <math.h>
#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

/* Pixels of a piece of a row: the buffer stays in L1. */
enum {
    WIDE = TT_CONV_DEPTHWISE_WIDE,
    NARROW = TT_CONV_DEPTHWISE_NARROW,
    QUAD = TT_CONV_DEPTHWISE_QUAD,
    PIECE = 32,
    COLUMN = WIDE * QUAD
};

bool tt_conv_depthwise_is_fast(void)
{
    return tt_cpu_get()->isa == TT_ISA_AVX512 && tt_cpu_get()->has_avx512_vnni;
}

static const tt_conv_depthwise_table *table(void)
{
#ifdef __x86_64__
    if (tt_conv_depthwise_is_fast()) return &tt_conv_depthwise_vnni;
#endif
    return &tt_conv_depthwise_scalar;
}

const char *tt_conv_depthwise_name(void)
{
    return table()->name;
}

/* ---- weights -------------------------------------------------------------------- */

size_t tt_conv_depthwise_packed_bytes(int64_t channels, int64_t kernel_h,
                                      int64_t kernel_w)
{
    int64_t whole = (channels + NARROW - 1) / NARROW * NARROW;
    return (size_t)(whole * tt_conv_depthwise_products(kernel_h, kernel_w) * QUAD);
}

/* Which dot product has the weight at (y, x) of the window, and which of its four bytes
 * that is. */
static int64_t product_of(int64_t kernel_h, int64_t kernel_w, int64_t y, int64_t x,
                          int64_t *byte)
{
    bool is_single = y + 1 == kernel_h && tt_conv_depthwise_has_single(kernel_h);
    *byte = is_single ? x % QUAD : y % QUAD;
    return y / QUAD * kernel_w + (is_single ? x / QUAD : x);
}

/* Where the weight of a place is. */
static int64_t packed_at(const int64_t dims[3], int64_t c, int64_t y, int64_t x)
{
    int64_t place = tt_conv_depthwise_place(dims[0], c), in = place % WIDE, byte;
    int64_t width = WIDE, first = place - in;
    int64_t product = product_of(dims[1], dims[2], y, x, &byte);
    if (dims[0] - first < WIDE) {
        width = NARROW;
        in = place % NARROW;
        first = place - in;
    }
    return (first * tt_conv_depthwise_products(dims[1], dims[2]) + product * width +
            in) *
               QUAD +
           byte;
}

/* [block][dot product][place][byte]; zeros where there are less than four. */
void tt_conv_depthwise_pack(const int8_t *weights, const int64_t dims[3],
                            const int64_t strides[3], int8_t *packed)
{
    memset(packed, 0, tt_conv_depthwise_packed_bytes(dims[0], dims[1], dims[2]));
    for (int64_t c = 0; c < dims[0]; ++c)
        for (int64_t y = 0; y < dims[1]; ++y)
            for (int64_t x = 0; x < dims[2]; ++x)
                packed[packed_at(dims, c, y, x)] =
                    weights[c * strides[0] + y * strides[1] + x * strides[2]];
}

/* ---- running -------------------------------------------------------------------- */

static int64_t columns(const tt_conv_depthwise *k)
{
    return (PIECE - 1) * k->stride_w + k->kernel_w;
}

/* The parts of a slot's scratch: the buffer, a row of zero points, pointers of rows. */
typedef struct {
    size_t nothing, rows, end;
} parts;

static size_t aligned(int64_t bytes)
{
    return (size_t)((bytes + COLUMN - 1) / COLUMN * COLUMN);
}

static parts parts_of(const tt_conv_depthwise *k)
{
    int64_t n = tt_conv_depthwise_quads(k->kernel_h);
    parts p = {.nothing = aligned(n * columns(k) * COLUMN)};
    p.rows = p.nothing + aligned(k->src_w * k->channels);
    p.end = p.rows + aligned(n * QUAD * (int64_t)sizeof(uint8_t *));
    return p;
}

size_t tt_conv_depthwise_scratch_bytes(const tt_conv_depthwise *k)
{
    return parts_of(k).end * (size_t)k->n_slots;
}

typedef struct {
    const tt_conv_depthwise *kernel;
    const tt_conv_depthwise_table *table;
    void *const *ptrs;
} depthwise_call;

/* Where the rows of the window are for row `at` of dst, counted over all images. */
static void aim(const depthwise_call *call, int64_t at, const uint8_t *nothing,
                const uint8_t **rows)
{
    const tt_conv_depthwise *k = call->kernel;
    int64_t first = at % k->dst_h * k->stride_h - k->pad_h;
    int64_t row_bytes = k->src_w * k->channels;
    const uint8_t *image = (const uint8_t *)call->ptrs[TT_CONV_DEPTHWISE_SRC] +
                           at / k->dst_h * k->src_h * row_bytes;
    for (int64_t i = 0; i < tt_conv_depthwise_quads(k->kernel_h) * QUAD; ++i) {
        bool is_there = i < k->kernel_h && first + i >= 0 && first + i < k->src_h;
        rows[i] = is_there ? image + (first + i) * row_bytes : nothing;
    }
}

static void run_row(const depthwise_call *call, int64_t at, const uint8_t **rows,
                    uint8_t *buffer)
{
    const tt_conv_depthwise *k = call->kernel;
    int64_t taps = QUAD * tt_conv_depthwise_products(k->kernel_h, k->kernel_w);
    size_t item = k->dst == TT_F32 ? sizeof(float) : 1;
    for (int64_t x = 0; x < k->dst_w; x += PIECE)
        for (int64_t c = 0, n = 0; c < k->channels; c += n) {
            n = tt_conv_depthwise_block(k->channels, c);
            tt_conv_depthwise_row row = {
                .kernel = k,
                .rows = rows,
                .channel = c,
                .weights =
                    (const int8_t *)call->ptrs[TT_CONV_DEPTHWISE_WEIGHTS] + c * taps,
                .multiplier =
                    (const float *)call->ptrs[TT_CONV_DEPTHWISE_MULTIPLIER] + c,
                .offset = (const float *)call->ptrs[TT_CONV_DEPTHWISE_OFFSET] + c,
                .buffer = buffer,
                .dst = (char *)call->ptrs[TT_CONV_DEPTHWISE_DST] +
                       (size_t)((at * k->dst_w + x) * k->channels + c) * item,
                .x = x,
                .n = k->dst_w - x < PIECE ? k->dst_w - x : PIECE,
                .n_channels = (int)n};
            call->table->run(&row);
        }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const depthwise_call *call = arg;
    const tt_conv_depthwise *k = call->kernel;
    int64_t all = k->batch * k->dst_h;
    parts p = parts_of(k);
    for (int64_t slot = begin; slot < end; ++slot) {
        char *scratch =
            (char *)call->ptrs[TT_CONV_DEPTHWISE_SCRATCH] + (size_t)slot * p.end;
        uint8_t *nothing = (uint8_t *)scratch + p.nothing;
        const uint8_t **rows = (const uint8_t **)(void *)(scratch + p.rows);
        int64_t last = all * (slot + 1) / k->n_slots;
        memset(nothing, k->src_zero_point, (size_t)(k->src_w * k->channels));
        for (int64_t at = all * slot / k->n_slots; at < last; ++at) {
            aim(call, at, nothing, rows);
            run_row(call, at, rows, (uint8_t *)scratch);
        }
    }
}

tt_status tt_conv_depthwise_run(const void *params, void *const *ptrs, tt_error *err)
{
    depthwise_call call = {.kernel = params, .table = table(), .ptrs = ptrs};
    (void)err;
    tt_parallel_for(call.kernel->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}

/* ---- without vectors ------------------------------------------------------------ */

/* Of a channel of the block with these weights behind one another. */
static int32_t sum(const tt_conv_depthwise_row *row, int64_t pixel, int channel,
                   int64_t place, int64_t width)
{
    const tt_conv_depthwise *k = row->kernel;
    int64_t from = (row->x + pixel) * k->stride_w - k->pad_w;
    int32_t total = 0;
    for (int64_t y = 0; y < k->kernel_h; ++y)
        for (int64_t j = 0; j < k->kernel_w; ++j) {
            int64_t x = from + j, byte;
            int64_t product = product_of(k->kernel_h, k->kernel_w, y, j, &byte);
            int32_t q = k->src_zero_point;
            if (x >= 0 && x < k->src_w)
                q = row->rows[y][x * k->channels + row->channel + channel];
            total += q * row->weights[(product * width + place) * QUAD + byte];
        }
    return total;
}

static void store(char *dst, tt_dtype dtype, int64_t at, float x)
{
    if (dtype == TT_F32) {
        ((float *)(void *)dst)[at] = x;
        return;
    }
    x = rintf(x);
    if (dtype == TT_U8)
        ((uint8_t *)dst)[at] = (uint8_t)(x < 0.0f ? 0.0f : x > 255.0f ? 255.0f : x);
    else
        ((int8_t *)dst)[at] = (int8_t)(x < -128.0f ? -128.0f : x > 127.0f ? 127.0f : x);
}

static void run_scalar(const tt_conv_depthwise_row *row)
{
    const tt_conv_depthwise *k = row->kernel;
    int64_t width = row->n_channels == WIDE ? WIDE : NARROW;
    for (int64_t i = 0; i < row->n; ++i)
        for (int c = 0; c < row->n_channels; ++c) {
            int64_t place = tt_conv_depthwise_place(row->n_channels, c);
            float x = fmaf((float)sum(row, i, c, place, width), row->multiplier[place],
                           row->offset[place]);
            x = x < k->low ? k->low : x > k->high ? k->high : x;
            store(row->dst, k->dst, i * k->channels + c, x);
        }
}

const tt_conv_depthwise_table tt_conv_depthwise_scalar = {
    .name = "conv_depthwise:scalar", .run = run_scalar};
