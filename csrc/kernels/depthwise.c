/* Depthwise convolution of floats: packing, dealing rows to threads.  See depthwise.h. */
#include "kernels/depthwise.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/item.h"

enum { LANES = TT_DEPTHWISE_LANES };

static const tt_depthwise_table *table_of(const tt_conv_own *k)
{
#ifdef __x86_64__
    const tt_cpu *cpu = tt_cpu_get();
    if (cpu->isa == TT_ISA_AVX512 && cpu->has_avx512_bf16 && k->is_dst_bf16)
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

size_t tt_depthwise_packed_bytes(const int64_t dims[4])
{
    return (size_t)(round_up(dims[0], LANES) * dims[2] * dims[3]) * sizeof(float);
}

void tt_depthwise_pack(tt_dtype dtype, const void *weights, const int64_t dims[4],
                       const int64_t strides[4], float *packed)
{
    int64_t taps = dims[2] * dims[3];
    memset(packed, 0, tt_depthwise_packed_bytes(dims));
    for (int64_t c = 0; c < dims[0]; ++c)
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t x = 0; x < dims[3]; ++x)
                packed[(c / LANES * taps + y * dims[3] + x) * LANES + c % LANES] =
                    (float)tt_item_load(dtype, weights,
                                        c * strides[0] + y * strides[2] +
                                            x * strides[3]);
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
