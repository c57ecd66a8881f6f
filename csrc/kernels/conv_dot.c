/* Convolution to a few channels: choice of the instruction set, packing, threads. */
#include "kernels/conv_dot.h"

#include "base/cpu.h"
#include "base/threads.h"

enum { PIXELS = 64 /* that one thread takes at a time */ };

static const tt_conv_dot_table *table(void)
{
#ifdef __x86_64__
    tt_isa isa = tt_cpu_get()->isa;
    if (isa == TT_ISA_AVX512) return &tt_conv_dot_avx512;
    if (isa == TT_ISA_AVX2) return &tt_conv_dot_avx2;
#endif
    return &tt_conv_dot_scalar;
}

const char *tt_conv_dot_name(void)
{
    return table()->name;
}

void tt_conv_dot_pack(const float *weights, const int64_t dims[4],
                      const int64_t strides[4], float *packed)
{
    for (int64_t o = 0; o < dims[0]; ++o)
        for (int64_t y = 0; y < dims[2]; ++y)
            for (int64_t x = 0; x < dims[3]; ++x)
                for (int64_t c = 0; c < dims[1]; ++c)
                    *packed++ = weights[o * strides[0] + c * strides[1] +
                                        y * strides[2] + x * strides[3]];
}

typedef struct {
    const tt_conv_own *kernel;
    const tt_conv_dot_table *table;
    void *const *ptrs;
    int64_t n_pieces; /* of a row */
} convolving;

/* Pieces of rows, numbered image by image, row by row. */
static void run_pieces(void *arg, int64_t begin, int64_t end)
{
    const convolving *c = arg;
    const tt_conv_own *k = c->kernel;
    tt_conv_dot_row row = {.kernel = k,
                           .weights = c->ptrs[TT_CONV_OWN_WEIGHTS],
                           .bias = c->ptrs[TT_CONV_OWN_BIAS],
                           .dst = c->ptrs[TT_CONV_OWN_DST]};
    for (int i = 0; i < k->posts.n; ++i)
        row.by_channel |=
            k->posts.items[i].kind >= TT_POST_OP_ADD && !k->posts.items[i].is_full;
    for (int i = 0; i < TT_POST_OPS_MAX; ++i)
        row.operands[i] = c->ptrs[TT_CONV_OWN_POST + i];
    for (int64_t i = begin; i < end; ++i) {
        int64_t line = i / c->n_pieces, image = line / k->dst_h;
        row.y = line % k->dst_h;
        row.x = i % c->n_pieces * PIXELS;
        row.end = k->dst_w - row.x < PIXELS ? k->dst_w : row.x + PIXELS;
        row.src = (const float *)c->ptrs[TT_CONV_OWN_SRC] + image * k->src_n;
        row.at = image * k->dst_n + row.y * k->dst_y;
        c->table->run(&row);
    }
}

tt_status tt_conv_dot_run(const void *params, void *const *ptrs, tt_error *err)
{
    const tt_conv_own *k = params;
    convolving c = {.kernel = k, .table = table(), .ptrs = ptrs};
    int64_t taps = k->kernel_h * k->kernel_w * k->src_channels * k->dst_channels;
    int64_t grain = 400000 / (PIXELS * taps + 1) + 1; /* about 20 us */
    (void)err;
    c.n_pieces = (k->dst_w + PIXELS - 1) / PIXELS;
    tt_parallel_for(k->batch * k->dst_h * c.n_pieces, grain, run_pieces, &c);
    return TT_OK;
}
