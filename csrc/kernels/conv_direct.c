/* Direct convolution of few channels: packing, the buffer of rows, dealing rows to
 * threads. */
#include "kernels/conv_direct.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

/* Pixels of a piece of a row come in multiples of any register block's height, and a
 * block may read this many floats behind the last one it needs. */
enum { PIECE = 48, SLACK = 16, BUFFER_FLOATS = 6144 };

static const tt_conv_direct_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_conv_direct_avx512;
    if (isa == TT_ISA_AVX2) return &tt_conv_direct_avx2;
#endif
    return &tt_conv_direct_scalar;
}

const char *tt_conv_direct_name(void)
{
    return table()->name;
}

/* ---- weights ---------------------------------------------------------------------- */

typedef struct {
    int64_t blocks;
    int vectors;
} channel_cut;

/* The fewest blocks, all of the same width. */
static channel_cut cut(int64_t dst_channels)
{
    const tt_conv_direct_table *t = table();
    int64_t vectors = (dst_channels + t->lanes - 1) / t->lanes;
    int64_t blocks = (vectors + t->max_vectors - 1) / t->max_vectors;
    return (channel_cut){blocks, (int)((vectors + blocks - 1) / blocks)};
}

size_t tt_conv_direct_packed_bytes(const int64_t dims[4])
{
    channel_cut c = cut(dims[0]);
    return (size_t)(c.blocks * c.vectors * table()->lanes * dims[1] * dims[2] *
                    dims[3]) *
           sizeof(float);
}

/* [block][tap: row, src channel, column][dst channel of the block]; zeros behind the
 * last. */
void tt_conv_direct_pack(const float *weights, const int64_t dims[4],
                         const int64_t strides[4], float *packed)
{
    channel_cut cuts = cut(dims[0]);
    int64_t width = cuts.vectors * table()->lanes;
    for (int64_t to = 0; to < cuts.blocks * width; to += width)
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t c = 0; c < dims[1]; ++c)
                for (int64_t x = 0; x < dims[3]; ++x)
                    for (int64_t i = to; i < to + width; ++i)
                        *packed++ = i < dims[0]
                                        ? weights[i * strides[0] + c * strides[1] +
                                                  y * strides[2] + x * strides[3]]
                                        : 0.0f;
}

/* ---- the buffer ------------------------------------------------------------------- */

/* Row y of the image is kept in place y % n_rows: per src channel `phases` lines,
 * line p with the pixels p, p + stride_w, ... of what a piece reads. */
typedef struct {
    int64_t piece; /* pixels of dst */
    int64_t n_pieces, n_rows, phases, line, row;
    int64_t n_taps, slot; /* slot: floats of scratch of a slot */
    int64_t taps_at, held_at;
} row_buffer;

static int64_t rounded(int64_t x, int64_t to)
{
    return (x + to - 1) / to * to;
}

static row_buffer plan_buffer(const tt_conv_direct_kernel *k)
{
    int64_t reach = (k->kernel_w - 1) * k->dilation_w, lines, floats;
    row_buffer b = {.n_rows = (k->kernel_h - 1) * k->dilation_h + 1,
                    .phases = reach + 1 < k->stride_w ? reach + 1 : k->stride_w,
                    .n_taps = k->kernel_h * k->src_channels * k->kernel_w};
    lines = b.n_rows * k->src_channels * b.phases;
    floats = BUFFER_FLOATS / lines - reach / k->stride_w - SLACK;
    b.piece = floats < PIECE ? PIECE : floats / PIECE * PIECE;
    if (b.piece > rounded(k->dst_w, PIECE)) b.piece = rounded(k->dst_w, PIECE);
    b.n_pieces = (k->dst_w + b.piece - 1) / b.piece;
    b.line = b.piece + reach / k->stride_w + SLACK;
    b.row = k->src_channels * b.phases * b.line;
    b.taps_at = rounded(b.n_rows * b.row, 16);
    b.held_at = b.taps_at + 2 * b.n_taps;
    b.slot = rounded(b.held_at + 2 * b.n_rows, 16);
    return b;
}

size_t tt_conv_direct_scratch_bytes(const tt_conv_direct_kernel *k)
{
    return (size_t)(plan_buffer(k).slot * k->n_slots) * sizeof(float);
}

/* Pixels x, x + step, ... of a row (NULL: outside) into a line; zeros where there is
 * no image. */
