/* uint8 by int8 over packed columns; compiled per instruction set (see simd.h).  A tile
 * of rows keeps its sums in registers over all of k. */
#include <math.h>

#include "kernels/int8_dot.inc.h"
#include "kernels/post_ops.inc.h"

#if defined(__AVX512VNNI__)
enum { VECTORS = 4, ROWS = 6 };
#elif defined(__AVX512F__)
enum { VECTORS = 4, ROWS = 4 };
#else
enum { VECTORS = 2, ROWS = 4 };
#endif
enum {
    PANEL = VECTORS * VF_N,
    GROUP_BYTES = 4 * PANEL, /* four rows of b */

};

#define ALWAYS_INLINE static inline __attribute__((always_inline))

ALWAYS_INLINE void dot_tile(const int rows, const uint8_t *a, int64_t a_row,
                            const int8_t *b, int64_t n_groups, vi sums[ROWS][VECTORS])
{
    vi acc[ROWS][VECTORS];
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j)
            acc[i][j] = (vi){0};
    for (int64_t g = 0; g < n_groups; ++g, b += GROUP_BYTES) {
        vi columns[VECTORS];
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j) {
            columns[j] = vi_load(b + 4 * j * VF_N);
        }
#pragma GCC unroll 8
        for (int i = 0; i < rows; ++i) {
            vi item = vi_bytes4(a + i * a_row + 4 * g);
#pragma GCC unroll 8
            for (int j = 0; j < VECTORS; ++j)
                acc[i][j] = vi_dot4(acc[i][j], item, columns[j]);
        }
    }
#pragma GCC unroll 8
    for (int i = 0; i < rows; ++i)
#pragma GCC unroll 8
        for (int j = 0; j < VECTORS; ++j)
            sums[i][j] = acc[i][j];
}

static void dot_rows(int64_t rows, const uint8_t *a, int64_t a_row, const int8_t *b,
                     int64_t n_groups, vi sums[ROWS][VECTORS])
{
    switch (rows) {
    case 1:
        dot_tile(1, a, a_row, b, n_groups, sums);
        break;
    case 2:
        dot_tile(2, a, a_row, b, n_groups, sums);
        break;
    case 3:
        dot_tile(3, a, a_row, b, n_groups, sums);
        break;
    case 4:
        dot_tile(4, a, a_row, b, n_groups, sums);
        break;
#if defined(__AVX512VNNI__)
    case 5:
        dot_tile(5, a, a_row, b, n_groups, sums);
        break;
    case 6:
        dot_tile(6, a, a_row, b, n_groups, sums);
        break;
#endif
    }
}

/* Sums of n columns from `column` on of a row, zero points taken out, to their place. */
ALWAYS_INLINE void finish(const tt_u8s8 *p, vi sums, vi column_sums, int64_t row,
                          int64_t column, int64_t n)
{
    int64_t at = row * p->dst_row + column;
    vf x;
    sums -= column_sums * p->a_zero[row];
    if (p->b_zero != NULL) {
        uint32_t left =
            (uint32_t)p->a_sum[row] - (uint32_t)p->k * (uint32_t)p->a_zero[row];
        sums -= vi_load_n(p->b_zero + column, n) * (int32_t)left;
    }
    if (p->sums != NULL) {
        vf_store_n((float *)p->sums + at, (vf)sums, n);
        return;
    }
    x = vi_to_float(sums) *
        (vf_set1(p->a_scale[row]) * vf_load_n(p->b_scale + column, n));
    if (p->bias != NULL) x += vf_load_n(p->bias + column, n);
    if (p->accumulates) x += vf_load_n(p->dst + at, n);
    posts_store(&p->posts, p->operands, x, p->dst, at, column, n);
}

