/* Weights of 4 and 8 bits: choice of the instruction set, packing, threads. */
#include "kernels/matmul_nbits.h"

#include <string.h>

#include "base/cpu.h"
#include "base/threads.h"

static const tt_nbits_table *table(void)
{
#ifdef __x86_64__
    const tt_cpu *cpu = tt_cpu_get();
    if (cpu->isa == TT_ISA_AVX512)
        return cpu->has_avx512_vnni ? &tt_nbits_avx512_vnni : &tt_nbits_avx512;
    if (cpu->isa == TT_ISA_AVX2) return &tt_nbits_avx2;
#endif
    return &tt_nbits_scalar;
}

const char *tt_nbits_name(void)
{
    return table()->name;
}

int tt_nbits_panel(void)
{
    return table()->panel;
}

/* ---- packing ----------------------------------------------------------------- */

/* Eight weights of 4 bits lie in pairs, here the lower halves are the first four. */
static void pack_nibbles(const uint8_t *from, uint8_t *to)
{
    uint8_t item[8];
    for (int i = 0; i < 4; ++i) {
        item[2 * i] = from[i] & 15;
        item[2 * i + 1] = from[i] >> 4;
    }
    for (int i = 0; i < 4; ++i)
        to[i] = (uint8_t)(item[i] | item[4 + i] << 4);
}

void tt_nbits_pack(const uint8_t *b, int bits, int64_t n, int64_t n_blocks,
                   int64_t block, uint8_t *packed)
{
    int64_t panel = table()->panel, row_bytes = n_blocks * block * bits / 8;
    int64_t n_panels = (n + panel - 1) / panel;
    memset(packed, 0, (size_t)(n_panels * panel * row_bytes));
    for (int64_t column = 0; column < n; ++column) {
        uint8_t *to = packed + column / panel * panel * row_bytes + column % panel * 4;
        const uint8_t *from = b + column * row_bytes;
        for (int64_t at = 0; at < row_bytes; at += 4, to += panel * 4) {
            if (bits == 4)
                pack_nibbles(from + at, to);
            else
                memcpy(to, from + at, 4);
        }
    }
}

/* Columns [column, end), which are in one panel, of 8 bits. */
static void pack_bytes(const tt_nbits_matrix *b, int64_t column, int64_t end,
                       uint8_t *to)
{
    int64_t panel = table()->panel;
    for (int64_t k = 0; k < b->k; ++k) {
        const uint8_t *from = b->data + k * b->strides[1] + column * b->strides[0];
        uint8_t *row = to + k / 4 * panel * 4 + k % 4;
        for (int64_t j = 0; j < end - column; ++j)
            row[j * 4] = from[j * b->strides[0]] ^ b->flip;
    }
}

/* The same of 4 bits: of eight rows the lower halves are the first four. */
static void pack_halves(const tt_nbits_matrix *b, int64_t column, int64_t end,
                        uint8_t *to)
{
    int64_t panel = table()->panel;
    for (int64_t k = 0; k < b->k; ++k) {
        const uint8_t *from = b->data + k * b->strides[1] + column * b->strides[0];
        uint8_t *row = to + k / 8 * panel * 4 + k % 4;
        int shift = k % 8 < 4 ? 0 : 4;
        for (int64_t j = 0; j < end - column; ++j)
            row[j * 4] |=
                (uint8_t)(((from[j * b->strides[0]] ^ b->flip) & 15) << shift);
    }
}

void tt_nbits_pack_matrix(const tt_nbits_matrix *b, uint8_t *packed)
{
    int64_t panel = table()->panel, n_panels = (b->n + panel - 1) / panel;
    int64_t row_bytes = (b->k + b->block - 1) / b->block * b->block * b->bits / 8;
    memset(packed, 0, (size_t)(n_panels * panel * row_bytes));
    for (int64_t i = 0; i < n_panels; ++i) {
        int64_t column = i * panel, end = column + panel < b->n ? column + panel : b->n;
        if (b->bits == 4)
            pack_halves(b, column, end, packed + column * row_bytes);
        else
            pack_bytes(b, column, end, packed + column * row_bytes);
    }
}