static void fill_line(const tt_conv_direct_kernel *k, const float *row, int64_t x,
                      float *line, int64_t n)
{
    int64_t step = k->stride_w, before = 0, end = 0;
    if (row != NULL) {
        before = x < 0 ? (step - 1 - x) / step : 0;
        end = x < k->src_w ? (k->src_w - x + step - 1) / step : 0;
        if (end > n) end = n;
    }
    if (before >= end) {
        memset(line, 0, (size_t)n * sizeof *line);
        return;
    }
    memset(line, 0, (size_t)before * sizeof *line);
    table()->gather(row + (x + before * step) * k->src_x, step * k->src_x,
                    line + before, end - before);
    memset(line + end, 0, (size_t)(n - end) * sizeof *line);
}

typedef struct {
    tt_conv_direct_row row;
    row_buffer buffer;
    const float *src;
    float *scratch;
} direct_call;

static void fill_row(const direct_call *call, const float *image, int64_t y, int64_t x,
                     float *to)
{
    const tt_conv_direct_kernel *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    for (int64_t c = 0; c < k->src_channels; ++c) {
        const float *row = NULL;
        if (y >= 0 && y < k->src_h) row = image + c * k->src_c + y * k->src_y;
        for (int64_t phase = 0; phase < b->phases; ++phase, to += b->line)
            fill_line(k, row, x + phase, to, b->line);
    }
}

/* Makes the rows of output row y present and points the taps at them. */
static void aim(const direct_call *call, const float *image, int64_t y, int64_t x,
                float *rows, int64_t *held, const float **taps)
{
    const tt_conv_direct_kernel *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    for (int64_t i = 0; i < k->kernel_h; ++i) {
        int64_t from = y * k->stride_h - k->pad_h + i * k->dilation_h;
        /* moved up by whole turns of the ring: pads may exceed it */
        int64_t place = (from + b->n_rows * (k->pad_h + 1)) % b->n_rows;
        float *row = rows + place * b->row;
        if (held[place] != from) {
            fill_row(call, image, from, x, row);
            held[place] = from;
        }
        for (int64_t c = 0; c < k->src_channels; ++c)
            for (int64_t j = 0; j < k->kernel_w; ++j) {
                int64_t reach = j * k->dilation_w;
                *taps++ = row + (c * b->phases + reach % k->stride_w) * b->line +
                          reach / k->stride_w;
            }
    }
}

/* ---- running ---------------------------------------------------------------------- */

/* Rows are numbered image by image, piece by piece, from top to bottom. */
static void run_slot(const direct_call *call, int64_t slot)
{
    const tt_conv_direct_kernel *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    int64_t all = k->batch * b->n_pieces * k->dst_h;
    int64_t end = all * (slot + 1) / k->n_slots, column = -1;
    float *rows = call->scratch + slot * b->slot;
    int64_t *held = (int64_t *)(void *)(rows + b->held_at);
    tt_conv_direct_row row = call->row;
    row.taps = (const float **)(void *)(rows + b->taps_at);
    for (int64_t i = all * slot / k->n_slots; i < end; ++i) {
        int64_t y = i % k->dst_h, piece = i / k->dst_h % b->n_pieces;
        int64_t image = i / (k->dst_h * b->n_pieces), x = piece * b->piece;
        if (i / k->dst_h != column) {
            column = i / k->dst_h;
            for (int64_t j = 0; j < b->n_rows; ++j)
                held[j] = INT64_MIN;
        }
        aim(call, call->src + image * k->src_n, y, x * k->stride_w - k->pad_w, rows,
            held, row.taps);
        row.n = k->dst_w - x < b->piece ? k->dst_w - x : b->piece;
        row.at = image * k->dst_n + y * k->dst_y + x * k->dst_x;
        table()->run(&row);
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    for (int64_t slot = begin; slot < end; ++slot)
        run_slot(arg, slot);
}

tt_status tt_conv_direct_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_direct_kernel *k = params;
    channel_cut cuts = cut(k->dst_channels);
    direct_call call = {
        .row = {.kernel = k,
                .blocks = cuts.blocks,
                .vectors = cuts.vectors,
                .weights = ptrs[TT_CONV_DIRECT_WEIGHTS],
                .bias = ptrs[TT_CONV_DIRECT_BIAS],
                .dst = ptrs[TT_CONV_DIRECT_DST]},
        .buffer = plan_buffer(k),
        .src = ptrs[TT_CONV_DIRECT_SRC],
        .scratch = ptrs[TT_CONV_DIRECT_SCRATCH]
    };
    (void)err;
    for (int i = 0; i < TT_CONV_MAX_POSTS; ++i)
        call.row.operands[i] = ptrs[TT_CONV_DIRECT_POST + i];
    call.row.n_taps = call.buffer.n_taps;
    tt_parallel_for(k->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
