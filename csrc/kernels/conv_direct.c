/* Direct convolution of few channels: packing, the buffer of rows, dealing rows to
 * threads. */
#include "kernels/conv_direct.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

/* Pixels of a piece of a row come in multiples of any register block's height, and a
 * block may read this many floats behind the last one it needs. */
enum { PIECE = 48, SLACK = 16, BUFFER_FLOATS = 6144, BLOCK_FLOATS = 5120 };

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

/* With weights that fit L1. */
static tt_channel_cut cut(int64_t dst_channels, int64_t n_taps)
{
    const tt_conv_direct_table *t = table();
    int64_t most = BLOCK_FLOATS / (n_taps * t->lanes);
    if (most < 2) most = 2;
    if (most > t->max_vectors) most = t->max_vectors;
    return tt_cut_channels(dst_channels, t->lanes, most);
}

size_t tt_conv_direct_packed_bytes(const int64_t dims[4])
{
    tt_channel_cut c = cut(dims[0], dims[1] * dims[2] * dims[3]);
    return (size_t)(c.blocks * c.vectors * table()->lanes * dims[1] * dims[2] *
                    dims[3]) *
           sizeof(float);
}

/* [block][tap: row, src channel, column][dst channel of the block]; zeros behind the
 * last. */
void tt_conv_direct_pack(const float *weights, const int64_t dims[4],
                         const int64_t strides[4], float *packed)
{
    tt_channel_cut cuts = cut(dims[0], dims[1] * dims[2] * dims[3]);
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

/* Rows of the image are kept in a ring, each in the place behind that of the row above:
 * per src channel `phases` lines,
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

static row_buffer plan_buffer(const tt_conv_own *k)
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
    b.slot = b.held_at + 2 * (b.n_rows + 2 * b.phases + k->src_channels * k->kernel_w);
    b.slot = rounded(b.slot, 16);
    return b;
}

size_t tt_conv_direct_scratch_bytes(const tt_conv_own *k)
{
    return (size_t)(plan_buffer(k).slot * k->n_slots) * sizeof(float);
}

typedef struct {
    tt_conv_direct_row row;
    row_buffer buffer;
    const float *src;
    float *scratch;
    const tt_conv_direct_table *table;
} direct_call;

/* What a slot keeps from row to row. */
typedef struct {
    float *rows;
    int64_t *held;    /* which row of the image each place of the ring holds */
    int64_t *offsets; /* of the taps of one kernel row */
    int64_t *spans;   /* per phase: where the image begins and ends in its line */
    const float **taps;
} slot_state;

static slot_state slot_start(const direct_call *call, int64_t slot)
{
    const tt_conv_own *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    slot_state s = {.rows = call->scratch + slot * b->slot};
    int64_t *offset;
    s.taps = (const float **)(void *)(s.rows + b->taps_at);
    s.held = (int64_t *)(void *)(s.rows + b->held_at);
    s.spans = s.held + b->n_rows;
    s.offsets = offset = s.spans + 2 * b->phases;
    for (int64_t c = 0; c < k->src_channels; ++c)
        for (int64_t j = 0; j < k->kernel_w; ++j) {
            int64_t reach = j * k->dilation_w;
            *offset++ =
                (c * b->phases + reach % k->stride_w) * b->line + reach / k->stride_w;
        }
    return s;
}

/* Where the image's pixels x, x + stride_w, ... begin and end in a line. */
static void find_spans(const direct_call *call, int64_t x, int64_t *spans)
{
    const tt_conv_own *k = call->row.kernel;
    int64_t step = k->stride_w;
    for (int64_t end = x + call->buffer.phases; x < end; ++x) {
        int64_t first = x < 0 ? (step - 1 - x) / step : 0, last = 0;
        if (x < k->src_w) last = (k->src_w - x + step - 1) / step;
        if (last > call->buffer.line) last = call->buffer.line;
        *spans++ = first < last ? first : last;
        *spans++ = last;
    }
}

/* Row y from pixel x on; zeros where there is no image. */
static void fill_row(const direct_call *call, const float *image, int64_t y, int64_t x,
                     const int64_t *spans, float *to)
{
    const tt_conv_own *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    if (y < 0 || y >= k->src_h) {
        memset(to, 0, (size_t)b->row * sizeof *to);
        return;
    }
    for (int64_t c = 0; c < k->src_channels; ++c) {
        const float *row = image + c * k->src_c + y * k->src_y;
        for (int64_t phase = 0; phase < b->phases; ++phase, to += b->line) {
            int64_t first = spans[2 * phase], last = spans[2 * phase + 1];
            for (int64_t i = 0; i < first; ++i)
                to[i] = 0.0f;
            if (first < last)
                call->table->gather(row + (x + phase + first * k->stride_w) * k->src_x,
                                    k->stride_w * k->src_x, to + first, last - first);
            memset(to + last, 0, (size_t)(b->line - last) * sizeof *to);
        }
    }
}

/* Makes the rows of output row y present and points the taps at them; `place` is that
 * of the first one. */
static void aim(const direct_call *call, const float *image, int64_t y, int64_t x,
                int64_t place, const slot_state *s)
{
    const tt_conv_own *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    int64_t from = y * k->stride_h - k->pad_h, n = k->src_channels * k->kernel_w;
    const float **taps = s->taps;
    for (int64_t i = 0; i < k->kernel_h; ++i) {
        float *row = s->rows + place * b->row;
        if (s->held[place] != from) {
            fill_row(call, image, from, x, s->spans, row);
            s->held[place] = from;
        }
        for (int64_t t = 0; t < n; ++t)
            *taps++ = row + s->offsets[t];
        from += k->dilation_h;
        place += k->dilation_h;
        if (place >= b->n_rows) place -= b->n_rows;
    }
}

/* ---- running ---------------------------------------------------------------------- */

/* Rows y up to `end` of a piece of an image. */
static void run_rows(const direct_call *call, int64_t column, int64_t y, int64_t end,
                     const slot_state *s)
{
    const tt_conv_own *k = call->row.kernel;
    const row_buffer *b = &call->buffer;
    int64_t image = column / b->n_pieces, x = column % b->n_pieces * b->piece;
    int64_t from = x * k->stride_w - k->pad_w, place = 0;
    tt_conv_direct_row row = call->row;
    row.taps = s->taps;
    row.n = k->dst_w - x < b->piece ? k->dst_w - x : b->piece;
    for (int64_t i = 0; i < b->n_rows; ++i)
        s->held[i] = INT64_MIN;
    find_spans(call, from, s->spans);
    for (; y < end; ++y) {
        aim(call, call->src + image * k->src_n, y, from, place, s);
        place += k->stride_h;
        while (place >= b->n_rows)
            place -= b->n_rows;
        row.at = image * k->dst_n + y * k->dst_y + x * k->dst_x;
        call->table->run(&row);
    }
}

/* Rows are numbered image by image, piece by piece, from top to bottom. */
static void run_slot(const direct_call *call, int64_t slot)
{
    const tt_conv_own *k = call->row.kernel;
    int64_t all = k->batch * call->buffer.n_pieces * k->dst_h;
    int64_t i = all * slot / k->n_slots, end = all * (slot + 1) / k->n_slots;
    slot_state s = slot_start(call, slot);
    while (i < end) {
        int64_t column = i / k->dst_h, first = column * k->dst_h;
        int64_t last = end < first + k->dst_h ? end : first + k->dst_h;
        run_rows(call, column, i - first, last - first, &s);
        i = last;
    }
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    for (int64_t slot = begin; slot < end; ++slot)
        run_slot(arg, slot);
}

tt_status tt_conv_direct_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_own *k = params;
    row_buffer buffer = plan_buffer(k);
    tt_channel_cut cuts = cut(k->dst_channels, buffer.n_taps);
    direct_call call = {
        .row = {.kernel = k,
                .blocks = cuts.blocks,
                .vectors = cuts.vectors,
                .n_taps = buffer.n_taps,
                .weights = ptrs[TT_CONV_OWN_WEIGHTS],
                .bias = ptrs[TT_CONV_OWN_BIAS],
                .dst = ptrs[TT_CONV_OWN_DST]},
        .buffer = buffer,
        .src = ptrs[TT_CONV_OWN_SRC],
        .scratch = ptrs[TT_CONV_OWN_SCRATCH],
        .table = table()
    };
    (void)err;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        call.row.operands[i] = ptrs[TT_CONV_OWN_POST + i];
    tt_parallel_for(k->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