static void multiply(const tt_u8s8 *p, int64_t panel, int64_t row, int64_t row_end)
{
    int64_t a_row = tt_u8s8_row_bytes(p->k), n_groups = a_row / 4;
    const int8_t *b = (const int8_t *)p->b + panel * (n_groups + 1) * GROUP_BYTES;
    const int8_t *column_sums = b + n_groups * GROUP_BYTES;
    while (row < row_end) {
        int64_t n_tiles = (row_end - row + ROWS - 1) / ROWS;
        int64_t rows = (row_end - row + n_tiles - 1) / n_tiles;
        vi sums[ROWS][VECTORS];
        dot_rows(rows, p->a + row * a_row, a_row, b, n_groups, sums);
        for (int64_t i = 0; i < rows; ++i)
            for (int j = 0; j < VECTORS; ++j) {
                int64_t column = panel * PANEL + j * VF_N, left = p->n - column;
                vi column_sum = vi_load(column_sums + 4 * j * VF_N);
                if (left >= VF_N)
                    finish(p, sums[i][j], column_sum, row + i, column, VF_N);
                else if (left > 0)
                    finish(p, sums[i][j], column_sum, row + i, column, left);
            }
        row += rows;
    }
}

/* ---- rows to uint8 ----------------------------------------------------------- */

/* False: there is NaN or infinity in it. */
static bool range_of(const float *x, int64_t n, float *low, float *high)
{
    vf lows = vf_zero(), highs = vf_zero(), probe = vf_zero();
    for (int64_t i = 0; i < n; i += VF_N) {
        vf item = i + VF_N <= n ? vf_load(x + i) : vf_load_n(x + i, n - i);
        lows = vf_min(item, lows);
        highs = vf_max(item, highs);
        probe += item * vf_zero();
    }
    *low = vf_low(lows);
    *high = vf_high(highs);
    return !vf_any_nan(probe);
}

/* Adding 1.5 * 2^23 rounds to even.  NaN becomes the least. */
ALWAYS_INLINE vi to_bytes(vf q, vf zero)
{
    vf shift = vf_set1(12582912.0f), bound = vf_set1(4194304.0f);
    q = vf_min(vf_max(q, vf_zero() - bound), bound);
    q = (q + shift) - shift + zero;
    return __builtin_convertvector(vf_min(vf_max(q, vf_zero()), vf_set1(255.0f)), vi);
}

/* x / scale, or x * (1 / scale); gives the sum of the bytes. */
ALWAYS_INLINE int32_t quantize_row(const float *x, int64_t n, float scale,
                                   const bool divides, int32_t zero, uint8_t *dst)
{
    vf by = vf_set1(divides ? scale : 1.0f / scale), zeros = vf_set1((float)zero);
    int64_t i = 0;
    vi sum = {0};
    for (; i + VF_N <= n; i += VF_N) {
        vf item = vf_load(x + i);
        vi q = to_bytes(divides ? item / by : item * by, zeros);
        sum += q;
        vi_store_bytes(dst + i, q);
    }
    if (i < n) {
        vf item = vf_load_n(x + i, n - i);
        vi q = to_bytes(divides ? item / by : item * by, zeros);
        uint8_t bytes[VF_N];
        int32_t rest = 0;
        vi_store_bytes(bytes, q);
        memcpy(dst + i, bytes, (size_t)(n - i));
        for (int64_t j = 0; j < n - i; ++j)
            rest += bytes[j];
        return vi_sum(sum) + rest;
    }
    return vi_sum(sum);
}

static void quantize(const tt_quantize_rows *r, int64_t row, int64_t row_end)
{
    int64_t row_bytes = tt_u8s8_row_bytes(r->k);
    for (int64_t i = row; i < row_end; ++i) {
        const float *x = r->src + i * r->src_row;
        uint8_t *dst = r->dst + i * row_bytes;
        memset(dst + row_bytes - 4, 0, 4);
        if (r->per_row) {
            float low, high, scale;
            bool is_finite = range_of(x, r->k, &low, &high);
            /* halves: the difference of the greatest floats is infinite */
            scale = (high * .5f - low * .5f) / 127.5f;
            if (!(scale > 1e-36f)) scale = 1.0f;
            r->zero[i] = is_finite ? (int32_t)(-low / scale + .5f) : 0;
            r->scale[i] = is_finite ? scale : NAN;
            r->sum[i] = quantize_row(x, r->k, scale, false, r->zero[i], dst);
        } else {
            r->sum[i] = quantize_row(x, r->k, r->scale[i], true, r->zero[i], dst);
        }
    }
}

const tt_u8s8_table TABLE = {TABLE_NAME, PANEL, ROWS, multiply, quantize};
