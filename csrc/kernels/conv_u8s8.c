/* Convolution of u8 by s8: packing, what pixels see, dealing blocks to threads; and the
 * version without vectors.  See conv_u8s8.h. */
#include "kernels/conv_u8s8.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"

enum {
    WIDE = TT_CONV_U8S8_WIDE,
    GROUP = 4,
    BLOCK_BYTES = 1 << 15, /* of what the pixels of a block see: about L1's .. */
    BLOCK = 64,            /* .. and the least of them */
    PIECE = 128,           /* most pixels of a row of dst at a time */
    SLACK = 64,            /* what copies read and write behind a row */
    ALIGNMENT = 64
};

bool tt_conv_u8s8_is_fast(void)
{
    return tt_cpu_get()->isa == TT_ISA_AVX512 && tt_cpu_get()->has_avx512_vnni;
}

static const tt_conv_u8s8_table *table(void)
{
#ifdef __x86_64__
    if (tt_conv_u8s8_is_fast()) return &tt_conv_u8s8_vnni;
#endif
    return &tt_conv_u8s8_scalar;
}

const char *tt_conv_u8s8_name(void)
{
    return table()->name;
}

static int64_t whole(int64_t n, int64_t of)
{
    return (n + of - 1) / of * of;
}

/* ---- groups of taps ------------------------------------------------------------- */

/* Four bytes of a row of the window that lie together are a group.  What is left of
 * every row, up to three bytes, is put together in rows of its own, so that a window of
 * 7 x 7 x 3 takes 37 groups and not 42. */
typedef struct {
    int64_t rows, row_bytes, whole, rest; /* of a row: groups, and bytes behind them */
    int64_t n_rests, n;                   /* groups of rests; all groups */
} taps;

static taps taps_of(int64_t src_channels, int64_t kernel_h, int64_t kernel_w)
{
    taps t = {.rows = kernel_h, .row_bytes = kernel_w * src_channels};
    t.whole = t.row_bytes / GROUP;
    t.rest = t.row_bytes % GROUP;
    t.n_rests = (t.rows * t.rest + GROUP - 1) / GROUP;
    t.n = t.rows * t.whole + t.n_rests;
    return t;
}

static taps taps_of_kernel(const tt_conv_u8s8 *k)
{
    return taps_of(k->src_channels, k->kernel_h, k->kernel_w);
}

/* Where byte x of row y of the window is among the bytes of all groups. */
static int64_t tap_at(const taps *t, int64_t y, int64_t x)
{
    if (x < t->whole * GROUP) return y * t->whole * GROUP + x;
    return (t->rows * t->whole) * GROUP + y * t->rest + x - t->whole * GROUP;
}

/* ---- weights -------------------------------------------------------------------- */

bool tt_conv_u8s8_packed_bytes(const int64_t dims[4], size_t *out)
{
    taps t = taps_of(dims[1], dims[2], dims[3]);
    return tt_mul_size((size_t)((t.n + 1) * GROUP),
                       (size_t)whole(dims[0], TT_CONV_U8S8_NARROW), out);
}

/* [panel][group of taps][place][tap], behind each panel the totals. */
void tt_conv_u8s8_pack(const int8_t *weights, const int64_t dims[4],
                       const int64_t strides[4], void *packed)
{
    taps t = taps_of(dims[1], dims[2], dims[3]);
    int64_t rows = (t.n + 1) * GROUP;
    memset(packed, 0, (size_t)(rows * whole(dims[0], TT_CONV_U8S8_NARROW)));
    for (int64_t c = 0; c < dims[0]; ++c) {
        int64_t first = c / WIDE * WIDE, width = tt_conv_u8s8_width(dims[0], first);
        int64_t place = tt_conv_u8s8_place(dims[0], c) - first;
        int8_t *panel = (int8_t *)packed + first * rows;
        int32_t total = 0;
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t x = 0; x < dims[3]; ++x)
                for (int64_t i = 0; i < dims[1]; ++i) {
                    int8_t w = weights[c * strides[0] + i * strides[1] +
                                       y * strides[2] + x * strides[3]];
                    int64_t tap = tap_at(&t, y, x * dims[1] + i);
                    total += w;
                    panel[(tap / GROUP * width + place) * GROUP + tap % GROUP] = w;
                }
        memcpy(panel + (t.n * width + place) * GROUP, &total, sizeof total);
    }
}

