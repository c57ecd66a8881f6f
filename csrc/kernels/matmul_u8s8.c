/* uint8 by int8: choice of the instruction set, packing, threads. */
#include "kernels/matmul_u8s8.h"

#include <math.h>
#include <string.h>

#include "base/checked.h"
#include "base/cpu.h"
#include "base/threads.h"
#include "kernels/quantize.h"

static const tt_u8s8_table *table(void)
{
#ifdef __x86_64__
    const tt_cpu *cpu = tt_cpu_get();
    if (cpu->isa == TT_ISA_AVX512)
        return cpu->has_avx512_vnni ? &tt_u8s8_avx512_vnni : &tt_u8s8_avx512;
    if (cpu->isa == TT_ISA_AVX2) return &tt_u8s8_avx2;
#endif
    return &tt_u8s8_scalar;
}

const char *tt_u8s8_name(void)
{
    return table()->name;
}

/* ---- packing ----------------------------------------------------------------- */

bool tt_u8s8_packed_bytes(int64_t k, int64_t n, size_t *out)
{
    size_t panel = (size_t)table()->panel, n_panels = ((size_t)n + panel - 1) / panel;
    size_t groups = (size_t)k / 4 + 2; /* a rest, and the sums */
    return tt_mul_size(n_panels, panel * 4, out) && tt_mul_size(*out, groups, out);
}

/* One panel of `width` columns. */
static void pack_panel(const uint8_t *b, uint8_t flip, int64_t k, int64_t inner,
                       int64_t width, const int64_t *strides, int8_t *to)
{
    int panel = table()->panel;
    int64_t n_groups = (k + 3) / 4;
    int32_t sums[64] = {0}; /* no panel is wider */
    memset(to, 0, (size_t)(n_groups + 1) * 4 * (size_t)panel);
    for (int64_t row = 0; row < k; ++row) {
        const uint8_t *from = b + row / inner * strides[0] + row % inner * strides[1];
        for (int64_t j = 0; j < width; ++j) {
            int8_t item = (int8_t)(from[j * strides[2]] ^ flip);
            to[(row / 4 * panel + j) * 4 + row % 4] = item;
            sums[j] += item;
        }
    }
    memcpy(to + n_groups * 4 * panel, sums, (size_t)panel * sizeof *sums);
}

void tt_u8s8_pack(const void *b, bool is_unsigned, int64_t k, int64_t inner, int64_t n,
                  const int64_t *strides, void *packed)
{
    int64_t panel = table()->panel, bytes = ((k + 3) / 4 + 1) * 4 * panel;
    for (int64_t at = 0; at < n; at += panel)
        pack_panel((const uint8_t *)b + at * strides[2], is_unsigned ? 128 : 0, k,
                   inner, n - at < panel ? n - at : panel, strides,
                   (int8_t *)packed + at / panel * bytes);
}

/* ---- products ----------------------------------------------------------------- */

typedef struct {
    const tt_u8s8 *product;
    int64_t n_panels, block; /* rows of a block */
} multiplying;

/* Item i: panel i % n_panels of block i / n_panels. */
static void multiply_items(void *arg, int64_t begin, int64_t end)
{
    const multiplying *w = arg;
    for (int64_t i = begin; i < end; ++i) {
        int64_t row = i / w->n_panels * w->block, row_end = row + w->block;
        if (row_end > w->product->m) row_end = w->product->m;
        table()->multiply(w->product, i % w->n_panels, row, row_end);
    }
}

void tt_u8s8_multiply(const tt_u8s8 *product)
{
    int64_t panel = table()->panel, rows = table()->rows, m = product->m, n_blocks;
    multiplying w = {product, (product->n + panel - 1) / panel, m};
    int64_t wanted = 4 * tt_current_threads();
    double item_ns; /* about 4 multiply-adds of a tile's 64 a cycle, or 10 bytes a ns */
    if (m == 0 || product->n == 0) return;
    if (w.n_panels < wanted && m > 2 * rows) {
        n_blocks = (wanted + w.n_panels - 1) / w.n_panels;
        w.block = ((m + n_blocks - 1) / n_blocks + rows - 1) / rows * rows;
    }
    n_blocks = (m + w.block - 1) / w.block;
    item_ns = (double)panel * (double)(product->k + 8) * (.1 + .01 * (double)w.block);
    tt_parallel_for(w.n_panels * n_blocks, (int64_t)(10000 / item_ns) + 1,
                    multiply_items, &w);
}

/* ---- rows to uint8 ------------------------------------------------------------- */

static void quantize_some(void *arg, int64_t begin, int64_t end)
{
    const tt_quantize_rows *rows = arg;
    table()->quantize(rows, begin, end);
}

void tt_quantize_rows_run(const tt_quantize_rows *given)
{
    tt_quantize_rows rows = *given;
    if (!rows.per_row) {
        float low = 0, high = 0, scale;
        double zero;
        for (int64_t i = 0; i < rows.m; ++i) {
            float row_low, row_high;
            tt_range_with_zero(rows.src + i * rows.src_row, rows.k, &row_low,
                               &row_high);
            low = row_low < low ? row_low : low;
            high = row_high > high ? row_high : high;
        }
        scale = high == low ? 1.0f : (high - low) / 255.0f;
        zero = nearbyint((double)(-low / scale));
        for (int64_t i = 0; i < rows.m; ++i) {
            rows.scale[i] = scale;
            rows.zero[i] = (int32_t)(zero < 0 ? 0 : zero > 255 ? 255 : zero);
        }
    }
    tt_parallel_for(rows.m, 20000 / (rows.k + 1) + 1, quantize_some, &rows);
}
