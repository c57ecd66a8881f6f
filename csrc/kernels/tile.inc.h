/* A block of a matrix product held in registers, the innermost piece of every own
 * kernel that multiplies matrices; compiled per instruction set (see simd.h).
 *
 *   dst[i][j] = (add ? dst[i][j] : 0) + sum over p < k of a[i][p] * b[p][j]
 *
 * for i < m and j < n_vectors * VF_N.  m and n_vectors must be compile-time constants
 * where it is called, with m * n_vectors accumulators, n_vectors vectors of b and one
 * broadcast fitting the registers: TILE_M(n_vectors) is the largest such m.
 *
 *   a    row i starts at a + i * a_row, items along k are a_item apart
 *   b    row p starts at b + p * b_row, unit stride
 *   dst  row i starts at dst + i * dst_row, unit stride
 *
 * Rows are in floats.  Sums run over p in order, one fused multiply-add each.
 *
 * TILE_FMA(a, b, sum) may be defined before: with words of two bfloat16 in place of floats
 * in a and b, it adds the products of both halves.
 *
 * tile_ahead also prefetches n_ahead vectors at `ahead` for every p, and then the same
 * further on by b_row: b's memory some blocks ahead, spread evenly over the work. */
#include "kernels/simd.h"

#ifndef TILE_FMA
#define TILE_FMA vf_fma
#endif

#if defined(__AVX512F__)
#define TILE_M(n_vectors) \
    ((n_vectors) == 1 ? 16 : (n_vectors) == 2 ? 12 : (n_vectors) == 3 ? 8 : 6)
#define TILE_VECTORS 4
#else
#define TILE_M(n_vectors) ((n_vectors) == 1 ? 8 : (n_vectors) == 2 ? 6 : 4)
#define TILE_VECTORS 3
#endif

static inline __attribute__((always_inline)) void tile_ahead(
    const int m, const int n_vectors, int64_t k, const float *a, int64_t a_row,
    int64_t a_item, const float *b, int64_t b_row, float *dst, int64_t dst_row,
    bool add, const float *ahead, const int n_ahead)
{
    vf sum[16][4];
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < n_vectors; ++j)
            sum[i][j] = add ? vf_load(dst + i * dst_row + j * VF_N) : vf_zero();
    for (int64_t p = 0; p < k; ++p) {
        vf column[4];
#pragma GCC unroll 16
        for (int j = 0; j < n_vectors; ++j)
            column[j] = vf_load(b + p * b_row + j * VF_N);
#pragma GCC unroll 16
        for (int j = 0; j < n_ahead; ++j)
            __builtin_prefetch(ahead + p * b_row + j * VF_N, 0, /*into L2*/ 2);
#pragma GCC unroll 16
        for (int i = 0; i < m; ++i) {
            vf item = vf_set1(a[i * a_row + p * a_item]);
#pragma GCC unroll 16
            for (int j = 0; j < n_vectors; ++j)
                sum[i][j] = TILE_FMA(item, column[j], sum[i][j]);
        }
    }
#pragma GCC unroll 16
    for (int i = 0; i < m; ++i)
#pragma GCC unroll 16
        for (int j = 0; j < n_vectors; ++j)
            vf_store(dst + i * dst_row + j * VF_N, sum[i][j]);
}

static inline __attribute__((always_inline)) void tile(const int m, const int n_vectors,
                                                       int64_t k, const float *a,
                                                       int64_t a_row, int64_t a_item,
                                                       const float *b, int64_t b_row,
                                                       float *dst, int64_t dst_row,
                                                       bool add)
{
    tile_ahead(m, n_vectors, k, a, a_row, a_item, b, b_row, dst, dst_row, add, b, 0);
}