/* ---- blocks of pixels ----------------------------------------------------------- */

/* What the image has together a pixel reads in place. */
static bool is_direct(const tt_conv_u8s8 *k)
{
    return k->kernel_h == 1 && k->kernel_w == 1 && k->src_channels % GROUP == 0 &&
           k->pad_h == 0 && k->pad_w == 0 && (k->dst_h - 1) * k->stride_h < k->src_h &&
           (k->dst_w - 1) * k->stride_w < k->src_w;
}

bool tt_conv_u8s8_can(const tt_conv_u8s8 *k)
{
    return is_direct(k) || k->kernel_w * k->src_channels % GROUP == 0 ||
           k->stride_w * k->src_channels >= GROUP;
}

/* Blocks are pixels behind one another in all images; or pieces of rows of dst, for
 * which rows of the image are copied to a buffer. */
typedef struct {
    bool is_direct;
    int64_t pixels, n_pieces, n; /* of a block at most; of a row of dst; blocks */
    int64_t step;                /* from what a pixel of a row sees to the next */
    int64_t row;                 /* bytes of a row of the buffer */
    size_t rows, buffer, end;    /* of a slot's scratch: pointers, buffer */
} blocks;

static blocks blocks_of(const tt_conv_u8s8 *k, const taps *t)
{
    blocks b = {.is_direct = is_direct(k), .step = k->stride_w * k->src_channels};
    int64_t buffer = 0;
    if (b.is_direct) {
        int64_t all = k->batch * k->dst_h * k->dst_w;
        b.pixels = BLOCK_BYTES / (t->n * GROUP);
        if (b.pixels < BLOCK) b.pixels = BLOCK;
        b.n = (all + b.pixels / 2) / b.pixels; /* of one size, for the threads */
        if (b.n < 1) b.n = 1;
        b.pixels = (all + b.n - 1) / b.n;
        b.n = (all + b.pixels - 1) / b.pixels;
    } else {
        b.n_pieces = (k->dst_w + PIECE - 1) / PIECE;
        b.pixels = (k->dst_w + b.n_pieces - 1) / b.n_pieces;
        b.n = k->batch * k->dst_h * b.n_pieces;
        b.row = whole(b.pixels * b.step + t->row_bytes + GROUP + SLACK, ALIGNMENT);
        buffer = (t->rows + t->n_rests) * b.row;
    }
    b.rows = (size_t)whole(t->n * (int64_t)sizeof(int64_t), ALIGNMENT);
    b.buffer =
        b.rows + (size_t)whole((b.pixels + 1) * (int64_t)sizeof(void *), ALIGNMENT);
    b.end = b.buffer + (size_t)buffer;
    return b;
}

size_t tt_conv_u8s8_scratch_bytes(const tt_conv_u8s8 *k)
{
    taps t = taps_of_kernel(k);
    return blocks_of(k, &t).end * (size_t)k->n_slots;
}

typedef struct {
    const tt_conv_u8s8 *kernel;
    const tt_conv_u8s8_table *table;
    void *const *ptrs;
    taps taps;
    blocks blocks;
} conv_call;

/* Where groups are, from what a pixel sees on. */
static void set_offsets(const conv_call *call, int64_t *offsets)
{
    const taps *t = &call->taps;
    for (int64_t i = 0; i < t->rows; ++i)
        for (int64_t j = 0; j < t->whole; ++j)
            *offsets++ = i * call->blocks.row + j * GROUP;
    for (int64_t i = 0; i < t->n_rests; ++i)
        *offsets++ = (t->rows + i) * call->blocks.row;
}

/* n pixels of the image from column x of a row on, zero points where there are none. */
static void copy_row(const tt_conv_u8s8 *k, const uint8_t *row, int64_t x, int64_t n,
                     uint8_t *to)
{
    int64_t before = x < 0 ? -x : 0, after = x + n - k->src_w, c = k->src_channels;
    if (before > n) before = n;
    if (after < 0) after = 0;
    if (after > n - before) after = n - before;
    if (row == NULL) {
        before = n;
        after = 0;
    }
    memset(to, k->src_zero_point, (size_t)(before * c));
    if (n > before + after)
        memcpy(to + before * c, row + (x + before) * c,
               (size_t)((n - before - after) * c));
    memset(to + (n - after) * c, k->src_zero_point, (size_t)(after * c));
}

