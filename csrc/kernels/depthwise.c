/* Depthwise convolution of floats: packing, dealing rows to threads.  See depthwise.h. */
#include "kernels/depthwise.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum { LANES = TT_DEPTHWISE_LANES, WORDS = TT_DEPTHWISE_PAIR_CHANNELS };

static const tt_depthwise_table *table_of(const tt_conv_own *k)
{
#ifdef __x86_64__
    const tt_cpu *cpu = tt_cpu_get();
    if (cpu->isa == TT_ISA_AVX512 && cpu->has_avx512_bf16 &&
        (k->is_src_bf16 || k->is_dst_bf16))
        return &tt_depthwise_avx512_bf16;
    if (cpu->isa == TT_ISA_AVX512) return &tt_depthwise_avx512;
    if (cpu->isa == TT_ISA_AVX2) return &tt_depthwise_avx2;
#endif
    (void)k;
    return &tt_depthwise_scalar;
}

const char *tt_depthwise_name(const tt_conv_own *k)
{
    return table_of(k)->name;
}

/* ---- weights -------------------------------------------------------------------- */

static int64_t round_up(int64_t n, int64_t to)
{
    return (n + to - 1) / to * to;
}

static size_t floats_bytes(int64_t channels, int64_t taps)
{
    return (size_t)(round_up(channels, LANES) * taps) * sizeof(float);
}

size_t tt_depthwise_packed_bytes(tt_dtype dtype, const int64_t dims[4])
{
    size_t bytes = floats_bytes(dims[0], dims[2] * dims[3]);
    if (dtype == TT_BF16)
        bytes += (size_t)(dims[0] / WORDS * tt_depthwise_pair_words(dims[2], dims[3])) *
                 sizeof(uint32_t);
    return bytes;
}

typedef struct {
    const uint16_t *weights;
    const int64_t *dims, *strides;
} bf16_weights;

/* Two weights of a channel; 0 stands for those outside. */
static uint32_t pair_of(const bf16_weights *w, int64_t channel, int64_t y, int64_t x,
                        int64_t y2, int64_t x2, bool has_first)
{
    const uint16_t *from = w->weights + channel * w->strides[0];
    uint32_t first = has_first ? from[y * w->strides[2] + x * w->strides[3]] : 0;
    return first | (uint32_t)from[y2 * w->strides[2] + x2 * w->strides[3]] << 16;
}

/* A column of two rows, or two columns of the last row, for 32 channels. */
static uint32_t *pack_pair(const bf16_weights *w, int64_t channel, int64_t y, int64_t x,
                           int64_t y2, int64_t x2, bool has_first, uint32_t *to)
{
    for (int half = 0; half < 2; ++half)
        for (int lane = 0; lane < LANES; ++lane)
            *to++ = pair_of(w, channel + tt_depthwise_pair_channel(half, lane), y, x,
                            y2, x2, has_first);
    return to;
}

static void pack_pairs(const bf16_weights *w, uint32_t *to)
{
    int64_t h = w->dims[2], width = w->dims[3];
    for (int64_t c = 0; c + WORDS <= w->dims[0]; c += WORDS) {
        int64_t y = 0;
        for (; y + 1 < h; y += 2)
            for (int64_t x = 0; x < width; ++x)
                to = pack_pair(w, c, y, x, y + 1, x, /*has_first=*/true, to);
        for (int j = 0; y < h && j < (width + 1) / 2; ++j) {
            int64_t x = tt_depthwise_pair_column((int)width, j);
            to = pack_pair(w, c, y, x, y, x + 1, 2 * j + 1 < width, to);
        }
    }
}

void tt_depthwise_pack(tt_dtype dtype, const void *weights, const int64_t dims[4],
                       const int64_t strides[4], void *packed)
{
    int64_t taps = dims[2] * dims[3];
    float *floats = packed;
    memset(packed, 0, tt_depthwise_packed_bytes(dtype, dims));
    for (int64_t c = 0; c < dims[0]; ++c)
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t x = 0; x < dims[3]; ++x)
                floats[(c / LANES * taps + y * dims[3] + x) * LANES + c % LANES] =
                    (float)tt_item_load(dtype, weights,
                                        c * strides[0] + y * strides[2] +
                                            x * strides[3]);
    /* windows of one column have no pairs */
    if (dtype == TT_BF16 && dims[3] > 1)
        pack_pairs(&(bf16_weights){weights, dims, strides},
                   (uint32_t *)packed + floats_bytes(dims[0], taps) / sizeof(uint32_t));
}