/* Where the number of a column's block goes. */
static int64_t place_of(int64_t column, int64_t block, int64_t n_blocks)
{
    int64_t panel = table()->panel;
    return (column / panel * n_blocks + block) * panel + column % panel;
}

static void clear(float *packed, int64_t n, int64_t n_blocks)
{
    int64_t panel = table()->panel, n_panels = (n + panel - 1) / panel;
    memset(packed, 0, (size_t)(n_panels * panel * n_blocks) * sizeof *packed);
}

static float number_of(const void *from, tt_dtype dtype, int64_t at)
{
    if (dtype == TT_F32) return ((const float *)from)[at];
    if (dtype == TT_S8) return ((const int8_t *)from)[at];
    if (dtype == TT_S4) return (float)((((const uint8_t *)from)[at] & 15) ^ 8) - 8.0f;
    if (dtype == TT_U4) return (float)(((const uint8_t *)from)[at] & 15);
    return ((const uint8_t *)from)[at];
}

void tt_nbits_pack_numbers(const void *from, tt_dtype dtype, float less, int64_t n,
                           int64_t n_blocks, const int64_t *strides, float *packed)
{
    clear(packed, n, n_blocks);
    for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < n_blocks; ++i)
            packed[place_of(j, i, n_blocks)] =
                number_of(from, dtype, j * strides[0] + i * strides[1]) - less;
}

void tt_nbits_pack_zeros(const uint8_t *from, int bits, int64_t n, int64_t n_blocks,
                         int64_t row_bytes, float *packed)
{
    clear(packed, n, n_blocks);
    for (int64_t j = 0; j < n; ++j)
        for (int64_t i = 0; i < n_blocks; ++i) {
            int zero = from[j * row_bytes + i * bits / 8];
            if (bits == 4) zero = i % 2 == 0 ? zero & 15 : zero >> 4;
            packed[place_of(j, i, n_blocks)] = (float)(zero - (1 << (bits - 1)));
        }
}

/* ---- products ----------------------------------------------------------------- */

typedef struct {
    const tt_nbits *product;
    int64_t n_panels, block;
} multiplying;

/* Item i: panel i % n_panels of block i / n_panels of rows. */
static void multiply_items(void *arg, int64_t begin, int64_t end)
{
    const multiplying *w = arg;
    for (int64_t i = begin; i < end; ++i) {
        int64_t row = i / w->n_panels * w->block, row_end = row + w->block;
        if (row_end > w->product->m) row_end = w->product->m;
        table()->multiply(w->product, i % w->n_panels, row, row_end);
    }
}

void tt_nbits_multiply(const tt_nbits *product)
{
    int64_t panel = table()->panel, rows = table()->rows, m = product->m, n_blocks;
    multiplying w = {product, (product->n + panel - 1) / panel, m};
    int64_t wanted = 4 * tt_current_threads();
    double item_ns;
    if (m == 0 || product->n == 0) return;
    if (w.n_panels < wanted && m > 2 * rows) {
        n_blocks = (wanted + w.n_panels - 1) / w.n_panels;
        w.block = ((m + n_blocks - 1) / n_blocks + rows - 1) / rows * rows;
    }
    n_blocks = (m + w.block - 1) / w.block;
    item_ns = (double)panel * (double)(product->n_blocks * product->block) *
              (.1 + .02 * (double)w.block);
    tt_parallel_for(w.n_panels * n_blocks, (int64_t)(10000 / item_ns) + 1,
                    multiply_items, &w);
}

static void convert_some(void *arg, int64_t begin, int64_t end)
{
    table()->rows_of(arg, begin, end);
}

void tt_nbits_rows_run(const tt_nbits_rows *rows)
{
    tt_nbits_rows given = *rows;
    tt_parallel_for(rows->m, 20000 / (rows->k + 1) + 1, convert_some, &given);
}