/* What n pixels of dst see from (y, x) of the image on, rests put together. */
static void fill_buffer(const conv_call *call, const uint8_t *image, int64_t y,
                        int64_t x, int64_t n, uint8_t *buffer)
{
    const tt_conv_u8s8 *k = call->kernel;
    const taps *t = &call->taps;
    int64_t pixels = (n - 1) * k->stride_w + k->kernel_w, step = call->blocks.step;
    uint8_t *rests = buffer + t->rows * call->blocks.row;
    for (int64_t i = 0, at = 0; i < t->rows; ++i, buffer += call->blocks.row) {
        bool is_there = y + i >= 0 && y + i < k->src_h;
        copy_row(k, is_there ? image + (y + i) * k->src_w * k->src_channels : NULL, x,
                 pixels, buffer);
        for (int64_t j = 0; j < t->rest; ++j, ++at) {
            const uint8_t *from = buffer + t->whole * GROUP + j;
            uint8_t *to = rests + at / GROUP * call->blocks.row + at % GROUP;
            call->table->copy(to, from, n * step, step);
        }
    }
}

/* Pixels of a block. */
typedef struct {
    int64_t first, n;
} pixels;

static pixels aim_direct(const conv_call *call, int64_t block, const uint8_t **rows)
{
    const tt_conv_u8s8 *k = call->kernel;
    pixels p = {.first = block * call->blocks.pixels, .n = call->blocks.pixels};
    int64_t left = k->batch * k->dst_h * k->dst_w - p.first;
    if (p.n > left) p.n = left;
    for (int64_t i = 0, some; i < p.n; i += some) {
        int64_t x = (p.first + i) % k->dst_w, y = (p.first + i) / k->dst_w;
        int64_t row = y / k->dst_h * k->src_h + y % k->dst_h * k->stride_h;
        const uint8_t *from = (const uint8_t *)call->ptrs[TT_CONV_U8S8_SRC] +
                              row * k->src_w * k->src_channels + x * call->blocks.step;
        some = k->dst_w - x < p.n - i ? k->dst_w - x : p.n - i;
        for (int64_t j = 0; j < some; ++j)
            rows[i + j] = from + j * call->blocks.step;
    }
    return p;
}

static pixels aim_buffer(const conv_call *call, int64_t block, uint8_t *buffer,
                         const uint8_t **rows)
{
    const tt_conv_u8s8 *k = call->kernel;
    int64_t row = block / call->blocks.n_pieces, y = row % k->dst_h * k->stride_h;
    int64_t x = block % call->blocks.n_pieces * call->blocks.pixels,
            left = k->dst_w - x;
    pixels p = {.first = row * k->dst_w + x, .n = call->blocks.pixels};
    const uint8_t *image = (const uint8_t *)call->ptrs[TT_CONV_U8S8_SRC] +
                           row / k->dst_h * k->src_h * k->src_w * k->src_channels;
    if (p.n > left) p.n = left;
    fill_buffer(call, image, y - k->pad_h, x * k->stride_w - k->pad_w, p.n, buffer);
    for (int64_t i = 0; i < p.n; ++i)
        rows[i] = buffer + i * call->blocks.step;
    return p;
}

/* ---- running -------------------------------------------------------------------- */

static void run_panel(const conv_call *call, pixels p, int64_t first,
                      const int64_t *offsets, const uint8_t *const *rows)
{
    const tt_conv_u8s8 *k = call->kernel;
    int64_t place = p.first * k->dst_channels + first, left = k->dst_channels - first;
    int64_t column = (call->taps.n + 1) * GROUP; /* bytes of a channel */
    tt_conv_u8s8_block block = {
        .kernel = k,
        .rows = rows,
        .offsets = offsets,
        .n = p.n,
        .n_groups = call->taps.n,
        .weights = (const int8_t *)call->ptrs[TT_CONV_U8S8_WEIGHTS] + first * column,
        .multiplier = (const float *)call->ptrs[TT_CONV_U8S8_MULTIPLIER] + first,
        .offset = (const float *)call->ptrs[TT_CONV_U8S8_OFFSET] + first,
        .dst = (char *)call->ptrs[TT_CONV_U8S8_DST] +
               (size_t)place * (k->dst == TT_F32 ? sizeof(float) : 1),
        .n_channels = (int)(left < WIDE ? left : WIDE),
        .width = (int)tt_conv_u8s8_width(k->dst_channels, first)};
    block.next = block.weights + (left > WIDE ? WIDE * column : 0);
    if (k->sum != TT_DTYPE_NONE)
        block.sum = (const uint8_t *)call->ptrs[TT_CONV_U8S8_SUM] + place;
    call->table->run(&block);
}