/* ---- running -------------------------------------------------------------------- */

static int64_t item_bytes(const tt_conv_own *k)
{
    return k->is_src_bf16 ? 2 : 4;
}

/* A row of the image that holds zeros, which all slots share. */
static int64_t zero_bytes(const tt_conv_own *k)
{
    return round_up(((k->src_w - 1) * k->src_x + k->dst_channels) * item_bytes(k), 64);
}

size_t tt_depthwise_scratch_bytes(const tt_conv_own *k)
{
    return (size_t)zero_bytes(k);
}

typedef struct {
    const tt_conv_own *kernel;
    void *const *ptrs;
} depthwise_call;

/* Where the rows of the window are for row `y` of dst. */
static void aim(const depthwise_call *call, int64_t image, int64_t y, const void **rows)
{
    const tt_conv_own *k = call->kernel;
    const char *src = (const char *)call->ptrs[TT_CONV_OWN_SRC];
    for (int64_t i = 0; i < k->kernel_h; ++i) {
        int64_t from = y * k->stride_h - k->pad_h + i;
        bool is_there = from >= 0 && from < k->src_h;
        rows[i] = is_there ? src + (image * k->src_n + from * k->src_y) * item_bytes(k)
                           : call->ptrs[TT_CONV_OWN_SCRATCH];
    }
}

/* The rows below the window that the next one moves onto. */
static void look_ahead(const depthwise_call *call, int64_t image, int64_t y,
                       tt_depthwise_row *row)
{
    const tt_conv_own *k = call->kernel;
    const char *src = (const char *)call->ptrs[TT_CONV_OWN_SRC];
    int64_t first = y * k->stride_h - k->pad_h + k->kernel_h;
    int64_t n = k->src_h - first < k->stride_h ? k->src_h - first : k->stride_h;
    if (first < 0 || n <= 0) return;
    row->ahead = src + (image * k->src_n + first * k->src_y) * item_bytes(k);
    row->ahead_bytes = n * k->src_y * item_bytes(k);
}

/* Pairs of the packed weights, if the kernel may use them. */
static const uint32_t *pairs_of(const depthwise_call *call)
{
    const tt_conv_own *k = call->kernel;
    const char *packed = call->ptrs[TT_CONV_OWN_WEIGHTS];
    if (!k->is_src_bf16 || !k->is_weights_bf16 || k->posts.n > 0) return NULL;
    return (const void *)(packed +
                          floats_bytes(k->dst_channels, k->kernel_h * k->kernel_w));
}

static void run_slots(void *arg, int64_t begin, int64_t end)
{
    const depthwise_call *call = arg;
    const tt_conv_own *k = call->kernel;
    const tt_depthwise_table *table = table_of(k);
    const void *rows[TT_DEPTHWISE_EXTENT_MAX];
    const float *operands[TT_POST_OPS_MAX];
    int64_t n = k->batch * k->dst_h;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        operands[i] = call->ptrs[TT_CONV_OWN_POST + i];
    for (int64_t slot = begin; slot < end; ++slot)
        for (int64_t i = n * slot / k->n_slots; i < n * (slot + 1) / k->n_slots; ++i) {
            int64_t image = i / k->dst_h, y = i % k->dst_h;
            tt_depthwise_row row = {.kernel = k,
                                    .rows = rows,
                                    .weights = call->ptrs[TT_CONV_OWN_WEIGHTS],
                                    .bias = call->ptrs[TT_CONV_OWN_BIAS],
                                    .pairs = pairs_of(call),
                                    .operands = operands,
                                    .dst = call->ptrs[TT_CONV_OWN_DST],
                                    .at = image * k->dst_n + y * k->dst_y};
            aim(call, image, y, rows);
            look_ahead(call, image, y, &row);
            table->run(&row);
        }
}

tt_status tt_depthwise_run(const void *params, void *const *ptrs, tt_error *err)
{
    depthwise_call call = {.kernel = params, .ptrs = ptrs};
    (void)err;
    memset(ptrs[TT_CONV_OWN_SCRATCH], 0, (size_t)zero_bytes(call.kernel));
    tt_parallel_for(call.kernel->n_slots, /*grain=*/1, run_slots, &call);
    return TT_OK;
}