/* Panels of blocks are dealt, the panels of a block one after the other. */
static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const conv_call *call = arg;
    const blocks *b = &call->blocks;
    int64_t n_panels = (call->kernel->dst_channels + WIDE - 1) / WIDE;
    int64_t all = b->n * n_panels, n_slots = call->kernel->n_slots;
    for (int64_t slot = begin; slot < end; ++slot) {
        char *scratch =
            (char *)call->ptrs[TT_CONV_U8S8_SCRATCH] + (size_t)slot * b->end;
        int64_t *offsets = (int64_t *)(void *)scratch;
        const uint8_t **rows = (const uint8_t **)(void *)(scratch + b->rows);
        uint8_t *buffer = (uint8_t *)scratch + b->buffer;
        int64_t first = all * slot / n_slots, last = all * (slot + 1) / n_slots;
        pixels p = {0};
        set_offsets(call, offsets);
        memset(buffer, 0, b->end - b->buffer); /* bytes that no tap fills are read */
        for (int64_t i = first; i < last; ++i) {
            if (i == first || i % n_panels == 0) {
                p = b->is_direct ? aim_direct(call, i / n_panels, rows)
                                 : aim_buffer(call, i / n_panels, buffer, rows);
                rows[p.n] = rows[p.n - 1];
            }
            run_panel(call, p, i % n_panels * WIDE, offsets, rows);
        }
    }
}

tt_status tt_conv_u8s8_run(const void *params, void *const *ptrs, tt_error *err)
{
    conv_call call = {.kernel = params, .table = table(), .ptrs = ptrs};
    (void)err;
    call.taps = taps_of_kernel(call.kernel);
    call.blocks = blocks_of(call.kernel, &call.taps);
    tt_parallel_for(call.kernel->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}

/* ---- without vectors ------------------------------------------------------------ */

static void copy_scalar(uint8_t *to, const uint8_t *from, int64_t n, int64_t step)
{
    for (int64_t i = 0; i < n; i += step)
        to[i] = from[i];
}

static float total(const tt_conv_u8s8_block *b, int64_t pixel, int64_t place)
{
    int32_t sum = -b->kernel->src_zero_point * tt_conv_u8s8_totals(b)[place];
    for (int64_t g = 0; g < b->n_groups; ++g)
        for (int64_t j = 0; j < GROUP; ++j)
            sum += b->rows[pixel][b->offsets[g] + j] *
                   b->weights[(g * b->width + place) * GROUP + j];
    return (float)sum;
}

static void store(char *dst, tt_dtype dtype, int64_t at, float x)
{
    if (dtype == TT_F32)
        ((float *)(void *)dst)[at] = x;
    else if (dtype == TT_U8)
        ((uint8_t *)dst)[at] = (uint8_t)rintf(x);
    else
        ((int8_t *)dst)[at] = (int8_t)rintf(x);
}

static void run_scalar(const tt_conv_u8s8_block *b)
{
    const tt_conv_u8s8 *k = b->kernel;
    for (int64_t i = 0; i < b->n; ++i)
        for (int c = 0; c < b->n_channels; ++c) {
            int64_t at = i * k->dst_channels + c;
            int64_t place = tt_conv_u8s8_place(b->n_channels, c);
            float x = fmaf(total(b, i, place), b->multiplier[place], b->offset[place]);
            if (k->sum == TT_U8) x = fmaf(b->sum[at], k->sum_scale, x);
            if (k->sum == TT_S8) x = fmaf((int8_t)b->sum[at], k->sum_scale, x);
            x = x < k->high ? x : k->high;
            store(b->dst, k->dst, at, x > k->low ? x : k->low);
        }
}

const tt_conv_u8s8_table tt_conv_u8s8_scalar = {
    .name = "conv_u8s8:scalar", .copy = copy_scalar, .run = run_scalar};
